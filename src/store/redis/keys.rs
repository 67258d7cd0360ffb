//! How keys are named, and how lists are sorted.
//!
//! Everything of ours begins with [`PREFIX`]. With `*` for an id, `n` for a kind of due work and `hash` for a [`mark`]:
//!
//! | Key | What it holds |
//! |---|---|
//! | `meta` | schema, key of the tombstones, a probe |
//! | `call:*` | a call: its fields, its record, and in which lists it stands |
//! | `by:created`, `by:updated`, `by:ended`, `by:age`, `is:hash` | lists of calls: all by a moment; those with some value, by `created_at` |
//! | `due:n`, `leased`, `waiting` | calls that are due: free ones, held ones, all of them |
//! | `event:*`, `repeats:*`, `events:*` | an event, its repeats; the events of a call |
//! | `bodies`, `unfolded`, `stray` | events with a body, that could not be read, that have no record |
//! | `tombstones` | hashes of erased calls |
//! | `log`, `log:*`, `told`, `gone` | streams of all news and of one call's; the latest position, and up to where the log is gone |
//! | `target:*`, `subscriptions`, `callbacks`, `scope:*` | a target; the ids of all of a kind, and of one call's |
//! | `outbox` | numbers about deliveries: generation, position, the last name, how many of each state |
//! | `delivery:*`, `attempts:*`, `sent:*` | a delivery, its tries; of a target, deliveries by event |
//! | `deliveries`, `deliveries:of:*`, `deliveries:state:*`, `settled` | deliveries: all, of a call, of a target by state; by when they were settled |
//! | `line:*`, `turns`, `updates:*` | pending ones of a target and call, whose turn it is, which may be replaced |
//! | `ready`, `ready:*` | targets by when their first delivery can be leased; the deliveries of one |
//! | `doc:kind:*` | a document |
//! | `docs:all:kind`, `docs:due:kind`, `docs:leased:kind`, `docs:aliases:kind`, `docs:ends` | documents: all by `created_at`; those that are due: free ones, held ones; ids by alias; all that end |
//! | `tallies`, `tally:*` | the hours in which something was counted; of an hour, counts by source and name |
//! | `seq`, `news`, `answer:*` | counters of events and signals; answers of scripts, for some seconds |

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use crate::{
    call::{id::CallId, time::Millis},
    store::{CallFilter, Columns, SortBy, StoreError, StoredCall},
};

/// What every key begins with.
pub(super) const PREFIX: &str = "ringback:";
/// Digits of a moment.
pub(super) const WIDTH: usize = 16;
/// Stands for a moment that a call has not.
const NEVER: &str = "----------------";
/// Bytes of a mark: two values never have the same by chance.
const MARK_BYTES: usize = 16;

/// A key of ours.
pub(super) fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// The key of something that has an id.
pub(super) fn key_of(kind: &str, id: &str) -> String {
    format!("{PREFIX}{kind}:{id}")
}

/// A moment so that texts sort as moments do.
pub(super) fn moment(at: Millis) -> String {
    format!("{:016x}", at.0.cast_unsigned() ^ (1 << 63))
}

/// What stands for a call in a list that is sorted by this moment.
pub(super) fn member(at: Millis, id: &CallId) -> String {
    format!("{}{id}", moment(at))
}

/// Moment and call of a [`member`].
pub(super) fn read_member(member: &str) -> Result<(Millis, CallId), StoreError> {
    let broken = || StoreError::Unavailable("a list of calls is broken".to_owned());
    let (digits, id) = member.split_at_checked(WIDTH).ok_or_else(broken)?;
    let at = u64::from_str_radix(digits, 16).ok().ok_or_else(broken)?;
    Ok((Millis((at ^ (1 << 63)).cast_signed()), CallId::parse(id).ok().ok_or_else(broken)?))
}

/// The list of all calls that is sorted by this moment.
pub(super) fn list_by(by: SortBy) -> String {
    key(match by {
        SortBy::CreatedAt => "by:created",
        SortBy::UpdatedAt => "by:updated",
        SortBy::EndedAt => "by:ended",
    })
}

/// The moments of a call, in the order of the scripts: created, updated, ended, age. The age is what retention goes by.
pub(super) fn moments(call: &StoredCall, columns: &Columns) -> String {
    let ended = columns.ended_at.map_or_else(|| NEVER.to_owned(), moment);
    let age = columns.ended_at.map_or(call.created_at, |ended| ended.max(call.created_at));
    [moment(call.created_at), moment(call.updated_at), ended, moment(age)].concat()
}

/// One of the moments of a call, as text; `None` when it has none.
pub(super) fn moment_in(moments: &str, by: SortBy) -> Option<&str> {
    let place = match by {
        SortBy::CreatedAt => 0,
        SortBy::UpdatedAt => 1,
        SortBy::EndedAt => 2,
    };
    moments.get(place * WIDTH..(place + 1) * WIDTH).filter(|moment| *moment != NEVER)
}

/// A value of a column, as a name for the list of calls that have it. A hash, since values may have any length.
fn mark(column: &str, value: &[&str]) -> String {
    let hash = value
        .iter()
        .fold(Sha256::new().chain_update(column), |hash, part| hash.chain_update("\0").chain_update(part.replace('\0', "\0\0")));
    hex::encode(&hash.finalize()[..MARK_BYTES])
}

/// The marks of a call, separated by spaces.
pub(super) fn marks(columns: &Columns) -> String {
    let text = |column: &str, value: &Option<String>| value.as_deref().map(|value| mark(column, &[value]));
    let metadata: BTreeMap<String, String> = serde_json::from_str(&columns.metadata).unwrap_or_default();
    let always = [("status", columns.status), ("callStatus", columns.call_status), ("dataStatus", columns.data_status)];
    let sometimes = [
        text("assistantId", &columns.assistant_id),
        text("providerId", &columns.provider_id),
        text("serviceRequestId", &columns.service_request_id),
        text("correlationId", &columns.correlation_id),
        text("phone", &columns.customer_digits),
        text("phone", &columns.provider_digits),
    ];
    let all: BTreeSet<String> = always
        .map(|(column, value)| mark(column, &[value]))
        .into_iter()
        .chain(sometimes.into_iter().flatten())
        .chain(metadata.iter().map(|(key, value)| mark("metadata", &[key, value])))
        .collect();
    Vec::from_iter(all).join(" ")
}

/// What a filter wants of the marks: of each group at least one.
pub(super) fn wanted(filter: &CallFilter) -> Vec<BTreeSet<String>> {
    let columns = [
        ("status", &filter.status),
        ("callStatus", &filter.call_status),
        ("dataStatus", &filter.data_status),
        ("assistantId", &filter.assistant_id),
        ("providerId", &filter.provider_id),
        ("serviceRequestId", &filter.service_request_id),
        ("correlationId", &filter.correlation_id),
        ("phone", &filter.phone),
    ];
    let columns = columns.into_iter().map(|(column, values)| values.iter().map(|value| mark(column, &[value])).collect());
    let metadata = filter.metadata.iter().map(|(key, values)| values.iter().map(|value| mark("metadata", &[key, value])).collect());
    columns.chain(metadata).filter(|group: &BTreeSet<String>| !group.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::{arbitrary::any, prop_assert_eq, proptest};

    use super::{Columns, Millis, SortBy, StoredCall, mark, marks, member, moment, moment_in, moments, read_member, wanted};
    use crate::{
        call::{id::CallId, record::CallRecord},
        store::CallFilter,
    };

    fn call(created_at: i64) -> StoredCall {
        StoredCall {
            id: CallId::parse("call-1").unwrap(),
            record: CallRecord::default(),
            revision: 1,
            version: 1,
            created_at: Millis(created_at),
            updated_at: Millis(20),
            due: None,
            news: 0,
        }
    }

    proptest! {
        #[test]
        fn members_sort_as_moments_do_and_are_read_again(a in any::<i64>(), b in any::<i64>()) {
            let id = CallId::parse("a.call:1").unwrap();
            prop_assert_eq!(member(Millis(a), &id).cmp(&member(Millis(b), &id)), a.cmp(&b));
            prop_assert_eq!(read_member(&member(Millis(a), &id)).unwrap(), (Millis(a), id));
        }

        #[test]
        fn values_are_told_apart(a in ".{0,3}", b in ".{0,3}", c in ".{0,3}", d in ".{0,3}") {
            prop_assert_eq!(mark("x", &[&a, &b]) == mark("x", &[&c, &d]), a == c && b == d);
        }
    }

    #[test]
    fn what_is_no_member_is_an_error() {
        for broken in ["", "short", "0123456789abcdef", "0123456789abcdex call", "ü123456789abcdef"] {
            assert!(read_member(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_live_call_has_no_end() {
        let live = moments(&call(10), &Columns::default());
        assert_eq!(moment_in(&live, SortBy::CreatedAt), Some(moment(Millis(10)).as_str()));
        assert_eq!(moment_in(&live, SortBy::UpdatedAt), Some(moment(Millis(20)).as_str()));
        assert_eq!(moment_in(&live, SortBy::EndedAt), None);
        assert!(live.ends_with(&moment(Millis(10))));
        let over = moments(&call(10), &Columns { ended_at: Some(Millis(30)), ..Columns::default() });
        assert!(over.ends_with(&moment(Millis(30)).repeat(2)));
    }

    #[test]
    fn what_a_filter_wants_is_marked() {
        let columns = Columns {
            status: "completed",
            customer_digits: Some("491".to_owned()),
            provider_digits: Some("492".to_owned()),
            metadata: r#"{"city":"Köln"}"#.to_owned(),
            ..Columns::default()
        };
        let marks = marks(&columns);
        let one = |text: &str| vec![text.to_owned()];
        let has = |filter: &CallFilter| wanted(filter).iter().all(|group| group.iter().any(|mark| marks.contains(mark.as_str())));
        for (filter, expected) in [
            (CallFilter::default(), true),
            (CallFilter { status: vec!["error".to_owned(), "completed".to_owned()], ..CallFilter::default() }, true),
            (CallFilter { phone: one("491"), status: one("completed"), ..CallFilter::default() }, true),
            (CallFilter { phone: one("492"), status: one("error"), ..CallFilter::default() }, false),
            (CallFilter { assistant_id: one("completed"), ..CallFilter::default() }, false),
            (CallFilter { metadata: [("city".to_owned(), one("Köln"))].into(), ..CallFilter::default() }, true),
            (CallFilter { metadata: [("city".to_owned(), Vec::new())].into(), ..CallFilter::default() }, true),
            (CallFilter { metadata: [("cit".to_owned(), one("yKöln"))].into(), ..CallFilter::default() }, false),
        ] {
            assert_eq!(has(&filter), expected, "{filter:?}");
        }
    }
}
