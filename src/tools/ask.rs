//! Asks an endpoint in its own words: ours, or Vapi's as they came.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::{
    Heard, Tools,
    line::{answer_of, said},
};
use crate::{
    call::{id::CallId, record::ToolAnswer, time::SECOND},
    config::tools::{Endpoint, Format, Relay, Tool, USUAL_FALLBACK},
    outbound::{Failure, Post, Reply, Trust},
    trace::{self, Work},
    vapi::tool::{arguments, without},
};

/// An `assistant-request` is answered within this time; Vapi gives up after 7.5 s, the network included.
pub(super) const ASSISTANT_DEADLINE: Duration = Duration::from_secs(5);
/// Bytes that are read of an answer. A tool's is one line; an assistant may come whole.
const MOST_ANSWER_BYTES: usize = 1_048_576;
/// Marks what was passed on, so that a relay that leads back here ends.
pub(super) const RELAYED: HeaderName = HeaderName::from_static("x-ringback-relay");
/// Proofs beside `x-*`: whoever stood here before may check them as it did.
const PROOFS: [&str; 4] = ["authorization", "webhook-id", "webhook-signature", "webhook-timestamp"];

/// Somebody to ask, and how.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// What metrics show: the name in the configuration, or `relay`.
    pub(super) label: String,
    pub(super) endpoint: Endpoint,
    pub(super) fallback: String,
    relayed: bool,
}

/// What came of asking for some tool calls.
#[derive(Debug)]
pub(super) struct Told {
    /// For each id, the entry of `results` and what it says; `None`: nothing usable.
    pub(super) entries: Vec<(String, Option<(Value, ToolAnswer)>)>,
    /// The whole answer, where all of it can go to Vapi as it is.
    pub(super) whole: Option<Bytes>,
}

impl Target {
    pub(super) fn tool(label: &str, tool: &Tool) -> Self {
        Self { label: label.to_owned(), endpoint: tool.endpoint.clone(), fallback: tool.fallback.clone(), relayed: false }
    }

    pub(super) fn endpoint(endpoint: &Endpoint) -> Self {
        Self { label: String::new(), endpoint: endpoint.clone(), fallback: String::new(), relayed: false }
    }

    pub(super) fn relay(relay: &Relay) -> Self {
        let endpoint = Endpoint { url: relay.url.clone(), key: None, timeout: relay.timeout, format: Format::Vapi };
        Self { label: "relay".to_owned(), endpoint, fallback: USUAL_FALLBACK.to_owned(), relayed: true }
    }

    /// One message of Vapi's may ask for several tools; in our words each is a request of its own.
    pub(super) fn takes_several(&self) -> bool {
        self.endpoint.format == Format::Vapi
    }
}

impl Tools {
    /// Asks for tool calls that were claimed. `others` are those in the message that may not be asked for again.
    pub(super) async fn told(
        &self,
        heard: &Heard,
        target: &Target,
        calls: &[(String, String)],
        others: &[&str],
    ) -> Result<Told, &'static str> {
        let message = || serde_json::from_slice::<Value>(&heard.body).map(|mut body| body["message"].take()).unwrap_or_default();
        match target.endpoint.format {
            Format::Ringback => {
                let (message, mut entries) = (message(), Vec::new());
                for (id, name) in calls {
                    let arguments = arguments(&message, id);
                    let call_id = heard.call_id.as_ref().map(CallId::as_str);
                    let body = json!({"callId": call_id, "toolCallId": id, "name": name, "arguments": arguments, "call": message["call"]});
                    let reply = self.post(heard, target, id, body.to_string().into()).await?;
                    let answer = answer_of(&reply.body, id);
                    entries.push((id.clone(), Some((entry(id, name, &answer), answer))));
                }
                Ok(Told { entries, whole: None })
            }
            Format::Vapi => {
                let body =
                    if others.is_empty() { heard.raw.clone() } else { json!({"message": without(message(), others)}).to_string().into() };
                let id = calls.first().map_or("", |(id, _)| id);
                let reply = self.post(heard, target, id, body).await?;
                let answer: Value = serde_json::from_slice(&reply.body).map_err(|_no_json| "its answer is no JSON")?;
                let entries: Vec<_> = calls.iter().map(|(id, _)| (id.clone(), said_of(&answer, id, calls.len() == 1))).collect();
                let whole = (others.is_empty() && entries.iter().all(|(_, entry)| entry.is_some())).then_some(reply.body);
                Ok(Told { entries, whole })
            }
        }
    }

    /// The JSON that answers a request other than for tools.
    pub(super) async fn request_answer(&self, heard: &Heard, target: &Target) -> Result<Bytes, &'static str> {
        let body = match target.endpoint.format {
            Format::Vapi => heard.raw.clone(),
            Format::Ringback => {
                let message = serde_json::from_slice::<Value>(&heard.body).map(|mut body| body["message"].take()).unwrap_or_default();
                let call_id = heard.call_id.as_ref().map(CallId::as_str);
                json!({"callId": call_id, "type": heard.kind, "call": message["call"], "message": message}).to_string().into()
            }
        };
        let reply = self.post(heard, target, &heard.event_id, body).await?;
        match serde_json::from_slice::<Value>(&reply.body) {
            Ok(Value::Object(_)) => Ok(reply.body),
            _ => Err("its answer is no JSON object"),
        }
    }

    async fn post(&self, heard: &Heard, target: &Target, id: &str, body: Bytes) -> Result<Reply, &'static str> {
        let within = target.endpoint.timeout.saturating_sub(heard.arrived.elapsed());
        let mut headers = if target.relayed { passed_on(&heard.headers) } else { HeaderMap::new() };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = &target.endpoint.key {
            headers.extend(key.headers(id, self.0.parts.clock.now().0 / SECOND, &body));
        }
        let post = Post { url: &target.endpoint.url, trust: Trust::Configured, headers, body, within, most_bytes: MOST_ANSWER_BYTES };
        let asking = async {
            trace::note("ringback.tool", target.label.clone());
            self.0.parts.outbound.post(post).await
        };
        match self.0.parts.registry.traces().span(Work::asking("ask tool"), asking).await {
            Ok(reply) if reply.status.is_success() => Ok(reply),
            Ok(_refused) => Err("its status is not 2xx"),
            Err(failure) => Err(in_words(failure)),
        }
    }
}

/// The headers that a relay gets with a message.
pub(super) fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let kept = headers.iter().filter(|(name, _)| name.as_str().starts_with("x-") || PROOFS.contains(&name.as_str()));
    let mut headers: HeaderMap = HeaderMap::new();
    for (name, value) in kept {
        headers.append(name.clone(), value.clone());
    }
    headers.insert(RELAYED, HeaderValue::from_static("1"));
    headers
}

/// The entry of `results` that says this.
pub(super) fn entry(id: &str, name: &str, answer: &ToolAnswer) -> Value {
    match answer {
        ToolAnswer::Result(line) => json!({"toolCallId": id, "name": name, "result": line}),
        ToolAnswer::Error(line) => json!({"toolCallId": id, "name": name, "error": line}),
    }
}

/// What an answer in Vapi's words says to one tool call. If there is only one, it needs no id, nor a list.
fn said_of(answer: &Value, id: &str, only: bool) -> Option<(Value, ToolAnswer)> {
    let list = answer["results"].as_array().map(Vec::as_slice).unwrap_or_default();
    let listed = list.iter().find(|entry| entry["toolCallId"] == *id);
    let unnamed = || list.first().filter(|entry| only && list.len() == 1 && entry["toolCallId"].is_null());
    let bare = || Some(answer).filter(|_| only && list.is_empty());
    let entry = listed.or_else(unnamed).or_else(bare)?;
    said(entry).map(|answer| (entry.clone(), answer))
}

fn in_words(failure: Failure) -> &'static str {
    match failure {
        Failure::TimedOut => "it did not answer in time",
        Failure::Redirected => "it answered with a redirect",
        Failure::TooLarge => "its answer is too large",
        Failure::Cut => "its answer was cut",
        Failure::Unreachable | Failure::Refused => "it could not be reached",
    }
}
