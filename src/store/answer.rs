//! What was answered to an idempotency key, as a document: whoever sends a request again is given the same answer.

use sha2::{Digest as _, Sha256};

use super::{Document, DocumentKind, DocumentWrite};
use crate::call::time::{DAY, Millis};

/// For how many milliseconds it is remembered.
pub const REMEMBERED: i64 = DAY;

/// Its id: who asked (the token's name), with which key, where.
#[must_use]
pub fn answer_id(token: Option<&str>, key: &str, route: &str) -> String {
    let mut hash = Sha256::new();
    // A name of a token has no line break, and neither has a key.
    hash.update(format!("{}\n{key}\n{route}", token.unwrap_or_default()));
    hex::encode(hash.finalize())
}

/// The write of what is answered from now on, for so many milliseconds (`None`: for good), over the revision that stands there; `made` names what was made, and
/// finds it too.
#[must_use]
pub fn answer_write(
    (id, made): (&str, Option<&str>),
    body: Vec<u8>,
    before: Option<u64>,
    (now, kept): (Millis, Option<i64>),
) -> DocumentWrite {
    let document = Document {
        kind: DocumentKind::Answer,
        id: id.to_owned(),
        revision: before.unwrap_or_default() + 1,
        alias: made.map(str::to_owned),
        due: None,
        created_at: now,
        expires_at: kept.map(|kept| now.plus(kept)),
        body,
    };
    DocumentWrite { document, expected: before }
}
