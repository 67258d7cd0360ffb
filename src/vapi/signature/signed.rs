//! Signatures over the body.
//!
//! A signature says under which format it was made only by the header it stands in, so one of `{timestamp}.{body}` also holds, bare, for a
//! body that begins with that timestamp and a dot. That is no JSON, and goes no further.

use axum::http::{HeaderMap, HeaderName};

use super::{
    Proof, ProofKind, Rejection, Request,
    format::{Format, Parts, Place},
    mac::{Algorithm, Encoding, Key},
    plan::HmacPlan,
    secrets::Secrets,
    stamp,
};
use crate::call::time::Millis;

/// The header of bare signatures, from Vapi's sample code.
const X_VAPI_SIGNATURE: HeaderName = HeaderName::from_static("x-vapi-signature");
/// What may stand before a bare signature.
const BARE_PREFIX: &[u8] = b"sha256=";
/// The headers, the format and the version of Standard Webhooks.
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const STANDARD_FORMAT: &str = "{svix-id}.{timestamp}.{body}";
const STANDARD_VERSION: &[u8] = b"v1,";

/// Where timestamps, message ids or addresses are several, this many combinations are hashed: a stranger could repeat headers at will.
const MAX_COMBINATIONS: usize = 4;
/// The longest message id that is taken, in bytes: it becomes the id of an event.
const MAX_MESSAGE_ID_BYTES: usize = 256;

/// One way of signing: where the signature stands, what it covers, whose keys count.
#[derive(Debug)]
pub(super) struct Signed {
    kind: ProofKind,
    algorithm: Algorithm,
    sources: Vec<Source>,
    format: Format,
    timestamp_header: Option<HeaderName>,
    message_id_header: Option<HeaderName>,
    urls: Vec<String>,
    keys: Vec<(usize, Key)>,
}

/// A header with signatures.
#[derive(Debug)]
struct Source {
    header: HeaderName,
    shape: Shape,
}

/// How signatures are written in a header.
#[derive(Debug)]
enum Shape {
    /// Any encoding, with or without the usual prefix.
    Bare,
    /// As the plan says.
    Planned { prefix: Vec<u8>, encoding: Encoding },
    /// Several, separated by space, each with its version before it; the other versions are not ours to check.
    Standard,
}

impl Signed {
    /// Standard Webhooks.
    pub(super) fn standard(secrets: &Secrets, plan: &HmacPlan) -> Self {
        Self {
            kind: ProofKind::Standard,
            algorithm: Algorithm::Sha256,
            sources: vec![Source { header: WEBHOOK_SIGNATURE, shape: Shape::Standard }],
            format: Format::parse(STANDARD_FORMAT),
            timestamp_header: Some(WEBHOOK_TIMESTAMP),
            message_id_header: Some(WEBHOOK_ID),
            urls: Vec::new(),
            keys: keyed(Algorithm::Sha256, secrets.standard_keys(plan.secret_is_base64)),
        }
    }

    /// Vapi's HMAC credential.
    pub(super) fn planned(secrets: &Secrets, plan: &HmacPlan, urls: &[String]) -> Self {
        Self {
            kind: ProofKind::Signature,
            algorithm: plan.algorithm,
            sources: vec![Source::planned(plan)],
            format: plan.format.clone(),
            timestamp_header: plan.format.has(Place::Timestamp).then(|| plan.timestamp_header.clone()),
            message_id_header: plan.message_id_header.clone().filter(|_| plan.format.has(Place::MessageId)),
            urls: urls.to_vec(),
            keys: keyed(plan.algorithm, secrets.plan_keys(plan.secret_is_base64)),
        }
    }

    /// HMAC-SHA256 over the body alone. A plan that says the same is one more place to look, so that the body is hashed once for both.
    pub(super) fn bare(secrets: &Secrets, plan: &HmacPlan) -> Self {
        let bare = Source { header: X_VAPI_SIGNATURE, shape: Shape::Bare };
        Self {
            kind: ProofKind::Signature,
            algorithm: Algorithm::Sha256,
            sources: plan.is_bare().then(|| Source::planned(plan)).into_iter().chain([bare]).collect(),
            format: Format::parse("{body}"),
            timestamp_header: None,
            message_id_header: None,
            urls: Vec::new(),
            keys: keyed(Algorithm::Sha256, secrets.plan_keys(false)),
        }
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.keys.is_empty()
    }

    pub(super) fn is_timestamped(&self) -> bool {
        self.timestamp_header.is_some()
    }

    pub(super) fn is_tried(&self, headers: &HeaderMap) -> bool {
        self.sources.iter().any(|source| headers.contains_key(&source.header))
    }

    /// Looks for a signature that is right; `in_time` judges a signed timestamp.
    pub(super) fn verify(&self, request: &Request<'_>, in_time: impl Fn(Millis) -> bool) -> Result<Proof, Rejection> {
        let claimed = self.claimed(request.headers);
        if claimed.is_empty() {
            return Err(Rejection::Invalid);
        }
        let (timestamps, message_ids, urls) = (self.timestamps(request.headers), self.message_ids(request.headers), self.urls(request));
        let combinations = timestamps.iter().flat_map(|timestamp| {
            let message_ids = &message_ids;
            let urls = &urls;
            message_ids.iter().flat_map(move |message_id| urls.iter().map(move |url| (*timestamp, *message_id, url)))
        });
        let mut rejection = Rejection::Invalid;
        for ((timestamp, at), message_id, url) in combinations.take(MAX_COMBINATIONS) {
            let parts = Parts { body: request.body, timestamp, message_id, method: request.method, url };
            let Some((secret_index, _)) = self.keys.iter().find(|(_, key)| key.signs(self.format.fill(parts), &claimed)) else { continue };
            if at.is_none_or(&in_time) {
                let covers_message_id = (self.kind == ProofKind::Standard).then(|| message_id.to_owned());
                return Ok(Proof { kind: self.kind, covers_message_id, timestamped: at.is_some(), secret_index: *secret_index });
            }
            rejection = Rejection::Stale;
        }
        Err(rejection)
    }

    /// Every signature that has the right shape.
    fn claimed(&self, headers: &HeaderMap) -> Vec<Vec<u8>> {
        self.sources
            .iter()
            .flat_map(|source| headers.get_all(&source.header).iter().flat_map(|value| source.shape.read(value.as_bytes(), self.algorithm)))
            .collect()
    }

    /// Every timestamp that is one, as signed and as a moment; a single empty one if the format has none.
    fn timestamps<'a>(&self, headers: &'a HeaderMap) -> Vec<(&'a str, Option<Millis>)> {
        let Some(header) = &self.timestamp_header else { return vec![("", None)] };
        texts(headers, header).filter_map(|text| stamp::parse(text).map(|at| (text, Some(at)))).collect()
    }

    /// Every message id that may be one; a single empty one if the format has none.
    fn message_ids<'a>(&self, headers: &'a HeaderMap) -> Vec<&'a str> {
        let Some(header) = &self.message_id_header else { return vec![""] };
        texts(headers, header).filter(|id| !id.is_empty() && id.len() <= MAX_MESSAGE_ID_BYTES).collect()
    }

    /// What the sender may have thought our address is: the configured origins with the path that was asked for, then the configured
    /// addresses as they stand, since a proxy may have changed the path. The `Host` header is a stranger's word and does not count.
    fn urls(&self, request: &Request<'_>) -> Vec<String> {
        if !self.format.has(Place::Url) {
            return vec![String::new()];
        }
        let asked = self.urls.iter().map(|url| format!("{}{}", origin(url), request.path_and_query));
        let mut urls = Vec::new();
        for url in asked.chain(self.urls.iter().cloned()) {
            if !urls.contains(&url) {
                urls.push(url);
            }
        }
        urls
    }
}

impl Source {
    fn planned(plan: &HmacPlan) -> Self {
        let shape = Shape::Planned { prefix: plan.signature_prefix.clone().into_bytes(), encoding: plan.signature_encoding };
        Self { header: plan.signature_header.clone(), shape }
    }
}

impl Shape {
    fn read(&self, value: &[u8], algorithm: Algorithm) -> Vec<Vec<u8>> {
        let value = value.trim_ascii();
        match self {
            Self::Bare => {
                let digits = value.strip_prefix(BARE_PREFIX).unwrap_or(value);
                let either = Encoding::Hex.decode(digits, algorithm).or_else(|| Encoding::Base64.decode(digits, algorithm));
                either.into_iter().collect()
            }
            Self::Planned { prefix, encoding } => {
                value.strip_prefix(prefix.as_slice()).and_then(|digits| encoding.decode(digits, algorithm)).into_iter().collect()
            }
            Self::Standard => value
                .split(u8::is_ascii_whitespace)
                .filter_map(|listed| Encoding::Base64.decode(listed.strip_prefix(STANDARD_VERSION)?, algorithm))
                .collect(),
        }
    }
}

fn keyed(algorithm: Algorithm, secrets: impl Iterator<Item = (usize, Vec<u8>)>) -> Vec<(usize, Key)> {
    secrets.map(|(index, secret)| (index, Key::new(algorithm, &secret))).collect()
}

/// The values of a header that are text.
fn texts<'a>(headers: &'a HeaderMap, header: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(header).iter().filter_map(|value| value.to_str().ok())
}

/// Scheme, host and port of an address.
fn origin(url: &str) -> &str {
    let host_at = url.find("://").map_or(0, |at| at + "://".len());
    url[host_at..].find(['/', '?', '#']).map_or(url, |end| &url[..host_at + end])
}

#[cfg(test)]
mod tests {
    use super::{Algorithm, Encoding, Shape, origin};

    #[test]
    fn an_origin_ends_where_the_path_begins() {
        for (url, expected) in [
            ("https://calls.example.com/api/v1", "https://calls.example.com"),
            ("https://calls.example.com", "https://calls.example.com"),
            ("http://[::1]:8000/?q", "http://[::1]:8000"),
            ("https://calls.example.com?q=/", "https://calls.example.com"),
            ("calls.example.com/api", "calls.example.com"),
            ("https://", "https://"),
            ("", ""),
        ] {
            assert_eq!(origin(url), expected, "{url}");
        }
    }

    #[test]
    fn every_listed_signature_of_our_version_is_read_and_no_other() {
        let [first, second] = [0xff, 0xfe].map(|byte| vec![byte; 32]);
        let value = "v1,//////////////////////////////////////////8= v1a,//////////////////////////////////////////8=\t\
                     v2,AAAA  v1, v1,/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v4=";
        assert_eq!(Shape::Standard.read(value.as_bytes(), Algorithm::Sha256), [first, second]);
        assert!(Shape::Standard.read(b"", Algorithm::Sha256).is_empty());
    }

    #[test]
    fn a_planned_signature_stands_alone_behind_its_prefix() {
        let shape = |prefix: &str| Shape::Planned { prefix: prefix.into(), encoding: Encoding::Hex };
        let hex = "ff".repeat(20);
        for (prefix, value, count) in [
            ("", hex.clone(), 1),
            ("", format!("  {hex} "), 1),
            ("sha1=", format!("sha1={hex}"), 1),
            ("HMAC v1 ", format!("HMAC v1 {hex}"), 1),
            ("sha1=", hex.clone(), 0),
            ("", format!("sha1={hex}"), 0),
            ("", format!("{hex} {hex}"), 0),
        ] {
            assert_eq!(shape(prefix).read(value.as_bytes(), Algorithm::Sha1).len(), count, "{prefix:?} {value:?}");
        }
    }
}
