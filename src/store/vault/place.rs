//! Where sealed values stand.

/// Where a value stands: a sealed one can be opened nowhere else.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) enum Place<'a> {
    /// The record of this call.
    Record(&'a str),
    /// The body of an event about this call, or none.
    Body {
        /// The call.
        call: Option<&'a str>,
        /// The event.
        event: &'a str,
    },
    /// The body of this target.
    Target(&'a str),
    /// The body of the document of this kind and id.
    Document(&'a str, &'a str),
}

impl<'a> Place<'a> {
    pub(super) fn call(self) -> &'a str {
        match self {
            Self::Record(owner) | Self::Target(owner) | Self::Document(_, owner) => owner,
            Self::Body { call, .. } => call.unwrap_or_default(),
        }
    }

    pub(super) fn part(self) -> Vec<u8> {
        match self {
            Self::Record(_) => b"record".to_vec(),
            Self::Target(_) => b"target".to_vec(),
            Self::Document(kind, _) => [b"document\0", kind.as_bytes()].concat(),
            Self::Body { event, .. } => [b"body\0", event.as_bytes()].concat(),
        }
    }
}
