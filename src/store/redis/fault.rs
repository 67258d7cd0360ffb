//! What went wrong between us and the server, and what follows from it.

use std::{
    error::{self, Error as _},
    io,
    sync::Arc,
    time::Duration,
};

use redis::{ErrorKind, RedisError};

use crate::store::StoreError;

/// A failure, by what follows from it. The texts are for logs and hold no values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection is gone, none can be had, or the server can't serve just now: try again.
    Lost(String),
    /// The server refused what it was asked, or has no room.
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
            Fault::Lost(text) | Fault::Refused(text) => Self::Unavailable(text),
            Fault::Unusable(text) => Self::Unusable(text),
            Fault::Behind(text) => Self::Behind(text),
        }
    }
}

/// What is stored can't be understood: to read it again won't help.
impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(text) => Self::Refused(text),
            StoreError::Unusable(text) => Self::Unusable(text),
            StoreError::Behind(text) => Self::Behind(text),
        }
    }
}

/// Codes of a server that can't serve just now: it starts, fails over, or is busy.
const PASSING: [&str; 9] = ["LOADING", "MASTERDOWN", "READONLY", "TRYAGAIN", "CLUSTERDOWN", "BUSY", "NOTREADY", "UNBLOCKED", "NOREPLICAS"];
/// Codes of a server that does not let us in.
const CLOSED: [&str; 2] = ["NOAUTH", "WRONGPASS"];
/// Codes of a server that holds only a part of the keys.
const PARTED: [&str; 3] = ["MOVED", "ASK", "CROSSSLOT"];

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        // A pipeline's error wraps those of its commands.
        let said = matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension);
        if said
            && let Some(errors) = error.clone().into_server_errors()
            && let Some((_, first)) = errors.first()
        {
            return of_server(first.code(), first.details().unwrap_or_default());
        }
        match error.kind() {
            ErrorKind::Io if is_verdict(&error) => Self::Unusable(format!(
                "no TLS with the server ({error}): name the file of its root by ?sslrootcert=, or use redis:// where nobody listens"
            )),
            ErrorKind::InvalidClientConfig => Self::Unusable(error.category().to_owned()),
            ErrorKind::UnexpectedReturnType => Self::Refused(error.category().to_owned()),
            ErrorKind::Server(_) => of_server(error.code().unwrap_or("ERR"), error.detail().unwrap_or_default()),
            _ => Self::Lost(error.to_string()),
        }
    }
}

/// Did TLS fail, and not the network?
fn is_verdict(error: &RedisError) -> bool {
    // The library shares the causes of its errors.
    let shared = error.source().and_then(|cause| cause.downcast_ref::<Arc<dyn error::Error + Send + Sync>>());
    let io = shared.and_then(|cause| cause.downcast_ref::<io::Error>());
    io.and_then(io::Error::get_ref).is_some_and(|inner| inner.downcast_ref::<rustls::Error>().is_some())
}

fn of_server(code: &str, details: &str) -> Fault {
    let text = format!("{code} {details}").trim_end().to_owned();
    if PASSING.contains(&code) || details.starts_with("max number of clients") {
        Fault::Lost(text)
    } else if CLOSED.contains(&code) || details.starts_with("AUTH ") || details.starts_with("invalid password") {
        Fault::Unusable(format!("the server does not let us in ({text}): correct user and password in the URL"))
    } else if PARTED.contains(&code) {
        Fault::Unusable(format!("the server is part of a cluster ({code}): Ringback needs all its keys on one server"))
    } else if details.starts_with("DB index is out of range") || details.starts_with("invalid DB index") {
        Fault::Unusable(format!("the server has no such database ({text}): correct the number at the end of the URL"))
    } else {
        Fault::Refused(text)
    }
}

#[cfg(test)]
mod tests {
    use super::{Fault, RedisError, io, of_server};

    #[test]
    fn what_passes_is_tried_again_and_what_stays_is_told() {
        for (code, details, expected) in [
            ("LOADING", "Redis is loading the dataset in memory", "lost"),
            ("READONLY", "You can't write against a read only replica.", "lost"),
            ("ERR", "max number of clients reached", "lost"),
            ("OOM", "command not allowed when used memory > 'maxmemory'.", "refused"),
            ("MISCONF", "Errors writing to the AOF file", "refused"),
            ("NOPERM", "this user has no permissions", "refused"),
            ("WRONGPASS", "invalid username-password pair or user is disabled.", "unusable"),
            ("NOAUTH", "Authentication required.", "unusable"),
            ("ERR", "AUTH <password> called without any password configured", "unusable"),
            ("ERR", "DB index is out of range", "unusable"),
            ("MOVED", "866 127.0.0.1:7002", "unusable"),
        ] {
            let told = match of_server(code, details) {
                Fault::Lost(_) => "lost",
                Fault::Refused(_) => "refused",
                Fault::Unusable(_) => "unusable",
                Fault::Behind(_) => "behind",
            };
            assert_eq!(told, expected, "{code} {details}");
        }
    }

    #[test]
    fn a_wrong_certificate_is_for_the_operator_and_a_cut_line_is_not() {
        let wrapped = |error: io::Error| Fault::from(RedisError::from(error));
        let verdict = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        assert!(matches!(wrapped(io::Error::new(io::ErrorKind::InvalidData, verdict)), Fault::Unusable(_)));
        assert!(matches!(wrapped(io::ErrorKind::ConnectionReset.into()), Fault::Lost(_)));
        assert!(matches!(wrapped(io::ErrorKind::ConnectionRefused.into()), Fault::Lost(_)));
    }
}
