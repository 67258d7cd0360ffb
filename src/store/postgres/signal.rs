//! Signals as texts of notifications: many in one, a line each.

use crate::{call::id::CallId, store::Signal};

/// Where they are sent. Channels belong to one database.
pub(super) const CHANNEL: &str = "ringback";
/// The server takes less than 8,000 bytes in one notification.
const MOST_BYTES: usize = 7_900;
/// Stands for what is about no call.
const NO_CALL: &str = "*";
/// Opens the text that shows that signals come through.
const PROBE: &str = "?";

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    Signal(Signal),
    /// Somebody tries whether signals come through.
    Probe(String),
}

/// The texts of signals, as few as will do.
pub(super) fn told(signals: &[Signal]) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for signal in signals {
        let line = match signal {
            Signal::Changed { id, revision } => format!("{id} {revision}\n"),
            Signal::Erased(id) => format!("{id} -\n"),
            Signal::News => format!("{NO_CALL} news\n"),
            Signal::Missed => continue,
        };
        match texts.last_mut().filter(|text| text.len() + line.len() <= MOST_BYTES) {
            Some(text) => text.push_str(&line),
            None => texts.push(line),
        }
    }
    texts
}

/// The text of a probe.
pub(super) fn probe(word: &str) -> String {
    format!("{PROBE} {word}\n")
}

/// What a text says. Lines of a later release that mean nothing to this one count as a missed signal.
pub(super) fn read(text: &str) -> Vec<Heard> {
    text.lines().map(line).collect()
}

fn line(line: &str) -> Heard {
    let signal = line.split_once(' ').and_then(|(id, what)| {
        if id == PROBE {
            return Some(Heard::Probe(what.to_owned()));
        }
        if id == NO_CALL {
            return (what == "news").then_some(Heard::Signal(Signal::News));
        }
        let id = CallId::parse(id).ok()?;
        Some(Heard::Signal(match what {
            "-" => Signal::Erased(id),
            revision => Signal::Changed { id, revision: revision.parse().ok()? },
        }))
    });
    signal.unwrap_or(Heard::Signal(Signal::Missed))
}

#[cfg(test)]
mod tests {
    use super::{Heard, MOST_BYTES, Signal, probe, read, told};
    use crate::call::id::CallId;

    fn call(number: u64) -> CallId {
        CallId::parse(&format!("{number:0128}")).unwrap()
    }

    #[test]
    fn what_is_told_is_heard() {
        let changed = |number| Signal::Changed { id: call(number), revision: number * 1_000 };
        let signals: Vec<_> = (0..200).map(changed).chain([Signal::Erased(call(7)), Signal::News]).collect();
        let texts = told(&signals);
        assert!(texts.iter().all(|text| text.len() <= MOST_BYTES) && texts.len() < 6, "{}", texts.len());
        let heard: Vec<_> = texts.iter().flat_map(|text| read(text)).collect();
        assert_eq!(heard, signals.into_iter().map(Heard::Signal).collect::<Vec<_>>());
        assert!(told(&[]).is_empty());
    }

    #[test]
    fn a_probe_is_no_signal() {
        assert_eq!(read(&probe("a word")), [Heard::Probe("a word".to_owned())]);
    }

    #[test]
    fn what_is_not_understood_may_have_been_about_anything() {
        for text in ["call-1", "* other", "call-1 one", "no call! 1", "call-1 -1", " 1"] {
            assert_eq!(read(text), [Heard::Signal(Signal::Missed)], "{text}");
        }
    }
}
