//! `TOOLS`: what is taken, and what a wrong file is told.

use std::time::Duration;

use super::{config, with};
use crate::config::{
    Config,
    tools::{Answerer, Format},
};

/// A key in base64, of 24 bytes.
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const WHOLE: &str = r#"
[tools.lookup_order]
url = "https://shop.example.com/lookup?token=hidden"
secret_env = "LOOKUP_SECRET"
timeout_seconds = 2.5
fallback = "I can't look that up right now."
[tools."*"]
url = "http://10.0.0.7:8080/any"
format = "vapi"
[requests.assistant-request]
answer = { assistantId = "a-1" }
[requests."campaign.predial"]
url = "https://shop.example.com/predial"
[relay]
url = "https://n8n.example.com/webhook/vapi"
"#;

#[test]
fn a_whole_file_is_taken() {
    let tools = config(&[("TOOLS", WHOLE), ("LOOKUP_SECRET", KEY)]).unwrap().tools;
    let (label, tool) = tools.tool("lookup_order").unwrap();
    assert_eq!((label, tool.endpoint.timeout, tool.endpoint.format), ("lookup_order", Duration::from_millis(2_500), Format::Ringback));
    assert!(tool.endpoint.key.is_some() && tool.fallback == "I can't look that up right now.");
    let (label, other) = tools.tool("unnamed").unwrap();
    assert_eq!((label, other.endpoint.timeout, other.endpoint.format), ("*", Duration::from_secs(5), Format::Vapi));
    assert!(matches!(&tools.requests["assistant-request"], Answerer::Fixed(answer) if answer["assistantId"] == "a-1"));
    assert!(matches!(tools.requests["campaign.predial"], Answerer::Asked(_)));
    assert_eq!(tools.relay.unwrap().timeout, Duration::from_secs(18));
    assert!(Config::from_env(|_| None).unwrap().tools.is_empty());
    assert!(with("TOOLS", "[tools]").tools.is_empty());
}

#[test]
fn a_file_that_is_wrong_is_told_where_and_never_repeated() {
    let url = "url = \"https://x.example/hidden\"\n";
    for (file, told) in [
        ("[tools.a]\nurl = hidden".to_owned(), "line 2 column 7, [tools.a] url: string values must be quoted"),
        ("[tools.a]\n".to_owned(), "line 1 column 1, [tools.a]: missing field `url`"),
        (format!("[tools.a]\n{url}hidden = 3"), "line 3 column 1, [tools.a]: unknown field, expected one of `url`"),
        ("[\"hidden\"]".to_owned(), "line 1 column 2: unknown field, expected one of `tools`, `requests`, `relay`"),
        ("[tools.a]\n\"x, expected hidden\" = 1".to_owned(), "line 2 column 1, [tools.a]: unknown field, expected one of `url`"),
        ("[tools.a]\nhidden = 1\nhidden = 2".to_owned(), "line 3 column 1, [tools.a]: duplicate key"),
        (format!("[tools.a]\n{url}timeout_seconds = \"hidden\""), "line 3 column 19, [tools.a] timeout_seconds: expected a number"),
        (format!("[tools.a]\n{url}timeout_seconds = 0.5"), "[tools.a]: timeout_seconds must be a number from 1 to 18"),
        (format!("[tools.a]\n{url}timeout_seconds = nan"), "from 1 to 18"),
        (format!("[tools.a]\n{url}timeout_seconds = 19"), "from 1 to 18"),
        (format!("[tools.a]\n{url}fallback = \"\""), "fallback must be one line"),
        (format!("[tools.a]\n{url}fallback = \"a\\nb\""), "fallback must be one line"),
        (format!("[tools.a]\n{url}format = \"hidden\""), "line 3 column 10, [tools.a] format: expected `ringback` or `vapi`"),
        (format!("[tools.a]\n{url}secret_env = \"NOT_SET\""), "secret_env must name a variable that is set"),
        (format!("[tools.a]\n{url}secret_env = \"SHORT\""), "a variable that holds `whsec_`"),
        ("[tools.a]\nurl = \"ftp://hidden\"".to_owned(), "url must be an http or https address"),
        ("[tools.a]\nurl = \"hidden\"".to_owned(), "url must be an http or https address"),
        (format!("[requests.tool-calls]\n{url}"), "tools stand under [tools.NAME]"),
        (format!("[requests.status-update]\n{url}"), "a request is one of"),
        (format!("[requests.campaign.predial]\n{url}"), "unknown field"),
        ("[requests.voice-request]".to_owned(), "needs either answer or url"),
        (format!("[requests.voice-request]\n{url}answer = {{}}"), "needs either answer or url"),
        ("[requests.voice-request]\nanswer = \"hidden\"".to_owned(), "answer must be a table"),
        ("[requests.voice-request]\nanswer = {}\ntimeout_seconds = 3".to_owned(), "go with url"),
        (format!("[requests.assistant-request]\n{url}timeout_seconds = 6"), "at most 5"),
        ("[relay]\nurl = \"hidden\"".to_owned(), "[relay]: url must be"),
        ("[relays]".to_owned(), "unknown field"),
        ("hidden".to_owned(), "line 1 column 7: key with no value, expected `=`"),
        ("[tools.a\n".to_owned(), "unclosed table, expected `]`"),
        ("[tools]\na = 5".to_owned(), "line 2 column 5: expected a table"),
        ("tools = 5".to_owned(), "line 1 column 9: expected a table"),
        (format!("[tools.a]\n{url}secret_env = \"whsec_hidden\""), "[tools.a]: secret_env must name a variable"),
    ] {
        let error = config(&[("TOOLS", &file), ("SHORT", "whsec_c2hvcnQ=")]).expect_err(&file);
        let [problem] = error.problems.as_slice() else { panic!("{file}: {error}") };
        assert!(problem.starts_with("TOOLS: ") && problem.contains(told), "{file}: {problem}");
        assert!(!problem.contains("hidden"), "{file}: {problem}");
    }
}

#[test]
fn a_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tools.toml");
    let told = |text: &str| {
        std::fs::write(&path, text).unwrap();
        config(&[("TOOLS_FILE", path.to_str().unwrap())]).unwrap_err().problems.concat()
    };
    let name = format!("TOOLS_FILE ({}): ", path.display());
    assert_eq!(told("[tools.a]\nurl = 5"), format!("{name}line 2 column 7, [tools.a] url: expected a string"));
    assert_eq!(told("[tools.a]\nurl = \"x\""), format!("{name}[tools.a]: url must be an http or https address"));
    assert!(config(&[("TOOLS_FILE", "no/such/file")]).unwrap_err().to_string().contains("seen from the working directory"));
}

#[test]
fn every_fault_of_a_file_is_told_at_once() {
    let file = "[tools.a]\nurl = \"x\"\ntimeout_seconds = 99\n[tools.b]\nurl = \"y\"\n[relay]\nurl = \"z\"";
    assert_eq!(config(&[("TOOLS", file)]).unwrap_err().problems.len(), 4);
}

#[test]
fn no_secret_is_shown_by_debug() {
    let shown = format!("{:?}", config(&[("TOOLS", WHOLE), ("LOOKUP_SECRET", KEY)]).unwrap().tools);
    assert!(!shown.contains("MfKQ") && !shown.contains("hidden"), "{shown}");
}
