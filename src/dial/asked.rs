//! What somebody sent to have a call placed: the call, who places it, and who is told when it is done. Pure.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Wanted;
use crate::{
    fields::FieldError,
    push::{Callback, Reach},
};

/// Where whoever is told stands.
pub(super) const CALLBACK: &str = "callback";
/// Where whoever places the call stands: in a body, in metadata, in a result.
pub(super) const CALL_METHOD: &str = "callMethod";

/// Who places a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallMethod {
    /// We ask Vapi.
    #[default]
    DirectVapi,
    /// A flow of Kestra's asks Vapi.
    Kestra,
}

impl CallMethod {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DirectVapi => "direct_vapi",
            Self::Kestra => "kestra",
        }
    }
}

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The call.
    pub wanted: Wanted,
    /// Who is told when it is done.
    pub callback: Option<Callback>,
    /// Who is to place it, if that is said.
    pub method: Option<CallMethod>,
}

impl Asked {
    /// Reads either body of `POST /calls`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(mut body: Value, reach: &Reach) -> Result<Self, Vec<FieldError>> {
        let callback = body.as_object_mut().and_then(|fields| fields.remove(CALLBACK)).filter(|callback| !callback.is_null());
        let callback = callback.map(|callback| Callback::read(&callback, CALLBACK, reach)).transpose();
        let method = method(&mut body, reach.kestra);
        match (callback, method, Wanted::parse(&body)) {
            (Ok(callback), Ok(method), Ok(wanted)) => Ok(Self { wanted, callback, method }),
            (callback, method, wanted) => {
                let errors = [callback.err(), method.err().map(|error| vec![error]), wanted.err()];
                Err(errors.into_iter().flatten().flatten().collect())
            }
        }
    }
}

/// Takes whoever is to place the call out of a body; null counts as absent.
///
/// # Errors
/// What is wrong with it.
fn method(body: &mut Value, kestra_is_known: bool) -> Result<Option<CallMethod>, FieldError> {
    let wrong = |message: &str| Err(FieldError { field: CALL_METHOD.to_owned(), message: message.to_owned() });
    let Some(method) = body.as_object_mut().and_then(|fields| fields.remove(CALL_METHOD)).filter(|method| !method.is_null()) else {
        return Ok(None);
    };
    match method.as_str() {
        Some("direct_vapi") => Ok(Some(CallMethod::DirectVapi)),
        Some("kestra") if kestra_is_known => Ok(Some(CallMethod::Kestra)),
        Some("kestra") => wrong("can't be kestra: KESTRA_URL is not set"),
        _ => wrong("must be direct_vapi or kestra"),
    }
}
