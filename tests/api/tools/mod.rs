//! Tools, other questions, and the relay, over real HTTP.

mod answers;
mod examples;
mod flat;
mod once;
mod outbound;
mod relay;

use serde_json::{Value, json};

use crate::support::{
    app::{Engine, Story},
    calls::message,
    endpoint::Endpoint,
    vapi::CALL,
};

/// What is said where a tool gives no answer, in these stories.
const FALLBACK: &str = "Not now.";

/// One tool at this address, with a second of patience.
fn tool(name: &str, url: &str) -> String {
    format!("[tools.\"{name}\"]\nurl = \"{url}\"\ntimeout_seconds = 1\nfallback = \"{FALLBACK}\"\n")
}

/// A story with this configuration of tools.
fn story(engine: Engine, tools: &str) -> Story {
    Story::on(engine).with("TOOLS", tools)
}

/// A story with one tool.
fn one_tool(engine: Engine, endpoint: &Endpoint, path: &str) -> Story {
    story(engine, &tool("look_up", &endpoint.url(path)))
}

fn asks(id: &str, name: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": {"order": 7, "token": "as it came"}}})
}

/// A `tool-calls` message of the story's call.
fn tool_calls(calls: &[Value]) -> Value {
    message("tool-calls", CALL, json!({"toolCallList": calls, "toolCalls": calls}))
}

/// The only entry of `results`.
fn only(answer: &Value) -> Value {
    let [entry] = answer["results"].as_array().expect("results").as_slice() else { panic!("{answer}") };
    entry.clone()
}
