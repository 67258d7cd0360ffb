//! Placing calls: each one once, whatever happens on the way.
//!
//! Properties wanted:
//! - Vapi is asked at most once for a placing: never again after a timeout, a cut answer, a kill, a repeat.
//! - Whoever asks with the same idempotency key gets the same call, also from another instance, also while the first is on its way.
//! - A call that Vapi made is found, whether or not its answer reached us; and where that can't be, nobody is told otherwise.
//! - Once there is a call, nothing that fails afterwards makes the answer a failure: clients send again after those.
//!
//! Design: a *placing* is a document with an id of its own, committed together with the key and the body's hash before Vapi is asked. The id
//! goes into the call's metadata, so Vapi's list, and every webhook, tell which call it became. While it is being sent the document is due a minute
//! ahead: if nobody has said by then what came of it, whoever leases it takes the outcome for unknown, and looks for the call.
//!
//! Races, by name:
//! - *Two requests with one key*: the documents are written together by compare-and-set; who loses follows the winner.
//! - *The process dies while sending*: see above. A placing is never sent again; in doubt it ends as *lost*.
//! - *The process dies before whoever is told was written down*: nothing was sent, and the placing is found to be refused.
//! - *The process stands still while sending*, for minutes, and another one takes the outcome for unknown: what was not begun within half a minute is
//!   not sent any more. If others were told that the placing is open, it ends as lost for them, and its key is free again.
//! - *Placing crashes*: what was written down may have been sent, so its outcome is unknown.
//! - *The client hangs up*: the work runs on a task of its own.
//! - *The store fails after the call was made*: the answer is 201 all the same; the document stays due, and the search finds the call and notes it.
//! - *The process dies before the placing says which call it became*: that is written after the answer, for the call's record names its placing: the
//!   search begins there.
//! - *The search finds a call while its answer arrives after all*: both note the same call, under the same event id.
//! - *The call is erased*: its placing goes with it and leaves a tombstone, so that a repeat of the request places nothing anew.
//! - *A lost call turns up later*: it has a record under its own id; the placing stays lost, for `done` never goes back.
//!
//! | Module | What it does |
//! |---|---|
//! | [`writer`] | writes what Vapi is asked for |
//! | [`asked`] | reads what somebody sent |
//! | `admit` | may this be placed at all? |
//! | [`batches`] | works through calls that are placed together |
//! | `flow` | has Kestra place calls, and looks how its flow does |
//! | `late` | takes back what was written too late |
//! | `listing` | reads Vapi's list where such calls can stand |
//! | `memory` | how long a key means the same order |
//! | `order` | what is ordered, and what becomes of it |
//! | `placing` | the documents |
//! | `promise` | who is told when the call is done |
//! | `send` | asks Vapi, and notes what came of it |
//! | `search` | looks for calls whose answer was lost |
//! | `standing` | what an id names |

mod admit;
pub mod asked;
pub mod batches;
mod flow;
mod late;
mod listing;
mod memory;
mod order;
mod placing;
mod promise;
mod search;
mod send;
mod standing;
pub mod writer;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use moka::sync::Cache;
use serde_json::Value;
use tokio::time::{Instant, timeout};
use tracing::error;

pub use self::{
    asked::{Asked, CallMethod},
    memory::RESENT_WITHIN,
    order::{DialError, Key, Named, Order, Outcome},
    placing::{OpenPlacing, placed_at},
    writer::{Wanted, Writer},
};
use self::{
    memory::Memory,
    placing::{BEGUN_WITHIN, Placing, Remembered, State},
    standing::{Standing, open},
};
pub use crate::call::id::is_placement_id;
use crate::{
    call::{id::CallId, time::Millis},
    clock::Clock,
    config::DialConfig,
    kestra::Kestra,
    lifecycle::Lifecycle,
    push::Push,
    registry::{DueHint, Registry, woken},
    store::{DocumentKind, Loaded, MOST_CONFLICTS, StoreError, document::Read},
    vapi::client::VapiClient,
};

/// A store that takes longer is as good as down, and then nothing is placed.
const STORE_DEADLINE: Duration = Duration::from_secs(5);
/// Placings whose call is remembered.
const MOST_KNOWN: u64 = 20_000;
/// Whoever follows somebody else's placing looks at least this often: another instance wakes nobody here.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Places calls; a cheap handle.
#[derive(Clone)]
pub struct Dialer(Arc<Inner>);

struct Inner {
    parts: Parts,
    /// When calls were placed within the last minute.
    placed: Mutex<VecDeque<Millis>>,
    /// Calls by their placing's id. What stands here never changes.
    known: Cache<String, CallId>,
    /// Leased placings that could not be looked for.
    left: Mutex<BTreeSet<String>>,
    due: DueHint,
}

/// What a dialer is built from.
pub struct Parts {
    /// All the calls, and the documents beside them.
    pub registry: Registry,
    /// Asks Vapi, if there is a key.
    pub client: Option<VapiClient>,
    /// What time it is.
    pub clock: Clock,
    /// Runs and tracks the work.
    pub lifecycle: Lifecycle,
    /// Tells who wants to be told of one call.
    pub push: Push,
    /// Its flow places calls, if there is one.
    pub kestra: Option<Kestra>,
    /// Writes what is asked for.
    pub writer: Writer,
    /// Who may be called.
    pub rules: DialConfig,
    /// Milliseconds for which a placing is kept; `None`: for good.
    pub keep_ms: Option<i64>,
}

impl Dialer {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let (placed, left, due) = (Mutex::default(), Mutex::default(), DueHint::default());
        Self(Arc::new(Inner { parts, placed, known: Cache::new(MOST_KNOWN), left, due }))
    }

    /// Writes assistants.
    #[must_use]
    pub fn writer(&self) -> &Writer {
        &self.0.parts.writer
    }

    /// Places a call, or finds the one that was placed by the same key.
    ///
    /// # Errors
    /// [`DialError`] when it is certain that there is no call.
    pub async fn place(&self, order: Order) -> Result<Outcome, DialError> {
        if self.0.parts.lifecycle.is_stopping() {
            return Err(DialError::Stopping);
        }
        let (dialer, written) = (self.clone(), Arc::new(OnceLock::new()));
        let noted = Arc::clone(&written);
        let work = self.0.parts.lifecycle.spawn_quiet(crate::trace::carried(async move { Box::pin(dialer.settle(order, &noted)).await }));
        work.await.unwrap_or_else(|crash| {
            let placement_id = written.get().map(String::as_str);
            error!(%crash, placement_id, "Placing a call crashed");
            // What was written down may have been sent: it is looked for.
            placement_id.map_or(Err(DialError::Crashed), |id| Ok(Outcome { named: open(id), replayed: false }))
        })
    }

    /// `written`: the id of the placing, from when on it may be sent.
    async fn settle(&self, order: Order, written: &OnceLock<String>) -> Result<Outcome, DialError> {
        let memory = order.key.as_ref().map_or(Memory::KEY, |key| key.memory);
        let answer_id = order.key.as_ref().map(|key| key.answer_id(order.token.as_deref()));
        let mut admitted = false;
        for _ in 0..MOST_CONFLICTS {
            let before = match &answer_id {
                Some(id) => self.answered(id).await?,
                None => None,
            };
            if let Some(before) = &before
                && self.is_taken(&before.says.placement_id, memory).await?
            {
                if before.says.hash != order.hash {
                    return Err(DialError::KeyReused);
                }
                return self.follow(&before.says.placement_id, memory.followed).await;
            }
            if !std::mem::replace(&mut admitted, true) {
                self.admit(&order).await?;
                self.turn(&order).await?;
            }
            let (id, begun) = (placing::new_id(), self.0.parts.clock.now());
            let body = self.body(&order, &id)?;
            let key = answer_id.as_deref().map(|id| (id, before.map(|it| it.document.revision), memory.kept));
            if self.write_down(&id, &order, &body, key).await? {
                let _ = written.set(id.clone());
                self.promise(&id, order.callback).await?;
                if self.0.parts.clock.now().since(begun) > BEGUN_WITHIN {
                    return Err(self.send_no_more(&id).await);
                }
                return match order.method {
                    CallMethod::DirectVapi => self.send(&id, body).await,
                    CallMethod::Kestra => self.start(&id, &body, &order.wanted).await,
                };
            }
        }
        Err(StoreError::contended("the answer to the key").into())
    }

    /// Does this placing speak for its key? One that was refused does not; one that was erased does.
    async fn is_taken(&self, id: &str, memory: Memory) -> Result<bool, StoreError> {
        match self.placing(id).await? {
            Some(placing) => Ok(!placing.says.is_refused() && memory.holds(&placing.says, self.0.parts.clock.now())),
            None => self.is_erased(id).await,
        }
    }

    async fn is_erased(&self, id: &str) -> Result<bool, StoreError> {
        let Ok(id) = CallId::parse(id) else { return Ok(false) };
        Ok(matches!(self.in_time(self.0.parts.registry.store().load(&id)).await?, Loaded::Deleted))
    }

    /// Commits the placing, and the answer to its key; tells whether nobody was faster.
    async fn write_down(
        &self,
        id: &str,
        order: &Order,
        body: &Value,
        key: Option<(&str, Option<u64>, Option<i64>)>,
    ) -> Result<bool, DialError> {
        let Parts { clock, keep_ms, .. } = &self.0.parts;
        let now = clock.now();
        let asked = crate::vapi::call::redacted(body.to_string().as_bytes()).unwrap_or_default();
        let (token, called_back, method, sent_at) = (order.token.clone(), order.callback.is_some(), order.method, now);
        let (call_id, refusal, run, known_at) = (None, None, None, None);
        let new = Placing { state: State::Sending, token, asked, called_back, call_id, refusal, method, run, sent_at, known_at, looks: 0 };
        // As long as the key is remembered it must mean something.
        let keep = match key {
            Some((.., kept)) => keep_ms.and_then(|keep| kept.map(|kept| kept.max(keep))),
            None => *keep_ms,
        };
        let mut writes = vec![placing::placing(id, &new, keep)];
        if let Some((answer_id, before, kept)) = key {
            let says = Remembered::of(&order.hash, id);
            writes.push(placing::remembered(answer_id, &says, before, (now, kept)));
        }
        let written = id.to_owned();
        let take_back = move |dialer: Self| {
            let id = written.clone();
            async move { dialer.never_sent(&id).await }
        };
        Ok(self.write_or(writes, take_back).await?)
    }

    /// What an order's key stands for by now, if anything was placed by it.
    async fn recalled(&self, order: &Order) -> Result<Option<Named>, StoreError> {
        let Some(key) = &order.key else { return Ok(None) };
        let Some(before) = self.answered(&key.answer_id(order.token.as_deref())).await? else { return Ok(None) };
        let id = before.says.placement_id;
        Ok(match self.standing(&id).await? {
            Standing::Call(call) => Some(Named::Call(call)),
            Standing::Sending | Standing::Unknown | Standing::Lost(None) | Standing::Erased => Some(open(&id)),
            Standing::Lost(Some(_)) | Standing::Refused(_) | Standing::Nothing => None,
        })
    }

    /// What came of a placing that somebody else sends, as soon as that is known.
    async fn follow(&self, id: &str, patience: Duration) -> Result<Outcome, DialError> {
        let deadline = Instant::now() + patience;
        let replayed = true;
        loop {
            match self.standing(id).await? {
                Standing::Call(id) => return Ok(Outcome { named: Named::Call(id), replayed }),
                Standing::Refused(refusal) | Standing::Lost(Some(refusal)) => return Err(DialError::Refused(refusal)),
                Standing::Erased => return Ok(Outcome { named: CallId::parse(id).map_or(Named::Nothing, Named::Call), replayed }),
                Standing::Sending if Instant::now() < deadline => self.nap(id, LOOK_AGAIN).await,
                _ => return Ok(Outcome { named: open(id), replayed }),
            }
        }
    }

    /// Waits until something happens to a placing here, or for `at_most`.
    async fn nap(&self, id: &str, at_most: Duration) {
        let ticket = CallId::parse(id).ok().and_then(|id| self.0.parts.registry.waiters().register(&id));
        let _ = timeout(at_most, woken(ticket.as_ref())).await;
    }

    async fn placing(&self, id: &str) -> Result<Option<Read<Placing>>, StoreError> {
        self.document(DocumentKind::Placement, id).await
    }

    async fn answered(&self, id: &str) -> Result<Option<Read<Remembered>>, StoreError> {
        self.document(DocumentKind::Answer, id).await
    }

    async fn document<T>(&self, kind: DocumentKind, id: &str) -> Result<Option<Read<T>>, StoreError>
    where
        T: serde::Serialize + for<'de> serde::Deserialize<'de>,
    {
        let Parts { registry, clock, .. } = &self.0.parts;
        Ok(self.in_time(registry.store().document(kind, id, clock.now())).await?.and_then(Read::of))
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        timeout(STORE_DEADLINE, work).await.unwrap_or_else(|_elapsed| Err(StoreError::late(STORE_DEADLINE)))
    }
}
