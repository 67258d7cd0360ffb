//! What is hashed: a plan's `payloadFormat` with its placeholders.

/// What stands in the places of one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) body: &'a [u8],
    pub(super) timestamp: &'a str,
    pub(super) message_id: &'a str,
    pub(super) method: &'a str,
    pub(super) url: &'a str,
}

/// A place in a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Body,
    Timestamp,
    MessageId,
    Method,
    Url,
}

/// Every place, as Vapi writes it.
const PLACES: [(&str, Place); 5] = [
    ("{body}", Place::Body),
    ("{timestamp}", Place::Timestamp),
    ("{svix-id}", Place::MessageId),
    ("{method}", Place::Method),
    ("{url}", Place::Url),
];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Place(Place),
}

/// A format, cut into what is fixed and what is filled in. Braces that name no place are text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Format(Vec<Piece>);

impl Format {
    pub(super) fn parse(mut text: &str) -> Self {
        let mut pieces = Vec::new();
        while let Some((at, name, place)) = first_place(text) {
            if at > 0 {
                pieces.push(Piece::Text(text[..at].to_owned()));
            }
            pieces.push(Piece::Place(place));
            text = &text[at + name.len()..];
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text.to_owned()));
        }
        Self(pieces)
    }

    pub(super) fn has(&self, place: Place) -> bool {
        self.0.contains(&Piece::Place(place))
    }

    /// The body and nothing else.
    pub(super) fn is_bare(&self) -> bool {
        self.0 == [Piece::Place(Place::Body)]
    }

    /// The bytes to hash, piece by piece.
    pub(super) fn fill<'a>(&'a self, parts: Parts<'a>) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().map(move |piece| match piece {
            Piece::Text(text) => text.as_bytes(),
            Piece::Place(Place::Body) => parts.body,
            Piece::Place(Place::Timestamp) => parts.timestamp.as_bytes(),
            Piece::Place(Place::MessageId) => parts.message_id.as_bytes(),
            Piece::Place(Place::Method) => parts.method.as_bytes(),
            Piece::Place(Place::Url) => parts.url.as_bytes(),
        })
    }
}

fn first_place(text: &str) -> Option<(usize, &'static str, Place)> {
    PLACES.into_iter().filter_map(|(name, place)| text.find(name).map(|at| (at, name, place))).min_by_key(|(at, ..)| *at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{Format, Parts, Place};

    fn filled(format: &str) -> String {
        let parts = Parts { body: b"BODY", timestamp: "TIME", message_id: "ID", method: "METHOD", url: "URL" };
        String::from_utf8(Format::parse(format).fill(parts).collect::<Vec<_>>().concat()).expect("all parts are text")
    }

    #[test]
    fn places_are_filled_in_and_all_else_stays() {
        for (format, expected) in [
            ("{body}", "BODY"),
            ("{timestamp}.{body}", "TIME.BODY"),
            ("{svix-id}.{timestamp}.{body}", "ID.TIME.BODY"),
            ("v0:{timestamp}:{method}\n{url}\n{body}!", "v0:TIME:METHOD\nURL\nBODY!"),
            ("{body}{body}", "BODYBODY"),
            ("{{body}}{Body}{ body }{", "{BODY}{Body}{ body }{"),
            ("é{body}ü", "éBODYü"),
            ("", ""),
        ] {
            assert_eq!(filled(format), expected, "{format}");
        }
    }

    #[test]
    fn what_a_format_needs_is_known() {
        let format = Format::parse("{timestamp}.{body}");
        assert!(format.has(Place::Timestamp) && format.has(Place::Body));
        assert!(!format.has(Place::MessageId) && !format.has(Place::Url) && !format.has(Place::Method));
        assert!(Format::parse("{body}").is_bare());
        assert!(!format.is_bare() && !Format::parse("{body}\n").is_bare() && !Format::parse("").is_bare());
    }

    proptest! {
        #[test]
        fn text_without_braces_is_hashed_as_it_stands(text in "[^{}]*", wild in any::<String>()) {
            assert_eq!(filled(&text), text);
            let _ = filled(&wild);
        }
    }
}
