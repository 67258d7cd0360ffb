//! Placed calls of which no webhook ever comes.

use serde_json::{Value, json};

use super::{asking, id, request, sent};
use crate::{
    lost::{lost, told},
    support::app::{Engine, Story, TestApp, on_every_engine},
};

on_every_engine! {
    a_placed_call_of_which_nothing_is_heard_ends_all_the_same_and_counts_as_lost
}

/// Ours, at which nobody listens.
const SERVER: &str = "http://127.0.0.1:9/api/v1/vapi/webhook";

/// The call is placed and played; then so much time goes by that it is looked for, and its report counts as lost if it was owed.
async fn placed_unheard(engine: Engine, body: &Value) -> (TestApp, String) {
    let app = Story::on(engine).placing().with("VAPI_WEBHOOK_URL", SERVER).begin().await;
    let call = id(&asking(&app, body).send().await);
    app.vapi.played().await;
    app.live_through(300).await;
    (app, call)
}

async fn a_placed_call_of_which_nothing_is_heard_ends_all_the_same_and_counts_as_lost(engine: Engine) {
    let (app, call) = placed_unheard(engine, &request()).await;
    let data = app.poll(&call).await.data(200);
    assert_eq!((&data["status"], &data["dataStatus"], &data["webhookReceivedAt"]), (&json!("completed"), &json!("complete"), &Value::Null));
    assert_eq!((lost(&app, "all").await, told(&app).await, sent(&app)), (1, 1, 1));
    app.finish().await;
}

#[tokio::test]
async fn it_is_lost_only_where_our_server_stands_in_what_was_asked_for() {
    let elsewhere = json!({"url": "https://elsewhere.example.com/hook"});
    for (body, is_lost) in [
        (json!({"assistantId": "nora"}), 1),
        (json!({"assistant": {"firstMessage": "Hello", "server": {"url": format!("{SERVER}/?a=b")}}}), 1),
        (json!({"squadId": "four"}), 1),
        (json!({"workflow": {"name": "w"}}), 1),
        (json!({"workflowId": "w"}), 0),
        (json!({"assistantId": "nora", "assistantOverrides": {"server": elsewhere}}), 0),
        (json!({"assistant": {"server": elsewhere}}), 0),
        (json!({"assistantId": "nora", "assistantOverrides": {"serverMessages": ["status-update"]}}), 0),
    ] {
        let (app, call) = placed_unheard(Engine::Memory, &body).await;
        assert_eq!(app.poll(&call).await.data(200)["status"], "completed", "{body}");
        assert_eq!((lost(&app, "all").await, told(&app).await), (is_lost, usize::try_from(is_lost).unwrap()), "{body}");
        app.finish().await;
    }
}
