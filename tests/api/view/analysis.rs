//! Analysis, feedback, and why there is none.

use std::collections::BTreeMap;

use ringback::call::{
    field::{Longest, Stamped},
    json::Json,
    record::{CallRecord, Fetch, FetchOutcome, FetchReason, Message, Output, Promise, Settled, Speaker},
    time::Millis,
};
use serde_json::{Value, json};

use super::{data, full, picked_up, report, stamped, words};
use crate::support::bodies::facts;

fn outputs(values: &[Value]) -> CallRecord {
    let stamp = |value: &Value| stamped(Output(Json::from_value(value))).expect("stamped");
    let outputs: BTreeMap<String, Stamped<Output>> =
        values.iter().enumerate().map(|(at, value)| (format!("o{at}"), stamp(value))).collect();
    CallRecord { structured_outputs: outputs, ..CallRecord::default() }
}

fn multi(value: &Value) -> CallRecord {
    CallRecord { structured_data_multi: stamped(Json::from_value(value)), ..CallRecord::default() }
}

#[test]
fn the_analysis_is_shown_as_it_is() {
    let shown = full([facts("end-of-call-report")]);
    assert_eq!(
        shown["analysis"],
        json!({
            "summary": "The seedlings of order HG-114 are ready; they cost 62 euros.",
            "structuredData": {
                "all_criteria_met": false, "availability": "unclear", "estimated_rate": "unknown", "recommended": false, "single_person_found": false,
                "ready": true, "price": "62", "secret": "stays, a model said it",
            },
            "structuredDataMulti": [{"plan-a": {"result": {"call_id": "multi-1"}}}],
            "successEvaluation": "true",
        })
    );
    assert_eq!(
        shown["session"],
        json!({"summary": "The seedlings of order HG-114 are ready; they cost 62 euros.", "source": "vapi", "keyInsights": ["Price: 62", "Ready: yes", "Secret: stays, a model said it", "Seedlings ready: yes"]})
    );
    assert_eq!(shown["structuredOutputs"]["0f1e2d3c-4b5a-4968-8776-655443322110"], json!({"name": "Seedlings ready", "result": true}));
}

#[test]
fn a_correlating_id_is_looked_for_in_order() {
    let variable = CallRecord { variable_call_id: words("variable"), ..CallRecord::default() };
    let in_data = data(&json!({"call_id": "data"}));
    let in_multi = multi(&json!([{"a": {"x": 1}}, {"b": {"call_id": "first"}}, {"call_id": "second"}]));
    let of = |parts: Vec<CallRecord>| full(parts)["correlationId"].clone();
    assert_eq!(of(vec![variable, in_data.clone(), in_multi.clone()]), "variable");
    assert_eq!(of(vec![in_data, in_multi.clone()]), "data");
    assert_eq!(of(vec![in_multi.clone()]), "first");
    assert_eq!(of(vec![data(&json!({"call_id": ""})), in_multi]), "first");
    assert_eq!(of(vec![data(&json!({"call_id": 42}))]), "42", "as text");
    assert_eq!(of(vec![data(&json!({"call_id": null}))]), Value::Null);
    assert_eq!(of(vec![multi(&json!([{"plan": {"result": {"call_id": "deep"}}}]))]), "deep");
    assert_eq!(of(vec![multi(&json!({"plan": {"call_id": "in a map"}}))]), "in a map");
    assert_eq!(of(vec![data(&json!("call_id")), multi(&json!(["call_id", 5, null]))]), Value::Null);
}

#[test]
fn feedback_is_found_in_the_data_or_in_an_output() {
    let stated = json!({"nps_score": 9, "overall_feedback": "Good.", "positives": ["quick", "kind"], "detractors": null, "action_items": [1, {"a": "b"}]});
    let expected = json!({"npsScore": 9.0, "overallFeedback": "Good.", "positives": "quick\nkind", "detractors": "", "actionItems": "1\n{\"a\":\"b\"}"});
    assert_eq!(full([data(&stated)])["feedback"], expected);
    assert_eq!(
        full([outputs(&[json!({"name": "Other", "result": true}), json!({"name": "Survey", "result": stated})])])["feedback"],
        expected
    );
    let split =
        full([data(&json!({"nps_score": "8.5", "unrelated": 1})), outputs(&[json!({"result": {"positives": "kind", "nps_score": 1}})])]);
    assert_eq!(split["feedback"]["npsScore"], 8.5, "the data goes first, and numbers come as text too");
    assert_eq!(split["feedback"]["positives"], "kind", "the rest may stand elsewhere");
    let named = full([outputs(&[json!({"name": "nps_score", "result": 10}), json!({"name": "detractors", "result": ["slow"]})])]);
    assert_eq!(
        (named["feedback"]["npsScore"].as_f64(), named["feedback"]["detractors"].as_str()),
        (Some(10.0), Some("slow")),
        "an output a question"
    );
    let odd = full([data(&json!({"nps_score": "very", "positives": {"a": 1}})), outputs(&[json!("text"), json!({"result": null})])]);
    assert_eq!((odd["feedback"]["npsScore"].clone(), odd["feedback"]["positives"].as_str()), (Value::Null, Some("{\"a\":1}")));
}

fn turns(count: usize) -> CallRecord {
    let message =
        Message { role: Speaker::User, message: "x".to_owned(), time: None, end_time: None, duration: None, seconds_from_start: None };
    CallRecord {
        messages: Some(Longest { value: vec![message; count].into(), authoritative: true, sent_at: None }),
        ..CallRecord::default()
    }
}

fn settled(how: Settled) -> CallRecord {
    CallRecord { settled: Some(how), ..CallRecord::default() }
}

fn asked(outcome: FetchOutcome) -> CallRecord {
    let fetch = Fetch { at: Millis(5), reason: FetchReason::Enrich, outcome };
    CallRecord { fetches: BTreeMap::from([("f".to_owned(), fetch)]), ..CallRecord::default() }
}

fn nothing_promised() -> CallRecord {
    let mut record = CallRecord::default();
    record.promises.summary = stamped(Promise::Off);
    record
}

#[test]
fn it_is_told_why_there_is_no_analysis() {
    let missing = |parts: Vec<CallRecord>| {
        let outcome = full(parts)["outcome"].clone();
        (outcome["analysisMissing"] == true, outcome["analysisMissingReason"].as_str().unwrap().to_owned())
    };
    let because = |why: &str| (true, why.to_owned());
    let ended = || asked(FetchOutcome::Ended { updated_at: String::new() });
    let failed = || asked(FetchOutcome::Failed { error: "x".to_owned() });
    let complete = || settled(Settled::Complete);
    assert_eq!(missing(vec![]), (false, String::new()), "no result yet");
    assert_eq!(missing(vec![report(""), settled(Settled::Complete)]), because("not_connected"));
    assert_eq!(missing(vec![report(""), nothing_promised()]), because("not_connected"), "the first that fits");
    assert_eq!(missing(vec![report(""), picked_up()]), because("still_fetching"));
    assert_eq!(missing(vec![report(""), picked_up(), nothing_promised()]), because("still_fetching"));
    assert_eq!(missing(vec![report(""), picked_up(), complete(), nothing_promised()]), because("not_promised"));
    assert_eq!(missing(vec![report(""), turns(1), complete(), ended()]), because("too_short"));
    assert_eq!(missing(vec![report(""), turns(1), settled(Settled::FetchFailed), failed()]), because("too_short"));
    assert_eq!(missing(vec![report(""), turns(2), settled(Settled::FetchFailed), failed()]), because("could_not_ask"));
    assert_eq!(missing(vec![report(""), turns(2), complete()]), because("could_not_ask"), "no key: never asked");
    assert_eq!(missing(vec![report(""), turns(2), complete(), ended()]), because("never_came"));
    for there in [
        CallRecord { summary: words("s"), ..CallRecord::default() },
        data(&json!({"a": 1})),
        multi(&json!([1])),
        outputs(&[json!({"result": false})]),
    ] {
        assert_eq!(missing(vec![report(""), turns(2), complete(), ended(), there]), (false, String::new()));
    }
    assert_eq!(
        missing(vec![report(""), turns(2), complete(), ended(), outputs(&[json!({"name": "n", "result": null})])]),
        because("never_came")
    );
}
