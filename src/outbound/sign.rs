//! Signs what we send, as Standard Webhooks has it (<https://www.standardwebhooks.com>).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretSlice};
use sha2::{Digest as _, Sha256};

/// Marks a key.
const PREFIX: &str = "whsec_";
/// The header that signatures stand in.
const SIGNATURE: &str = "webhook-signature";
/// Bytes that a key must have; the specification says 24 to 64.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=64;

/// A key that requests are signed with. `Debug` shows none of it.
#[derive(Debug, Clone)]
pub struct SigningKey(SecretSlice<u8>);

/// A text is no key. It says nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a signing key is `whsec_` and then 16 to 64 bytes in base64")]
pub struct InvalidKey;

impl SigningKey {
    /// Reads `whsec_…`.
    ///
    /// # Errors
    /// [`InvalidKey`] when it is none.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        let bytes = text.strip_prefix(PREFIX).and_then(|key| STANDARD.decode(key).ok());
        bytes.filter(|bytes| KEY_BYTES.contains(&bytes.len())).map(|bytes| Self(bytes.into())).ok_or(InvalidKey)
    }

    /// The same signed by several keys, as while one takes the place of another: the signatures stand side by side, in order.
    ///
    /// # Panics
    /// Never: signatures are visible ASCII.
    #[must_use]
    pub fn headers_by_all(keys: &[Self], id: &str, at: i64, body: &[u8]) -> HeaderMap {
        let mut signed = keys.iter().map(|key| key.headers(id, at, body));
        let mut headers = signed.next().unwrap_or_default();
        let text = |headers: &HeaderMap| headers.get(SIGNATURE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let all = signed.fold(text(&headers), |all, more| format!("{all} {}", text(&more)));
        if headers.contains_key(SIGNATURE) {
            headers.insert(SIGNATURE, HeaderValue::try_from(all).expect("visible ASCII stands in a header"));
        }
        headers
    }

    /// The three headers for a body, sent at `at` (seconds since 1970). An id that can't stand in a header gives way to its hash.
    ///
    /// # Panics
    /// Never: HMAC takes keys of any length, and visible ASCII stands in a header.
    #[must_use]
    pub fn headers(&self, id: &str, at: i64, body: &[u8]) -> HeaderMap {
        let fits = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic());
        let id = if fits { id.to_owned() } else { hex::encode(Sha256::digest(id)) };
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose_secret()).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{at}.").as_bytes());
        mac.update(body);
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        let headers = [("webhook-id", id), ("webhook-timestamp", at.to_string()), (SIGNATURE, signature)];
        let value = |text: String| HeaderValue::try_from(text).expect("visible ASCII stands in a header");
        headers.into_iter().map(|(name, text)| (HeaderName::from_static(name), value(text))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidKey, SigningKey};

    #[test]
    fn the_specifications_own_example_comes_out() {
        // From the reference libraries' tests.
        let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let headers = key.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(
            (&headers["webhook-id"], &headers["webhook-timestamp"]),
            (&"msg_p5jXN8AQM9LWM0D4loKWxJek".parse().unwrap(), &"1614265330".parse().unwrap())
        );
    }

    #[test]
    fn several_keys_sign_side_by_side() {
        let keys = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx"];
        let keys: Vec<_> = keys.iter().map(|key| SigningKey::parse(key).unwrap()).collect();
        let alone: Vec<_> = keys.iter().map(|key| key.headers("id", 1, b"x")["webhook-signature"].to_str().unwrap().to_owned()).collect();
        let both = SigningKey::headers_by_all(&keys, "id", 1, b"x");
        assert_eq!(both["webhook-signature"], alone.join(" "));
        assert!(SigningKey::headers_by_all(&[], "id", 1, b"x").is_empty());
    }

    #[test]
    fn an_id_that_no_header_takes_gives_way_to_its_hash() {
        let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        for id in ["", "two\nlines", "grüße", "a b"] {
            assert_eq!(key.headers(id, 0, b"")["webhook-id"].len(), 64, "{id:?}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_shown() {
        for wrong in ["", "whsec_", "whsec_!!!!", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert_eq!(SigningKey::parse(wrong).unwrap_err(), InvalidKey, "{wrong}");
        }
        let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert!(!format!("{key:?}").contains("49"), "{key:?}");
    }
}
