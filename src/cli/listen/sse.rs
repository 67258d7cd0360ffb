//! Reads server-sent events out of the bytes of an answer (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

/// Bytes that a line may have: an event carries a whole call, or a whole webhook.
const LONGEST_LINE: usize = 64 * 1_048_576;

/// One event.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) kind: String,
    pub(super) id: Option<String>,
    pub(super) data: String,
}

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Parser {
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed behind it ends no other line.
    returned: bool,
    event: Event,
    has_data: bool,
}

/// A line has no end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Parser {
    /// Takes the next bytes, and gives the events that end in them.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let is_second_half = self.returned && at == 0 && rest[0] == b'\n';
            self.returned = rest[at] == b'\r';
            self.line.extend_from_slice(&rest[..at]);
            rest = &rest[at + 1..];
            if !is_second_half {
                events.extend(self.end_line());
            }
        }
        if !rest.is_empty() {
            self.returned = false;
            self.line.extend_from_slice(rest);
        }
        if self.line.len() > LONGEST_LINE { Err(TooLong) } else { Ok(events) }
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let line = String::from_utf8_lossy(&line);
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.event.kind),
            "id" => self.event.id = Some(value.to_owned()),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // Comments, `retry`, and whatever comes later.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Event, Parser};

    fn event(event: &str, id: Option<&str>, data: &str) -> Event {
        Event { kind: event.to_owned(), id: id.map(str::to_owned), data: data.to_owned() }
    }

    #[test]
    fn events_are_told_apart_from_what_is_none() {
        let text =
            "retry: 2000\n\nevent: call.done\nid: 7\ndata: {\"a\":1}\n\n: alive\n\ndata:one\ndata: two\nnonsense\n\nevent: cut\ndata: o";
        let read = Parser::default().read(text.as_bytes()).unwrap();
        assert_eq!(read, [event("call.done", Some("7"), "{\"a\":1}"), event("", None, "one\ntwo")]);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_bytes_are_cut_or_how_lines_end(
            cuts in prop::collection::vec(0_usize..80, 0..8),
            end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        ) {
            let text = ["event: a", "id: 1", "data: Grüße", "data: zwei", "", ": x", "data: letzte", "", ""].join(end);
            let mut parser = Parser::default();
            let (mut read, mut from) = (Vec::new(), 0);
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < text.len()).collect();
            cuts.sort_unstable();
            for cut in cuts.into_iter().chain([text.len()]) {
                read.extend(parser.read(&text.as_bytes()[from..cut]).unwrap());
                from = cut;
            }
            prop_assert_eq!(read, vec![event("a", Some("1"), "Grüße\nzwei"), event("", None, "letzte")]);
        }
    }
}
