//! Hashes as they come out, and what they mean.

use std::sync::Arc;

use redis::{RedisResult, pipe};

use super::{
    commit::{APP, Meta, Note, Told},
    fault::Fault,
    keys::{key, key_of},
    link::{Kind, Lines},
};
use crate::{
    call::{id::CallId, time::Millis},
    store::{
        Due, Loaded, StoreError, StoredCall, TimelineEntry, UnfoldedEvent,
        pack::Packer,
        rows::{UNFOLDED, call_id},
        tombstone::TombstoneHash,
        vault::Place,
    },
};

/// The fields of a call that make a [`CallRow`].
pub(super) const CALL_FIELDS: [&str; 8] = ["revision", "version", "created", "updated", "kind", "due", "record", "news"];
/// Events, or calls, that are asked for at once.
const CHUNK: usize = 200;

/// A call before its record is unpacked: the values of [`CALL_FIELDS`].
pub(super) type CallRow =
    (Option<u64>, Option<u64>, Option<i64>, Option<i64>, Option<String>, Option<String>, Option<Vec<u8>>, Option<u64>);

/// The call in a row; `None` when there is none.
pub(super) fn unpacked(id: CallId, row: CallRow, packer: &Packer) -> Result<Option<Arc<StoredCall>>, StoreError> {
    let (Some(revision), Some(version), Some(created_at), Some(updated_at), kind, at, Some(record), news) = row else {
        return Ok(None);
    };
    let record = packer.open_json(Place::Record(id.as_str()), &record)?;
    let due = due(kind.as_deref().unwrap_or_default(), at.as_deref().unwrap_or_default());
    let (created_at, updated_at, news) = (Millis(created_at), Millis(updated_at), news.unwrap_or_default());
    Ok(Some(Arc::new(StoredCall { id, record, revision, version, created_at, updated_at, due, news })))
}

fn due(urgency: &str, at: &str) -> Option<Due> {
    let at = Millis(at.parse().ok()?);
    (!urgency.is_empty()).then(|| Due::of_urgency(urgency.parse().unwrap_or(i64::MAX), at))
}

pub(super) async fn load(lines: &Lines, id: &CallId, hash: &TombstoneHash, packer: &Packer) -> Result<Loaded, Fault> {
    let mut words = pipe();
    words.cmd("HMGET").arg(key_of("call", id.as_str())).arg(&CALL_FIELDS[..]);
    words.cmd("ZSCORE").arg(key("tombstones")).arg(&hash[..]);
    let (row, buried): (CallRow, Option<f64>) = lines.all(Kind::Lookup, &words).await?;
    Ok(match unpacked(id.clone(), row, packer)? {
        Some(call) => Loaded::Found(call),
        None if buried.is_some() => Loaded::Deleted,
        None => Loaded::Missing,
    })
}

/// The calls of these ids that are there, in the same order.
pub(super) async fn load_all(lines: &Lines, ids: &[CallId], packer: &Packer) -> Result<Vec<Arc<StoredCall>>, Fault> {
    let mut calls = Vec::with_capacity(ids.len());
    for ids in ids.chunks(CHUNK) {
        let mut words = pipe();
        for id in ids {
            words.cmd("HMGET").arg(key_of("call", id.as_str())).arg(&CALL_FIELDS[..]);
        }
        let rows: Vec<CallRow> = lines.all(Kind::Scan, &words).await?;
        for (id, row) in ids.iter().zip(rows) {
            calls.extend(unpacked(id.clone(), row, packer)?);
        }
    }
    Ok(calls)
}

/// An event before it is unpacked: meta, told, source, at, seq, folded, perhaps its body; and its repeats.
type EventRow = ((Option<String>, Option<String>, Option<String>, Option<i64>, Option<u64>, Option<u8>, Option<Vec<u8>>), Vec<String>);

/// Everything that happened to a call, in order of time.
pub(super) async fn timeline(lines: &Lines, id: &CallId, bodies: bool, packer: &Packer) -> Result<Vec<TimelineEntry>, Fault> {
    let events: Vec<String> = lines.one(Kind::Lookup, redis::cmd("ZRANGE").arg(key_of("events", id.as_str())).arg(0).arg(-1)).await?;
    told_events(lines, &events, Some(id.as_str()), bodies, packer).await
}

/// What is told of these events about this call, in order of time.
pub(super) async fn told_events(
    lines: &Lines,
    events: &[String],
    call: Option<&str>,
    bodies: bool,
    packer: &Packer,
) -> Result<Vec<TimelineEntry>, Fault> {
    let fields = ["meta", "told", "source", "at", "seq", "folded", if bodies { "body" } else { "none" }];
    let mut entries = Vec::new();
    for ids in events.chunks(CHUNK) {
        let mut words = pipe();
        for id in ids {
            words.cmd("HMGET").arg(key_of("event", id)).arg(&fields[..]);
            words.cmd("LRANGE").arg(key_of("repeats", id)).arg(0).arg(-1);
        }
        let values: Vec<redis::Value> = lines.all(Kind::Lookup, &words).await?;
        for (id, pair) in ids.iter().zip(values.chunks(2)) {
            let row: EventRow = read(redis::Value::Array(pair.to_vec()))?;
            entries.extend(told(id, call, row, packer)?);
        }
    }
    entries.sort_by_key(|(order, _)| *order);
    Ok(entries.into_iter().map(|(_, entry)| entry).collect())
}

fn read<T: redis::FromRedisValue>(value: redis::Value) -> Result<T, Fault> {
    let read: RedisResult<T> = redis::from_redis_value(value).map_err(Into::into);
    Ok(read?)
}

/// What a timeline is sorted by: when, repeats last, in the order of arrival.
type Order = (Millis, bool, u64, usize);

/// An event and its repeats.
fn told(id: &str, call: Option<&str>, row: EventRow, packer: &Packer) -> Result<Vec<(Order, TimelineEntry)>, StoreError> {
    let ((Some(meta), Some(told), Some(source), Some(at), Some(seq), folded, body), repeats) = row else { return Ok(Vec::new()) };
    let (meta, told): (Meta, Told) = (json(&meta)?, json(&told)?);
    let body = body.map(|packed| packer.open_text(Place::Body { call, event: id }, &packed)).transpose()?;
    let first = TimelineEntry {
        at: Millis(at),
        kind: meta.kind,
        source,
        event_id: id.to_owned(),
        sent_at: meta.sent_at,
        proof: meta.proof,
        duplicate: false,
        changed: told.changed,
        version: told.version,
        details: told.details,
        folded: folded != Some(0),
        body,
    };
    let again = |note: Note| TimelineEntry {
        at: note.at,
        sent_at: note.sent_at,
        proof: note.proof,
        duplicate: true,
        changed: Vec::new(),
        version: None,
        details: None,
        body: None,
        ..first.clone()
    };
    let repeats = repeats.iter().map(|note| json(note).map(again)).collect::<Result<Vec<_>, _>>()?;
    let all = [first].into_iter().chain(repeats).enumerate();
    Ok(all.map(|(number, entry)| ((entry.at, entry.duplicate, seq, number), entry)).collect())
}

fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Unavailable(format!("a stored event can't be read: {error}")))
}

/// App, call, source, at, body of an unread event.
type UnreadRow = (Option<String>, Option<String>, Option<String>, Option<i64>, Option<Vec<u8>>);

/// Events that another release could not read.
pub(super) async fn unfolded(lines: &Lines, packer: &Packer) -> Result<Vec<UnfoldedEvent>, Fault> {
    let ids: Vec<String> = lines.one(Kind::Scan, redis::cmd("ZRANGE").arg(key("unfolded")).arg(0).arg(-1)).await?;
    let mut unread = Vec::new();
    for ids in ids.chunks(CHUNK) {
        let mut words = pipe();
        for id in ids {
            words.cmd("HMGET").arg(key_of("event", id)).arg(&["app", "call", "source", "at", "body"][..]);
        }
        let rows: Vec<UnreadRow> = lines.all(Kind::Scan, &words).await?;
        for (id, row) in ids.iter().zip(rows) {
            let (Some(app), Some(call), Some(source), Some(at), Some(body)) = row else { continue };
            if app == APP {
                continue;
            }
            let call = Some(call.as_str()).filter(|call| !call.is_empty());
            let body = packer.open(Place::Body { call, event: id }, &body)?;
            let call_id = call.map(call_id).transpose()?;
            unread.push(UnfoldedEvent { id: id.clone(), call_id, source, received_at: Millis(at), body });
        }
        if unread.len() >= UNFOLDED {
            unread.truncate(UNFOLDED);
            break;
        }
    }
    Ok(unread)
}
