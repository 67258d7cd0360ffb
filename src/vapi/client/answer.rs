//! What an answer of Vapi's REST interface means. Pure.

use hyper::body::Bytes;
use reqwest::{
    StatusCode, Url,
    header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Whole;
use crate::call::time::{Millis, SECOND};

/// The longest wait that a `Retry-After` can ask for, in milliseconds.
const MAX_RETRY_AFTER: i64 = 3_600 * SECOND;
/// How many characters of Vapi's own reason are passed on.
const MAX_REASON: usize = 120;

/// What came of asking for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// The call: a JSON object, as Vapi sent it.
    Call(Bytes),
    /// Vapi says that it knows no such call.
    Unknown,
    /// Vapi refuses the key.
    Denied {
        /// 401 or 403.
        status: u16,
    },
    /// No usable answer.
    Failed {
        /// Why, in words for a poller.
        error: String,
        /// How long Vapi asks to be left alone, in milliseconds; at most one hour.
        retry_after_ms: Option<i64>,
    },
}

/// What came of asking for a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordingLink {
    /// It is there, for some minutes, for everyone who has this link.
    At(Url),
    /// There is none, or not yet.
    Missing,
    /// Vapi refuses the key.
    Denied {
        /// 401 or 403.
        status: u16,
    },
    /// No usable answer.
    Failed {
        /// Why, in words for a poller.
        error: String,
        /// How long Vapi asks to be left alone, in milliseconds; at most one hour.
        retry_after_ms: Option<i64>,
    },
}

/// Which recording of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingKind {
    /// Both sides on one channel.
    Mono,
    /// Each side on a channel of its own.
    Stereo,
    /// The customer alone.
    Customer,
    /// The assistant alone.
    Assistant,
    /// The picture of a video call.
    Video,
}

impl RecordingKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Mono, Self::Stereo, Self::Customer, Self::Assistant, Self::Video];

    /// Reads `mono`, `stereo`, `customer`, `assistant` or `video`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.route().trim_end_matches("-recording")
    }

    /// The last part of Vapi's route.
    #[must_use]
    pub fn route(self) -> &'static str {
        match self {
            Self::Mono => "mono-recording",
            Self::Stereo => "stereo-recording",
            Self::Customer => "customer-recording",
            Self::Assistant => "assistant-recording",
            Self::Video => "video-recording",
        }
    }
}

/// Vapi's error body, of which only the reason is of use.
#[derive(Deserialize)]
struct VapiError {
    #[serde(default)]
    message: serde_json::Value,
    #[serde(default, rename = "statusCode")]
    status_code: serde_json::Value,
}

/// What an answer to `GET /call/{id}` means; `now` is what a `Retry-After` date is counted from.
#[must_use]
pub fn of_call(whole: Whole, now: Millis) -> Fetched {
    let failed = |error: String| Fetched::Failed { error, retry_after_ms: retry_after(&whole.headers, now) };
    match whole.status {
        _ if is_page(&whole) => failed(page(whole.status)),
        StatusCode::OK if is_object(&whole.body) => Fetched::Call(whole.body),
        StatusCode::OK => failed("Vapi answered with something that is no call".to_owned()),
        StatusCode::NOT_FOUND if vapi_error(&whole.body).is_some() => Fetched::Unknown,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Fetched::Denied { status: whole.status.as_u16() },
        status => failed(refusal(status, &whole.body)),
    }
}

/// What an answer to a recording route means; a relative link is taken from `base`.
#[must_use]
pub fn of_recording(whole: &Whole, base: &Url, now: Millis) -> RecordingLink {
    let failed = |error: String| RecordingLink::Failed { error, retry_after_ms: retry_after(&whole.headers, now) };
    match whole.status {
        status if status.is_redirection() => location(&whole.headers, base)
            .map_or_else(|| failed(format!("Vapi answered {} without a usable link", status.as_u16())), RecordingLink::At),
        _ if is_page(whole) => failed(page(whole.status)),
        StatusCode::NOT_FOUND if vapi_error(&whole.body).is_some() => RecordingLink::Missing,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RecordingLink::Denied { status: whole.status.as_u16() },
        status => failed(refusal(status, &whole.body)),
    }
}

fn location(headers: &HeaderMap, base: &Url) -> Option<Url> {
    let link = base.join(headers.get(LOCATION)?.to_str().ok()?).ok()?;
    matches!(link.scheme(), "http" | "https").then_some(link)
}

/// Is it a page for people, from whatever stands before Vapi?
pub(super) fn is_page(whole: &Whole) -> bool {
    let says_so =
        whole.headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok()).is_some_and(|it| it.trim_start().starts_with("text/html"));
    says_so || first_byte(&whole.body) == Some(b'<')
}

fn first_byte(body: &[u8]) -> Option<u8> {
    body.iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

/// Is it one JSON object in valid UTF-8? Depth is not looked at.
fn is_object(body: &[u8]) -> bool {
    first_byte(body) == Some(b'{') && serde_json::from_slice::<&RawValue>(body).is_ok()
}

fn vapi_error(body: &[u8]) -> Option<VapiError> {
    let error: VapiError = if first_byte(body)? == b'{' { serde_json::from_slice(body).ok()? } else { return None };
    (!error.message.is_null() || !error.status_code.is_null()).then_some(error)
}

pub(super) fn page(status: StatusCode) -> String {
    format!("Vapi answered {} with a page instead of JSON", status.as_u16())
}

/// The status, and Vapi's own reason if it is short and clean.
pub(super) fn refusal(status: StatusCode, body: &[u8]) -> String {
    let reason = vapi_error(body).and_then(|error| error.message.as_str().map(clean)).unwrap_or_default();
    let code = status.as_u16();
    if reason.is_empty() { format!("Vapi answered {code}") } else { format!("Vapi answered {code}: {reason}") }
}

/// A reason is passed on only if it reads like one: Vapi's are a few plain words, and nothing longer than a word can be a secret.
fn clean(reason: &str) -> String {
    let plain = |word: &&str| word.len() <= 24 && word.chars().all(|letter| letter.is_ascii_alphabetic() || ",.;:'!-".contains(letter));
    let words: Vec<&str> = reason.split_whitespace().filter(plain).collect();
    let mut text = words.join(" ");
    text.truncate(MAX_REASON);
    text
}

/// `Retry-After` in seconds or as a date, in milliseconds from now; anything else counts as absent.
pub(super) fn retry_after(headers: &HeaderMap, now: Millis) -> Option<i64> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let milliseconds = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number holds is more than an hour.
        text.parse::<i64>().map_or(MAX_RETRY_AFTER, |seconds| seconds.saturating_mul(SECOND))
    } else {
        Millis(jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_millisecond()).since(now)
    };
    Some(milliseconds.clamp(0, MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
    use reqwest::{
        StatusCode, Url,
        header::{CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER},
    };

    use super::{Fetched, RecordingKind, RecordingLink, Whole, clean, of_call, of_recording, retry_after};
    use crate::call::time::Millis;

    const NOW: Millis = Millis(1_790_421_482_411);

    fn whole(status: u16, body: &[u8]) -> Whole {
        Whole { status: StatusCode::from_u16(status).expect("a status"), headers: HeaderMap::new(), body: body.to_vec().into() }
    }

    fn link_from(location: &str) -> RecordingLink {
        let mut answer = whole(302, b"");
        answer.headers.insert(LOCATION, HeaderValue::from_str(location).expect("a header"));
        of_recording(&answer, &Url::parse("https://api.vapi.ai/call/x/mono-recording").expect("a URL"), NOW)
    }

    #[test]
    fn a_link_may_be_relative_but_must_lead_to_the_web() {
        let at = |link: &str| RecordingLink::At(Url::parse(link).expect("a URL"));
        assert_eq!(link_from("https://files.example/a.wav?X-Amz-Signature=1"), at("https://files.example/a.wav?X-Amz-Signature=1"));
        assert_eq!(link_from("/files/a.wav"), at("https://api.vapi.ai/files/a.wav"));
        for elsewhere in ["file:///etc/passwd", "javascript:alert(1)", "data:audio/wav,", "https://"] {
            assert!(matches!(link_from(elsewhere), RecordingLink::Failed { .. }), "{elsewhere}");
        }
    }

    #[test]
    fn every_kind_is_read_by_its_word_and_asked_for_by_its_route() {
        for kind in RecordingKind::ALL {
            assert_eq!(RecordingKind::parse(kind.as_str()), Some(kind));
            assert_eq!(format!("{}-recording", kind.as_str()), kind.route());
        }
        for unknown in ["", "Mono", "mono-recording", "../call"] {
            assert_eq!(RecordingKind::parse(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_page_is_known_by_its_type_or_by_its_first_letter() {
        let mut answer = whole(200, b"{}");
        answer.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        assert!(matches!(of_call(answer, NOW), Fetched::Failed { .. }));
        assert!(matches!(of_call(whole(404, b"\n <!doctype html>"), NOW), Fetched::Failed { .. }));
        assert!(matches!(of_call(whole(200, b"\n {\"a\":\"<b>\"}"), NOW), Fetched::Call(_)));
    }

    #[test]
    fn a_call_is_valid_text_to_its_last_byte() {
        assert!(matches!(of_call(whole(200, b"{\"a\":\"\xc3\xa9\"}"), NOW), Fetched::Call(_)));
        assert!(matches!(of_call(whole(200, b"{\"a\":\"\xe9\"}"), NOW), Fetched::Failed { .. }));
    }

    #[test]
    fn a_very_deep_answer_does_no_harm() {
        let deep = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
        let _ = of_call(whole(200, deep.as_bytes()), NOW);
        let _ = of_call(whole(500, deep.as_bytes()), NOW);
    }

    proptest! {
        #[test]
        fn only_a_200_can_be_a_call_and_only_a_404_unknown(status in 200_u16..600, body in any::<Vec<u8>>(), object in any::<bool>()) {
            let body = if object { br#"{"message":"x","statusCode":1}"#.to_vec() } else { body };
            match of_call(whole(status, &body), NOW) {
                Fetched::Call(sent) => { prop_assert_eq!(status, 200); prop_assert_eq!(sent.to_vec(), body); }
                Fetched::Unknown => prop_assert_eq!(status, 404),
                Fetched::Denied { status: told } => prop_assert!(told == status && matches!(status, 401 | 403)),
                Fetched::Failed { error, .. } => prop_assert!(error.starts_with("Vapi answered") && error.len() < 200),
            }
        }

        #[test]
        fn nothing_passed_on_can_be_a_key_a_number_or_an_address(reason in any::<String>()) {
            let shown = clean(&reason);
            prop_assert!(shown.len() <= 120);
            prop_assert!(!shown.contains(|letter: char| letter.is_ascii_digit() || letter.is_control() || "@/+_=".contains(letter)), "{}", shown);
        }

        #[test]
        fn a_wait_is_between_nothing_and_an_hour(text in "[ -~]{0,40}", seconds in any::<u64>()) {
            for text in [text, seconds.to_string()] {
                let mut headers = HeaderMap::new();
                headers.insert(RETRY_AFTER, HeaderValue::from_str(&text).expect("printable"));
                prop_assert!(retry_after(&headers, NOW).is_none_or(|wait| (0..=3_600_000).contains(&wait)), "{}", text);
            }
        }
    }
}
