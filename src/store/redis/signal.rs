//! Signals as texts on a channel. Each has a number, so that who missed one knows.

use crate::{call::id::CallId, store::Signal};

/// Stands in the place of a call where there is news that is about none.
const NO_CALL: &str = "*";
/// Stands in the place of a call in a text that only shows that signals come through.
const PROBE: &str = "?";

/// What a text says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    /// How many signals there were; a probe counts as none.
    pub(super) number: u64,
    pub(super) what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Signal(Signal),
    /// Somebody tries whether signals come through, and says this word.
    Probe(String),
}

/// What a text says; `None` when it means nothing to this release.
pub(super) fn read(text: &str) -> Option<Heard> {
    let mut words = text.split(' ');
    let (number, id, what) = (words.next()?.parse().ok()?, words.next()?, words.next()?);
    if words.next().is_some() {
        return None;
    }
    if id == PROBE {
        return Some(Heard { number, what: What::Probe(what.to_owned()) });
    }
    if id == NO_CALL {
        return (what == "news").then_some(Heard { number, what: What::Signal(Signal::News) });
    }
    let id = CallId::parse(id).ok()?;
    let signal = match what {
        "-" => Signal::Erased(id),
        revision => Signal::Changed { id, revision: revision.parse().ok()? },
    };
    Some(Heard { number, what: What::Signal(signal) })
}

/// Counts along. Tells when something was missed.
#[derive(Debug, Default)]
pub(super) struct Count(Option<u64>);

impl Count {
    /// Takes in what was heard; true if something before it was not.
    pub(super) fn missed(&mut self, heard: &Heard) -> bool {
        let expected = match heard.what {
            What::Signal(_) => heard.number.wrapping_sub(1),
            What::Probe(_) => heard.number,
        };
        self.0.replace(heard.number).is_some_and(|last| last != expected)
    }
}

#[cfg(test)]
mod tests {
    use super::{CallId, Count, Heard, Signal, What, read};

    #[test]
    fn what_scripts_tell_is_heard() {
        let id = || CallId::parse("call-1").unwrap();
        let signal = |number, signal| Some(Heard { number, what: What::Signal(signal) });
        assert_eq!(read("7 call-1 12"), signal(7, Signal::Changed { id: id(), revision: 12 }));
        assert_eq!(read("8 call-1 -"), signal(8, Signal::Erased(id())));
        assert_eq!(read("9 * news"), signal(9, Signal::News));
        assert_eq!(read("8 ? word"), Some(Heard { number: 8, what: What::Probe("word".to_owned()) }));
        for text in ["", "7", "7 call-1", "x call-1 1", "7 no/call 1", "7 call-1 one", "7 call-1 1 more", "7 * other"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_gap_in_the_numbers_is_noticed() {
        let mut count = Count::default();
        for (text, missed) in [
            ("3 ? a", false),
            ("4 call 1", false),
            ("5 call -", false),
            ("5 ? a", false),
            ("7 call 2", true),
            ("8 call 3", false),
            ("9 ? a", true),
            ("0 ? a", true),
        ] {
            assert_eq!(count.missed(&read(text).unwrap()), missed, "{text}");
        }
    }
}
