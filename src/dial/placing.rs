//! A placing: that somebody wanted a call, and what became of it. Kept as a document, from before Vapi is asked.

use serde::{Deserialize, Serialize};

use super::CallMethod;
use crate::{
    call::{
        id::{CallId, PLACEMENT_PREFIX},
        time::{Millis, SECOND},
    },
    store::{Document, DocumentKind, DocumentWrite, answer_write, document::written},
    vapi::client::Refusal,
};

/// A placing that is being sent has an outcome by then; if not, whoever sent it is gone, and its outcome is unknown.
pub(super) const SENT_WITHIN: i64 = 60 * SECOND;
/// Whoever has not begun to send it by then does not any more: an answer may take as long again, and others must never take a placing for one that
/// was not sent while it still may be. A process can stand still for any time: it is stopped, or its machine is.
pub(super) const BEGUN_WITHIN: i64 = SENT_WITHIN / 2;

/// A new id for a placing.
pub(super) fn new_id() -> String {
    format!("{PLACEMENT_PREFIX}{}", uuid::Uuid::now_v7())
}

/// When a placing's id was given out.
#[must_use]
pub fn placed_at(id: &str) -> Option<Millis> {
    let (seconds, nanoseconds) = uuid::Uuid::parse_str(id.strip_prefix(PLACEMENT_PREFIX)?).ok()?.get_timestamp()?.to_unix();
    Some(Millis(i64::try_from(seconds).ok()?.saturating_mul(SECOND) + i64::from(nanoseconds / 1_000_000)))
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// Vapi is being asked.
    Sending,
    /// Vapi was asked, and nobody knows what it did.
    Unknown,
    /// There is a call.
    Placed,
    /// There is none.
    Refused,
    /// Nobody will ever know.
    Lost,
}

/// A placing, as its document says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Placing {
    /// What became of it.
    pub(super) state: State,
    /// Who wanted it, by the token's name.
    pub(super) token: Option<String>,
    /// What Vapi was asked for, without secrets; until the call is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) asked: String,
    /// Somebody is told when the call is done.
    #[serde(default)]
    pub(super) called_back: bool,
    /// The call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) call_id: Option<CallId>,
    /// Why there is none. Of a lost one too, if that turned out after its outcome was taken for unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refusal: Option<Refusal>,
    /// Who places it.
    #[serde(default)]
    pub(super) method: CallMethod,
    /// Kestra's execution that places it, as soon as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) run: Option<Run>,
    /// When Vapi was asked.
    pub(super) sent_at: Millis,
    /// When it was known what came of it, even if only that nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) known_at: Option<Millis>,
    /// How often the call was looked for.
    #[serde(default)]
    pub(super) looks: usize,
}

impl Placing {
    /// Is it certain that there is no call?
    pub(super) fn is_refused(&self) -> bool {
        self.refusal.is_some()
    }
}

/// A placing of which nobody knows yet what came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenPlacing {
    /// The id of the event that it will be in the call's record.
    pub event_id: String,
    /// When Vapi was asked.
    pub sent_at: Millis,
    /// What for, without secrets.
    pub asked: String,
    /// Who places it.
    pub method: CallMethod,
    /// Kestra's flow goes on and may still name the call.
    pub goes_on: bool,
    /// How often the call was looked for; `None` while whoever places it is being asked.
    pub looks: Option<usize>,
}

/// An execution of Kestra's that places a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Run {
    /// Its id.
    pub(super) id: String,
    /// How it ended, and when we saw that; it named no call then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) over: Option<(String, Millis)>,
}

/// What was answered to an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Remembered {
    /// Of the body that came with it.
    pub(super) hash: String,
    /// What came of it: a placing, or a batch.
    pub(super) placement_id: String,
}

impl Remembered {
    pub(super) fn of(hash: &str, id: &str) -> Self {
        Self { hash: hash.to_owned(), placement_id: id.to_owned() }
    }
}

/// The write of a new placing, kept for `keep` milliseconds (`None`: for good).
pub(super) fn placing(id: &str, placing: &Placing, keep: Option<i64>) -> DocumentWrite {
    let now = placing.sent_at;
    let document = Document {
        kind: DocumentKind::Placement,
        id: id.to_owned(),
        revision: 1,
        alias: None,
        due: Some(now.plus(SENT_WITHIN)),
        created_at: now,
        expires_at: keep.map(|keep| now.plus(keep)),
        body: written(placing),
    };
    DocumentWrite { document, expected: None }
}

/// The write of what is answered to a key from now on, for so many milliseconds (`None`: for good), over the revision that stands there.
pub(super) fn remembered(id: &str, says: &Remembered, before: Option<u64>, (now, kept): (Millis, Option<i64>)) -> DocumentWrite {
    answer_write((id, None), written(says), before, (now, kept))
}
