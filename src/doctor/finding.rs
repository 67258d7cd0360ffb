//! A finding, and the names of the checks.

use serde::Serialize;

use crate::words::clean;

/// The names of all checks. Stable: scripts and alerts rely on them.
pub const CHECKS: [&str; 20] = [
    "config",
    "store",
    "store_schema",
    "store_room",
    "store_encryption",
    "webhook_url",
    "webhook_reached",
    "webhook_refusal",
    "webhook_proof",
    "webhook_time",
    "vapi_api",
    "clock",
    "kestra",
    "kestra_flow",
    "server_url",
    "server_timeout",
    "server_retries",
    "server_credential",
    "server_messages",
    "tool_url",
];

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Works, but deserves a look.
    Warning,
    /// Webhooks get lost, or will.
    Error,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What one check found. Its texts are one line each, without control characters and secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check, of [`CHECKS`].
    pub check: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The object at Vapi it is about, such as `assistant 0f73…`.
    pub subject: Option<String>,
    /// What people call that object. Somebody else's words, not for logs: it may be a telephone number.
    pub name: Option<String>,
    /// What was found.
    pub found: String,
    /// What to do.
    pub advice: Option<String>,
}

impl Finding {
    /// As it should be.
    #[must_use]
    pub fn ok(check: &'static str, found: &str) -> Self {
        Self::of(check, Severity::Ok, found)
    }

    /// Works, but deserves a look.
    #[must_use]
    pub fn warning(check: &'static str, found: &str) -> Self {
        Self::of(check, Severity::Warning, found)
    }

    /// Webhooks get lost, or will.
    #[must_use]
    pub fn error(check: &'static str, found: &str) -> Self {
        Self::of(check, Severity::Error, found)
    }

    /// With what to do about it.
    #[must_use]
    pub fn advise(self, advice: &str) -> Self {
        Self { advice: Some(clean(advice)), ..self }
    }

    /// About an object with a name.
    #[must_use]
    pub fn about(self, subject: &str, name: &str) -> Self {
        Self { subject: Some(clean(subject)), name: Some(clean(name)).filter(|name| !name.is_empty()), ..self }
    }

    fn of(check: &'static str, severity: Severity, found: &str) -> Self {
        debug_assert!(CHECKS.contains(&check), "{check} is not in the list");
        Self { check, severity, subject: None, name: None, found: clean(found), advice: None }
    }
}
