//! Small things that are kept beside calls: placings, answers given to an idempotency key, batches, how far a sweep came.
//!
//! Properties wanted of every back end:
//! - Several documents are written together or not at all, each by compare-and-set on its revision.
//! - A lease is held by one holder at a time; it ends when it runs out, or with the next write of the document.
//! - A document whose time is over is as good as gone, whether or not it was swept away yet.
//! - Bodies are encrypted where there is a key, bound to kind and id.

use std::collections::HashSet;

use serde::{Serialize, de::DeserializeOwned};

use super::{StoreError, pack::Packer, vault::Place};
use crate::call::time::Millis;

/// What a document is: each kind has ids of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DocumentKind {
    /// A call that somebody wants placed; its id is the placementId.
    Placement,
    /// What was answered to a request that may be sent again; its id is a hash of who sent it and of its key.
    Answer,
    /// Calls placed together, and how far they are.
    Batch,
    /// What a batch asks for, until it is done; its id is the batch's.
    Orders,
    /// How far something came that goes on after a restart.
    Progress,
    /// Somebody who signed in at the dashboard; its id is a hash of what the browser shows.
    Session,
    /// An entry of the audit log.
    Audit,
    /// What is remembered of a token of the API; its id is the token's name.
    Token,
}

impl DocumentKind {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Placement, Self::Answer, Self::Batch, Self::Orders, Self::Progress, Self::Session, Self::Audit, Self::Token];

    /// Its name in stores.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Placement => "placement",
            Self::Answer => "answer",
            Self::Batch => "batch",
            Self::Orders => "orders",
            Self::Progress => "progress",
            Self::Session => "session",
            Self::Audit => "audit",
            Self::Token => "token",
        }
    }
}

/// One document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What it is.
    pub kind: DocumentKind,
    /// Its id.
    pub id: String,
    /// Counts every write.
    pub revision: u64,
    /// Another name it is found by, unique within the kind: of a placing, the call's id.
    pub alias: Option<String>,
    /// When there is something to do for it.
    pub due: Option<Millis>,
    /// When it was first written.
    pub created_at: Millis,
    /// When it is gone; `None`: when somebody drops it.
    pub expires_at: Option<Millis>,
    /// What it says.
    pub body: Vec<u8>,
}

impl Document {
    /// Is its time over?
    pub(super) fn is_over(&self, now: Millis) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// As it is stored: its body packed, and encrypted where there is a key.
    pub(super) fn sealed(self, packer: &Packer) -> Result<Self, StoreError> {
        let body = packer.seal(Place::Document(self.kind.as_str(), &self.id), &self.body)?;
        Ok(Self { body, ..self })
    }

    /// What [`Self::sealed`] made.
    pub(super) fn opened(self, packer: &Packer) -> Result<Self, StoreError> {
        let body = packer.open(Place::Document(self.kind.as_str(), &self.id), &self.body)?;
        Ok(Self { body, ..self })
    }
}

/// A document to write: as it is to stand, its `revision` already counted up, and the revision that has to stand there now (`None`: no such
/// document, or one whose time was over at the moment given to the verb).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentWrite {
    /// As it is to stand.
    pub document: Document,
    /// What has to stand there now.
    pub expected: Option<u64>,
}

/// A document with what it says.
#[derive(Debug, Clone)]
pub struct Read<T> {
    /// The document.
    pub document: Document,
    /// What it says.
    pub says: T,
}

impl<T: Serialize + DeserializeOwned> Read<T> {
    /// Reads a document; `None` when only a later release can.
    #[must_use]
    pub fn of(document: Document) -> Option<Self> {
        let says = serde_json::from_slice(&document.body).ok()?;
        Some(Self { document, says })
    }

    /// The write of what it says now.
    #[must_use]
    pub fn write(mut self) -> DocumentWrite {
        let expected = Some(self.document.revision);
        self.document.revision += 1;
        self.document.body = written(&self.says);
        DocumentWrite { document: self.document, expected }
    }
}

/// The body of a document that says this.
pub fn written(says: &impl Serialize) -> Vec<u8> {
    // Texts, numbers and maps with texts as keys: nothing here can refuse to be written.
    serde_json::to_vec(says).unwrap_or_default()
}

/// What is to be stored: every body packed, and encrypted where there is a key.
pub(super) fn sealed(writes: Vec<DocumentWrite>, packer: &Packer) -> Result<Vec<DocumentWrite>, StoreError> {
    writes.into_iter().map(|write| Ok(DocumentWrite { document: write.document.sealed(packer)?, ..write })).collect()
}

/// What can be read of leased documents. One that can't be must not keep the others from being worked on.
pub(super) fn readable(leased: Vec<Document>, packer: &Packer) -> Vec<Document> {
    let opened = leased.into_iter().map(|document| (document.kind, document.id.clone(), document.opened(packer)));
    let read = opened.filter_map(|(kind, id, opened)| match opened {
        Ok(document) => Some(document),
        Err(error) => {
            tracing::error!(%error, kind = kind.as_str(), id, "a document that is due can't be read");
            None
        }
    });
    read.collect()
}

/// Does each write mean another document, and has each of those an alias of its own? What is not so is never written.
pub(super) fn are_apart(writes: &[DocumentWrite]) -> bool {
    let (mut ids, mut aliases) = (HashSet::new(), HashSet::new());
    writes.iter().map(|write| &write.document).all(|it| {
        let is_free = it.alias.as_ref().is_none_or(|alias| aliases.insert((it.kind, alias)));
        ids.insert((it.kind, &it.id)) && is_free
    })
}

/// Documents of a kind, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DocumentPage {
    /// The documents.
    pub documents: Vec<Document>,
    /// Behind which moment and id the next page begins, if there is more.
    pub next: Option<(Millis, String)>,
}

impl DocumentPage {
    /// A page of at most `limit` documents out of those that were found, which may be more.
    pub(super) fn of(mut found: Vec<Document>, limit: usize) -> Self {
        let is_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| is_more).map(|last| (last.created_at, last.id.clone()));
        Self { documents: found, next }
    }
}
