//! Plans as Vapi stores them, and plans that cannot work.

use super::{Algorithm, Encoding, Format, HmacPlan, PlanError};

fn read(json: &str) -> HmacPlan {
    json.parse().expect(json)
}

fn refused(json: &str) -> PlanError {
    json.parse::<HmacPlan>().expect_err(json)
}

#[test]
fn what_a_plan_does_not_say_is_as_vapi_has_it() {
    for json in ["{}", " {} ", r#"{"type":"hmac","algorithm":"sha256"}"#, r#"{"payloadFormat":null,"includeTimestamp":null,"type":null}"#] {
        assert_eq!(read(json), HmacPlan::default(), "{json}");
    }
    let HmacPlan { signature_header, timestamp_header, format, .. } = HmacPlan::default();
    assert_eq!((signature_header.as_str(), timestamp_header.as_str()), ("x-signature", "x-timestamp"));
    assert_eq!(format, Format::parse("{timestamp}.{body}"));
}

#[test]
fn what_a_plan_says_is_kept() {
    let plan = read(
        r#"{"type":"hmac","provider":"custom-credential","name":"Ringback","secretKey":"open-sesame","algorithm":"sha512",
            "signatureHeader":"X-Sig","timestampHeader":"X-At","signaturePrefix":"v1,","includeTimestamp":true,
            "payloadFormat":"{svix-id}.{timestamp}.{body}","messageIdHeader":"X-Id","signatureEncoding":"base64","secretIsBase64":true}"#,
    );
    assert_eq!((plan.algorithm, plan.signature_encoding, plan.secret_is_base64), (Algorithm::Sha512, Encoding::Base64, true));
    assert_eq!((plan.signature_header.as_str(), plan.timestamp_header.as_str(), &*plan.signature_prefix), ("x-sig", "x-at", "v1,"));
    assert_eq!(plan.message_id_header.as_ref().map(axum::http::HeaderName::as_str), Some("x-id"));
    assert!(!format!("{plan:?}").contains("sesame"));
}

#[test]
fn without_a_timestamp_only_the_body_is_signed() {
    let plan = read(r#"{"includeTimestamp":false}"#);
    assert_eq!(plan.format, Format::parse("{body}"));
    assert!(plan.is_bare());
    assert!(read(r#"{"includeTimestamp":true,"payloadFormat":"{body}"}"#).is_bare());
    for other in ["{}", r#"{"includeTimestamp":false,"algorithm":"sha1"}"#, r#"{"includeTimestamp":false,"secretIsBase64":true}"#] {
        assert!(!read(other).is_bare(), "{other}");
    }
}

#[test]
fn emptied_fields_of_a_form_are_as_good_as_absent() {
    let plan = read(r#"{"signatureHeader":"","timestampHeader":"","messageIdHeader":"","signaturePrefix":""}"#);
    assert_eq!(plan, HmacPlan::default());
}

#[test]
fn a_plan_that_cannot_work_is_refused_with_a_sentence() {
    for (json, sentence) in [
        ("", "it must be a JSON object, the authenticationPlan of a Vapi HMAC credential"),
        ("open-sesame", "it must be a JSON object, the authenticationPlan of a Vapi HMAC credential"),
        (r#""open-sesame""#, "it must be a JSON object, the authenticationPlan of a Vapi HMAC credential"),
        ("[]", "it must be a JSON object, the authenticationPlan of a Vapi HMAC credential"),
        (r#"{"type":"bearer"}"#, "type must be \"hmac\""),
        (r#"{"algorithm":"md5"}"#, "algorithm must be sha256, sha512 or sha1"),
        (r#"{"signatureEncoding":"base32"}"#, "signatureEncoding must be hex or base64"),
        (r#"{"signatureHeader":"no spaces"}"#, "signatureHeader must be the name of a header"),
        (r#"{"messageIdHeader":7}"#, "messageIdHeader must be a text"),
        (r#"{"signaturePrefix":["sha256="]}"#, "signaturePrefix must be a text"),
        (r#"{"includeTimestamp":"yes"}"#, "includeTimestamp must be true or false"),
        (r#"{"secretIsBase64":1}"#, "secretIsBase64 must be true or false"),
        (r#"{"payloadFormat":"{timestamp}"}"#, "payloadFormat must contain {body}: without it a signature would vouch for any content"),
        (r#"{"payloadFormat":""}"#, "payloadFormat must contain {body}: without it a signature would vouch for any content"),
        (
            r#"{"payloadFormat":"{timestamp}{body}","includeTimestamp":false}"#,
            "payloadFormat contains {timestamp}, but includeTimestamp is false",
        ),
        (r#"{"payloadFormat":"{svix-id}.{body}"}"#, "payloadFormat contains {svix-id}, but messageIdHeader is missing"),
    ] {
        assert_eq!(refused(json).to_string(), sentence, "{json}");
    }
}
