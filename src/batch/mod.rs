//! Calls placed together: what is kept of them, and how that looks. Who places them is `dial::batches`.
//!
//! A batch is one document that says how far each of its calls is. What it asks for stands in another one, which goes when the batch is done.
//! The results themselves are those of the calls; only what the statistics need is noted here as well, so that it outlives them.
//!
//! | Module | What it does |
//! |---|---|
//! | [`view`] | a batch as it is shown |
//! | [`extent`] | how much of its calls |
//! | [`letter`] | the event that tells that it is done |

pub mod extent;
pub mod letter;
pub mod view;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    call::{
        id::CallId,
        time::{Millis, SECOND},
    },
    store::{DocumentKind, Store, StoreError, document::Read},
};

/// How an id of a batch is told from others.
const PREFIX: &str = "bt_";
/// Nobody waits longer for a call of a batch: Vapi's longest call lasts half as long.
pub const GIVE_UP: i64 = 24 * 3_600 * SECOND;

/// A new id for a batch.
#[must_use]
pub fn new_id() -> String {
    format!("{PREFIX}{}", uuid::Uuid::now_v7())
}

/// Is this the id of a batch?
#[must_use]
pub fn is_id(id: &str) -> bool {
    id.starts_with(PREFIX) && CallId::parse(id).is_ok()
}

/// Calls placed together, as their document says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// Who wanted it, by the token's name.
    pub token: Option<String>,
    /// So many calls go on at once.
    pub max_concurrent: usize,
    /// Somebody is told when it is done.
    pub called_back: bool,
    /// No more calls are placed.
    #[serde(default)]
    pub canceled: bool,
    /// Calls that go on are hung up.
    #[serde(default)]
    pub hang_up: bool,
    /// Which instance works on it, by a name that lasts as long as its process.
    #[serde(default)]
    pub owner: String,
    /// When everything was done.
    #[serde(default)]
    pub finished_at: Option<Millis>,
    /// Its calls, in the order in which they were asked for.
    pub entries: Vec<Entry>,
}

/// One call of a batch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// The call; or its placing, as long as nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_id: Option<CallId>,
    /// When it was placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placed_at: Option<Millis>,
    /// How often Vapi failed to place it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tries: u32,
    /// What keeps it from being placed or hung up, as long as that is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
}

/// Why something did not come about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// As the code of an answer.
    pub code: String,
    /// In words.
    pub error: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_zero(tries: &u32) -> bool {
    *tries == 0
}

/// How one call of a batch ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "as", rename_all = "snake_case")]
pub enum Ending {
    /// It is done.
    Done {
        /// How it turned out, as `status` of a call.
        status: String,
        /// How long it took, in minutes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        minutes: Option<f64>,
    },
    /// Nobody waits for it any more: see [`GIVE_UP`].
    Overdue,
    /// There is no call, or none any more.
    Failed(Trouble),
    /// It was not placed, because the batch was canceled before.
    Canceled,
}

impl Batch {
    /// Is there nothing left to wait for?
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.finished_at.is_some()
    }
}

/// What a batch asks for.
#[derive(Debug, Serialize, Deserialize)]
pub struct Orders {
    /// Who is told when it is done, as it came.
    pub callback: Option<Box<RawValue>>,
    /// The calls, as they came.
    pub requests: Vec<Box<RawValue>>,
}

/// A batch as it stands; `None` when there is none of this id.
///
/// # Errors
/// [`StoreError`] when the store can't be asked.
pub async fn load(store: &Store, id: &str, now: Millis) -> Result<Option<Read<Batch>>, StoreError> {
    Ok(store.document(DocumentKind::Batch, id, now).await?.and_then(Read::of))
}
