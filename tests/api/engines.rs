//! Whatever happens, the engines tell the same: memory, a file, a file whose service forgets and restarts at every turn, and a database.

use proptest::{
    prelude::{Just, ProptestConfig, Strategy, prop_oneof, proptest},
    test_runner::TestCaseError,
};
use ringback::simulate::{CallScript, Stage, bodies};
use serde_json::{Value, json};

use crate::support::{
    app::{Engine, Story, TestApp},
    calls::{late_talk, message, path, result, talk, unanswered},
    postgres, redis,
};

const CALLS: [&str; 2] = ["first", "second"];
/// Kinds of webhooks that [`webhook`] makes.
const WEBHOOKS: usize = 12;

/// Something that happens.
#[derive(Debug, Clone)]
enum Happening {
    /// A webhook of this kind about this call; the same one each time, so that a second is a repeat.
    Webhook(usize, usize),
    /// Time goes by, in seconds.
    Time(i64),
    /// Somebody has Vapi asked about this call, at this stage of it.
    Fetch(usize, Stage),
    /// This call is erased.
    Erase(usize),
    /// The third service restarts, the second forgets what is in memory.
    Forget,
}

fn happening() -> impl Strategy<Value = Happening> {
    let stage = prop_oneof![Just(Stage::InProgress), Just(Stage::Dropped), Just(Stage::Reported), Just(Stage::Analysed)];
    prop_oneof![
        12 => (0..WEBHOOKS, 0..CALLS.len()).prop_map(|(kind, call)| Happening::Webhook(kind, call)),
        3 => (1_i64..5_000).prop_map(Happening::Time),
        2 => (0..CALLS.len(), stage).prop_map(|(call, stage)| Happening::Fetch(call, stage)),
        1 => (0..CALLS.len()).prop_map(Happening::Erase),
        4 => Just(Happening::Forget),
    ]
}

fn webhook(kind: usize, id: &str, app: &TestApp) -> Value {
    let now = crate::support::vapi::START;
    let script: CallScript = talk(id).with_metadata(json!({"providerName": "R", "call": id})).with_tool_asked(2, "look_up", json!({}));
    match kind {
        0 => bodies::status_update(&script, Stage::Ringing, now),
        1 => bodies::status_update(&script, Stage::InProgress, now.plus(1)),
        2 => bodies::status_update(&script, Stage::Dropped, now.plus(2)),
        3 => bodies::end_of_call_report(&late_talk(id), now.plus(3)),
        4 => bodies::end_of_call_report(&script, now.plus(4)),
        5 => bodies::end_of_call_report(&unanswered(id), now.plus(5)),
        6 => bodies::conversation_update(&script, script.entries[3].at()),
        7 => bodies::conversation_update(&script, script.entries[6].at()),
        8 => bodies::transcript(&script, 0, true, now.plus(8)),
        9 => bodies::tool_calls(&script, 2, now.plus(9)),
        10 => bodies::artifact_upload(&script, now.plus(10)),
        // Never the same twice.
        _ => message("hang", id, json!({"at": app.clock().now().0})),
    }
}

async fn happens(app: &TestApp, happening: &Happening) {
    match happening {
        Happening::Webhook(kind, call) => drop(app.hears(&webhook(*kind, CALLS[*call], app)).await),
        Happening::Time(seconds) => app.clock().advance(seconds * 1_000),
        Happening::Fetch(call, stage) => {
            app.vapi.put_call(bodies::rest_call(&talk(CALLS[*call]), *stage, app.clock().now()));
            app.ask("POST", &format!("{}/fetch", path(CALLS[*call]))).send().await;
            app.work().await;
        }
        Happening::Erase(call) => drop(app.ask("DELETE", &path(CALLS[*call])).send().await.data(200)),
        Happening::Forget => {}
    }
}

/// All that can be seen of the calls, but for ids that are drawn by chance.
async fn told(app: &TestApp) -> Vec<Value> {
    let mut all = Vec::new();
    for id in CALLS {
        for path in [path(id), result(id, ""), format!("{}?view=summary", path(id))] {
            let answer = app.get(&path).await;
            let mut body = answer.json();
            body["requestId"].take();
            all.push(json!({"path": path, "status": answer.status, "etag": answer.header("etag"), "body": body}));
        }
        let mut entries = app.get(&format!("{}/timeline?body=1", path(id))).await.json()["data"].take();
        for entry in entries.as_array_mut().into_iter().flatten() {
            entry["eventId"].take();
        }
        // Of the same moment, the order is left to the engine.
        entries.as_array_mut().into_iter().for_each(|entries| entries.sort_by_key(Value::to_string));
        all.push(entries);
    }
    for query in ["", "?by=updatedAt", "?by=endedAt&view=full", "?q=thursday", "?metadata.call=first"] {
        all.push(app.get(&format!("/api/v1/vapi/calls{query}")).await.json());
    }
    all
}

async fn compared(happenings: Vec<Happening>) -> Result<(), TestCaseError> {
    // Without delays there is no chance in when Vapi is asked: only when somebody wants it.
    let begin = |engine| Story::on(engine).with("ENRICH_DELAYS_SECONDS", "none").with("RECONCILE_GRACE_SECONDS", "86400").begin();
    let (memory, file, mut restarted) = (begin(Engine::Memory).await, begin(Engine::Sqlite).await, begin(Engine::Sqlite).await);
    let mut servers = Vec::new();
    for (engine, is_tested) in [(Engine::Postgres, postgres::is_tested()), (Engine::Redis, redis::is_tested())] {
        if is_tested {
            servers.push(begin(engine).await);
        }
    }
    for (number, happening) in happenings.iter().enumerate() {
        for app in [&memory, &file, &restarted].into_iter().chain(&servers) {
            happens(app, happening).await;
        }
        if matches!(happening, Happening::Forget) {
            file.ask("DELETE", "/api/v1/vapi/cache").send().await.data(200);
            restarted = restarted.restart().await;
        }
        let mut others = vec![("in a file", told(&file).await), ("after restarts", told(&restarted).await)];
        for server in &servers {
            others.push(("on a server", told(server).await));
        }
        let in_memory = told(&memory).await;
        for (name, other) in others {
            for (a, b) in in_memory.iter().zip(&other) {
                assert_eq!(a, b, "{name}, after {number}: {happening:?}");
            }
        }
    }
    for app in [memory, file, restarted].into_iter().chain(servers) {
        app.work().await;
        app.finish().await;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn the_engines_tell_the_same_of_whatever_happens(happenings in proptest::collection::vec(happening(), 1..25)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(compared(happenings))?;
    }
}
