//! Somebody polls a call until it has a result.

use std::collections::BTreeSet;

use ringback::simulate::Stage;
use serde_json::{Value, json};

use crate::support::{
    answer::keys,
    app::{Engine, Story, TestApp, on_every_engine},
    calls::{late_talk, message, path, talk, unanswered},
    vapi::CALL,
};

on_every_engine! {
    a_call_is_unknown_then_not_ready_then_there
    the_original_poller_gets_what_it_reads_when_it_reads_it
    the_original_client_that_counts_404s_sees_the_call_complete_in_time
    what_is_served_after_a_restart_and_after_leaving_memory_is_the_same_to_the_byte
    a_change_gives_another_etag_and_no_change_gives_304
    head_answers_as_get_without_a_body
}

async fn a_call_is_unknown_then_not_ready_then_there(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.poll(CALL).await.refused(404, "CALL_NOT_FOUND");
    for stage in [Stage::Queued, Stage::Ringing, Stage::InProgress, Stage::Dropped] {
        app.hears_status(&talk(CALL), stage).await;
        let answer = app.poll(CALL).await.refused(404, "CALL_NOT_READY");
        assert_eq!((answer.json()["callId"].as_str(), answer.header("x-call-id")), (Some(CALL), CALL));
    }
    app.hears_report(&talk(CALL)).await;
    let data = app.poll(CALL).await.data(200);
    assert_eq!((&data["status"], &data["dataStatus"], &data["callStatus"]), (&json!("completed"), &json!("complete"), &json!("ended")));
    app.finish().await;
}

/// `call-provider-webhook.js`: a plain GET every 5 s; 404 means wait; then it reads what is checked here.
async fn the_original_poller_gets_what_it_reads_when_it_reads_it(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.poll(CALL).await.refused(404, "CALL_NOT_FOUND");
    app.hears_status(&talk(CALL), Stage::InProgress).await;
    app.vapi_knows(&talk(CALL), Stage::InProgress);
    app.advance(5.0).await;
    app.poll(CALL).await.refused(404, "CALL_NOT_READY");
    app.vapi_knows(&late_talk(CALL), Stage::Reported);
    app.hears_report(&late_talk(CALL)).await;
    let first = app.poll(CALL).await.data(200);
    assert_eq!(
        (&first["status"], &first["dataStatus"], &first["analysis"]["summary"]),
        (&json!("completed"), &json!("partial"), &json!(""))
    );
    app.advance(5.0).await;
    assert_eq!(app.poll(CALL).await.data(200)["dataStatus"], "fetching");
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    let mut polls = 0;
    let last = loop {
        app.advance(5.0).await;
        polls += 1;
        let data = app.poll(CALL).await.data(200);
        if matches!(data["dataStatus"].as_str(), Some("complete" | "fetch_failed")) {
            break data;
        }
    };
    assert!(polls <= 3, "{polls} polls");
    assert_eq!(last["status"], "completed");
    assert!(last["transcript"].as_str().is_some_and(|transcript| transcript.len() > 50));
    assert!(last["analysis"]["summary"].as_str().is_some_and(|summary| summary.starts_with("The assistant asked")));
    assert_eq!(last["analysis"]["structuredData"]["availability"], "Thursday morning");
    assert_eq!(last["analysis"]["successEvaluation"], "true");
    assert_eq!(last["endedReason"], "customer-ended-call");
    assert!(last["duration"].as_f64().is_some_and(|minutes| (0.2..1.0).contains(&minutes)), "{}", last["duration"]);
    assert!(last["cost"].as_f64().is_some_and(|dollars| dollars > 0.0));
    app.finish().await;
}

/// `DirectVapiClient.waitForWebhookResult`: every 2 s; 30 times 404, or `fetching` with more than 10 attempts, make it give up.
async fn the_original_client_that_counts_404s_sees_the_call_complete_in_time(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.vapi_knows(&late_talk(CALL), Stage::Reported);
    app.hears_report(&late_talk(CALL)).await;
    for _ in 0..45 {
        app.advance(2.0).await;
        let data = app.poll(CALL).await.data(200);
        assert!(data["fetchAttempts"].as_u64() <= Some(5));
        if data["dataStatus"] == "complete" {
            assert_eq!(data["outcome"]["analysisMissingReason"], "never_came");
            return app.finish().await;
        }
    }
    panic!("90 s were not enough");
}

async fn what_is_served_after_a_restart_and_after_leaving_memory_is_the_same_to_the_byte(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.hears_report(&talk(CALL)).await;
    app.hears_report(&unanswered("nobody")).await;
    let first = (app.poll(CALL).await, app.poll("nobody").await);
    app.ask("DELETE", "/api/v1/vapi/cache").send().await.data(200);
    let again = (app.poll(CALL).await, app.poll("nobody").await);
    assert_eq!((&first.0.bytes, &first.1.bytes), (&again.0.bytes, &again.1.bytes));
    app.ask("DELETE", &format!("{}?scope=cache", path(CALL))).send().await.data(200);
    assert_eq!(app.poll(CALL).await.bytes, first.0.bytes);
    app.advance(1_801.0).await;
    assert_eq!(app.poll(CALL).await.bytes, first.0.bytes, "after its time in memory");
    if engine == Engine::Memory {
        return app.finish().await;
    }
    let app = app.restart().await;
    assert_eq!(app.poll(CALL).await.bytes, first.0.bytes);
    assert_eq!(app.poll("nobody").await.bytes, first.1.bytes);
    app.finish().await;
}

async fn a_change_gives_another_etag_and_no_change_gives_304(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.vapi_knows(&late_talk(CALL), Stage::Reported);
    app.hears_report(&late_talk(CALL)).await;
    let first = app.poll(CALL).await;
    let etag = first.header("etag").to_owned();
    let known = async |tag: &str| app.ask("GET", &path(CALL)).header("if-none-match", tag).send().await;
    for same in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".to_owned()] {
        let answer = known(&same).await;
        assert_eq!((answer.status, answer.header("etag"), answer.header("x-call-id")), (304, etag.as_str(), CALL), "{same}");
    }
    for other in ["\"0\"", etag.trim_matches('"'), "", "\"\u{1}\""] {
        if let Ok(value) = axum::http::HeaderValue::from_str(other) {
            assert_eq!(known(value.to_str().unwrap_or_default()).await.status, 200, "{other}");
        }
    }
    app.hears_report(&late_talk(CALL)).await;
    assert_eq!(known(&etag).await.status, 304, "a repeat is no change");
    app.advance(4.0).await;
    let after = known(&etag).await;
    assert_eq!((after.status, after.header("etag") == etag), (200, false), "a fetch is a change");
    app.finish().await;
}

async fn head_answers_as_get_without_a_body(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let head = async |status: u16| {
        let answer = app.ask("HEAD", &path(CALL)).send().await;
        assert_eq!(answer.status, status);
        answer
    };
    head(404).await;
    app.hears_status(&talk(CALL), Stage::Ringing).await;
    head(404).await;
    app.hears_report(&talk(CALL)).await;
    let (answer, full) = (head(200).await, app.poll(CALL).await);
    for name in ["etag", "content-type", "x-call-id", "cache-control"] {
        assert_eq!(answer.header(name), full.header(name), "{name}");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_summary_has_the_same_keys_without_the_bulk() {
    let app = Story::new().begin().await;
    let script = talk(CALL).with_metadata(json!({"providerName": "Rohr AG"})).with_tool_asked(2, "look_up", json!({"a": 1}));
    app.hears_report(&script).await;
    let full = app.poll(CALL).await.data(200);
    let summary = app.get(&format!("{}?view=summary", path(CALL))).await.data(200);
    assert_eq!(keys(&full), keys(&summary));
    let differ: BTreeSet<&str> = keys(&full).into_iter().filter(|key| full[key] != summary[key]).collect();
    assert_eq!(differ, BTreeSet::from(["transcript", "messages", "toolCalls", "costBreakdown", "metadata"]));
    assert_eq!((&summary["transcript"], &summary["messages"], &summary["metadata"]), (&json!(""), &json!([]), &json!({})));
    assert_eq!(summary["provider"]["name"], "Rohr AG");
    assert_eq!(app.get(&format!("{}?view=full", path(CALL))).await.data(200), full);
    app.get(&format!("{}?view=all", path(CALL))).await.refused(400, "INVALID_PARAMETER");
    app.finish().await;
}

#[tokio::test]
async fn slashes_too_many_and_headers_without_sense_are_forgiven() {
    let app = Story::new().begin().await;
    app.hears_report(&talk(CALL)).await;
    for path in
        ["//api/v1/vapi/calls/{id}", "/api/v1//vapi/calls///{id}/", "/api/v1/vapi/calls/{id}/", "/api/v1/vapi/calls/{id}//?view=full"]
    {
        assert_eq!(app.get(&path.replace("{id}", CALL)).await.status, 200, "{path}");
    }
    let odd = app.ask("GET", &path(CALL)).header("content-type", "application/json").header("accept", "text/html, application/xml;q=0.9");
    assert_eq!(odd.send().await.status, 200);
    let with_body = app.ask("GET", &path(CALL)).header("content-type", "application/json").body("{not json");
    assert_eq!(with_body.send().await.status, 200);
    app.finish().await;
}

#[tokio::test]
async fn ids_that_cannot_be_are_refused_and_odd_ones_that_can_be_are_not() {
    let app = Story::new().begin().await;
    let longest = "x".repeat(128);
    for odd in ["a", "A.b_c:d-e", "..", ".", "-", longest.as_str(), "%61bc"] {
        app.poll(odd).await.refused(404, "CALL_NOT_FOUND");
        assert_eq!(app.get(&format!("{}/result", path(odd))).await.status, 202, "{odd}");
    }
    for wrong in ["%20", "a%2Fb", "a%20b", "%00", "%FF", "é", "a'b", "%C3%A9", "{id}", &"x".repeat(129)] {
        let wrong = wrong.replace('{', "%7B").replace('}', "%7D").replace('é', "%C3%A9");
        for suffix in ["", "/result", "/timeline", "/recording"] {
            app.get(&format!("{}{suffix}", path(&wrong))).await.refused(400, "INVALID_PARAMETER");
        }
        app.ask("DELETE", &path(&wrong)).send().await.refused(400, "INVALID_PARAMETER");
        app.ask("POST", &format!("{}/fetch", path(&wrong))).send().await.refused(400, "INVALID_PARAMETER");
    }
    app.finish().await;
}

/// Everything that can be asked of a failed call: it is still a success.
#[tokio::test]
async fn a_failed_call_is_a_successful_answer() {
    let app = Story::new().begin().await;
    for (id, reason, status, kind) in [
        ("busy", "customer-busy", "no_answer", "busy"),
        ("nobody", "customer-did-not-answer", "no_answer", "no_answer"),
        ("mailbox", "voicemail", "voicemail", "voicemail"),
        ("carrier", "call.in-progress.error-providerfault-outbound-sip-503-service-unavailable", "error", "error"),
        ("canceled", "manually-canceled", "error", "canceled"),
        ("silent", "silence-timed-out", "timeout", "timeout"),
    ] {
        app.hears_report(&unanswered(id).ended_for(reason)).await;
        let data = app.poll(id).await.data(200);
        assert_eq!((&data["status"], &data["outcome"]["kind"]), (&json!(status), &json!(kind)), "{reason}");
        assert_eq!((&data["dataStatus"], &data["outcome"]["connected"]), (&json!("complete"), &json!(false)), "{reason}");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_report_of_two_words_shows_every_key_too() {
    let app = Story::new().without("VAPI_API_KEY").begin().await;
    app.hears(&message("end-of-call-report", "bare", json!({}))).await;
    let data = app.poll("bare").await.data(200);
    assert_eq!((&data["status"], &data["dataStatus"]), (&json!("error"), &json!("complete")));
    let empty = ["transcript", "error", "fetchError"].iter().all(|key| data[key] == "") && data["messages"] == json!([]);
    assert!(empty && data["costBreakdown"] == json!({}) && data["cost"] == Value::Null, "{data}");
    app.finish().await;
}

/// A provider's call shows what its readers expect, put in only as it is written out.
#[tokio::test]
async fn a_providers_call_shows_defaults_that_prove_nothing() {
    let app = Story::new().begin().await;
    let script = late_talk(CALL)
        .with_metadata(json!({"providerName": "Rohr AG", "providerPhone": "+15550111222", "serviceNeeded": "pipes",
        "userCriteria": "licensed", "location": "Bern", "urgency": "immediate", "serviceRequestId": 7, "providerId": "p-1"}));
    app.hears_report(&script).await;
    let data = app.poll(CALL).await.data(200);
    assert_eq!(data["analysis"]["structuredData"]["availability"], "unclear");
    assert_eq!(data["dataStatus"], "partial", "defaults are no evidence");
    assert_eq!(data["provider"], json!({"name": "Rohr AG", "phone": "+15550111222", "service": "pipes", "location": "Bern"}));
    assert_eq!(data["request"], json!({"criteria": "licensed", "urgency": "immediate"}));
    assert_eq!((&data["serviceRequestId"], &data["providerId"]), (&json!("7"), &json!("p-1")));
    let result = json!({"availability": "tomorrow", "recommended": true});
    app.vapi_knows(&script.with_analysis(json!({"structuredData": result})), Stage::Analysed);
    app.advance(4.0).await;
    let data = app.poll(CALL).await.data(200);
    let shown = &data["analysis"]["structuredData"];
    assert_eq!(
        (&shown["availability"], &shown["recommended"], &shown["estimated_rate"]),
        (&json!("tomorrow"), &json!(true), &json!("unknown"))
    );
    assert_eq!(data["dataStatus"], "complete");
    app.finish().await;
}

/// Nothing of this story is about one engine, but all of it about what every answer must have: see `Seen::check`.
#[tokio::test]
async fn versions_and_states_never_go_back_while_a_call_is_told_in_the_worst_order() {
    let app = Story::new().begin().await;
    app.hears_report(&late_talk(CALL)).await;
    for stage in [Stage::Dropped, Stage::Ringing, Stage::InProgress, Stage::Queued] {
        app.hears_status(&late_talk(CALL), stage).await;
        assert_eq!(app.poll(CALL).await.data(200)["callStatus"], "ended");
    }
    told_live(&app).await;
    app.finish().await;
}

async fn told_live(app: &TestApp) {
    let script = talk("live");
    for stage in [Stage::InProgress, Stage::Ringing, Stage::Queued, Stage::Dropped, Stage::InProgress] {
        app.hears_status(&script, stage).await;
        app.call("live").await;
    }
    assert_eq!(app.call("live").await["callStatus"], "ended");
}
