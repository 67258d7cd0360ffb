//! A batch from its requests to its results.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{BATCHES, about, asking, data, each, end, finish, has_live, live, made, of, result, start, story};
use crate::{
    placing::{request, sent},
    support::{
        app::{Engine, on_every_engine},
        calls::{path, talk},
        eventually,
        kestra::{EXECUTION, Generation, Kestra},
        subscriber::{Say, Subscriber},
    },
};

on_every_engine! {
    every_call_is_placed_and_its_result_stands_at_its_place
    so_many_calls_go_on_at_once_and_no_more
    the_same_key_is_the_same_batch
    whoever_waits_for_a_batch_is_told_once_when_all_is_done
    whoever_takes_no_large_letter_is_sent_smaller_ones
    batches_are_listed_newest_first
    whoever_waits_at_another_instance_is_woken
}

async fn every_call_is_placed_and_its_result_stands_at_its_place(engine: Engine) {
    let app = story(engine).begin().await;
    app.listen().await;
    start(&app);
    let mut requests = vec![request(); 6];
    requests.push(json!({"assistantId": "nora", "customer": {"number": "+15557654321"}}));
    let id = made(&app, &json!({"requests": requests, "maxConcurrent": 3})).await;
    let data = result(&app, &id).await;
    let stats = json!({"total": 7, "placed": 7, "completed": 7, "failed": 0, "timeout": 0, "noAnswer": 0, "voicemail": 0,
        "duration": 0, "averageCallDuration": data["results"][0]["data"]["duration"]});
    assert_eq!((&data["stats"], &data["canceled"], &data["batchId"]), (&stats, &json!(false), &json!(id)));
    assert_eq!(each(&data, "index"), (0..7).map(Value::from).collect::<Vec<_>>());
    let calls: BTreeSet<String> = each(&data, "callId").iter().map(|call| call.as_str().unwrap().to_owned()).collect();
    assert_eq!((calls, sent(&app)), (app.vapi.calls().into_iter().collect(), 7), "each once");
    for row in data["results"].as_array().unwrap() {
        assert_eq!(row["data"], app.call(row["callId"].as_str().unwrap()).await, "the whole result");
        assert_eq!((&row["done"], &row["code"], &row["error"]), (&json!(true), &Value::Null, &Value::Null));
    }
    assert_eq!(data["results"][6]["data"]["customer"]["number"], "+15557654321");
    let summary = about(&app, &id, "?view=summary").await.data(200);
    assert_eq!(summary["results"][0]["data"]["transcript"], "");
    app.vapi.played().await;
    // The results go with their calls; how they went stays.
    app.ask("DELETE", &path(data["results"][0]["callId"].as_str().unwrap())).send().await.data(200);
    let left = super::data(&app, &id).await;
    assert_eq!((&left["results"][0]["data"], &left["stats"]["completed"]), (&Value::Null, &json!(7)));
    finish(app).await;
}

async fn so_many_calls_go_on_at_once_and_no_more(engine: Engine) {
    let app = story(engine).begin().await;
    start(&app);
    let id = made(&app, &of(5, 2)).await;
    assert_eq!(about(&app, &id, "/result").await.data(202)["stats"]["completed"], 0);
    let first = has_live(&app, &id, 2).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!((live(&app, &id).await, sent(&app)), (first.clone(), 2), "two at once");
    end(&app, &first[..1]).await;
    eventually("the next one is placed", async || sent(&app) == 3).await;
    end(&app, &has_live(&app, &id, 2).await).await;
    eventually("two more are placed", async || sent(&app) == 5).await;
    end(&app, &has_live(&app, &id, 2).await).await;
    let data = result(&app, &id).await;
    assert_eq!((&data["stats"]["completed"], sent(&app)), (&json!(5), 5));
    finish(app).await;
}

async fn the_same_key_is_the_same_batch(engine: Engine) {
    let app = story(engine).begin().await;
    app.listen().await;
    start(&app);
    let with_key = async |body: &Value| asking(&app, body).header("idempotency-key", "k").send().await;
    let body = of(2, 2);
    let (first, again) = tokio::join!(with_key(&body), with_key(&body));
    let replayed: BTreeSet<_> = [first.header("idempotent-replayed"), again.header("idempotent-replayed")].into();
    assert_eq!((first.data(201)["batchId"].clone(), replayed), (again.data(201)["batchId"].clone(), ["", "true"].into()));
    with_key(&of(3, 2)).await.refused(422, "IDEMPOTENCY_KEY_REUSED");
    let id = first.data(201)["batchId"].as_str().unwrap().to_owned();
    result(&app, &id).await;
    assert_eq!(sent(&app), 2);
    app.vapi.played().await;
    finish(app).await;
}

async fn whoever_waits_for_a_batch_is_told_once_when_all_is_done(engine: Engine) {
    let (waiting, n8n, kestra) = (Subscriber::start().await, Subscriber::start().await, Kestra::start(Generation::First, "PAUSED").await);
    let story = story(engine).with("KESTRA_URL", &kestra.url).with("KESTRA_USERNAME", "a@b.co").with("KESTRA_PASSWORD", "Kestra2026");
    let app = story.begin().await;
    app.listen().await;
    start(&app);
    n8n.says([Say::Status(409)]);
    let mut ids = Vec::new();
    for callback in [
        json!({"kind": "webhook", "url": waiting.url(), "view": "summary"}),
        json!({"kind": "n8n-resume", "url": format!("{}/webhook-waiting/1", n8n.base())}),
        json!({"kind": "kestra-resume", "executionId": EXECUTION}),
    ] {
        let mut body = of(2, 2);
        body["callback"] = callback;
        // A call of its own may have somebody told as well.
        body["requests"][0]["callback"] = json!({"kind": "webhook", "url": format!("{}/call", waiting.base())});
        let id = made(&app, &body).await;
        result(&app, &id).await;
        ids.push(id);
    }
    app.vapi.played().await;
    let told = async || {
        app.api().push.step().await.unwrap();
        (waiting.told().len(), n8n.told().len(), kestra.posts().len())
    };
    eventually("everybody was told", async || told().await.0 == 4 && n8n.told().len() == 1 && kestra.posts().len() == 1).await;
    app.clock().advance(1_000);
    assert_eq!(told().await, (4, 2, 1), "n8n had not paused yet");
    let (batches, calls): (Vec<_>, Vec<_>) =
        waiting.told().into_iter().map(|told| told.json()).partition(|told| told["type"] == "batch.done");
    assert_eq!((batches.len(), calls.len()), (1, 3));
    assert_eq!((&batches[0]["callId"], &batches[0]["data"]["batchId"]), (&Value::Null, &json!(ids[0])));
    assert_eq!(batches[0]["data"], about(&app, &ids[0], "?view=summary").await.data(200));
    let resumed = n8n.told()[1].json()["data"].clone();
    assert_eq!((&resumed["stats"]["completed"], each(&resumed, "view")), (&json!(2), vec![json!("summary"); 2]), "unless it says another");
    assert!(kestra.posts()[0].body.contains(&ids[2]), "{}", kestra.posts()[0].body);
    finish(app).await;
}

async fn batches_are_listed_newest_first(engine: Engine) {
    let app = story(engine).begin().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        app.clock().advance(1_000);
        ids.push(made(&app, &of(1, 1)).await);
    }
    ids.reverse();
    let page = app.get(&format!("{BATCHES}?limit=2")).await.json();
    assert_eq!((page["data"][0]["batchId"].as_str(), page["data"][1]["batchId"].as_str()), (Some(&*ids[0]), Some(&*ids[1])));
    assert_eq!((&page["data"][0]["results"], &page["data"][0]["stats"]["total"]), (&json!([]), &json!(1)));
    let cursor = page["pagination"]["nextCursor"].as_str().unwrap();
    let rest = app.get(&format!("{BATCHES}?limit=2&cursor={cursor}")).await.json();
    assert_eq!(
        (&rest["count"], rest["data"][0]["batchId"].as_str(), &rest["pagination"]["hasMore"]),
        (&json!(1), Some(&*ids[2]), &json!(false))
    );
    app.get(&format!("{BATCHES}?cursor=x")).await.refused(400, "INVALID_PARAMETER");
    for id in &ids {
        super::cancel(&app, id, "").await;
    }
    start(&app);
    for id in &ids {
        assert_eq!(each(&result(&app, id).await, "done"), [json!(true)]);
    }
    assert_eq!(sent(&app), 0);
    app.finish().await;
}

async fn whoever_waits_at_another_instance_is_woken(engine: Engine) {
    if matches!(engine, Engine::Memory | Engine::Sqlite) {
        return;
    }
    let app = story(engine).begin().await;
    let other = app.beside().await;
    start(&app);
    let id = made(&app, &of(1, 1)).await;
    let calls = has_live(&app, &id, 1).await;
    let waiting = async {
        let begun = std::time::Instant::now();
        let data = result(&other, &id).await;
        (begun.elapsed(), data)
    };
    let ending = async {
        eventually("it is waited for", async || other.api().registry.waiters().count() == 1).await;
        end(&app, &calls).await;
    };
    let ((took, whole), ()) = tokio::join!(waiting, ending);
    assert!(took.as_secs() < 10, "{took:?}");
    assert_eq!(whole["stats"]["completed"], 1);
    assert_eq!(data(&other, &id).await["results"][0]["callId"], calls[0].as_str());
    other.finish().await;
    finish(app).await;
}

async fn whoever_takes_no_large_letter_is_sent_smaller_ones(engine: Engine) {
    let (app, waiting) = (story(engine).begin().await, Subscriber::start().await);
    start(&app);
    let mut body = of(1, 1);
    body["callback"] = json!({"kind": "webhook", "url": waiting.url()});
    waiting.says([Say::Status(413), Say::Status(413)]);
    let id = made(&app, &body).await;
    let calls = has_live(&app, &id, 1).await;
    end(&app, &calls).await;
    result(&app, &id).await;
    for tries in 1..=3 {
        eventually("it is tried", async || {
            app.api().push.step().await.unwrap();
            waiting.told().len() == tries
        })
        .await;
        app.clock().advance(400_000);
    }
    let told: Vec<_> = waiting.told().iter().map(|told| told.json()["data"]["results"][0].clone()).collect();
    assert_eq!(told.iter().map(|row| row["view"].clone()).collect::<Vec<_>>(), ["full", "summary", "none"]);
    assert_eq!((&told[1]["data"]["transcript"], &told[2]["data"]), (&json!(""), &Value::Null));
    assert!(told.iter().all(|row| row["callId"] == calls[0] && row["done"] == true), "{told:?}");
    assert_eq!(app.api().push.step().await.unwrap(), 0, "it was taken");
    finish(app).await;
}

#[tokio::test]
async fn what_has_no_room_in_full_is_given_as_a_summary() {
    let app = story(Engine::Memory).with("CACHE_MAX_MB", "256").begin().await;
    start(&app);
    let id = made(&app, &of(4, 4)).await;
    let calls = has_live(&app, &id, 4).await;
    for call in &calls {
        let mut report = ringback::simulate::bodies::end_of_call_report(&talk(call), app.clock().now());
        report["message"]["artifact"]["transcript"] = "AI: word ".repeat(350_000).into();
        app.hears(&report).await;
    }
    let answer = about(&app, &id, "/result?wait=30").await;
    let data = answer.data(200);
    assert_eq!(each(&data, "view"), [json!("full"), json!("full"), json!("summary"), json!("summary")], "{}", answer.bytes.len());
    assert_eq!((&data["results"][3]["data"]["transcript"], &data["results"][3]["data"]["status"]), (&json!(""), &json!("completed")));
    assert_eq!(each(&about(&app, &id, "?view=summary").await.data(200), "view"), vec![json!("summary"); 4]);
    finish(app).await;
}
