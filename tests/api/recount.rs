//! What `GET /analytics` tells, recounted plainly from lists and timelines.

#![expect(clippy::unwrap_used, reason = "a story stops where it goes wrong")]

use std::collections::BTreeMap;

use ringback::call::time::{DAY, Millis};
use serde_json::{Value, json};

use crate::support::{app::TestApp, calls::path};

pub(crate) const ANALYTICS: &str = "/api/v1/vapi/analytics";

/// What is told; the range is the default one if the query says none.
pub(crate) async fn told(app: &TestApp, query: &str) -> Value {
    app.get(&format!("{ANALYTICS}?{query}")).await.data(200)
}

/// The call as it stands, and seconds from its end until it was done.
struct Recounted {
    call: Value,
    completion: Option<f64>,
    lost: bool,
}

/// Every call there is, as lists and timelines tell it.
async fn recount(app: &TestApp) -> Vec<Recounted> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.get(&format!("/api/v1/vapi/calls?view=full&limit=7&cursor={cursor}")).await.json();
        for call in page["data"].as_array().unwrap() {
            let id = call["id"].as_str().unwrap();
            let entries = app.get(&format!("{}/timeline", path(id))).await.data(200);
            let of = |kind: &str| entries.as_array().unwrap().iter().find(|entry| entry["kind"] == kind).map(|entry| moment(&entry["at"]));
            let ended = call["endedAt"].is_string().then(|| moment(&call["endedAt"]));
            // Of what was first heard of a day after its end nobody waited for.
            let ended = ended.filter(|ended| moment(&call["createdAt"]).since(*ended) <= DAY);
            let completion = of("settled").zip(ended).map(|(done, ended)| done.since(ended).max(0));
            all.push(Recounted { call: call.clone(), completion: completion.map(seconds), lost: of("recovered").is_some() });
        }
        match page["pagination"]["nextCursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return all,
        }
    }
}

fn moment(text: &Value) -> Millis {
    Millis::parse_rfc3339(text.as_str().unwrap()).unwrap()
}

#[expect(clippy::cast_precision_loss, reason = "seconds of a story")]
fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1e3
}

#[expect(clippy::cast_precision_loss, reason = "a count of a story")]
fn share(part: usize, whole: usize) -> Value {
    if whole == 0 { Value::Null } else { json!((part as f64 / whole as f64 * 1e4).round() / 1e4) }
}

/// The value at the nearest rank, out of all of them in order.
fn rank(values: &[f64], percent: usize) -> Value {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    (values.len() * percent).div_ceil(100).checked_sub(1).map_or(Value::Null, |place| json!(values[place]))
}

fn mean(values: &[f64], digits: i32) -> Value {
    let step = 10_f64.powi(digits);
    let count = f64::from(u32::try_from(values.len()).unwrap());
    if values.is_empty() { Value::Null } else { json!((values.iter().sum::<f64>() / count * step).round() / step) }
}

/// What these calls come to.
fn numbers(calls: &[&Recounted]) -> BTreeMap<&'static str, Value> {
    let text = |it: &Recounted, key: &str| it.call.pointer(key).unwrap().as_str().unwrap_or_default().to_owned();
    let count = |test: &dyn Fn(&Recounted) -> bool| calls.iter().filter(|it| test(it)).count();
    let values = |key: &str| calls.iter().filter_map(|it| it.call.pointer(key).unwrap().as_f64()).collect::<Vec<f64>>();
    let status = |word: &str| count(&|it| text(it, "/status") == word);
    let data = |words: &[&str]| count(&|it| words.contains(&text(it, "/dataStatus").as_str()));
    let by_status = ["pending", "completed", "no_answer", "voicemail", "timeout", "error"].map(|word| (word, status(word)));
    let missing = ["not_connected", "still_fetching", "not_promised", "too_short", "could_not_ask", "never_came"];
    let missing = missing.map(|word| (word, count(&|it| text(it, "/outcome/analysisMissingReason") == word)));
    let answered = count(&|it| {
        it.call["outcome"]["connected"] == true && !["pending", "no_answer", "voicemail"].contains(&text(it, "/status").as_str())
    });
    let ended = |it: &Recounted| text(it, "/callStatus") == "ended";
    let (durations, costs) = (values("/durationSeconds"), values("/cost"));
    let (fetches, scores) = (values("/fetchAttempts"), values("/feedback/npsScore"));
    let completions: Vec<f64> = calls.iter().filter_map(|it| it.completion).collect();
    BTreeMap::from([
        ("calls", json!(calls.len())),
        ("byStatus", json!(BTreeMap::from(by_status))),
        ("answerRate", share(answered, calls.len() - status("pending"))),
        ("durationSeconds", json!({"average": mean(&durations, 3), "p50": rank(&durations, 50), "p95": rank(&durations, 95)})),
        ("cost", json!({"total": (costs.iter().sum::<f64>() * 1e6).round() / 1e6, "average": mean(&costs, 6)})),
        ("completionSeconds", json!({"p50": rank(&completions, 50), "p95": rank(&completions, 95)})),
        ("lost", json!(count(&|it| it.lost))),
        ("deliverySuccess", share(count(&|it| ended(it) && it.call["webhookReceivedAt"].is_string()), count(&ended))),
        (
            "enrichment",
            json!({
                "calls": fetches.iter().filter(|count| **count > 0.0).count(), "attempts": calls.iter().filter_map(|it| it.call["fetchAttempts"].as_u64()).sum::<u64>(),
                "pending": data(&["partial", "fetching"]), "complete": data(&["complete"]), "failed": data(&["fetch_failed"]),
                "analysisMissing": BTreeMap::from(missing),
            }),
        ),
        ("scores", json!(scores.len())),
    ])
}

/// Compares what is told with a recount; `asked` says which calls are meant.
pub(crate) async fn compare(app: &TestApp, query: &str, asked: impl Fn(&Value) -> bool) {
    let (told, all) = (told(app, query).await, recount(app).await);
    let (since, until) = (moment(&told["since"]), moment(&told["until"]));
    let meant = |it: &&Recounted| asked(&it.call) && (since..until).contains(&moment(&it.call["createdAt"]));
    let calls: Vec<&Recounted> = all.iter().filter(meant).collect();
    check(&told, &numbers(&calls), query);
    assert_eq!(told["feedback"]["responses"], numbers(&calls)["scores"], "{query}");
    let days = told["series"].as_array().unwrap();
    let first = since.0.div_euclid(DAY);
    assert_eq!(days.len(), usize::try_from((until.0 - 1).div_euclid(DAY) - first + 1).unwrap(), "{query}");
    for (day, number) in days.iter().zip(first..) {
        let of_day = calls.iter().copied().filter(|it| moment(&it.call["createdAt"]).0.div_euclid(DAY) == number);
        assert_eq!(day["date"], Millis(number * DAY).to_string()[..10], "{query}");
        check(day, &numbers(&of_day.collect::<Vec<_>>()), query);
    }
}

fn check(told: &Value, expected: &BTreeMap<&'static str, Value>, context: &str) {
    for (name, value) in expected {
        let there = match *name {
            "lost" | "deliverySuccess" => &told["webhooks"][*name],
            "scores" => continue,
            // Only in all.
            "enrichment" if told.get("enrichment").is_none() => continue,
            name => &told[name],
        };
        assert!(is_same(there, value, last_place(name)), "{name} of {context}: {there}, not {value}: {told}");
    }
}

/// One in the last place that is shown: sums of floats, added up in another order, may be rounded the other way.
fn last_place(name: &str) -> f64 {
    match name {
        "cost" => 1e-6,
        "durationSeconds" => 0.01,
        "completionSeconds" => 0.1,
        _ => 0.0,
    }
}

fn is_same(told: &Value, expected: &Value, last_place: f64) -> bool {
    match (told, expected) {
        (Value::Object(told), Value::Object(expected)) => {
            told.len() == expected.len() && expected.iter().all(|(name, value)| is_same(&told[name], value, last_place))
        }
        (Value::Number(told), Value::Number(expected)) => {
            let (Some(told), Some(expected)) = (told.as_f64(), expected.as_f64()) else { return false };
            (told - expected).abs() <= last_place * 1.01
        }
        _ => told == expected,
    }
}
