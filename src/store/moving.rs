//! What a store tells and takes so that it can be moved to another engine and rekeyed.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{
    Store, StoreError, TimelineEntry,
    vault::{RING, noted_keys},
};
use crate::call::{event::CallEvent, id::CallId};

/// How soon a running instance on PostgreSQL notes that it encrypts with a key that was thought to be done with: it looks every two seconds.
const NOTED_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked whether one did.
const LOOK_EVERY: Duration = Duration::from_millis(200);

impl Store {
    /// The ids of the keys that are needed beside the newest of ours. On PostgreSQL it is waited until every instance that runs must have noted what it
    /// encrypts with, unless one is found before; elsewhere they do so at their starts only.
    ///
    /// # Errors
    /// [`StoreError`] when the engine can't answer.
    pub async fn older_keys(&self) -> Result<Vec<String>, StoreError> {
        let engine = if let Self::Watched(watched) = self { &watched.engine } else { self };
        let patience = if matches!(engine, Self::Postgres(_)) { NOTED_WITHIN } else { Duration::ZERO };
        let (begin, newest) = (Instant::now(), self.data_key());
        loop {
            let noted = self.note(RING).await?.map(|note| noted_keys(&note)).unwrap_or_default();
            let older: Vec<_> = noted.into_iter().filter(|key| Some(key) != newest.as_ref()).collect();
            if !older.is_empty() || begin.elapsed() >= patience {
                return Ok(older);
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

/// An event from another store, with what came of it there.
#[derive(Debug, Clone)]
pub struct PastEvent {
    /// The event.
    pub event: CallEvent,
    /// What it changed, by the names of `CallResult`.
    pub changed: Vec<String>,
    /// The version it led to.
    pub version: Option<u64>,
}

/// Events that belong to no record.
#[derive(Debug, Clone, Default)]
pub struct Strays {
    /// Each, and its repeats, with its body and the call it is about, if it names one.
    pub events: Vec<(Option<CallId>, TimelineEntry)>,
    /// Where the next ones begin; `None`: there are no more.
    pub next: Option<String>,
}

/// Tombstones.
#[derive(Clone, Default)]
pub struct Graves {
    /// The key of the hashes: 32 random bytes, made with the store.
    pub key: Vec<u8>,
    /// Hashes of the ids of deleted calls, and when they were deleted, in epoch milliseconds.
    pub all: Vec<(Vec<u8>, i64)>,
}

impl Graves {
    /// The hash of this call's id, under this key.
    #[must_use]
    pub fn hash(&self, id: &CallId) -> Vec<u8> {
        let key = self.key.as_slice().try_into().unwrap_or_default();
        super::tombstone::TombstoneKey::from_bytes(key).hash(id).to_vec()
    }
}

impl std::fmt::Debug for Graves {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Graves({})", self.all.len())
    }
}

/// How far bodies were encrypted with the newest key.
#[derive(Debug, Clone, Default)]
pub struct Resealed {
    /// Bodies that were looked at.
    pub seen: usize,
    /// Bodies that were written.
    pub written: usize,
    /// Where the next ones begin; `None`: there are no more.
    pub next: Option<String>,
}

/// What the place of a target begins with.
const TARGET: &str = "target ";
/// What the place of a document begins with.
const DOCUMENT: &str = "document:";

/// Where encrypting goes on: bodies come first, then targets, then documents. As a text it is [`Resealed::next`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ResealStage {
    /// Behind the body at an engine's place, or at the first.
    Bodies(Option<String>),
    /// Behind the target of this id.
    Targets(String),
    /// Behind the document of this kind and id, or this place in its list.
    Documents(String, String),
}

impl ResealStage {
    /// The stage that a place names, or the first one.
    pub(super) fn at(place: Option<String>) -> Self {
        let text = place.as_deref().unwrap_or_default();
        if let Some(id) = text.strip_prefix(TARGET) {
            Self::Targets(id.to_owned())
        } else if let Some((kind, id)) = text.strip_prefix(DOCUMENT).and_then(|rest| rest.split_once(':')) {
            Self::Documents(kind.to_owned(), id.to_owned())
        } else {
            Self::Bodies(place)
        }
    }

    /// The one that comes when this one has nothing left.
    pub(super) fn next(&self) -> Option<Self> {
        match self {
            Self::Bodies(_) => Some(Self::Targets(String::new())),
            Self::Targets(_) => Some(Self::Documents(String::new(), String::new())),
            Self::Documents(..) => None,
        }
    }
}

impl std::fmt::Display for ResealStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bodies(place) => f.write_str(place.as_deref().unwrap_or_default()),
            Self::Targets(id) => write!(f, "{TARGET}{id}"),
            Self::Documents(kind, id) => write!(f, "{DOCUMENT}{kind}:{id}"),
        }
    }
}

/// How much a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amounts {
    /// Calls with a record.
    pub calls: u64,
    /// Events with a body.
    pub bodies: u64,
}

#[cfg(test)]
mod tests {
    use super::ResealStage;

    #[test]
    fn a_place_names_its_stage_and_everything_is_reached_from_the_first() {
        let at = |place: &str| ResealStage::at(Some(place.to_owned()));
        assert_eq!(at("17"), ResealStage::Bodies(Some("17".to_owned())));
        assert_eq!(at("target a b"), ResealStage::Targets("a b".to_owned()));
        assert_eq!(at("document:batch:x:y"), ResealStage::Documents("batch".to_owned(), "x:y".to_owned()));
        for place in ["17", "target a b", "target ", "document:batch:x:y", "document::"] {
            assert_eq!(at(place).to_string(), place);
        }
        let stages = std::iter::successors(Some(ResealStage::at(None)), ResealStage::next);
        assert_eq!(stages.map(|stage| stage.to_string()).collect::<Vec<_>>(), ["", "target ", "document::"]);
    }
}
