//! Passing a request on to Vapi as it came, with our key in the place of the caller's, and the answer back, without it.
//!
//! Bodies are streamed both ways. Headers that belong to one connection, that show who somebody is, or where a request came from, stay behind.

use std::{pin::Pin, time::Duration};

use futures_util::{Stream, StreamExt as _, stream};
use hyper::body::Bytes;
use reqwest::{
    Body, Method, StatusCode,
    header::{
        ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, ORIGIN,
        PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, REFERER, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
};
use tokio::time::timeout;

use super::{VapiClient, in_words};
use crate::vapi::redact::REDACTED;

/// How long Vapi may take until its answer begins, and from one piece of it to the next; the caller's body is sent within the first of these.
const PATIENCE: Duration = Duration::from_mins(1);
/// Headers of one connection (RFC 9110, section 7.6.1), either way.
const HOP_BY_HOP: [HeaderName; 7] = [CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
/// What else of a request is not for Vapi. (Encodings of the answer are between Vapi and us: it is read for our key.)
const OF_THE_CALLER: [HeaderName; 7] = [ACCEPT_ENCODING, AUTHORIZATION, COOKIE, EXPECT, HOST, ORIGIN, REFERER];
/// What else of an answer is not for the caller: what is streamed anew has another length, and cookies are Vapi's.
const OF_VAPI: [HeaderName; 3] = [CONTENT_ENCODING, CONTENT_LENGTH, SET_COOKIE];
/// Headers without a name of their own above; and how those begin that tell where a request came from.
const MORE: [&str; 6] = ["keep-alive", "proxy-connection", "forwarded", "via", "true-client-ip", "cache-control"];
const FROM_WHERE: [&str; 3] = ["x-forwarded-", "x-real-", "cf-"];

/// A request to pass on.
#[derive(Debug)]
pub struct Relay {
    /// Its method.
    pub method: Method,
    /// Its path at Vapi, as it came, beginning with a slash.
    pub path: String,
    /// Its query, if any.
    pub query: Option<String>,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Body,
}

/// Vapi's answer, as it comes.
pub struct Relayed {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, without our key.
    pub body: Pin<Box<dyn Stream<Item = Result<Bytes, String>> + Send>>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotRelayed {
    /// The path can't be one of Vapi's.
    Path,
    /// It did not come in time.
    Late,
    /// Anything else, in words for the caller.
    Failed(String),
}

impl VapiClient {
    /// Passes a request on.
    ///
    /// # Errors
    /// [`NotRelayed`] when no answer begins; Vapi may have done what it was asked for all the same.
    pub async fn relay(&self, relay: Relay) -> Result<Relayed, NotRelayed> {
        let shared = &*self.shared;
        let mut url = shared.url.clone();
        let is_plain = |segment: &str| !matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
        if !relay.path.split('/').all(is_plain) {
            return Err(NotRelayed::Path);
        }
        url.set_path(&format!("{}{}", shared.url.path().trim_end_matches('/'), relay.path));
        url.set_query(relay.query.as_deref());
        let headers = kept(relay.headers, &OF_THE_CALLER);
        let request = shared.http.request(relay.method, url).headers(headers).header(AUTHORIZATION, shared.authorization.clone());
        let sent = async {
            shared.limiter.urgent().await;
            request.body(relay.body).send().await
        };
        let outcome = timeout(PATIENCE, sent).await;
        let status = outcome.as_ref().ok().and_then(|answer| answer.as_ref().ok()).map(|answer| answer.status().as_u16());
        self.asked("passthrough", status);
        let answer = outcome.map_err(|_late| NotRelayed::Late)?.map_err(|error| NotRelayed::Failed(in_words(&error)))?;
        let key = self.key();
        let mut headers = kept(answer.headers().clone(), &OF_VAPI);
        let tells: Vec<HeaderName> =
            headers.iter().filter(|(_, value)| holds(value.as_bytes(), key)).map(|(name, _)| name.clone()).collect();
        for name in tells {
            headers.remove(name);
        }
        Ok(Relayed { status: answer.status(), headers, body: Box::pin(without(key, answer.bytes_stream())) })
    }
}

/// The headers that may go along.
fn kept(mut headers: HeaderMap, dropped: &[HeaderName]) -> HeaderMap {
    // Whatever a connection names is of that connection, too.
    let named: Vec<String> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let goes = |name: &HeaderName| {
        let text = name.as_str();
        HOP_BY_HOP.contains(name)
            || dropped.contains(name)
            || MORE.contains(&text)
            || FROM_WHERE.iter().any(|start| text.starts_with(start))
            || named.iter().any(|it| it == text)
    };
    let gone: Vec<HeaderName> = headers.keys().filter(|name| goes(name)).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
    headers
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    !secret.is_empty() && bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

/// A stream whose bytes never have the secret in them, wherever it was cut.
fn without<E, S>(secret: &str, pieces: S) -> impl Stream<Item = Result<Bytes, String>> + Send + use<E, S>
where
    E: Send + 'static,
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
{
    let sieve = Sieve { secret: secret.as_bytes().to_vec(), held: Vec::new() };
    stream::unfold(Some((sieve, Box::pin(pieces))), |state| async {
        let (mut sieve, mut pieces) = state?;
        match timeout(PATIENCE, pieces.next()).await {
            Ok(Some(Ok(piece))) => Some((Ok(sieve.push(&piece)), Some((sieve, pieces)))),
            Ok(None) => Some((Ok(sieve.held.into()), None)),
            Ok(Some(Err(_))) | Err(_) => Some((Err("Vapi's answer was cut off".to_owned()), None)),
        }
    })
}

/// Takes a secret out of what passes.
struct Sieve {
    secret: Vec<u8>,
    /// What may be the secret's beginning.
    held: Vec<u8>,
}

impl Sieve {
    /// What may pass by now.
    fn push(&mut self, piece: &[u8]) -> Bytes {
        self.held.extend_from_slice(piece);
        let length = self.secret.len();
        if length == 0 {
            return std::mem::take(&mut self.held).into();
        }
        let (mut passed, mut from) = (Vec::with_capacity(self.held.len()), 0);
        while let Some(at) = self.held[from..].windows(length).position(|window| window == self.secret) {
            passed.extend_from_slice(&self.held[from..from + at]);
            passed.extend_from_slice(REDACTED.as_bytes());
            from += at + length;
        }
        let rest = &self.held[from..];
        let longest = rest.len().min(length - 1);
        let kept = (1..=longest).rev().find(|kept| self.secret.starts_with(&rest[rest.len() - kept..])).unwrap_or_default();
        passed.extend_from_slice(&rest[..rest.len() - kept]);
        self.held.drain(..self.held.len() - kept);
        passed.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};
    use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

    use super::{OF_THE_CALLER, OF_VAPI, Sieve, kept};

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        headers.keys().map(HeaderName::as_str).collect()
    }

    #[test]
    fn what_is_of_a_connection_or_shows_who_somebody_is_stays_behind() {
        let request = headers(&[
            ("host", "ours"),
            ("connection", "keep-alive, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "1"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("authorization", "Bearer theirs"),
            ("cookie", "session=1"),
            ("x-forwarded-for", "10.0.0.1"),
            ("cf-connecting-ip", "10.0.0.1"),
            ("content-type", "application/json"),
            ("content-length", "2"),
            ("x-fern-language", "Python"),
        ]);
        let mut passed = kept(request, &OF_THE_CALLER);
        assert_eq!(passed.remove("x-fern-language").expect("it goes along"), "Python");
        let mut left = names(&passed);
        left.sort_unstable();
        assert_eq!(left, ["content-length", "content-type"]);
        let answer = headers(&[("set-cookie", "a=b"), ("content-length", "9"), ("content-type", "text/event-stream"), ("te", "x")]);
        assert_eq!(names(&kept(answer, &OF_VAPI)), ["content-type"]);
    }

    proptest! {
        #[test]
        fn the_secret_never_passes_wherever_it_is_cut(parts in prop::collection::vec("[abx]{0,6}|abab", 0..12), cuts in any::<Vec<u8>>()) {
            let text = parts.concat();
            let mut sieve = Sieve { secret: b"abab".to_vec(), held: Vec::new() };
            let (mut passed, mut rest) = (Vec::new(), text.as_bytes());
            for cut in cuts {
                let (piece, more) = rest.split_at(usize::from(cut % 7).min(rest.len()));
                passed.extend_from_slice(&sieve.push(piece));
                rest = more;
            }
            passed.extend_from_slice(&sieve.push(rest));
            passed.extend_from_slice(&sieve.held);
            prop_assert_eq!(String::from_utf8_lossy(&passed), text.replace("abab", "[redacted]"));
        }
    }
}
