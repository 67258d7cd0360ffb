//! Who changed what, and when; and when each token was used last.
//!
//! Properties wanted:
//! - No change goes unnoted, whoever is killed when. So an entry is durable *before* its change begins, and then has no outcome yet; the outcome
//!   follows the change. An entry that stays without one says that nobody knows what came of it. What can't be noted is not done.
//! - An entry names things by their ids, never by numbers, texts or secrets.
//! - Webhooks and whoever polls pay nothing for it.
//!
//! | Module | What it holds |
//! |---|---|
//! | `mod` | the log: one document an entry, in whatever store there is |
//! | [`usage`] | when each token was used last |

pub mod usage;

use serde::{Deserialize, Serialize};

pub use self::usage::Usage;
use crate::{
    call::time::Millis,
    clock::Clock,
    store::{Document, DocumentKind, DocumentWrite, Store, StoreError},
};

/// What somebody is about to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// What it is, such as `call.delete`.
    pub action: String,
    /// What it is done to: the id of a call, a subscription, an object at Vapi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The name of the token; `None` where none is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The request, as its log line names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<String>,
}

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: String,
    /// When it began.
    pub at: Millis,
    /// What it was.
    pub deed: Deed,
    /// The HTTP status that answered it; `None` as long as it goes on, and for good when the process ended meanwhile.
    pub status: Option<u16>,
}

/// Entries, the newest first.
#[derive(Debug, Clone, Default)]
pub struct Entries {
    /// The entries.
    pub entries: Vec<Entry>,
    /// Behind which entry the next page begins, if there is more.
    pub next: Option<(Millis, String)>,
}

/// An entry whose outcome is still to come.
#[derive(Debug, Clone)]
pub struct Begun(Document, Deed);

/// What is stored of an entry.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    deed: Deed,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
}

/// The log; a cheap handle.
#[derive(Debug, Clone)]
pub struct Audit {
    store: Store,
    clock: Clock,
    /// How long an entry is kept, in milliseconds; `None`: for good.
    keep: Option<i64>,
}

impl Audit {
    /// A log in this store, whose entries are kept for so many milliseconds.
    #[must_use]
    pub fn new(store: Store, clock: Clock, keep: Option<i64>) -> Self {
        Self { store, clock, keep }
    }

    /// Notes what is about to be done; returns when that is durable.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be noted: then it is not to be done.
    pub async fn begin(&self, deed: Deed) -> Result<Begun, StoreError> {
        let now = self.clock.now();
        let document = Document {
            kind: DocumentKind::Audit,
            // In the order of time: entries of one millisecond are listed as they came.
            id: uuid::Uuid::now_v7().simple().to_string(),
            revision: 1,
            alias: None,
            due: None,
            created_at: now,
            expires_at: self.keep.map(|keep| now.plus(keep)),
            body: body(&deed, None)?,
        };
        self.put(document.clone(), None).await?;
        Ok(Begun(document, deed))
    }

    /// Notes what came of it, and the id of what it made.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be noted; the entry stays, without an outcome.
    pub async fn end(&self, begun: Begun, status: u16, made: Option<String>) -> Result<(), StoreError> {
        let Begun(document, deed) = begun;
        let deed = Deed { subject: deed.subject.or(made), ..deed };
        let (revision, body) = (document.revision + 1, body(&deed, Some(status))?);
        self.put(Document { revision, body, ..document.clone() }, Some(document.revision)).await
    }

    async fn put(&self, document: Document, expected: Option<u64>) -> Result<(), StoreError> {
        let is_put = self.store.put_documents(vec![DocumentWrite { document, expected }], self.clock.now()).await?;
        if is_put { Ok(()) } else { Err(StoreError::Unavailable("an entry of the audit log is not as it was left".to_owned())) }
    }

    /// At most `limit` entries, the newest first, behind a place that an earlier page told.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked.
    pub async fn entries(&self, after: Option<(Millis, String)>, limit: usize) -> Result<Entries, StoreError> {
        let page = self.store.documents(DocumentKind::Audit, after, limit, self.clock.now()).await?;
        Ok(Entries { entries: page.documents.into_iter().map(entry).collect(), next: page.next })
    }
}

/// What a later release wrote is shown as far as it can be read.
fn entry(document: Document) -> Entry {
    let unreadable = Kept { deed: Deed { action: "unreadable".to_owned(), ..Deed::default() }, status: None };
    let Kept { deed, status } = serde_json::from_slice(&document.body).unwrap_or(unreadable);
    Entry { id: document.id, at: document.created_at, deed, status }
}

fn body(deed: &Deed, status: Option<u16>) -> Result<Vec<u8>, StoreError> {
    let kept = Kept { deed: deed.clone(), status };
    serde_json::to_vec(&kept).map_err(|error| StoreError::Unavailable(format!("an entry of the audit log can't be written: {error}")))
}
