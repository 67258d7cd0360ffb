//! Is a call settled, and when is Vapi asked next? Whole lives, played against `decide` alone.

mod checks;
mod fetching;
mod settling;

use std::collections::BTreeMap;

use ringback::call::{
    field::{Longest, Rank, Stamped},
    join::join,
    json::Json,
    policy::{Due, Moment, Plan, decide},
    record::{CallRecord, CallState, Fetch, FetchOutcome, FetchReason, Output, Promise, Settled},
    time::{Millis, SECOND},
};
use serde_json::json;

/// When every life begins.
const START: Millis = Millis(1_778_751_000_000);

/// The delays and the grace that are the default.
fn default_plan() -> Plan {
    Plan { can_ask: true, delays: [3, 5, 8, 15, 30].map(|seconds| seconds * SECOND).into(), grace: 120 * SECOND }
}

/// One call, as the registry and the worker would treat it.
struct Life {
    record: CallRecord,
    pending: Option<Due>,
    plan: Plan,
    now: Millis,
    jitter: f64,
    fetches: usize,
}

impl Life {
    fn new(plan: Plan) -> Self {
        Self { record: CallRecord::default(), pending: None, plan, now: START, jitter: 0.0, fetches: 0 }
    }

    fn fold(&mut self, facts: CallRecord, not_before: Option<Millis>, after_fetch: bool) {
        self.record = join(std::mem::take(&mut self.record), facts);
        let moment = Moment { now: self.now, jitter: self.jitter, not_before, after_fetch };
        let verdict = decide(&self.record, self.pending, &self.plan, moment);
        if let Some(settle) = verdict.settle {
            self.record = join(std::mem::take(&mut self.record), CallRecord { settled: Some(settle), ..CallRecord::default() });
        }
        self.pending = verdict.due;
    }

    /// A webhook comes `after` milliseconds.
    fn hears(&mut self, after: i64, facts: CallRecord) -> &mut Self {
        self.now = self.now.plus(after);
        self.fold(CallRecord { heard_at: Some(self.now), ..facts }, None, false);
        self
    }

    /// Something comes that makes no facts.
    fn overhears(&mut self, after: i64) {
        self.now = self.now.plus(after);
        self.fold(CallRecord::default(), None, false);
    }

    /// Somebody asks for a fetch now.
    fn is_asked_for(&mut self, reason: FetchReason) -> &mut Self {
        self.pending = Some(Due { at: self.now, reason });
        self
    }

    /// Time passes until the fetch that is due; it has this outcome. Returns how long it took, and why it was made.
    fn fetches(&mut self, outcome: FetchOutcome, answer: CallRecord) -> (i64, FetchReason) {
        self.fetches_told_to_wait(outcome, answer, None)
    }

    fn fetches_told_to_wait(&mut self, outcome: FetchOutcome, answer: CallRecord, retry_after: Option<i64>) -> (i64, FetchReason) {
        let due = self.pending.expect("a fetch is due");
        let waited = due.at.since(self.now);
        self.now = due.at.max(self.now);
        self.fetches += 1;
        let note = Fetch { at: self.now, reason: due.reason, outcome };
        let notes = BTreeMap::from([(format!("f{}", self.fetches), note)]);
        let not_before = retry_after.map(|wait| self.now.plus(wait));
        self.fold(join(answer, CallRecord { fetches: notes, ..CallRecord::default() }), not_before, true);
        (waited, due.reason)
    }

    /// Fails until nothing is due any more, at most `most` times. Returns the waits in seconds.
    fn fails_on(&mut self, most: usize) -> Vec<i64> {
        let mut waits = Vec::new();
        while self.pending.is_some() && waits.len() < most {
            waits.push(self.fetches(failed(), CallRecord::default()).0 / SECOND);
        }
        waits
    }

    fn settled(&self) -> Option<Settled> {
        self.record.settled
    }

    /// Milliseconds until Vapi is asked, and why.
    fn due(&self) -> Option<(i64, FetchReason)> {
        self.pending.map(|due| (due.at.since(self.now), due.reason))
    }
}

fn failed() -> FetchOutcome {
    FetchOutcome::Failed { error: "Vapi answered 503".to_owned() }
}

fn denied() -> FetchOutcome {
    FetchOutcome::Denied { error: "Vapi refuses VAPI_API_KEY (401)".to_owned() }
}

fn ended(updated_at: &str) -> FetchOutcome {
    FetchOutcome::Ended { updated_at: updated_at.to_owned() }
}

/// A transcript of so many characters.
fn transcript(characters: usize) -> CallRecord {
    let value = "AI: ".chars().chain(std::iter::repeat('x')).take(characters).collect();
    CallRecord { transcript: Some(Longest { value, authoritative: true, sent_at: Some(START) }), ..CallRecord::default() }
}

/// A report with nothing in it but that the call was picked up.
fn report() -> CallRecord {
    CallRecord { reported: true, state: CallState::Ended, started_at: stamped(START), ..CallRecord::default() }
}

/// What a REST answer says that says ended, and no more.
fn rest() -> CallRecord {
    CallRecord { rest_ended: true, state: CallState::Ended, started_at: stamped(START), ..CallRecord::default() }
}

fn summary() -> CallRecord {
    CallRecord { summary: stamped("They are open.".to_owned()), ..CallRecord::default() }
}

fn data() -> CallRecord {
    CallRecord { structured_data: stamped(Json::from_value(&json!({"open": true}))), ..CallRecord::default() }
}

fn output(id: &str, result: &serde_json::Value) -> CallRecord {
    let output = Output(Json::from_value(&json!({"name": id, "result": result})));
    CallRecord { structured_outputs: stamped(output).into_iter().map(|it| (id.to_owned(), it)).collect(), ..CallRecord::default() }
}

fn promises(summary: Option<Promise>, data: Option<Promise>, outputs: &[&str]) -> CallRecord {
    let mut record = CallRecord::default();
    record.promises.summary = summary.and_then(stamped);
    record.promises.structured_data = data.and_then(stamped);
    record.promises.outputs = stamped(outputs.iter().map(|id| (*id).to_owned()).collect()).filter(|_| !outputs.is_empty());
    record
}

#[expect(clippy::unnecessary_wraps, reason = "what a field is")]
fn stamped<T>(value: T) -> Option<Stamped<T>> {
    Some(Stamped { value, rank: Rank::REPORT, sent_at: Some(START) })
}

/// All of these said by one event.
fn all(parts: impl IntoIterator<Item = CallRecord>) -> CallRecord {
    parts.into_iter().reduce(join).unwrap_or_default()
}
