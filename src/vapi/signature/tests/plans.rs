//! Webhooks that Vapi's HMAC credential signed in other ways than its default.

use super::{
    BARE_BASE64, BARE_HEX, WHSEC, proof,
    support::{BODY, NOW, PATH, SECRET, headers, mac, planned, set_up, set_up_at, standard, verify, with_plan},
};
use crate::vapi::signature::{ProofKind, Rejection, Request, SetupError};

/// Everything set differently.
const ELABORATE: &str = r#"{"type":"hmac","algorithm":"sha512","signatureHeader":"X-Sig","timestampHeader":"X-At","signaturePrefix":"sha512=",
    "payloadFormat":"{timestamp}:{method}:{url}:{body}","signatureEncoding":"base64"}"#;
const ELABORATE_SIGNATURE: &str = "wQSnQxDw0E2uP76oHdGl5V5ScI0aFbcUaUE0vhKC8CoinLoyIoJL/8HrHReQkhjgoxg2Kg1Za1IGKtjqLBkNbw==";
const SHA1: &str = "9b977abcd24602ab817012d8f1a729dc5ad33965";

#[test]
fn a_plan_is_followed_to_the_letter() {
    let verifier = with_plan(SECRET, ELABORATE);
    let prefixed = format!("sha512={ELABORATE_SIGNATURE}");
    assert_eq!(verify(&verifier, [("x-at", "1780000000000"), ("x-sig", &prefixed)]), Ok(proof(ProofKind::Signature, true)));
    for signature in [
        ELABORATE_SIGNATURE.to_owned(),
        format!("SHA512={ELABORATE_SIGNATURE}"),
        format!("sha512={}", "c1".repeat(64)),
        prefixed[..prefixed.len() - 4].to_owned(),
    ] {
        assert_eq!(verify(&verifier, [("x-at", "1780000000000"), ("x-sig", &signature)]), Err(Rejection::Invalid), "{signature}");
    }
    assert_eq!(verify(&verifier, [("x-timestamp", "1780000000000"), ("x-sig", &*prefixed)]), Err(Rejection::Invalid));
    assert_eq!(verify(&verifier, [("x-at", "1780000000000"), ("x-signature", &*prefixed)]), Err(Rejection::Missing));
}

#[test]
fn the_encoding_must_be_the_one_of_the_plan() {
    let hex = r#"{"includeTimestamp":false,"signaturePrefix":"sha256="}"#;
    let base64 = r#"{"includeTimestamp":false,"signatureEncoding":"base64"}"#;
    let prefixed = [BARE_HEX, BARE_BASE64].map(|signature| format!("sha256={signature}"));
    for (plan, signature, is_right) in [
        (hex, &*prefixed[0], true),
        (hex, &*prefixed[1], false),
        (hex, BARE_HEX, false),
        (base64, BARE_BASE64, true),
        (base64, BARE_HEX, false),
        (base64, &*prefixed[1], false),
    ] {
        let found = verify(&with_plan(SECRET, plan), [("x-signature", signature)]);
        assert_eq!(found.is_ok(), is_right, "{plan} {signature}");
        assert!(found.is_err() || found == Ok(proof(ProofKind::Signature, false)));
    }
}

#[test]
fn a_plan_without_a_timestamp_is_as_bare_as_can_be() {
    let verifier = with_plan(SECRET, r#"{"algorithm":"sha1","payloadFormat":"{body}"}"#);
    let found = verify(&verifier, [("x-signature", SHA1), ("x-timestamp", "not even looked at")]);
    assert_eq!(found, Ok(proof(ProofKind::Signature, false)));
    let beside_a_secret = verify(&verifier, [("x-signature", SHA1), ("x-vapi-secret", SECRET)]);
    assert_eq!(beside_a_secret, Ok(proof(ProofKind::Secret, false)), "a secret says more than a bare signature");
}

#[test]
fn a_plan_on_the_usual_header_leaves_the_bare_form_right() {
    let verifier = with_plan(SECRET, r#"{"signatureHeader":"x-vapi-signature"}"#);
    let timestamped = planned(SECRET, "1780000000", BODY).swap_remove(1).1;
    assert_eq!(verify(&verifier, [("x-vapi-signature", BARE_HEX)]), Ok(proof(ProofKind::Signature, false)));
    let pairs = [("x-vapi-signature", &*timestamped), ("x-timestamp", "1780000000")];
    assert_eq!(verify(&verifier, pairs), Ok(proof(ProofKind::Signature, true)));
}

#[test]
fn an_address_is_one_of_ours_whatever_the_host_header_says() {
    let plan = r#"{"payloadFormat":"{timestamp}.{url}.{body}"}"#;
    let urls = ["https://a.example.com/hook", "https://b.example.com:8443?x"];
    let verifier = set_up_at(SECRET, plan, &ProofKind::ALL, &urls).expect("the settings make sense");
    for (url, is_right) in [
        ("https://a.example.com/hook", true),
        ("https://b.example.com:8443?x", true),
        (&*format!("https://a.example.com{PATH}?q=1"), true),
        (&*format!("https://b.example.com:8443{PATH}?q=1"), true),
        (&*format!("https://a.example.com{PATH}"), false),
        (&*format!("https://c.example.com{PATH}?q=1"), false),
        ("", false),
    ] {
        let signature = hex::encode(mac(SECRET.as_bytes(), &[b"1780000000.", url.as_bytes(), b".", BODY]));
        let headers = headers([("x-timestamp", "1780000000"), ("x-signature", &signature), ("host", "c.example.com")]);
        let request = Request { headers: &headers, body: BODY, method: "POST", path_and_query: &format!("{PATH}?q=1") };
        assert_eq!(verifier.verify(&request, NOW).is_ok(), is_right, "{url}");
    }
}

#[test]
fn a_plan_that_signs_an_address_needs_to_know_ours() {
    let without = |kinds: &[_]| set_up_at(SECRET, ELABORATE, kinds, &[]).map(|_| ());
    assert_eq!(without(&ProofKind::ALL), Err(SetupError::NoUrl));
    assert_eq!(without(&[ProofKind::Secret]), Ok(()));
}

#[test]
fn a_message_id_of_a_plan_is_signed_but_names_no_event() {
    let plan = r#"{"messageIdHeader":"svix-id","payloadFormat":"{svix-id}|{timestamp}|{body}"}"#;
    let signature = hex::encode(mac(SECRET.as_bytes(), &[b"evt_1|1780000000|", BODY]));
    for (id, expected) in [("evt_1", Ok(proof(ProofKind::Signature, true))), ("evt_2", Err(Rejection::Invalid))] {
        let pairs = [("svix-id", id), ("x-timestamp", "1780000000"), ("x-signature", &signature)];
        assert_eq!(verify(&with_plan(SECRET, plan), pairs), expected);
    }
}

#[test]
fn secrets_are_base64_where_the_plan_says_so() {
    let plan = r#"{"secretIsBase64":true}"#;
    let (as_it_is, base64, key) = ("no base64 at all!", "bm90LWEtdmVyeS1nb29kLWtleQ==", "not-a-very-good-key");
    let verifier = with_plan(&format!("{as_it_is},{base64}"), plan);
    for (by, is_right) in [(key, true), (base64, false), (as_it_is, false)] {
        assert_eq!(verify(&verifier, planned(by, "1780000000", BODY)).is_ok(), is_right, "{by}");
        assert_eq!(verify(&verifier, standard(by.as_bytes(), "msg", "1780000000", BODY)).is_ok(), is_right, "{by}");
    }
    for (token, is_right) in [(key, false), (base64, true), (as_it_is, true)] {
        assert_eq!(verify(&verifier, [("x-vapi-secret", token)]).is_ok(), is_right, "{token}");
    }
    assert_eq!(set_up(as_it_is, plan, &ProofKind::ALL).expect_err("no key"), SetupError::NoKey);
    assert!(set_up(as_it_is, plan, &[ProofKind::Secret, ProofKind::Bearer]).is_ok());
    assert!(set_up(&format!("{as_it_is},{WHSEC}"), plan, &ProofKind::ALL).is_ok());
}
