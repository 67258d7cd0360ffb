//! The 200 comes after the flush: seen from outside, in what the process asks of the kernel.
//!
//! A SIGKILL leaves the kernel's page cache alone, so killing never shows whether data reached the disk. `strace` does.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use ringback::simulate::{Auth, CallScript};

use crate::support::{
    home::Home,
    messages::{self, Message, new_call, now},
    program::Program,
    service::Service,
    skipped, soon,
};

/// Messages that one client sends, one after another.
const ALONE: usize = 10;
/// Clients that send at once, and messages of each.
const CROWD: (usize, usize) = (6, 5);
/// What is traced: what comes in, what goes to disk, what goes out.
const CALLS: &str = "trace=read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,pwrite64,fsync,fdatasync";

#[test]
fn the_log_is_flushed_to_disk_between_the_last_read_of_a_webhook_and_its_200() {
    let Some(trace) = traced("sqlite:ringback.db") else { return };
    let (answers, early) = early_answers(&trace);
    assert_eq!(answers, ALONE + CROWD.0 * CROWD.1, "every webhook was answered 200 within the trace");
    assert!(early.is_empty(), "{} of {answers} answers came before the flush, such as:\n{}", early.len(), early[0]);
}

#[test]
fn the_same_look_at_a_service_that_keeps_nothing_sees_every_answer_come_too_early() {
    let Some(trace) = traced("memory:") else { return };
    let (answers, early) = early_answers(&trace);
    assert_eq!((answers, early.len()), (ALONE + CROWD.0 * CROWD.1, ALONE + CROWD.0 * CROWD.1));
}

/// What the service asked of the kernel while it took webhooks; `None` where it can't be watched.
fn traced(store: &str) -> Option<String> {
    let watched = Command::new("strace").args(["-D", "-f", "-o", "/dev/null", "true"]).stderr(Stdio::null()).status();
    if !watched.is_ok_and(|status| status.success()) {
        skipped("strace is not installed or not allowed here: NOT shown that the flush comes before the 200");
        return None;
    }
    let home = Home::new();
    let file = home.file("trace.txt");
    let output = file.to_str().expect("the name is text");
    // -D: the service stays our child, with its own process id.
    let program =
        Program::guarded(&home).set("DATABASE_URL", store).under(["strace", "-D", "-f", "-yy", "-s", "64", "-e", CALLS, "-o", output]);
    let service = program.serve();
    send_one_after_another(&service, ALONE);
    thread::scope(|scope| {
        for _ in 0..CROWD.0 {
            scope.spawn(|| send_one_after_another(&service, CROWD.1));
        }
    });
    let process = service.pid().to_string();
    service.stop();
    Some(whole(&file, &process))
}

/// Reports of 60 KB, which take several reads.
fn send_one_after_another(service: &Service, count: usize) {
    let mut wire = service.wire();
    for index in 0..count {
        let auth = if index.is_multiple_of(2) { Auth::Hmac } else { Auth::Secret };
        let answer = wire.deliver(&long_report().proven_by(auth)).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.json());
    }
}

fn long_report() -> Message {
    messages::report_of(&CallScript::talk(new_call(), now().plus(-60_000)).with_report_of(60_000))
}

/// The trace, once the end of the process is in it.
fn whole(file: &Path, process: &str) -> String {
    let is_end =
        |line: &str| line.split_once(' ').is_some_and(|(thread, text)| thread == process && text.trim() == "+++ exited with 0 +++");
    let mut trace = String::new();
    let ended = soon(Duration::from_secs(10), || {
        trace = String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned();
        trace.lines().any(is_end)
    });
    assert!(ended, "the trace breaks off");
    trace
}

/// One system call of a trace, from the line where it begins to the line where it ends.
struct SystemCall {
    begin: usize,
    end: usize,
    text: String,
}

impl SystemCall {
    fn is_one_of(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.text.strip_prefix(name).is_some_and(|rest| rest.starts_with('(')))
    }

    /// The TCP connection it is about.
    fn connection(&self) -> Option<&str> {
        let (_, rest) = self.text.split_once("<TCP:[")?;
        rest.split_once("]>").map(|(connection, _)| connection)
    }

    fn returned(&self) -> i64 {
        let result = self.text.rsplit_once(" = ").and_then(|(_, result)| result.split(' ').next()?.parse().ok());
        result.unwrap_or(-1)
    }
}

/// How many answers of 200 there are, and those before which the log was not flushed after the last read of their connection.
fn early_answers(trace: &str) -> (usize, Vec<String>) {
    let calls = system_calls(trace);
    let is_flush = |call: &&SystemCall| call.is_one_of(&["fsync", "fdatasync"]) && call.text.contains(".db-wal>") && call.returned() == 0;
    let flushes: Vec<&SystemCall> = calls.iter().filter(is_flush).collect();
    let is_read = |call: &&SystemCall| call.is_one_of(&["read", "readv", "recvfrom", "recvmsg"]) && call.returned() > 0;
    let reads: Vec<&SystemCall> = calls.iter().filter(is_read).filter(|call| call.connection().is_some()).collect();
    let (mut answers, mut early) = (0, Vec::new());
    for answer in
        calls.iter().filter(|call| call.is_one_of(&["write", "writev", "sendto", "sendmsg"]) && call.text.contains("\"HTTP/1.1 200 "))
    {
        let of_it = reads.iter().filter(|read| read.connection() == answer.connection() && read.end < answer.begin);
        let Some(read) = of_it.map(|read| read.end).max() else { continue };
        answers += 1;
        if !flushes.iter().any(|flush| flush.begin > read && flush.end < answer.begin) {
            early.push(answer.text.clone());
        }
    }
    (answers, early)
}

/// The calls of a trace; one that another thread interrupted in the text is put together again.
fn system_calls(trace: &str) -> Vec<SystemCall> {
    let mut under_way: HashMap<&str, (usize, &str)> = HashMap::new();
    let mut calls = Vec::new();
    for (index, line) in trace.lines().enumerate() {
        let Some((thread, text)) = line.split_once(' ') else { continue };
        let text = text.trim_start();
        if let Some(beginning) = text.strip_suffix(" <unfinished ...>") {
            under_way.insert(thread, (index, beginning));
        } else if let Some((_, rest)) = text.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            let Some((begin, beginning)) = under_way.remove(thread) else { continue };
            calls.push(SystemCall { begin, end: index, text: format!("{beginning}{rest}") });
        } else {
            calls.push(SystemCall { begin: index, end: index, text: text.to_owned() });
        }
    }
    calls
}

#[test]
fn a_flush_counts_only_when_it_begins_after_the_read_and_ends_before_the_answer() {
    const READ: &str = r#"1 recvfrom(9<TCP:[127.0.0.1:1->127.0.0.1:2]>, "POST"..., 8192, 0, NULL, NULL) = 4"#;
    const ANSWER: &str = r#"1 writev(9<TCP:[127.0.0.1:1->127.0.0.1:2]>, [{iov_base="HTTP/1.1 200 OK"..., iov_len=4}], 1) = 4"#;
    const FLUSH: &str = "2 fdatasync(5</a/ringback.db-wal>) = 0";
    const FAILED: &str = "2 fdatasync(5</a/ringback.db-wal>) = -1 EIO (Input/output error)";
    const OTHER: &str = "2 fdatasync(6</a/ringback.db>) = 0";
    const BEGUN: &str = "2 fdatasync(5</a/ringback.db-wal> <unfinished ...>";
    const ENDED: &str = "2 <... fdatasync resumed>) = 0";
    let seen = |lines: &[&str]| {
        let (answers, early) = early_answers(&lines.join("\n"));
        assert_eq!(answers, 1);
        early.is_empty()
    };
    assert!(seen(&[READ, FLUSH, ANSWER]));
    assert!(seen(&[READ, BEGUN, ENDED, ANSWER]));
    for early in [
        &[FLUSH, READ, ANSWER][..],
        &[READ, ANSWER, FLUSH],
        &[READ, FAILED, ANSWER],
        &[READ, OTHER, ANSWER],
        &[BEGUN, READ, ENDED, ANSWER],
        &[READ, BEGUN, ANSWER, ENDED],
        &[READ, FLUSH, READ, ANSWER],
    ] {
        assert!(!seen(early), "{early:?}");
    }
}
