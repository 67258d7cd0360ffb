//! Ringback asks Vapi: whatever comes back, one of a few outcomes results, in time and without a secret.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use ringback::{
    clock::Clock,
    simulate::{CallScript, FakeVapi, Fault, bodies, bodies::Stage},
    vapi::client::{ClientError, Fetched, RecordingKind, RecordingLink, VapiClient},
};
use serde_json::{Value, json};

use crate::support::vapi::{CALL, START, client_of, fake_vapi, id, settings};

/// A fake Vapi that knows one ended call.
async fn vapi_with_a_call() -> FakeVapi {
    let vapi = fake_vapi().await;
    vapi.put_call(bodies::rest_call(&CallScript::talk(CALL, START), Stage::Analysed, START));
    vapi
}

/// What the client makes of an answer with this fault.
async fn asked_with(fault: Fault) -> Fetched {
    let vapi = vapi_with_a_call().await;
    vapi.fail_next(fault);
    client_of(&vapi).call(&id(CALL)).await
}

fn failed(error: &str) -> Fetched {
    Fetched::Failed { error: error.to_owned(), retry_after_ms: None }
}

#[tokio::test]
async fn a_known_call_comes_as_vapi_sent_it() {
    let vapi = vapi_with_a_call().await;
    let Fetched::Call(body) = client_of(&vapi).call(&id(CALL)).await else { panic!("no call") };
    let call: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(Some(call), vapi.call(CALL));
}

#[tokio::test]
async fn an_unknown_call_is_unknown_only_when_vapi_itself_says_so() {
    let vapi = vapi_with_a_call().await;
    assert_eq!(client_of(&vapi).call(&id("nobody")).await, Fetched::Unknown);
    assert_eq!(asked_with(Fault::Page(404)).await, failed("Vapi answered 404 with a page instead of JSON"));
    assert_eq!(asked_with(Fault::Answer(404, "text/plain", "404 page not found".into())).await, failed("Vapi answered 404"));
    assert_eq!(asked_with(Fault::Answer(404, "application/json", String::new())).await, failed("Vapi answered 404"));
    assert_eq!(asked_with(Fault::Answer(404, "application/json", "{}".into())).await, failed("Vapi answered 404"));
}

#[tokio::test]
async fn a_key_that_vapi_refuses_is_told_apart_from_a_page_that_refuses_us() {
    let vapi = vapi_with_a_call().await;
    let stranger = VapiClient::new(&settings(vapi.url(), "not-the-key"), Clock::System).expect("a client");
    assert_eq!(stranger.call(&id(CALL)).await, Fetched::Denied { status: 401 });
    assert_eq!(asked_with(Fault::Status(403)).await, Fetched::Denied { status: 403 });
    assert_eq!(asked_with(Fault::Page(403)).await, failed("Vapi answered 403 with a page instead of JSON"));
}

#[tokio::test]
async fn a_busy_vapi_says_how_long_to_leave_it_alone() {
    let hour = 3_600_000;
    let date_in_ten_seconds = "Sat, 26 Sep 2026 11:18:12 GMT";
    for (told, milliseconds) in [
        ("7", Some(7_000)),
        ("0", Some(0)),
        ("86400", Some(hour)),
        ("99999999999999999999999", Some(hour)),
        (date_in_ten_seconds, Some(9_589)),
        ("Fri, 25 Sep 2026 11:18:12 GMT", Some(0)),
        ("Sun, 27 Sep 2026 11:18:12 GMT", Some(hour)),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("", None),
    ] {
        let expected = Fetched::Failed { error: "Vapi answered 429: Rate limit exceeded".to_owned(), retry_after_ms: milliseconds };
        assert_eq!(asked_with(Fault::RateLimited(told.to_owned())).await, expected, "Retry-After: {told}");
    }
}

#[tokio::test]
async fn errors_pages_and_garbage_are_failures_with_a_short_reason() {
    for (fault, error) in [
        (Fault::Status(500), "Vapi answered 500: Internal server error"),
        (Fault::Page(502), "Vapi answered 502 with a page instead of JSON"),
        (Fault::Page(200), "Vapi answered 200 with a page instead of JSON"),
        (Fault::Page(429), "Vapi answered 429 with a page instead of JSON"),
        (Fault::Garbage, "Vapi answered with something that is no call"),
        (Fault::Answer(200, "application/json", "[]".into()), "Vapi answered with something that is no call"),
        (Fault::Answer(200, "application/json", "null".into()), "Vapi answered with something that is no call"),
        (Fault::Answer(200, "application/json", String::new()), "Vapi answered with something that is no call"),
        (Fault::Answer(200, "application/json", "{} {}".into()), "Vapi answered with something that is no call"),
        (Fault::Answer(200, "application/json", "  <html>".into()), "Vapi answered 200 with a page instead of JSON"),
        (Fault::Answer(204, "application/json", String::new()), "Vapi answered 204"),
        (Fault::Answer(302, "application/json", String::new()), "Vapi answered 302"),
        (Fault::Answer(503, "application/json", "not JSON".into()), "Vapi answered 503"),
    ] {
        assert_eq!(asked_with(fault.clone()).await, failed(error), "{fault:?}");
    }
}

#[tokio::test]
async fn a_reason_is_passed_on_without_what_might_be_a_secret_and_never_at_length() {
    let body = |message: Value| Fault::Answer(500, "application/json", json!({"message": message, "statusCode": 500}).to_string());
    let leaky = body(json!("Key 4d9e1539-c229-4a76 of +15550199123 failed\r\nat https://user:pw@host/"));
    assert_eq!(asked_with(leaky).await, failed("Vapi answered 500: Key of failed at"));
    assert_eq!(asked_with(body(json!(["one", "two"]))).await, failed("Vapi answered 500"));
    let Fetched::Failed { error, .. } = asked_with(body(json!("word ".repeat(1_000)))).await else { panic!("no failure") };
    assert!(error.len() < 150, "{} characters", error.len());
}

#[tokio::test]
async fn a_slow_answer_is_given_up_in_time_and_one_that_is_slow_enough_is_not() {
    let began = Instant::now();
    assert_eq!(asked_with(Fault::Slow(Duration::from_secs(30))).await, failed("no whole answer from Vapi within 0.5 s"));
    assert_eq!(asked_with(Fault::Stall).await, failed("no whole answer from Vapi within 0.5 s"));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(matches!(asked_with(Fault::Slow(Duration::from_millis(100))).await, Fetched::Call(_)));
}

#[tokio::test]
async fn an_answer_that_is_cut_off_is_no_answer() {
    assert_eq!(asked_with(Fault::Cut).await, failed("Vapi's answer was cut off or garbled"));
}

#[tokio::test]
async fn an_answer_without_end_is_left_unread() {
    let endless = Fault::Answer(200, "application/json", format!("{{\"transcript\":\"{}\"}}", "a".repeat(21 * 1_048_576)));
    let vapi = vapi_with_a_call().await;
    vapi.fail_next(endless);
    let patient = ringback::vapi::client::Settings { timeout: Duration::from_secs(10), ..settings(vapi.url(), vapi.key()) };
    let client = VapiClient::new(&patient, Clock::System).expect("a client");
    assert_eq!(client.call(&id(CALL)).await, failed("Vapi's answer is larger than 20 MB"));
}

#[tokio::test]
async fn a_vapi_that_is_not_there_could_not_be_reached() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let client = VapiClient::new(&settings(&address, "key"), Clock::System).expect("a client");
    assert_eq!(client.call(&id(CALL)).await, failed("Vapi could not be reached"));
}

#[tokio::test]
async fn a_fault_hits_the_call_it_is_meant_for_and_then_all_is_well() {
    let vapi = vapi_with_a_call().await;
    let client = client_of(&vapi);
    vapi.fail_next_of("another", Fault::Status(500));
    assert!(matches!(client.call(&id(CALL)).await, Fetched::Call(_)));
    vapi.fail_always(Fault::Page(502));
    vapi.fail_next_of(CALL, Fault::Status(401));
    assert_eq!(client.call(&id(CALL)).await, Fetched::Denied { status: 401 });
    assert_eq!(client.call(&id(CALL)).await, failed("Vapi answered 502 with a page instead of JSON"));
    vapi.recover();
    assert!(matches!(client.call(&id(CALL)).await, Fetched::Call(_)));
    assert_eq!(vapi.count("GET", &format!("/call/{CALL}")), 4);
}

#[tokio::test]
async fn every_request_is_told_to_the_observer() {
    let vapi = vapi_with_a_call().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&told);
    let client = client_of(&vapi).observed_by(Arc::new(move |operation, status| notes.lock().expect("no panic").push((operation, status))));
    vapi.fail_next(Fault::Cut);
    client.call(&id(CALL)).await;
    client.clone().call(&id(CALL)).await;
    client.recording_link(&id("nobody"), RecordingKind::Mono).await;
    assert_eq!(*told.lock().expect("no panic"), [("call", None), ("call", Some(200)), ("recording", Some(404))]);
}

#[tokio::test]
async fn whatever_was_asked_vapi_was_there_or_it_was_not() {
    let vapi = vapi_with_a_call().await;
    for request in ["change", "remove", "setting", "set"] {
        let client = client_of(&vapi);
        let ask = async || match request {
            "change" => drop(client.change(&id(CALL), &json!({"name": "Second try"})).await),
            "remove" => drop(client.remove(&id("nobody")).await),
            "setting" => drop(client.setting(&["assistant"], Some(1)).await),
            _ => drop(client.set(&["assistant", "nora"], &json!({})).await),
        };
        ask().await;
        let contact = client.contact();
        assert_eq!((contact.answered_at, contact.is_failing), (Some(START), false), "{request}");
        vapi.fail_next(Fault::Cut);
        ask().await;
        assert!(client.contact().is_failing, "{request}");
    }
}

#[tokio::test]
async fn all_clones_share_one_limit() {
    let vapi = vapi_with_a_call().await;
    let two = NonZeroU32::new(2).expect("not zero");
    let settings = ringback::vapi::client::Settings { requests_per_second: two, ..settings(vapi.url(), vapi.key()) };
    let client = VapiClient::new(&settings, Clock::System).expect("a client");
    let began = Instant::now();
    let (a, b, c) = (client.clone(), client.clone(), client);
    let call = id(CALL);
    let answers = tokio::join!(a.call(&call), b.call(&call), c.call(&call));
    assert!(matches!(answers, (Fetched::Call(_), Fetched::Call(_), Fetched::Call(_))), "{answers:?}");
    assert!(began.elapsed() > Duration::from_millis(400), "three requests in {:?} at two a second", began.elapsed());
}

#[tokio::test]
async fn a_recording_is_a_fresh_link_that_opens_without_a_key() {
    let vapi = vapi_with_a_call().await;
    let client = client_of(&vapi);
    let mut links = Vec::new();
    for kind in [RecordingKind::Mono, RecordingKind::Mono, RecordingKind::Stereo] {
        let RecordingLink::At(link) = client.recording_link(&id(CALL), kind).await else { panic!("no link to {kind:?}") };
        links.push(link);
    }
    assert_ne!(links[0], links[1]);
    let file = downloaded(links[2].as_str()).await;
    assert!(file.starts_with(b"RIFF") && file[8..12] == *b"WAVE", "{} bytes", file.len());
}

async fn downloaded(link: &str) -> Vec<u8> {
    let http = ringback::vapi::client::plain_http().expect("a client");
    http.get(link).send().await.expect("an answer").bytes().await.expect("a body").to_vec()
}

#[tokio::test]
async fn a_recording_that_is_not_there_is_missing_and_one_that_is_denied_is_denied() {
    let vapi = vapi_with_a_call().await;
    vapi.put_call(bodies::rest_call(&CallScript::unanswered("silent", START, "customer-busy"), Stage::Analysed, START));
    let client = client_of(&vapi);
    assert_eq!(client.recording_link(&id("silent"), RecordingKind::Mono).await, RecordingLink::Missing);
    assert_eq!(client.recording_link(&id(CALL), RecordingKind::Video).await, RecordingLink::Missing);
    vapi.fail_next(Fault::Status(403));
    assert_eq!(client.recording_link(&id(CALL), RecordingKind::Mono).await, RecordingLink::Denied { status: 403 });
    vapi.fail_next(Fault::Page(404));
    let failed = |error: &str| RecordingLink::Failed { error: error.to_owned(), retry_after_ms: None };
    assert_eq!(client.recording_link(&id(CALL), RecordingKind::Mono).await, failed("Vapi answered 404 with a page instead of JSON"));
    vapi.fail_next(Fault::Answer(302, "text/plain", String::new()));
    assert_eq!(client.recording_link(&id(CALL), RecordingKind::Mono).await, failed("Vapi answered 302 without a usable link"));
    vapi.fail_next(Fault::Answer(200, "audio/wav", "RIFF".into()));
    assert_eq!(client.recording_link(&id(CALL), RecordingKind::Mono).await, failed("Vapi answered 200"));
}

#[tokio::test]
async fn an_id_that_would_name_another_route_is_never_asked_for() {
    let vapi = vapi_with_a_call().await;
    let client = client_of(&vapi);
    for dots in [".", ".."] {
        assert_eq!(client.call(&id(dots)).await, Fetched::Unknown);
        assert_eq!(client.recording_link(&id(dots), RecordingKind::Mono).await, RecordingLink::Missing);
    }
    assert!(vapi.requests().is_empty(), "{:?}", vapi.requests());
    assert_eq!(client.call(&id("a:b_c.d-e")).await, Fetched::Unknown);
    assert_eq!(vapi.count("GET", "/call/a:b_c.d-e"), 1);
}

#[tokio::test]
async fn vapi_may_live_under_a_path() {
    let vapi = vapi_with_a_call().await;
    for base in ["/vapi", "/vapi/"] {
        let client = VapiClient::new(&settings(&format!("{}{base}", vapi.url()), vapi.key()), Clock::System).expect("a client");
        assert_eq!(client.call(&id(CALL)).await, Fetched::Unknown);
    }
    assert_eq!(vapi.count("GET", &format!("/vapi/call/{CALL}")), 2);
}

#[test]
fn an_unusable_address_or_key_is_refused_without_repeating_it() {
    let make = |url: &str, key: &str| VapiClient::new(&settings(url, key), Clock::System);
    for url in ["", "api.vapi.ai", "ftp://api.vapi.ai", "data:text/plain,x"] {
        assert!(matches!(make(url, "key"), Err(ClientError::Url)), "{url}");
    }
    let error = make("http://localhost", "top\nsecret").expect_err("a line break cannot be sent");
    assert!(matches!(error, ClientError::Key));
    assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
}

#[tokio::test]
async fn what_is_printed_of_a_client_holds_no_key() {
    let client = VapiClient::new(&settings("http://user:pw@localhost", "very-secret-key"), Clock::System).expect("a client");
    let shown = format!("{client:?} {:?}", settings("http://localhost", "very-secret-key"));
    assert!(!shown.contains("very-secret-key") && !shown.contains("pw"), "{shown}");
}
