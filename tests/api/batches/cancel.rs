//! `POST /batches/{id}/cancel`: nothing more is placed, and what goes on may be hung up.

use ringback::simulate::Fault;
use serde_json::{Value, json};

use super::{BATCHES, about, cancel, data, each, end, finish, has_live, made, of, result, start, story};
use crate::{
    placing::sent,
    support::{
        app::{Engine, on_every_engine},
        eventually,
        subscriber::Subscriber,
    },
};

on_every_engine! {
    nothing_more_is_placed_and_what_goes_on_comes_to_its_end
    calls_that_go_on_are_hung_up_if_that_is_wanted
    hanging_up_is_tried_again_until_vapi_does_it
}

async fn nothing_more_is_placed_and_what_goes_on_comes_to_its_end(engine: Engine) {
    let (app, waiting) = (story(engine).begin().await, Subscriber::start().await);
    start(&app);
    let mut body = of(5, 2);
    body["callback"] = json!({"kind": "webhook", "url": waiting.url()});
    let id = made(&app, &body).await;
    let live = has_live(&app, &id, 2).await;
    assert_eq!(cancel(&app, &id, "").await["canceled"], true);
    eventually("the others are done", async || each(&data(&app, &id).await, "done") == [false, false, true, true, true].map(Value::from))
        .await;
    assert_eq!(about(&app, &id, "/result").await.status, 202, "two go on");
    end(&app, &live).await;
    let data = result(&app, &id).await;
    assert_eq!((&data["stats"]["completed"], &data["stats"]["failed"], &data["stats"]["placed"]), (&json!(2), &json!(0), &json!(2)));
    assert_eq!(each(&data, "callId")[2..], [Value::Null, Value::Null, Value::Null]);
    assert!(data["results"][2]["error"].as_str().unwrap().contains("canceled"), "{data}");
    assert_eq!(
        (cancel(&app, &id, "hangup=1").await, sent(&app)),
        (about(&app, &id, "?view=summary").await.data(200), 2),
        "it stays as it is"
    );
    eventually("it is told", async || {
        app.api().push.step().await.unwrap();
        waiting.told().len() == 1
    })
    .await;
    assert_eq!(waiting.told()[0].json()["data"]["canceled"], true);
    finish(app).await;
}

async fn calls_that_go_on_are_hung_up_if_that_is_wanted(engine: Engine) {
    let app = story(engine).with_vapi(|vapi| vapi.pace = 1.0).begin().await;
    app.listen().await;
    start(&app);
    let id = made(&app, &of(3, 2)).await;
    let live = has_live(&app, &id, 2).await;
    cancel(&app, &id, "hangup=true").await;
    let data = result(&app, &id).await;
    assert_eq!((&data["stats"]["placed"], &data["stats"]["failed"], sent(&app)), (&json!(2), &json!(2), 2));
    for call in &live {
        assert_eq!(app.vapi.count("POST", &format!("/control/{call}")), 1);
        assert_eq!(app.call(call).await["outcome"]["kind"], "canceled");
    }
    app.vapi.played().await;
    app.work().await;
    finish(app).await;
}

async fn hanging_up_is_tried_again_until_vapi_does_it(engine: Engine) {
    let app = story(engine).with_vapi(|vapi| vapi.pace = 1.0).begin().await;
    app.listen().await;
    start(&app);
    let id = made(&app, &of(1, 1)).await;
    let call = has_live(&app, &id, 1).await.remove(0);
    for fault in [Fault::Status(500), Fault::Status(401), Fault::Status(503)] {
        app.vapi.fail_next_of(&call, fault);
    }
    cancel(&app, &id, "hangup=true").await;
    eventually("its row tells of it", async || {
        let row = data(&app, &id).await["results"][0].clone();
        row["code"] == "VAPI_UNAVAILABLE"
            && row["done"] == false
            && row["error"].as_str().is_some_and(|words| words.contains("tried again"))
    })
    .await;
    let data = result(&app, &id).await;
    let row = &data["results"][0];
    assert_eq!((&row["code"], &row["error"], &row["callId"]), (&Value::Null, &Value::Null, &json!(call)), "it passed");
    assert_eq!(app.call(&call).await["outcome"]["kind"], "canceled");
    assert_eq!(app.vapi.count("POST", &format!("/control/{call}")), 1);
    app.vapi.played().await;
    app.work().await;
    finish(app).await;
}

#[tokio::test]
async fn a_parameter_that_can_not_be_leaves_the_batch_as_it_is() {
    let app = story(Engine::Memory).begin().await;
    let id = made(&app, &of(1, 1)).await;
    for query in ["view=x", "hangup=yes", "hangup=1&view=x"] {
        app.ask("POST", &format!("{BATCHES}/{id}/cancel?{query}")).send().await.refused(400, "INVALID_PARAMETER");
        assert_eq!(data(&app, &id).await["canceled"], false, "{query}");
    }
    assert_eq!(cancel(&app, &id, "hangup=false&view=full").await["canceled"], true);
    app.finish().await;
}
