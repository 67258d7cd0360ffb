//! What is shown of events: a line each, coloured on a terminal.

use std::io::{self, IsTerminal as _, Write};

use serde_json::Value;

use crate::words::clean;

/// Room for the longest type.
const TYPE_WIDTH: usize = 18;
/// Back to the line's beginning, and away with what is there.
const CLEAR: &str = "\r\x1b[K";
/// A line that is still being said must not wrap: only one line can be cleared.
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";
const RESET: &str = "\x1b[0m";
const DIM: &str = "\x1b[2m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const BLUE: &str = "\x1b[34m";
const MAGENTA: &str = "\x1b[35m";
const CYAN: &str = "\x1b[36m";

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// As they came, one a line.
    Json,
    /// For people; lines that are still being said are left out.
    Plain,
    /// For people at a terminal: what is still being said is shown, and replaced by what comes next.
    Live {
        /// With colours.
        colours: bool,
    },
}

/// Where events are shown.
pub(super) struct Screen<W> {
    out: W,
    style: Style,
    /// The last line has no end yet.
    is_passing: bool,
}

impl Style {
    pub(super) fn of_stdout(json: bool, no_color: bool) -> Self {
        match (json, io::stdout().is_terminal()) {
            (true, _) => Self::Json,
            (false, false) => Self::Plain,
            (false, true) => Self::Live { colours: !no_color },
        }
    }
}

impl<W: Write> Screen<W> {
    pub(super) fn new(out: W, style: Style) -> Self {
        Self { out, style, is_passing: false }
    }

    /// Shows an event.
    pub(super) fn show(&mut self, json: &str) -> io::Result<()> {
        if self.style == Style::Json {
            return writeln!(self.out, "{json}").and_then(|()| self.out.flush());
        }
        let event: Value = serde_json::from_str(json).unwrap_or_default();
        let is_passing = event["data"]["final"] == false;
        let line = line(&event, matches!(self.style, Style::Live { colours: true }));
        match (self.style, is_passing) {
            (Style::Live { .. }, true) => {
                self.is_passing = true;
                write!(self.out, "{CLEAR}{NO_WRAP}{line}{WRAP}")?;
            }
            (_, true) => {}
            (_, false) => {
                self.clear()?;
                writeln!(self.out, "{line}")?;
            }
        }
        self.out.flush()
    }

    /// Takes away the line that is still being said.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.is_passing) {
            write!(self.out, "{CLEAR}")?;
            self.out.flush()?;
        }
        Ok(())
    }
}

fn line(event: &Value, colours: bool) -> String {
    let kind = event["type"].as_str().unwrap_or("-");
    let data = &event["data"];
    let (shown, about) =
        if kind == "delivery" { (data["type"].as_str().unwrap_or("-"), delivery(data)) } else { (kind, about(kind, data)) };
    let time = event["timestamp"].as_str().and_then(|time| time.get(11..19)).unwrap_or("--:--:--");
    let call = event["callId"].as_str().unwrap_or("-");
    let paint = |colour: &str, text: &str| if colours && !text.is_empty() { format!("{colour}{text}{RESET}") } else { text.to_owned() };
    let colour = colour_of(kind, data);
    let shown = format!("{:<TYPE_WIDTH$}", clean(shown));
    format!("{} {} {} {about}", paint(DIM, &clean(time)), paint(colour, &shown), paint(DIM, &clean(call))).trim_end().to_owned()
}

fn colour_of(kind: &str, data: &Value) -> &'static str {
    match (kind, data["status"].as_str(), data["type"].as_str()) {
        ("stream.gap" | "stream.dropped" | "call.deleted", ..) => RED,
        ("call.done", Some("completed"), _) | ("delivery", _, Some("end-of-call-report")) => GREEN,
        ("call.done", ..) => YELLOW,
        ("call.ended", ..) => CYAN,
        ("call.tool", ..) | ("delivery", _, Some("tool-calls" | "function-call")) => MAGENTA,
        ("call.transcript", ..) => "",
        _ => BLUE,
    }
}

/// What an event says, in a few words.
fn about(kind: &str, data: &Value) -> String {
    let text = |key: &str| data[key].as_str().filter(|text| !text.is_empty()).map(clean);
    let seconds = || data["durationSeconds"].as_f64().map(|seconds| format!("{seconds:.0} s"));
    let words: Vec<String> = match kind {
        "call.updated" => [text("callStatus"), text("status").filter(|status| status != "pending")].into_iter().flatten().collect(),
        "call.ended" | "call.done" => {
            let incomplete = text("dataStatus").filter(|status| status != "complete" && kind == "call.done");
            [text("status"), text("endedReason"), seconds(), incomplete].into_iter().flatten().collect()
        }
        "call.transcript" => return format!("{}: {}", text("role").unwrap_or_default(), text("message").unwrap_or_default()),
        "call.tool" => {
            let said = text("result").or_else(|| text("error").map(|error| format!("error: {error}")));
            let arguments = if data["arguments"].is_null() { String::new() } else { clean(&data["arguments"].to_string()) };
            let answer = said.map(|said| format!(" -> {said}")).unwrap_or_default();
            return format!("{} {arguments}{answer}", text("name").unwrap_or_default());
        }
        _ => text("message").into_iter().collect(),
    };
    words.join(", ")
}

/// What a webhook says, in a few words.
fn delivery(data: &Value) -> String {
    let message = &data["body"]["message"];
    let text = |key: &str| message[key].as_str().filter(|text| !text.is_empty()).map(clean);
    let said = text("transcript").filter(|_| message["role"].is_string());
    let said = said.map(|said| format!("{}: {said}", text("role").unwrap_or_default()));
    let how = data["result"].as_str().filter(|how| *how != "stored" && *how != "not_kept").map(|how| format!("({})", clean(how)));
    [text("status"), text("endedReason"), said, how].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{CLEAR, Screen, Style};

    const LIVE: Style = Style::Live { colours: false };

    fn event(kind: &str, data: &Value) -> String {
        json!({"id": "1", "type": kind, "timestamp": "2026-11-21T10:11:12.345Z", "callId": "c-1", "sequence": 1, "data": data}).to_string()
    }

    fn shown(style: Style, events: &[String]) -> String {
        let mut screen = Screen::new(Vec::new(), style);
        for event in events {
            screen.show(event).unwrap();
        }
        String::from_utf8(screen.out).unwrap()
    }

    #[test]
    fn each_event_is_a_line_of_its_own() {
        for (kind, data, line) in [
            ("call.updated", json!({"callStatus": "ringing", "status": "pending"}), "call.updated       c-1 ringing"),
            (
                "call.ended",
                json!({"status": "completed", "endedReason": "x", "durationSeconds": 34.4}),
                "call.ended         c-1 completed, x, 34 s",
            ),
            ("call.done", json!({"status": "no_answer", "dataStatus": "fetch_failed"}), "call.done          c-1 no_answer, fetch_failed"),
            ("call.transcript", json!({"role": "user", "message": "Hi", "final": true}), "call.transcript    c-1 user: Hi"),
            (
                "call.tool",
                json!({"name": "look_up", "arguments": {"a": 1}, "result": "yes"}),
                "call.tool          c-1 look_up {\"a\":1} -> yes",
            ),
            ("call.deleted", json!({}), "call.deleted       c-1"),
            ("call.new", json!([1]), "call.new           c-1"),
            (
                "delivery",
                json!({"type": "status-update", "result": "duplicate", "body": {"message": {"status": "ringing"}}}),
                "status-update      c-1 ringing, (duplicate)",
            ),
        ] {
            assert_eq!(shown(Style::Plain, &[event(kind, &data)]), format!("10:11:12 {line}\n"));
            let coloured = shown(Style::Live { colours: true }, &[event(kind, &data)]);
            assert!(coloured.contains("\x1b[2m10:11:12\x1b[0m"), "{coloured:?}");
        }
        assert_eq!(shown(Style::Plain, &["no JSON".to_owned()]), "--:--:-- -                  -\n");
        assert_eq!(shown(Style::Json, &["{\"a\":1}".to_owned()]), "{\"a\":1}\n");
    }

    #[test]
    fn what_is_being_said_is_replaced_and_only_a_terminal_shows_it() {
        let said = |words: &str, last: bool| event("call.transcript", &json!({"role": "user", "message": words, "final": last}));
        let talk = [said("I wou", false), said("I would", false), said("I would.", true)];
        assert_eq!(shown(Style::Plain, &talk), "10:11:12 call.transcript    c-1 user: I would.\n");
        let live = shown(LIVE, &talk);
        assert_eq!(live.matches('\n').count(), 1);
        assert!(live.ends_with(&format!("{CLEAR}10:11:12 call.transcript    c-1 user: I would.\n")), "{live:?}");
    }

    #[test]
    fn words_of_strangers_steer_no_terminal() {
        let evil = "\x1b]0;owned\x07\n12:00:00 call.done\u{202e}\u{200b}\u{feff}\u{e0041}";
        for style in [Style::Plain, LIVE] {
            let data = json!({"role": evil, "message": evil, "final": true, "name": evil, "arguments": evil, "status": evil});
            for kind in ["call.transcript", "call.tool", "call.done", evil] {
                let shown = shown(style, &[event(kind, &data)]);
                assert!(shown.ends_with('\n') && shown.matches(|letter: char| letter.is_control()).count() == 1, "{shown:?}");
                assert!(!shown.contains(['\u{202e}', '\u{200b}', '\u{feff}', '\u{e0041}']), "{shown:?}");
            }
        }
        let long = event("call.transcript", &json!({"role": "user", "message": "x".repeat(10_000), "final": true}));
        assert!(shown(Style::Plain, &[long]).len() < 500);
    }
}
