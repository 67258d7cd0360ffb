//! Does a webhook come from whoever holds our secret? Pure: headers, raw bytes and the time go in, a [`Proof`] or a [`Rejection`] comes out.
//!
//! Wanted:
//! - One allowed proof that is right against one secret suffices. Wrong ones beside it do no harm, so that senders can be moved from one
//!   kind to another, and from one secret to the next, without a gap.
//! - Nothing secret can be learned from how long a check takes: tokens are compared as SHA-256 digests, signatures as MACs of fixed length,
//!   both with `subtle`. Which secret matched, and whether a header has the right shape, is no secret.
//! - What a stranger sends costs little: a signature of the wrong shape is refused before the body is hashed, and of repeated headers only
//!   the first few combinations are hashed (`signed`). A right signature costs one pass over the body, which is never copied.
//! - [`Rejection::Stale`] is said only of a right proof, so that it really means that a clock is wrong or a delivery was replayed.
//!
//! Design: each kind of proof is one check, built once; the strongest is tried first, because its [`Proof`] tells the most. Standard Webhooks
//! and Vapi's bare signature are only special cases of Vapi's HMAC plan: a header to read, a format to hash, keys.
//!
//! | Module | What it holds |
//! |---|---|
//! | [`plan`] | [`HmacPlan`]: how Vapi's HMAC credential signs, from its JSON |
//! | [`secrets`] | [`Secrets`]: the configured secrets, and which of them serve what |
//! | `signed` | signatures over the body: shape, timestamp, keys |
//! | `token` | secrets sent as they are |
//! | `format`, `mac`, `stamp` | what is hashed, how, and when it was signed |

mod format;
mod mac;
pub mod plan;
pub mod secrets;
mod signed;
mod stamp;
mod token;

use std::str::FromStr;

use axum::http::HeaderMap;

pub use self::{
    plan::{HmacPlan, PlanError},
    secrets::{Secrets, SecretsError},
};
use self::{signed::Signed, token::Token};
use crate::call::time::Millis;

/// A way to prove that one holds the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProofKind {
    /// The secret itself in `x-vapi-secret`.
    Secret,
    /// The secret itself in `Authorization`, with or without the word `Bearer`.
    Bearer,
    /// An HMAC: bare in `x-vapi-signature`, or as Vapi's HMAC plan says.
    Signature,
    /// An HMAC as [Standard Webhooks](https://www.standardwebhooks.com) has it.
    Standard,
}

impl ProofKind {
    /// Every kind, in the order in which the documentation lists them.
    pub const ALL: [Self; 4] = [Self::Secret, Self::Bearer, Self::Signature, Self::Standard];

    /// Its word in `VAPI_WEBHOOK_AUTH`, in timelines and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Bearer => "bearer",
            Self::Signature => "signature",
            Self::Standard => "standard",
        }
    }
}

/// The word names no kind of proof. It is not repeated here: a secret may have been put in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the proofs are secret, bearer, signature, standard")]
pub struct UnknownProof;

impl FromStr for ProofKind {
    type Err = UnknownProof;

    fn from_str(word: &str) -> Result<Self, UnknownProof> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word.trim()).ok_or(UnknownProof)
    }
}

/// What a verifier needs to know.
#[derive(Debug)]
pub struct Settings {
    /// The secrets, newest first.
    pub secrets: Secrets,
    /// The proofs that count.
    pub kinds: Vec<ProofKind>,
    /// How Vapi's HMAC credential signs.
    pub plan: HmacPlan,
    /// How far a signed timestamp may be from now, both ways, in milliseconds.
    pub tolerance: i64,
    /// The addresses under which Vapi knows our webhook: what `{url}` in a plan's format stands for.
    pub urls: Vec<String>,
}

/// Why these settings would refuse every webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The plan signs an address, and none is known.
    #[error("payloadFormat has {{url}}, but no public address of the webhook is set")]
    NoUrl,
    /// The plan says that the secret is base64, and no secret is.
    #[error("secretIsBase64 is true, but no secret is base64")]
    NoKey,
    /// No secret serves any proof that counts.
    #[error("no secret serves any proof that counts: those that begin with whsec_ are for standard only")]
    NothingCounts,
}

/// What a request shows of itself. The body is the raw bytes, before any parsing.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The body as it came.
    pub body: &'a [u8],
    /// The method, such as `POST`.
    pub method: &'a str,
    /// The path, and the query if there is one, as requested.
    pub path_and_query: &'a str,
}

/// The sender holds one of the secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// How it was shown.
    pub kind: ProofKind,
    /// `webhook-id`, if a Standard Webhooks signature covers it: only then it can name the event.
    pub covers_message_id: Option<String>,
    /// A signature covers a timestamp, and that is within the tolerance. Tokens cover nothing and have none.
    pub timestamped: bool,
    /// Which secret it was, counted from the newest, 0. Old ones that nobody uses any more can go.
    pub secret_index: usize,
}

impl Proof {
    /// A signature over no more than the body: whoever saw such a request once can send it again beside other headers, such as `x-call-id`.
    #[must_use]
    pub fn is_bare_signature(&self) -> bool {
        self.kind == ProofKind::Signature && !self.timestamped
    }
}

/// Why a request proves nothing. Ordered: of several reasons the last is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rejection {
    /// No header of any proof that counts.
    Missing,
    /// A proof, but a wrong one.
    Invalid,
    /// A right proof, signed too long ago or in the future.
    Stale,
}

impl Rejection {
    /// Its word in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Invalid => "invalid",
            Self::Stale => "stale",
        }
    }
}

/// Knows the secrets, and tells who holds one. Shows none of them.
#[derive(Debug)]
pub struct Verifier {
    checks: Vec<Check>,
    tolerance: i64,
}

#[derive(Debug)]
enum Check {
    Signed(Signed),
    Token(Token),
}

impl Check {
    fn is_tried(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Signed(signed) => signed.is_tried(headers),
            Self::Token(token) => token.is_tried(headers),
        }
    }

    fn is_usable(&self) -> bool {
        match self {
            Self::Signed(signed) => signed.is_usable(),
            Self::Token(token) => token.is_usable(),
        }
    }

    fn can_be_replayed(&self) -> bool {
        matches!(self, Self::Signed(signed) if !signed.is_timestamped())
    }
}

impl Verifier {
    /// Makes the keys ready.
    ///
    /// # Errors
    /// [`SetupError`] when the settings contradict each other so that a proof that counts could never be right.
    pub fn new(settings: &Settings) -> Result<Self, SetupError> {
        let Settings { secrets, kinds, plan, tolerance, urls } = settings;
        let counts = |kind| kinds.contains(&kind);
        let mut checks = Vec::new();
        if counts(ProofKind::Standard) {
            checks.push(Check::Signed(Signed::standard(secrets, plan)));
        }
        if counts(ProofKind::Signature) && !plan.is_bare() {
            checks.push(Check::Signed(Signed::planned(secrets, plan, urls)));
        }
        if counts(ProofKind::Secret) {
            checks.push(Check::Token(Token::secret(secrets)));
        }
        if counts(ProofKind::Bearer) {
            checks.push(Check::Token(Token::bearer(secrets)));
        }
        if counts(ProofKind::Signature) {
            checks.push(Check::Signed(Signed::bare(secrets, plan)));
        }
        if counts(ProofKind::Signature) && plan.signs_url() && urls.is_empty() {
            return Err(SetupError::NoUrl);
        }
        if plan.secret_is_base64 && (counts(ProofKind::Signature) || counts(ProofKind::Standard)) && !secrets.has_base64() {
            return Err(SetupError::NoKey);
        }
        checks.retain(Check::is_usable);
        // The weakest proof comes last: a better one beside it says more.
        checks.sort_by_key(Check::can_be_replayed);
        if checks.is_empty() {
            return Err(SetupError::NothingCounts);
        }
        Ok(Self { checks, tolerance: *tolerance })
    }

    /// Is there any header of a proof that counts? If not, the body need not be read.
    #[must_use]
    pub fn has_any_header(&self, headers: &HeaderMap) -> bool {
        self.checks.iter().any(|check| check.is_tried(headers))
    }

    /// Looks for one right proof.
    ///
    /// # Errors
    /// [`Rejection`] when there is none.
    pub fn verify(&self, request: &Request<'_>, now: Millis) -> Result<Proof, Rejection> {
        let mut rejection = Rejection::Missing;
        for check in self.checks.iter().filter(|check| check.is_tried(request.headers)) {
            let found = match check {
                Check::Signed(signed) => signed.verify(request, |at| now.since(at).saturating_abs() <= self.tolerance),
                Check::Token(token) => token.verify(request.headers).ok_or(Rejection::Invalid),
            };
            match found {
                Ok(proof) => return Ok(proof),
                Err(reason) => rejection = rejection.max(reason),
            }
        }
        Err(rejection)
    }
}

#[cfg(test)]
mod tests;
