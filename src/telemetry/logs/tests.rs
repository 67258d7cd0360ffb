use std::{
    io::{self, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver},
    },
    thread,
    time::Instant,
};

use serde_json::{Value, json};
use tracing::{debug, dispatcher::with_default, error, info, info_span, warn};

use super::{
    background::{MOST_WAITING, PATIENCE, background},
    dispatch,
};
use crate::{
    call::time::Millis,
    config::{LogConfig, LogFormat},
};

/// A writer that tests can read; it counts how often it is written to.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>, Arc<AtomicUsize>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader who takes nothing until he is told to.
struct Stuck(Receiver<()>, Lines);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        self.1.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `story` logs.
fn logged(format: LogFormat, filter: &str, colours: bool, story: impl FnOnce()) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let config = LogConfig { filter: filter.to_owned(), format, no_color: false };
    with_default(&dispatch(&config, "a\"1", move || writer.clone(), colours), story);
    String::from_utf8(lines.0.lock().unwrap().clone()).unwrap()
}

fn json_lines(story: impl FnOnce()) -> Vec<Value> {
    logged(LogFormat::Json, "info", false, story)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

#[test]
fn a_line_of_json_is_one_flat_object() {
    let lines = json_lines(|| info!(route = "/x", status = 200_u16, duration_ms = 1.5, cached = true, back = -1, "request"));
    let mut line = lines[0].clone();
    let timestamp = line["timestamp"].take();
    assert!(Millis::parse_rfc3339(timestamp.as_str().unwrap()).is_some_and(|at| at.0 > 1_600_000_000_000), "{timestamp}");
    assert!(timestamp.as_str().unwrap().ends_with('Z'));
    assert_eq!(
        line,
        json!({
            "timestamp": null, "level": "INFO", "target": module_path!(), "instance": "a\"1", "version": env!("CARGO_PKG_VERSION"),
            "message": "request", "route": "/x", "status": 200, "duration_ms": 1.5, "cached": true, "back": -1,
        })
    );
}

#[test]
fn the_fields_of_spans_stand_beside_those_of_the_line() {
    let lines = json_lines(|| {
        let outer = info_span!("request", request_id = "r-1", call_id = tracing::field::Empty).entered();
        outer.record("call_id", "c-1");
        let _inner = info_span!("commit", revision = 7).entered();
        let _empty = info_span!("nothing").entered();
        warn!(attempt = 2, "conflict");
    });
    assert_eq!(lines[0]["request_id"], "r-1");
    assert_eq!(lines[0]["call_id"], "c-1");
    assert_eq!((&lines[0]["revision"], &lines[0]["attempt"]), (&json!(7), &json!(2)));
}

#[test]
fn any_value_becomes_valid_json() {
    let cause = io::Error::other("line\nbreak \"quoted\" \\ \u{1} ü");
    let lines = json_lines(|| {
        error!(%cause, shown = ?Some("x\ty"), none = f64::NAN, r#type = "t", optional = None::<u64>, "na\u{7}me: {}", "ß\"");
        info!("");
    });
    assert_eq!(lines[0]["cause"], "line\nbreak \"quoted\" \\ \u{1} ü");
    assert_eq!(lines[0]["shown"], "Some(\"x\\ty\")");
    assert_eq!((&lines[0]["none"], &lines[0]["type"], lines[0].get("optional")), (&Value::Null, &json!("t"), None));
    assert_eq!(lines[0]["message"], "na\u{7}me: ß\"");
    assert_eq!(lines[1]["message"], "");
}

#[test]
fn the_filter_decides_by_level_and_module() {
    let story = || {
        debug!("too quiet");
        debug!(target: "ringback::store", "wanted");
        info!("unwanted");
        warn!("loud");
    };
    let text = logged(LogFormat::Text, "warn,ringback::store=debug", false, story);
    let words: Vec<_> = text.lines().map(|line| line.rsplit(": ").next().unwrap()).collect();
    assert_eq!(words, ["wanted", "loud"]);
}

#[test]
fn text_has_colours_only_where_they_can_be_seen() {
    assert!(!logged(LogFormat::Text, "info", false, || info!(n = 1, "hello")).contains('\u{1b}'));
    assert!(logged(LogFormat::Text, "info", true, || info!(n = 1, "hello")).contains('\u{1b}'));
    assert!(!logged(LogFormat::Json, "info", true, || info!(n = 1, "hello")).contains('\u{1b}'));
}

#[test]
fn a_caller_cannot_forge_a_line() {
    let text = logged(LogFormat::Text, "info", false, || info!(header = "x\n2026-01-01T00:00:00Z ERROR forged", "request"));
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn many_lines_are_written_at_once_and_none_is_lost_at_the_end() {
    let out = Lines::default();
    let (lines, worker) = background(out.clone()).unwrap();
    thread::scope(|scope| {
        for writer in 0..4 {
            let mut lines = lines.clone();
            // Whole lines, as the formatter hands them over.
            let mut say = move |number: i32| lines.write_all(format!("{writer} {number}\n").as_bytes()).unwrap();
            scope.spawn(move || (0..1_000).for_each(&mut say));
        }
    });
    drop(worker);
    let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
    for writer in 0..4 {
        let of_one = text.lines().filter_map(|line| line.strip_prefix(&format!("{writer} ")));
        assert!(of_one.eq((0..1_000).map(|number| number.to_string())), "in order: {text}");
    }
    assert!(out.1.load(Ordering::SeqCst) < 100, "{} writes", out.1.load(Ordering::SeqCst));
}

#[test]
fn a_reader_who_takes_nothing_holds_up_nobody_and_finds_a_bounded_amount() {
    let (go_on, told) = mpsc::channel();
    let out = Lines::default();
    let (mut lines, worker) = background(Stuck(told, out.clone())).unwrap();
    let line = [b'x'; 8 * 1_024];
    for _ in 0..4 * MOST_WAITING / line.len() {
        lines.write_all(&line).unwrap();
    }
    assert!(lines.waiting() <= MOST_WAITING, "{}", lines.waiting());
    drop(go_on);
    drop(worker);
    // What was on its way already, and as much as there is room for.
    let found = out.0.lock().unwrap().len();
    assert!((MOST_WAITING..=2 * MOST_WAITING).contains(&found), "{found}");
}

#[test]
fn at_the_end_a_reader_who_takes_nothing_is_waited_for_a_while() {
    let (go_on, told) = mpsc::channel();
    let (mut lines, worker) = background(Stuck(told, Lines::default())).unwrap();
    lines.write_all(b"last words\n").unwrap();
    let began = Instant::now();
    drop(worker);
    assert!(began.elapsed() >= PATIENCE);
    drop(go_on);
}
