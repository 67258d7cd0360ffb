//! Connections: each carries many requests at once, is made when it is first needed, and anew when it was lost.
//!
//! Everything that is asked may be asked twice: reading changes nothing, and a script that writes knows the token of what it did already.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use redis::{
    Cmd, FromRedisValue, Pipeline, RedisResult, ScriptInvocation,
    aio::{MultiplexedConnection, PubSub},
};
use tokio::{
    sync::{Mutex, Notify},
    time::{sleep, timeout},
};

use super::{
    fault::Fault,
    options::{CONNECT_TIMEOUT, Door},
};

/// A connection.
pub(super) type Db = MultiplexedConnection;

/// How long an answer is waited for. HTTP says that the store is down after 5 s.
pub(super) const PATIENCE: Duration = Duration::from_millis(4_500);
/// How often something is tried whose connection was lost.
const TRIES: u32 = 4;
/// Wait before it is tried again; it grows with each try.
const PAUSE: Duration = Duration::from_millis(10);

/// Opens connections.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) door: Door,
    /// Told when a connection was lost.
    pub(super) trouble: Arc<Notify>,
}

impl Link {
    /// A new connection.
    pub(super) async fn open(&self) -> Result<Db, Fault> {
        let open = async {
            let mut db = self.door.client.get_multiplexed_async_connection_with_config(&Door::config()).await?;
            self.door.enter(&mut db).await?;
            Ok(db)
        };
        timeout(CONNECT_TIMEOUT, open).await.unwrap_or_else(|_elapsed| Err(Fault::late(CONNECT_TIMEOUT)))
    }

    /// A new connection that hears what is told on a channel.
    pub(super) async fn listen(&self, channel: &str) -> Result<PubSub, Fault> {
        let open = async {
            let mut news = self.door.listener.get_async_pubsub().await?;
            news.subscribe(channel).await?;
            Ok(news)
        };
        timeout(CONNECT_TIMEOUT, open).await.unwrap_or_else(|_elapsed| Err(Fault::late(CONNECT_TIMEOUT)))
    }
}

/// One connection, held for as long as it works.
#[derive(Debug)]
pub(super) struct Line {
    link: Arc<Link>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    db: Option<Db>,
    /// How many there were before.
    number: usize,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Held({})", self.number)
    }
}

impl Line {
    pub(super) fn new(link: &Arc<Link>) -> Self {
        Self { link: Arc::clone(link), held: Mutex::default() }
    }

    /// Asks something; on a new connection if one was lost.
    pub(super) async fn ask<T, F>(&self, patience: Duration, question: impl Fn(Db) -> F) -> Result<T, Fault>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let outcome = timeout(patience, self.attempts(question)).await;
        match outcome {
            Ok(outcome) => outcome,
            Err(_elapsed) => {
                // A connection that answers nothing is of no use to anybody.
                if let Ok(mut held) = self.held.try_lock() {
                    held.db = None;
                }
                self.link.trouble.notify_one();
                Err(Fault::late(patience))
            }
        }
    }

    async fn attempts<T, F>(&self, question: impl Fn(Db) -> F) -> Result<T, Fault>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let mut tried = 1;
        loop {
            let fault = match self.attempt(&question).await {
                Err(fault @ Fault::Lost(_)) => fault,
                outcome => return outcome,
            };
            self.link.trouble.notify_one();
            if tried == TRIES {
                return Err(fault);
            }
            sleep(PAUSE * tried).await;
            tried += 1;
        }
    }

    async fn attempt<T, F>(&self, question: impl Fn(Db) -> F) -> Result<T, Fault>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let (db, number) = self.connection().await?;
        let outcome = question(db).await.map_err(Fault::from);
        if let Err(Fault::Lost(_)) = outcome {
            let mut held = self.held.lock().await;
            if held.number == number {
                held.db = None;
            }
        }
        outcome
    }

    /// The connection and its number. Who comes while it is being made waits for it.
    async fn connection(&self) -> Result<(Db, usize), Fault> {
        let mut held = self.held.lock().await;
        let number = held.number;
        if let Some(db) = &held.db {
            return Ok((db.clone(), number));
        }
        // On the heap: it is rare and large, and would be part of whatever asks something.
        let db = Box::pin(self.link.open()).await?;
        *held = Held { db: Some(db.clone()), number: number + 1 };
        Ok((db, number + 1))
    }
}

/// The connections that read, and do what is written besides commits.
#[derive(Debug)]
pub(super) struct Lines {
    lines: Vec<Line>,
    next: AtomicUsize,
}

/// How soon the answer is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One call: webhooks wait for it.
    Lookup,
    /// Perhaps everything. Keeps to a connection of its own where there are two, so that lookups don't stand behind long answers.
    Scan,
}

impl Lines {
    /// At most `size` connections, at least one.
    pub(super) fn new(link: &Arc<Link>, size: usize) -> Self {
        Self { lines: (0..size.max(1)).map(|_| Line::new(link)).collect(), next: AtomicUsize::new(0) }
    }

    pub(super) fn line(&self, kind: Kind) -> &Line {
        let last = self.lines.len() - 1;
        match kind {
            Kind::Scan => &self.lines[last],
            Kind::Lookup => &self.lines[self.next.fetch_add(1, Ordering::Relaxed) % last.max(1)],
        }
    }

    /// Asks something that is needed soon, or that may take longer.
    pub(super) async fn ask<T, F>(&self, kind: Kind, question: impl Fn(Db) -> F) -> Result<T, Fault>
    where
        F: Future<Output = RedisResult<T>>,
    {
        self.line(kind).ask(PATIENCE, question).await
    }

    /// Runs a script.
    pub(super) fn run<T: FromRedisValue>(&self, kind: Kind, call: &ScriptInvocation<'_>) -> impl Future<Output = Result<T, Fault>> {
        self.ask(kind, move |mut db| async move { call.invoke_async(&mut db).await })
    }

    /// Asks several things at once.
    pub(super) fn all<T: FromRedisValue>(&self, kind: Kind, words: &Pipeline) -> impl Future<Output = Result<T, Fault>> {
        self.ask(kind, move |mut db| async move { words.query_async(&mut db).await })
    }

    /// Asks one thing.
    pub(super) fn one<T: FromRedisValue>(&self, kind: Kind, words: &Cmd) -> impl Future<Output = Result<T, Fault>> {
        self.ask(kind, move |mut db| async move { words.query_async(&mut db).await })
    }
}
