//! Calls as they go on: what those who listen hear, in which order, and who may.

use ringback::{
    call::time::SECOND,
    simulate::{Stage, bodies},
};
use serde_json::{Value, json};

use crate::support::{
    app::{Engine, Story, TestApp, on_every_engine},
    ask::Ask,
    calls::{late_talk, message, path, talk},
    stream::{Heard, Listener, Socket},
    vapi::CALL,
};

on_every_engine! {
    a_call_is_heard_from_its_first_ring_to_its_end
    who_listens_to_all_calls_hears_them_in_one_order
    who_was_cut_goes_on_where_it_was
    a_call_that_is_known_is_told_first_as_it_stands
    an_erased_call_is_told_and_then_gone
}

fn of(id: &str, query: &str) -> String {
    format!("{}/events?{query}", path(id))
}

const ALL: &str = "/api/v1/vapi/events";

fn line(id: &str, role: &str, words: &str, kind: &str, later: i64) -> Value {
    let mut line = message("transcript", id, json!({"role": role, "transcriptType": kind, "transcript": words}));
    line["message"]["timestamp"] = json!(crate::support::vapi::START.0 + later * SECOND);
    line
}

fn briefs(heard: &[Heard]) -> Vec<(String, u64)> {
    heard.iter().map(Heard::brief).collect()
}

fn named(names: &[(&str, u64)]) -> Vec<(String, u64)> {
    names.iter().map(|(name, sequence)| ((*name).to_owned(), *sequence)).collect()
}

async fn a_call_is_heard_from_its_first_ring_to_its_end(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let url = app.listen().await;
    let mut stream = Listener::open(&format!("{url}{}", of(CALL, "close=done")), None).await;
    stream.is_quiet().await;
    app.hears_status(&talk(CALL), Stage::Ringing).await;
    let first = stream.next().await.expect("an event");
    assert_eq!((first.brief(), &first.data["callId"]), (("call.updated".to_owned(), 1), &json!(CALL)));
    assert_eq!(first.data["data"]["callStatus"], "ringing");
    app.hears_status(&talk(CALL), Stage::InProgress).await;
    assert_eq!(stream.next().await.expect("an event").data["data"]["callStatus"], "in-progress");

    app.hears(&line(CALL, "user", "I would", "partial", 1)).await;
    let partial = stream.next().await.expect("an event");
    assert_eq!((partial.id, partial.event.as_str()), (None, "call.transcript"));
    assert_eq!(partial.data["sequence"], Value::Null);
    assert_eq!(
        partial.data["data"],
        json!({"role": "user", "message": "I would", "time": crate::support::vapi::START.0 + SECOND, "final": false})
    );
    app.hears(&line(CALL, "user", "I would like a table.", "final", 2)).await;
    let last = stream.next().await.expect("an event");
    assert_eq!((last.brief(), &last.data["data"]["final"]), (("call.transcript".to_owned(), 3), &json!(true)));
    assert_eq!(last.data["data"]["message"], "I would like a table.");

    let asked =
        message("tool-calls", CALL, json!({"toolCallList": [{"id": "t1", "function": {"name": "look_up", "arguments": {"a": 1}}}]}));
    app.hears(&asked).await;
    let tool = stream.next().await.expect("an event");
    assert_eq!(tool.brief(), ("call.tool".to_owned(), 4));
    assert_eq!((&tool.data["data"]["id"], &tool.data["data"]["name"]), (&json!("t1"), &json!("look_up")));

    app.hears_report(&talk(CALL)).await;
    let end = stream.rest().await;
    let states: Vec<_> = end.iter().filter(|heard| heard.event != "call.tool").map(|heard| heard.event.as_str()).collect();
    assert_eq!(states, ["call.updated", "call.ended", "call.done"], "{end:?}");
    let sequences: Vec<_> = end.iter().map(|heard| heard.brief().1).collect();
    assert_eq!(sequences, (5..5 + end.len() as u64).collect::<Vec<_>>());
    let (updated, done) = (&end[end.len() - 3].data["data"], &end[end.len() - 1].data["data"]);
    assert_eq!((&updated["transcript"], &updated["messages"]), (&json!(""), &json!([])));
    assert_eq!(done, &app.call(CALL).await, "done carries the whole record");
    app.finish().await;
}

async fn who_listens_to_all_calls_hears_them_in_one_order(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let url = app.listen().await;
    let mut stream = Listener::open(&format!("{url}{ALL}"), None).await;
    let mut other = Listener::open(&format!("{url}{ALL}?types=call.done,call.ended"), None).await;
    let mut socket = Socket::open(&url, "", None).await.expect("a socket");
    for number in 0..20 {
        app.hears_status(&talk(&format!("call-{number}")), Stage::Ringing).await;
    }
    let reports = (0..20).map(|number| talk(&format!("call-{number}"))).collect::<Vec<_>>();
    futures_util::future::join_all(reports.iter().map(|script| app.hears_report(script))).await;
    let heard = stream.hear(80).await;
    let ids: Vec<_> = heard.iter().map(|heard| heard.id.clone().expect("an id")).collect();
    assert!(ids.is_sorted() && ids.windows(2).all(|pair| pair[0] != pair[1]), "{ids:?}");
    for number in 0..20 {
        let of_call: Vec<_> = heard.iter().filter(|heard| heard.data["callId"] == format!("call-{number}")).cloned().collect();
        let all = [("call.updated", 1), ("call.updated", 2), ("call.ended", 3), ("call.done", 4)];
        assert_eq!(briefs(&of_call), named(&all));
    }
    let wanted: Vec<_> = heard.iter().filter(|heard| heard.event != "call.updated").cloned().collect();
    assert_eq!(other.hear(40).await, wanted, "a filter leaves out, and changes nothing");
    for heard in &heard {
        assert_eq!(socket.next().await, Ok(heard.data.clone()), "a socket hears the same objects");
    }
    app.finish().await;
}

async fn who_was_cut_goes_on_where_it_was(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let url = app.listen().await;
    let mut stream = Listener::open(&format!("{url}{ALL}"), None).await;
    for id in ["one", "two"] {
        app.hears_status(&talk(id), Stage::Ringing).await;
    }
    let first = stream.hear(2).await;
    drop(stream);
    // While nobody listens.
    app.hears(&line("one", "user", "Yes, please.", "final", 2)).await;
    app.hears_status(&talk("two"), Stage::InProgress).await;
    app.hears_report(&talk("one")).await;
    let last = first[1].id.as_deref();
    let missed = [("call.transcript", 2), ("call.updated", 2), ("call.updated", 3), ("call.ended", 4), ("call.done", 5)];
    let mut again = Listener::open(&format!("{url}{ALL}"), last).await;
    let heard = again.hear(5).await;
    assert_eq!(briefs(&heard), named(&missed));
    assert_eq!(heard[0].data["data"]["message"], "Yes, please.", "the words are found though the report came");
    again.is_quiet().await;
    app.hears_status(&talk("three"), Stage::Ringing).await;
    assert_eq!(again.next().await.expect("an event").data["callId"], "three", "and then live");
    // Of one call, by the query, over a socket, and from the middle.
    let query = format!("last_event_id={}", last.expect("an id"));
    let mut one = Listener::open(&format!("{url}{}", of("one", &query)), None).await;
    assert_eq!(one.hear(4).await, [&heard[0], &heard[2], &heard[3], &heard[4]].map(Clone::clone));
    let mut socket = Socket::open(&url, &query, None).await.expect("a socket");
    assert_eq!(socket.next().await, Ok(heard[0].data.clone()));
    let mut middle = Listener::open(&format!("{url}{ALL}"), heard[2].id.as_deref()).await;
    assert_eq!(middle.hear(2).await, heard[3..]);
    app.finish().await;
}

async fn a_call_that_is_known_is_told_first_as_it_stands(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let url = app.listen().await;
    app.hears_status(&talk("live"), Stage::InProgress).await;
    app.hears(&line("live", "user", "Yes.", "final", 2)).await;
    let mut live = Listener::open(&format!("{url}{}", of("live", "")), None).await;
    let first = live.next().await.expect("an event");
    assert_eq!((first.brief(), &first.data["data"]["callStatus"]), (("call.updated".to_owned(), 1), &json!("in-progress")));
    live.is_quiet().await;
    app.hears_report(&talk(CALL)).await;
    let mut done = Listener::open(&format!("{url}{}", of(CALL, "close=done&types=call.done")), None).await;
    let all = done.rest().await;
    assert_eq!(briefs(&all), named(&[("call.done", 3)]), "whoever comes late need not wait");
    // A browser comes back after that; it is told to stay away.
    let answer = Listener::ask(&format!("{url}{}", of(CALL, "close=done")), all[0].id.as_deref()).await;
    assert_eq!(answer.status(), 204);
    app.finish().await;
}

async fn an_erased_call_is_told_and_then_gone(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let url = app.listen().await;
    app.hears_status(&talk(CALL), Stage::InProgress).await;
    let mut wide = Listener::open(&format!("{url}{ALL}"), None).await;
    let mut one = Listener::open(&format!("{url}{}", of(CALL, "")), None).await;
    let known = one.next().await.expect("an event");
    app.ask("DELETE", &path(CALL)).send().await.data(200);
    let told = wide.next().await.expect("an event");
    assert_eq!((told.brief(), &told.data["data"]), (("call.deleted".to_owned(), 2), &json!({})));
    assert_eq!(one.rest().await, std::slice::from_ref(&told), "the stream of an erased call ends");
    app.hears(&line(CALL, "user", "Psst", "partial", 3)).await;
    app.hears_status(&talk(CALL), Stage::Dropped).await;
    wide.is_quiet().await;
    let answer = Listener::ask(&format!("{url}{}", of(CALL, "")), None).await;
    assert_eq!(answer.status(), 410);
    // Who was away hears that it is gone, and nothing of what it was.
    let from = known.id.map(|id| format!("{:016x}", u64::from_str_radix(&id, 16).expect("a number") - 1));
    let mut again = Listener::open(&format!("{url}{ALL}"), from.as_deref()).await;
    assert_eq!(again.hear(1).await, [told]);
    again.is_quiet().await;
    app.finish().await;
}

#[tokio::test]
async fn filters_leave_out_what_was_not_asked_for() {
    let app = Story::new().begin().await;
    let url = app.listen().await;
    let mut phone = Listener::open(&format!("{url}{ALL}?phone=%2B1%20555%200000000&types=call.done"), None).await;
    let mut status = Listener::open(&format!("{url}{ALL}?status=no_answer,voicemail"), None).await;
    let mut assistant = Listener::open(&format!("{url}{ALL}?assistantId=nobody"), None).await;
    app.hears_report(&talk("talk")).await;
    app.hears_report(&crate::support::calls::unanswered("missed")).await;
    let number = app.call("talk").await["customer"]["number"].clone();
    let mut same = Listener::open(&format!("{url}{ALL}?phone={}", number.as_str().expect("a number").trim_start_matches('+')), None).await;
    app.hears_report(&talk("again")).await;
    assert_eq!(same.next().await.expect("an event").data["callId"], "again");
    assert!(status.hear(3).await.iter().all(|heard| heard.data["callId"] == "missed"));
    phone.is_quiet().await;
    assistant.is_quiet().await;
    app.finish().await;
}

#[tokio::test]
async fn a_late_analysis_is_told_as_it_comes() {
    let app = Story::new().begin().await;
    let url = app.listen().await;
    let mut stream = Listener::open(&format!("{url}{}", of(CALL, "close=done")), None).await;
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    app.hears_report(&late_talk(CALL)).await;
    app.advance(4.0).await;
    let heard = stream.rest().await;
    let names: Vec<_> = heard.iter().map(|heard| heard.event.as_str()).collect();
    assert!(names.starts_with(&["call.updated", "call.ended"]) && names.ends_with(&["call.done"]), "{names:?}");
    assert_eq!(names.iter().filter(|name| **name == "call.ended").count(), 1);
    app.finish().await;
}

#[tokio::test]
async fn a_repeat_tells_nothing() {
    let app = Story::new().begin().await;
    let url = app.listen().await;
    let report = bodies::end_of_call_report(&talk(CALL), app.clock().now());
    app.hears(&report).await;
    let mut stream = Listener::open(&format!("{url}{ALL}"), None).await;
    app.hears(&report).await;
    stream.is_quiet().await;
    app.finish().await;
}

#[tokio::test]
async fn what_can_not_be_is_refused() {
    let app = Story::new().begin().await;
    for query in ["types=call.dnoe", "types=call.done,x", "close=soon", "status=complete", "phone=anybody", "phone=1,x"] {
        for place in [ALL.to_owned(), format!("{}/events", path(CALL))] {
            let answer = app.get(&format!("{place}?{query}")).await;
            assert_eq!(answer.refusal(), (400, "INVALID_PARAMETER".to_owned()), "{place}?{query}");
        }
    }
    assert_eq!(app.get("/api/v1/vapi/ws").await.refusal(), (400, "INVALID_PARAMETER".to_owned()), "no WebSocket");
    app.work().await;
    app.finish().await;
}

const TOKENS: &str =
    "poll:p=poll-token-0123456789,read:r=read-token-0123456789,place:c=place-token-0123456789,admin:a=admin-token-0123456789";

async fn status_of(app: &TestApp, path: &str, token: Option<&str>) -> u16 {
    let ask = app.ask("GET", path);
    token.into_iter().fold(ask, Ask::token).send().await.status
}

#[tokio::test]
async fn a_stream_takes_small_tokens_in_its_address_and_no_others() {
    let app = Story::new().with("API_TOKENS", TOKENS).begin().await;
    let (one, all, socket) = (format!("{}/events", path(CALL)), ALL, "/api/v1/vapi/ws");
    for (name, of_one, of_all) in [("poll", 200, 403), ("read", 200, 200), ("place", 401, 401), ("admin", 401, 401), ("other", 401, 401)] {
        let token = format!("{name}-token-0123456789");
        assert_eq!(status_of(&app, &format!("{one}?access_token={token}"), None).await, of_one, "{name}");
        assert_eq!(status_of(&app, &format!("{all}?access_token={token}"), None).await, of_all, "{name}");
        // 400: it is let in, but no WebSocket.
        let of_socket = if of_all == 200 { 400 } else { of_all };
        assert_eq!(status_of(&app, &format!("{socket}?access_token={token}"), None).await, of_socket, "{name}");
    }
    for (name, of_one, of_all) in [("poll", 200, 403), ("read", 200, 200), ("place", 200, 200), ("admin", 200, 200)] {
        let token = format!("{name}-token-0123456789");
        assert_eq!(status_of(&app, &one, Some(&token)).await, of_one, "{name}");
        assert_eq!(status_of(&app, all, Some(&token)).await, of_all, "{name}");
    }
    assert_eq!((status_of(&app, &one, None).await, status_of(&app, all, None).await), (401, 401));
    let elsewhere = format!("{}?access_token=read-token-0123456789", path(CALL));
    assert_eq!(status_of(&app, &elsewhere, None).await, 401, "only streams take a token so");
    app.work().await;
    app.finish().await;
}

#[tokio::test]
async fn a_page_of_another_origin_opens_no_socket() {
    let app = Story::new().with("CORS_ORIGINS", "https://friend.example").begin().await;
    let url = app.listen().await;
    assert_eq!(Socket::open(&url, "", Some(("origin", "https://elsewhere.example"))).await.err(), Some(403));
    for ours in ["https://friend.example", &url] {
        assert!(Socket::open(&url, "", Some(("origin", ours))).await.is_ok(), "{ours}");
    }
    app.finish().await;
}
