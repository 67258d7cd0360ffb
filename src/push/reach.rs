//! What those may name who want to be told.

use reqwest::Url;

use super::{input, target::Hidden};
use crate::outbound::Outbound;

/// What callbacks and subscriptions may name.
#[derive(Clone)]
pub struct Reach {
    /// Executions of Kestra can be resumed.
    pub kestra: bool,
    /// Knows the addresses that may be reached; `None`: that was asked before.
    pub outbound: Option<Outbound>,
}

impl Reach {
    /// Of what was checked when it came.
    #[must_use]
    pub fn checked() -> Self {
        Self { kestra: true, outbound: None }
    }

    /// An address that may be asked over HTTP. Where a name leads is seen when it is asked.
    pub(super) fn url(&self, text: &str) -> Result<Hidden, String> {
        let hidden = input::url(text)?;
        let may_be_given = |outbound: &Outbound| Url::parse(text).is_ok_and(|url| outbound.may_be_given(&url));
        if self.outbound.as_ref().is_none_or(may_be_given) {
            Ok(hidden)
        } else {
            Err("is a private or reserved address; list it in OUTBOUND_ALLOW to have it told".to_owned())
        }
    }
}
