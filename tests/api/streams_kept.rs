//! Streams over restarts, stops, instances, and readers who do not read.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use ringback::{
    call::time::DAY,
    registry::{Filter, Said, Since},
    simulate::Stage,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::tungstenite::{Message, protocol::frame::coding::CloseCode};

use crate::support::{
    app::{Engine, Story, on_every_engine},
    calls::{path, talk},
    eventually,
    stream::{Listener, Socket},
    vapi::CALL,
};

const ALL: &str = "/api/v1/vapi/events";
/// What takes longer is stuck.
const PATIENCE: Duration = Duration::from_secs(20);

on_every_engine! {
    what_is_older_than_the_log_is_told_as_a_gap
    a_slow_reader_is_dropped_and_told_why
    both_kinds_of_streams_end_when_the_service_stops
}

async fn what_is_older_than_the_log_is_told_as_a_gap(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let url = app.listen().await;
    let mut stream = Listener::open(&format!("{url}{ALL}"), None).await;
    app.hears_status(&talk("one"), Stage::Ringing).await;
    app.hears_status(&talk("one"), Stage::InProgress).await;
    let first = stream.hear(2).await[0].id.clone().expect("an id");
    app.clock().advance(8 * DAY);
    app.hears_status(&talk("two"), Stage::Ringing).await;
    let fresh = stream.next().await.expect("an event");
    app.app().keeper().purge(app.app().lifecycle()).await.expect("the store answers");
    let mut late = Listener::open(&format!("{url}{ALL}"), Some(&first)).await;
    let heard = late.hear(2).await;
    assert_eq!((heard[0].event.as_str(), &heard[0].id), ("stream.gap", &None));
    assert_eq!((heard[0].data["data"]["lastEventId"].as_str(), &heard[1]), (Some(first.as_str()), &fresh));
    // One that nobody gave out, in any form.
    for strange in ["7fffffffffffffff", "yesterday", "-1", &"x".repeat(5_000), "grüße"] {
        let mut lost = Listener::open(&format!("{url}{ALL}"), Some(strange)).await;
        assert_eq!(lost.next().await.expect("an event").event, "stream.gap", "{strange}");
        lost.is_quiet().await;
    }
    app.hears_status(&talk("three"), Stage::Ringing).await;
    assert_eq!(late.next().await.expect("an event").data["callId"], "three");
    app.work().await;
    app.finish().await;
}

async fn a_slow_reader_is_dropped_and_told_why(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let registry = &app.api().registry;
    let id = ringback::call::id::CallId::parse(CALL).expect("an id");
    let mut slow = registry.listen(Some(id), Since::Now, Filter::default(), false).await.expect("the store answers").expect("room");
    let tool = |number: usize| {
        let call = json!({"id": format!("t{number}"), "function": {"name": "look_up", "arguments": {}}});
        crate::support::calls::message("tool-calls", CALL, json!({"toolCallList": [call]}))
    };
    let url = app.listen().await;
    let mut quick = Listener::open(&format!("{url}{ALL}"), None).await;
    for number in 0..80 {
        app.hears(&tool(number)).await;
    }
    let _ = quick.hear(81).await;
    let (mut last, mut count, mut reason) = (None, 0, String::new());
    while let Some(said) = timeout(PATIENCE, slow.next()).await.expect("something is said") {
        if let Said::Dropped(json) = &said {
            reason.clone_from(json);
        } else {
            (last, count) = (said.id(), count + 1);
        }
    }
    assert!(reason.contains("stream.dropped") && reason.contains("too_slow"), "{reason}");
    assert!((60..81).contains(&count), "{count}");
    drop(slow);
    let mut again = Listener::open(&format!("{url}{}/events", path(CALL)), last.as_deref()).await;
    assert_eq!(again.hear(81 - count).await.last().expect("events").data["sequence"], 81);
    again.is_quiet().await;
    app.finish().await;
}

async fn both_kinds_of_streams_end_when_the_service_stops(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let (mut last, mut listening) = (None, None);
    let app = app
        .run(async |url| {
            let mut one = Listener::open(&format!("{url}{}/events", path(CALL)), None).await;
            let mut all = Listener::open(&format!("{url}{ALL}"), None).await;
            let mut socket = Socket::open(&url, "", None).await.expect("a socket");
            let report = ringback::simulate::bodies::status_update(&talk(CALL), Stage::Ringing, crate::support::vapi::START);
            let posted = ringback::vapi::client::plain_http().expect("a client").post(format!("{url}/api/v1/vapi/webhook"));
            let posted = posted.header("x-vapi-secret", crate::support::app::SECRET).body(report.to_string()).send().await;
            assert_eq!(posted.expect("an answer").status(), 200);
            let heard = all.next().await.expect("an event");
            assert_eq!((one.next().await, socket.next().await), (Some(heard.clone()), Ok(heard.data.clone())));
            last = heard.id;
            listening = Some((one, all, socket));
        })
        .await;
    let (mut one, mut all, mut socket) = listening.expect("they listened");
    assert_eq!((one.next().await, all.next().await), (None, None), "whole to the end");
    let close = socket.next().await.expect_err("it is closed").expect("a reason");
    assert_eq!(close.code, CloseCode::Away);
    let url = app.listen().await;
    app.hears_status(&talk(CALL), Stage::InProgress).await;
    if engine == Engine::Memory {
        let mut again = Listener::open(&format!("{url}{ALL}"), last.as_deref()).await;
        assert_eq!(again.next().await.expect("an event").event, "stream.gap", "a memory that is gone is a gap");
    } else {
        let mut again = Listener::open(&format!("{url}{ALL}"), last.as_deref()).await;
        let heard = again.next().await.expect("an event");
        assert_eq!((heard.brief(), &heard.data["data"]["callStatus"]), (("call.updated".to_owned(), 2), &json!("in-progress")));
        again.is_quiet().await;
    }
    app.finish().await;
}

/// What a reader hears is the same whichever instance took the webhook, and whichever it comes back to.
async fn a_stream_is_heard_across_instances(engine: Engine) {
    let (a, b) = {
        let a = Story::on(engine).begin().await;
        let b = a.beside().await;
        (a, b)
    };
    let (here, there) = (a.listen().await, b.listen().await);
    let mut one = Listener::open(&format!("{here}{ALL}"), None).await;
    let mut other = Listener::open(&format!("{there}{ALL}"), None).await;
    let told = (0..30).map(|number| {
        let (app, script) = ([&a, &b][number % 2], talk(&format!("call-{number}")));
        async move { app.hears_report(&script).await }
    });
    futures_util::future::join_all(told).await;
    let heard = one.hear(90).await;
    assert_eq!(other.hear(90).await, heard, "one order everywhere");
    let mut again = Listener::open(&format!("{there}{ALL}"), heard[40].id.as_deref()).await;
    assert_eq!(again.hear(49).await, heard[41..], "and the other one knows where it was");
    let begun = Instant::now();
    a.hears_status(&talk(CALL), Stage::Ringing).await;
    assert_eq!(other.next().await, one.next().await);
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    a.ask("DELETE", &path(CALL)).send().await.data(200);
    assert_eq!(other.next().await.expect("an event").event, "call.deleted");
    a.finish().await;
    b.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_heard_across_instances_on_postgres() {
    if crate::support::postgres::is_tested() {
        a_stream_is_heard_across_instances(Engine::Postgres).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_heard_across_instances_on_redis() {
    if crate::support::redis::is_tested() {
        a_stream_is_heard_across_instances(Engine::Redis).await;
    }
}

#[tokio::test]
async fn a_reader_that_comes_and_goes_under_load_misses_and_repeats_nothing() {
    let app = Story::on(Engine::Sqlite).begin().await;
    let url = app.listen().await;
    let load = async {
        for number in 0..150 {
            app.hears_report(&talk(&format!("call-{number}"))).await;
        }
    };
    let listening = async {
        let mut stream = Listener::open(&format!("{url}{ALL}"), None).await;
        let mut heard = stream.hear(1).await;
        while heard.len() < 450 {
            // Cut in the middle of everything.
            stream = Listener::open(&format!("{url}{ALL}"), heard.last().and_then(|heard| heard.id.as_deref())).await;
            let count = (heard.len() % 23 + 1).min(450 - heard.len());
            heard.extend(stream.hear(count).await);
        }
        heard
    };
    // The reader is there before the first event.
    let (heard, ()) = tokio::join!(listening, async {
        eventually("it listens", async || app.api().registry.streams().count() == 1).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        load.await;
    });
    let mut counts = std::collections::BTreeMap::<String, Vec<u64>>::new();
    for heard in heard {
        counts.entry(heard.data["callId"].to_string()).or_default().push(heard.brief().1);
    }
    assert_eq!(counts.len(), 150);
    assert!(counts.values().all(|sequences| *sequences == [1, 2, 3]), "{counts:?}");
    app.finish().await;
}

#[tokio::test]
async fn a_socket_that_says_too_much_or_nonsense_is_closed_and_words_are_ignored() {
    let app = Story::new().begin().await;
    let url = app.listen().await;
    let mut chatty = Socket::open(&url, "", None).await.expect("a socket");
    chatty.say("hello").await;
    app.hears_status(&talk(CALL), Stage::Ringing).await;
    assert_eq!(chatty.next().await.expect("an event")["callId"], CALL);
    let mut huge = Socket::open(&url, "", None).await.expect("a socket");
    huge.say(&"x".repeat(100_000)).await;
    assert!(huge.next().await.is_err(), "it is let go");
    let mut raw = Socket::open(&url, "", None).await.expect("a socket");
    // A frame that no client may send: unmasked, of an unknown kind.
    let tokio_tungstenite::MaybeTlsStream::Plain(stream) = raw.0.get_mut() else { panic!("no TLS here") };
    stream.write_all(&[0x87, 0x01, b'x']).await.expect("it is taken");
    assert!(raw.next().await.is_err());
    eventually("only one is left", async || app.api().registry.streams().count() == 1).await;
    chatty.0.close(None).await.expect("it is taken");
    while let Some(Ok(message)) = chatty.0.next().await {
        assert!(matches!(message, Message::Close(_)), "{message:?}");
    }
    app.finish().await;
}

async fn raw(url: &str, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("it is taken");
    stream
}

async fn read_until(stream: &mut TcpStream, words: &str) -> String {
    let mut text = String::new();
    while !text.contains(words) {
        let mut room = [0; 4_096];
        let count = timeout(PATIENCE, stream.read(&mut room)).await.expect("something is said").expect("a connection");
        assert!(count > 0, "the end, after {text}");
        text.push_str(&String::from_utf8_lossy(&room[..count]));
    }
    text
}

#[tokio::test]
async fn an_old_client_listens_too_and_one_that_hangs_up_leaves_nothing_behind() {
    let app = Story::new().begin().await;
    let url = app.listen().await;
    let mut old = raw(&url, &format!("GET {ALL} HTTP/1.0\r\nhost: localhost\r\n\r\n")).await;
    let head = read_until(&mut old, "retry: 2000").await;
    assert!(head.starts_with("HTTP/1.0 200") && !head.to_lowercase().contains("chunked"), "{head}");
    app.hears_status(&talk(CALL), Stage::Ringing).await;
    let said = read_until(&mut old, "\n\n").await;
    assert!(said.contains("event: call.updated"), "{said}");
    // It says that it sends nothing more, as one does that is gone.
    old.shutdown().await.expect("it is taken");
    eventually("it has left", async || app.api().registry.streams().count() == 0).await;
    let head = raw(&url, &format!("HEAD {ALL} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
    drop(head);
    app.finish().await;
}
