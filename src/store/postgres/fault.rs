//! What went wrong between us and the server, and what follows from it.

use std::{error::Error as _, io, time::Duration};

use tokio_postgres::error::{DbError, SqlState};

use crate::store::StoreError;

/// A failure, by what follows from it. The texts are for logs and hold no values of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection is gone, or none can be had: try another one.
    Lost(String),
    /// The server undid the transaction and asks to try again: deadlock, lock timeout, somebody else was faster.
    Again(String),
    /// The server gave up a statement that took too long, or somebody had it do so; the transaction is undone, and the connection is in order.
    Slow(String),
    /// Statements don't stay prepared: a transaction pooler stands in between.
    Pooled(String),
    /// The server undid the transaction because of what it was given, or has no room.
    Refused(String),
    /// The operator has to do something; the text says what.
    Unusable(String),
    /// The schema is older than the one that is needed, and may not be changed.
    Behind(String),
}

impl Fault {
    /// No answer in time.
    pub(super) fn late(after: Duration) -> Self {
        Self::Lost(format!("no answer within {after:?}"))
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Lost(text) | Fault::Again(text) | Fault::Slow(text) | Fault::Pooled(text) | Fault::Refused(text) => {
                Self::Unavailable(text)
            }
            Fault::Unusable(text) => Self::Unusable(text),
            Fault::Behind(text) => Self::Behind(text),
        }
    }
}

/// What a row holds can't be understood: to read it again won't help.
impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(text) => Self::Refused(text),
            StoreError::Unusable(text) => Self::Unusable(text),
            StoreError::Behind(text) => Self::Behind(text),
        }
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(said) = error.as_db_error() {
            return of_server(said);
        }
        let text = error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
        let kind = error.to_string();
        match kind.as_str() {
            // A password is missing, or the server wants a proof that we don't have.
            "authentication error" | "invalid configuration" => Self::Unusable(text),
            "error performing TLS handshake" if !is_io(&error) => Self::Unusable(format!(
                "no TLS with the server ({text}): correct sslmode or sslrootcert in the URL; sslmode=disable does without TLS"
            )),
            _ if kind.starts_with("error deserializing") || kind.starts_with("error serializing") || kind.starts_with("invalid column") => {
                Self::Refused(text)
            }
            _ => Self::Lost(text),
        }
    }
}

/// Did the network fail? (rustls wraps its own verdicts in I/O errors too.)
fn is_io(error: &tokio_postgres::Error) -> bool {
    let io = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    io.is_some_and(|io| {
        let is_verdict = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).is_some();
        !is_verdict && io.kind() != io::ErrorKind::InvalidInput
    })
}

fn of_server(said: &DbError) -> Fault {
    let (code, text) = (said.code(), told(said));
    let again = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::LOCK_NOT_AVAILABLE];
    // Two instances stored the same event of two calls at once: the second look finds it. Elsewhere it is somebody else's rule.
    let is_race = *code == SqlState::UNIQUE_VIOLATION && said.schema() == Some("ringback");
    let pooled = [SqlState::INVALID_SQL_STATEMENT_NAME, SqlState::DUPLICATE_PSTATEMENT];
    let lost = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::TOO_MANY_CONNECTIONS,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        // A standby that has not taken over yet, or the former primary.
        SqlState::READ_ONLY_SQL_TRANSACTION,
        SqlState::PROTOCOL_VIOLATION,
    ];
    let unusable = [
        SqlState::INVALID_PASSWORD,
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        SqlState::INVALID_CATALOG_NAME,
        SqlState::INSUFFICIENT_PRIVILEGE,
    ];
    if is_race || again.contains(code) {
        Fault::Again(text)
    } else if *code == SqlState::QUERY_CANCELED {
        Fault::Slow(text)
    } else if pooled.contains(code) {
        Fault::Pooled(text)
    } else if lost.contains(code) || code.code().starts_with("08") {
        Fault::Lost(text)
    } else if unusable.contains(code) {
        Fault::Unusable(text)
    } else {
        Fault::Refused(text)
    }
}

/// What the server said. About values it refused (classes 22 and 23), only where: its words would repeat them.
fn told(said: &DbError) -> String {
    let code = said.code().code();
    if code.starts_with("22") || code.starts_with("23") {
        let place: Vec<&str> = [said.table(), said.column(), said.constraint()].into_iter().flatten().collect();
        return format!("{code} at {}", place.join("."));
    }
    format!("{code} {}", said.message())
}
