//! Telling `providers` and `interaction_logs` how their calls went.

#![expect(clippy::unwrap_used, reason = "a story stops where it goes wrong")]

use std::time::{Duration, Instant};

use ringback::simulate::{CallScript, Stage};
use serde_json::json;
use tokio_postgres::Client;

use crate::{
    store_published::one,
    support::{
        PATIENCE,
        app::{Engine, Story, TestApp},
        calls::{late_talk, talk, unanswered},
        postgres::database,
        vapi::CALL,
    },
};

const PROVIDER: &str = "00000000-0000-0000-0000-00000000000a";
const REQUEST: &str = "00000000-0000-0000-0000-00000000000b";

const TABLES: &str = "
CREATE TABLE public.providers (id uuid PRIMARY KEY, name text, call_status text, call_result jsonb, call_transcript text, call_summary text,
    call_duration_minutes numeric(8, 2), call_cost numeric(10, 4), call_method varchar(20), call_id text, called_at timestamptz);
CREATE TABLE public.interaction_logs (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), request_id uuid NOT NULL, step_name text NOT NULL,
    status text CHECK (status IN ('success', 'warning', 'error')), detail text, transcript jsonb, call_id text UNIQUE,
    created_at timestamptz DEFAULT now());
INSERT INTO public.providers (id, name) VALUES ('00000000-0000-0000-0000-00000000000a', 'Rohr AG');
ALTER TABLE public.providers OWNER TO ringback;
ALTER TABLE public.interaction_logs OWNER TO ringback;
";

async fn begin(tables: &str) -> Option<(TestApp, Client)> {
    begin_with(tables, &[]).await
}

/// The same with more variables.
async fn begin_with(tables: &str, variables: &[(&str, &str)]) -> Option<(TestApp, Client)> {
    let database = database().await?;
    let root = database.root().await;
    root.batch_execute(tables).await.unwrap();
    let story = Story::on(Engine::Postgres).with("DATABASE_URL", &database.url());
    Some((variables.iter().fold(story, |story, (name, value)| story.with(name, value)).begin().await, root))
}

/// A call to the provider, for the request.
fn about(script: CallScript) -> CallScript {
    script.with_metadata(json!({"providerId": PROVIDER, "serviceRequestId": REQUEST, "providerName": "Rohr AG"}))
}

/// Waits until a query answers so.
async fn becomes(root: &Client, sql: &str, wanted: &str) {
    let begin = Instant::now();
    while one(root, sql).await != wanted && begin.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(one(root, sql).await, wanted, "{sql}");
}

/// Nothing is left to tell.
async fn all_told(root: &Client) {
    becomes(root, "SELECT count(*) FROM ringback.links WHERE due_at IS NOT NULL", "0").await;
}

#[tokio::test]
async fn a_provider_and_a_request_are_told_how_their_call_goes() {
    let Some((app, root)) = begin(TABLES).await else { return };
    let script = about(late_talk(CALL));
    app.hears_status(&script, Stage::InProgress).await;
    let status = "SELECT concat_ws('|', call_status, call_id, call_method, called_at IS NOT NULL, call_summary) FROM providers";
    becomes(&root, status, &format!("in_progress|{CALL}|direct_vapi|t")).await;

    app.hears_report(&script).await;
    app.vapi_knows(&about(talk(CALL)), Stage::Analysed);
    app.advance(4.0).await;
    let call = app.poll(CALL).await.data(200);
    assert_eq!(call["dataStatus"], "complete");
    becomes(&root, "SELECT call_status FROM providers", "completed").await;
    all_told(&root).await;
    let told = "SELECT concat_ws('|', call_transcript, call_summary, call_cost, call_result ->> 'availability', call_duration_minutes > 0) FROM providers";
    let text = |pointer: &str| call.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    let cost = format!("{:.4}", call["cost"].as_f64().unwrap());
    let wanted = [text("/transcript"), text("/analysis/summary"), cost, text("/analysis/structuredData/availability"), "t".to_owned()];
    assert_eq!(one(&root, told).await, wanted.join("|"));
    let logged = "SELECT string_agg(concat_ws('|', request_id, step_name, status, detail, call_id, transcript #>> '{0,speaker}', \
        transcript #>> '{0,text}'), ';') FROM interaction_logs";
    let wanted = [REQUEST, "Call to Rohr AG", "success", &text("/analysis/summary"), CALL, "AI", &text("/messages/0/message")].join("|");
    assert_eq!(one(&root, logged).await, wanted);
    app.finish().await;
}

#[tokio::test]
async fn what_no_model_said_is_not_told_to_a_provider() {
    let Some((app, root)) = begin(TABLES).await else { return };
    app.hears_report(&about(unanswered(CALL))).await;
    becomes(&root, "SELECT call_status FROM providers", "no_answer").await;
    assert_eq!(one(&root, "SELECT (call_result IS NULL)::text FROM providers").await, "true");
    app.finish().await;
}

#[tokio::test]
async fn each_is_told_once_however_many_instances_and_events_there_are() {
    let Some((app, root)) = begin(TABLES).await else { return };
    root.batch_execute(
        "ALTER TABLE interaction_logs DROP CONSTRAINT interaction_logs_call_id_key; ALTER TABLE interaction_logs DROP call_id",
    )
    .await
    .unwrap();
    let (b, c) = (app.beside().await, app.beside().await);
    for number in 0..8 {
        let script = about(unanswered(&format!("call-{number}")));
        for instance in [&app, &b, &c] {
            instance.hears_report(&script).await;
            instance.hears_status(&script, Stage::Dropped).await;
        }
    }
    becomes(&root, "SELECT count(*) FROM interaction_logs WHERE status = 'warning'", "8").await;
    // A better result comes late: the provider is told again, the log is not.
    b.hears_report(&about(talk("call-3"))).await;
    all_told(&root).await;
    let app = app.restart().await;
    all_told(&root).await;
    assert_eq!(one(&root, "SELECT count(*) FROM interaction_logs").await, "8");
    for app in [app, b, c] {
        app.finish().await;
    }
}

#[tokio::test]
async fn a_call_that_came_later_is_not_overwritten_by_an_earlier_one() {
    let Some((app, root)) = begin(TABLES).await else { return };
    root.batch_execute("UPDATE providers SET call_id = 'another', called_at = '2100-01-01', call_status = 'in_progress'").await.unwrap();
    app.hears_report(&about(unanswered(CALL))).await;
    becomes(&root, "SELECT count(*) FROM interaction_logs", "1").await;
    all_told(&root).await;
    assert_eq!(one(&root, "SELECT call_id || call_status FROM providers").await, "anotherin_progress");
    app.finish().await;
}

#[tokio::test]
async fn ids_that_are_no_uuids_and_tables_that_are_not_there_are_passed_over() {
    let Some((app, root)) = begin("").await else { return };
    app.hears_report(&about(unanswered("nobody-to-tell"))).await;
    all_told(&root).await;
    root.batch_execute(TABLES).await.unwrap();
    let odd = json!({"providerId": "42", "serviceRequestId": "request-1"});
    app.hears_report(&unanswered("odd").with_metadata(odd)).await;
    assert_eq!(one(&root, "SELECT count(*) FROM ringback.links WHERE call_id = 'odd'").await, "0");
    app.hears_report(&about(unanswered(CALL))).await;
    becomes(&root, "SELECT string_agg(call_id, ',') FROM interaction_logs", CALL).await;
    app.finish().await;
}

/// Columns are missing or of other types: what is there is written.
#[tokio::test]
async fn tables_with_columns_of_their_own_are_told_what_they_can_hold() {
    let tables = "
        CREATE TABLE public.providers (id text PRIMARY KEY, call_status varchar(6), call_result text, call_summary json, called_at timestamp);
        CREATE TABLE public.interaction_logs (request_id text, step_name text, transcript text, call_id text);
        INSERT INTO public.providers VALUES ('00000000-0000-0000-0000-00000000000a');
        GRANT ALL ON public.providers, public.interaction_logs TO ringback";
    let Some((app, root)) = begin(tables).await else { return };
    app.hears_report(&about(talk(CALL))).await;
    becomes(
        &root,
        "SELECT call_status || jsonb_typeof(call_result::jsonb) || json_typeof(call_summary) FROM providers",
        "compleobjectstring",
    )
    .await;
    becomes(&root, "SELECT call_id || jsonb_typeof(transcript::jsonb) FROM interaction_logs", &format!("{CALL}array")).await;
    app.finish().await;
}

#[tokio::test]
async fn what_the_tables_refuse_is_tried_again_and_never_in_the_way_of_a_webhook() {
    let Some((app, root)) = begin(TABLES).await else { return };
    root.batch_execute("ALTER TABLE interaction_logs ADD CONSTRAINT never CHECK (detail = 'never')").await.unwrap();
    // And somebody sits on the provider's row.
    root.batch_execute("BEGIN; UPDATE providers SET name = name").await.unwrap();
    let began = Instant::now();
    app.hears_status(&about(late_talk(CALL)), Stage::InProgress).await;
    app.hears_report(&about(late_talk(CALL))).await;
    app.hears_report(&about(talk(CALL))).await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(app.poll(CALL).await.data(200)["dataStatus"], "complete");
    becomes(&root, "SELECT count(*) FROM ringback.links WHERE tries > 0", "2").await;
    root.batch_execute("ROLLBACK; ALTER TABLE interaction_logs DROP CONSTRAINT never").await.unwrap();
    becomes(&root, "SELECT call_status FROM providers", "completed").await;
    becomes(&root, "SELECT count(*) FROM interaction_logs", "1").await;
    app.finish().await;
}

#[tokio::test]
async fn with_a_data_key_they_are_told_only_if_that_is_wanted() {
    let key = ("DATA_KEY", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=");
    let Some((app, root)) = begin_with(TABLES, &[key]).await else { return };
    app.hears_report(&about(unanswered(CALL))).await;
    let row =
        one(&root, "SELECT concat_ws('|', count(*), max(status), max(service_request_id), max(provider_name)) FROM vapi_call_results")
            .await;
    assert_eq!(row, format!("1|no_answer|{REQUEST}"), "the result is published without the provider's name");
    assert_eq!(one(&root, "SELECT count(*) FROM ringback.links").await, "0");
    app.finish().await;

    let Some((app, root)) = begin_with(TABLES, &[key, ("LINK_PLAINTEXT", "true")]).await else { return };
    app.hears_report(&about(unanswered(CALL))).await;
    becomes(&root, "SELECT concat_ws('|', call_status, call_id) FROM providers", &format!("no_answer|{CALL}")).await;
    all_told(&root).await;
    app.finish().await;
}
