//! The fake Vapi behaves like the real one, as far as captures and documentation tell.

mod bodies;
mod command;
mod delivery;
mod life;
mod rest;

use std::{collections::BTreeSet, time::Duration};

use ringback::{
    simulate::{FakeVapi, Options},
    vapi::client::plain_http,
};
use serde_json::Value;

use crate::support::receiver::Receiver;

/// A call is placed, played to its end, and all its webhooks are taken.
pub(super) async fn played(options: Options, request: Value) -> (FakeVapi, Receiver, String) {
    let receiver = Receiver::start().await;
    let vapi = FakeVapi::start(Options { webhook_url: Some(receiver.url.clone()), ..options }).await.expect("a free port");
    let id = vapi.place(request);
    vapi.played().await;
    (vapi, receiver, id)
}

pub(super) async fn ask(vapi: &FakeVapi, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let http = plain_http().expect("a client");
    let method = method.parse().expect("a method");
    let mut request = http.request(method, format!("{}{path}", vapi.url())).bearer_auth(vapi.key());
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.expect("an answer");
    (response.status().as_u16(), response.json().await.unwrap_or_default())
}

pub(super) fn keys(object: &Value) -> BTreeSet<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// Waits until it is so, for ten seconds at most.
pub(super) async fn until(done: impl Fn() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("it happens within ten seconds");
}
