//! Assistants written from requests.

use std::collections::BTreeMap;

use proptest::prelude::{any, prop_assert, proptest};
use ringback::vapi::assistant::{Assistants, CallRequest, Server};
use serde_json::{Value, json};

/// Fields of Vapi's current API, by object.
const FIELDS: &str = include_str!("../fixtures/vapi-assistant-fields.json");

fn server() -> Server<'static> {
    Server { url: Some("https://ringback.example.com/api/v1/vapi/webhook"), credential: Some("credential-1"), messages: &[] }
}

fn written(request: &Value) -> Value {
    let request = CallRequest::parse(request).unwrap_or_else(|errors| panic!("{errors:?}"));
    Assistants::new().unwrap().write(&request, "0a1b2c3d", server()).unwrap()
}

fn request(more: &Value) -> Value {
    let mut request = json!({"providerName": "Hill Plumbing", "providerPhone": "+15551234567", "serviceNeeded": "a leaking tap"});
    request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    request
}

fn prompt(assistant: &Value) -> &str {
    assistant["model"]["messages"][0]["content"].as_str().unwrap()
}

fn wrong(body: &Value) -> BTreeMap<String, String> {
    CallRequest::parse(body).unwrap_err().into_iter().map(|error| (error.field, error.message)).collect()
}

/// All that can be asked for, with little and with everything said.
fn requests() -> Vec<Value> {
    let custom = json!({"systemPrompt": "You sell nothing. Be brief.", "firstMessage": "Good morning!"});
    let full = json!({
        "userCriteria": "licensed, insured", "problemDescription": "It drips.", "clientName": "Ada", "location": "Springfield",
        "clientAddress": "1 Main Street", "clientPhone": "+15557654321", "preferredTime": "Tuesday 9:30", "urgency": "within_2_days",
        "options": ["Hill Plumbing, $90 an hour", {"name": "Dale", "rating": 4.8, "rate": "$80", "availability": "Friday"}],
        "serviceRequestId": "r-1", "providerId": "p-1",
    });
    let mut requests = Vec::new();
    for mode in ["search", "direct_task", "booking", "notification"] {
        for realtime in [false, true] {
            for base in [json!({}), full.clone()] {
                for custom in [Value::Null, custom.clone()] {
                    let mut more = base.clone();
                    more["mode"] = mode.into();
                    more["realtime"] = realtime.into();
                    more["customPrompt"] = custom;
                    requests.push(request(&more));
                }
            }
        }
    }
    requests
}

/// Fails unless every field of `object` is one of Vapi's.
fn holds(fields: &Value, object: &Value, name: &str) {
    let known: Vec<&str> = fields[name].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for key in object.as_object().unwrap().keys() {
        assert!(known.contains(&key.as_str()), "{name} has {key}, which Vapi does not know");
    }
}

#[test]
fn every_assistant_has_only_fields_of_vapis_current_api() {
    let fields: Value = serde_json::from_str(FIELDS).unwrap();
    for request in requests() {
        let assistant = written(&request);
        holds(&fields, &assistant, "assistant");
        for (object, name) in [
            ("analysisPlan", "analysisPlan"),
            ("voicemailDetection", "voicemailDetection"),
            ("model", "model"),
            ("voice", "voice"),
            ("transcriber", "transcriber"),
            ("server", "server"),
        ] {
            assistant.get(object).inspect(|it| holds(&fields, it, name));
        }
        holds(&fields, &assistant["server"]["backoffPlan"], "backoffPlan");
        assistant["hooks"].as_array().unwrap().iter().for_each(|hook| holds(&fields, hook, "hook"));
        for plan in ["summaryPlan", "structuredDataPlan", "successEvaluationPlan"] {
            let plan = &assistant["analysisPlan"][plan];
            holds(&fields, plan, "plan");
            assert_eq!((&plan["enabled"], &plan["messages"][1]["content"]), (&json!(true), &json!("{{transcript}}")), "{request}");
        }
        assert_eq!(assistant["model"]["tools"], json!([{"type": "endCall"}]), "{request}");
        assert!(assistant["name"].as_str().unwrap().chars().count() <= 40, "{request}");
    }
}

#[test]
fn no_text_has_a_hole_or_a_piece_of_template_in_it() {
    for request in requests() {
        let text = written(&request).to_string().replace("{{transcript}}", "");
        for piece in ["{{", "{%", "None", "undefined", "\\n\\n\\n\\n"] {
            assert!(!text.contains(piece), "{piece:?} in {text}");
        }
    }
}

#[test]
fn a_search_asks_for_a_time_a_rate_and_each_criterion_of_one_person() {
    let assistant = written(&request(&json!({"userCriteria": "licensed and insured; 24/7", "urgency": "immediate", "clientName": "Ada"})));
    let prompt = prompt(&assistant);
    for said in
        ["   - licensed and insured\n   - 24/7", "one single person", "next week", "today if it can be done", "for Ada, who", "endCall"]
    {
        assert!(prompt.contains(said), "{said} in {prompt}");
    }
    let (availability, rate) = (prompt.find("**Availability.**").unwrap(), prompt.find("**Rate.**").unwrap());
    assert!(availability < rate && rate < prompt.find("**Requirements.**").unwrap());
    assert_eq!(assistant["firstMessage"], "Hello, is this Hill Plumbing?");
    assert_eq!((&assistant["name"], &assistant["model"]["temperature"]), (&json!("Concierge-0a1b2c3d"), &json!(0.35)));
    let schema = &assistant["analysisPlan"]["structuredDataPlan"]["schema"];
    for field in [
        "availability",
        "earliest_availability",
        "estimated_rate",
        "single_person_found",
        "technician_name",
        "all_criteria_met",
        "criteria_details",
        "disqualified",
        "disqualification_reason",
        "call_outcome",
        "recommended",
        "notes",
        "screening_answers",
    ] {
        assert!(schema["properties"].get(field).is_some(), "{field}");
    }
}

#[test]
fn without_criteria_none_are_asked_for() {
    let assistant = written(&request(&json!({})));
    assert!(!prompt(&assistant).contains("Requirements") && !prompt(&assistant).contains("each requirement before"));
    assert!(prompt(&assistant).contains("no street address"));
    assert!(prompt(&written(&request(&json!({"clientAddress": "1 Main Street"})))).contains("Address: 1 Main Street."));
}

#[test]
fn a_custom_prompt_keeps_its_words_and_gets_what_it_lacks() {
    let mine = |text: &str| json!({"customPrompt": {"systemPrompt": text, "firstMessage": "Hi."}, "userCriteria": "licensed"});
    let assistant = written(&request(&mine("Use {{now}} and be brief.")));
    assert!(prompt(&assistant).starts_with("Use {{now}} and be brief.\n"), "a caller may use Vapi's own variables");
    assert!(prompt(&assistant).contains("\n- licensed") && prompt(&assistant).contains("closing sentence"));
    assert_eq!(assistant["firstMessage"], "Hello, is this Hill Plumbing?", "the business is asked for first");
    assert_eq!(assistant["transcriber"], json!({"provider": "deepgram", "model": "nova-2", "language": "en-US"}));
    assert!(!prompt(&written(&request(&mine("Ask whether they are licensed.")))).contains("Requirements to ask about"));
    let task = written(&request(&json!({"mode": "direct_task", "customPrompt": {"systemPrompt": "Complain.", "firstMessage": "Hi."}})));
    assert_eq!((&task["firstMessage"], &task["name"]), (&json!("Hi."), &json!("DirectTask-Dynamic-0a1b2c3d")));
}

#[test]
fn speech_to_speech_has_no_transcriber_and_keeps_everything_else() {
    let plain = written(&request(&json!({"userCriteria": "licensed"})));
    let realtime = written(&request(&json!({"userCriteria": "licensed", "realtime": true})));
    assert_eq!(realtime.get("transcriber"), None);
    assert_eq!(realtime["voice"], json!({"provider": "openai", "voiceId": "marin"}));
    assert_eq!(realtime["model"]["messages"], plain["model"]["messages"]);
    assert_eq!(realtime["analysisPlan"], plain["analysisPlan"]);
    assert!(realtime["name"].as_str().unwrap().starts_with("Concierge-Realtime-"));
}

#[test]
fn the_server_and_the_metadata_are_ours() {
    let assistant = written(&request(&json!({"urgency": "flexible", "serviceRequestId": "r-1", "location": "Springfield"})));
    assert_eq!(
        assistant["server"],
        json!({
            "url": "https://ringback.example.com/api/v1/vapi/webhook", "timeoutSeconds": 20, "credentialId": "credential-1",
            "backoffPlan": {"type": "exponential", "maxRetries": 8, "baseDelaySeconds": 1},
        })
    );
    let metadata = json!({
        "serviceRequestId": "r-1", "providerName": "Hill Plumbing", "providerPhone": "+15551234567", "serviceNeeded": "a leaking tap",
        "location": "Springfield", "urgency": "flexible",
    });
    assert_eq!(assistant["metadata"], metadata);
    let messages = assistant["serverMessages"].as_array().unwrap();
    for needed in ["status-update", "end-of-call-report", "tool-calls", "hang", "transfer-update", "transcript"] {
        assert!(messages.contains(&json!(needed)), "{needed}");
    }
}

#[test]
fn a_service_called_direct_task_is_one() {
    let body =
        json!({"providerName": "Shop", "providerPhone": "+15551234567", "serviceNeeded": "Direct Task", "userCriteria": "Cancel order 7."});
    let assistant = written(&body);
    assert_eq!(assistant["name"], "DirectTask-0a1b2c3d");
    assert!(prompt(&assistant).contains("**Cancel order 7.**"));
    assert!(assistant["firstMessage"].as_str().unwrap().contains("AI assistant"));
}

#[test]
fn a_notification_numbers_its_options_the_best_first() {
    let options = json!(["Hill Plumbing, $90 an hour", {"name": "Dale", "rating": 4.8, "rate": "$80", "availability": "Friday"}]);
    let assistant = written(&request(&json!({"mode": "notification", "options": options})));
    let prompt = prompt(&assistant);
    assert!(prompt.contains("1. Hill Plumbing, $90 an hour (the best match)\n2. Dale, rated 4.8, rate $80, available Friday"), "{prompt}");
    assert_eq!((assistant.get("voicemailDetection"), &assistant["maxDurationSeconds"]), (None, &json!(180)));
}

#[test]
fn everything_wrong_with_a_request_is_said_at_once() {
    let all = wrong(&json!({
        "providerPhone": "555-1234", "urgency": "now", "mode": "sale", "realtime": "yes", "options": ["a", 1, {"price": 1}, {"name": "d"}],
        "customPrompt": {"prompt": "x"}, "clientPhone": "+0123456789", "location": 7, "extra": 1,
    }));
    let fields: Vec<&str> = all.keys().map(String::as_str).collect();
    let expected = [
        "clientPhone",
        "customPrompt.prompt",
        "customPrompt.systemPrompt",
        "extra",
        "location",
        "mode",
        "options",
        "options[1]",
        "options[2]",
        "providerName",
        "providerPhone",
        "realtime",
        "serviceNeeded",
        "urgency",
    ];
    assert_eq!(fields, expected);
    assert_eq!(all["mode"], "must be one of search, direct_task, booking, notification");
    assert!(all["providerPhone"].contains("E.164"));
    assert_eq!(wrong(&json!([]))["body"], "must be an object");
    assert!(wrong(&request(&json!({"userCriteria": "x".repeat(4_001)})))["userCriteria"].contains("4000"));
}

proptest! {
    #[test]
    fn whatever_a_caller_writes_is_said_and_never_run(text in any::<String>()) {
        let more = json!({"userCriteria": text, "clientName": text, "problemDescription": text, "location": format!("{{{{{text}}}}}")});
        let body = request(&more);
        if let Ok(request) = CallRequest::parse(&body) {
            let assistant = Assistants::new().unwrap().write(&request, "s", server()).unwrap();
            let is_plain = !prompt(&assistant).contains("{{") && !prompt(&assistant).contains("{%");
            prop_assert!(is_plain, "{text}");
        }
    }
}
