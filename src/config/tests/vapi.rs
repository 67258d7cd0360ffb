use secrecy::ExposeSecret as _;

use super::{LONG, config, exposed, refused, with};

#[test]
fn an_empty_secret_stops_the_start() {
    for secrets in ["a,,b", ",0123456789abcdef", "0123456789abcdef,", "0123456789abcdef, ,"] {
        let error = config(&[("VAPI_WEBHOOK_SECRET", secrets)]).unwrap_err();
        assert!(error.problems.iter().any(|problem| problem.contains("is empty")), "{error}");
    }
}

#[test]
fn secrets_stand_newest_first_and_trimmed() {
    let config = exposed(&[("VAPI_WEBHOOK_SECRET", " new-secret-of-ours-1 ,old-secret-of-ours-1,whsec_MDEyMzQ1Njc4OWFiY2RlZg==")]).unwrap();
    let secrets: Vec<_> = config.webhook.secrets.iter().map(|secret| secret.expose_secret().to_owned()).collect();
    assert_eq!(secrets, ["new-secret-of-ours-1", "old-secret-of-ours-1", "whsec_MDEyMzQ1Njc4OWFiY2RlZg=="]);
}

#[test]
fn a_standard_key_is_base64_and_needs_its_proof() {
    assert!(refused("VAPI_WEBHOOK_SECRET", "whsec_not-base64-at-all!").contains("base64"));
    let key = ("VAPI_WEBHOOK_SECRET", "whsec_MDEyMzQ1Njc4OWFiY2RlZg==");
    config(&[key, ("VAPI_WEBHOOK_AUTH", "standard")]).unwrap();
    let error = config(&[key, ("VAPI_WEBHOOK_AUTH", "secret,bearer")]).unwrap_err();
    assert!(error.to_string().contains("VAPI_WEBHOOK_AUTH"), "{error}");
}

#[test]
fn proofs_come_from_a_closed_list() {
    assert_eq!(with("VAPI_WEBHOOK_AUTH", "signature , standard").webhook.auth, ["signature", "standard"]);
    refused("VAPI_WEBHOOK_AUTH", "secret,none");
    refused("VAPI_WEBHOOK_AUTH", ",");
}

#[test]
fn an_hmac_plan_is_an_object_that_covers_the_body() {
    let plan = r#"{"type":"hmac","algorithm":"sha512","payloadFormat":"{timestamp}:{body}"}"#;
    let kept = with("VAPI_WEBHOOK_HMAC", plan).webhook.hmac.unwrap();
    assert_eq!(kept.expose_secret(), plan, "verbatim");
    with("VAPI_WEBHOOK_HMAC", r#"{"type":"hmac"}"#);
    for wrong in ["sha256", "[]", "{", "null"] {
        refused("VAPI_WEBHOOK_HMAC", wrong);
    }
    for bodiless in [r#"{"payloadFormat":"{timestamp}"}"#, r#"{"payloadFormat":7}"#, r#"{"payloadFormat":""}"#] {
        assert!(refused("VAPI_WEBHOOK_HMAC", bodiless).contains("{body}"));
    }
}

#[test]
fn the_webhook_address_follows_the_public_one() {
    let config_of = |variables: &[_]| config(variables).unwrap();
    assert_eq!(config_of(&[]).webhook.url, None);
    let derived = config_of(&[("PUBLIC_URL", "https://calls.example.com/")]);
    assert_eq!(derived.webhook.url.as_deref(), Some("https://calls.example.com/api/v1/vapi/webhook"));
    assert!(derived.warnings.is_empty());
    let given = config_of(&[("PUBLIC_URL", "https://calls.example.com"), ("VAPI_WEBHOOK_URL", "https://hooks.example.com/x?y=1")]);
    assert_eq!(given.webhook.url.as_deref(), Some("https://hooks.example.com/x?y=1"));
}

#[test]
fn the_webhook_address_is_https_unless_it_is_this_machine() {
    with("VAPI_WEBHOOK_URL", "http://127.0.0.1:8000/api/v1/vapi/webhook");
    with("VAPI_WEBHOOK_URL", "http://[::1]:8000/hook");
    with("VAPI_WEBHOOK_URL", "http://localhost/hook");
    refused("VAPI_WEBHOOK_URL", "http://hooks.example.com/x");
    refused("VAPI_WEBHOOK_URL", "/api/v1/vapi/webhook");
    let derived = with("PUBLIC_URL", "http://calls.example.com");
    assert!(derived.warnings.len() == 1 && derived.warnings[0].contains("https"), "{:?}", derived.warnings);
}

#[test]
fn one_more_webhook_path_must_be_free() {
    assert_eq!(with("VAPI_WEBHOOK_PATH", "/hooks/vapi/").webhook.path.as_deref(), Some("/hooks/vapi"));
    for path in [
        "/",
        "hooks",
        "/hooks?x=1",
        "/hooks/{id}",
        "/a//b",
        "/livez",
        "/docs/x",
        "/api/v1/vapi/calls/x",
        "/t",
        "/t/x/y",
        "/vapi/call",
        "/ho oks",
    ] {
        refused("VAPI_WEBHOOK_PATH", path);
    }
    with("VAPI_WEBHOOK_PATH", "/tools");
}

#[test]
fn the_api_key_fits_into_a_header() {
    assert_eq!(with("VAPI_API_KEY", LONG).vapi.api_key.unwrap().expose_secret(), LONG);
    for key in ["two words", "line\nbreak", "schlüssel"] {
        assert!(!refused("VAPI_API_KEY", key).contains(key));
    }
}

#[test]
fn a_key_sent_in_clear_is_a_warning() {
    let key = ("VAPI_API_KEY", LONG);
    assert_eq!(config(&[key, ("VAPI_API_URL", "http://fake.example.com/")]).unwrap().warnings.len(), 1);
    let local = config(&[key, ("VAPI_API_URL", "http://127.0.0.1:9000/")]).unwrap();
    assert_eq!(local.vapi.api_url, "http://127.0.0.1:9000");
    assert!(local.warnings.is_empty());
    refused("VAPI_API_URL", "https://sk@api.vapi.ai");
}

#[test]
fn the_api_key_is_known_by_all_its_letters_and_without_one_nothing_is() {
    let keyed = with("VAPI_API_KEY", LONG).vapi;
    assert!(keyed.is_key(LONG));
    for other in ["", &LONG[1..], &format!("{LONG}x"), &LONG.to_uppercase()] {
        assert!(!keyed.is_key(other), "{other}");
    }
    assert!(!config(&[]).unwrap().vapi.is_key(""));
}

#[test]
fn passing_on_is_off_until_somebody_says_so_and_needs_a_key() {
    assert!(!config(&[]).unwrap().vapi.passthrough);
    let keyed = config(&[("VAPI_API_KEY", LONG), ("VAPI_PASSTHROUGH", "1")]).unwrap();
    assert!(keyed.vapi.passthrough && keyed.warnings.is_empty());
    assert_eq!(with("VAPI_PASSTHROUGH", "true").warnings.len(), 1);
    refused("VAPI_PASSTHROUGH", "yes please");
}
