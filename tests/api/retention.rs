//! What is too old goes, after it was archived.

use std::{fs, path::Path};

use ringback::{
    simulate::Stage,
    store::{Document, DocumentKind, DocumentWrite},
};
use serde_json::Value;

use crate::support::{
    app::{Engine, Story, TestApp, on_every_engine},
    calls::{message, path, result, talk, unanswered},
    vapi::CALL,
};

const DAY: i64 = 86_400_000;

on_every_engine! {
    records_go_when_their_time_is_over_and_not_before
    bodies_go_earlier_than_their_records
    what_goes_is_archived_first_one_file_a_day
    what_cannot_be_archived_stays
    zero_days_keep_for_good
    more_than_one_batch_goes_at_once
    documents_go_when_their_time_is_over
    a_call_that_is_heard_of_again_after_it_went_is_a_new_one
}

async fn purge(app: &TestApp) -> usize {
    app.app().keeper().purge(app.app().lifecycle()).await.expect("the store answers")
}

async fn records_go_when_their_time_is_over_and_not_before(engine: Engine) {
    let app = Story::on(engine).with("RETENTION_DAYS", "2").begin().await;
    app.hears_report(&talk(CALL)).await;
    app.clock().advance(DAY);
    app.hears_status(&talk("live"), Stage::InProgress).await;
    // Ended in the past, but heard of now: the later of the two counts.
    app.hears_report(&talk("late-news")).await;
    app.clock().advance(DAY - 1_000);
    assert_eq!(purge(&app).await, 0);
    app.poll(CALL).await.data(200);
    app.clock().advance(2_000);
    assert_eq!(purge(&app).await, 1);
    app.seen().forget(CALL);
    app.poll(CALL).await.refused(404, "CALL_NOT_FOUND");
    app.get(&result(CALL, "")).await.data(202);
    app.get(&format!("{}/timeline", path(CALL))).await.refused(404, "CALL_NOT_FOUND");
    assert_eq!(app.get("/api/v1/vapi/calls").await.json()["count"], 2);
    app.clock().advance(DAY);
    assert_eq!(purge(&app).await, 2);
    app.finish().await;
}

async fn bodies_go_earlier_than_their_records(engine: Engine) {
    let app = Story::on(engine).with("PAYLOAD_RETENTION_DAYS", "1").begin().await;
    app.hears_report(&talk(CALL)).await;
    let before = app.poll(CALL).await.bytes;
    let body = async || app.get(&format!("{}/timeline?body=1", path(CALL))).await.data(200)[0]["body"].clone();
    assert!(body().await.is_object());
    app.clock().advance(DAY - 1);
    assert_eq!((purge(&app).await, body().await.is_object()), (0, true));
    app.clock().advance(2);
    assert_eq!((purge(&app).await, body().await), (0, Value::Null));
    app.ask("DELETE", "/api/v1/vapi/cache").send().await.data(200);
    assert_eq!(app.poll(CALL).await.bytes, before, "the record has all it needs");
    app.finish().await;
}

fn archived(folder: &Path) -> Vec<(String, Vec<Value>)> {
    let mut files: Vec<_> = fs::read_dir(folder).expect("the folder was made").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let lines = |file: &Path| {
        let text = fs::read_to_string(file).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect()
    };
    files.iter().map(|file| (file.file_name().expect("a name").to_string_lossy().into_owned(), lines(file))).collect()
}

async fn what_goes_is_archived_first_one_file_a_day(engine: Engine) {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("deep/archive");
    let story = Story::on(engine).with("RETENTION_DAYS", "1").with("RETENTION_ARCHIVE", &archive.display().to_string());
    let app = story.begin().await;
    app.hears_report(&talk(CALL)).await;
    let kept = app.poll(CALL).await.data(200);
    app.clock().advance(DAY / 2);
    app.hears_report(&unanswered("nobody")).await;
    app.clock().advance(DAY / 2 + 1_000);
    assert_eq!(purge(&app).await, 1);
    app.clock().advance(DAY);
    assert_eq!(purge(&app).await, 1);
    assert_eq!(purge(&app).await, 0);
    let files = archived(&archive);
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["ringback-2026-09-27.jsonl", "ringback-2026-09-28.jsonl"]);
    assert_eq!(files[0].1, [kept], "the whole record, as it was served");
    assert_eq!((files[1].1.len(), &files[1].1[0]["id"]), (1, &Value::from("nobody")));
    for (name, _) in &files {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(archive.join(name)).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "records are stored in clear");
    }
    app.finish().await;
}

async fn what_cannot_be_archived_stays(engine: Engine) {
    let folder = tempfile::tempdir().expect("a folder");
    let blocked = folder.path().join("archive");
    let story = Story::on(engine).with("RETENTION_DAYS", "1").with("RETENTION_ARCHIVE", &blocked.display().to_string());
    let app = story.begin().await;
    fs::remove_dir(&blocked).expect("an empty folder since the start");
    fs::write(&blocked, "no folder").expect("a file");
    app.hears_report(&talk(CALL)).await;
    app.clock().advance(2 * DAY);
    app.app().keeper().purge(app.app().lifecycle()).await.expect_err("the archive can't be written");
    app.poll(CALL).await.data(200);
    fs::remove_file(&blocked).expect("it is gone");
    assert_eq!(purge(&app).await, 1);
    assert_eq!(archived(&blocked).len(), 1);
    app.finish().await;
}

async fn zero_days_keep_for_good(engine: Engine) {
    let app = Story::on(engine).with("RETENTION_DAYS", "0").with("PAYLOAD_RETENTION_DAYS", "0").begin().await;
    app.hears_report(&talk(CALL)).await;
    app.clock().advance(20_000 * DAY);
    assert_eq!(purge(&app).await, 0);
    app.poll(CALL).await.data(200);
    assert!(app.get(&format!("{}/timeline?body=1", path(CALL))).await.data(200)[0]["body"].is_object());
    app.finish().await;
}

async fn more_than_one_batch_goes_at_once(engine: Engine) {
    let folder = tempfile::tempdir().expect("a folder");
    let story = Story::on(engine).with("RETENTION_DAYS", "1").with("RETENTION_ARCHIVE", &folder.path().display().to_string());
    let app = story.begin().await;
    for number in 0..450 {
        app.hears(&message("status-update", &format!("call-{number}"), serde_json::json!({"status": "ringing"}))).await;
    }
    app.clock().advance(2 * DAY);
    assert_eq!(purge(&app).await, 450);
    assert_eq!(archived(folder.path())[0].1.len(), 450);
    assert_eq!(app.get("/api/v1/vapi/cache/stats").await.json()["stats"]["size"], 0);
    app.finish().await;
}

async fn a_call_that_is_heard_of_again_after_it_went_is_a_new_one(engine: Engine) {
    let app = Story::on(engine).with("RETENTION_DAYS", "1").begin().await;
    app.hears_report(&talk(CALL)).await;
    app.clock().advance(2 * DAY);
    assert_eq!(purge(&app).await, 1);
    app.seen().forget(CALL);
    // The very same message, as a replay would send it.
    app.hears_report(&talk(CALL)).await;
    let call = app.poll(CALL).await.data(200);
    assert_eq!((&call["version"], &call["dataStatus"]), (&Value::from(1), &Value::from("complete")));
    app.finish().await;
}

async fn documents_go_when_their_time_is_over(engine: Engine) {
    let app = Story::on(engine).begin().await;
    let (store, now) = (app.app().api().registry.store(), app.clock().now());
    let answer = |id: &str, expires_at| Document {
        kind: DocumentKind::Answer,
        id: id.to_owned(),
        revision: 1,
        alias: None,
        due: None,
        created_at: now,
        expires_at,
        body: Vec::new(),
    };
    let ends = [("an hour", Some(now.plus(DAY / 24))), ("a day", Some(now.plus(DAY))), ("for good", None)];
    let writes = ends.map(|(id, ends)| DocumentWrite { document: answer(id, ends), expected: None });
    assert!(store.put_documents(writes.into(), now).await.expect("the store answers"));
    app.clock().advance(DAY / 2);
    purge(&app).await;
    let mut gone = Vec::new();
    for (id, _) in ends {
        gone.push(!store.drop_document(DocumentKind::Answer, id).await.expect("the store answers"));
    }
    assert_eq!(gone, [true, false, false]);
    app.finish().await;
}
