//! Small things that are kept beside calls: placings, answers given to an idempotency key, batches, how far a sweep came.
//!
//! Properties wanted of every back end:
//! - Several documents are written together or not at all, each by compare-and-set on its revision.
//! - A lease is held by one holder at a time; it ends when it runs out, or with the next write of the document.
//! - A document whose time is over is as good as gone, whether or not it was swept away yet.
//! - Bodies are encrypted where there is a key, bound to kind and id.

use crate::call::time::Millis;

/// What a document is: each kind has ids of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DocumentKind {
    /// A call that somebody wants placed; its id is the placementId.
    Placement,
    /// What was answered to a request that may be sent again; its id is a hash of who sent it and of its key.
    Answer,
    /// Calls placed together.
    Batch,
    /// How far something came that goes on after a restart.
    Progress,
}

impl DocumentKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Placement, Self::Answer, Self::Batch, Self::Progress];

    /// Its name in stores.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Placement => "placement",
            Self::Answer => "answer",
            Self::Batch => "batch",
            Self::Progress => "progress",
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

/// A document to write: as it is to stand, its `revision` already counted up, and the revision that has to stand there now (`None`: no such
/// document, or one whose time was over at the moment given to the verb).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentWrite {
    /// As it is to stand.
    pub document: Document,
    /// What has to stand there now.
    pub expected: Option<u64>,
}

/// Documents of a kind, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DocumentPage {
    /// The documents.
    pub documents: Vec<Document>,
    /// Behind which moment and id the next page begins, if there is more.
    pub next: Option<(Millis, String)>,
}
