//! When a delivery is tried again, and when it is given up. Pure.

use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::{
    call::time::{DAY, Millis, SECOND},
    store::Fate,
};

const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// Milliseconds before each try, as Standard Webhooks recommends them.
const WAITS: [i64; 10] = [0, 5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, DAY];
/// Waits differ by as much, so that those who failed together don't come back together.
const SPREAD: f64 = 0.2;
/// Statuses that say that the request will never be right.
const HOPELESS: [u16; 7] = [400, 401, 403, 405, 409, 413, 422];
/// Such an answer may be a mistake of a moment: so many tries it gets.
const HOPELESS_TRIES: u32 = 3;
/// The other side asks for more patience than this in vain.
const MOST_PATIENCE: i64 = DAY;

/// Whoever is resumed has not paused yet: waits double from here.
const FIRST_RESUME_WAIT: i64 = SECOND / 2;
/// And grow no longer than this.
const LONGEST_RESUME_WAIT: i64 = 15 * SECOND;
/// Tries within some ten minutes; then nobody waits any more.
const MOST_RESUME_TRIES: u32 = 44;
/// Statuses that say that we may not, or that the form is wrong: no later try is any better.
const RESUME_STOPS: [u16; 4] = [401, 403, 410, 422];
/// Other statuses below 500 after which it goes on: not there yet, not paused yet, too early, too much.
const RESUME_WAITS: [u16; 5] = [404, 408, 409, 425, 429];
/// Whoever pauses waits: more patience than this is of no use.
const RESUME_PATIENCE: i64 = MINUTE;

/// Which rules a target is tried by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    /// A webhook.
    Webhook,
    /// Somebody who has paused, or is about to.
    Resume,
}

/// What came of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// It was taken.
    Taken,
    /// An answer of this status.
    Status(u16),
    /// No answer that counts.
    Nothing,
    /// Nobody waits any more.
    Over,
}

/// A try that ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tried {
    pub(super) heard: Heard,
    /// Tries so far, this one included.
    pub(super) tries: u32,
    /// When it ended.
    pub(super) at: Millis,
    /// For so many milliseconds the other side wants to be left alone.
    pub(super) patience: Option<i64>,
    /// From -1 to 1.
    pub(super) jitter: f64,
}

impl Rules {
    /// What becomes of a delivery.
    pub(super) fn fate(self, tried: Tried) -> Fate {
        let Tried { heard, tries, at, patience, jitter } = tried;
        let (most, wait, most_patience) = match self {
            Self::Webhook => (webhook_tries(heard), webhook_wait(tries), MOST_PATIENCE),
            Self::Resume => (resume_tries(heard), resume_wait(tries), RESUME_PATIENCE),
        };
        match heard {
            Heard::Taken => Fate::Delivered,
            Heard::Over => Fate::Dead,
            _ if tries >= most => Fate::Dead,
            _ => Fate::Again(at.plus(spread(wait, jitter).max(patience.unwrap_or_default().min(most_patience)))),
        }
    }
}

fn webhook_tries(heard: Heard) -> u32 {
    match heard {
        Heard::Status(410) => 0,
        Heard::Status(status) if HOPELESS.contains(&status) => HOPELESS_TRIES,
        _ => u32::try_from(WAITS.len()).unwrap_or(u32::MAX),
    }
}

fn webhook_wait(tries: u32) -> i64 {
    WAITS.get(tries as usize).copied().unwrap_or(DAY)
}

fn resume_tries(heard: Heard) -> u32 {
    match heard {
        Heard::Status(status) if RESUME_STOPS.contains(&status) => 0,
        Heard::Status(status) if status < 500 && !RESUME_WAITS.contains(&status) => HOPELESS_TRIES,
        _ => MOST_RESUME_TRIES,
    }
}

fn resume_wait(tries: u32) -> i64 {
    FIRST_RESUME_WAIT.saturating_mul(1 << tries.saturating_sub(1).min(10)).min(LONGEST_RESUME_WAIT)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a day in milliseconds is far below 2^53")]
fn spread(wait: i64, jitter: f64) -> i64 {
    (wait as f64 * SPREAD.mul_add(jitter.clamp(-1.0, 1.0), 1.0)).round() as i64
}

/// From -1 to 1.
pub(super) fn jitter() -> f64 {
    let [first, second, ..] = *uuid::Uuid::new_v4().as_bytes();
    f64::from(u16::from_be_bytes([first, second])).mul_add(2.0 / 65_535.0, -1.0)
}

/// `Retry-After`, in seconds or as a date, in milliseconds from now; anything else counts as absent.
pub(super) fn patience(headers: &HeaderMap, now: Millis) -> Option<i64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let milliseconds = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse::<i64>().map_or(MOST_PATIENCE, |seconds| seconds.saturating_mul(SECOND))
    } else {
        Millis(jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_millisecond()).since(now)
    };
    Some(milliseconds.clamp(0, MOST_PATIENCE))
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::any, prop_assert, proptest};
    use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};

    use super::{DAY, HOUR, Heard, MINUTE, Rules, SECOND, Tried, patience};
    use crate::{call::time::Millis, store::Fate};

    const AT: Millis = Millis(1_790_000_000_000);

    fn fate(rules: Rules, heard: Heard, tries: u32, patience: Option<i64>) -> Fate {
        rules.fate(Tried { heard, tries, at: AT, patience, jitter: 0.0 })
    }

    fn again(milliseconds: i64) -> Fate {
        Fate::Again(AT.plus(milliseconds))
    }

    #[test]
    fn a_webhook_is_tried_ten_times_over_three_days() {
        let waits = [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, DAY];
        for (tries, wait) in (1..).zip(waits) {
            for heard in [Heard::Nothing, Heard::Status(500), Heard::Status(404), Heard::Status(429), Heard::Status(301)] {
                assert_eq!(fate(Rules::Webhook, heard, tries, None), again(wait), "{heard:?} {tries}");
            }
        }
        assert_eq!(fate(Rules::Webhook, Heard::Status(500), 10, None), Fate::Dead);
        assert_eq!(fate(Rules::Webhook, Heard::Taken, 10, None), Fate::Delivered);
        assert_eq!(fate(Rules::Webhook, Heard::Status(410), 1, None), Fate::Dead);
    }

    #[test]
    fn what_will_never_be_right_gets_three_tries() {
        for status in [400, 401, 403, 405, 409, 413, 422] {
            assert_eq!(fate(Rules::Webhook, Heard::Status(status), 2, None), again(5 * MINUTE), "{status}");
            assert_eq!(fate(Rules::Webhook, Heard::Status(status), 3, None), Fate::Dead, "{status}");
        }
    }

    #[test]
    fn who_asks_for_patience_gets_it_and_never_less_than_the_usual() {
        assert_eq!(fate(Rules::Webhook, Heard::Status(429), 1, Some(MINUTE)), again(MINUTE));
        assert_eq!(fate(Rules::Webhook, Heard::Status(429), 2, Some(MINUTE)), again(5 * MINUTE));
        assert_eq!(fate(Rules::Webhook, Heard::Status(429), 1, Some(i64::MAX)), again(DAY), "but not for ever");
        assert_eq!(fate(Rules::Resume, Heard::Status(429), 1, Some(HOUR)), again(MINUTE), "nobody pauses for ever");
    }

    #[test]
    fn who_is_to_be_resumed_is_asked_often_for_ten_minutes() {
        let mut total = 0;
        for tries in 1..44 {
            let Fate::Again(at) = fate(Rules::Resume, Heard::Status(409), tries, None) else { panic!("{tries}") };
            total += at.since(AT);
        }
        assert_eq!(fate(Rules::Resume, Heard::Status(404), 1, None), again(500));
        assert_eq!(fate(Rules::Resume, Heard::Status(404), 6, None), again(15 * SECOND));
        assert!((9 * MINUTE..11 * MINUTE).contains(&total), "{total}");
        assert_eq!(fate(Rules::Resume, Heard::Status(409), 44, None), Fate::Dead);
        for status in [401, 403, 410, 422] {
            assert_eq!(fate(Rules::Resume, Heard::Status(status), 1, None), Fate::Dead, "{status}");
        }
        assert_eq!(fate(Rules::Resume, Heard::Over, 1, None), Fate::Dead);
        assert_eq!(fate(Rules::Resume, Heard::Status(405), 3, None), Fate::Dead);
    }

    #[test]
    fn patience_is_seconds_or_a_date() {
        let asked = |text: &str| {
            let headers: HeaderMap = [(RETRY_AFTER, HeaderValue::from_str(text).unwrap())].into_iter().collect();
            patience(&headers, Millis(784_111_770_000))
        };
        assert_eq!((asked("120"), asked("Sun, 06 Nov 1994 08:49:37 GMT"), asked("0")), (Some(120_000), Some(7_000), Some(0)));
        assert_eq!((asked("Sun, 06 Nov 1904 08:49:37 GMT"), asked("99999999999999999999")), (Some(0), Some(DAY)));
        assert_eq!((asked("soon"), asked("-5"), asked("1.5")), (None, None, None));
    }

    proptest! {
        #[test]
        fn waits_differ_by_a_fifth_at_most(tries in 1_u32..10, jitter in -1.0_f64..1.0, status in any::<u16>()) {
            let tried = |jitter| Tried { heard: Heard::Status(status), tries, at: AT, patience: None, jitter };
            match (Rules::Webhook.fate(tried(0.0)), Rules::Webhook.fate(tried(jitter))) {
                (Fate::Again(plain), Fate::Again(moved)) => {
                    let off = (moved.since(plain)).abs();
                    prop_assert!(off * 5 <= plain.since(AT) + 5);
                }
                (plain, moved) => prop_assert!(plain == moved),
            }
        }
    }
}
