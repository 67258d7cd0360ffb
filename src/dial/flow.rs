//! Has Kestra place a call: a flow is started, it asks Vapi, and its output names the call.
//!
//! Wanted: the same as where we ask Vapi ourselves.
//! - The flow is started at most once. Its execution bears the placing as a label, so one whose answer was lost is looked for, never started again.
//! - Strict: a Kestra that is not well places nothing, and nobody else does it in its stead.
//! - What a flow does is its own affair: as long as its execution goes on, the call may come. The call is known as soon as a webhook tells of it, or the
//!   execution names it. Only when the execution is over without one, or there never was any, and Vapi's list (if we may read it) has no such call,
//!   is the placing lost.
//! - Kestra keeps its inputs where its users can read them, so our webhook secret is not among them: a credential at Vapi is to prove the webhooks.

use serde_json::{Value, json};
use tracing::warn;

use super::{
    DialError, Dialer, Outcome, Parts, Wanted, open,
    placing::{Placing, Run, State},
    search::GIVE_UP,
};
use crate::{
    call::{
        id::CallId,
        time::{Millis, SECOND},
    },
    kestra::{
        Execution, Kestra, LABEL, Looked, Started, Told,
        flow::{ALWAYS, CALL_ID, WHERE_KNOWN},
    },
    store::StoreError,
    vapi::{
        assistant::CallRequest,
        client::{Refusal, RefusalReason},
    },
};

/// After an execution ended without naming its call, webhooks and Vapi's list have this long to tell of one.
const AFTER_ITS_END: i64 = 60 * SECOND;

/// How a placing does that Kestra was asked for.
pub(super) enum Flow {
    /// It became this call.
    Became(CallId),
    /// The call may still come.
    GoesOn,
    /// The execution is over and named no call, or there never was one: only webhooks and Vapi's list can tell of a call.
    Ended,
}

impl Dialer {
    /// The Kestra that is configured, if one is.
    #[must_use]
    pub fn kestra(&self) -> Option<&Kestra> {
        self.0.parts.kestra.as_ref()
    }

    /// Fails when Kestra is not well.
    pub(super) async fn is_kestra_well(&self) -> Result<(), DialError> {
        let health = match &self.0.parts.kestra {
            Some(kestra) => kestra.health().await,
            None => Err("KESTRA_URL is not set".to_owned()),
        };
        health.map_err(|words| DialError::Refused(refusal(&Told { status: None, words })))
    }

    /// Has the call of a placing placed that was written down just now.
    pub(super) async fn start(&self, id: &str, body: &Value, wanted: &Wanted) -> Result<Outcome, DialError> {
        let Some(kestra) = &self.0.parts.kestra else { return Err(DialError::NoKey) };
        let body = body.to_string();
        let inputs = inputs(id, &body, wanted);
        let noted = match kestra.start(&inputs, (LABEL, id)).await {
            Started::Execution(execution) => self.note_run(id, execution.id).await,
            Started::Unknown(why) => {
                warn!(why, placement_id = id, "Nobody knows whether Kestra's flow was started; its execution is looked for");
                self.note_unknown(id).await
            }
            Started::Refused(told) => {
                let refusal = refusal(&told);
                if let Err(error) = self.note_refusal(id, &refusal).await {
                    warn!(%error, placement_id = id, "A refused placing could not be noted; its call will be looked for in vain");
                }
                self.wake(id);
                return Err(DialError::Refused(refusal));
            }
        };
        if let Err(error) = noted {
            warn!(%error, placement_id = id, "What Kestra said of a placing could not be stored; the search begins within a minute");
        }
        self.wake(id);
        Ok(Outcome { named: open(id), replayed: false })
    }

    /// Looks how the flow of an open placing does.
    pub(super) async fn look_at_flow(&self, id: &str, says: &mut Placing) -> Result<Flow, StoreError> {
        let Parts { kestra, clock, .. } = &self.0.parts;
        let now = clock.now();
        if silent_at(says).is_some() {
            return Ok(Flow::Ended);
        }
        // Without an address any more nobody can say that there is no such call.
        let Some(kestra) = kestra else { return Ok(Flow::GoesOn) };
        let looked = match &says.run {
            Some(run) => kestra.execution_of(&run.id).await,
            None => kestra.labelled((LABEL, id)).await,
        };
        match looked {
            Looked::Found(execution) if !execution.is_over() => {
                if says.run.is_none() {
                    self.note_run(id, execution.id).await?;
                }
                Ok(Flow::GoesOn)
            }
            Looked::Found(execution) => self.look_at_end(id, says, kestra, execution).await,
            Looked::Nothing if now.since(says.sent_at) >= GIVE_UP => Ok(Flow::Ended),
            Looked::Nothing | Looked::NotAsked => Ok(Flow::GoesOn),
        }
    }

    async fn look_at_end(&self, id: &str, says: &mut Placing, kestra: &Kestra, execution: Execution) -> Result<Flow, StoreError> {
        let Ok(outputs) = kestra.outputs(&execution).await else { return Ok(Flow::GoesOn) };
        if let Some(call) = outputs.get(CALL_ID).and_then(Value::as_str).and_then(|call| CallId::parse(call).ok()) {
            return Ok(Flow::Became(call));
        }
        let Execution { id: run, state, .. } = execution;
        warn!(placement_id = id, execution = run, state, "Kestra's execution is over and names no call");
        let over = Run { id: run, over: Some((state, self.0.parts.clock.now())) };
        says.run = Some(over.clone());
        self.change(id, |says, _| says.run.replace(over.clone()).as_ref() != Some(&over)).await?;
        Ok(Flow::Ended)
    }

    /// The execution of a placing is known.
    async fn note_run(&self, id: &str, run: String) -> Result<(), StoreError> {
        let due = self.0.parts.clock.now().plus(super::search::wait(0));
        self.change(id, |says, document| {
            if !matches!(says.state, State::Sending | State::Unknown) || says.run.is_some() {
                return false;
            }
            says.state = State::Unknown;
            says.run = Some(Run { id: run.clone(), over: None });
            document.due = Some(due);
            true
        })
        .await?;
        self.0.due.announce(due);
        Ok(())
    }
}

/// From when on nothing is to be expected any more of an execution that is over.
pub(super) fn silent_at(says: &Placing) -> Option<Millis> {
    let (_, seen) = says.run.as_ref()?.over.as_ref()?;
    Some(seen.plus(AFTER_ITS_END))
}

/// Why a placing that Kestra was asked for is lost, for whoever reads the record.
pub(super) fn lost_words(says: &Placing) -> String {
    match &says.run {
        Some(Run { id, over: Some((state, _)) }) => {
            format!("Kestra's execution {id} ended as {state} without naming a call (output {CALL_ID}), and none was heard of")
        }
        _ => format!("Kestra's answer to the placing at {} was lost, and it has no execution of it", says.sent_at),
    }
}

fn refusal(told: &Told) -> Refusal {
    let details = json!({"status": told.status, "message": told.words});
    Refusal { reason: RefusalReason::Kestra, details, retry_after_ms: None }
}

/// What the flow is told: the body for Vapi, and what the older flows go by.
fn inputs<'a>(id: &'a str, body: &'a str, wanted: &'a Wanted) -> Vec<(&'static str, &'a str)> {
    let mut inputs: Vec<_> = ALWAYS.into_iter().zip([id, body]).collect();
    let Wanted::Request(request) = wanted else { return inputs };
    let CallRequest { provider_name, provider_phone, service_needed, user_criteria, location, urgency, .. } = &**request;
    let CallRequest { service_request_id, provider_id, .. } = &**request;
    let known = [
        Some(provider_name.as_str()),
        Some(provider_phone),
        service_needed.as_deref(),
        user_criteria.as_deref(),
        location.as_deref(),
        urgency.map(crate::vapi::assistant::Urgency::as_str),
        service_request_id.as_deref(),
        provider_id.as_deref(),
    ];
    inputs.extend(WHERE_KNOWN.into_iter().zip(known).filter_map(|(name, text)| Some((name, text?))));
    inputs
}
