//! Every change is noted before it is done, by whom and from where; and of every token it is known when it was used last.

use ringback::call::time::{DAY, Millis};
use serde_json::{Value, json};

use crate::{
    dashboard::{ADMIN, PLACE, POLL, READ, guarded},
    support::{
        answer::keys,
        app::{Engine, Story, TestApp, on_every_engine},
        calls::{path, result, talk},
        vapi::{CALL, START},
    },
};

on_every_engine! {
    a_change_is_noted_with_who_and_what_and_how_it_was_answered
    the_log_is_read_page_by_page_and_outlives_a_restart
    a_change_that_was_cut_short_stands_there_without_an_outcome
    a_token_was_used_last_when_anybody_used_it_last
}

const AUDIT: &str = "/api/v1/vapi/audit";
const TOKENS: &str = "/api/v1/vapi/tokens";
const CACHE: &str = "/api/v1/vapi/cache";
const SUBSCRIPTIONS: &str = "/api/v1/vapi/subscriptions";
const HERE: &str = "http://localhost:8000";

async fn log(app: &TestApp) -> Vec<Value> {
    app.ask("GET", AUDIT).token(READ).send().await.data(200).as_array().expect("a list").clone()
}

/// What was done, by whom, to what, and how it was answered; the newest first.
async fn brief(app: &TestApp) -> Vec<(String, Value, Value, Value)> {
    let row = |row: Value| {
        (row["action"].as_str().unwrap_or_default().to_owned(), row["token"].clone(), row["subject"].clone(), row["status"].clone())
    };
    log(app).await.into_iter().map(row).collect()
}

/// No part of a number such as +15551234567. Ids are random, and may have three such digits; the whole number they have not.
fn assert_no_number(row: &Value) {
    assert!(!row.to_string().contains("5551234567"), "{row}");
    let mut rest = row.clone();
    for id in ["id", "requestId", "subject"] {
        rest.as_object_mut().expect("a row").remove(id).expect("an id");
    }
    assert!(!rest.to_string().contains("555"), "{row}");
}

fn done(action: &str, token: &str, subject: impl Into<Value>, status: u16) -> (String, Value, Value, Value) {
    (action.to_owned(), json!(token), subject.into(), json!(status))
}

async fn a_change_is_noted_with_who_and_what_and_how_it_was_answered(engine: Engine) {
    let app = guarded(Story::on(engine)).with("OUTBOUND_ALLOW", "127.0.0.1").begin().await;
    app.hears_report(&talk(CALL)).await;
    let draft = json!({"url": "http://127.0.0.1:9/hook?key=very-secret", "events": ["call.done"], "headers": {"x-key": "very-secret"}});
    let made = app.ask("POST", SUBSCRIPTIONS).token(ADMIN).body(draft.to_string()).send().await.data(201);
    let id = made["id"].as_str().expect("an id");
    let about = |method: &'static str, rest: &str| app.ask(method, &format!("{SUBSCRIPTIONS}/{id}{rest}")).token(ADMIN);
    assert_eq!(about("PATCH", "").body(json!({"description": "mine"}).to_string()).send().await.status, 200);
    assert_eq!(about("POST", "/rotate").send().await.status, 200);
    assert_eq!(about("POST", "/pause").send().await.status, 200);
    assert_eq!(about("POST", "/redeliver").body(json!({"ids": ["x"]}).to_string()).send().await.status, 200);
    assert_eq!(about("DELETE", "").send().await.status, 200);
    app.ask("POST", &format!("{}/cancel", path(CALL))).token(PLACE).send().await.refused(409, "CALL_ENDED");
    let asked = app.ask("DELETE", &path(CALL)).token(ADMIN).header("x-request-id", "req-1").from("127.0.0.9").send().await;
    assert_eq!(asked.status, 200);
    assert_eq!(app.ask("DELETE", CACHE).token(ADMIN).send().await.status, 200);
    assert_eq!(
        brief(&app).await,
        [
            done("cache.clear", "ops", Value::Null, 200),
            done("call.delete", "ops", CALL, 200),
            done("call.cancel", "dial", CALL, 409),
            done("subscription.delete", "ops", id, 200),
            done("subscription.redeliver", "ops", id, 200),
            done("subscription.pause", "ops", id, 200),
            done("subscription.rotate", "ops", id, 200),
            done("subscription.change", "ops", id, 200),
            done("subscription.create", "ops", id, 201),
        ]
    );
    let rows = log(&app).await;
    assert_eq!(keys(&rows[1]), ["action", "at", "clientIp", "id", "requestId", "status", "subject", "token"].into());
    assert_eq!((&rows[1]["requestId"], &rows[1]["clientIp"]), (&json!("req-1"), &json!("127.0.0.9")));
    assert_eq!(rows[1]["at"], app.clock().now().to_string());
    let text = serde_json::to_string(&rows).expect("JSON");
    assert!(!text.contains("very-secret") && !text.contains("whsec_"), "{text}");
    app.finish().await;
}

async fn the_log_is_read_page_by_page_and_outlives_a_restart(engine: Engine) {
    let mut app = guarded(Story::on(engine)).with("RETENTION_DAYS", "2").begin().await;
    for number in 0..5 {
        assert_eq!(app.ask("DELETE", &path(&format!("call-{number}"))).token(ADMIN).send().await.status, 200);
        app.clock().advance(number % 2);
    }
    if engine != Engine::Memory {
        app = app.restart().await;
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.ask("GET", &format!("{AUDIT}?limit=2&cursor={cursor}")).token(READ).send().await;
        let rows = page.data(200);
        seen.extend(rows.as_array().expect("a list").iter().map(|row| row["subject"].as_str().unwrap_or_default().to_owned()));
        match page.json()["pagination"]["nextCursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(seen, ["call-4", "call-3", "call-2", "call-1", "call-0"]);
    app.clock().advance(2 * DAY + 2);
    assert_eq!(log(&app).await, Vec::<Value>::new(), "kept as long as records are");
    app.app().keeper().purge(app.app().lifecycle()).await.expect("the store answers");
    app.finish().await;
}

async fn a_change_that_was_cut_short_stands_there_without_an_outcome(engine: Engine) {
    let mut app = guarded(Story::on(engine)).begin().await;
    let deed = ringback::audit::Deed { action: "call.delete".to_owned(), subject: Some(CALL.to_owned()), ..Default::default() };
    // As the extractor does, right before the handler; then the process is killed.
    app.api().audit.begin(deed).await.expect("the store answers");
    if engine != Engine::Memory {
        app = app.restart().await;
    }
    assert_eq!(brief(&app).await, [("call.delete".to_owned(), Value::Null, json!(CALL), Value::Null)]);
    app.finish().await;
}

#[tokio::test]
async fn what_cant_be_noted_is_not_done() {
    let app = guarded(Story::new()).begin().await;
    app.hears_report(&talk(CALL)).await;
    app.lose_store().await;
    app.ask("DELETE", CACHE).token(ADMIN).send().await.refused(503, "STORE_UNAVAILABLE");
    let still = app.ask("GET", &path(CALL)).token(READ).send().await;
    assert_eq!(still.status, 200, "the cache was not cleared");
    app.finish().await;
}

#[tokio::test]
async fn who_only_looks_or_is_not_let_in_leaves_no_trace() {
    let app = guarded(Story::new()).begin().await;
    app.hears_report(&talk(CALL)).await;
    app.post_webhook(&json!({})).await.refused(400, "INVALID_PAYLOAD");
    for method in ["GET", "HEAD"] {
        assert_eq!(app.ask(method, &path(CALL)).token(READ).send().await.status, 200);
    }
    app.ask("DELETE", &path(CALL)).send().await.refused(401, "UNAUTHORIZED");
    app.ask("DELETE", &path(CALL)).token(READ).send().await.refused(403, "FORBIDDEN");
    app.ask("DELETE", &path(CALL)).token(ADMIN).header("origin", "https://elsewhere.example").send().await.refused(403, "FOREIGN_ORIGIN");
    app.ask("DELETE", "/livez").token(ADMIN).send().await.refused(405, "METHOD_NOT_ALLOWED");
    let draft = json!({"providerName": "a", "providerPhone": "+15551234567", "serviceNeeded": "b"}).to_string();
    assert_eq!(app.ask("POST", "/api/v1/vapi/assistant-config").token(PLACE).body(draft).send().await.status, 200);
    app.ask("POST", "/session")
        .header("origin", HERE)
        .body(json!({"token": "no-token"}).to_string())
        .send()
        .await
        .refused(401, "UNAUTHORIZED");
    assert_eq!(log(&app).await, Vec::<Value>::new());
    app.ask("GET", AUDIT).token(POLL).send().await.refused(403, "FORBIDDEN");
    app.ask("GET", &format!("{AUDIT}?cursor=nonsense")).token(READ).send().await.refused(400, "INVALID_PARAMETER");
    app.finish().await;
}

#[tokio::test]
async fn a_call_that_was_only_dropped_from_memory_was_not_deleted() {
    let app = guarded(Story::new()).begin().await;
    app.hears_report(&talk(CALL)).await;
    let erase = |query: &str| app.ask("DELETE", &format!("{}{query}", path(CALL))).token(ADMIN).send();
    assert_eq!(erase("?scope=cache").await.data(200)["scope"], "cache");
    assert_eq!(erase("?scope=cache&scope=").await.data(200)["scope"], "all", "the last word counts");
    erase("?scope=nonsense").await.refused(400, "INVALID_PARAMETER");
    let noted = [done("call.delete", "ops", CALL, 400), done("call.delete", "ops", CALL, 200), done("cache.drop", "ops", CALL, 200)];
    assert_eq!(brief(&app).await, noted);
    app.finish().await;
}

#[tokio::test]
async fn an_id_that_is_none_is_not_copied_into_the_log() {
    let app = guarded(Story::new()).begin().await;
    app.ask("DELETE", &path("%2B1%20555")).token(ADMIN).send().await.refused(400, "INVALID_PARAMETER");
    assert_eq!(brief(&app).await, [done("call.delete", "ops", Value::Null, 400)]);
    app.finish().await;
}

#[tokio::test]
async fn signing_in_and_out_are_noted_and_so_is_what_is_done_with_a_session() {
    let app = guarded(Story::new()).begin().await;
    let answer = app.ask("POST", "/session").header("origin", HERE).body(json!({"token": ADMIN}).to_string()).send().await;
    let cookie = answer.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
    for (method, path) in [("DELETE", CACHE), ("DELETE", "/session")] {
        let answer = app.ask(method, path).header("cookie", &cookie).header("origin", HERE).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    // Nobody was signed in any more.
    assert_eq!(app.ask("DELETE", "/session").header("origin", HERE).send().await.status, 200);
    let expected = ["sign-out", "cache.clear", "sign-in"].map(|action| done(action, "ops", Value::Null, 200));
    assert_eq!(brief(&app).await, expected);
    app.finish().await;
}

#[tokio::test]
async fn a_placed_call_is_noted_with_its_id() {
    let app = guarded(Story::new()).placing().with("PUBLIC_URL", "https://calls.example.com").begin().await;
    let draft = json!({"providerName": "a", "providerPhone": "+15551234567", "serviceNeeded": "b"}).to_string();
    let placed = app.ask("POST", "/api/v1/vapi/calls").token(PLACE).body(draft).send().await;
    let id = placed.data(201)["id"].clone();
    assert_eq!(brief(&app).await, [done("call.place", "dial", id.clone(), 201)]);
    assert_no_number(&log(&app).await[0]);
    assert_eq!(app.ask("GET", &result(id.as_str().unwrap_or_default(), "")).token(READ).send().await.status, 202);
    app.work().await;
    app.finish().await;
}

#[tokio::test]
async fn a_batch_is_noted_with_its_id_and_so_is_its_end() {
    let app = guarded(Story::new()).placing().with("PUBLIC_URL", "https://calls.example.com").begin().await;
    let request = json!({"providerName": "a", "providerPhone": "+15551234567", "serviceNeeded": "b"});
    let draft = json!({"requests": [request]}).to_string();
    let made = app.ask("POST", "/api/v1/vapi/batches").token(PLACE).body(draft).send().await.data(201)["batchId"].clone();
    let cancel = format!("/api/v1/vapi/batches/{}/cancel", made.as_str().expect("an id"));
    assert_eq!(app.ask("POST", &cancel).token(PLACE).send().await.status, 200);
    assert_eq!(brief(&app).await, [done("batch.cancel", "dial", made.clone(), 200), done("batch.create", "dial", made, 201)]);
    log(&app).await.iter().for_each(assert_no_number);
    app.finish().await;
}

#[tokio::test]
async fn what_the_doctor_changes_at_vapi_is_noted_by_whoever_may_do_everything() {
    let app = guarded(Story::new()).begin().await;
    let post = |token: &'static str, body: Value| app.ask("POST", AUDIT).token(token).body(body.to_string()).send();
    let fix = json!({"action": "doctor.fix", "subjects": ["assistant:a-1", "org"]});
    post(PLACE, fix.clone()).await.refused(403, "FORBIDDEN");
    assert_eq!(post(ADMIN, fix).await.data(201), json!({"noted": 2}));
    for wrong in [
        json!({"action": "call.delete", "subjects": ["a"]}),
        json!({"action": "doctor.fix", "subjects": []}),
        json!({"action": "doctor.fix", "subjects": ["a b"]}),
        json!({"action": "doctor.fix"}),
        json!([]),
    ] {
        post(ADMIN, wrong).await.refused(400, "INVALID_PAYLOAD");
    }
    let rows: Vec<_> = brief(&app).await;
    let noted = |subject: &str| ("doctor.fix".to_owned(), json!("ops"), json!(subject), Value::Null);
    assert_eq!(rows, [noted("org"), noted("assistant:a-1")]);
    app.finish().await;
}

async fn a_token_was_used_last_when_anybody_used_it_last(engine: Engine) {
    let mut app = guarded(Story::on(engine)).begin().await;
    app.hears_report(&talk(CALL)).await;
    let used = async |app: &TestApp| {
        let rows = app.ask("GET", TOKENS).token(READ).send().await.data(200);
        let row = |row: &Value| (row["name"].as_str().unwrap_or_default().to_owned(), row["scope"].clone(), row["lastUsedAt"].clone());
        rows.as_array().expect("a list").iter().map(row).collect::<Vec<_>>()
    };
    let at = |minutes: i64| json!(Millis((START.0.div_euclid(60_000) + minutes) * 60_000).to_string());
    assert_eq!(app.ask("GET", &path(CALL)).token(POLL).send().await.status, 200);
    app.clock().advance(5 * 60_000);
    let row = |name: &str, scope: &str, at: Value| (name.to_owned(), json!(scope), at);
    let expected =
        [row("ops", "admin", Value::Null), row("dial", "place", Value::Null), row("eyes", "read", at(5)), row("wait", "poll", at(0))];
    assert_eq!(used(&app).await, expected);
    if engine != Engine::Memory {
        app.api().usage.write().await.expect("the store answers");
        app = app.restart().await;
        assert_eq!(used(&app).await, expected, "it outlives a restart");
    }
    if matches!(engine, Engine::Postgres | Engine::Redis) {
        let other = app.beside().await;
        app.clock().advance(60_000);
        assert_eq!(other.ask("GET", &path(CALL)).token(PLACE).send().await.status, 200);
        other.api().usage.write().await.expect("the store answers");
        app.api().usage.write().await.expect("the store answers");
        assert_eq!(used(&app).await[1], row("dial", "place", at(6)), "of several instances the latest use counts");
        other.finish().await;
    }
    app.ask("GET", TOKENS).token(POLL).send().await.refused(403, "FORBIDDEN");
    app.finish().await;
}

#[tokio::test]
async fn what_is_used_while_the_service_stops_is_written_too() {
    let app = guarded(Story::on(Engine::Sqlite)).begin().await;
    let app = app
        .run_with(async |_url, api| {
            let late = api.clone();
            // Such as a request that was under way.
            api.lifecycle.spawn_quiet(async move {
                late.lifecycle.soft_stopped().await;
                tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                late.usage.note("wait");
            });
        })
        .await;
    assert!(app.api().usage.last("wait").await.expect("the store answers").is_some());
    app.finish().await;
}
