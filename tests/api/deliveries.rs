//! Webhooks as they come in, for whoever looks on: what is shown, what is not, and to whom.

use ringback::simulate::Stage;
use serde_json::{Value, json};

use crate::support::{
    app::{Engine, Story, on_every_engine},
    ask::Ask,
    calls::{message, message_of_no_call, path, talk},
    stream::{Heard, Listener},
    vapi::CALL,
};

const DELIVERIES: &str = "/api/v1/vapi/deliveries";

on_every_engine! {
    webhooks_are_shown_as_they_are_taken
    of_an_erased_call_nothing_is_shown
}

fn shown(heard: &Heard) -> (&str, &str) {
    (heard.data["data"]["type"].as_str().expect("a type"), heard.data["data"]["result"].as_str().expect("a result"))
}

async fn webhooks_are_shown_as_they_are_taken(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let url = app.listen().await;
    app.hears_status(&talk("before"), Stage::Ringing).await;
    let mut stream = Listener::open(&format!("{url}{DELIVERIES}"), None).await;
    let status = message("status-update", CALL, json!({"status": "ringing", "new": [1.0, null], "apiKey": "hunter2"}));
    let partial = message("transcript", CALL, json!({"role": "user", "transcriptType": "partial", "transcript": "I wou"}));
    let alone = message_of_no_call("chat.created", json!({}));
    for body in [&status, &status, &partial, &alone] {
        app.hears(body).await;
    }
    let heard = stream.hear(4).await;
    let all: Vec<_> = heard.iter().map(shown).collect();
    assert_eq!(
        all,
        [("status-update", "stored"), ("status-update", "duplicate"), ("transcript", "not_kept"), ("chat.created", "stored")],
        "what is not kept is shown, too"
    );
    let first = &heard[0].data;
    assert_eq!((&first["id"], &first["sequence"], &first["callId"]), (&Value::Null, &Value::Null, &json!(CALL)));
    assert_eq!(first["data"]["proof"], "secret");
    let mut expected = status.clone();
    expected["message"]["apiKey"] = json!("[redacted]");
    assert_eq!(first["data"]["body"], expected, "as it came, without secrets");
    assert_eq!(heard[3].data["callId"], Value::Null);
    let timeline = app.get(&format!("{}/timeline", path(CALL))).await.data(200);
    assert_eq!(first["data"]["eventId"], timeline[0]["eventId"], "it can be found in the timeline");

    app.ask("POST", "/api/v1/vapi/webhook").body(status.to_string()).send().await;
    stream.is_quiet().await;
    app.work().await;
    app.finish().await;
}

async fn of_an_erased_call_nothing_is_shown(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let url = app.listen().await;
    app.hears_status(&talk(CALL), Stage::Ringing).await;
    app.ask("DELETE", &path(CALL)).send().await.data(200);
    let mut stream = Listener::open(&format!("{url}{DELIVERIES}"), None).await;
    app.hears_status(&talk(CALL), Stage::InProgress).await;
    app.hears(&message("transcript", CALL, json!({"role": "user", "transcriptType": "partial", "transcript": "Psst"}))).await;
    app.hears_report(&talk(CALL)).await;
    stream.is_quiet().await;
    app.finish().await;
}

#[tokio::test]
async fn a_question_is_shown_before_its_answer_is_there() {
    let tools = "[tools.slow]\nurl = \"http://127.0.0.1:1/\"\ntimeout_seconds = 5\n";
    let app = Story::new().with("TOOLS", tools).begin().await;
    let url = app.listen().await;
    let mut stream = Listener::open(&format!("{url}{DELIVERIES}?types=tool-calls"), None).await;
    app.hears(&message("tool-calls", CALL, json!({"toolCallList": [{"id": "t", "function": {"name": "slow"}}]}))).await;
    assert_eq!(shown(&stream.next().await.expect("an event")), ("tool-calls", "stored"));
    app.finish().await;
}

#[tokio::test]
async fn calls_and_types_can_be_picked() {
    let app = Story::new().begin().await;
    let url = app.listen().await;
    let mut reports = Listener::open(&format!("{url}{DELIVERIES}?types=end-of-call-report,hang"), None).await;
    let mut one = Listener::open(&format!("{url}{DELIVERIES}?callId=two"), None).await;
    for id in ["one", "two"] {
        app.hears_status(&talk(id), Stage::Ringing).await;
        app.hears_report(&talk(id)).await;
    }
    assert!(reports.hear(2).await.iter().all(|heard| shown(heard).0 == "end-of-call-report"));
    assert!(one.hear(2).await.iter().all(|heard| heard.data["callId"] == "two"));
    reports.is_quiet().await;
    one.is_quiet().await;
    app.finish().await;
}

#[tokio::test]
async fn only_an_admin_looks_on_and_never_by_a_token_in_the_address() {
    let tokens = "poll:p=poll-token-0123456789,read:r=read-token-0123456789,place:c=place-token-0123456789,admin:a=admin-token-0123456789";
    let app = Story::new().with("API_TOKENS", tokens).begin().await;
    for (name, status) in [("poll", 403), ("read", 403), ("place", 403), ("admin", 200), ("other", 401)] {
        let token = format!("{name}-token-0123456789");
        assert_eq!(Ask::token(app.ask("GET", DELIVERIES), &token).send().await.status, status, "{name}");
        assert_eq!(app.get(&format!("{DELIVERIES}?access_token={token}")).await.status, 401, "{name}");
    }
    assert_eq!(app.get(DELIVERIES).await.status, 401);
    app.finish().await;
}

#[tokio::test]
async fn there_is_room_for_some_and_who_leaves_makes_room() {
    let app = Story::new().begin().await;
    let url = format!("{}{DELIVERIES}", app.listen().await);
    let mut all = Vec::new();
    for _ in 0..16 {
        all.push(Listener::open(&url, None).await);
    }
    assert_eq!(Listener::ask(&url, None).await.status(), 429);
    all.clear();
    let mut status = 429;
    for _ in 0..100 {
        status = Listener::ask(&url, None).await.status().as_u16();
        if status == 200 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(status, 200);
    app.finish().await;
}

#[tokio::test]
async fn who_does_not_read_is_let_go_and_told_so() {
    let app = Story::new().begin().await;
    let url = format!("{}{DELIVERIES}", app.listen().await);
    let mut slow = Listener::open(&url, None).await;
    // More than the sockets between take in, and more than the memory for it.
    let words = "x".repeat(1_000_000);
    for number in 0..100 {
        app.hears(&message("chat.created", CALL, json!({"number": number, "words": words}))).await;
    }
    let heard = slow.rest().await;
    let last = heard.last().expect("events");
    assert_eq!((last.event.as_str(), &last.data["data"]["reason"]), ("stream.dropped", &json!("too_slow")));
    assert!((1..101).contains(&heard.len()), "{}", heard.len());
    let mut next = Listener::open(&url, None).await;
    app.hears_status(&talk("next"), Stage::Ringing).await;
    assert_eq!(next.next().await.expect("an event").data["callId"], "next", "others hear on");
    app.finish().await;
}
