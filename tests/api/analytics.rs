//! `GET /analytics`: what is told of many calls is what a plain recount of them comes to, on every engine.

use proptest::{
    collection::vec,
    prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest},
};
use ringback::{
    call::time::DAY,
    simulate::{CallScript, Stage, bodies},
};
use serde_json::{Value, json};

use crate::{
    recount::{ANALYTICS, compare, told},
    support::{
        app::{Engine, Story, TestApp, on_every_engine},
        calls::{late_talk, message, path, talk, unanswered},
        vapi::START,
    },
};

on_every_engine! {
    numbers_of_the_last_thirty_days_are_told_day_by_day
    assistants_and_providers_narrow_the_numbers
    counts_outlive_the_process_and_go_with_their_retention
    what_customers_thought_is_told_and_not_with_a_key
}

/// Something that happens to one of the calls.
#[derive(Debug, Clone)]
enum Happening {
    Status(Stage),
    Report,
    /// Vapi's REST knows the call so, and is asked.
    Fetch(Stage),
    Odd,
    Erase,
    Time(i64),
}

fn happening() -> impl Strategy<Value = (usize, Happening)> {
    let stage = || prop_oneof![Just(Stage::Ringing), Just(Stage::InProgress), Just(Stage::Dropped)];
    let known = prop_oneof![Just(Stage::Dropped), Just(Stage::Reported), Just(Stage::Analysed)];
    let what = prop_oneof![
        4 => stage().prop_map(Happening::Status),
        6 => Just(Happening::Report),
        3 => known.prop_map(Happening::Fetch),
        1 => Just(Happening::Odd),
        1 => Just(Happening::Erase),
        3 => (1_i64..40_000).prop_map(Happening::Time),
    ];
    (0_usize..CALLS, what)
}

/// Calls of a random story.
const CALLS: usize = 9;

/// Call number `number`; nine of them are of every kind.
fn script(number: usize, seed: u8) -> CallScript {
    let id = format!("call-{number}");
    let script = match number % 5 {
        0 => talk(&id).with_analysis(json!({"summary": "They talked.", "structuredData": {"nps_score": seed % 11}})),
        1 => late_talk(&id).with_turns(1 + usize::from(seed % 8)),
        2 => unanswered(&id),
        3 => talk(&id).ended_for("voicemail"),
        _ => talk(&id).ended_for("pipeline-error-openai-llm-failed").with_output("o-1", "Survey", &json!({"nps_score": 3})),
    };
    let provider = if number.is_multiple_of(2) { json!({"providerId": "p-1"}) } else { json!({}) };
    script.with_requested("assistantId", json!(if number < 4 { "a-1" } else { "a-2" })).with_metadata(provider)
}

async fn happens(app: &TestApp, (number, happening): &(usize, Happening), seed: u8) {
    let script = script(*number, seed);
    match happening {
        Happening::Status(stage) => app.hears_status(&script, *stage).await,
        Happening::Report => app.hears_report(&script).await,
        Happening::Fetch(stage) => {
            app.vapi_knows(&script, *stage);
            app.ask("POST", &format!("{}/fetch", path(&script.id))).send().await;
            app.work().await;
        }
        Happening::Odd => drop(app.hears(&message("hang", &script.id, json!({"at": app.clock().now().0}))).await),
        Happening::Erase => drop(app.ask("DELETE", &path(&script.id)).send().await.data(200)),
        Happening::Time(seconds) => {
            app.clock().advance(seconds * 1_000);
            app.work().await;
        }
    }
}

/// Two instances where the engine can be shared; they hear of things in turns.
async fn story(engine: Engine, happenings: Vec<(usize, Happening)>, seed: u8) {
    let here = Story::on(engine).begin().await;
    let there = if matches!(engine, Engine::Postgres | Engine::Redis) { Some(here.beside().await) } else { None };
    let (mut received, mut refused) = (0, 0);
    for (turn, happening) in happenings.iter().enumerate() {
        let app = there.as_ref().filter(|_| turn % 2 == 1).unwrap_or(&here);
        happens(app, happening, seed).await;
        received += u64::from(matches!(happening.1, Happening::Status(_) | Happening::Report | Happening::Odd));
        if turn % 5 == 0 {
            app.ask("POST", "/api/v1/vapi/webhook")
                .header("x-vapi-secret", "wrong")
                .body("{}")
                .send()
                .await
                .refused(401, "INVALID_SIGNATURE");
            refused += 1;
        }
    }
    if let Some(there) = &there {
        // As it does every ten seconds.
        there.api().analyst.write_down().await.unwrap();
    }
    compare(&here, "", |_| true).await;
    compare(&here, "assistantId=a-1", |call| call["assistantId"] == "a-1").await;
    compare(&here, "assistantId=a-1,a-2&providerId=p-1", |call| call["providerId"] == "p-1").await;
    let (since, until) = (START.plus(i64::from(seed) * 600_000), START.plus(DAY + i64::from(seed) * 900_000));
    compare(&here, &format!("since={since}&until={until}"), |_| true).await;
    let webhooks = &told(&here, "").await["webhooks"];
    let by_reason = if refused == 0 { json!({}) } else { json!({"invalid": refused}) };
    assert_eq!((&webhooks["received"], &webhooks["rejected"], &webhooks["byReason"]), (&json!(received), &json!(refused), &by_reason));
    for app in [Some(here), there].into_iter().flatten() {
        app.work().await;
        app.finish().await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn what_is_told_is_what_a_recount_comes_to(happenings in vec(happening(), 1..60), seed in any::<u8>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        for (engine, is_tested) in [
            (Engine::Memory, true),
            (Engine::Sqlite, true),
            (Engine::Postgres, crate::support::postgres::is_tested()),
            (Engine::Redis, crate::support::redis::is_tested()),
        ] {
            if is_tested {
                runtime.block_on(story(engine, happenings.clone(), seed));
            }
        }
    }
}

async fn numbers_of_the_last_thirty_days_are_told_day_by_day(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let empty = told(&app, "").await;
    assert_eq!((&empty["since"], &empty["until"]), (&json!("2026-08-28T00:00:00.000Z"), &json!("2026-09-27T00:00:00.000Z")));
    assert_eq!((&empty["calls"], &empty["answerRate"], &empty["cost"]["total"]), (&json!(0), &Value::Null, &json!(0.0)));
    assert_eq!(empty["series"].as_array().unwrap().len(), 30);
    app.hears_report(&talk("one")).await;
    app.hears_report(&talk("one")).await;
    // As it does every ten seconds.
    app.api().analyst.write_down().await.unwrap();
    app.clock().advance(DAY);
    app.hears_report(&unanswered("two")).await;
    app.hears_status(&talk("three"), Stage::InProgress).await;
    let two = told(&app, "").await;
    assert_eq!(
        (&two["byStatus"]["completed"], &two["byStatus"]["no_answer"], &two["byStatus"]["pending"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!((&two["answerRate"], &two["webhooks"]["deliverySuccess"]), (&json!(0.5), &json!(1.0)));
    let days = two["series"].as_array().unwrap();
    assert_eq!(
        (&days[28]["date"], &days[28]["calls"], &days[29]["date"], &days[29]["calls"]),
        (&json!("2026-09-26"), &json!(1), &json!("2026-09-27"), &json!(2))
    );
    assert_eq!((&days[28]["webhooks"]["received"], &days[29]["webhooks"]["received"]), (&json!(2), &json!(2)), "a repeat is received, too");
    let (half, most) = (two["store"]["commitMs"]["p50"].as_f64().unwrap(), two["store"]["commitMs"]["p95"].as_f64().unwrap());
    assert!(half > 0.0 && half <= most, "{half} {most}");
    app.clock().advance(31 * DAY);
    assert_eq!(told(&app, "").await["calls"], 0, "all that was long ago");
    app.work().await;
    app.finish().await;
}

async fn assistants_and_providers_narrow_the_numbers(engine: Engine) {
    let app = Story::on(engine).begin().await;
    for number in 0..CALLS {
        app.hears_report(&script(number, 9)).await;
    }
    for (query, calls) in [
        ("assistantId=a-1", 4),
        ("assistantId=a-1,a-2", 9),
        ("providerId=p-1", 5),
        ("assistantId=a-1&providerId=p-1", 2),
        ("providerId=x", 0),
    ] {
        let told = told(&app, query).await;
        assert_eq!(told["calls"], calls, "{query}");
        assert_eq!(
            (&told["webhooks"]["received"], &told["store"]["commitMs"]["p50"]),
            (&Value::Null, &Value::Null),
            "nobody knows whose they were"
        );
        assert!(told["series"][29]["webhooks"]["received"].is_null());
    }
    app.finish().await;
}

async fn counts_outlive_the_process_and_go_with_their_retention(engine: Engine) {
    let app = Story::on(engine).with("RETENTION_DAYS", "1").begin().await;
    app.hears_report(&talk("one")).await;
    app.ask("POST", "/api/v1/vapi/webhook").body("{}").send().await.refused(401, "INVALID_SIGNATURE");
    app.api().analyst.write_down().await.unwrap();
    let app = if engine == Engine::Memory { app } else { app.restart().await };
    app.hears_report(&talk("two")).await;
    let webhooks = told(&app, "").await["webhooks"].take();
    assert_eq!((&webhooks["received"], &webhooks["byReason"]), (&json!(2), &json!({"missing": 1})));
    app.clock().advance(3 * DAY);
    app.work().await;
    app.app().keeper().purge(app.app().lifecycle()).await.unwrap();
    let after = told(&app, "").await;
    assert_eq!((&after["calls"], &after["webhooks"]["received"], &after["webhooks"]["rejected"]), (&json!(0), &json!(0), &json!(0)));
    app.finish().await;
}

async fn what_customers_thought_is_told_and_not_with_a_key(engine: Engine) {
    use base64::Engine as _;
    let scored =
        |id: &str, score: Value| talk(id).with_analysis(json!({"summary": "They talked.", "structuredData": {"nps_score": score}}));
    let calls = || {
        [
            ("a", json!(10)),
            ("b", json!("9")),
            ("c", json!(7.5)),
            ("d", json!(2)),
            ("e", json!("no number")),
            ("f", json!(11)),
            ("g", json!(-1)),
        ]
    };
    let app = Story::on(engine).begin().await;
    for (id, score) in calls() {
        app.hears_report(&scored(id, score)).await;
    }
    let expected = json!({"responses": 4, "averageScore": 7.125, "nps": 25.0, "promoters": 2, "passives": 1, "detractors": 1});
    assert_eq!(told(&app, "").await["feedback"], expected);
    app.finish().await;
    if engine == Engine::Memory {
        return;
    }
    let key = base64::engine::general_purpose::STANDARD.encode([7; 32]);
    let app = Story::on(engine).with("DATA_KEY", &key).begin().await;
    for (id, score) in calls() {
        app.hears_report(&scored(id, score)).await;
    }
    let locked = told(&app, "").await;
    assert!(locked["feedback"].as_object().unwrap().values().all(Value::is_null), "{}", locked["feedback"]);
    assert_eq!((&locked["calls"], &locked["byStatus"]["completed"]), (&json!(7), &json!(7)), "durations, costs and outcomes stay plain");
    app.finish().await;
}

#[tokio::test]
async fn the_series_is_told_as_csv_without_formulas() {
    let app = Story::new().begin().await;
    app.hears_report(&talk("one").with_requested("assistantId", json!("=cmd"))).await;
    let answer = app.get(&format!("{ANALYTICS}?format=csv&assistantId=%3Dcmd,b&since=2026-09-25T00:00:00Z")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/csv; charset=utf-8"));
    assert!(answer.header("content-disposition").starts_with("attachment"));
    let text = answer.text();
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!((lines.len(), lines[3]), (4, ""), "a head, and two days: {text}");
    assert!(lines[0].starts_with("date,calls,pending,completed,") && lines[1].starts_with("2026-09-25,0,0,0,"), "{text}");
    assert!(lines[2].starts_with("2026-09-26,1,0,1,") && lines[2].contains(",'=cmd b,"), "{text}");
    let width = lines[0].split(',').count();
    assert!(lines[1..3].iter().all(|line| line.split(',').count() == width), "{text}");
    app.finish().await;
}

#[tokio::test]
async fn what_can_not_be_asked_is_refused() {
    let app = Story::new().begin().await;
    for query in [
        "since=yesterday",
        "until=2026-13-01T00:00:00Z",
        "since=2026-09-02T00:00:00Z&until=2026-09-01T00:00:00Z",
        "since=2026-09-02T00:00:00Z&until=2026-09-02T00:00:00Z",
        "since=1971-01-01T00:00:00Z",
        "format=xml",
    ] {
        app.get(&format!("{ANALYTICS}?{query}")).await.refused(400, "INVALID_PARAMETER");
    }
    let ancient = told(&app, "since=-002000-01-01T00:00:00Z&until=-002000-01-02T12:00:00Z").await;
    assert_eq!((&ancient["calls"], ancient["series"].as_array().unwrap().len()), (&json!(0), 2));
    app.finish().await;
}

#[tokio::test]
async fn what_an_earlier_release_left_unmeasured_the_service_measures_by_and_by() {
    let app = Story::on(Engine::Sqlite).begin().await;
    app.hears_report(&talk("one")).await;
    app.hears_report(&unanswered("two")).await;
    let before = told(&app, "").await;
    let db = rusqlite::Connection::open(app.folder().join("ringback.db")).unwrap();
    db.execute("UPDATE calls SET marks = NULL, duration = NULL, cost = NULL", []).unwrap();
    let unmeasured = || db.query_row("SELECT count(*) FROM calls WHERE marks IS NULL", [], |row| row.get::<_, i64>(0)).unwrap();
    let seen = |numbers: &Value| (numbers["byStatus"].clone(), numbers["durationSeconds"].clone(), numbers["cost"].clone());
    assert_eq!((unmeasured(), seen(&told(&app, "").await)), (2, seen(&before)), "what is asked for is right at once");
    app.app().keeper().tend(app.app().lifecycle()).await;
    assert_eq!((unmeasured(), seen(&told(&app, "").await)), (0, seen(&before)));
    app.finish().await;
}

#[tokio::test]
async fn what_an_orderly_stop_counted_last_is_there_again() {
    let app = Story::on(Engine::Sqlite).begin().await;
    let body = bodies::end_of_call_report(&talk("one"), app.clock().now());
    let app = app
        .run(async |url| {
            let client = reqwest::Client::builder().build().unwrap();
            let sent = client
                .post(format!("{url}/api/v1/vapi/webhook"))
                .header("x-vapi-secret", crate::support::app::SECRET)
                .body(body.to_string());
            assert_eq!(sent.send().await.unwrap().status(), 200);
        })
        .await;
    assert_eq!(told(&app, "").await["webhooks"]["received"], 1);
    app.finish().await;
}
