//! Bodies that are no message, too large, too deep, or lie about themselves.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Door, at_each_door};
use crate::support::messages::{WEBHOOK, new_call};

const MB: usize = 1_048_576;
/// One megabyte more than is taken.
const TOO_LARGE: usize = 11 * MB;
/// A connection that is to be closed is closed within this time.
const SOON: Duration = Duration::from_secs(5);

fn invalid() -> (u16, String) {
    (400, "INVALID_PAYLOAD".to_owned())
}

fn too_large() -> (u16, String) {
    (413, "PAYLOAD_TOO_LARGE".to_owned())
}

#[test]
fn an_empty_body_is_refused() {
    at_each_door(|door| {
        assert_eq!(door.post("").verdict(), invalid());
        let without_length = door.send(door.head("\r\n")).expect("an answer");
        assert_eq!(without_length.verdict(), invalid());
        let chunked = door.send(door.head("transfer-encoding: chunked\r\n\r\n0\r\n\r\n")).expect("an answer");
        assert_eq!(chunked.verdict(), invalid());
    });
}

#[test]
fn what_is_no_message_is_refused() {
    at_each_door(|door| {
        let wrong: [&[u8]; 12] = [
            b"null",
            b"[]",
            b"5",
            b"{}",
            b"\"message\"",
            b"{\"message\":null}",
            b"{\"message\":[]}",
            b"{\"message\":{\"type\":5}}",
            b"{\"message\":{\"type\":\"hang\"}} and more",
            b"{\"message\":{\"type\":\"hang\"}",
            b"message=hang&type=report",
            b"\0\0\0\0",
        ];
        for body in wrong {
            let answer = door.post(body);
            assert_eq!(answer.verdict(), invalid(), "{}", String::from_utf8_lossy(body));
            assert_ne!(answer.json()["message"], Value::Null, "it says what is wrong");
        }
    });
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_read() {
    at_each_door(|door| {
        let mut wire = door.wire();
        wire.send(door.head(&format!("content-length: {TOO_LARGE}\r\n\r\n{{"))).expect("the head is sent");
        assert_eq!(wire.answer().expect("an answer to the head alone").verdict(), too_large());
        assert!(wire.is_closed_within(SOON), "nobody reads the rest");
    });
}

#[test]
fn somebody_who_asks_first_is_refused_without_being_told_to_go_on() {
    at_each_door(|door| {
        let mut wire = door.wire();
        wire.send(door.head(&format!("expect: 100-continue\r\ncontent-length: {TOO_LARGE}\r\n\r\n"))).expect("the head is sent");
        assert_eq!(wire.answer().expect("an answer").verdict(), too_large());

        let mut wire = door.wire();
        let body = json!({"message": {"type": "hang"}}).to_string();
        wire.send(door.head(&format!("expect: 100-continue\r\ncontent-length: {}\r\n\r\n", body.len()))).expect("the head is sent");
        assert_eq!(wire.answer().expect("an interim answer").status, 100);
        wire.send(&body).expect("the body is sent");
        assert_eq!(wire.answer().expect("an answer").status, 200);
    });
}

#[test]
fn a_client_that_sends_all_of_a_too_large_body_still_reads_why_it_was_refused() {
    at_each_door(|door| {
        let mut wire = door.wire();
        // Writing fails once the other side has closed; the answer waits in the socket all the same.
        let _ = wire.send(door.webhook(&vec![b' '; TOO_LARGE]));
        assert_eq!(wire.answer().expect("an answer").verdict(), too_large());
    });
}

#[test]
fn a_too_large_body_in_chunks_is_refused_as_soon_as_it_is_over_the_limit() {
    at_each_door(|door| {
        let mut wire = door.wire();
        wire.send(door.head("transfer-encoding: chunked\r\n\r\n")).expect("the head is sent");
        let mut chunk = format!("{MB:x}\r\n").into_bytes();
        chunk.resize(chunk.len() + MB, b' ');
        chunk.extend_from_slice(b"\r\n");
        for _ in 0..11 {
            if wire.send(&chunk).is_err() {
                break;
            }
        }
        assert_eq!(wire.answer().expect("an answer before the end").verdict(), too_large());
        assert!(wire.is_closed_within(SOON), "nobody reads the rest");
    });
}

#[test]
fn the_largest_body_that_is_allowed_is_taken() {
    at_each_door(|door| {
        let call = new_call();
        let mut body = json!({"message": {"type": "end-of-call-report", "call": {"id": call}, "transcript": "They talked."}}).to_string();
        body.push_str(&" ".repeat(10 * MB - body.len()));
        assert_eq!(door.post(&body).status, 200);
        assert_eq!(door.service.read(&format!("/api/v1/vapi/calls/{call}")).json()["data"]["transcript"], "They talked.");
    });
}

#[test]
fn a_chunked_body_that_lies_harms_nobody() {
    at_each_door(|door| {
        let message = r#"{"message":{"type":"hang"}}"#;
        for (chunks, why) in [
            (format!("ffff\r\n{message}"), "ends early"),
            (format!("5\r\n{message}\r\n0\r\n\r\n"), "is longer than it says"),
            (format!("zz\r\n{message}\r\n0\r\n\r\n"), "has a size that is no number"),
            (format!("fffffffffffffffffff\r\n{message}"), "has a size that no number holds"),
            (format!("-1\r\n{message}\r\n0\r\n\r\n"), "has a size below nothing"),
            (format!("{:x};{}\r\n{message}\r\n0\r\n\r\n", message.len(), "x".repeat(100_000)), "has a long extension"),
        ] {
            let mut wire = door.wire();
            wire.send(door.head(&format!("transfer-encoding: chunked\r\n\r\n{chunks}"))).expect("it is sent");
            wire.finish();
            if let Ok(answer) = wire.answer() {
                assert_eq!(answer.status, 400, "a body that {why}: {}", answer.json());
            }
            assert!(wire.is_closed_within(SOON), "a body that {why}");
        }
    });
}

#[test]
fn a_body_of_two_lengths_is_not_read_twice() {
    at_each_door(|door| {
        let hidden = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
        let body = r#"{"message":{"type":"hang"}}"#;
        let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        for lengths in [
            format!("content-length: {}\r\ncontent-length: {}\r\n\r\n{body}{hidden}", body.len(), body.len() + hidden.len()),
            format!("content-length: {}, {}\r\n\r\n{body}{hidden}", body.len(), body.len() + 1),
            format!("content-length: +{}\r\n\r\n{body}{hidden}", body.len()),
            format!("content-length: -1\r\n\r\n{body}{hidden}"),
            format!("content-length: 99999999999999999999999\r\n\r\n{body}"),
            format!("transfer-encoding: chunked, identity\r\n\r\n{chunked}{hidden}"),
            format!("transfer-encoding: gzip\r\n\r\n{chunked}{hidden}"),
        ] {
            let mut wire = door.wire();
            wire.send(door.head(&lengths)).expect("it is sent");
            wire.finish();
            let answers = String::from_utf8_lossy(&wire.rest(65_536)).into_owned();
            assert!(answers.is_empty() || answers.starts_with("HTTP/1.1 400"), "{lengths}: {answers}");
            assert_eq!(answers.matches("HTTP/1.1").count(), usize::from(!answers.is_empty()), "{lengths}: {answers}");
        }
        // Where both are there chunks count (RFC 9112, 6.1), and the connection must not be used again.
        let mut wire = door.wire();
        wire.send(door.head(&format!("content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n{chunked}{hidden}"))).expect("it is sent");
        let answers = String::from_utf8_lossy(&wire.rest(65_536)).into_owned();
        assert!(answers.matches("HTTP/1.1").count() <= 1, "{answers}");
    });
}

#[test]
fn a_document_twenty_thousand_levels_deep_is_refused() {
    at_each_door(|door| {
        let (open, close) = ("[".repeat(20_000), "]".repeat(20_000));
        let objects = format!("{}1{}", r#"{"a":"#.repeat(20_000), "}".repeat(20_000));
        for body in [
            format!("{open}{close}"),
            open.clone(),
            objects.clone(),
            format!(r#"{{"message":{{"type":"hang","call":{{"id":"deep","metadata":{objects}}}}}}}"#),
            format!(r#"{{"message":{{"type":"end-of-call-report","analysis":{{"structuredData":{open}{close}}}}}}}"#),
        ] {
            assert_eq!(door.post(&body).verdict(), invalid(), "{}", &body[..60]);
        }
    });
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    at_each_door(|door| {
        for wrong in [&b"\xff\xfe"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80"] {
            let mut body = br#"{"message":{"type":"hang","call":{"id":"a"},"reason":""#.to_vec();
            body.extend_from_slice(wrong);
            body.extend_from_slice(br#""}}"#);
            assert_eq!(door.post(&body).verdict(), invalid(), "{wrong:?}");
        }
        assert_eq!(door.post(b"\xef\xbb\xbf{\"message\":{\"type\":\"hang\"}}").verdict(), invalid(), "a byte order mark is no JSON");
    });
}

#[test]
fn nul_bytes_are_kept_in_texts_and_refused_elsewhere() {
    at_each_door(|door| {
        let call = new_call();
        let report = json!({"message": {"type": "end-of-call-report", "call": {"id": call}, "transcript": "AI: a\u{0}b\nUser: \u{fffe}",
            "endedReason": "customer-ended-call\u{0}", "analysis": {"summary": "\u{0}"}, "customer": {"name": "\u{0}", "number": "\u{0}"}}});
        assert_eq!(door.post(report.to_string()).status, 200);
        let answer = door.service.read(&format!("/api/v1/vapi/calls/{call}"));
        assert_eq!((answer.status, &answer.json()["data"]["transcript"]), (200, &json!("AI: a\u{0}b\nUser: \u{fffe}")));
        assert_eq!(door.service.read("/api/v1/vapi/calls?q=talk").status, 200);

        assert_eq!(door.post(b"{\"message\":{\"type\":\"ha\0ng\"}}").verdict(), invalid());
        let strange = door.service.read("/api/v1/vapi/calls/a%00b");
        assert_eq!(strange.verdict(), (400, "INVALID_PARAMETER".to_owned()));
    });
}

#[test]
fn numbers_where_texts_belong_and_texts_where_numbers_belong_harm_nothing() {
    at_each_door(|door| {
        let call = new_call();
        let report = json!({"message": {"type": "end-of-call-report", "timestamp": "soon", "endedReason": 17, "transcript": 5, "summary": true,
            "durationSeconds": "long", "cost": "dear", "messages": "none", "recordingUrl": [], "customer": 5, "assistant": "x", "artifact": 7,
            "analysis": [1], "call": {"id": call, "metadata": "x", "customer": {"number": 49151}, "assistantOverrides": [[]]}}});
        let answer = door.post(report.to_string());
        assert_eq!((answer.status, &answer.json()["callId"]), (200, &json!(call)));
        let answer = door.service.read(&format!("/api/v1/vapi/calls/{call}"));
        assert_eq!((answer.status, answer.json()["data"]["transcript"].is_string()), (200, true), "{}", answer.json());

        for odd in [json!(12), json!(null), json!(["a"]), json!({"a": 1}), json!(""), json!("has spaces"), json!("ä"), json!("a/b")] {
            let answer = door.post(json!({"message": {"type": "end-of-call-report", "call": {"id": odd}}}).to_string());
            assert_eq!((answer.status, &answer.json()["callId"]), (200, &Value::Null), "{odd}");
        }
    });
}

#[test]
fn a_call_id_of_two_megabytes_is_no_call_id() {
    at_each_door(|door| {
        let id = "a".repeat(2 * MB);
        let answer = door.post(json!({"message": {"type": "end-of-call-report", "call": {"id": id}}}).to_string());
        assert_eq!((answer.status, &answer.json()["callId"]), (200, &Value::Null));

        let short_enough_for_a_head = door.service.read(&format!("/api/v1/vapi/calls/{}", &id[..60_000]));
        assert_eq!(short_enough_for_a_head.verdict(), (400, "INVALID_PARAMETER".to_owned()));
        let answer = door.send(format!("GET /api/v1/vapi/calls/{id} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
        assert!(answer.is_none_or(|answer| matches!(answer.status, 400 | 414 | 431)));
    });
}

#[test]
fn without_a_proof_no_body_is_read_at_all() {
    let door = Door::guarded();
    let mut wire = door.wire();
    wire.send(format!("POST {WEBHOOK} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {MB}\r\n\r\n")).expect("the head is sent");
    assert_eq!(wire.answer().expect("an answer to the head alone").verdict(), (401, "INVALID_SIGNATURE".to_owned()));
    assert!(wire.is_closed_within(SOON), "nobody reads the body");
    door.is_well();
}
