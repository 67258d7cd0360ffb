//! Many calls placed together, and waited for together.

mod cancel;
mod faults;
mod input;
mod whole;

use serde_json::{Value, json};

use crate::{
    placing::request,
    support::{
        answer::Answer,
        app::{Engine, Story, TestApp},
        ask::Ask,
        calls::talk,
        eventually,
    },
};

const BATCHES: &str = "/api/v1/vapi/batches";

/// A service that places calls, and may tell this machine.
pub(crate) fn story(engine: Engine) -> Story {
    Story::on(engine).placing().with("OUTBOUND_ALLOW", "127.0.0.1")
}

/// The batches of this service are worked on from now on.
pub(crate) fn start(app: &TestApp) {
    let lifecycle = app.app().lifecycle().clone();
    lifecycle.spawn("batches", app.api().batches.clone().run(lifecycle.clone()));
}

/// A batch of so many calls, so many at once.
pub(crate) fn of(count: usize, at_once: usize) -> Value {
    json!({"requests": vec![request(); count], "maxConcurrent": at_once})
}

fn asking<'a>(app: &'a TestApp, body: &Value) -> Ask<'a> {
    app.ask("POST", BATCHES).body(body.to_string())
}

/// Makes a batch; its id.
pub(crate) async fn made(app: &TestApp, body: &Value) -> String {
    let answer = asking(app, body).send().await;
    let id = answer.data(201)["batchId"].as_str().expect("an id").to_owned();
    assert_eq!(answer.header("location"), format!("{BATCHES}/{id}/result"));
    id
}

async fn about(app: &TestApp, id: &str, rest: &str) -> Answer {
    app.get(&format!("{BATCHES}/{id}{rest}")).await
}

async fn data(app: &TestApp, id: &str) -> Value {
    about(app, id, "").await.data(200)
}

/// The whole result, as soon as everything is done.
async fn result(app: &TestApp, id: &str) -> Value {
    let answer = about(app, id, "/result?wait=30").await;
    assert_eq!(answer.json()["done"], true, "{}", answer.text());
    answer.data(200)
}

async fn cancel(app: &TestApp, id: &str, query: &str) -> Value {
    app.ask("POST", &format!("{BATCHES}/{id}/cancel?{query}")).send().await.data(200)
}

/// Calls that were placed and are not done, in the order of their requests.
async fn live(app: &TestApp, id: &str) -> Vec<String> {
    let data = data(app, id).await;
    let results = data["results"].as_array().expect("a list").clone();
    results.iter().filter(|row| row["done"] == false).filter_map(|row| Some(row["callId"].as_str()?.to_owned())).collect()
}

/// Waits until so many calls go on; the calls.
pub(crate) async fn has_live(app: &TestApp, id: &str, count: usize) -> Vec<String> {
    eventually("so many calls go on", async || live(app, id).await.len() == count).await;
    live(app, id).await
}

/// Calls come to their end.
async fn end(app: &TestApp, calls: &[String]) {
    for call in calls {
        app.hears_report(&talk(call)).await;
    }
}

/// A member of each row.
fn each(data: &Value, member: &str) -> Vec<Value> {
    data["results"].as_array().expect("a list").iter().map(|row| row[member].clone()).collect()
}

/// The end of a story: what was placed is not looked for any more.
async fn finish(app: TestApp) {
    app.advance(61.0).await;
    app.finish().await;
}
