//! What is told, to whom, in which order, and signed how.

use ringback::simulate::{CallScript, Stage};
use serde_json::json;

use super::{about, begin, brief, deliveries, each, id, later, subscribe, subscribed, tell};
use crate::support::{
    app::{Engine, TestApp, on_every_engine},
    calls::{message, path, talk},
    subscriber::{Say, Subscriber, to},
    vapi::CALL,
};

on_every_engine! {
    a_call_that_is_done_is_told_once_and_signed
    news_of_a_call_come_in_order_and_those_of_others_do_not_wait
    a_waiting_update_is_replaced_by_newer_news
    only_what_is_asked_for_is_told
    a_subscription_hears_nothing_from_before_it_was_made
    what_was_collected_while_paused_is_told_then
    what_is_on_its_way_survives_a_restart
    what_was_given_up_or_delivered_is_sent_again
    an_erased_call_is_told_without_a_word_of_it
    tries_stand_in_the_timeline_of_their_call
    lines_and_tools_are_told_in_their_own_words
    what_is_settled_goes_with_the_bodies_and_what_waits_stays
    what_a_paused_subscription_collects_for_too_long_is_given_up
    a_stuck_target_delays_only_itself
}

async fn done(app: &TestApp, script: &CallScript) {
    app.hears_report(script).await;
}

async fn a_call_that_is_done_is_told_once_and_signed(engine: Engine) {
    let (app, subscriber) = (begin(engine).await, Subscriber::start().await);
    let made = subscribe(&app, json!({"url": subscriber.url(), "events": ["call.done"], "headers": {"X-Key": "own"}})).await;
    let secret = made["secret"].as_str().expect("shown once").to_owned();
    done(&app, &talk(CALL)).await;
    assert_eq!(tell(&app).await, 1);
    assert_eq!((tell(&app).await, later(&app, 200_000).await), (0, 0), "once");
    let [told] = &subscriber.told()[..] else { panic!("{:?}", subscriber.told()) };
    assert!(told.is_signed(&secret));
    assert!(!told.is_signed("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), "this test can fail");
    assert_eq!((told.header("x-key"), told.header("content-type")), ("own", "application/json"));
    let event = told.json();
    assert_eq!(
        (told.header("webhook-id"), &event["type"], &event["callId"]),
        (event["id"].as_str().unwrap(), &json!("call.done"), &json!(CALL))
    );
    let call = app.call(CALL).await;
    assert_eq!(event["data"], call, "the whole result");
    let listed = deliveries(&app, &id(&made), "").await;
    assert_eq!((&listed[0]["state"], &listed[0]["attempts"][0]["status"], listed.len()), (&json!("delivered"), &json!(200), 1));
    app.finish().await;
}

async fn news_of_a_call_come_in_order_and_those_of_others_do_not_wait(engine: Engine) {
    let (app, subscriber) = (begin(engine).await, Subscriber::start().await);
    subscribed(&app, &subscriber.url(), &["call.ended", "call.done"]).await;
    subscriber.says([Say::Status(500)]);
    done(&app, &talk(CALL)).await;
    tell(&app).await;
    let first = subscriber.briefs();
    assert_eq!(first.len(), 1, "call.done waits: {first:?}");
    done(&app, &talk("another")).await;
    tell(&app).await;
    assert_eq!(subscriber.told().len(), 3, "the other call does not wait");
    assert_eq!(later(&app, 3).await, 0, "it is tried again after 4 to 6 seconds");
    later(&app, 4).await;
    let told = subscriber.told();
    let own: Vec<_> = told.iter().filter(|told| told.json()["callId"] == CALL).collect();
    assert_eq!(own.iter().map(|told| told.brief().0).collect::<Vec<_>>(), ["call.ended", "call.ended", "call.done"]);
    assert_eq!(own[0].header("webhook-id"), own[1].header("webhook-id"), "the id stays");
    assert!(own[1].header("webhook-timestamp") > own[0].header("webhook-timestamp"), "the timestamp is that of the try");
    app.finish().await;
}

async fn a_waiting_update_is_replaced_by_newer_news(engine: Engine) {
    let (app, subscriber) = (begin(engine).await, Subscriber::start().await);
    let id = subscribed(&app, &subscriber.url(), &["call.updated", "call.done"]).await;
    subscriber.says([Say::Status(503)]);
    app.hears_status(&talk(CALL), Stage::Ringing).await;
    tell(&app).await;
    app.hears_status(&talk(CALL), Stage::InProgress).await;
    tell(&app).await;
    assert_eq!(subscriber.briefs(), [brief("call.updated", 1), brief("call.updated", 2)], "the newer one does not wait for the older one");
    let updated = subscriber.told()[1].json();
    assert_eq!((&updated["data"]["callStatus"], &updated["data"]["transcript"]), (&json!("in-progress"), &json!("")));
    assert_eq!(each(&deliveries(&app, &id, "").await, "sequence"), json!([2]));
    app.finish().await;
}

async fn only_what_is_asked_for_is_told(engine: Engine) {
    let app = begin(engine).await;
    let fits = async |filter: serde_json::Value| {
        let subscriber = Subscriber::start().await;
        subscribe(&app, json!({"url": subscriber.url(), "events": ["call.done"], "filter": filter, "view": "summary"})).await;
        subscriber
    };
    let script = talk(CALL).with_metadata(json!({"team": "north", "number": 7}));
    let call_of = |status| json!({"status": status});
    let number =
        ringback::simulate::bodies::end_of_call_report(&script, app.clock().now())["message"]["call"]["customer"]["number"].clone();
    let hits = [
        fits(json!({"status": ["completed", "error"]})).await,
        fits(json!({"metadata": {"team": ["south", "north"], "number": "7"}})).await,
        fits(json!({"phone": number})).await,
    ];
    let misses = [
        fits(call_of("error")).await,
        fits(json!({"metadata": {"team": "south"}})).await,
        fits(json!({"metadata": {"team": "north", "other": "x"}})).await,
        fits(json!({"assistantId": "nobody"})).await,
        fits(json!({"phone": "+15550000000"})).await,
    ];
    done(&app, &script).await;
    assert_eq!(tell(&app).await, hits.len());
    for hit in &hits {
        let event = hit.told()[0].json();
        assert_eq!((&event["data"]["transcript"], &event["data"]["metadata"]), (&json!(""), &json!({})), "a summary");
    }
    assert!(misses.iter().all(|miss| miss.told().is_empty()));
    app.finish().await;
}

async fn a_subscription_hears_nothing_from_before_it_was_made(engine: Engine) {
    let (app, early, late) = (begin(engine).await, Subscriber::start().await, Subscriber::start().await);
    done(&app, &talk("before")).await;
    subscribed(&app, &early.url(), &["call.done"]).await;
    done(&app, &talk("between")).await;
    subscribed(&app, &late.url(), &["call.done"]).await;
    done(&app, &talk("after")).await;
    tell(&app).await;
    let calls = |subscriber: &Subscriber| -> Vec<_> { subscriber.told().iter().map(|told| told.json()["callId"].clone()).collect() };
    let mut heard = calls(&early);
    heard.sort_by_key(ToString::to_string);
    assert_eq!((heard, calls(&late)), (vec![json!("after"), json!("between")], vec![json!("after")]));
    app.finish().await;
}

async fn what_was_collected_while_paused_is_told_then(engine: Engine) {
    let (app, subscriber) = (begin(engine).await, Subscriber::start().await);
    let id = subscribed(&app, &subscriber.url(), &["call.done"]).await;
    assert_eq!(about(&app, "POST", &id, "/pause").await["status"], "paused");
    done(&app, &talk(CALL)).await;
    assert_eq!((tell(&app).await, later(&app, 100_000).await), (0, 0));
    assert_eq!(deliveries(&app, &id, "state=pending").await.len(), 1);
    assert_eq!(about(&app, "POST", &id, "/resume").await["status"], "active");
    assert_eq!((tell(&app).await, subscriber.types()), (1, vec!["call.done".to_owned()]));
    app.finish().await;
}

async fn what_is_on_its_way_survives_a_restart(engine: Engine) {
    if engine == Engine::Memory {
        return;
    }
    let (app, subscriber) = (begin(engine).await, Subscriber::start().await);
    let id = subscribed(&app, &subscriber.url(), &["call.done"]).await;
    subscriber.says([Say::Status(500), Say::Status(500)]);
    done(&app, &talk(CALL)).await;
    tell(&app).await;
    let app = app.restart().await;
    later(&app, 7).await;
    let app = app.restart().await;
    assert_eq!(deliveries(&app, &id, "state=pending").await[0]["tries"], 2);
    assert_eq!(later(&app, 200).await, 0, "the third try comes after five minutes");
    assert_eq!(later(&app, 200).await, 1);
    done(&app, &talk("unread")).await;
    let app = app.restart().await;
    tell(&app).await;
    assert_eq!(subscriber.told().len(), 4);
    assert_eq!(deliveries(&app, &id, "state=delivered").await.len(), 2);
    app.finish().await;
}

async fn what_was_given_up_or_delivered_is_sent_again(engine: Engine) {
    let (app, subscriber) = (begin(engine).await, Subscriber::start().await);
    let id = subscribed(&app, &subscriber.url(), &["call.done"]).await;
    done(&app, &talk("fine")).await;
    tell(&app).await;
    subscriber.says([Say::Status(400), Say::Status(400), Say::Status(400)]);
    done(&app, &talk("lost")).await;
    tell(&app).await;
    later(&app, 10).await;
    later(&app, 400).await;
    let dead = deliveries(&app, &id, "state=dead").await;
    assert_eq!((&dead[0]["callId"], &dead[0]["tries"], &dead[0]["nextAttemptAt"]), (&json!("lost"), &json!(3), &json!(null)));
    assert_eq!(later(&app, 100_000).await, 0, "it is given up");

    let again = async |body: serde_json::Value| {
        let answer = app.ask("POST", &format!("{}/{id}/redeliver", super::SUBSCRIPTIONS)).body(body.to_string()).send().await;
        let count = answer.data(200)["redelivered"].clone();
        (count, tell(&app).await)
    };
    assert_eq!(again(json!({"ids": [dead[0]["id"]]})).await, (json!(1), 1));
    assert_eq!(again(json!({"since": "2020-01-01T00:00:00Z", "state": "dead"})).await, (json!(0), 0));
    assert_eq!(again(json!({"since": "2020-01-01T00:00:00Z"})).await, (json!(2), 2));
    let mixed = json!({"ids": ["unknown", dead[0]["id"], "never"]});
    let path = format!("{}/{id}/redeliver", super::SUBSCRIPTIONS);
    let told = app.ask("POST", &path).body(mixed.to_string()).send().await.data(200);
    assert_eq!(told, json!({"redelivered": 1, "pending": [], "unknown": ["unknown", "never"]}));
    let told = app.ask("POST", &path).body(mixed.to_string()).send().await.data(200);
    assert_eq!(told, json!({"redelivered": 0, "pending": [dead[0]["id"]], "unknown": ["unknown", "never"]}), "it is on its way");
    assert_eq!(tell(&app).await, 1);
    let lost: Vec<_> =
        subscriber.told().iter().filter(|told| told.json()["callId"] == "lost").map(|told| told.header("webhook-id").to_owned()).collect();
    assert_eq!((lost.len(), lost.iter().all(|id| *id == lost[0])), (6, true));
    assert_eq!(deliveries(&app, &id, "state=delivered").await.len(), 2);
    let first = app.get(&format!("{}/{id}/deliveries?limit=1", super::SUBSCRIPTIONS)).await.json();
    let cursor = first["pagination"]["nextCursor"].as_str().expect("there is more").to_owned();
    let second = deliveries(&app, &id, &format!("limit=1&cursor={cursor}")).await;
    assert_eq!((&first["data"][0]["callId"], &second[0]["callId"]), (&json!("lost"), &json!("fine")), "newest first");
    app.finish().await;
}

async fn an_erased_call_is_told_without_a_word_of_it(engine: Engine) {
    let (app, subscriber) = (begin(engine).await, Subscriber::start().await);
    subscribed(&app, &subscriber.url(), &["call.done", "call.deleted"]).await;
    let filtered = Subscriber::start().await;
    subscribe(&app, json!({"url": filtered.url(), "events": ["call.deleted"], "filter": {"status": "completed"}})).await;
    subscriber.says([Say::Status(500)]);
    done(&app, &talk(CALL)).await;
    tell(&app).await;
    app.ask("DELETE", &path(CALL)).send().await.data(200);
    tell(&app).await;
    let told = subscriber.told();
    assert_eq!(subscriber.types(), ["call.done", "call.deleted"], "what was to be said of it is not said any more");
    assert_eq!(told[1].json()["data"], json!({}));
    assert_eq!(later(&app, 100_000).await, 0);
    assert!(filtered.told().is_empty(), "nobody knows any more what it was");
    app.finish().await;
}

async fn tries_stand_in_the_timeline_of_their_call(engine: Engine) {
    let (app, subscriber) = (begin(engine).await, Subscriber::start().await);
    let id = subscribed(&app, &subscriber.url(), &["call.done"]).await;
    subscriber.says([Say::Status(500)]);
    done(&app, &talk(CALL)).await;
    tell(&app).await;
    later(&app, 10).await;
    let timeline = app.get(&format!("{}/timeline", path(CALL))).await.data(200);
    let told: Vec<_> = timeline.as_array().unwrap().iter().filter(|entry| entry["kind"] == "outbound").cloned().collect();
    assert_eq!((told.len(), &told[0]["source"], &told[0]["eventId"]), (2, &json!("call.done"), &told[1]["eventId"]));
    let details = |entry: usize| told[entry]["details"].as_str().unwrap().to_owned();
    assert!(details(0).contains("it answered 500") && details(1).contains("answered 200") && details(0).starts_with(&id), "{told:?}");
    assert!(!timeline.to_string().contains("127.0.0.1"), "no address");
    app.finish().await;
}

async fn lines_and_tools_are_told_in_their_own_words(engine: Engine) {
    let (app, subscriber) = (begin(engine).await, Subscriber::start().await);
    subscribed(&app, &subscriber.url(), &["call.transcript", "call.tool"]).await;
    app.hears(&message("transcript", CALL, json!({"role": "user", "transcriptType": "partial", "transcript": "A tab"}))).await;
    app.hears(&message("transcript", CALL, json!({"role": "user", "transcriptType": "final", "transcript": "A table."}))).await;
    let asked = json!({"toolCallList": [{"id": "t1", "function": {"name": "look_up", "arguments": {"a": 1}}}]});
    app.hears(&message("tool-calls", CALL, asked)).await;
    tell(&app).await;
    let told = subscriber.told();
    assert_eq!(subscriber.types(), ["call.transcript", "call.tool"], "partial lines are for streams only");
    assert_eq!((&told[0].json()["data"]["message"], &told[0].json()["data"]["final"]), (&json!("A table."), &json!(true)));
    assert_eq!((&told[1].json()["data"]["id"], &told[1].json()["data"]["name"]), (&json!("t1"), &json!("look_up")));
    app.finish().await;
}

async fn what_is_settled_goes_with_the_bodies_and_what_waits_stays(engine: Engine) {
    let (app, subscriber) = (begin(engine).await, Subscriber::start().await);
    let id = subscribed(&app, &subscriber.url(), &["call.done"]).await;
    done(&app, &talk("told")).await;
    tell(&app).await;
    about(&app, "POST", &id, "/pause").await;
    done(&app, &talk("waiting")).await;
    tell(&app).await;
    let lifecycle = app.app().lifecycle().clone();
    for (days, left) in [(13, json!(["waiting", "told"])), (2, json!(["waiting"]))] {
        later(&app, days * 86_400).await;
        app.app().keeper().purge(&lifecycle).await.expect("the store answers");
        assert_eq!(each(&deliveries(&app, &id, "").await, "callId"), left, "{days}");
    }
    app.finish().await;
}

async fn what_a_paused_subscription_collects_for_too_long_is_given_up(engine: Engine) {
    let (app, paused, active) = (begin(engine).await, Subscriber::start().await, Subscriber::start().await);
    let (id, other) =
        (subscribed(&app, &paused.url(), &["call.ended", "call.done"]).await, subscribed(&app, &active.url(), &["call.done"]).await);
    active.always_says(Some(Say::Status(500)));
    about(&app, "POST", &id, "/pause").await;
    done(&app, &talk("old")).await;
    tell(&app).await;
    let give_up = async |days: i64| {
        later(&app, days * 86_400).await;
        app.api().push.give_up_old().await.expect("the store answers")
    };
    assert_eq!(give_up(13).await, 0);
    done(&app, &talk("new")).await;
    tell(&app).await;
    assert_eq!((give_up(2).await, give_up(0).await), (2, 0), "fourteen days is what PAYLOAD_RETENTION_DAYS says");
    let dead = deliveries(&app, &id, "state=dead").await;
    assert_eq!(each(&dead, "callId"), json!(["old", "old"]));
    let (attempt, tries) = (&dead[0]["attempts"][0], &dead[0]["tries"]);
    assert!(attempt["error"].as_str().is_some_and(|why| why.contains("PAYLOAD_RETENTION_DAYS")), "{attempt}");
    assert_eq!((tries, &attempt["status"]), (&json!(0), &json!(null)));
    assert_eq!(each(&deliveries(&app, &id, "state=pending").await, "callId"), json!(["new", "new"]));
    assert_eq!(deliveries(&app, &other, "state=pending").await.len(), 2, "who is not paused is tried as ever");
    about(&app, "POST", &id, "/resume").await;
    tell(&app).await;
    assert_eq!(paused.types(), ["call.ended", "call.done"]);
    let again = app.ask("POST", &format!("{}/{id}/redeliver", super::SUBSCRIPTIONS));
    let again = again.body(r#"{"since": "2020-01-01T00:00:00Z", "state": "dead"}"#).send().await.data(200);
    tell(&app).await;
    tell(&app).await;
    assert_eq!((&again["redelivered"], paused.told().len()), (&json!(2), 4), "the owner may have it after all");
    app.finish().await;
}

async fn a_stuck_target_delays_only_itself(engine: Engine) {
    let (app, stuck, quick) = (begin(engine).await, Subscriber::start().await, Subscriber::start().await);
    stuck.always_says(Some(Say::Hang));
    subscribed(&app, &stuck.url(), &["call.done"]).await;
    for number in 0..20 {
        done(&app, &talk(&format!("first-{number}"))).await;
    }
    let lifecycle = app.app().lifecycle().clone();
    lifecycle.spawn("push", app.api().push.clone().run(lifecycle.clone()));
    stuck.has(4).await;
    app.ask("POST", super::SUBSCRIPTIONS).body(to(&quick.url(), &["call.done"]).to_string()).send().await.data(201);
    let begun = std::time::Instant::now();
    for number in 0..20 {
        done(&app, &talk(&format!("second-{number}"))).await;
    }
    quick.has(20).await;
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    assert!(stuck.told().len() <= 16, "{} at once", stuck.told().len());
    app.finish().await;
}
