//! A call is erased for good: nothing of it is served, and nothing that comes later brings it back.

use futures_util::future::join_all;
use ringback::simulate::Stage;
use serde_json::{Value, json};

use crate::support::{
    app::{Engine, Story, TestApp, on_every_engine},
    calls::{late_talk, message, message_of_no_call, path, result, talk},
    vapi::CALL,
};

on_every_engine! {
    what_is_erased_is_gone_everywhere
    what_comes_later_is_taken_and_ignored
    an_unknown_call_leaves_a_tombstone_only_if_wanted
    dropping_from_memory_loses_nothing
    whoever_reads_while_a_call_is_erased_brings_nothing_back
    a_tombstone_lasts_as_long_as_a_record_would
}

async fn erase(app: &TestApp, id: &str, query: &str) -> Value {
    app.ask("DELETE", &format!("{}{query}", path(id))).send().await.data(200)
}

async fn what_is_erased_is_gone_everywhere(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    app.hears_report(&talk(CALL)).await;
    app.hears_report(&talk("other")).await;
    assert_eq!(erase(&app, CALL, "").await, json!({"deleted": true, "scope": "all"}));
    let told = app.poll(CALL).await.refused(404, "CALL_NOT_FOUND").json()["message"].to_string();
    assert!(told.contains("deleted") && !told.contains("later"), "nobody is told to come again: {told}");
    assert_eq!(app.ask("HEAD", &path(CALL)).send().await.status, 404);
    for gone in [result(CALL, ""), result(CALL, "wait=5"), format!("{}/timeline", path(CALL)), format!("{}/recording", path(CALL))] {
        let answer = app.get(&gone).await.refused(410, "CALL_DELETED");
        assert_eq!(answer.json()["callId"], CALL);
    }
    app.ask("POST", &format!("{}/fetch", path(CALL))).send().await.refused(410, "CALL_DELETED");
    for list in ["", "?q=nora", "/by-phone/15550199123"] {
        let found = app.get(&format!("/api/v1/vapi/calls{list}")).await.data(200);
        assert_eq!((found.as_array().map(Vec::len), &found[0]["id"]), (Some(1), &json!("other")), "{list}");
    }
    let entries = app.get("/api/v1/vapi/cache/stats").await.json()["stats"]["entries"].clone();
    assert_eq!((entries.as_array().map(Vec::len), &entries[0]["callId"]), (Some(1), &json!("other")));
    assert_eq!(erase(&app, CALL, "").await["deleted"], false, "once more is as good");
    app.live_through(60).await;
    assert_eq!(app.vapi.requests().len(), 0);
    app.finish().await;
}

async fn what_comes_later_is_taken_and_ignored(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.hears_status(&talk(CALL), Stage::InProgress).await;
    erase(&app, CALL, "").await;
    let ignored = json!("The call was deleted; ignored.");
    for stage in [Stage::InProgress, Stage::Dropped] {
        app.clock().advance(1_000);
        let body = ringback::simulate::bodies::status_update(&talk(CALL), stage, app.clock().now());
        assert_eq!(app.hears(&body).await["message"], ignored);
    }
    let report = ringback::simulate::bodies::end_of_call_report(&talk(CALL), app.clock().now());
    assert_eq!((&app.hears(&report).await["message"], &app.hears(&report).await["message"]), (&ignored, &ignored));
    let question = message("tool-calls", CALL, json!({"toolCallList": [{"id": "t", "name": "n"}]}));
    assert_eq!(app.hears(&question).await["results"][0]["error"], "No tool is configured.");
    let beside = message_of_no_call("hang", json!({})).to_string();
    let ask = app.ask("POST", "/api/v1/vapi/webhook").header("x-vapi-secret", crate::support::app::SECRET).header("x-call-id", CALL);
    assert_eq!(ask.body(beside).send().await.json()["message"], ignored);
    app.poll(CALL).await.refused(404, "CALL_NOT_FOUND");
    app.get(&result(CALL, "")).await.refused(410, "CALL_DELETED");
    assert_eq!(app.get("/api/v1/vapi/calls").await.json()["count"], 0);
    assert!(app.get("/metrics").await.text().contains("type=\"end-of-call-report\",result=\"deleted\"} 2"));
    if engine == Engine::Sqlite {
        let app = app.restart().await;
        assert_eq!(app.hears(&report).await["message"], ignored, "the tombstone outlives a restart");
        return app.finish().await;
    }
    app.finish().await;
}

async fn an_unknown_call_leaves_a_tombstone_only_if_wanted(engine: Engine) {
    let app = Story::on(engine).begin().await;
    assert_eq!(erase(&app, "unheard", "").await["deleted"], false);
    app.hears_report(&talk("unheard")).await;
    app.poll("unheard").await.data(200);
    for (id, query) in [("never-1", "?always=1"), ("never-2", "?always=true"), ("never-3", "?always")] {
        assert_eq!(erase(&app, id, query).await["deleted"], false);
        app.hears_report(&talk(id)).await;
        app.get(&result(id, "")).await.refused(410, "CALL_DELETED");
    }
    app.finish().await;
}

async fn dropping_from_memory_loses_nothing(engine: Engine) {
    let app = Story::on(engine).begin().await;
    app.hears_report(&late_talk(CALL)).await;
    let before = app.poll(CALL).await;
    assert_eq!(erase(&app, CALL, "?scope=cache").await["scope"], "cache");
    assert_eq!(app.get("/api/v1/vapi/cache/stats").await.json()["stats"]["size"], 0);
    assert_eq!(app.poll(CALL).await.bytes, before.bytes);
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    erase(&app, CALL, "?scope=cache").await;
    app.advance(4.0).await;
    assert_eq!(app.poll(CALL).await.data(200)["dataStatus"], "complete");
    app.ask("DELETE", &format!("{}?scope=disk", path(CALL))).send().await.refused(400, "INVALID_PARAMETER");
    app.finish().await;
}

/// A reader that loaded the record before it was erased must not put it back into memory afterwards.
async fn whoever_reads_while_a_call_is_erased_brings_nothing_back(engine: Engine) {
    let app = Story::on(engine).begin().await;
    for number in 0..30 {
        let id = format!("call-{number}");
        // It takes a while to read.
        app.hears_report(&talk(&id).with_turns(600)).await;
        erase(&app, &id, "?scope=cache").await;
        let reads = join_all((0..4).map(|_| app.poll(&id)));
        tokio::join!(reads, erase(&app, &id, ""));
        app.poll(&id).await.refused(404, "CALL_NOT_FOUND");
    }
    app.finish().await;
}

async fn a_tombstone_lasts_as_long_as_a_record_would(engine: Engine) {
    let app = Story::on(engine).with("RETENTION_DAYS", "10").begin().await;
    app.hears_report(&talk(CALL)).await;
    erase(&app, CALL, "").await;
    for (days, status) in [(9, 410), (2, 202)] {
        app.clock().advance(days * 86_400_000);
        app.app().keeper().purge(app.app().lifecycle()).await.expect("the store answers");
        assert_eq!(app.get(&result(CALL, "")).await.status, status);
    }
    app.finish().await;
}
