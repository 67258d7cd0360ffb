//! The secrets that webhooks are checked against.

use secrecy::{ExposeSecret, SecretString};

use super::mac::base64;

/// How the secrets of Standard Webhooks begin.
const STANDARD_PREFIX: &str = "whsec_";

/// One or more secrets, newest first. Never shown.
#[derive(Debug)]
pub struct Secrets(Vec<Secret>);

#[derive(Debug)]
struct Secret {
    /// Without the prefix of [`Purpose::Standard`].
    text: SecretString,
    purpose: Purpose,
}

#[derive(Debug, PartialEq, Eq)]
enum Purpose {
    /// Serves every kind of proof.
    Any,
    /// Is base64, and serves Standard Webhooks only.
    Standard,
}

/// What is wrong with a list of secrets; entries count from 1. The secrets themselves are not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretsError {
    /// Nothing between two commas, or nothing at all.
    #[error("secret {0} is empty")]
    Empty(usize),
    /// `whsec_` with something after it that is not base64, or with nothing.
    #[error("secret {0} begins with whsec_, but what follows is no base64 key")]
    NotBase64(usize),
}

impl Secrets {
    /// Reads a comma separated list, newest first; space around an entry is dropped.
    ///
    /// # Errors
    /// [`SecretsError`] when an entry is empty, or begins with `whsec_` and is not base64.
    pub fn parse(list: &str) -> Result<Self, SecretsError> {
        list.split(',').zip(1..).map(|(entry, number)| Secret::parse(entry.trim(), number)).collect::<Result<_, _>>().map(Self)
    }

    /// Those that may be sent as they are, with their places in the list.
    pub(super) fn tokens(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.plain().map(|(index, secret)| (index, secret.text.expose_secret().as_bytes()))
    }

    /// The keys of Vapi's HMAC plan, with their places in the list. What should be base64 and is not, is no key.
    pub(super) fn plan_keys(&self, is_base64: bool) -> impl Iterator<Item = (usize, Vec<u8>)> {
        self.plain().filter_map(move |(index, secret)| Some((index, secret.key(is_base64)?)))
    }

    /// The keys of Standard Webhooks, with their places in the list. Plain secrets are base64 if the plan says so.
    pub(super) fn standard_keys(&self, is_base64: bool) -> impl Iterator<Item = (usize, Vec<u8>)> {
        let key = move |secret: &Secret| secret.key(is_base64 || secret.purpose == Purpose::Standard);
        self.0.iter().enumerate().filter_map(move |(index, secret)| Some((index, key(secret)?)))
    }

    /// Is there any key for a plan that says base64?
    pub(super) fn has_base64(&self) -> bool {
        self.standard_keys(true).next().is_some()
    }

    fn plain(&self) -> impl Iterator<Item = (usize, &Secret)> {
        self.0.iter().enumerate().filter(|(_, secret)| secret.purpose == Purpose::Any)
    }
}

impl Secret {
    fn parse(entry: &str, number: usize) -> Result<Self, SecretsError> {
        if entry.is_empty() {
            return Err(SecretsError::Empty(number));
        }
        let Some(text) = entry.strip_prefix(STANDARD_PREFIX) else {
            return Ok(Self { text: entry.into(), purpose: Purpose::Any });
        };
        let secret = Self { text: text.into(), purpose: Purpose::Standard };
        if secret.key(true).is_none() {
            return Err(SecretsError::NotBase64(number));
        }
        Ok(secret)
    }

    /// Never an empty key: anybody could sign with that.
    fn key(&self, is_base64: bool) -> Option<Vec<u8>> {
        let text = self.text.expose_secret().as_bytes();
        if is_base64 { base64(text).filter(|key| !key.is_empty()) } else { Some(text.to_vec()) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Secrets, SecretsError};

    fn plan_keys(secrets: &Secrets, is_base64: bool) -> Vec<(usize, Vec<u8>)> {
        secrets.plan_keys(is_base64).collect()
    }

    #[test]
    fn a_list_is_read_newest_first() {
        let secrets = Secrets::parse(" new-one , whsec_b2xkLW9uZQ==,old-one").expect("a good list");
        assert_eq!(secrets.tokens().collect::<Vec<_>>(), [(0, &b"new-one"[..]), (2, b"old-one")]);
        assert_eq!(plan_keys(&secrets, false), [(0, b"new-one".to_vec()), (2, b"old-one".to_vec())]);
        let standard: Vec<_> = secrets.standard_keys(false).collect();
        assert_eq!(standard, [(0, b"new-one".to_vec()), (1, b"old-one".to_vec()), (2, b"old-one".to_vec())]);
    }

    #[test]
    fn a_plan_may_say_that_secrets_are_base64() {
        let secrets = Secrets::parse("b2xk,not base64!,whsec_bmV3").expect("a good list");
        assert_eq!(plan_keys(&secrets, true), [(0, b"old".to_vec())]);
        assert_eq!(secrets.standard_keys(true).collect::<Vec<_>>(), [(0, b"old".to_vec()), (2, b"new".to_vec())]);
        assert!(secrets.has_base64());
        assert!(!Secrets::parse("not base64!").expect("a good list").has_base64());
    }

    #[test]
    fn a_list_with_a_hole_is_refused() {
        for (list, error) in [
            ("", SecretsError::Empty(1)),
            ("  ", SecretsError::Empty(1)),
            ("one,", SecretsError::Empty(2)),
            ("one, ,three", SecretsError::Empty(2)),
            ("whsec_", SecretsError::NotBase64(1)),
            ("one,whsec_####", SecretsError::NotBase64(2)),
        ] {
            assert_eq!(Secrets::parse(list).expect_err(list), error);
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secrets = Secrets::parse("open-sesame,whsec_b3Blbg==").expect("a good list");
        let shown = format!("{secrets:?} {:?} {}", SecretsError::NotBase64(2), SecretsError::NotBase64(2));
        assert!(!shown.contains("sesame") && !shown.contains("b3Blbg"), "{shown}");
    }
}
