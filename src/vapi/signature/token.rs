//! Secrets sent as they are, in a header.

use std::fmt;

use axum::http::{
    HeaderMap, HeaderName,
    header::{AUTHORIZATION, HeaderValue},
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Proof, ProofKind, secrets::Secrets};

/// The header of Vapi's oldest way to prove itself.
const X_VAPI_SECRET: HeaderName = HeaderName::from_static("x-vapi-secret");
/// The scheme that may stand before a token.
const BEARER: &[u8] = b"bearer";

/// Compares digests, so that neither content nor length of a secret shows in the time it takes.
#[derive(Debug)]
pub(super) struct Token {
    kind: ProofKind,
    header: HeaderName,
    digests: Vec<(usize, Sha256Digest)>,
}

/// Not shown: a weak secret can be guessed from its digest.
struct Sha256Digest([u8; 32]);

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha256Digest")
    }
}

impl Token {
    pub(super) fn secret(secrets: &Secrets) -> Self {
        Self::new(ProofKind::Secret, X_VAPI_SECRET, secrets)
    }

    pub(super) fn bearer(secrets: &Secrets) -> Self {
        Self::new(ProofKind::Bearer, AUTHORIZATION, secrets)
    }

    fn new(kind: ProofKind, header: HeaderName, secrets: &Secrets) -> Self {
        Self { kind, header, digests: secrets.tokens().map(|(index, token)| (index, digest(token))).collect() }
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.digests.is_empty()
    }

    pub(super) fn is_tried(&self, headers: &HeaderMap) -> bool {
        headers.contains_key(&self.header)
    }

    pub(super) fn verify(&self, headers: &HeaderMap) -> Option<Proof> {
        let secret_index = headers.get_all(&self.header).iter().flat_map(readings).find_map(|token| self.index_of(token))?;
        Some(Proof { kind: self.kind, covers_message_id: None, timestamped: false, secret_index })
    }

    fn index_of(&self, token: &[u8]) -> Option<usize> {
        let sent = digest(token);
        self.digests.iter().find(|(_, digest)| digest.0.ct_eq(&sent.0).into()).map(|(index, _)| *index)
    }
}

/// The value as it stands, and without `Bearer` before it: a Bearer credential of Vapi may send either, in any header.
fn readings(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let whole = value.as_bytes().trim_ascii();
    let bare = whole.split_at_checked(BEARER.len()).and_then(|(scheme, rest)| {
        (scheme.eq_ignore_ascii_case(BEARER) && rest.first().is_some_and(u8::is_ascii_whitespace)).then_some(rest.trim_ascii())
    });
    [Some(whole), bare].into_iter().flatten()
}

fn digest(bytes: &[u8]) -> Sha256Digest {
    Sha256Digest(Sha256::digest(bytes).into())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::readings;

    #[test]
    fn a_token_may_have_its_scheme_before_it() {
        for (value, expected) in [
            ("abc", vec!["abc"]),
            ("Bearer abc", vec!["Bearer abc", "abc"]),
            ("BEARER\t  abc ", vec!["BEARER\t  abc", "abc"]),
            ("Bearer a b", vec!["Bearer a b", "a b"]),
            ("Bearerabc", vec!["Bearerabc"]),
            ("Basic abc", vec!["Basic abc"]),
            ("Bearer", vec!["Bearer"]),
            ("bear", vec!["bear"]),
            ("", vec![""]),
        ] {
            let value = HeaderValue::from_str(value).expect("a header's value");
            assert_eq!(readings(&value).collect::<Vec<_>>(), expected.iter().map(|text| text.as_bytes()).collect::<Vec<_>>());
        }
    }
}
