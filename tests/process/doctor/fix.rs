//! `--fix` changes what is named, and nothing else; `--restore` puts it back.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::{Value, json};

use super::{ASSISTANT, House, NUMBER, complaints};
use crate::support::{SECRET, program::Ended, skipped};

/// The file that was saved.
fn saved(ended: &Ended) -> String {
    let (_, rest) = ended.stderr.split_once("--restore ").unwrap_or_else(|| panic!("no file: {}", ended.stderr));
    rest.split('`').next().expect("a name").to_owned()
}

/// No secret and no file of secrets for others.
fn is_discreet(ended: &Ended) {
    for shy in [SECRET, "hunter2"] {
        assert!(!ended.stdout.contains(shy) && !ended.stderr.contains(shy), "{ended:?}");
    }
}

fn spoil(assistant: &mut Value) {
    assistant["server"] = json!({"url": "https://old.example.com/hook", "timeoutSeconds": 3, "headers": {"X-Mine": "hunter2-of-mine"}});
    assistant["serverMessages"] = json!(["status-update", "transcript"]);
}

#[test]
fn what_is_named_is_made_right_and_put_back() {
    let house = House::new();
    let _service = house.serve();
    house.assistant(spoil);
    house.number(|number| number["assistantId"] = Value::Null);
    let before = house.settings();
    let fixed = house.doctor(&["--fix", "--yes", "--json", "--assistant", ASSISTANT]);
    assert_eq!((fixed.code, complaints(&fixed)), (0, Vec::new()), "{fixed:?}");
    is_discreet(&fixed);

    let [assistant, number, org] = house.settings();
    let url = format!("http://127.0.0.1:{}/api/v1/vapi/webhook", house.port);
    let plan = json!({"type": "exponential", "maxRetries": 10, "baseDelaySeconds": 2});
    let headers = json!({"X-Mine": "hunter2-of-mine", "x-vapi-secret": SECRET});
    assert_eq!(assistant["server"], json!({"url": url, "timeoutSeconds": 20, "backoffPlan": plan, "headers": headers}));
    assert_eq!(assistant["serverMessages"], json!(["status-update", "transcript", "end-of-call-report"]));
    assert_eq!([&number, &org], [&before[1], &before[2]], "nobody named them");
    let patches: Vec<_> = house.vapi.requests().into_iter().filter(|request| request.method != "GET").collect();
    assert_eq!(patches.len(), 1, "{patches:?}");
    assert_eq!(patches[0].body.as_object().map(serde_json::Map::len), Some(2), "{}", patches[0].body);

    let file = saved(&fixed);
    let mode = fs::metadata(house.home.file(&file)).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let again = house.doctor(&["--fix", "--yes", "--assistant", ASSISTANT]);
    assert_eq!((again.code, house.changes()), (0, 1), "{}", again.stderr);
    assert!(again.stderr.contains("nothing to change"), "{}", again.stderr);

    let restored = house.doctor(&["--restore", &file, "--yes"]);
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    is_discreet(&restored);
    assert_eq!(house.settings(), before);
}

#[test]
fn the_credential_that_is_configured_is_what_an_assistant_gets() {
    let house = House::new();
    let _service = house.serve();
    house.assistant(|assistant| {
        spoil(assistant);
        assistant["model"]["tools"] = json!([{"function": {"name": "book"}, "server": {"url": "https://old.example.com/tools"}}]);
    });
    let before = house.settings();
    let program =
        house.program.clone().set("VAPI_CREDENTIAL_ID", "cred-of-mine").set("TOOLS", "[tools.book]\nurl = \"http://127.0.0.1:9/\"");
    let fixed = super::examined(&program, &["--fix", "--yes", "--json", "--assistant", ASSISTANT]);
    assert_eq!((fixed.code, complaints(&fixed)), (0, vec!["warning tool_url".to_owned()]), "{fixed:?}");
    assert!(fixed.stderr.contains("server.credentialId") && fixed.stderr.contains("cred-of-mine"), "{}", fixed.stderr);
    let [assistant, ..] = house.settings();
    assert_eq!(
        (&assistant["server"]["credentialId"], &assistant["server"]["headers"]),
        (&json!("cred-of-mine"), &json!({"X-Mine": "hunter2-of-mine"}))
    );
    assert_eq!(assistant["model"], before[0]["model"], "tools are looked at, and left alone");
}

#[test]
fn numbers_and_the_organisation_are_changed_by_name_and_what_was_absent_is_absent_again() {
    let house = House::new();
    let _service = house.serve();
    let before = house.settings();
    let fixed = house.doctor(&["--fix", "--yes", "--json", "--phone-number", NUMBER, "--org"]);
    assert_eq!((fixed.code, complaints(&fixed)), (0, Vec::new()), "{fixed:?}");
    let [_, number, org] = house.settings();
    for object in [&number, &org] {
        assert_eq!(object["server"]["backoffPlan"]["maxRetries"], 10, "{object}");
        assert_eq!(object["server"]["headers"]["x-vapi-secret"], SECRET);
    }
    let sent = house.vapi.requests().into_iter().find(|request| request.method == "PATCH" && request.path.starts_with("/phone-number/"));
    assert_eq!(sent.expect("it was sent").body["provider"], "vapi", "Vapi tells kinds of numbers apart by it");
    let restored = house.doctor(&["--restore", &saved(&fixed), "--yes"]);
    assert_eq!((restored.code, house.settings()), (0, before), "{}", restored.stderr);

    house.vapi.spoil_settings(|_, _, org| *org = Value::Null);
    let closed = house.doctor(&["--fix", "--yes", "--org"]);
    assert_eq!(closed.code, 1, "{}", closed.stdout);
    assert!(closed.stdout.contains("does not let this key read the organisation's settings"), "{}", closed.stdout);
}

#[test]
fn what_vapi_hides_is_not_sent_back_broken() {
    let house = House::new();
    let _service = house.serve();
    house.assistant(|assistant| {
        spoil(assistant);
        assistant["server"]["headers"]["Authorization"] = json!("Bearer ****");
    });
    let before = house.settings();
    let stuck = house.doctor(&["--fix", "--yes", "--assistant", ASSISTANT]);
    assert_eq!((stuck.code, house.settings(), house.changes()), (1, before, 0), "{}", stuck.stderr);
    assert!(stuck.stderr.contains("use the dashboard"), "{}", stuck.stderr);
}

#[test]
fn a_change_that_vapi_refuses_is_told() {
    let house = House::new();
    let _service = house.serve();
    house.assistant(spoil);
    let before = house.settings();
    // Three questions are answered before the change: the assistant, the organisation, the assistant again.
    for _ in 0..3 {
        house.vapi.fail_next(ringback::simulate::Fault::Slow(std::time::Duration::from_millis(1)));
    }
    house.vapi.fail_next(ringback::simulate::Fault::Page(502));
    let refused = house.doctor(&["--fix", "--yes", "--assistant", ASSISTANT]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("Vapi answered 502"), "{}", refused.stderr);
    // It was done all the same: the file is there for that.
    assert_ne!(house.settings(), before);
    assert_eq!(house.doctor(&["--restore", &saved(&refused), "--yes"]).code, 0);
    assert_eq!(house.settings(), before);
}

#[test]
fn nothing_is_changed_where_nobody_can_be_asked_or_nobody_agrees() {
    let house = House::new();
    let _service = house.serve();
    house.assistant(spoil);
    let before = house.settings();
    let asked = house.doctor(&["--fix", "--assistant", ASSISTANT]);
    assert_eq!((asked.code, asked.stdout.as_str()), (2, ""), "{}", asked.stderr);
    assert!(asked.stderr.contains("--yes") && house.vapi.requests().is_empty(), "{}", asked.stderr);
    if !Path::new("/usr/bin/script").exists() {
        return skipped("there is no `script` to make a terminal: the question is not shown");
    }
    let terminal = |answer: &str| {
        let line = format!("doctor --fix --assistant {ASSISTANT}");
        let made = ["sh", "-c", r#"exec script -qec "$0 $*" /dev/null"#];
        house.program.clone().under(made).with(line.split(' ')).run_fed(answer)
    };
    let refused = terminal("n\n");
    assert_eq!((refused.code, house.changes()), (1, 0), "{refused:?}");
    assert!(refused.stdout.contains("as shown? [y/N]") && refused.stdout.contains("nothing was changed"), "{refused:?}");
    assert_eq!(house.settings(), before);
    let agreed = terminal("y\n");
    assert_eq!((agreed.code, house.changes()), (0, 1), "{agreed:?}");
    is_discreet(&agreed);
}

#[test]
fn a_file_that_is_none_of_ours_is_refused() {
    let house = House::new();
    let put = |text: &str| {
        house.home.write("saved.json", text);
        house.doctor(&["--restore", "saved.json", "--yes"])
    };
    let url = house.vapi.url();
    let object = |kind: &str, id: &str, field: &str| {
        let object = json!({"kind": kind, "id": id, "fields": {field: null}});
        json!({"format": "ringback-doctor-1", "api_url": url, "objects": [object]}).to_string()
    };
    for text in [
        "",
        "{}",
        "dear diary",
        &object("call", "a", "server"),
        &object("assistant", "../org", "server"),
        &object("assistant", "a", "model"),
        &object("assistant", "a", "server").replace("ringback-doctor-1", "ringback-doctor-2"),
        &object("assistant", "a", "server").replace("127.0.0.1", "127.0.0.2"),
    ] {
        let refused = put(text);
        assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{text}: {}", refused.stderr);
        assert!(refused.stderr.contains("saved.json"), "{}", refused.stderr);
    }
    assert!(house.vapi.requests().is_empty());
    assert_eq!(house.doctor(&["--restore", "no-such-file", "--yes"]).code, 1);
}
