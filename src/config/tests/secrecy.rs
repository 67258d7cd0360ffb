//! Whatever stands in whatever variable: the sentences that stop a start show none of it.

use proptest::{prelude::any, prop_assert, prop_oneof, proptest, sample::select, strategy::Strategy};
use secrecy::ExposeSecret as _;

use super::config;
use crate::config::{ClientConfig, Environment, StoreConfig, variables};

/// Stands for a secret; no name or sentence of ours has it.
const SECRET: &str = "Hunter2Hunter2";

/// Values with the secret in places where a parser may trip over it.
fn values() -> impl Strategy<Value = String> {
    let shapes = select(vec![
        "{}",
        "{},",
        ",{}",
        "{},{}",
        "{}=x",
        "x={}",
        "read:x={}",
        "{}:x=y",
        "{}://h",
        "https://u:{}@h",
        "https://h/?{}",
        "postgres://u:{}@h/d",
        "sqlite:{}?{}",
        "sqlite:x?{}=1",
        "sha256:{}",
        "x=sha256:{}",
        "whsec_{}!",
        "{\"{}\":1",
        "[\"{}\"]",
        "{\"payloadFormat\":\"{}\"}",
        "/{}?",
        "1{}",
        "{}s",
        "info={}={}",
        "10.0.0.0/{}",
    ]);
    prop_oneof![
        shapes.prop_map(str::to_owned),
        "[ -~]{0,12}".prop_map(|noise| noise + "{}"),
        any::<String>().prop_map(|noise| noise + "{}")
    ]
    .prop_map(|shape| shape.replace("{}", SECRET))
}

proptest! {
    #[test]
    fn no_sentence_shows_a_value(variable in select(variables()), file in any::<bool>(), exposed in any::<bool>(), value in values()) {
        let name = if file { format!("{}_FILE", variable.name) } else { variable.name.to_owned() };
        let host = if exposed { "::" } else { "::1" };
        let lookup = |asked: &str| if asked == name { Some(value.clone()) } else { (asked == "HOST").then(|| host.to_owned()) };
        let mut told = Vec::new();
        match config(&[("HOST", host), (&name, &value)]) {
            Ok(config) => told.extend(config.warnings),
            Err(error) => told.push(error.to_string()),
        }
        told.extend(ClientConfig::from_env(lookup).err().map(|error| error.to_string()));
        told.extend(StoreConfig::from_env(lookup).err().map(|error| error.to_string()));
        prop_assert!(!told.iter().any(|text| text.contains(SECRET)), "{told:?}");
    }

    #[test]
    fn no_sentence_shows_a_line_of_the_file(name in "[A-Z =']{0,6}", value in values()) {
        if let Err(error) = Environment::new([], &format!("PORT=1\n{name}{value}\n")) {
            prop_assert!(!error.to_string().contains(SECRET), "{error}");
        }
    }

    #[test]
    fn a_secret_in_single_quotes_survives_the_file(secret in "[ -&(-\\[\\]-~]{1,40}") {
        let environment = Environment::new([], &format!("VAPI_WEBHOOK_SECRET='{secret}'\n")).unwrap();
        prop_assert!(environment.get("VAPI_WEBHOOK_SECRET") == Some(secret));
    }

    #[test]
    fn a_token_is_found_by_itself_only(token in "[!-+\\--~]{16,64}", other in "[!-~]{0,64}") {
        let config = config(&[("API_TOKENS", &format!("read:ci={token}"))]);
        // A token that looks like a digest is one.
        if !token.starts_with("sha256:") {
            let access = config.unwrap().access;
            prop_assert!(access.find(&token).is_some());
            prop_assert!(other == token || access.find(&other).is_none());
        }
    }
}

#[test]
fn a_secret_is_kept_as_it_was_given() {
    let config = config(&[("VAPI_WEBHOOK_SECRET", &format!("  {SECRET}-and-more  "))]).unwrap();
    assert_eq!(config.webhook.secrets[0].expose_secret(), format!("{SECRET}-and-more"));
}
