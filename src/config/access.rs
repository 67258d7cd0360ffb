//! Who may do what: tokens, what is open to all, trusted proxies.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{
    proxies::TrustedProxies,
    reader::{Reader, parts},
};

/// Fewer characters than this are too few for a token or a webhook secret.
pub(super) const SECRET_CHARACTERS: usize = 16;
/// Longest name of a token.
const NAME_CHARACTERS: usize = 32;
/// Marks a token that is given as its digest.
const DIGEST_PREFIX: &str = "sha256:";

/// What a token may do; each scope includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Read one call by its id.
    Poll,
    /// Every reading route.
    Read,
    /// Place, cancel and fetch calls.
    Place,
    /// Everything.
    Admin,
}

impl Scope {
    /// The word for it in `API_TOKENS` and in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Read => "read",
            Self::Place => "place",
            Self::Admin => "admin",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Poll, Self::Read, Self::Place, Self::Admin].into_iter().find(|scope| scope.as_str() == word)
    }
}

/// A token of the API, known by its digest only.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// What logs show: `[a-z][a-z0-9-]{0,31}`.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// SHA-256 of the token.
    pub digest: [u8; 32],
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiToken").field("name", &self.name).field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// Who may do what.
#[derive(Debug, Clone)]
pub struct AccessConfig {
    /// Tokens of the API.
    pub tokens: Vec<ApiToken>,
    /// Webhooks need no proof.
    pub open_webhooks: bool,
    /// Reading calls, results and cache statistics needs no token.
    pub open_reads: bool,
    /// Whose forwarded addresses count.
    pub trusted_proxies: TrustedProxies,
}

impl AccessConfig {
    pub(super) fn read(reader: &mut Reader<'_>, exposed: bool) -> Self {
        let tokens = tokens(reader, exposed);
        let open = reader.list("ALLOW_UNAUTHENTICATED");
        if open.iter().any(|word| word != "webhooks" && word != "reads") {
            reader.problem("ALLOW_UNAUTHENTICATED must list `webhooks`, `reads`, or both");
        }
        let lists = |word: &str| open.iter().any(|listed| listed == word);
        Self { open_webhooks: lists("webhooks"), open_reads: lists("reads"), tokens, trusted_proxies: TrustedProxies::read(reader) }
    }

    /// The token that somebody shows, if it is one of ours. Takes as long for a wrong one as for a right one.
    #[must_use]
    pub fn find(&self, shown: &str) -> Option<&ApiToken> {
        let digest = digest(shown);
        self.tokens.iter().fold(None, |found, token| if bool::from(token.digest.ct_eq(&digest)) { Some(token) } else { found })
    }
}

/// SHA-256 of a token.
pub(super) fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

fn tokens(reader: &mut Reader<'_>, exposed: bool) -> Vec<ApiToken> {
    let Some(text) = reader.text("API_TOKENS") else { return Vec::new() };
    let mut tokens: Vec<ApiToken> = Vec::new();
    for (index, entry) in parts(&text).enumerate().filter(|(_, entry)| !entry.is_empty()) {
        let place = index + 1;
        match parse(&entry) {
            Ok((token, short)) => {
                if short {
                    reader.problem_if(
                        exposed,
                        format!("API_TOKENS: the token of entry {place} should have {SECRET_CHARACTERS} characters or more"),
                    );
                }
                if tokens.iter().any(|other| other.name == token.name || other.digest == token.digest) {
                    reader.problem(format!("API_TOKENS: entry {place} repeats the name or the token of another; make both unique"));
                }
                tokens.push(token);
            }
            Err(expected) => reader.problem(format!("API_TOKENS: entry {place} {expected}")),
        }
    }
    tokens
}

/// Reads `[scope:]name=token`; tells also whether the token is too short.
fn parse(entry: &str) -> Result<(ApiToken, bool), &'static str> {
    // A token may have `=` in it, a name may not.
    let (owner, token) = entry.split_once('=').ok_or("must look like [scope:]name=token")?;
    let (owner, token) = (owner.trim(), token.trim());
    let (scope, name) = match owner.split_once(':') {
        Some((word, name)) => (Scope::parse(word).ok_or("must have one of the scopes poll, read, place, admin before the colon")?, name),
        None => (Scope::Admin, owner),
    };
    if !is_name(name) {
        return Err("must have a name of 1 to 32 lower-case letters, digits and hyphens that begins with a letter");
    }
    let (digest, short) = match token.strip_prefix(DIGEST_PREFIX) {
        Some(hexadecimal) => {
            let mut digest = [0; 32];
            hex::decode_to_slice(hexadecimal, &mut digest).or(Err("must have 64 hexadecimal digits after sha256:"))?;
            (digest, false)
        }
        None if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
            return Err("must have a token of visible ASCII characters after the =");
        }
        None => (digest(token), token.len() < SECRET_CHARACTERS),
    };
    Ok((ApiToken { name: name.to_owned(), scope, digest }, short))
}

fn is_name(name: &str) -> bool {
    name.len() <= NAME_CHARACTERS
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
