//! Vapi's settings: a house in order, and each thing wrong, one at a time.

use ringback::{
    call::time::Millis,
    clock::Clock,
    simulate::{Fault, KEY},
};
use serde_json::{Value, json};

use super::{ASSISTANT, House, NUMBER, complaints, examined, found, free_port, text};
use crate::support::{SECRET, messages::now};

#[test]
fn a_house_in_order_has_nothing_to_complain_of_and_is_left_as_it_is() {
    let house = House::new();
    let service = house.serve();
    let before = house.settings();
    let ended = house.doctor(&["--json"]);
    assert_eq!((ended.code, complaints(&ended)), (0, Vec::<String>::new()), "{}", ended.stdout);
    assert_eq!(ended.stderr, "");
    assert_eq!((house.settings(), house.changes()), (before, 0));

    let listed = service.read("/api/v1/vapi/calls").json();
    assert_eq!(listed["data"], json!([]), "a test event is no call");
    let metrics = String::from_utf8(service.read("/metrics").body).expect("text");
    assert!(metrics.contains(r#"ringback_webhook_deliveries_total{type="ringback.doctor",result="examined"} 1"#), "{metrics}");
    assert!(
        metrics.contains(r#"ringback_webhook_rejections_total{reason="doctor"} 1"#) && metrics.contains(r#"{reason="missing"} 0"#),
        "{metrics}"
    );
    assert!(!metrics.contains("ringback_webhook_last_received_timestamp_seconds "), "it is no sign of Vapi: {metrics}");

    let told = house.doctor(&[]);
    assert_eq!(told.code, 0);
    assert!(told.stdout.ends_with("0 errors, 0 warnings, 19 ok\n"), "{}", told.stdout);
}

#[test]
fn what_is_printed_for_programs_stays_as_it_is() {
    let house = House::new();
    let _service = house.serve();
    house.assistant(|assistant| assistant["server"]["backoffPlan"] = Value::Null);
    let told = house.doctor(&["--json"]).stdout;
    let told = told.replace(&house.port.to_string(), "PORT");
    // How long an answer took is never the same.
    let lines = told.lines().map(|line| if line.contains("was answered within") { "      \"found\": \"TIME\"," } else { line });
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
}

/// What a story does to the assistant, the number, the organisation.
type Change = fn(&mut Value, &mut Value, &mut Value);
/// … and what is said then.
type Wrong = (&'static str, Change, &'static [&'static str]);

const WRONGS: [Wrong; 19] = [
    ("no server", |assistant, _, _| assistant["server"] = Value::Null, &["error server_url"]),
    ("no address", |assistant, _, _| assistant["server"]["url"] = json!(""), &["error server_url"]),
    ("another address", |assistant, _, _| assistant["server"]["url"] = json!("https://old.example.com/hook"), &["error server_url"]),
    ("no plan", |assistant, _, _| assistant["server"]["backoffPlan"] = Value::Null, &["error server_retries"]),
    ("no retries", |assistant, _, _| assistant["server"]["backoffPlan"]["maxRetries"] = json!(0), &["error server_retries"]),
    ("few retries", |assistant, _, _| assistant["server"]["backoffPlan"]["maxRetries"] = json!(2), &["warning server_retries"]),
    ("fixed", |assistant, _, _| assistant["server"]["backoffPlan"]["type"] = json!("fixed"), &["warning server_retries"]),
    ("left out", |assistant, _, _| assistant["server"]["backoffPlan"]["excludedStatusCodes"] = json!([503]), &["warning server_retries"]),
    ("no report", |assistant, _, _| assistant["serverMessages"] = json!(["status-update", "hang"]), &["error server_messages"]),
    ("no status", |assistant, _, _| assistant["serverMessages"] = json!(["end-of-call-report"]), &["warning server_messages"]),
    ("short wait", |assistant, _, _| assistant["server"]["timeoutSeconds"] = json!(2), &["error server_timeout"]),
    ("shortish wait", |assistant, _, _| assistant["server"]["timeoutSeconds"] = json!(10), &["warning server_timeout"]),
    ("no credential", |assistant, _, _| assistant["server"]["credentialId"] = Value::Null, &["error server_credential"]),
    (
        "another secret",
        |assistant, _, _| {
            assistant["server"]["credentialId"] = Value::Null;
            assistant["server"]["headers"] = json!({"X-Vapi-Secret": "hunter2-never-shown"});
        },
        &["error server_credential"],
    ),
    ("a lonely number", |_, number, _| number["assistantId"] = Value::Null, &["warning server_url"]),
    ("a number that tells others", |_, number, _| number["server"] = json!({"url": "https://old.example.com"}), &["warning server_url"]),
    (
        "a number that asks others for its assistant",
        |_, number, _| {
            number["assistantId"] = Value::Null;
            number["server"] = json!({"url": "https://old.example.com"});
        },
        &["error server_url"],
    ),
    ("an organisation that tells others", |_, _, org| org["server"] = json!({"url": "https://old.example.com"}), &["warning server_url"]),
    ("a closed organisation", |_, _, org| *org = Value::Null, &["warning vapi_api"]),
];

/// What is as good as the usual.
const RIGHTS: [(&str, Change); 4] = [
    ("the usual messages", |assistant, _, _| assistant["serverMessages"] = Value::Null),
    ("the usual wait", |assistant, _, _| assistant["server"]["timeoutSeconds"] = Value::Null),
    ("our secret itself", |assistant, _, _| {
        assistant["server"]["credentialId"] = Value::Null;
        assistant["server"]["headers"] = json!({"X-Vapi-Secret": SECRET});
    }),
    ("the organisation's address", |assistant, _, org| org["server"] = assistant["server"].take()),
];

#[test]
fn each_thing_that_is_wrong_is_found_and_nothing_else() {
    let house = House::new();
    let _service = house.serve();
    let sound = house.settings();
    for (story, spoil, expected) in WRONGS {
        house.set(sound.clone());
        house.vapi.spoil_settings(spoil);
        let ended = house.doctor(&["--json"]);
        assert_eq!(complaints(&ended), expected, "{story}: {}", ended.stdout);
        let is_error = expected.iter().any(|complaint| complaint.starts_with("error"));
        assert_eq!(ended.code, i32::from(is_error), "{story}");
        for shy in ["hunter2", SECRET, KEY, "never-to-be-shown"] {
            assert!(!ended.stdout.contains(shy) && !ended.stderr.contains(shy), "{story}: {}", ended.stdout);
        }
    }
    for (story, change) in RIGHTS {
        house.set(sound.clone());
        house.vapi.spoil_settings(change);
        let ended = house.doctor(&["--json"]);
        assert_eq!((ended.code, complaints(&ended)), (0, Vec::new()), "{story}: {}", ended.stdout);
    }
    assert_eq!(house.changes(), 0, "looking changes nothing");
}

#[test]
fn a_missing_plan_is_shown_as_a_difference_in_plain_words() {
    let house = House::new();
    let _service = house.serve();
    house.assistant(|assistant| assistant["server"] = json!({"url": "https://me:hunter2@old.example.com/hook/hunter2?token=hunter2"}));
    let told = house.doctor(&[]);
    assert_eq!(told.code, 1);
    for line in [
        &format!("  assistant {ASSISTANT} (Availability check):") as &str,
        &format!("    server.url: https://old.example.com/… → http://127.0.0.1:{}/api/v1/vapi/webhook", house.port),
        "    server.backoffPlan: not set → 10 retries at growing intervals from 2 s",
        "    server.headers.x-vapi-secret: not set → the first secret of VAPI_WEBHOOK_SECRET",
    ] {
        assert!(told.stdout.lines().any(|told| told == line), "{line}\n{}", told.stdout);
    }
    assert!(!told.stdout.contains("hunter2") && !told.stdout.contains(SECRET), "{}", told.stdout);
}

#[test]
fn only_what_is_named_is_looked_at() {
    let house = House::new();
    let _service = house.serve();
    house.assistant(|assistant| assistant["server"] = Value::Null);
    let ended = house.doctor(&["--json", "--phone-number", NUMBER]);
    assert_eq!((ended.code, complaints(&ended)), (0, Vec::new()), "{}", ended.stdout);
    let ended = house.doctor(&["--json", "--assistant", ASSISTANT]);
    assert_eq!((ended.code, complaints(&ended)), (1, vec!["error server_url".to_owned()]), "{}", ended.stdout);
    let ended = house.doctor(&["--json", "--assistant", "no-such-assistant"]);
    assert_eq!((ended.code, complaints(&ended)), (1, vec!["error vapi_api".to_owned()]), "{}", ended.stdout);
}

#[test]
fn a_wrong_key_and_a_vapi_that_is_down_are_told_apart() {
    let house = House::new();
    let _service = house.serve();
    let wrong = examined(&house.program.clone().set("VAPI_API_KEY", "wrong-hunter2"), &["--json"]);
    assert_eq!((wrong.code, complaints(&wrong)), (1, vec!["error vapi_api".to_owned()]), "{}", wrong.stdout);
    assert!(found(&wrong, "vapi_api").contains("401") && !wrong.stdout.contains("hunter2"), "{}", wrong.stdout);

    for fault in [Fault::Page(502), Fault::Status(500), Fault::Garbage, Fault::Cut] {
        house.vapi.fail_always(fault.clone());
        let broken = house.doctor(&["--json"]);
        assert_eq!((broken.code, complaints(&broken)), (1, vec!["error vapi_api".to_owned()]), "{fault:?}: {}", broken.stdout);
        house.vapi.recover();
    }
    let down = examined(&house.program.clone().set("VAPI_API_URL", "http://127.0.0.1:1"), &["--json"]);
    assert_eq!((down.code, complaints(&down)), (1, vec!["error vapi_api".to_owned()]), "{}", down.stdout);
    assert!(found(&down, "vapi_api").contains("could not be reached"), "{}", down.stdout);

    let without = examined(&house.program.clone().unset("VAPI_API_KEY"), &["--json"]);
    assert_eq!((without.code, complaints(&without)), (0, vec!["warning vapi_api".to_owned()]), "{}", without.stdout);
}

#[test]
fn a_clock_that_is_off_is_found() {
    for (minutes, expected, way) in [(10, "error clock", "behind"), (-10, "error clock", "ahead of"), (1, "warning clock", "behind")] {
        let house = House::at(Clock::manual(now().plus(minutes * 60_000)));
        let _service = house.serve();
        let ended = house.doctor(&["--json"]);
        assert_eq!(complaints(&ended), [expected], "{minutes}: {}", ended.stdout);
        assert!(found(&ended, "clock").contains(way), "{minutes}: {}", ended.stdout);
    }
    assert!(now() > Millis(0));
}

#[test]
fn words_of_strangers_stay_words() {
    let house = House::new();
    let _service = house.serve();
    let hostile = "\u{1b}[2J\u{1b}]0;owned\u{7}<script>\r\nok      clock \u{9b}31m\u{202e}evil\u{200b}";
    house.vapi.spoil_settings(|assistant, number, org| {
        assistant["name"] = json!(hostile);
        assistant["server"] =
            json!({"url": format!("https://old.example.com/{hostile}"), "timeoutSeconds": hostile, "backoffPlan": hostile});
        assistant["serverMessages"] = json!([hostile, 7, null]);
        number["name"] = json!({"not": "text"});
        number["assistantId"] = json!(hostile);
        org["name"] = json!(hostile);
    });
    for words in [&["--json"][..], &[]] {
        let ended = house.doctor(words);
        assert_eq!(ended.code, 1, "{}", ended.stderr);
        let steers = |it: char| (it.is_control() && it != '\n') || matches!(it, '\u{202e}' | '\u{200b}');
        assert!(!ended.stdout.contains(steers) && !ended.stderr.contains(steers), "{:?}", ended.stdout);
        assert!(ended.stdout.contains("<script>"), "it is shown as it is: {}", ended.stdout);
        if words.is_empty() {
            assert!(!ended.stdout.lines().any(|line| line == "ok      clock  31m evil"), "{}", ended.stdout);
        } else {
            let named = found(&ended, "server_url");
            assert!(!named.is_empty() && !named.contains("\\u001b") && !named.contains("\\r"), "{named}");
        }
    }
}

#[test]
fn a_configuration_that_cant_be_used_is_told_whole_with_exit_code_78() {
    let house = House::new();
    let broken = house.program.clone().set("MAX_BODY_MB", "hunter2").set("KEEP_EVENTS", "hunter2");
    let ended = examined(&broken, &["--json"]);
    assert_eq!((ended.code, complaints(&ended)), (78, vec!["error config".to_owned(); 2]), "{ended:?}");
    assert!(!ended.stdout.contains("hunter2"), "{}", ended.stdout);
    let words = found(&ended, "config");
    assert!(words.contains("MAX_BODY_MB") && words.contains("KEEP_EVENTS"), "{words}");
    let told = examined(&broken, &[]);
    assert_eq!(told.code, 78);
    assert!(told.stdout.contains("error   config"), "{}", told.stdout);
    assert!(house.vapi.requests().is_empty());

    // What only comes out when the parts are made of it.
    let plan = house.program.clone().set("VAPI_WEBHOOK_HMAC", r#"{"algorithm":"rot13"}"#);
    assert_eq!(examined(&plan, &["--json"]).code, 78);
    let warned = examined(&house.program.clone().set("HOST", "conda"), &["--json"]);
    assert_eq!(text(&super::findings(&warned)[0], "severity"), "warning", "{}", warned.stdout);
}

#[test]
fn a_kestra_that_is_to_place_calls_and_is_away_is_found() {
    let house = House::new();
    assert_eq!(found(&house.doctor(&["--json", "--org"]), "kestra"), "", "there is none");
    let away = house.program.clone().set("KESTRA_URL", format!("http://127.0.0.1:{}", free_port()));
    let told = found(&examined(&away, &["--json", "--org"]), "kestra");
    assert!(told.contains("warning") && told.contains("not resumed"), "{told}");
    let ended = examined(&away.set("KESTRA_ENABLED", "true"), &["--json", "--org"]);
    let told = found(&ended, "kestra");
    assert!(ended.code == 1 && told.contains("\"error\"") && told.contains("no call is placed"), "{told}");
}
