//! A disk that runs full: webhooks are refused, what was acknowledged stays, and it goes on when there is room again.
//!
//! Two ways to run out of room: a small file system of its own, which only root can mount, and a limit on the size of files, which
//! everyone can set.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

use crate::support::{
    home::Home,
    ledger::{self, Ledger, Sent},
    messages::{self, Message, new_call},
    program::Program,
    service::Service,
    skipped, soon,
};

/// Bytes of the small file system.
const SMALL: &str = "size=12m";
/// No file may be longer than this, in bytes, in the story of the limit.
const LONGEST_FILE: u64 = 3_000_000;
/// More messages than either has room for.
const MOST_MESSAGES: usize = 2_000;
/// When there is room again, it is found within this time.
const RECOVERY: Duration = Duration::from_secs(20);

#[test]
fn a_full_disk_refuses_webhooks_and_loses_nothing_and_is_over_when_there_is_room() {
    let home = Home::new();
    let Some(disk) = SmallDisk::mounted(&home.file("disk")) else {
        return skipped("mounting a small disk needs root; what a full disk does is shown only by a limit on the size of files");
    };
    let program = Program::guarded(&home).set("DATABASE_URL", format!("sqlite:{}/ringback.db", disk.path().display()));
    let service = program.serve();
    let mut sent = Vec::new();
    let first = messages::report(&new_call());
    assert_eq!(service.post(&first).status, 200);
    disk.fill();
    fill_until_unready(&service, &mut sent);
    serves_what_it_knows(&service, &first);
    sent.push(Sent { message: first, acknowledged: true });

    let ledger = ledger::ledger(sent);
    ledger::check(&service, &ledger);
    disk.make_room();
    takes_webhooks_again(&service);
    let ledger = sent_again(&service, ledger);
    service.kill();

    disk.fill();
    survives_a_start_without_room(&program, &ledger);
    disk.make_room();
    let service = program.serve();
    ledger::check(&service, &ledger);
    takes_webhooks_again(&service);
    service.stop();
    ledger::is_sound(&disk.path().join("ringback.db"));
}

#[test]
fn a_file_that_may_not_grow_refuses_webhooks_and_loses_nothing_and_is_over_when_it_may() {
    let home = Home::new();
    // The signal that comes with the limit would end the program; ignored, writing fails as it does on a full disk.
    let program = Program::guarded(&home).under(["sh", "-c", r#"trap "" XFSZ; exec "$0" "$@""#]);
    let service = program.serve();
    let mut sent = Vec::new();
    let first = messages::report(&new_call());
    assert_eq!(service.post(&first).status, 200);
    limit_files(&service, Some(LONGEST_FILE));
    fill_until_unready(&service, &mut sent);
    // The log may be given back and could be filled anew; now not a byte more.
    limit_files(&service, Some(0));
    serves_what_it_knows(&service, &first);
    sent.push(Sent { message: first, acknowledged: true });

    let ledger = ledger::ledger(sent);
    ledger::check(&service, &ledger);
    limit_files(&service, None);
    takes_webhooks_again(&service);
    let ledger = sent_again(&service, ledger);
    service.kill();
    let service = program.serve();
    ledger::check(&service, &ledger);
    service.stop();
    ledger::is_sound(&home.store());
}

/// Sends reports until there is no room for the least; where the log is given back in between, it can be filled anew.
fn fill_until_unready(service: &Service, sent: &mut Vec<Sent>) {
    let is_full = || {
        fill_until_refused(service, sent);
        service.read("/readyz").status == 503
    };
    assert!(soon(RECOVERY, is_full), "not ready without room: {}", service.said());
}

/// Sends reports that don't compress, until one is refused as it should be.
fn fill_until_refused(service: &Service, sent: &mut Vec<Sent>) {
    let mut wire = service.wire();
    for _ in 0..MOST_MESSAGES {
        let message = messages::report_saying(&new_call(), &noise(16_384));
        let answer = wire.deliver(&message).expect("an answer");
        sent.push(Sent { message, acknowledged: answer.status == 200 });
        if answer.status != 200 {
            assert_eq!(answer.verdict(), (503, "STORE_UNAVAILABLE".to_owned()));
            assert!(answer.header("retry-after").parse::<u32>().is_ok(), "{answer:?}");
            return;
        }
    }
    panic!("{MOST_MESSAGES} messages were taken: the disk is not full");
}

/// Without room: calls in memory are answered, questions too, and it is alive.
fn serves_what_it_knows(service: &Service, known: &Message) {
    let answer = service.read(&format!("/api/v1/vapi/calls/{}", known.call));
    assert_eq!((answer.status, &answer.json()["data"]["dataStatus"]), (200, &json!("complete")));
    let question = messages::tool_question(&new_call());
    let answer = service.post(&question);
    assert_eq!((answer.status, &answer.json()["results"][0]["error"]), (200, &json!("No tool is configured.")));
    service.is_well();
}

fn takes_webhooks_again(service: &Service) {
    let message = messages::report(&new_call());
    assert!(soon(RECOVERY, || service.post(&message).status == 200), "there is room again: {}", service.said());
    assert!(soon(RECOVERY, || service.read("/readyz").status == 200), "ready again: {}", service.said());
    service.is_well();
}

/// Vapi sends again what was refused.
fn sent_again(service: &Service, ledger: Ledger) -> Ledger {
    let again = ledger.into_values().flatten().map(|sent| {
        if !sent.acknowledged {
            assert_eq!(service.post(&sent.message).status, 200, "{:?}", sent.message);
        }
        Sent { acknowledged: true, ..sent }
    });
    ledger::ledger(again)
}

/// A start on a full disk either works, or says what is wrong; and harms nothing.
fn survives_a_start_without_room(program: &Program, ledger: &Ledger) {
    match Service::try_listening(program.spawn_service()) {
        Ok(service) => {
            ledger::check(&service, ledger);
            service.kill();
        }
        Err(said) => assert!(said.contains("DATABASE_URL"), "{said}"),
    }
}

fn limit_files(service: &Service, bytes: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(service.pid()).expect("a process id")).expect("a process id");
    prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes, maximum: None }).expect("a limit within the hard one");
}

/// Letters and digits without order, that no compression makes much smaller.
fn noise(bytes: usize) -> String {
    let words = std::iter::repeat_with(|| uuid::Uuid::new_v4().simple().to_string());
    words.take(bytes / 32).collect()
}

/// A file system of a few megabytes; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where mounting is not allowed.
    fn mounted(at: &Path) -> Option<Self> {
        fs::create_dir(at).expect("the folder can be made");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", SMALL, "ringback-test"]).arg(at).output();
        mounted.is_ok_and(|mount| mount.status.success()).then(|| Self(at.to_owned()))
    }

    fn path(&self) -> &Path {
        &self.0
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let mut ballast = File::create(self.0.join("ballast")).expect("a file");
        for size in [65_536, 4_096, 1] {
            while ballast.write_all(&vec![0; size]).map_err(|error| assert_eq!(error.kind(), ErrorKind::StorageFull)).is_ok() {}
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("ballast")).expect("the ballast goes");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
