//! What may be sent, and what goes out to Vapi.

use serde_json::{Value, json};

use super::{CALLS, asked, asking, request};
use crate::support::app::{Story, TestApp};

const URL: &str = "http://127.0.0.1:9/hook";

async fn goes_out(app: &TestApp, body: Value) -> Value {
    asking(app, &body).send().await.data(201);
    asked(app)
}

#[tokio::test]
async fn vapis_own_body_goes_out_as_it_came_with_what_it_lacks() {
    let app = Story::new().placing().with("VAPI_WEBHOOK_URL", URL).with("VAPI_PHONE_NUMBER_ID", "number-1").begin().await;
    let saved = goes_out(&app, json!({"assistantId": "nora", "customer": {"number": "+15551234567"}, "anything": {"new": [1]}})).await;
    assert_eq!(
        (&saved["assistantId"], &saved["anything"], &saved["phoneNumberId"]),
        (&json!("nora"), &json!({"new": [1]}), &json!("number-1"))
    );
    let over = &saved["assistantOverrides"];
    assert_eq!((&over["server"]["url"], &over["server"]["timeoutSeconds"]), (&json!(URL), &json!(20)));
    assert!(over["serverMessages"].as_array().unwrap().contains(&json!("end-of-call-report")));
    assert!(over["metadata"]["placementId"].as_str().unwrap().starts_with("pl_"));

    let own = json!({"url": "https://mine.example.com", "headers": {"a": "b"}});
    let transient = json!({"model": {"provider": "openai"}, "server": own, "serverMessages": ["hang"], "metadata": {"mine": 1}});
    let kept = goes_out(&app, json!({"assistant": transient, "phoneNumberId": "mine"})).await;
    assert_eq!((&kept["assistant"]["server"], &kept["assistant"]["serverMessages"]), (&own, &json!(["hang"])));
    assert_eq!((&kept["assistant"]["metadata"]["mine"], &kept["phoneNumberId"]), (&json!(1), &json!("mine")));
    assert!(kept["assistant"]["metadata"]["placementId"].is_string() && kept["assistantOverrides"].is_null());

    let over = json!({"server": own, "metadata": {"more": 2}});
    let both = goes_out(&app, json!({"assistant": {"name": "n"}, "assistantOverrides": over})).await;
    assert!(both["assistant"]["server"].is_null(), "there is one already");
    assert!(["assistant", "assistantOverrides"].iter().all(|holder| both[*holder]["metadata"]["placementId"].is_string()));

    for holder in ["squad", "squadId"] {
        let squad = goes_out(&app, json!({holder: {"members": []}})).await;
        assert!(squad["squadOverrides"]["metadata"]["placementId"].is_string(), "{squad}");
    }
    let workflow = goes_out(&app, json!({"workflow": {"nodes": []}})).await;
    assert_eq!(workflow["workflow"]["server"]["url"], URL);
    assert!(workflow["workflowOverrides"]["variableValues"]["placementId"].is_string());
    app.finish().await;
}

#[tokio::test]
async fn our_metadata_outranks_what_vapi_says_of_it() {
    let app = Story::new().placing().begin().await;
    let answer = asking(&app, &request()).send().await;
    let call = super::id(&answer);
    let said = json!({"assistant": {"metadata": {"providerName": "Another", "other": "x"}}});
    let update = json!({"type": "status-update", "status": "ringing", "call": {"id": call, "metadata": {"providerName": "Third"}}});
    let mut update = json!({"message": update});
    update["message"]["assistant"] = said["assistant"].clone();
    app.hears(&update).await;
    let data = app.call(&call).await;
    assert_eq!((&data["provider"]["name"], &data["metadata"]["other"]), (&json!("Hill Plumbing"), &json!("x")));
    app.finish().await;
}

#[tokio::test]
async fn what_cannot_be_placed_is_refused_field_by_field_and_nothing_is_sent() {
    let app = Story::new().begin().await;
    let mut more = request();
    more["callback"] = json!({"kind": "pigeon", "url": "https://example.com"});
    more["callMethod"] = "kestra".into();
    more["colour"] = "red".into();
    for (body, fields) in [
        (json!({}), vec!["providerName", "providerPhone", "serviceNeeded"]),
        (json!([]), vec!["body", "providerName", "providerPhone", "serviceNeeded"]),
        (more, vec!["callback.kind", "callMethod", "colour"]),
        (json!({"assistantId": "a", "customers": [{"number": "+15551234567"}]}), vec!["customers"]),
    ] {
        let refused = asking(&app, &body).send().await.refused(422, "VALIDATION_FAILED").json();
        let named: Vec<_> = refused["details"].as_array().unwrap().iter().filter_map(|error| error["field"].as_str()).collect();
        assert_eq!(named, fields, "{body}");
    }
    app.ask("POST", CALLS).body("no JSON").send().await.refused(400, "INVALID_PAYLOAD");
    app.ask("POST", &format!("{CALLS}?wait=x")).body(request().to_string()).send().await.refused(400, "INVALID_PARAMETER");
    app.finish().await;
}
