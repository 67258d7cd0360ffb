//! Who may post webhooks, and how they prove it.

use ringback::{
    call::time::{Millis, SECOND},
    simulate::{Auth, sign},
};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::support::{
    answer::Answer,
    app::{SECRET, Story, TestApp},
    calls::{message, message_of_no_call},
};

const WEBHOOK: &str = "/api/v1/vapi/webhook";
const ALL: [Auth; 5] = [Auth::Secret, Auth::Bearer, Auth::Signature, Auth::Standard, Auth::Hmac];

/// A message that no other story has, so that it is no repeat.
fn news(id: &str) -> Value {
    message("status-update", id, json!({"status": "ringing"}))
}

/// Posts `body`, signed so at `at`.
async fn signed(app: &TestApp, auth: Auth, secret: &str, body: &Value, at: Millis) -> Answer {
    let body = body.to_string();
    let headers = sign::headers(auth, &SecretString::from(secret), body.as_bytes(), at);
    app.ask("POST", WEBHOOK).headers(headers).body(body).send().await
}

async fn proof_of(app: &TestApp, id: &str) -> Value {
    app.get(&format!("/api/v1/vapi/calls/{id}/timeline")).await.data(200)[0]["proof"].clone()
}

/// The value of a series of the metrics.
async fn metric(app: &TestApp, series: &str) -> u64 {
    let text = app.get("/metrics").await.text();
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
    line.unwrap_or_default()
}

#[tokio::test]
async fn every_kind_of_proof_lets_a_webhook_in_by_every_secret() {
    let app = Story::new().with("VAPI_WEBHOOK_SECRET", &format!("a-newer-secret-9876543210,{SECRET}")).begin().await;
    for (number, auth) in ALL.into_iter().enumerate() {
        for secret in [SECRET, "a-newer-secret-9876543210"] {
            let id = format!("{number}-{}", &secret[..3]);
            let answer = signed(&app, auth, secret, &news(&id), app.clock().now()).await;
            assert_eq!((answer.status, answer.json()["callId"].as_str()), (200, Some(id.as_str())), "{auth:?}");
            let expected = match auth {
                Auth::Secret => "secret",
                Auth::Bearer => "bearer",
                Auth::Signature | Auth::Hmac => "signature",
                Auth::Standard => "standard",
            };
            assert_eq!(proof_of(&app, &id).await, expected);
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn only_the_kinds_that_are_allowed_count() {
    for (word, allowed) in [
        ("secret", vec![Auth::Secret]),
        ("bearer", vec![Auth::Bearer]),
        ("signature", vec![Auth::Signature, Auth::Hmac]),
        ("standard", vec![Auth::Standard]),
        ("bearer, standard", vec![Auth::Bearer, Auth::Standard]),
    ] {
        let app = Story::new().with("VAPI_WEBHOOK_AUTH", word).begin().await;
        for auth in ALL {
            let answer = signed(&app, auth, SECRET, &news("x"), app.clock().now()).await;
            if allowed.contains(&auth) {
                assert_eq!(answer.status, 200, "{auth:?} under {word}");
            } else {
                answer.refused(401, "INVALID_SIGNATURE");
            }
        }
        app.finish().await;
    }
}

#[tokio::test]
async fn a_wrong_proof_is_refused_and_nothing_of_the_message_is_kept() {
    let app = Story::new().begin().await;
    let (body, now) = (news("stranger"), app.clock().now());
    for auth in ALL {
        for wrong in ["another-secret-0123456789", "", &SECRET[1..], &SECRET.to_uppercase()] {
            signed(&app, auth, wrong, &body, now).await.refused(401, "INVALID_SIGNATURE");
        }
    }
    for auth in [Auth::Signature, Auth::Standard, Auth::Hmac] {
        let headers = sign::headers(auth, &SecretString::from(SECRET), b"{}", now);
        app.ask("POST", WEBHOOK).headers(headers).body(body.to_string()).send().await.refused(401, "INVALID_SIGNATURE");
    }
    for (name, value) in [("x-vapi-secret", " "), ("authorization", "Basic abc"), ("x-vapi-signature", "sha256="), ("x-signature", "00")] {
        app.ask("POST", WEBHOOK).header(name, value).body(body.to_string()).send().await.refused(401, "INVALID_SIGNATURE");
    }
    app.poll("stranger").await.refused(404, "CALL_NOT_FOUND");
    app.finish().await;
}

#[tokio::test]
async fn a_right_proof_beside_wrong_ones_suffices() {
    let app = Story::new().begin().await;
    let body = news("moved").to_string();
    for auth in ALL {
        let right = sign::headers(auth, &SecretString::from(SECRET), body.as_bytes(), app.clock().now());
        let wrong = ALL.into_iter().filter(|other| *other != auth);
        let wrong = wrong.flat_map(|other| sign::headers(other, &SecretString::from("old-and-wrong-0123456789"), b"x", Millis(0)));
        let headers: Vec<_> = wrong.chain(right).collect();
        assert_eq!(app.ask("POST", WEBHOOK).headers(headers).body(body.clone()).send().await.status, 200, "{auth:?}");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_signature_may_be_written_in_hex_or_base64_with_or_without_its_name() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let app = Story::new().begin().await;
    let body = news("written").to_string();
    let hexed = sign::headers(Auth::Signature, &SecretString::from(SECRET), body.as_bytes(), Millis(0)).remove(0).1;
    let based = STANDARD.encode(hex::decode(&hexed).expect("hex"));
    for written in [hexed.clone(), format!("sha256={hexed}"), hexed.to_uppercase(), based.clone(), format!("sha256={based}")] {
        let answer = app.ask("POST", WEBHOOK).header("x-vapi-signature", &written).body(body.clone()).send().await;
        assert_eq!(answer.status, 200, "{written}");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_signed_timestamp_may_be_five_minutes_off_both_ways_and_stale_is_counted_apart() {
    let app = Story::new().begin().await;
    let now = app.clock().now();
    // Whole seconds, as Standard Webhooks has them.
    let second = Millis(now.0.div_euclid(SECOND) * SECOND);
    for auth in [Auth::Standard, Auth::Hmac] {
        for (off, status) in [(-299, 200), (299, 200), (-302, 401), (302, 401), (-86_400, 401), (86_400, 401)] {
            let answer = signed(&app, auth, SECRET, &news("stamped"), second.plus(off * SECOND)).await;
            if status == 200 {
                assert_eq!(answer.status, 200, "{auth:?} {off}");
            } else {
                answer.refused(401, "TIMESTAMP_OUT_OF_RANGE");
            }
        }
        signed(&app, auth, "wrong-and-stale-012345", &news("stamped"), Millis(0)).await.refused(401, "INVALID_SIGNATURE");
    }
    let rejected = async |reason: &str| metric(&app, &format!("ringback_webhook_rejections_total{{reason=\"{reason}\"}}")).await;
    assert_eq!((rejected("stale").await, rejected("invalid").await), (8, 2));
    app.ask("POST", WEBHOOK).body("{}").send().await.refused(401, "INVALID_SIGNATURE");
    assert_eq!(rejected("missing").await, 1);
    app.finish().await;
}

#[tokio::test]
async fn the_tolerance_can_be_set() {
    let app = Story::new().with("VAPI_WEBHOOK_TOLERANCE_SECONDS", "10").begin().await;
    let now = app.clock().now();
    assert_eq!(signed(&app, Auth::Hmac, SECRET, &news("a"), now.plus(-10 * SECOND)).await.status, 200);
    signed(&app, Auth::Hmac, SECRET, &news("a"), now.plus(-10 * SECOND - 1)).await.refused(401, "TIMESTAMP_OUT_OF_RANGE");
    app.finish().await;
}

#[tokio::test]
async fn vapis_own_plan_is_taken_verbatim() {
    let plan = json!({
        "type": "hmac", "secretKey": "not-looked-at", "algorithm": "sha256", "signatureHeader": "x-my-signature", "includeTimestamp": false,
        "payloadFormat": "v0:{method}:{body}", "signaturePrefix": "v0=", "signatureEncoding": "base64",
    });
    let app = Story::new().with("VAPI_WEBHOOK_HMAC", &plan.to_string()).begin().await;
    let body = news("planned").to_string();
    let signature = |text: &str| {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        use hmac::{Hmac, KeyInit as _, Mac as _};
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key");
        mac.update(text.as_bytes());
        format!("v0={}", STANDARD.encode(mac.finalize().into_bytes()))
    };
    let post = async |value: String| app.ask("POST", WEBHOOK).header("x-my-signature", &value).body(body.clone()).send().await;
    assert_eq!(post(signature(&format!("v0:POST:{body}"))).await.status, 200);
    post(signature(&body)).await.refused(401, "INVALID_SIGNATURE");
    post(signature(&format!("v0:GET:{body}"))).await.refused(401, "INVALID_SIGNATURE");
    app.finish().await;
}

#[tokio::test]
async fn a_standard_key_is_no_token() {
    let key = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";
    let app = Story::new().with("VAPI_WEBHOOK_SECRET", key).begin().await;
    assert_eq!(signed(&app, Auth::Standard, key, &news("s"), app.clock().now()).await.status, 200);
    for auth in [Auth::Secret, Auth::Bearer, Auth::Signature, Auth::Hmac] {
        signed(&app, auth, key, &news("s"), app.clock().now()).await.refused(401, "INVALID_SIGNATURE");
    }
    app.finish().await;
}

/// Under Standard Webhooks the id is signed, so it says what a repeat is.
#[tokio::test]
async fn a_signed_message_id_decides_what_is_a_repeat() {
    let app = Story::new().begin().await;
    let send = async |id: &str, status: &str| {
        let body = message("status-update", "told", json!({"status": status})).to_string();
        let headers = sign::headers_of(Auth::Standard, &SecretString::from(SECRET), id, body.as_bytes(), app.clock().now());
        app.ask("POST", WEBHOOK).headers(headers).body(body).send().await.json()["message"].clone()
    };
    assert_eq!(send("msg_1", "ringing").await, "Stored.");
    assert_eq!(send("msg_1", "in-progress").await, "Stored before; nothing changed.");
    assert_eq!(app.call("told").await["callStatus"], "ringing");
    assert_eq!(send("msg_2", "in-progress").await, "Stored.");
    assert_eq!(app.call("told").await["callStatus"], "in-progress");
    app.finish().await;
}

#[tokio::test]
async fn fifty_failures_a_minute_are_told_why_and_more_are_429_while_right_proofs_pass() {
    let app = Story::new().begin().await;
    let fails = async |from: &str| app.ask("POST", WEBHOOK).header("x-vapi-secret", "wrong").from(from).body("{}").send().await;
    for _ in 0..50 {
        fails("198.51.100.7").await.refused(401, "INVALID_SIGNATURE");
    }
    for _ in 0..3 {
        fails("198.51.100.7").await.refused(429, "RATE_LIMITED");
    }
    let without_any = app.ask("POST", WEBHOOK).from("198.51.100.7").body("{}").send().await;
    without_any.refused(429, "RATE_LIMITED");
    for number in 0..60 {
        let body = news(&format!("vapi-{number}")).to_string();
        let right = app.ask("POST", WEBHOOK).header("x-vapi-secret", SECRET).from("198.51.100.7").body(body);
        assert_eq!(right.send().await.status, 200, "a valid proof is never refused");
    }
    fails("198.51.100.8").await.refused(401, "INVALID_SIGNATURE");
    fails("::ffff:198.51.100.7").await.refused(429, "RATE_LIMITED");
    app.advance(60.0).await;
    fails("198.51.100.7").await.refused(401, "INVALID_SIGNATURE");
    app.finish().await;
}

#[tokio::test]
async fn failures_count_for_the_address_that_trusted_proxies_name() {
    let app = Story::new().with("TRUSTED_PROXIES", "10.0.0.0/8").begin().await;
    let fails = async |peer: &str, named: &str| {
        let ask = app.ask("POST", WEBHOOK).header("x-vapi-secret", "wrong").header("x-forwarded-for", named).from(peer);
        ask.body("{}").send().await.status
    };
    for _ in 0..50 {
        assert_eq!(fails("10.0.0.1", "6.6.6.6, 203.0.113.9").await, 401);
    }
    assert_eq!(fails("10.0.0.1", "7.7.7.7, 203.0.113.9").await, 429, "what a stranger writes on the left does not count");
    assert_eq!(fails("10.0.0.1", "203.0.113.10").await, 401);
    for _ in 0..49 {
        assert_eq!(fails("192.0.2.1", "203.0.113.11").await, 401);
    }
    assert_eq!(fails("192.0.2.1", "203.0.113.12").await, 401);
    assert_eq!(fails("192.0.2.1", "203.0.113.13").await, 429, "nobody trusts this peer, so it counts itself");
    app.finish().await;
}

/// Whoever saw a bare signature once can send the body again beside another `x-call-id`; other proofs cover the sender.
#[tokio::test]
async fn a_call_id_beside_a_bare_signature_does_not_count() {
    let app = Story::new().begin().await;
    for (number, auth) in ALL.into_iter().enumerate() {
        let body = message_of_no_call("hang", json!({"number": number})).to_string();
        let headers = sign::headers(auth, &SecretString::from(SECRET), body.as_bytes(), app.clock().now());
        let answer = app.ask("POST", WEBHOOK).headers(headers).header("x-call-id", "beside").body(body).send().await.json();
        let expected = if auth == Auth::Signature { Value::Null } else { json!("beside") };
        assert_eq!(answer["callId"], expected, "{auth:?}");
    }
    app.finish().await;
}
