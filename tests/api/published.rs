//! The documents' table says what the API says.

#![expect(clippy::unwrap_used, reason = "a story stops where it goes wrong")]

use ringback::simulate::{CallScript, Stage, bodies};
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::{
    store_published::one,
    support::{
        app::{Engine, Story, TestApp},
        calls::{late_talk, path, talk, unanswered},
        postgres::database,
        vapi::CALL,
    },
};

const REQUEST: &str = "00000000-0000-0000-0000-00000000000b";
/// A column, and where the answer has its value.
const COLUMNS: [(&str, &str); 29] = [
    ("call_id", "/callId"),
    ("assistant_id", "/assistantId"),
    ("phone_number_id", "/phoneNumberId"),
    ("customer_phone", "/customer/number"),
    ("status", "/status"),
    ("ended_reason", "/endedReason"),
    ("started_at", "/startedAt"),
    ("ended_at", "/endedAt"),
    ("duration_minutes", "/duration"),
    ("duration_sec", "/durationSeconds"),
    ("transcript", "/transcript"),
    ("messages", "/messages"),
    ("recording_url", "/recording/url"),
    ("analysis_summary", "/analysis/summary"),
    ("analysis_success_evaluation", "/analysis/successEvaluation"),
    ("structured_outputs", "/structuredOutputs"),
    ("provider_name", "/provider/name"),
    ("provider_phone", "/provider/phone"),
    ("service_type", "/provider/service"),
    ("location", "/provider/location"),
    ("user_criteria", "/request/criteria"),
    ("urgency", "/request/urgency"),
    ("service_request_id", "/serviceRequestId"),
    ("correlation_id", "/correlationId"),
    ("cost", "/cost"),
    ("metadata", "/metadata"),
    ("data_status", "/dataStatus"),
    ("version", "/version"),
    ("updated_at", "/updatedAt"),
];

async fn begin() -> Option<(TestApp, Client)> {
    let database = database().await?;
    let story = Story::on(Engine::Postgres).with("DATABASE_URL", &database.url()).with("PUBLIC_URL", "https://calls.example.com");
    let app = story.begin().await;
    Some((app, database.root().await))
}

fn about(script: CallScript) -> CallScript {
    let metadata = json!({"serviceRequestId": REQUEST, "providerName": "Rohr AG", "providerPhone": "+14155550111", "serviceNeeded": "plumbing",
        "location": "Basel", "userCriteria": "soon", "urgency": "flexible", "n": 7});
    script.with_metadata(metadata)
}

/// The row as JSON, times as the API writes them.
async fn row(root: &Client, id: &str) -> Value {
    let times = ["started_at", "ended_at", "created_at", "updated_at"];
    let times: Vec<_> =
        times.iter().map(|name| format!("'{name}', to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')")).collect();
    let sql = format!("SELECT to_jsonb(r) || jsonb_build_object({}) FROM vapi_call_results r WHERE call_id = '{id}'", times.join(", "));
    serde_json::from_str(&one(root, &sql).await).unwrap()
}

async fn says_the_same(app: &TestApp, root: &Client, id: &str) -> Value {
    let (row, call) = (row(root, id).await, app.poll(id).await.data(200));
    for (column, place) in COLUMNS {
        // Free text that is not there is `""` in an answer, and null in a table.
        let told = call.pointer(place).filter(|value| **value != "").unwrap_or(&Value::Null);
        let same = match (row[column].as_f64(), told.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() < 1e-9,
            _ => row[column] == *told,
        };
        assert!(same, "{column}: {} is not {told}", row[column]);
    }
    row
}

#[tokio::test]
async fn a_row_says_what_the_answer_says_from_the_first_result_on() {
    let Some((app, root)) = begin().await else { return };
    app.hears_status(&about(late_talk(CALL)), Stage::InProgress).await;
    assert_eq!(one(&root, "SELECT count(*) FROM vapi_call_results").await, "0", "there is no result yet");
    app.hears_report(&about(late_talk(CALL))).await;
    let before = says_the_same(&app, &root, CALL).await;
    assert_eq!(
        (&before["data_status"], &before["raw_webhook_payload"]["message"]["type"]),
        (&json!("partial"), &json!("end-of-call-report"))
    );
    assert_eq!(before["analysis_structured_data"], Value::Null, "defaults are no evidence");

    app.vapi_knows(&about(talk(CALL)), Stage::Analysed);
    app.advance(4.0).await;
    let after = says_the_same(&app, &root, CALL).await;
    assert_eq!((&after["data_status"], &after["id"]), (&json!("complete"), &before["id"]));
    assert_eq!(after["raw_webhook_payload"], before["raw_webhook_payload"]);
    assert_eq!(after["analysis_structured_data"]["availability"], "Thursday morning");
    let secret = one(&root, "SELECT count(*) FROM vapi_call_results WHERE raw_webhook_payload::text LIKE '%\"controlUrl\": \"http%'").await;
    assert_eq!(secret, "0", "what is published is redacted");

    app.hears_report(&unanswered("nobody")).await;
    assert_eq!(says_the_same(&app, &root, "nobody").await["status"], "no_answer");
    app.ask("DELETE", &path(CALL)).send().await.data(200);
    assert_eq!(one(&root, "SELECT string_agg(call_id, ',') FROM vapi_call_results").await, "nobody");
    app.finish().await;
}

#[tokio::test]
async fn a_call_whose_report_is_lost_has_a_row_without_one() {
    let Some((app, root)) = begin().await else { return };
    app.hears_status(&about(talk(CALL)), Stage::Dropped).await;
    app.vapi_knows(&about(talk(CALL)).with_output("output-1", "score", &json!(3)), Stage::Analysed);
    app.advance(21.0).await;
    let row = says_the_same(&app, &root, CALL).await;
    assert_eq!(row["structured_outputs"]["output-1"]["result"], 3);
    assert_eq!((&row["data_status"], &row["raw_webhook_payload"]), (&json!("complete"), &Value::Null));
    app.hears(&bodies::end_of_call_report(&about(talk(CALL)), app.clock().now())).await;
    let row = says_the_same(&app, &root, CALL).await;
    assert_eq!(row["raw_webhook_payload"]["message"]["type"], "end-of-call-report", "it came after all");
    app.finish().await;
}
