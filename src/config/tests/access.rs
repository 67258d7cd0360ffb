use sha2::{Digest as _, Sha256};

use super::{LONG, config, exposed, refused, with};
use crate::config::Scope;

#[test]
fn a_token_has_a_name_and_a_scope() {
    let config = with(
        "API_TOKENS",
        " poll:kestra-1=AAAAAAAAAAAAAAAA , read:grafana=BBBBBBBBBBBBBBBB,place:n8n=CCCCCCCCCCCCCCCC,ops=DDDD=DDDD=DDDDDD== ",
    );
    let tokens: Vec<_> = config.access.tokens.iter().map(|token| (token.name.as_str(), token.scope)).collect();
    assert_eq!(tokens, [("kestra-1", Scope::Poll), ("grafana", Scope::Read), ("n8n", Scope::Place), ("ops", Scope::Admin)]);
    let name_of = |shown| config.access.find(shown).map(|token| token.name.as_str());
    assert_eq!(name_of("AAAAAAAAAAAAAAAA"), Some("kestra-1"));
    assert_eq!(name_of("DDDD=DDDD=DDDDDD=="), Some("ops"), "split at the first =");
    assert_eq!(name_of("AAAAAAAAAAAAAAAB"), None);
    assert_eq!(name_of(""), None);
}

#[test]
fn scopes_include_the_ones_before() {
    assert!(Scope::Poll < Scope::Read && Scope::Read < Scope::Place && Scope::Place < Scope::Admin);
}

#[test]
fn a_token_may_be_given_as_its_digest() {
    let digest = hex::encode(Sha256::digest(b"the real token, long enough"));
    for written in [digest.clone(), digest.to_uppercase()] {
        let config = with("API_TOKENS", &format!("read:ci=sha256:{written}"));
        assert_eq!(config.access.find("the real token, long enough").map(|token| token.scope), Some(Scope::Read));
        assert!(config.access.find(&format!("sha256:{written}")).is_none());
    }
    refused("API_TOKENS", "ci=sha256:abc");
    refused("API_TOKENS", &format!("ci=sha256:{}", "zz".repeat(32)));
}

#[test]
fn a_malformed_token_is_refused_and_never_shown() {
    for entry in [
        "0123456789abcdefSECRET",
        "0123456789abcdefSECRET==",
        "Ops=0123456789abcdefSECRET",
        "1ops=0123456789abcdefSECRET",
        "=0123456789abcdefSECRET",
        "write:ops=0123456789abcdefSECRET",
        "read:=0123456789abcdefSECRET",
        "ops=0123456789 abcdefSECRET",
        "ops=0123456789äbcdefSECRET",
        "ops=",
        "a23456789012345678901234567890123=0123456789abcdefSECRET",
    ] {
        let sentence = refused("API_TOKENS", entry);
        assert!(sentence.contains("entry 1") && !sentence.contains("SECRET"), "{sentence}");
    }
    with("API_TOKENS", "a2345678901234567890123456789012=0123456789abcdef");
}

#[test]
fn names_and_tokens_are_unique() {
    for list in ["a=0123456789abcdef,a=fedcba9876543210", "a=0123456789abcdef,read:b=0123456789abcdef"] {
        assert!(refused("API_TOKENS", list).contains("entry 2"));
    }
}

#[test]
fn short_secrets_are_a_warning_on_loopback_and_refused_off_it() {
    for (name, value) in [("API_TOKENS", "ops=short"), ("VAPI_WEBHOOK_SECRET", "short"), ("VAPI_WEBHOOK_SECRET", "whsec_MTIz")] {
        let on_loopback = with(name, value);
        assert_eq!(on_loopback.warnings.len(), 1, "{:?}", on_loopback.warnings);
        let error = exposed(&[(name, value)]).unwrap_err();
        assert!(error.problems.len() == 1 && error.problems[0].starts_with(name) && !error.to_string().contains("short"), "{error}");
    }
}

#[test]
fn off_loopback_nothing_opens_by_mistake() {
    let error = config(&[("HOST", "::")]).unwrap_err();
    assert_eq!(error.problems.len(), 2, "{error}");
    assert!(error.problems[0].starts_with("VAPI_WEBHOOK_SECRET must be set"));
    assert!(error.problems[1].starts_with("API_TOKENS must be set"));

    let half = config(&[("HOST", "::"), ("ALLOW_UNAUTHENTICATED", "webhooks")]).unwrap_err();
    assert!(half.problems.len() == 1 && half.problems[0].starts_with("API_TOKENS"), "{half}");
    let other = config(&[("HOST", "::"), ("ALLOW_UNAUTHENTICATED", "reads")]).unwrap_err();
    assert!(other.problems.len() == 1 && other.problems[0].starts_with("VAPI_WEBHOOK_SECRET"), "{other}");

    let open = config(&[("HOST", "::"), ("ALLOW_UNAUTHENTICATED", "webhooks, reads")]).unwrap();
    assert!(open.access.open_webhooks && open.access.open_reads);
    let closed = exposed(&[]).unwrap();
    assert!(!closed.access.open_webhooks && !closed.access.open_reads);
}

#[test]
fn a_token_that_was_given_but_wrong_is_told_once() {
    let error = exposed(&[("API_TOKENS", "no-name-and-no-equals-sign")]).unwrap_err();
    assert_eq!(error.problems, ["API_TOKENS: entry 1 must look like [scope:]name=token"]);
}

#[test]
fn only_webhooks_and_reads_can_be_opened() {
    refused("ALLOW_UNAUTHENTICATED", "writes");
    refused("ALLOW_UNAUTHENTICATED", "true");
}

#[test]
fn a_secret_beside_open_webhooks_is_a_warning() {
    let config = exposed(&[("ALLOW_UNAUTHENTICATED", "webhooks")]).unwrap();
    assert_eq!(config.warnings.len(), 1);
}

#[test]
fn debug_output_shows_no_secret() {
    let config = config(&[
        ("API_TOKENS", "ops=token-hunter2-token"),
        ("VAPI_API_KEY", "key-hunter2"),
        ("VAPI_WEBHOOK_SECRET", &format!("hunter2-{LONG}")),
        ("VAPI_WEBHOOK_HMAC", r#"{"type":"hmac","secretKey":"hunter2"}"#),
    ])
    .unwrap();
    let shown = format!("{config:#?}");
    assert!(!shown.contains("hunter2") && shown.contains("ops"), "{shown}");
    let digest = config.access.tokens[0].digest;
    assert!(!shown.contains(&hex::encode(digest)) && !shown.contains(&format!("{}, {}", digest[0], digest[1])));
}
