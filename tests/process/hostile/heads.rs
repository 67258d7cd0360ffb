//! Requests whose head is no head, or a strange one, and connections used in unusual ways.

use std::time::Duration;

use serde_json::json;

use super::at_each_door;
use crate::support::{
    messages::{WEBHOOK, new_call},
    wire::request,
};

/// A connection that is to be closed is closed within this time.
const SOON: Duration = Duration::from_secs(5);
const LIVEZ: &str = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[test]
fn five_thousand_headers_are_too_many() {
    at_each_door(|door| {
        let headers = "x-header: of no meaning\r\n".repeat(5_000);
        let answer = door.send(door.head(&format!("{headers}content-length: 0\r\n\r\n"))).expect("an answer");
        assert_eq!(answer.status, 431);
        let one = format!("x-long: {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(1_048_576));
        assert!(door.send(door.head(&one)).is_none_or(|answer| answer.status == 431));
    });
}

#[test]
fn nonsense_gets_a_400_or_a_closed_connection() {
    at_each_door(|door| {
        let tls: &[u8] = b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03random\x00\x00";
        for nonsense in [
            tls,
            b"\0\0\0\0\0\0\0\0",
            b"\r\n\r\n\r\n\r\nhello\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET / FTP/1.1\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
            b"POST /api/v1/vapi/webhook HTTP/1.1\nhost\n\n",
            b"GET / HTTP/1.1\r\nhost : localhost\r\n\r\n",
            b"GET / HTTP/1.1\r\n: nameless\r\n\r\n",
            b"GET / HTTP/1.1\r\nx: a\0b\r\n\r\n",
            b"GET /\xff\xfe HTTP/1.1\r\nhost: localhost\r\n\r\n",
            b"\x80\x80\x80\x80\r\n\r\n",
        ] {
            let mut wire = door.wire();
            wire.send(nonsense).expect("it is sent");
            wire.finish();
            if let Ok(answer) = wire.answer() {
                assert!((400..500).contains(&answer.status), "{}: {}", nonsense.escape_ascii(), answer.status);
            }
            assert!(wire.is_closed_within(SOON), "{}", nonsense.escape_ascii());
        }
    });
}

#[test]
fn strange_targets_have_a_clear_status() {
    at_each_door(|door| {
        for (target, expected) in [
            ("/%00", 404),
            ("/%zz", 404),
            ("/..%2f..%2fetc%2fpasswd", 404),
            ("/../../etc/passwd", 404),
            ("//", 200),
            ("///livez", 200),
            ("/livez/", 200),
            ("/livez?", 200),
            ("/livez?%zz=%ff&&&=", 200),
            ("/livez;a=b", 404),
            ("http://localhost/livez", 200),
            ("http://elsewhere.example.com/livez", 200),
            ("/api/v1/vapi/calls/%ff%fe", 400),
            ("/api/v1/vapi/calls/%zz", 400),
            ("/api/v1/vapi/calls/..", 404),
            ("/api/v1/vapi/calls/a%2fb", 400),
            ("/api/v1/vapi/calls/by-phone/%00", 400),
            ("/api/v1/vapi/calls?limit=-1", 400),
            ("/api/v1/vapi/calls?limit=99999999999999999999", 400),
            ("/api/v1/vapi/calls?cursor=%00", 400),
            ("/api/v1/vapi/calls?since=yesterday", 400),
            ("/api/v1/vapi/calls?q=%ff", 200),
            ("/api/v1/vapi/calls?q=';drop+table+calls;--", 200),
            ("/api/v1/vapi/calls?metadata.a'b=c", 200),
            ("/api/v1/vapi/calls/x/result?wait=NaN", 400),
            ("/api/v1/vapi/calls/x/result?wait=-1", 400),
            ("/api/v1/vapi/calls/x/result?wait=1e400", 400),
        ] {
            let answer = door.service.read(target);
            assert_eq!(answer.status, expected, "{target}: {}", answer.json());
            if expected >= 400 {
                let envelope = answer.json();
                assert!(envelope["code"].is_string() && envelope["requestId"].is_string(), "{target}: {envelope}");
            }
        }
    });
}

#[test]
fn a_query_of_any_length_has_a_clear_status() {
    at_each_door(|door| {
        let long = door.service.read(&format!("/api/v1/vapi/calls?q={}", "a".repeat(50_000)));
        assert!(matches!(long.status, 200 | 400 | 414), "{}", long.status);
        let many = "&another=b".repeat(5_000);
        assert_eq!(door.service.read(&format!("/api/v1/vapi/calls?{many}")).status, 200);
        let too_long = door.send(format!("GET /livez?{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "a".repeat(3_000_000)));
        assert!(too_long.is_none_or(|answer| matches!(answer.status, 400 | 414 | 431)));
    });
}

#[test]
fn header_values_that_are_no_text_are_no_proof_and_no_token() {
    at_each_door(|door| {
        for name in
            ["x-vapi-secret", "authorization", "x-vapi-signature", "x-signature", "webhook-id", "x-call-id", "x-request-id", "origin"]
        {
            for value in [&b"\xff\xfe"[..], b"Bearer \xc0", b"", b"a b c", b"sha256=", b"v1,\xff"] {
                let mut head = format!("POST {WEBHOOK} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 27\r\n{name}: ").into_bytes();
                head.extend_from_slice(value);
                head.extend_from_slice(b"\r\n\r\n{\"message\":{\"type\":\"hang\"}}");
                let answer = door.send(&head).expect("an answer");
                let fine =
                    if door.proof.is_empty() { matches!(answer.status, 200 | 403) } else { matches!(answer.status, 401 | 403 | 429) };
                assert!(fine, "{name}: {} gets {}", value.escape_ascii(), answer.status);
            }
        }
    });
}

#[test]
fn a_client_of_the_last_century_is_served() {
    at_each_door(|door| {
        let mut wire = door.wire();
        wire.send("GET /livez HTTP/1.0\r\n\r\n").expect("it is sent");
        assert_eq!(wire.answer().expect("an answer").status, 200);
        assert!(wire.is_closed_within(SOON), "HTTP/1.0 ends with its answer");

        let body = json!({"message": {"type": "hang", "call": {"id": new_call()}}}).to_string();
        let head = |more: &str| door.head(more).replace("HTTP/1.1", "HTTP/1.0");
        let mut wire = door.wire();
        wire.send(head(&format!("content-length: {}\r\n\r\n{body}", body.len()))).expect("it is sent");
        assert_eq!(wire.answer().expect("an answer").status, 200);
        assert!(wire.is_closed_within(SOON), "HTTP/1.0 ends with its answer");

        let mut wire = door.wire();
        wire.send(head(&format!("\r\n{body}"))).expect("it is sent");
        wire.finish();
        let answer = wire.answer().expect("an answer");
        assert_eq!(answer.verdict(), (400, "INVALID_PAYLOAD".to_owned()), "without a length there is no body");
    });
}

#[test]
fn requests_in_one_breath_are_answered_in_order() {
    at_each_door(|door| {
        let call = new_call();
        let report = json!({"message": {"type": "end-of-call-report", "call": {"id": call}, "transcript": "They talked."}}).to_string();
        let mut breath = LIVEZ.as_bytes().to_vec();
        breath.extend(door.webhook(report.as_bytes()));
        breath.extend(request("GET", &format!("/api/v1/vapi/calls/{call}"), &[], b""));
        breath.extend(request("GET", "/nowhere", &[], b""));
        breath.extend(door.webhook(b"{}"));
        breath.extend(LIVEZ.repeat(50).into_bytes());
        let mut wire = door.wire();
        wire.send(breath).expect("it is sent");
        let statuses: Vec<u16> = (0..55).map(|_| wire.answer().expect("an answer").status).collect();
        assert_eq!(statuses[..5], [200, 200, 200, 404, 400]);
        assert!(statuses[5..].iter().all(|status| *status == 200), "{statuses:?}");
    });
}

#[test]
fn a_connection_cut_in_the_middle_leaves_nothing_behind() {
    at_each_door(|door| {
        let call = new_call();
        let report = json!({"message": {"type": "end-of-call-report", "call": {"id": call}, "transcript": "They talked."}}).to_string();
        let whole = door.webhook(report.as_bytes());
        for cut in [1, 10, 60, whole.len() - report.len() - 2, whole.len() - report.len(), whole.len() - 20, whole.len() - 1] {
            let mut wire = door.wire();
            wire.send(&whole[..cut]).expect("the first part is sent");
            drop(wire);
            let mut wire = door.wire();
            wire.send(&whole[..cut]).expect("the first part is sent");
            wire.finish();
            assert!(wire.is_closed_within(SOON), "cut after {cut} of {} bytes", whole.len());
        }
        assert_eq!(door.service.read(&format!("/api/v1/vapi/calls/{call}/timeline")).status, 404, "half a message is none");
        assert_eq!(door.send(&whole).expect("an answer").status, 200);
    });
}

#[test]
fn many_connections_that_say_nothing_leave_room_for_those_that_do() {
    at_each_door(|door| {
        let silent: Vec<_> = (0..500).map(|_| door.wire()).collect();
        door.is_well();
        drop(silent);
    });
}

#[test]
fn other_methods_are_refused_by_name() {
    at_each_door(|door| {
        for method in ["PUT", "PATCH", "TRACE", "CONNECT", "PROPFIND", "get", "OPTIONS"] {
            let target = if method == "CONNECT" { "localhost:80" } else { "/api/v1/vapi/calls" };
            let answer = door.send(request(method, target, &[], b"")).expect("an answer");
            assert!(matches!(answer.status, 404 | 405), "{method}: {}", answer.status);
            if answer.status == 405 {
                assert!(answer.header("allow").contains("GET"), "{method}: {answer:?}");
            }
        }
        let star = door.send("OPTIONS * HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("an answer");
        assert!((200..500).contains(&star.status), "{}", star.status);
    });
}
