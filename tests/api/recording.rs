//! Recordings: a fresh link each time, or the sound itself.

use axum::{Router, http::StatusCode, response::IntoResponse, routing::get};
use ringback::simulate::{Fault, Stage};

use crate::support::{
    app::{KEY, Story, TestApp},
    calls::{path, talk, unanswered},
    served::Served,
    vapi::CALL,
};

async fn recorded() -> TestApp {
    let app = Story::new().begin().await;
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    app.hears_report(&talk(CALL)).await;
    app
}

fn recording(id: &str, query: &str) -> String {
    format!("{}/recording{query}", path(id))
}

#[tokio::test]
async fn every_time_a_fresh_link_is_fetched_for_the_kind_that_is_wanted() {
    let app = recorded().await;
    let call = app.poll(CALL).await.data(200);
    let ours = call["recording"]["url"].as_str().expect("our address").to_owned();
    assert_eq!((call["recording"]["available"].as_bool(), ours.as_str()), (Some(true), recording(CALL, "").as_str()));
    let mut links = std::collections::BTreeSet::new();
    for (query, kind) in
        [("", "mono"), ("?kind=mono", "mono"), ("?kind=stereo", "stereo"), ("?kind=assistant", "assistant"), ("?kind=customer", "customer")]
    {
        let answer = app.get(&format!("{ours}{query}")).await;
        let link = answer.header("location").to_owned();
        assert_eq!((answer.status, answer.header("x-call-id"), answer.bytes.len()), (302, CALL, 0));
        assert!(link.contains(kind) && link.starts_with(app.vapi.url()), "{link}");
        assert!(links.insert(link), "no link is given out twice");
    }
    app.get(&recording(CALL, "?kind=video")).await.refused(404, "RECORDING_NOT_AVAILABLE");
    app.get(&recording(CALL, "?kind=loud")).await.refused(400, "INVALID_PARAMETER");
    app.finish().await;
}

#[tokio::test]
async fn the_address_is_whole_when_the_public_one_is_known() {
    let app = Story::new().with("PUBLIC_URL", "https://calls.example.com/").begin().await;
    app.hears_report(&talk(CALL)).await;
    app.hears_report(&unanswered("nobody")).await;
    let call = app.poll(CALL).await.data(200);
    assert_eq!(call["recording"]["url"], format!("https://calls.example.com{}", recording(CALL, "")));
    let call = app.poll("nobody").await.data(200);
    assert_eq!(call["recording"], serde_json::json!({"available": false, "url": null}));
    app.finish().await;
}

#[tokio::test]
async fn what_vapi_does_not_have_is_404_and_what_it_cannot_say_is_502() {
    let app = recorded().await;
    app.vapi_knows(&unanswered("nobody"), Stage::Analysed);
    for id in ["nobody", "unheard-of"] {
        let answer = app.get(&recording(id, "")).await.refused(404, "RECORDING_NOT_AVAILABLE");
        assert_eq!(answer.json()["callId"], id);
    }
    for (fault, code) in [
        (Fault::Status(401), "VAPI_ACCOUNT"),
        (Fault::Status(403), "VAPI_ACCOUNT"),
        (Fault::Status(500), "VAPI_UNAVAILABLE"),
        (Fault::RateLimited("9".to_owned()), "VAPI_UNAVAILABLE"),
        (Fault::Page(404), "VAPI_UNAVAILABLE"),
        (Fault::Page(502), "VAPI_UNAVAILABLE"),
    ] {
        app.vapi.fail_next(fault);
        app.get(&recording(CALL, "")).await.refused(502, code);
    }
    app.finish().await;
    let app = Story::new().without("VAPI_API_KEY").begin().await;
    app.get(&recording(CALL, "")).await.refused(502, "VAPI_ACCOUNT");
    app.finish().await;
}

#[tokio::test]
async fn the_sound_itself_can_be_had_too() {
    let app = recorded().await;
    let answer = app.get(&recording(CALL, "?proxy=1")).await;
    assert_eq!((answer.status, answer.header("content-type"), answer.header("location")), (200, "audio/wav", ""));
    assert!(answer.bytes.starts_with(b"RIFF") && answer.header("content-length") == answer.bytes.len().to_string());
    app.finish().await;
}

/// A Vapi whose recordings lie on a storage that does what its name says.
async fn storage() -> Served {
    let link = |id: String| (StatusCode::FOUND, [("location", format!("/stored/{id}"))]);
    let routes = Router::new()
        .route("/call/{id}/mono-recording", get(async move |axum::extract::Path(id): axum::extract::Path<String>| link(id)))
        .route("/stored/{id}", get(stored));
    Served::start(routes).await
}

async fn stored(axum::extract::Path(id): axum::extract::Path<String>, headers: axum::http::HeaderMap) -> axum::response::Response {
    assert!(headers.get("authorization").is_none(), "the key goes to nobody but Vapi");
    let range = headers.get("range").and_then(|range| range.to_str().ok()).unwrap_or_default().to_owned();
    let denied = "<Error><Code>AccessDenied</Code></Error>";
    match (id.as_str(), range.as_str()) {
        ("expired", _) => (StatusCode::FORBIDDEN, [("content-type", "application/xml")], denied).into_response(),
        ("gone", _) => (StatusCode::NOT_FOUND, [("content-type", "application/xml")], denied).into_response(),
        ("moved", _) => (StatusCode::MOVED_PERMANENTLY, [("location", "https://elsewhere.example/")]).into_response(),
        ("broken", _) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        (_, "") => ([("content-type", "audio/wav"), ("accept-ranges", "bytes"), ("set-cookie", "a=b")], "0123456789").into_response(),
        (_, "bytes=2-4") => {
            (StatusCode::PARTIAL_CONTENT, [("content-type", "audio/wav"), ("content-range", "bytes 2-4/10")], "234").into_response()
        }
        _ => (StatusCode::RANGE_NOT_SATISFIABLE, [("content-range", "bytes */10")]).into_response(),
    }
}

#[tokio::test]
async fn ranges_are_passed_on_so_that_players_can_seek() {
    let storage = storage().await;
    let app = Story::new().with("VAPI_API_URL", &storage.url("")).begin().await;
    let whole = app.get(&recording("good", "?proxy=1")).await;
    assert_eq!((whole.status, whole.text().as_str(), whole.header("accept-ranges")), (200, "0123456789", "bytes"));
    assert_eq!(whole.header("set-cookie"), "", "only what a player needs is passed on");
    let ranged = async |range: &str| app.ask("GET", &recording("good", "?proxy=1")).header("range", range).send().await;
    let part = ranged("bytes=2-4").await;
    assert_eq!((part.status, part.text().as_str(), part.header("content-range")), (206, "234", "bytes 2-4/10"));
    let beyond = ranged("bytes=99-").await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, "bytes */10"));
    app.finish().await;
}

#[tokio::test]
async fn a_storage_that_fails_is_502_and_its_words_are_not_ours() {
    let storage = storage().await;
    let app = Story::new().with("VAPI_API_URL", &storage.url("")).begin().await;
    for id in ["expired", "gone", "moved", "broken"] {
        let answer = app.get(&recording(id, "?proxy=1")).await.refused(502, "VAPI_UNAVAILABLE");
        assert!(!answer.text().contains("AccessDenied"), "{id}");
    }
    let link = app.get(&recording("good", "")).await;
    assert_eq!(link.header("location"), storage.url("/stored/good"), "made whole");
    assert!(!link.text().contains(KEY));
    app.finish().await;
}
