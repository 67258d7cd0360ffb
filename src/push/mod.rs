//! Tells those who asked to be told: subscriptions, and whoever waits for one call.
//!
//! Wanted:
//! - What was committed is told at least once, whoever is killed between any two steps; what was not committed is never told.
//! - In order within one call; a target that is stuck delays only itself, and callbacks to a host that is stuck only each other.
//! - Several instances share the work, and each try is made by one.
//! - A target never gets news from before it was made.
//! - Whatever an address given over the API leads to, nothing private is reached; no secret is shown or logged.
//!
//! Design: the commit of a call writes its news into the log. *Fanning out* (`fan`) reads the log in order and makes deliveries, and notes in
//! the same transaction how far it came. The *dispatcher* (`dispatch`) leases deliveries that are due, makes one try of each, and notes what
//! came of it. All state is the store's; memory only remembers subscriptions by their generation, and which targets were slow to answer.
//!
//! Races, by name:
//! - *A subscription changes while the log is fanned out*: the step names the generation it saw, and is not taken if that has changed.
//! - *Somebody begins to wait for a call while the log is fanned out*: whether anybody waits is asked after the log was read, and they wait
//!   before their call can be done.
//! - *Two instances fan out at once*: the step names where it began; one of the two is not taken.
//! - *Killed during a try*: the lease runs out, and the try is made again.
//! - *A subscription is paused while a try is on its way*: that try counts; later ones wait.
//! - *Killed while a subscription is switched off*: it is switched off and told of in one commit; the delivery that was answered 410 is leased
//!   again, found to be for a subscription that is off, and given up.
//!
//! | Module | What it does |
//! |---|---|
//! | [`subscriptions`] | makes, changes, shows subscriptions |
//! | `once` | the same request again makes no second one |
//! | [`draft`], `input` | checks what somebody sent |
//! | [`reach`] | what addresses they may name |
//! | [`callback`] | whoever waits for one call |
//! | [`target`] | what is stored of both |
//! | `fan` | from the log to deliveries |
//! | `dispatch`, `lanes` | takes deliveries that are due, a few for each target or host |
//! | `attempt` | makes one try |
//! | `collected` | what a paused subscription collects is given up one day |
//! | [`again`] | what is to be sent again |
//! | `resume` | wakes a paused execution |
//! | `schedule` | when it is tried again |

pub mod again;
mod attempt;
pub mod callback;
mod collected;
mod dispatch;
pub mod draft;
mod fan;
mod input;
mod lanes;
mod once;
pub mod reach;
mod resume;
mod schedule;
pub mod subscriptions;
pub mod target;

use std::sync::{Arc, Mutex, atomic::AtomicBool};

use moka::sync::Cache;
use tokio::sync::Notify;

use self::fan::Known;
pub use self::{
    again::{Again, Redelivered},
    attempt::Tested,
    callback::Callback,
    draft::Draft,
    once::Once,
    reach::Reach,
    subscriptions::Named,
    subscriptions::Refusal,
};
use crate::{
    clock::Clock, kestra::Kestra, lifecycle::Lifecycle, outbound::Outbound, registry::Registry, store::StoreError, telemetry::Metrics,
};

/// Callbacks whose host is remembered.
const MOST_HOSTS: u64 = 20_000;

/// Tells those who asked. A clone is cheap.
#[derive(Clone)]
pub struct Push(Arc<Inner>);

struct Inner {
    parts: Parts,
    /// A subscription was made or changed here.
    subscribed: Notify,
    /// A delivery may be due.
    due: Notify,
    known: Mutex<Arc<Known>>,
    /// Lanes of callbacks, by their ids: what stands here never changes.
    hosts: Cache<String, Arc<str>>,
    /// Kestra was found to speak as its second generation does.
    kestra_is_second: AtomicBool,
}

/// What it takes.
pub struct Parts {
    /// Reaches them.
    pub outbound: Outbound,
    /// What there is to tell.
    pub registry: Registry,
    /// What time it is.
    pub clock: Clock,
    /// Counts tries.
    pub metrics: Metrics,
    /// The Kestra whose executions are resumed.
    pub kestra: Option<Kestra>,
    /// Milliseconds for which a paused subscription collects; `None`: for good.
    pub kept_ms: Option<i64>,
}

impl Push {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let (subscribed, due, known) = (Notify::new(), Notify::new(), Mutex::default());
        Self(Arc::new(Inner { parts, subscribed, due, known, hosts: Cache::new(MOST_HOSTS), kestra_is_second: AtomicBool::new(false) }))
    }

    /// Works until `lifecycle` stops it; tries on their way are waited for.
    pub async fn run(self, lifecycle: Lifecycle) {
        tokio::select! {
            () = self.0.parts.registry.store().opened() => {}
            () = lifecycle.soft_stopped() => return,
        }
        tokio::join!(
            fan::fan_out(self.clone(), lifecycle.clone()),
            collected::give_up(self.clone(), lifecycle.clone()),
            dispatch::dispatch(self, lifecycle)
        );
    }

    /// Makes the deliveries there are to make, and every try that is due now; returns how many tries. What `run` does, without its waiting.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked.
    pub async fn step(&self) -> Result<usize, StoreError> {
        self.fan_out_all(|| false).await?;
        self.dispatch_due().await
    }

    /// A target is new, or is not as it was.
    fn changed(&self) {
        self.0.subscribed.notify_one();
        self.0.due.notify_one();
    }
}
