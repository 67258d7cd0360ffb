//! The documents' table `public.vapi_call_results`: what stands in it, and who may see it.

#![expect(clippy::unwrap_used, reason = "a story stops where it goes wrong")]

use std::time::{Duration, Instant};

use ringback::{
    call::event::CallEvent,
    store::{CallWrite, Committed, PublishedRow, Retention, Store},
};
use tokio_postgres::Client;

use crate::{
    store_postgres::publishing,
    store_support::{at, call_id, delivery, next, noting, stored, writing},
    support::{
        eventually,
        postgres::{Server, database, open},
    },
};

/// Users and service requests as Supabase has them.
const SUPABASE: &str = "
CREATE SCHEMA auth;
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$ SELECT nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $$;
CREATE TABLE public.service_requests (id uuid PRIMARY KEY, user_id uuid);
INSERT INTO public.service_requests VALUES
    ('00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-000000000001'),
    ('00000000-0000-0000-0000-00000000000b', '00000000-0000-0000-0000-000000000002');
GRANT USAGE ON SCHEMA auth TO PUBLIC;
GRANT SELECT ON public.service_requests TO PUBLIC;
";
const ROLES: &str = "CREATE ROLE anon; CREATE ROLE authenticated; CREATE ROLE service_role";
/// Supabase lets everyone do everything with what is new in `public`: row-level security is all that holds.
const GENEROUS: &str =
    "ALTER DEFAULT PRIVILEGES FOR ROLE ringback IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role";

#[expect(clippy::unnecessary_wraps, reason = "columns may be null")]
pub(crate) fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

pub(crate) fn row() -> PublishedRow {
    PublishedRow {
        assistant_id: text("assistant-1"),
        customer_phone: text("+4915112345"),
        status: text("completed"),
        started_at: Some(at(0).0),
        ended_at: Some(at(61_500).0),
        duration_minutes: Some(1.025),
        duration_sec: Some(61.5),
        transcript: text("AI: Hello.\nUser: Grüße! 👋"),
        messages: text(
            r#"[{"role":"bot","message":"Hello.","time":1760000000500,"secondsFromStart":0.5},{"role":"user","message":"Grüße!"}]"#,
        ),
        analysis_structured_data: text(r#"{"positives":"quick","n":0.1}"#),
        nps_score: Some(9.0),
        overall_feedback: text("good"),
        service_request_id: text("00000000-0000-0000-0000-00000000000a"),
        cost: Some(0.1234),
        metadata: text("{}"),
        data_status: text("complete"),
        version: Some(3),
        raw_webhook_payload: text(r#"{"message":{"type":"end-of-call-report"}}"#),
        created_at: Some(at(0).0),
        updated_at: Some(at(61_500).0),
        ..PublishedRow::default()
    }
}

pub(crate) async fn one(client: &Client, sql: &str) -> String {
    client.query_one(&format!("SELECT ({sql})::text"), &[]).await.unwrap().get::<_, Option<String>>(0).unwrap_or("null".to_owned())
}

#[tokio::test]
async fn a_result_is_there_as_soon_as_its_record_with_every_value_in_its_type() {
    let Some(database) = database().await else { return };
    let store = database.open().await;
    assert_eq!(store.commit(publishing("call-1", row())).await.unwrap(), Committed::Done);
    let root = database.root().await;
    let told = "SELECT concat_ws('|', status, started_at AT TIME ZONE 'UTC', ended_at AT TIME ZONE 'UTC', duration_minutes, duration_sec, transcript, \
        messages #>> '{1,message}', analysis_structured_data ->> 'n', nps_score, cost, version, raw_webhook_payload #>> '{message,type}', \
        coalesce(urgency, 'null')) FROM public.vapi_call_results WHERE call_id = 'call-1'";
    assert_eq!(
        one(&root, told).await,
        "completed|2025-10-09 08:53:20|2025-10-09 08:54:21.5|1.025|61.5|AI: Hello.\nUser: Grüße! 👋|Grüße!|0.1|9|0.1234|3|end-of-call-report|null"
    );
    let messages =
        "SELECT string_agg(concat_ws('|', position, role, message, seconds_from_start), ';' ORDER BY position) FROM vapi_call_messages";
    assert_eq!(one(&root, messages).await, "1|bot|Hello.|0.5;2|user|Grüße!");
    assert_eq!(one(&root, "SELECT concat_ws('|', nps_score, overall_feedback, positives) FROM vapi_call_feedback").await, "9|good|quick");
    assert_eq!(one(&root, "SELECT duration_minutes FROM vapi_call_sessions").await, "1.025");
}

async fn publish_again(store: &Store, row: PublishedRow) {
    let call = next(&stored("call-1"));
    let mut commit = writing(delivery("later", "call-1"), &call);
    let published = Some(Box::new(PublishedRow { call_id: text("call-1"), ..row }));
    commit.write = commit.write.map(|write| CallWrite { published, ..write });
    assert_eq!(store.commit(commit).await.unwrap(), Committed::Done);
}

#[tokio::test]
async fn a_row_follows_its_call_and_keeps_its_report() {
    let Some(database) = database().await else { return };
    let store = database.open().await;
    store.commit(publishing("call-1", row())).await.unwrap();
    let root = database.root().await;
    let id = one(&root, "SELECT id FROM vapi_call_results").await;
    publish_again(&store, PublishedRow { status: text("error"), raw_webhook_payload: None, ..row() }).await;
    let told =
        "SELECT concat_ws('|', count(*), min(id::text), min(status), min(raw_webhook_payload #>> '{message,type}')) FROM vapi_call_results";
    assert_eq!(one(&root, told).await, format!("1|{id}|error|end-of-call-report"));

    store.drop_oldest_bodies(100).await.unwrap();
    assert_eq!(one(&root, "SELECT raw_webhook_payload FROM vapi_call_results").await, "null", "raw bodies leave everywhere");
    store.delete(&call_id("call-1"), at(0), false).await.unwrap();
    assert_eq!(one(&root, "SELECT count(*) FROM vapi_call_results").await, "0");
}

#[tokio::test]
async fn a_published_report_outlives_the_bodies_of_older_events() {
    let Some(database) = database().await else { return };
    let store = database.open().await;
    let older = CallEvent { source: "status-update".to_owned(), received_at: at(1), ..delivery("ringing", "call-1") };
    store.commit(noting(older)).await.unwrap();
    store.commit(publishing("call-1", row())).await.unwrap();
    let root = database.root().await;
    for left in ["true", "false"] {
        assert_eq!(store.drop_oldest_bodies(1).await.unwrap(), 1);
        assert_eq!(one(&root, "SELECT raw_webhook_payload IS NOT NULL FROM vapi_call_results").await, left);
    }
}

#[tokio::test]
async fn whoever_sits_on_the_table_keeps_no_result_from_being_stored() {
    let Some(database) = database().await else { return };
    let store = database.open().await;
    let root = database.root().await;
    root.batch_execute("BEGIN; LOCK TABLE public.vapi_call_results IN SHARE MODE").await.unwrap();
    let begin = Instant::now();
    assert_eq!(store.commit(publishing("call-1", row())).await.unwrap(), Committed::Done);
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    root.batch_execute("ROLLBACK").await.unwrap();
    publish_again(&store, row()).await;
    eventually("it is published", async || one(&root, "SELECT status FROM vapi_call_results").await == "completed").await;
}

#[tokio::test]
async fn what_time_takes_it_takes_from_the_table_too() {
    let Some(database) = database().await else { return };
    let store = database.open().await;
    store.commit(publishing("call-1", row())).await.unwrap();
    let root = database.root().await;
    store.purge(Retention { records_before: None, bodies_before: Some(at(1_000)) }, 10).await.unwrap();
    assert_eq!(one(&root, "SELECT raw_webhook_payload FROM vapi_call_results").await, "null");
    store.purge(Retention { records_before: Some(at(1_000)), bodies_before: None }, 10).await.unwrap();
    assert_eq!(one(&root, "SELECT count(*) FROM vapi_call_results").await, "0");
}

#[tokio::test]
async fn a_table_that_was_there_before_is_completed_and_written_in_its_own_types() {
    let Some(database) = database().await else { return };
    let root = database.root().await;
    let older = "SET ROLE ringback; CREATE TABLE public.vapi_call_results (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), call_id varchar(64) NOT NULL UNIQUE, \
        status varchar(4), started_at timestamp, duration_sec integer, cost numeric(10, 2), messages json, service_request_id uuid, extra text); \
        INSERT INTO public.vapi_call_results (call_id, extra) VALUES ('call-1', 'theirs'); RESET ROLE";
    root.batch_execute(older).await.unwrap();
    let store = database.open().await;
    store.commit(publishing("call-1", row())).await.unwrap();
    store.commit(publishing("call-2", PublishedRow { service_request_id: text("no UUID"), ..row() })).await.unwrap();
    let told = "SELECT string_agg(concat_ws('|', call_id, status, started_at, duration_sec, cost, messages #>> '{0,role}', \
        coalesce(service_request_id::text, 'null'), extra), ';' ORDER BY call_id) FROM vapi_call_results";
    assert_eq!(
        one(&root, told).await,
        "call-1|comp|2025-10-09 08:53:20|62|0.12|bot|00000000-0000-0000-0000-00000000000a|theirs;\
         call-2|comp|2025-10-09 08:53:20|62|0.12|bot|null"
    );
    assert!(store.delete(&call_id("call-1"), at(0), false).await.unwrap());
    assert_eq!(one(&root, "SELECT count(*) FROM vapi_call_results").await, "1");
}

/// The calls that a role sees in the table and through each view, as one user.
async fn sees(root: &Client, role: &str, user: u8) -> Vec<String> {
    let mut seen = Vec::new();
    for relation in ["vapi_call_results", "vapi_call_messages", "vapi_call_feedback", "vapi_call_sessions"] {
        let who = format!("BEGIN; SET LOCAL ROLE {role}; SET LOCAL request.jwt.claim.sub = '00000000-0000-0000-0000-00000000000{user}'");
        root.batch_execute(&who).await.unwrap();
        let sql = format!("SELECT coalesce(string_agg(DISTINCT call_id, ',' ORDER BY call_id), '') FROM public.{relation}");
        seen.push(root.query_one(&sql, &[]).await.map_or("refused".to_owned(), |row| row.get(0)));
        root.batch_execute("ROLLBACK").await.unwrap();
    }
    seen.dedup();
    seen
}

#[tokio::test]
async fn each_role_sees_what_it_may_and_no_more() {
    let Some(server) = Server::start() else { return };
    let database = server.database();
    let root = server.root(&database.name).await;
    let store = database.open().await;
    for (id, request) in
        [("hers", text("00000000-0000-0000-0000-00000000000a")), ("his", text("00000000-0000-0000-0000-00000000000b")), ("stray", None)]
    {
        store.commit(publishing(id, PublishedRow { service_request_id: request, ..row() })).await.unwrap();
    }
    assert_eq!(one(&root, "SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE relname = 'vapi_call_results'").await, "true");
    store.close().await.unwrap();

    // Supabase's roles come later, with all their rights.
    root.batch_execute(ROLES).await.unwrap();
    root.batch_execute(SUPABASE).await.unwrap();
    root.batch_execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO anon, authenticated, service_role").await.unwrap();
    for _ in 0..2 {
        open(&database.options()).await.close().await.unwrap();
        assert_eq!(sees(&root, "service_role", 1).await, ["hers,his,stray"]);
        assert_eq!(sees(&root, "authenticated", 1).await, ["hers"]);
        assert_eq!(sees(&root, "authenticated", 2).await, ["his"]);
        assert_eq!(sees(&root, "authenticated", 3).await, [""]);
        assert_eq!(sees(&root, "anon", 1).await, ["refused"]);
    }
    for role in ["anon", "authenticated", "service_role"] {
        root.batch_execute(&format!("SET ROLE {role}")).await.unwrap();
        assert!(root.query("SELECT * FROM ringback.calls", &[]).await.is_err(), "{role}");
        root.batch_execute("RESET ROLE").await.unwrap();
    }

    // And where they are there first, what is new is theirs by default, until the store has looked after it.
    let second = server.database();
    let root = server.root(&second.name).await;
    root.batch_execute(SUPABASE).await.unwrap();
    root.batch_execute(GENEROUS).await.unwrap();
    let store = second.open().await;
    store.commit(publishing("hers", row())).await.unwrap();
    assert_eq!(sees(&root, "authenticated", 1).await, ["hers"]);
    assert_eq!(sees(&root, "authenticated", 2).await, [""]);
    assert_eq!(sees(&root, "anon", 1).await, ["refused"]);
}

#[tokio::test]
async fn a_policy_of_somebody_elses_opens_no_row_to_users() {
    let Some(server) = Server::start() else { return };
    let database = server.database();
    let root = server.root(&database.name).await;
    root.batch_execute(ROLES).await.unwrap();
    let store = database.open().await;
    // Whoever writes may be one of Supabase's users besides.
    root.batch_execute("GRANT authenticated TO ringback").await.unwrap();
    store.commit(publishing("hers", row())).await.unwrap();
    publish_stray(&store).await;
    root.batch_execute("CREATE POLICY theirs ON public.vapi_call_results TO authenticated USING (true) WITH CHECK (true)").await.unwrap();
    assert_eq!(sees(&root, "authenticated", 1).await, [""], "there are no requests that could be theirs");
    assert_eq!(sees(&root, "ringback", 1).await, ["hers,stray"]);
    store.close().await.unwrap();

    root.batch_execute(SUPABASE).await.unwrap();
    for another in ["another", "yet-another"] {
        let store = open(&database.options()).await;
        assert_eq!(store.commit(publishing(another, row())).await.unwrap(), Committed::Done);
        assert!(store.delete(&call_id(another), at(0), false).await.unwrap());
        store.close().await.unwrap();
        assert_eq!(sees(&root, "authenticated", 1).await, ["hers"]);
        assert_eq!(sees(&root, "authenticated", 2).await, [""]);
        assert_eq!(sees(&root, "service_role", 1).await, ["hers,stray"]);
        assert_eq!(sees(&root, "ringback", 1).await, ["hers,stray"]);
    }
}

async fn publish_stray(store: &Store) {
    let commit = publishing("stray", PublishedRow { service_request_id: None, ..row() });
    assert_eq!(store.commit(commit).await.unwrap(), Committed::Done);
}
