//! The PostgreSQL behind a service is slow, full, cut, or another one than expected: what the service says then, and that it finds its way back.

#![expect(clippy::unwrap_used, reason = "a story stops where it goes wrong")]

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use ringback::{
    app::App,
    clock::Clock,
    config::Config,
    simulate::{Stage, bodies},
};
use serde_json::{Value, json};

use crate::{
    store_away::{TOLD_WITHIN, begin, is_refused, is_taken_again},
    store_published::one,
    support::{
        app::Engine,
        calls::{late_talk, message, path, talk},
        eventually,
        postgres::{Server, database, is_tested},
        proxy::{At, Proxy},
        vapi::{CALL, START},
    },
};

/// A tablespace of the server is no larger.
const SMALL: &str = "size=16m";

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_refused_and_found_stored_when_it_is_sent_again() {
    let Some(database) = database().await else { return };
    let road = Proxy::to(database.port).await;
    let app = begin(Engine::Postgres, &database.url_by(road.port())).await;
    for (place, said) in [(At::Asking, "Stored."), (At::Answering, "Stored before; nothing changed.")] {
        let id = format!("call-{place:?}");
        let report = bodies::end_of_call_report(&talk(&id), app.clock().now());
        road.cut_at_commit(place);
        is_refused(&app, &report).await;
        eventually("it is taken again", async || app.post_webhook(&message("hang", "other", json!({}))).await.status == 200).await;
        assert_eq!(app.hears(&report).await["message"], said);
        assert_eq!(app.poll(&id).await.data(200)["dataStatus"], "complete");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_database_that_hangs_is_given_up_in_time_and_nothing_is_stored_twice() {
    let Some(database) = database().await else { return };
    let app = begin(Engine::Postgres, &database.url()).await;
    app.hears_status(&talk(CALL), Stage::InProgress).await;
    let root = database.root().await;
    root.batch_execute("BEGIN; LOCK TABLE ringback.calls, ringback.events IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let report = bodies::end_of_call_report(&talk(CALL), app.clock().now());
    let question = message("assistant-request", CALL, json!({}));
    let (poll, list) = (app.ask("GET", &path("unheard-of")), app.ask("GET", "/api/v1/vapi/calls"));
    let began = Instant::now();
    let (refused, (), poll, list) =
        tokio::join!(app.post_webhook(&report), async { drop(app.hears(&question).await) }, poll.send(), list.send());
    assert!(began.elapsed() < TOLD_WITHIN, "{:?}", began.elapsed());
    refused.refused(503, "STORE_UNAVAILABLE");
    poll.refused(503, "STORE_UNAVAILABLE");
    list.refused(503, "STORE_UNAVAILABLE");
    // More than there are connections, all at once.
    let many: Vec<_> = (0..40).map(|number| message("status-update", &format!("call-{number}"), json!({"status": "ringing"}))).collect();
    join_all(many.iter().map(|body| is_refused(&app, body))).await;
    root.batch_execute("ROLLBACK").await.unwrap();
    is_taken_again(&app, &report).await;
    for body in &many {
        app.hears(body).await;
    }
    let entries = app.get(&format!("{}/timeline", path(CALL))).await.json()["data"].take();
    let reports = |entry: &&Value| entry["source"] == "end-of-call-report" && entry["duplicate"] == false;
    assert_eq!(entries.as_array().unwrap().iter().filter(reports).count(), 1);
    assert_eq!(one(&root, "SELECT count(*) FROM ringback.calls").await, "41");
    app.finish().await;
}

/// As far as another continent: all takes longer, and nothing fails.
#[tokio::test]
async fn a_database_that_is_far_away_is_only_slow() {
    let Some(database) = database().await else { return };
    let road = Proxy::to(database.port).await;
    begin(Engine::Postgres, &database.url()).await.finish().await;
    road.delay(Duration::from_millis(100));
    let app = begin(Engine::Postgres, &database.url_by(road.port())).await;
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    let many: Vec<_> = (0..30).map(|number| bodies::end_of_call_report(&talk(&format!("call-{number}")), app.clock().now())).collect();
    join_all(many.iter().map(|body| app.hears(body))).await;
    app.hears_report(&late_talk(CALL)).await;
    app.advance(4.0).await;
    assert_eq!(app.poll(CALL).await.data(200)["dataStatus"], "complete");
    app.poll("unheard-of").await.refused(404, "CALL_NOT_FOUND");
    assert_eq!(app.ready().await, 200);
    app.finish().await;
}

#[tokio::test]
async fn a_server_without_a_free_connection_is_waited_for() {
    let Some(server) = Server::start() else { return };
    let database = server.database();
    let app = begin(Engine::Postgres, &database.url()).await;
    app.hears_report(&talk("done")).await;
    let root = server.root("postgres").await;
    root.batch_execute("ALTER ROLE ringback CONNECTION LIMIT 0").await.unwrap();
    // Once it is committed; who was just let in before is thrown out next.
    let throw_out = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ringback'";
    eventually("nobody is connected", async || root.query(throw_out, &[]).await.unwrap().is_empty()).await;
    let report = bodies::end_of_call_report(&talk(CALL), app.clock().now());
    is_refused(&app, &report).await;
    assert_eq!(app.ready().await, 503);
    assert_eq!(app.poll("done").await.status, 200);
    root.batch_execute("ALTER ROLE ringback CONNECTION LIMIT -1").await.unwrap();
    is_taken_again(&app, &report).await;
    app.finish().await;
}

/// A file system of a few megabytes that belongs to the server; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mounted(at: &Path) -> Option<Self> {
        std::fs::create_dir(at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", SMALL, "ringback-test"]).arg(at).status();
        let disk = mounted.is_ok_and(|status| status.success()).then(|| Self(at.to_owned()));
        disk.filter(|disk| Command::new("chown").arg("postgres").arg(&disk.0).status().is_ok_and(|status| status.success()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_of_the_server_refuses_webhooks_and_is_over_when_there_is_room() {
    let Some(server) = Server::start() else { return };
    let database = server.database();
    let Some(disk) = SmallDisk::mounted(&server.shell.folder.join("small")) else {
        let _ =
            writeln!(std::io::stderr(), "\n*** SKIPPED: mounting a small disk needs root; a full disk of the server was not tested ***\n");
        return;
    };
    let root = server.root("postgres").await;
    root.batch_execute(&format!("CREATE TABLESPACE small LOCATION '{}'", disk.0.display())).await.unwrap();
    root.batch_execute(&format!("ALTER DATABASE {} SET TABLESPACE small", database.name)).await.unwrap();
    let app = begin(Engine::Postgres, &database.url()).await;
    app.hears_report(&talk("done")).await;
    let ballast = disk.0.join("ballast");
    let filled = Command::new("sh").args(["-c", "cat /dev/zero > \"$0\" 2>/dev/null; true"]).arg(&ballast).status();
    assert!(filled.unwrap().success());
    let (mut taken, mut refused) = (Vec::new(), None);
    for number in 0..500 {
        let noise: String = std::iter::repeat_with(|| uuid::Uuid::new_v4().to_string()).take(400).collect();
        let body = message("hang", &format!("call-{number}"), json!({"noise": noise}));
        match app.post_webhook(&body).await {
            answer if answer.status == 200 => taken.push(format!("call-{number}")),
            answer => {
                answer.refused(503, "STORE_UNAVAILABLE");
                refused = Some(body);
                break;
            }
        }
    }
    let refused = refused.expect("the disk was to be full");
    assert_eq!((app.poll("done").await.status, app.ready().await), (200, 503));
    std::fs::remove_file(ballast).unwrap();
    is_taken_again(&app, &refused).await;
    for id in taken {
        assert_eq!(app.get(&format!("{}/timeline", path(&id))).await.json()["data"].as_array().unwrap().len(), 1, "{id}");
    }
    app.finish().await;
    let root = server.root(&database.name).await;
    root.batch_execute("SELECT 1").await.unwrap();
}

fn config(url: &str) -> Config {
    Config::from_env(|name| (name == "DATABASE_URL").then(|| url.to_owned())).unwrap()
}

#[tokio::test]
async fn a_schema_of_a_newer_major_release_stops_the_start_with_what_to_do() {
    let Some(database) = database().await else { return };
    begin(Engine::Postgres, &database.url()).await.finish().await;
    database.root().await.batch_execute("INSERT INTO ringback.migrations (version) VALUES (2001)").await.unwrap();
    let refused = App::build(config(&database.url()), Clock::manual(START)).await.err().map(|error| error.to_string());
    let why = refused.expect("it may not start");
    assert!(why.starts_with("DATABASE_URL") && why.contains("newer major release") && !why.contains("ss%3Aw"), "{why}");
}

/// The next release works on the same database at the same time: it has added columns, and signals that mean nothing to us.
#[tokio::test]
async fn the_next_release_may_work_beside_this_one() {
    if !is_tested() {
        return;
    }
    let database = database().await.unwrap();
    let (a, root) = (begin(Engine::Postgres, &database.url()).await, database.root().await);
    a.hears_status(&talk(CALL), Stage::Ringing).await;
    root.batch_execute(
        "INSERT INTO ringback.migrations (version) VALUES (1999);
         ALTER TABLE ringback.calls ADD COLUMN later text, ADD COLUMN latest bigint NOT NULL DEFAULT 7;
         ALTER TABLE ringback.events ADD COLUMN later text; ALTER TABLE ringback.dues ADD COLUMN later text;
         ALTER TABLE public.vapi_call_results ADD COLUMN later jsonb; CREATE TABLE ringback.later (id text PRIMARY KEY)",
    )
    .await
    .unwrap();
    let b = a.beside().await;
    root.batch_execute("NOTIFY ringback, 'call-1 revision=7 of=something'").await.unwrap();
    b.hears_report(&late_talk(CALL)).await;
    eventually("it is heard of", async || a.poll(CALL).await.status == 200).await;
    a.vapi_knows(&talk(CALL), Stage::Analysed);
    a.advance(4.0).await;
    eventually("it is heard of", async || b.call(CALL).await["dataStatus"] == "complete").await;
    assert_eq!(one(&root, "SELECT latest || data_status FROM ringback.calls").await, "7complete");
    let a = a.restart().await;
    assert_eq!(a.poll(CALL).await.status, 200);
    b.finish().await;
    a.finish().await;
}
