//! What the fake Vapi knows and remembers: calls, faults to come, requests taken, webhooks sent.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use reqwest::Client;
use serde_json::Value;
use tokio::{sync::watch, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Options,
    bodies::{self, Stage},
    chance::Chance,
    fault::Faults,
    script::CallScript,
    settings::Settings,
};
use crate::call::time::Millis;

/// A request that the fake Vapi took.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Its method.
    pub method: String,
    /// Its path, without query.
    pub path: String,
    /// Its query, `""` if none.
    pub query: String,
    /// Its body; `null` when it has none or no JSON.
    pub body: Value,
    /// When it came.
    pub at: Millis,
}

/// A webhook that the fake Vapi sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The call it is about.
    pub call_id: String,
    /// Its `message.type`, with the status of status-updates behind a space.
    pub kind: String,
    /// 1 for the first try.
    pub attempt: u32,
    /// The answer's status; `None` when there was none.
    pub status: Option<u16>,
    /// The answer's body, or why there was none.
    pub answer: String,
}

/// News for whoever looks on.
#[derive(Debug, Clone)]
pub enum Progress {
    /// A call is being played.
    Placed {
        /// Its id.
        call_id: String,
        /// What is played.
        scenario: &'static str,
    },
    /// A webhook was sent.
    Delivered(Delivery),
    /// A call is over, all its webhooks sent.
    Played {
        /// Its id.
        call_id: String,
    },
}

/// A call as it is kept.
#[derive(Debug, Clone)]
pub(super) enum Kept {
    /// Answered as it was put.
    Put(Value),
    /// Derived from its script.
    Played {
        script: Box<CallScript>,
        stage: Stage,
        changed_at: Millis,
        /// What `PATCH` set.
        patched: Value,
        play: CancellationToken,
        began: Instant,
    },
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) options: Options,
    pub(super) url: String,
    pub(super) http: Client,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
    pub(super) playing: watch::Sender<usize>,
    links: AtomicU64,
    placed: AtomicU64,
    webhook_url: Mutex<Option<String>>,
    calls: Mutex<BTreeMap<String, Kept>>,
    settings: Mutex<Settings>,
    faults: Mutex<Faults>,
    requests: Mutex<Vec<Request>>,
    deliveries: Mutex<Vec<Delivery>>,
    chance: Mutex<Chance>,
}

impl World {
    pub(super) fn new(options: Options, url: String, http: Client) -> Self {
        Self {
            url,
            http,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            playing: watch::Sender::new(0),
            links: AtomicU64::new(0),
            placed: AtomicU64::new(0),
            webhook_url: Mutex::new(options.webhook_url.clone()),
            calls: Mutex::default(),
            settings: Mutex::new(Settings::sound(options.webhook_url.as_deref())),
            faults: Mutex::default(),
            requests: Mutex::default(),
            deliveries: Mutex::default(),
            chance: Mutex::new(Chance::new(options.seed)),
            options,
        }
    }

    pub(super) fn calls(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        open(&self.calls)
    }

    pub(super) fn settings(&self) -> MutexGuard<'_, Settings> {
        open(&self.settings)
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        open(&self.faults)
    }

    pub(super) fn requests(&self) -> MutexGuard<'_, Vec<Request>> {
        open(&self.requests)
    }

    pub(super) fn deliveries(&self) -> MutexGuard<'_, Vec<Delivery>> {
        open(&self.deliveries)
    }

    pub(super) fn webhook_url(&self) -> MutexGuard<'_, Option<String>> {
        open(&self.webhook_url)
    }

    pub(super) fn chance(&self) -> MutexGuard<'_, Chance> {
        open(&self.chance)
    }

    /// How many calls were placed before this one.
    pub(super) fn count_placed(&self) -> u64 {
        self.placed.fetch_add(1, Ordering::SeqCst)
    }

    /// The call as `GET /call/{id}` tells it now.
    pub(super) fn rest_call(&self, id: &str) -> Option<Value> {
        let kept = self.calls().get(id).cloned()?;
        Some(self.told(kept))
    }

    /// All calls as REST tells them now.
    pub(super) fn rest_calls(&self) -> Vec<Value> {
        let kept: Vec<Kept> = self.calls().values().cloned().collect();
        kept.into_iter().map(|kept| self.told(kept)).collect()
    }

    /// Those that are in the list by now.
    pub(super) fn listed_calls(&self) -> Vec<Value> {
        let mut calls = self.rest_calls();
        let late = i64::try_from(self.options.list_after.as_millis()).unwrap_or(i64::MAX);
        if late > 0 {
            let until = self.options.clock.now().plus(-late);
            calls.retain(|call| call["createdAt"].as_str().and_then(Millis::parse_rfc3339).is_none_or(|made| made <= until));
        }
        calls
    }

    fn told(&self, kept: Kept) -> Value {
        match kept {
            Kept::Put(call) => call,
            Kept::Played { mut script, stage, changed_at, patched, .. } => {
                script.delivery = self.links.fetch_add(1, Ordering::SeqCst);
                let mut call = bodies::rest_call(&script, stage, changed_at);
                for (field, value) in super::script::as_map(patched) {
                    call[field] = value;
                }
                call
            }
        }
    }

    pub(super) fn tell(&self, news: Progress) {
        if let Some(listener) = &self.options.progress {
            // Whoever looked on may have gone.
            let _ = listener.send(news);
        }
    }
}

/// Nothing is half done while one of these is locked, so a panic elsewhere spoils nothing.
fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
