//! What somebody wants to have of Vapi's past, a page at a time: whoever asks keeps how far it came, so that nothing is left over when they stop.

use super::{Reconciler, Taken, walk::Walk};
use crate::{
    call::time::Millis,
    store::StoreError,
    vapi::client::{Listed, VapiClient},
};

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backfill {
    /// Where it goes on.
    pub walk: Walk,
    /// All calls of the organisation, whatever the service's scope.
    pub all: bool,
}

/// What one page brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackfillPage {
    /// Calls seen.
    pub seen: u64,
    /// Calls that were not known.
    pub imported: u64,
    /// Calls of which more is known now.
    pub updated: u64,
    /// Calls that told nothing new.
    pub known: u64,
    /// Calls that are not ours.
    pub foreign: u64,
    /// Calls that were deleted here, or are older than what is kept.
    pub skipped: u64,
    /// Where it goes on; `None`: all was seen.
    pub next: Option<Walk>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// There is no key, or Vapi refuses it.
    #[error("there is no key that Vapi takes")]
    Denied,
    /// Vapi gave no usable answer; the same page can be asked for again.
    #[error("{0}")]
    Vapi(String),
    /// The store can't be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Backfill {
    /// All calls that changed at `since` or later and were made at `until` or earlier.
    #[must_use]
    pub fn new(since: Millis, until: Option<Millis>, all: bool) -> Self {
        Self { walk: Walk::through(since, until), all }
    }
}

impl Reconciler {
    /// Takes in the next page. As long as no webhook ever came, nobody's calls are known to be ours, and all are taken.
    ///
    /// # Errors
    /// [`BackfillError`]; what was taken in stays.
    pub async fn backfill(&self, wanted: Backfill) -> Result<BackfillPage, BackfillError> {
        let client: &VapiClient = self.0.client.as_ref().ok_or(BackfillError::Denied)?;
        self.0.sources.share(&self.0.registry).await?;
        let Backfill { mut walk, all } = wanted;
        let (calls, rows) = loop {
            let Some(query) = walk.next() else { return Ok(BackfillPage::default()) };
            match client.list(&query).await {
                Listed::Calls { calls, rows } => break (calls, rows),
                Listed::TooLarge if walk.shorten() => {}
                Listed::TooLarge => return Err(BackfillError::Vapi("Vapi's calls are too large to read".to_owned())),
                Listed::Denied { .. } => return Err(BackfillError::Denied),
                Listed::Failed { error, .. } => return Err(BackfillError::Vapi(error)),
            }
        };
        let now = self.0.clock.now();
        walk.saw(&calls, rows, now);
        let manner = self.manner(all || self.0.plan.all || self.0.sources.is_empty(), "found by backfill");
        let mut page = BackfillPage { seen: calls.len() as u64, ..BackfillPage::default() };
        for call in &calls {
            let count = match self.0.taker.take(&self.0.registry, &self.0.sources, (call, now), manner).await? {
                Taken::Imported => &mut page.imported,
                Taken::Updated => &mut page.updated,
                Taken::Known => &mut page.known,
                Taken::Foreign => &mut page.foreign,
                Taken::Skipped => &mut page.skipped,
            };
            *count += 1;
        }
        page.next = walk.next().is_some().then_some(walk);
        Ok(page)
    }
}
