//! Who may be called, how often, and by whom.

use serde_json::json;

use super::{CALLS, asking, request, sent};
use crate::support::app::Story;

#[tokio::test]
async fn only_numbers_that_begin_as_allowed_are_called() {
    let app = Story::new().placing().with("DIAL_ALLOW", "+1555, +44").begin().await;
    asking(&app, &request()).send().await.data(201);
    let mut dear = request();
    dear["providerPhone"] = "+19001234567".into();
    for refused in [
        dear,
        json!({"assistantId": "a", "customer": {"number": "+4915112345678"}}),
        json!({"assistantId": "a", "customer": {"number": "01555"}}),
        json!({"assistantId": "a", "customer": {"sipUri": "sip:x@example.com"}}),
        json!({"assistantId": "a", "customerId": "saved"}),
    ] {
        asking(&app, &refused).send().await.refused(403, "NUMBER_NOT_ALLOWED");
    }
    asking(&app, &json!({"assistantId": "a", "customer": {"number": "+442012345678"}})).send().await.data(201);
    assert_eq!(sent(&app), 2);
    app.finish().await;
}

#[tokio::test]
async fn so_many_calls_are_placed_within_a_minute_and_no_more() {
    let app = Story::new().placing().with("DIAL_MAX_PER_MINUTE", "2").begin().await;
    for key in ["a", "b"] {
        asking(&app, &request()).header("idempotency-key", key).send().await.data(201);
    }
    asking(&app, &request()).send().await.refused(429, "RATE_LIMITED");
    assert_eq!(asking(&app, &request()).header("idempotency-key", "a").send().await.status, 201, "that is no new call");
    app.clock().advance(60_000);
    asking(&app, &request()).send().await.data(201);
    app.work().await;
    app.finish().await;
}

#[tokio::test]
async fn placing_takes_its_scope_and_a_key_for_vapi() {
    let app = Story::new().with("API_TOKENS", "read:r=read-token-0123456789").begin().await;
    app.ask("POST", CALLS).body(request().to_string()).send().await.refused(401, "UNAUTHORIZED");
    app.ask("POST", CALLS).body(request().to_string()).token("read-token-0123456789").send().await.refused(403, "FORBIDDEN");
    app.finish().await;
    let keyless = Story::new().without("VAPI_API_KEY").begin().await;
    asking(&keyless, &request()).send().await.refused(502, "VAPI_ACCOUNT");
    keyless.finish().await;
}

#[tokio::test]
async fn a_wrong_parameter_is_found_before_anything_is_placed() {
    let app = Story::new().placing().begin().await;
    for query in ["view=most", "wait=long", "view=full&wait=-1"] {
        app.ask("POST", &format!("{CALLS}?{query}")).body(request().to_string()).send().await.refused(400, "INVALID_PARAMETER");
    }
    assert_eq!(sent(&app), 0);
    app.get(&format!("{CALLS}/nobody/result?view=most")).await.refused(400, "INVALID_PARAMETER");
    for query in ["limit=0", "since=now", "until=yesterday", "by=time"] {
        app.get(&format!("{CALLS}?{query}")).await.refused(400, "INVALID_PARAMETER");
    }
    app.ask("DELETE", &format!("{CALLS}/nobody?always=maybe")).send().await.refused(400, "INVALID_PARAMETER");
    app.finish().await;
}
