//! One call of Vapi's list: is it ours, does it tell anything new, and what becomes of it.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use super::sources::{Sources, names};
use crate::{
    call::{
        id::CallId,
        record::{CallRecord, Fetch, FetchOutcome, FetchReason},
        time::Millis,
        view::ended_at,
    },
    registry::{Applied, Change, Registry},
    store::{Loaded, StoreError},
    vapi::{
        call::{Answer, read},
        client::ListedCall,
    },
};

/// Calls remembered as seen; past it all are forgotten, and looked at once more.
const MOST_SEEN: usize = 20_000;

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was not known.
    Imported,
    /// It was known, and more is known now.
    Updated,
    /// Nothing new.
    Known,
    /// It is not ours.
    Foreign,
    /// It was deleted here, is older than what is kept, or can't be read.
    Skipped,
}

/// Which calls are taken, and what is said of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// All of the organisation, not only ours.
    pub(super) all: bool,
    /// Calls that were made before are not kept anyway.
    pub(super) kept_since: Option<Millis>,
    /// Who found it, for the timeline.
    pub(super) found_by: &'static str,
}

/// Takes calls in.
#[derive(Debug, Default)]
pub(super) struct Taker {
    /// Ids and `updatedAt` of calls that told all they had.
    seen: Mutex<HashSet<(CallId, String)>>,
}

impl Taker {
    /// Takes in a listed call that Vapi answered at `at`.
    pub(super) async fn take(
        &self,
        registry: &Registry,
        sources: &Sources,
        (listed, at): (&ListedCall, Millis),
        manner: Manner,
    ) -> Result<Taken, StoreError> {
        let name = (listed.id.clone(), listed.updated_at.clone());
        if self.has_seen(&name) {
            return Ok(Taken::Known);
        }
        let Some(mut answer) = read(&listed.body, &listed.id, at) else { return Ok(Taken::Skipped) };
        let whose = names(&answer.event.facts);
        let loaded = registry.store().load(&listed.id).await?;
        let known = match &loaded {
            Loaded::Deleted => return Ok(Taken::Skipped),
            Loaded::Found(call) => Some(&call.record),
            Loaded::Missing if !manner.all && !sources.has_any(&whose) => return Ok(Taken::Foreign),
            Loaded::Missing if listed.created_at.zip(manner.kept_since).is_some_and(|(made, since)| made < since) => {
                return Ok(Taken::Skipped);
            }
            Loaded::Missing => None,
        };
        if known.is_some_and(|record| tells_nothing(record, &answer)) || self.was_told(registry, known, &answer).await? {
            self.note(name);
            return Ok(Taken::Known);
        }
        let (is_new, is_done) = (known.is_none(), known.is_some_and(CallRecord::is_done));
        // Whoever was heard from before this call ended would have sent its report.
        answer.event.facts.owed = ended_at(&answer.event.facts).is_some_and(|ended| sources.had_any(&whose, ended));
        answer.event.details = Some(manner.found_by.to_owned());
        let applied = registry.apply_change(change(&listed.id, answer, at, is_done)).await?;
        self.note(name);
        Ok(match applied {
            Applied::Stored if is_new => Taken::Imported,
            Applied::Stored => Taken::Updated,
            Applied::Duplicate | Applied::NotKept => Taken::Known,
            Applied::Deleted => Taken::Skipped,
        })
    }

    /// Of a settled call nothing is stored but what it did not tell before: a repeat would fill its timeline.
    async fn was_told(&self, registry: &Registry, known: Option<&CallRecord>, answer: &Answer) -> Result<bool, StoreError> {
        let (Some(id), Some(true)) = (&answer.event.call_id, known.map(CallRecord::is_done)) else { return Ok(false) };
        let entries = registry.store().timeline(id, false).await?;
        Ok(entries.iter().any(|entry| entry.event_id == answer.event.id))
    }

    fn has_seen(&self, name: &(CallId, String)) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    fn note(&self, name: (CallId, String)) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST_SEEN {
            seen.clear();
        }
        seen.insert(name);
    }
}

/// A listed call is an answer of Vapi's like any other. For a call that is settled it is a fact more, and no fetch.
fn change(id: &CallId, answer: Answer, at: Millis, is_done: bool) -> Change {
    if is_done {
        return Change::of(answer.event);
    }
    let fetch = Fetch { at, reason: FetchReason::Check, outcome: answer.outcome };
    Change::fetched(id, fetch, Some(answer.event), None)
}

fn tells_nothing(record: &CallRecord, answer: &Answer) -> bool {
    match &answer.outcome {
        FetchOutcome::Live => record.has_result() || answer.event.facts.state <= record.state,
        ended => record.is_done() && record.fetches.values().any(|fetch| fetch.outcome == *ended),
    }
}
