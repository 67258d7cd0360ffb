//! Whole calls over the wire: the fake Vapi plays them, the service listens, and whatever happens to the webhooks, the results are the same.

use std::{collections::BTreeMap, time::Duration};

use ringback::{
    simulate::{Auth, Options, Scenario},
    vapi::client::plain_http,
};
use serde_json::{Value, json};

use crate::support::{
    app::{Engine, Story, on_every_engine},
    calls::result,
};

on_every_engine! {
    order_and_repeats_of_webhooks_do_not_matter
    lost_reports_are_found_and_late_analysis_is_fetched
    a_waiting_client_is_answered_when_the_report_arrives
}

/// What depends on when we heard of it.
const OURS: [&str; 6] = ["version", "createdAt", "updatedAt", "webhookReceivedAt", "fetchedAt", "fetchAttempts"];

/// Plays every scenario twice and returns what became of the calls, in the order in which they were placed.
async fn played(engine: Engine, change: impl FnOnce(&mut Options)) -> Vec<Value> {
    let app = Story::on(engine).with_vapi(|options| options.scenario = Scenario::All).with_vapi(change).begin().await;
    app.listen().await;
    let ids: Vec<String> = (0..12).map(|_| app.vapi.place(json!({"assistantId": "a-1", "metadata": {"campaign": "spring"}}))).collect();
    app.vapi.played().await;
    let refused: Vec<_> = app.vapi.deliveries().into_iter().filter(|delivery| delivery.status != Some(200)).collect();
    assert!(refused.is_empty(), "{refused:?}");
    app.live_through(100).await;
    let mut results = Vec::new();
    for id in &ids {
        let mut call = app.poll(id).await.data(200);
        assert_eq!(call["dataStatus"], "complete", "{call}");
        for key in OURS {
            call.as_object_mut().expect("an object").remove(key);
        }
        results.push(call);
    }
    let listed = app.get("/api/v1/vapi/calls?callStatus=ended&dataStatus=complete&metadata.campaign=spring").await;
    assert_eq!(listed.json()["count"], 12);
    app.finish().await;
    results
}

async fn order_and_repeats_of_webhooks_do_not_matter(engine: Engine) {
    let calm = played(engine, |options| options.seed = 7).await;
    let statuses: BTreeMap<String, usize> = calm.iter().fold(BTreeMap::new(), |mut counts, call| {
        *counts.entry(call["outcome"]["kind"].to_string()).or_default() += 1;
        counts
    });
    let expected = [("\"busy\"", 2), ("\"completed\"", 4), ("\"error\"", 2), ("\"no_answer\"", 2), ("\"voicemail\"", 2)];
    assert_eq!(statuses, expected.map(|(kind, count)| (kind.to_owned(), count)).into_iter().collect());
    for (seed, auth) in [(7, Auth::Hmac), (7, Auth::Standard)] {
        let wild = played(engine, |options| {
            (options.seed, options.auth, options.duplicate, options.shuffle) = (seed, auth, 0.5, true);
        });
        for (calm, wild) in calm.iter().zip(wild.await) {
            let differ: Vec<&String> = calm
                .as_object()
                .expect("an object")
                .keys()
                .filter(|key| without_ids(&calm[key.as_str()]) != without_ids(&wild[key.as_str()]))
                .collect();
            assert!(differ.is_empty(), "{differ:?}: {calm} {wild}");
        }
    }
}

/// Ids are drawn by chance, which other proofs and repeats consume as well.
fn without_ids(value: &Value) -> String {
    let text = value.to_string();
    let is_id = |word: &str| word.len() >= 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .filter(|word| !is_id(word.trim_start_matches("call_")))
        .collect::<Vec<_>>()
        .join(" ")
}

async fn lost_reports_are_found_and_late_analysis_is_fetched(engine: Engine) {
    let heard = played(engine, |options| options.late_analysis = true).await;
    let found = played(engine, |options| options.drop_report = 1).await;
    for (heard, found) in heard.iter().zip(&found) {
        for key in ["status", "endedReason", "transcript", "analysis", "durationSeconds"] {
            assert_eq!(heard[key], found[key], "{key}");
        }
        let talked = heard["outcome"]["connected"] == true;
        assert_eq!(heard["outcome"]["analysisMissing"], !talked, "{heard}");
    }
}

async fn a_waiting_client_is_answered_when_the_report_arrives(engine: Engine) {
    let app = Story::on(engine).with_vapi(|options| options.pace = 0.02).begin().await;
    let url = app.listen().await;
    let id = app.vapi.place(json!({"assistantId": "a-1"}));
    let http = plain_http().expect("a client");
    let waiting = http.get(format!("{url}{}", result(&id, "wait=60"))).timeout(Duration::from_secs(30)).send();
    let answer = waiting.await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.headers()["x-call-id"].to_str().ok()), (200, Some(id.as_str())));
    let body: Value = answer.json().await.expect("JSON");
    assert_eq!((&body["done"], &body["data"]["status"]), (&json!(true), &json!("completed")));
    app.vapi.played().await;
    app.finish().await;
}
