//! The SQLite store in trouble: the disk is full. Nothing is half there, and it goes on when there is room.
//!
//! A full disk is made by the limit on file sizes, which only a process of its own can have: the story runs in a child.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a story stops where it goes wrong")]

use std::{path::Path, process::Command};

use ringback::{
    call::event::CallEvent,
    store::{Commit, Committed, Store, StoreError},
};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::{
    store_load::noise,
    store_support::{call_id, delivery, found, lookup, noting, open, stored, writing},
};

/// Tells the child where to play.
const FOLDER: &str = "RINGBACK_TEST_FULL_DISK";
/// No file grows beyond this, in bytes.
const ROOM: u64 = 8 << 20;

#[test]
fn a_full_disk_refuses_webhooks_loses_nothing_and_is_got_over() {
    let folder = tempfile::tempdir().unwrap();
    // Without the trap the signal for a file that is too long would end the child.
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" --exact --ignored store_trouble::child::on_a_full_disk"])
        .arg(std::env::current_exe().unwrap())
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}\n{}", String::from_utf8_lossy(&child.stderr));
}

mod child {
    use super::{FOLDER, Path, story};

    #[ignore = "runs as a child of the story above"]
    #[tokio::test]
    async fn on_a_full_disk() {
        let folder = std::env::var_os(FOLDER).expect("started by the story above");
        story(Path::new(&folder)).await;
    }
}

fn limit_files(bytes: Option<u64>) {
    setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

/// A commit of a body that no compression makes smaller, and of a call.
fn report(number: u64, length: usize) -> Commit {
    let event = CallEvent { body: noise(number, length).into(), ..delivery(&format!("event-{number}"), &format!("call-{number}")) };
    writing(event, &stored(&format!("call-{number}")))
}

/// Commits until one is refused; returns its number.
async fn fill(store: &Store, from: u64, length: usize) -> u64 {
    let mut number = from;
    loop {
        match store.commit(report(number, length)).await {
            Ok(outcome) => assert_eq!(outcome, Committed::Done),
            Err(StoreError::Unavailable(_)) => return number,
            Err(other) => panic!("{other:?}"),
        }
        number += 1;
    }
}

async fn story(folder: &Path) {
    let path = folder.join("ringback.db");
    let store = open(&path);
    limit_files(Some(ROOM));
    let large = fill(&store, 0, 300_000).await;
    // 8 MB of log, and up to 8 MB in the file, by how far the checkpoints beside it got.
    assert!((10..60).contains(&large), "{large} bodies of 300 KB fit into 8 MB");
    // What the log took can be given back a few times, before the file itself is full.
    let mut refused = large;
    for _ in 0..20 {
        refused = fill(&store, refused, 4_000).await;
    }
    for number in 0..refused {
        let id = format!("call-{number}");
        assert_eq!(found(&store, &id).await, stored(&id));
        assert_eq!(store.timeline(&call_id(&id), true).await.unwrap().len(), 1);
    }
    let id = format!("call-{refused}");
    assert_eq!((lookup(&store, &id).await, store.timeline(&call_id(&id), true).await.unwrap().len()), ("missing", 0));
    assert!(matches!(store.health().await, Err(StoreError::Unavailable(_))), "a store that can't write is not ready");

    limit_files(None);
    store.health().await.unwrap();
    assert_eq!(store.commit(report(refused, 4_000)).await.unwrap(), Committed::Done, "the sender's next try gets through");
    assert_eq!(store.commit(noting(delivery("event-0", "call-0"))).await.unwrap(), Committed::Duplicate);
    store.close().await.unwrap();
    let store = open(&path);
    for number in 0..=refused {
        let id = format!("call-{number}");
        assert_eq!(found(&store, &id).await, stored(&id));
    }
}
