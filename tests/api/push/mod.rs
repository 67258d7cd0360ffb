//! Those who are told, over real HTTP: subscriptions, their deliveries, and callbacks.

mod callbacks;
mod changes;
mod deliveries;
mod input;
mod instances;
mod library;
mod once;
mod refused;
mod rough;

use serde_json::{Value, json};

use crate::support::{
    app::{Engine, Story, TestApp},
    subscriber::to,
};

const SUBSCRIPTIONS: &str = "/api/v1/vapi/subscriptions";

/// A service that may tell this machine.
async fn begin(engine: Engine) -> TestApp {
    Story::on(engine).with("OUTBOUND_ALLOW", "127.0.0.1").begin().await
}

/// Makes a subscription; its `data`.
async fn subscribe(app: &TestApp, body: Value) -> Value {
    app.ask("POST", SUBSCRIPTIONS).body(body.to_string()).send().await.data(201)
}

/// Makes one to these events; its id.
async fn subscribed(app: &TestApp, url: &str, events: &[&str]) -> String {
    id(&subscribe(app, to(url, events)).await)
}

fn id(data: &Value) -> String {
    data["id"].as_str().expect("an id").to_owned()
}

/// Asks for something about a subscription; `data` of the answer.
async fn about(app: &TestApp, method: &str, id: &str, rest: &str) -> Value {
    app.ask(method, &format!("{SUBSCRIPTIONS}/{id}{rest}")).send().await.data(200)
}

async fn deliveries(app: &TestApp, id: &str, query: &str) -> Vec<Value> {
    about(app, "GET", id, &format!("/deliveries?{query}")).await.as_array().expect("a list").clone()
}

/// Makes what is to be delivered, and every try that is due; returns how many tries.
async fn tell(app: &TestApp) -> usize {
    app.api().push.step().await.expect("the store answers")
}

/// Time goes by at once; then what is due is told.
async fn later(app: &TestApp, seconds: i64) -> usize {
    app.clock().advance(seconds * 1_000);
    tell(app).await
}

fn brief(kind: &str, sequence: u64) -> (String, u64) {
    (kind.to_owned(), sequence)
}

/// A member of each.
fn each(list: &[Value], member: &str) -> Value {
    json!(list.iter().map(|entry| entry[member].clone()).collect::<Vec<_>>())
}
