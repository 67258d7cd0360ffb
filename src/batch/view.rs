//! A batch as it is shown.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::{
    Batch, Ending, Entry, Trouble,
    extent::{Extent, Room},
};
use crate::{
    call::{id::CallId, time::Millis, view::At},
    registry::Registry,
    store::{StoreError, StoredCall, document::Read},
};

/// Calls that are loaded at once.
const LOADED_AT_ONCE: usize = 8;

/// A batch.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BatchResult {
    /// Its id.
    batch_id: String,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    created_at: At,
    /// No more calls are placed: somebody canceled it.
    canceled: bool,
    /// How it goes.
    stats: Stats,
    /// One for each request, in the same order; empty in lists.
    results: Vec<EntryResult>,
}

/// How a batch goes. Only what is done counts as `completed`, `failed`, `timeout`, `noAnswer` or
/// `voicemail`; what was canceled before it was placed counts as none of them.
#[derive(Debug, Default, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Requests.
    total: usize,
    /// Calls that were placed, or may have been.
    placed: usize,
    /// Calls with status completed.
    completed: usize,
    /// Calls with status error, and requests that could not be placed.
    failed: usize,
    /// Calls with status timeout, and those that were not done 24 hours after they were placed.
    timeout: usize,
    /// Calls with status `no_answer`.
    no_answer: usize,
    /// Calls with status voicemail.
    voicemail: usize,
    /// Milliseconds from its beginning until everything was done, or until now.
    duration: i64,
    /// Minutes, the average of the calls that lasted at all.
    average_call_duration: f64,
}

/// One call of a batch.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EntryResult {
    /// Place of its request, from 0.
    index: usize,
    /// The call, or its placing as long as nobody knows; `null` before it was placed, and when it was not.
    call_id: Option<String>,
    /// There is nothing left to wait for.
    done: bool,
    /// Why there is no call, as in an answer to `POST /calls`. While it is not done: what keeps it from being placed, or hung up; that is tried
    /// again.
    code: Option<String>,
    /// The same in words.
    error: Option<String>,
    /// How much of the call `data` is: `full` or `summary`; `none` where there was no room for it, see `/calls/{id}`. `null` without a call.
    view: Option<&'static str>,
    /// The call as it stands, if there is one. Of a large batch, the first 8 MiB of calls are given in full, those behind as summaries, 12 MiB
    /// in all.
    #[schema(value_type = Option<crate::call::view::CallResult>)]
    data: Option<Box<RawValue>>,
}

impl Stats {
    /// Of a batch that began at a moment.
    #[must_use]
    pub fn of(batch: &Batch, created_at: Millis, now: Millis) -> Self {
        let mut stats = Self { total: batch.entries.len(), ..Self::default() };
        let mut lasted = Vec::new();
        for Entry { call_id, ending, .. } in &batch.entries {
            stats.placed += usize::from(call_id.is_some());
            match ending {
                Some(Ending::Done { status, minutes }) => {
                    lasted.extend(minutes.filter(|minutes| *minutes > 0.0));
                    *match status.as_str() {
                        "completed" => &mut stats.completed,
                        "no_answer" => &mut stats.no_answer,
                        "voicemail" => &mut stats.voicemail,
                        "timeout" => &mut stats.timeout,
                        _ => &mut stats.failed,
                    } += 1;
                }
                Some(Ending::Overdue) => stats.timeout += 1,
                Some(Ending::Failed(_)) => stats.failed += 1,
                Some(Ending::Canceled) | None => {}
            }
        }
        stats.duration = batch.finished_at.unwrap_or(now).since(created_at).max(0);
        stats.average_call_duration = average(&lasted);
        stats
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are hundreds")]
fn average(minutes: &[f64]) -> f64 {
    let average = minutes.iter().sum::<f64>() / minutes.len().max(1) as f64;
    // The sum of nothing is -0.0.
    (average * 1e4).round() / 1e4 + 0.0
}

impl BatchResult {
    /// How a batch goes, without its calls.
    #[must_use]
    pub fn brief(batch: &Read<Batch>, now: Millis) -> Self {
        let Read { document, says } = batch;
        let stats = Stats::of(says, document.created_at, now);
        Self { batch_id: document.id.clone(), created_at: At(document.created_at), canceled: says.canceled, stats, results: Vec::new() }
    }

    /// The whole batch, with its calls as they stand.
    ///
    /// # Errors
    /// [`StoreError`] when calls can't be loaded.
    pub async fn whole(registry: &Registry, batch: &Read<Batch>, extent: Extent, now: Millis) -> Result<Self, StoreError> {
        let ids: Vec<_> = batch.says.entries.iter().map(|entry| entry.call_id.clone().filter(|_| extent > Extent::Nothing)).collect();
        let calls = ids.into_iter().map(|id| loaded(registry.clone(), id));
        let mut calls = stream::iter(calls).buffered(LOADED_AT_ONCE).enumerate();
        let (mut room, mut results) = (Room::of(extent), Vec::with_capacity(batch.says.entries.len()));
        while let Some((index, call)) = calls.next().await {
            results.push(EntryResult::of(registry, (index, &batch.says.entries[index]), call?.as_deref(), &mut room));
        }
        Ok(Self { results, ..Self::brief(batch, now) })
    }
}

async fn loaded(registry: Registry, id: Option<CallId>) -> Result<Option<Arc<StoredCall>>, StoreError> {
    match id {
        Some(id) => registry.stored(&id, 0).await,
        None => Ok(None),
    }
}

impl EntryResult {
    fn of(registry: &Registry, (index, entry): (usize, &Entry), call: Option<&StoredCall>, room: &mut Room) -> Self {
        let taken = call.map(|call| room.take(|view| to_raw_value(&registry.rendered(call, view)).ok()));
        let (view, data) = match taken {
            Some((extent, data)) => (Some(extent.as_str()), data),
            // It was not even loaded.
            None => (entry.call_id.as_ref().filter(|_| room.is_closed()).map(|_| Extent::Nothing.as_str()), None),
        };
        let (code, error) = match &entry.ending {
            Some(Ending::Failed(Trouble { code, error })) => (Some(code.clone()), Some(error.clone())),
            Some(Ending::Canceled) => (None, Some("The batch was canceled before this call was placed.".to_owned())),
            Some(Ending::Overdue) => (None, Some("The call was not done 24 hours after it was placed.".to_owned())),
            Some(Ending::Done { .. }) => (None, None),
            None => entry.trouble.clone().map(|Trouble { code, error }| (code, error)).unzip(),
        };
        let call_id = entry.call_id.as_ref().map(CallId::to_string);
        Self { index, call_id, done: entry.ending.is_some(), code, error, view, data }
    }
}

#[cfg(test)]
mod tests {
    use super::{Batch, Ending, Entry, Millis, Stats, Trouble};
    use crate::call::id::CallId;

    fn ended(ending: Option<Ending>, placed: bool) -> Entry {
        Entry { call_id: placed.then(|| CallId::parse("c").unwrap()), ending, ..Entry::default() }
    }

    fn done(status: &str, minutes: f64) -> Entry {
        ended(Some(Ending::Done { status: status.to_owned(), minutes: Some(minutes) }), true)
    }

    fn batch(entries: Vec<Entry>, finished_at: Option<Millis>) -> Batch {
        let (token, owner) = (None, String::new());
        Batch { token, max_concurrent: 5, called_back: false, canceled: false, hang_up: false, owner, finished_at, entries }
    }

    #[test]
    fn every_call_that_is_done_counts_once() {
        let failed = Ending::Failed(Trouble { code: "VAPI_REJECTED".to_owned(), error: "no".to_owned() });
        let entries = vec![
            done("completed", 1.5),
            done("completed", 0.25),
            done("no_answer", 0.0),
            done("voicemail", 0.5),
            done("error", 0.0),
            done("timeout", 0.0),
            ended(Some(Ending::Overdue), true),
            ended(Some(failed), false),
            ended(Some(Ending::Canceled), false),
            ended(None, true),
            ended(None, false),
        ];
        let stats = Stats::of(&batch(entries.clone(), None), Millis(1_000), Millis(5_000));
        let counts = [stats.total, stats.placed, stats.completed, stats.failed, stats.timeout, stats.no_answer, stats.voicemail];
        assert_eq!((counts, stats.duration, stats.average_call_duration), ([11, 8, 2, 2, 2, 1, 1], 4_000, 0.75));
        let finished = Stats::of(&batch(entries, Some(Millis(2_000))), Millis(1_000), Millis(5_000));
        assert_eq!(finished.duration, 1_000, "it is over");
        assert_eq!(Stats::of(&batch(Vec::new(), None), Millis(5), Millis(1)), Stats::default(), "no number is odd");
    }
}
