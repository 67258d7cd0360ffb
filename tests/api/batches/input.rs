//! What may be sent, and by whom.

use serde_json::{Value, json};

use super::{BATCHES, about, asking, of};
use crate::{
    placing::{request, sent},
    support::app::{Engine, Story, TestApp},
};

#[tokio::test]
async fn what_is_wrong_with_one_request_is_told_by_its_index_and_nothing_is_placed() {
    let app = Story::new().placing().with("DIAL_ALLOW", "+1555").begin().await;
    let mut dear = request();
    dear["providerPhone"] = "+19001234567".into();
    let body = json!({"requests": [request(), {"providerName": "x"}, dear], "maxConcurrent": 51, "callback": {"kind": "pigeon"}});
    let refused = asking(&app, &body).send().await.refused(422, "VALIDATION_FAILED").json();
    let fields: Vec<_> = refused["details"].as_array().unwrap().iter().filter_map(|error| error["field"].as_str()).collect();
    let expected =
        ["callback.kind", "maxConcurrent", "requests[1].providerPhone", "requests[1].serviceNeeded", "requests[2].providerPhone"];
    assert_eq!(fields, expected);
    for body in [json!({}), of(0, 1), of(501, 1), json!([])] {
        asking(&app, &body).send().await.refused(422, "VALIDATION_FAILED");
    }
    app.ask("POST", BATCHES).body("no JSON").send().await.refused(400, "INVALID_PAYLOAD");
    app.ask("POST", &format!("{BATCHES}?wait=x")).body(of(1, 1).to_string()).send().await.refused(400, "INVALID_PARAMETER");
    assert_eq!((app.get(BATCHES).await.json()["count"].clone(), sent(&app)), (json!(0), 0));
    app.finish().await;
}

#[tokio::test]
async fn five_hundred_requests_are_taken() {
    let app = Story::new().placing().begin().await;
    let mut long = of(500, 50);
    for request in long["requests"].as_array_mut().unwrap() {
        request["userCriteria"] = "licensed, and here today. ".repeat(100).into();
    }
    let data = asking(&app, &long).send().await.data(201);
    assert_eq!((&data["stats"]["total"], data["results"].as_array().unwrap().len()), (&json!(500), 500));
    app.finish().await;
}

#[tokio::test]
async fn an_id_that_is_none_is_told() {
    let app = Story::new().placing().begin().await;
    for id in ["bt_nothing", "nothing", "bt_%2F"] {
        about(&app, id, "").await.refused(404, "NOT_FOUND");
        about(&app, id, "/result?wait=1").await.refused(404, "NOT_FOUND");
        app.ask("POST", &format!("{BATCHES}/{id}/cancel")).send().await.refused(404, "NOT_FOUND");
    }
    app.finish().await;
}

#[tokio::test]
async fn placing_takes_its_scope_and_looking_another() {
    let tokens = "poll:p=poll-token-0123456789,read:r=read-token-0123456789,place:w=place-token-0123456789";
    let app = Story::on(Engine::Memory).placing().with("API_TOKENS", tokens).begin().await;
    let body = of(1, 1).to_string();
    let place = async |token: &str| app.ask("POST", BATCHES).body(body.clone()).token(token).send().await;
    place("read-token-0123456789").await.refused(403, "FORBIDDEN");
    let id = place("place-token-0123456789").await.data(201)["batchId"].as_str().unwrap().to_owned();
    for path in [BATCHES.to_owned(), format!("{BATCHES}/{id}"), format!("{BATCHES}/{id}/result")] {
        app.get(&path).await.refused(401, "UNAUTHORIZED");
        app.ask("GET", &path).token("poll-token-0123456789").send().await.refused(403, "FORBIDDEN");
        assert!(app.ask("GET", &path).token("read-token-0123456789").send().await.status < 300);
    }
    let cancel = format!("{BATCHES}/{id}/cancel");
    app.ask("POST", &cancel).token("read-token-0123456789").send().await.refused(403, "FORBIDDEN");
    app.ask("POST", &cancel).token("place-token-0123456789").send().await.data(200);
    app.finish().await;
    let keyless = Story::new().without("VAPI_API_KEY").begin().await;
    asking(&keyless, &of(1, 1)).send().await.refused(502, "VAPI_ACCOUNT");
    keyless.finish().await;
}

#[tokio::test]
async fn calls_that_kestra_places_and_batches_that_are_there_need_no_key_of_ours() {
    let app = Story::on(Engine::Sqlite).placing().begin().await;
    let with_key = async |app: &TestApp, key: &str, body: &Value| asking(app, body).header("idempotency-key", key).send().await;
    let made = with_key(&app, "k", &of(2, 2)).await.data(201)["batchId"].clone();
    let app = app.restart_with(|story| story.without("VAPI_API_KEY")).await;
    let again = with_key(&app, "k", &of(2, 2)).await;
    assert_eq!((again.header("idempotent-replayed"), &again.data(201)["batchId"]), ("true", &made));
    with_key(&app, "k", &of(3, 2)).await.refused(422, "IDEMPOTENCY_KEY_REUSED");
    with_key(&app, "l", &of(2, 2)).await.refused(502, "VAPI_ACCOUNT");

    let kestra =
        |story: Story| story.with("KESTRA_URL", "http://127.0.0.1:9").with("KESTRA_USERNAME", "a@b.co").with("KESTRA_PASSWORD", "p");
    let app = app.restart_with(kestra).await;
    let mut both = of(2, 2);
    both["requests"][0]["callMethod"] = "kestra".into();
    asking(&app, &both).send().await.refused(502, "VAPI_ACCOUNT");
    both["requests"][1]["callMethod"] = "kestra".into();
    asking(&app, &both).send().await.data(201);
    let app = app.restart_with(|story| story.with("KESTRA_ENABLED", "true").with("KESTRA_NAMESPACE", "calls")).await;
    asking(&app, &of(2, 2)).send().await.data(201);
    both["requests"][1]["callMethod"] = "direct_vapi".into();
    asking(&app, &both).send().await.refused(502, "VAPI_ACCOUNT");
    app.finish().await;
}
