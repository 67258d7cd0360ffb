//! Deliveries: hashes and what they mean, what is leased, how tries ended.

use redis::{cmd, pipe};

use super::{
    fault::Fault,
    keys::{key, key_of},
    link::{Kind, Lines},
    scripts::{Scripts, token},
};
use crate::{
    call::{id::CallId, time::Millis},
    store::{
        Attempt, Delivery, DeliveryFilter, DeliveryLease, DeliveryMark, DeliveryPage, DeliveryState, FanOut, Fate, GiveUp,
        LeasedDeliveries, OutgoingEvent, Redelivery, StoreError, outbox::MOST_ATTEMPTS, steps::Steps,
    },
};

/// Deliveries that one script call takes where there may be many, so that others get their turn in between.
pub(super) const STEP: usize = 100;
/// More than this at once is the same as everything, and a number that the scripts can count to.
const MOST: usize = 1_000_000;
/// Fields of a delivery, in the order of [`Row`].
const FIELDS: [&str; 7] = ["target", "event", "state", "tries", "due", "created", "settled"];

/// The values of [`FIELDS`].
type Row = (Option<String>, Option<Vec<u8>>, Option<String>, Option<u32>, Option<String>, Option<i64>, Option<String>);

fn broken() -> StoreError {
    StoreError::Unavailable("a delivery can't be read".to_owned())
}

fn read(row: Row, attempts: &[Vec<u8>]) -> Result<Option<Delivery>, StoreError> {
    let (Some(target), Some(event), Some(state), Some(tries), due, Some(created_at), settled_at) = row else { return Ok(None) };
    let millis = |text: Option<String>| text.and_then(|text| text.parse().ok()).map(Millis);
    let event: OutgoingEvent = serde_json::from_slice(&event).map_err(|_unreadable| broken())?;
    let state = DeliveryState::parse(&state).ok_or_else(broken)?;
    let attempts =
        attempts.iter().map(|it| serde_json::from_slice::<Attempt>(it)).collect::<Result<_, _>>().map_err(|_unreadable| broken())?;
    let (due, settled_at) = (millis(due), millis(settled_at));
    Ok(Some(Delivery { target, event, state, tries, due, created_at: Millis(created_at), settled_at, attempts }))
}

/// The deliveries of these names that are there, in the same order.
async fn load(lines: &Lines, names: &[String]) -> Result<Vec<(String, Delivery)>, Fault> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut words = pipe();
    for name in names {
        words.cmd("HMGET").arg(key_of("delivery", name)).arg(&FIELDS[..]);
        words.cmd("LRANGE").arg(key_of("attempts", name)).arg(0).arg(-1);
    }
    let rows: Vec<redis::Value> = lines.all(Kind::Lookup, &words).await?;
    let mut found = Vec::new();
    for (name, pair) in names.iter().zip(rows.chunks_exact(2)) {
        let row: Row = redis::from_redis_value(pair[0].clone()).map_err(|_unreadable| broken())?;
        let attempts: Vec<Vec<u8>> = redis::from_redis_value(pair[1].clone()).map_err(|_unreadable| broken())?;
        found.extend(read(row, &attempts)?.map(|it| (name.clone(), it)));
    }
    Ok(found)
}

/// Makes deliveries, if fanning out still stands where it did.
pub(super) async fn fan_out(lines: &Lines, scripts: &Scripts, step: &FanOut) -> Result<bool, Fault> {
    let mut call = scripts.fan_out();
    call.arg(token()).arg(step.generation).arg(step.from).arg(step.until).arg(step.at.0).arg(step.deliveries.len());
    for (target, event) in &step.deliveries {
        let json = serde_json::to_vec(event).map_err(|_unreadable| broken())?;
        call.arg(target).arg(&event.id).arg(&event.kind).arg(event.call_id.as_ref().map_or("", CallId::as_str)).arg(json);
    }
    let done: Vec<u8> = lines.run(Kind::Lookup, &call).await?;
    Ok(done == [1])
}

/// Holds what is ready.
pub(super) async fn lease(lines: &Lines, scripts: &Scripts, lease: &DeliveryLease) -> Result<LeasedDeliveries, Fault> {
    let mut call = scripts.take();
    call.arg(token()).arg(lease.now.0).arg(lease.until.0).arg(lease.limit.min(MOST)).arg(lease.per_target.min(MOST)).arg(&lease.except);
    let mut names: Vec<String> = lines.run(Kind::Lookup, &call).await?;
    if names.is_empty() {
        return Err(broken().into());
    }
    let next = names.remove(0).parse().ok().map(Millis);
    Ok(LeasedDeliveries { deliveries: load(lines, &names).await?.into_iter().map(|(_, it)| it).collect(), next })
}

/// Notes what came of tries, each unless the lease was lost; tells which were noted.
pub(super) async fn mark(lines: &Lines, scripts: &Scripts, marks: &[DeliveryMark]) -> Result<Vec<bool>, Fault> {
    if marks.is_empty() {
        return Ok(Vec::new());
    }
    let mut call = scripts.mark();
    call.arg(token()).arg(MOST_ATTEMPTS).arg(marks.len());
    for mark in marks {
        let (fate, due) = match mark.fate {
            Fate::Again(due) => (DeliveryState::Pending.as_str(), due.0.to_string()),
            Fate::Delivered => (DeliveryState::Delivered.as_str(), String::new()),
            Fate::Dead => (DeliveryState::Dead.as_str(), String::new()),
            Fate::Gone => ("gone", String::new()),
        };
        let attempt = mark.attempt.as_ref().map(serde_json::to_vec).transpose().map_err(|_unreadable| broken())?.unwrap_or_default();
        call.arg(&mark.target).arg(&mark.event_id).arg(mark.lease.0).arg(mark.at.0).arg(fate).arg(due).arg(attempt);
    }
    let noted: Vec<u8> = lines.run(Kind::Lookup, &call).await?;
    Ok(noted.into_iter().map(|noted| noted == 1).collect())
}

/// How far the deliveries of these events are, in their order.
pub(super) async fn states(lines: &Lines, target: &str, events: &[String]) -> Result<Vec<Option<DeliveryState>>, Fault> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<Option<String>> = lines.one(Kind::Lookup, cmd("HMGET").arg(key_of("sent", target)).arg(events)).await?;
    let mut words = pipe();
    for name in &names {
        words.cmd("HGET").arg(key_of("delivery", name.as_deref().unwrap_or_default())).arg("state");
    }
    let states: Vec<Option<String>> = lines.all(Kind::Lookup, &words).await?;
    Ok(states.into_iter().map(|state| state.and_then(|state| DeliveryState::parse(&state))).collect())
}

/// Makes deliveries pending again; returns how many.
pub(super) async fn redeliver(lines: &Lines, scripts: &Scripts, (target, now): (&str, Millis), which: &Redelivery) -> Result<usize, Fault> {
    let again = async |arguments: &[String]| -> Result<(usize, String), Fault> {
        let mut call = scripts.again();
        call.arg(token()).arg(target).arg(now.0).arg(arguments);
        lines.run(Kind::Scan, &call).await
    };
    let mut count = 0;
    match which {
        Redelivery::Events(ids) => {
            for some in ids.chunks(STEP) {
                count += again(&[&["events".to_owned()][..], some].concat()).await?.0;
            }
        }
        Redelivery::Since(since, state) => {
            let settled = [DeliveryState::Delivered, DeliveryState::Dead];
            for one in settled.into_iter().filter(|one| state.is_none_or(|state| state == *one)) {
                let mut after = String::new();
                loop {
                    let (some, last) = again(&[one.as_str().to_owned(), since.0.to_string(), after, STEP.to_string()]).await?;
                    count += some;
                    if last.is_empty() {
                        break;
                    }
                    after = last;
                }
            }
        }
    }
    Ok(count)
}

/// The lists that hold what a filter wants, and perhaps more.
fn lists(filter: &DeliveryFilter) -> Vec<String> {
    match (&filter.call, &filter.target) {
        (Some(id), _) => vec![key_of("deliveries:of", id.as_str())],
        (None, Some(target)) => {
            let states = DeliveryState::ALL.into_iter().filter(|one| filter.state.is_none_or(|state| state == *one));
            states.map(|state| key_of(&format!("deliveries:{}", state.as_str()), target)).collect()
        }
        (None, None) => vec![key("deliveries")],
    }
}

/// At most `limit` names in these lists before one, the newest first.
async fn names(lines: &Lines, lists: &[String], before: Option<&String>, limit: usize) -> Result<Vec<String>, Fault> {
    let end = before.map_or_else(|| "+".to_owned(), |name| format!("({name}"));
    let mut words = pipe();
    for list in lists {
        words.add_command(cmd("ZREVRANGEBYLEX")).arg(list).arg(&end).arg("-").arg("LIMIT").arg(0).arg(limit);
    }
    let found: Vec<Vec<String>> = lines.all(Kind::Scan, &words).await?;
    let mut names: Vec<String> = found.into_iter().flatten().collect();
    names.sort_unstable_by(|a, b| b.cmp(a));
    names.truncate(limit);
    Ok(names)
}

/// Deliveries, the newest first.
pub(super) async fn page(lines: &Lines, filter: &DeliveryFilter) -> Result<DeliveryPage, Fault> {
    let (lists, limit) = (lists(filter), filter.limit.min(MOST));
    let mut before = filter.cursor.map(|place| format!("{place:016}"));
    let mut rows: Vec<(String, Delivery)> = Vec::new();
    while rows.len() <= limit {
        let some = names(lines, &lists, before.as_ref(), STEP.min(limit + 1)).await?;
        if some.is_empty() {
            break;
        }
        let wanted = |it: &Delivery| {
            filter.state.is_none_or(|state| it.state == state) && filter.target.as_ref().is_none_or(|target| it.target == *target)
        };
        rows.extend(load(lines, &some).await?.into_iter().filter(|(_, it)| wanted(it)));
        before = some.into_iter().next_back();
    }
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).and_then(|(name, _)| name.parse().ok());
    Ok(DeliveryPage { deliveries: rows.into_iter().map(|(_, it)| it).collect(), next })
}

/// Gives up pending deliveries; returns how many.
pub(super) async fn give_up(lines: &Lines, scripts: &Scripts, give_up: &GiveUp) -> Result<usize, Fault> {
    let GiveUp { target, before, note, limit } = give_up;
    let json = serde_json::to_vec(note).map_err(|_unreadable| broken())?;
    let mut steps = Steps::of(*limit, STEP);
    while let Some(step) = steps.next() {
        let mut call = scripts.give_up();
        call.arg(token()).arg(target).arg(before.0).arg(note.at.0).arg(&json[..]).arg(MOST_ATTEMPTS).arg(step);
        let went: Vec<usize> = lines.run(Kind::Scan, &call).await?;
        steps.took(went.first().copied().unwrap_or_default());
    }
    Ok(steps.taken())
}

/// Drops at most `limit` deliveries that were settled before a moment; returns how many went.
pub(super) async fn forget(lines: &Lines, scripts: &Scripts, before: Millis, limit: usize) -> Result<usize, Fault> {
    let mut steps = Steps::of(limit, STEP);
    while let Some(step) = steps.next() {
        let mut call = scripts.forget_deliveries();
        call.arg(before.0).arg(step);
        steps.took(lines.run(Kind::Scan, &call).await?);
    }
    Ok(steps.taken())
}
