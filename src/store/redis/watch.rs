//! The task that keeps an eye on the server: it opens the store, notices when it goes and comes back, and listens to what other instances do.
//!
//! Signals are hints that make others look sooner; the store has the truth. Each has a number; every few seconds everybody tells how many there
//! were. Who finds a gap forgets what it remembers.
//!
//! Races, by name:
//! - *A signal is told while nobody listens*: the first thing that is heard afterwards has a number that does not fit.
//! - *The connection is dead and nobody noticed*: our own word does not come back, so signals are missed for a few seconds at most.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use redis::aio::{PubSub, PubSubStream};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at};
use tracing::info;

use super::{
    Shared,
    fault::Fault,
    keys::key,
    link::Db,
    scripts::token,
    signal::{Count, What, read},
};
use crate::store::{Signal, condition::State};

/// How often a connection that hears signals is tried.
const PING_EVERY: Duration = Duration::from_secs(2);
/// How often the server is asked for changes where signals don't come through: a waiter is woken within a second.
const POLL_EVERY: Duration = Duration::from_millis(400);
/// An answer to this takes no longer, or the connection is dead.
const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// A signal takes no longer from one connection to another, or none come through.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Waits between tries to reach a server that is down: the first, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// A failed try or two may be bad luck; after the third the server counts as down.
const FAILURES: u32 = 3;

/// Works until the store is closed.
pub(super) async fn run(shared: Arc<Shared>) {
    let (mut count, mut failures) = (Count::default(), 0);
    loop {
        let outcome = tokio::select! {
            () = shared.closing.cancelled() => return,
            outcome = attend(&shared, &mut count) => outcome,
        };
        shared.hear(false);
        failures = match outcome {
            Ok(()) => 0,
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
        Fault::Lost(why) | Fault::Refused(why) if is_first || failures >= FAILURES => shared.condition.set(State::Down(why)),
        Fault::Lost(_) | Fault::Refused(_) => {}
    }
}

/// Holds a connection and listens, until the connection is lost.
async fn attend(shared: &Shared, count: &mut Count) -> Result<(), Fault> {
    let mut db = shared.link.open().await?;
    timeout(PING_TIMEOUT, shared.prepare(&mut db)).await.unwrap_or_else(|_elapsed| Err(Fault::late(PING_TIMEOUT)))?;
    let mut ears = Ears::open(shared, &mut db, count).await?;
    shared.hear(ears.listens());
    shared.condition.set(State::Open);
    if !ears.listens() {
        info!(every = ?POLL_EVERY, "Signals don't come through; the server is asked for changes instead");
    }
    let mut ticks = interval(if ears.listens() { PING_EVERY } else { POLL_EVERY });
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let is_trouble = tokio::select! {
            text = ears.next() => {
                let Some(text) = text else { return Ok(()) };
                ears.take(shared, count, &text);
                continue;
            }
            _ = ticks.tick() => false,
            () = shared.link.trouble.notified() => true,
        };
        let looked = timeout(PING_TIMEOUT, async {
            if is_trouble {
                shared.prepare(&mut db).await?;
            }
            ears.try_them(shared, &mut db).await
        });
        match looked.await {
            Ok(Ok(true)) => {}
            Ok(Err(fault)) if is_trouble => return Err(fault),
            _ => return Ok(()),
        }
    }
}

/// What hears signals; or what asks for them where none come through.
enum Ears {
    Listening {
        news: PubSubStream,
        /// A word that has not come back yet.
        word: Option<(String, Instant)>,
    },
    Asking(Option<u64>),
}

impl Ears {
    async fn open(shared: &Shared, db: &mut Db, count: &mut Count) -> Result<Self, Fault> {
        let news = match shared.link.listen(&shared.scripts.channel).await {
            Ok(news) => PubSub::into_on_message(news),
            // Perhaps the user of the URL may not listen.
            Err(Fault::Refused(_) | Fault::Unusable(_)) => return Ok(Self::Asking(None)),
            Err(lost) => return Err(lost),
        };
        let mut ears = Self::Listening { news, word: None };
        if let Err(fault) = ears.try_them(shared, db).await {
            return if let Fault::Lost(_) = fault { Err(fault) } else { Ok(Self::Asking(None)) };
        }
        let deadline = Instant::now() + PROBE_TIMEOUT;
        while let Ok(Some(text)) = timeout_at(deadline, ears.next()).await {
            ears.take(shared, count, &text);
            if let Self::Listening { word: None, .. } = ears {
                return Ok(ears);
            }
        }
        Ok(Self::Asking(None))
    }

    fn listens(&self) -> bool {
        matches!(self, Self::Listening { .. })
    }

    /// The next text; never comes to who asks.
    async fn next(&mut self) -> Option<String> {
        match self {
            Self::Listening { news, .. } => {
                let message = news.next().await?;
                Some(String::from_utf8_lossy(message.get_payload_bytes()).into_owned())
            }
            Self::Asking(_) => std::future::pending().await,
        }
    }

    fn take(&mut self, shared: &Shared, count: &mut Count, text: &str) {
        // A later release may tell what this one does not understand: then anything may have happened.
        let Some(heard) = read(text) else { return shared.tell(Signal::Missed) };
        if count.missed(&heard) {
            shared.tell(Signal::Missed);
        }
        match heard.what {
            What::Signal(signal) => shared.tell(signal),
            What::Probe(said) => {
                if let Self::Listening { word, .. } = self
                    && word.as_ref().is_some_and(|(word, _)| *word == said)
                {
                    *word = None;
                }
            }
        }
    }

    /// Tells a word that has to come back, or asks what happened; false when the last word did not come back.
    async fn try_them(&mut self, shared: &Shared, db: &mut Db) -> Result<bool, Fault> {
        match self {
            Self::Listening { word: Some((_, told)), .. } => Ok(told.elapsed() < PING_TIMEOUT),
            Self::Listening { word, .. } => {
                let said = token();
                *word = Some((said.clone(), Instant::now()));
                let () = shared.scripts.probe().arg(said).invoke_async(db).await?;
                Ok(true)
            }
            Self::Asking(known) => {
                let now: Option<u64> = redis::cmd("GET").arg(key("news")).query_async(db).await?;
                let now = now.unwrap_or_default();
                // Of a pause in asking nobody knows what happened in it.
                if known.replace(now) != Some(now) {
                    shared.tell(Signal::Missed);
                }
                Ok(true)
            }
        }
    }
}
