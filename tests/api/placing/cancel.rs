//! `POST /calls/{id}/cancel`: calls are called off.

use ringback::simulate::{Fault, Stage};
use serde_json::json;

use super::{id, place};
use crate::support::{
    answer::Answer,
    app::{Story, TestApp},
    calls::{path, talk},
    eventually,
    vapi::CALL,
};

async fn cancel(app: &TestApp, id: &str) -> Answer {
    app.ask("POST", &format!("{}/cancel", path(id))).send().await
}

#[tokio::test]
async fn a_call_that_goes_on_is_hung_up_and_ends_as_canceled() {
    let app = Story::new().placing().with_vapi(|vapi| vapi.pace = 1.0).begin().await;
    app.listen().await;
    let placed = place(&app).await;
    let (call, placement) = (id(&placed), placed.data(201)["metadata"]["placementId"].as_str().unwrap().to_owned());
    assert_eq!(cancel(&app, &placement).await.data(202)["callId"], call);
    eventually("it has ended", async || app.call(&call).await["callStatus"] == "ended").await;
    app.vapi.played().await;
    app.work().await;
    let data = app.call(&call).await;
    assert_eq!((&data["endedReason"], &data["outcome"]["kind"]), (&json!("manually-canceled"), &json!("canceled")));
    cancel(&app, &call).await.refused(409, "CALL_ENDED");
    assert_eq!(app.vapi.count("POST", &format!("/control/{call}")), 1);
    app.advance(61.0).await;
    app.finish().await;
}

#[tokio::test]
async fn a_call_that_has_not_begun_is_unscheduled() {
    let app = Story::new().placing().begin().await;
    app.vapi.put_call(json!({"id": CALL, "status": "scheduled", "monitor": {"controlUrl": "https://x.example.com"}}));
    cancel(&app, CALL).await.data(202);
    assert!(app.vapi.call(CALL).is_none(), "Vapi has it no more");
    cancel(&app, CALL).await.refused(404, "CALL_NOT_FOUND");
    app.finish().await;
}

#[tokio::test]
async fn what_cannot_be_called_off_is_told() {
    let app = Story::new().placing().begin().await;
    cancel(&app, CALL).await.refused(404, "CALL_NOT_FOUND");
    app.vapi.fail_next(Fault::Status(500));
    cancel(&app, CALL).await.refused(502, "VAPI_UNAVAILABLE");
    app.vapi.fail_next(Fault::Status(401));
    cancel(&app, CALL).await.refused(502, "VAPI_ACCOUNT");
    // It ended, and no webhook came: then it is fetched.
    app.hears_status(&talk(CALL), Stage::InProgress).await;
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    cancel(&app, CALL).await.refused(409, "CALL_ENDED");
    app.work().await;
    assert_eq!(app.call(CALL).await["dataStatus"], "complete");
    app.vapi.put_call(json!({"id": "odd", "status": "in-progress", "monitor": {"controlUrl": "http://169.254.169.254/latest"}}));
    cancel(&app, "odd").await.refused(502, "VAPI_UNAVAILABLE");
    // Of a call that goes on and can't be hung up nothing is deleted at Vapi.
    for (status, code, is_left) in [("ringing", 502, true), ("in-progress", 502, true), ("forwarding", 502, true), ("queued", 202, false)] {
        app.vapi.put_call(json!({"id": status, "status": status}));
        assert_eq!((cancel(&app, status).await.status, app.vapi.call(status).is_some()), (code, is_left), "{status}");
    }
    assert!(cancel(&app, "ringing").await.refused(502, "VAPI_UNAVAILABLE").text().contains("monitor.controlUrl"));
    app.ask("DELETE", &path(CALL)).send().await.data(200);
    cancel(&app, CALL).await.refused(410, "CALL_DELETED");
    app.finish().await;
}
