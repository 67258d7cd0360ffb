//! When something was signed: senders write seconds, milliseconds, microseconds or RFC 3339.

use crate::call::time::{Millis, SECOND};

/// Below this a number counts seconds: as milliseconds it would be March 1973.
const FIRST_MILLISECONDS: i64 = 100_000_000_000;
/// Below this a number counts milliseconds, from here on microseconds.
const FIRST_MICROSECONDS: i64 = FIRST_MILLISECONDS * 1_000;
/// From here on a number is no time in any unit that is used.
const NO_TIME: i64 = FIRST_MICROSECONDS * 1_000;

/// Reads a signed timestamp; `None` when it is none. Numbers are whole and without a sign; their size tells the unit.
pub(super) fn parse(text: &str) -> Option<Millis> {
    let text = text.trim();
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Millis::parse_rfc3339(text);
    }
    match text.parse::<i64>().ok()? {
        seconds if seconds < FIRST_MILLISECONDS => Some(Millis(seconds * SECOND)),
        milliseconds if milliseconds < FIRST_MICROSECONDS => Some(Millis(milliseconds)),
        microseconds if microseconds < NO_TIME => Some(Millis(microseconds / 1_000)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::parse;
    use crate::call::time::Millis;

    #[test]
    fn one_moment_reads_the_same_in_every_unit() {
        for text in
            ["1780000000", "1780000000000", "1780000000000999", "2026-05-28T20:26:40Z", "2026-05-28T22:26:40.000+02:00", " 1780000000 "]
        {
            assert_eq!(parse(text), Some(Millis(1_780_000_000_000)), "{text}");
        }
        assert_eq!(parse("1780000000123"), Some(Millis(1_780_000_000_123)));
    }

    #[test]
    fn the_size_of_a_number_tells_its_unit() {
        for (text, at) in [
            ("0", 0),
            ("99999999999", 99_999_999_999_000),
            ("100000000000", 100_000_000_000),
            ("99999999999999", 99_999_999_999_999),
            ("100000000000000", 100_000_000_000),
            ("99999999999999999", 99_999_999_999_999),
        ] {
            assert_eq!(parse(text), Some(Millis(at)), "{text}");
        }
        assert_eq!(parse("100000000000000000"), None);
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in ["", " ", "-1780000000", "+1780000000", "1780000000.5", "1.78e9", "NaN", "0x6A18", "tomorrow", "2026-05-28", "２０２６"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&"9".repeat(18)), None);
        assert_eq!(parse(&"9".repeat(400)), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in any::<String>(), number in any::<u64>()) {
            let _ = parse(&text);
            let _ = parse(&number.to_string());
        }
    }
}
