//! Where the line is and what is said, as it happens; on a terminal only. The last line tells for how long it is there.

use std::{
    io::{IsTerminal as _, Write as _},
    time::Duration,
};

use reqwest::{Method, Response};
use serde_json::Value;
use tokio::time::{Instant, interval, sleep};

use crate::{call::id::CallId, cli::service::Service, words::plain};

/// A stream that ended is opened again after this time.
const PAUSE: Duration = Duration::from_secs(2);
/// The last line is written anew this often.
const TICK: Duration = Duration::from_secs(1);
/// Takes away what stands in the line of the cursor.
const CLEAR: &str = "\r\x1b[K";

/// Shows a call for as long as it is polled; never ends.
pub(super) async fn show(service: &Service, id: &CallId) {
    let mut screen = Screen::default();
    while std::io::stderr().is_terminal() {
        let opened = service.request(Method::GET, service.at(&format!("/calls/{id}/events?close=done"))).send().await;
        if let Ok(stream) = opened
            && stream.status().is_success()
        {
            follow(stream, &mut screen).await;
        }
        sleep(PAUSE).await;
    }
    std::future::pending::<()>().await;
}

async fn follow(mut stream: Response, screen: &mut Screen) {
    let (mut unread, mut tick) = (Vec::new(), interval(TICK));
    loop {
        let chunk = tokio::select! {
            chunk = stream.chunk() => chunk,
            _ = tick.tick() => {
                screen.show_last();
                continue;
            }
        };
        let Ok(Some(chunk)) = chunk else { return };
        unread.extend_from_slice(&chunk);
        while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = unread.drain(..=end).collect();
            if let Some(words) = line.strip_prefix(b"data:").and_then(|json| screen.words(json)) {
                eprintln!("{CLEAR}{words}");
                screen.show_last();
            }
        }
    }
}

/// What was shown last.
#[derive(Debug, Default)]
struct Screen {
    state: String,
    /// Since when.
    since: Option<Instant>,
}

impl Drop for Screen {
    /// What comes next begins its own line.
    fn drop(&mut self) {
        if self.since.is_some() {
            eprint!("{CLEAR}");
        }
    }
}

impl Screen {
    /// Writes the last line anew.
    fn show_last(&self) {
        if let Some(last) = self.since.map(|since| self.last(since.elapsed())) {
            // A terminal that is gone is no reason to stop.
            let _ = write!(std::io::stderr(), "{CLEAR}{last}");
        }
    }

    fn last(&self, elapsed: Duration) -> String {
        let seconds = elapsed.as_secs();
        format!("  [{} {}:{:02}]", self.state, seconds / 60, seconds % 60)
    }

    /// What there is to show of an event, if anything.
    fn words(&mut self, json: &[u8]) -> Option<String> {
        let event: Value = serde_json::from_slice(json).ok()?;
        let data = &event["data"];
        match event["type"].as_str()? {
            "call.transcript" if data["final"] == true => {
                let who = if data["role"] == "bot" { "assistant" } else { "customer" };
                let said = plain(data["message"].as_str()?);
                (!said.trim().is_empty()).then(|| format!("  {who}: {said}"))
            }
            "call.updated" | "call.ended" => {
                let state = plain(data["callStatus"].as_str()?);
                if self.state == state {
                    return None;
                }
                self.since = Some(Instant::now());
                let words = format!("- {state}");
                self.state = state;
                Some(words)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::Screen;

    fn shown(screen: &mut Screen, kind: &str, data: &Value) -> Option<String> {
        screen.words(json!({"type": kind, "data": data}).to_string().as_bytes())
    }

    #[test]
    fn a_state_is_shown_once_and_a_line_when_it_is_final() {
        let mut screen = Screen::default();
        let ringing = json!({"callStatus": "ringing"});
        assert_eq!(shown(&mut screen, "call.updated", &ringing).as_deref(), Some("- ringing"));
        assert_eq!(shown(&mut screen, "call.updated", &ringing), None);
        assert_eq!(shown(&mut screen, "call.transcript", &json!({"role": "user", "message": "Yes", "final": false})), None);
        let said = json!({"role": "user", "message": "Yes\u{1b}[2J", "final": true});
        assert_eq!(shown(&mut screen, "call.transcript", &said).as_deref(), Some("  customer: Yes [2J"), "no word steers the terminal");
        assert_eq!(screen.words(b"no JSON"), None);
    }

    #[test]
    fn no_word_turns_or_hides_what_follows() {
        let mut screen = Screen::default();
        for evil in ["\u{202e}", "\u{200b}", "\u{feff}", "\u{e0041}"] {
            let said = json!({"role": "user", "message": format!("Yes{evil}no"), "final": true});
            assert_eq!(shown(&mut screen, "call.transcript", &said).as_deref(), Some("  customer: Yes no"), "{evil:?}");
            let state = json!({"callStatus": format!("ringing{evil}\u{1b}[2J")});
            assert_eq!(shown(&mut screen, "call.updated", &state).as_deref(), Some("- ringing  [2J"), "{evil:?}");
            assert_eq!(shown(&mut screen, "call.updated", &json!({"callStatus": "queued"})).as_deref(), Some("- queued"));
        }
    }

    #[test]
    fn the_last_line_tells_for_how_long_the_line_is_where_it_is() {
        let mut screen = Screen::default();
        shown(&mut screen, "call.updated", &json!({"callStatus": "in-progress"}));
        assert_eq!(screen.last(Duration::from_secs(9)), "  [in-progress 0:09]");
        assert_eq!(screen.last(Duration::from_millis(725_900)), "  [in-progress 12:05]");
    }
}
