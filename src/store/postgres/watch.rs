//! The task that keeps an eye on the database: it opens the store, notices when it goes and comes back, and listens to what other instances do.
//!
//! Signals are hints that make others look sooner; the store has the truth. Each write notes the server's time beside the record; after a
//! pause in listening, everything that was written since, and a little before, is signalled again.
//!
//! Races, by name:
//! - *A transaction notes its time and commits later*: the overlap is longer than transactions may last.
//! - *The connection is dead and nobody noticed*: it is tried every few seconds, so signals are missed for as long at most.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at};
use tracing::info;

use super::{
    Shared,
    condition::State,
    fault::Fault,
    link::{Db, News},
    signal::{CHANNEL, Heard, probe, read},
    step::{Step, Value},
};
use crate::store::{Signal, rows::call_id};

/// How often a connection that hears signals is tried.
const PING_EVERY: Duration = Duration::from_secs(2);
/// How often the store is asked for changes where signals don't come through: a waiter is woken within a second.
const POLL_EVERY: Duration = Duration::from_millis(400);
/// An answer to this takes no longer, or the connection is dead.
const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// A signal takes no longer from one connection to another, or none come through.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// How far back changes are asked for, in milliseconds: longer than a transaction lasts.
const OVERLAP: i64 = 8_000;
/// More changes than this at once are not told one by one.
const MOST_MISSED: i64 = 10_000;
/// Waits between tries to reach a database that is down: the first, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// A few failed tries may be bad luck; after so many the database counts as down, and whoever asks is told at once.
const FAILURES: u32 = 3;

/// The time, and what tells one store from another.
const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint, \
    (SELECT value FROM ringback.meta WHERE key = 'tombstone_key'), (SELECT value FROM ringback.meta WHERE key = 'data_keys')";
const TOUCHED: &str = "SELECT id, revision FROM ringback.calls WHERE touched_at >= $1 ORDER BY touched_at LIMIT $2";
const ERASED: &str = "SELECT hash FROM ringback.tombstones WHERE touched_at >= $1 LIMIT $2";

/// Where listening stopped.
#[derive(Default)]
struct Place {
    /// The server's time when all was well, in epoch milliseconds.
    until: Option<i64>,
    /// What was told of the time since, and a little before: calls and their revisions, and the hashes of erased ones.
    told: HashMap<String, i64>,
    erased: HashSet<Vec<u8>>,
}

/// Works until the store is closed.
pub(super) async fn run(shared: Arc<Shared>) {
    let (mut place, mut failures) = (Place::default(), 0);
    loop {
        let outcome = tokio::select! {
            () = shared.closing.cancelled() => return,
            outcome = attend(&shared, &mut place) => outcome,
        };
        shared.hear(false);
        failures = match outcome {
            Ok(()) => 0,
            // Nobody told of the pooler: now that it is known, it is no trouble.
            Err(Fault::Pooled(_)) if !shared.link.is_pooled() => {
                shared.link.found_pooled();
                0
            }
            Err(fault) => {
                failures += 1;
                report(&shared, fault, failures);
                failures
            }
        };
        let pause = RETRY.1.min(RETRY.0 * 2_u32.saturating_pow(failures));
        tokio::select! {
            () = shared.closing.cancelled() => return,
            () = sleep(pause) => {}
        }
    }
}

fn report(shared: &Shared, fault: Fault, failures: u32) {
    let is_first = shared.condition.is_opening();
    match fault {
        Fault::Unusable(why) => shared.condition.set(State::Unusable(why)),
        Fault::Behind(why) => shared.condition.set(State::Behind(why)),
        Fault::Lost(why) | Fault::Again(why) | Fault::Slow(why) | Fault::Refused(why) | Fault::Pooled(why)
            if is_first || failures >= FAILURES =>
        {
            shared.condition.set(State::Down(why));
        }
        _ => {}
    }
}

/// Holds a connection and listens, until the connection is lost.
async fn attend(shared: &Shared, place: &mut Place) -> Result<(), Fault> {
    let (db, mut news) = shared.link.open_to_listen().await?;
    shared.prepare(&db).await?;
    let listens = !shared.link.is_pooled() && listen(shared, &db, &mut news).await?;
    if place.until.is_none() {
        place.until = Some(now(shared, &db).await?);
    } else {
        catch_up(shared, &db, place).await?;
    }
    shared.hear(listens);
    shared.condition.set(State::Open);
    if !listens {
        info!(every = ?POLL_EVERY, "Notifications don't come through, as is usual over a transaction pooler; the database is asked for changes instead");
    }
    let mut ticks = interval(if listens { PING_EVERY } else { POLL_EVERY });
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            text = news.recv() => {
                let Some(text) = text else { return Ok(()) };
                tell(shared, &text);
                continue;
            }
            _ = ticks.tick() => {}
            () = shared.trouble.notified() => {}
        }
        let looked = timeout(PING_TIMEOUT, async {
            if listens {
                place.until = Some(now(shared, &db).await?);
                place.told.clear();
                Ok(())
            } else {
                catch_up(shared, &db, place).await
            }
        });
        if !matches!(looked.await, Ok(Ok(()))) {
            return Ok(());
        }
    }
}

/// Listens; tells whether signals come through.
async fn listen(shared: &Shared, db: &Db, news: &mut News) -> Result<bool, Fault> {
    db.simple(&format!("LISTEN {CHANNEL}")).await?;
    let word = uuid::Uuid::new_v4().to_string();
    let text = probe(&word);
    let values = vec![Value::text(CHANNEL), Value::text(&text)];
    shared.link.open().await?.query(&Step::once("SELECT pg_notify($1, $2)".to_owned(), values)).await?;
    let deadline = Instant::now() + PROBE_TIMEOUT;
    while let Ok(Some(text)) = timeout_at(deadline, news.recv()).await {
        if read(&text).contains(&Heard::Probe(word.clone())) {
            return Ok(true);
        }
        tell(shared, &text);
    }
    Ok(false)
}

fn tell(shared: &Shared, text: &str) {
    for heard in read(text) {
        if let Heard::Signal(signal) = heard {
            shared.tell(signal);
        }
    }
}

/// The server's time. Fails when the store is another one than before, or its keys are others: then it is prepared anew.
async fn now(shared: &Shared, db: &Db) -> Result<i64, Fault> {
    let row = db.query_one(&Step::new(NOW, Vec::new())).await?;
    let (key, ring): (Option<&[u8]>, Option<&[u8]>) = (row.try_get(1)?, row.try_get(2)?);
    let is_known = shared.known().is_some_and(|known| key == Some(&known.tombstones.as_bytes()[..]));
    if !is_known || shared.ring.lock().unwrap_or_else(PoisonError::into_inner).as_deref() != ring {
        return Err(Fault::Lost("the store is not the one that it was".to_owned()));
    }
    Ok(row.try_get(0)?)
}

/// Tells everything that was written since the store was last heard.
async fn catch_up(shared: &Shared, db: &Db, place: &mut Place) -> Result<(), Fault> {
    let now = now(shared, db).await?;
    let since = place.until.unwrap_or(now) - OVERLAP;
    let values = || vec![Value::whole(since), Value::whole(MOST_MISSED)];
    let steps = [Step::new(TOUCHED, values()), Step::new(ERASED, values())];
    let mut answers = db.pipeline(None, &steps, None).await?.into_iter();
    let (touched, erased) = (answers.next().unwrap_or_default(), answers.next().unwrap_or_default());
    let erased = erased.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<HashSet<Vec<u8>>, Fault>>()?;
    // Of an erased call nothing is left but a hash, so nobody can be told which it was.
    if !erased.is_subset(&place.erased) || i64::try_from(touched.len()).unwrap_or(i64::MAX) == MOST_MISSED {
        shared.tell(Signal::Missed);
    }
    let mut told = HashMap::with_capacity(touched.len());
    for row in &touched {
        let (id, revision): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        if place.told.get(&id) != Some(&revision)
            && let Ok(id) = call_id(&id)
        {
            shared.tell(Signal::Changed { id, revision: revision.cast_unsigned() });
        }
        told.insert(id, revision);
    }
    *place = Place { until: Some(now), told, erased };
    Ok(())
}
