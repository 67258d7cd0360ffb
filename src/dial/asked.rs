//! What somebody sent to have a call placed: the call, and who is told when it is done. Pure.

use serde_json::Value;

use super::Wanted;
use crate::{
    push::{Callback, Problem},
    vapi::assistant::FieldError,
};

/// Where whoever is told stands.
const CALLBACK: &str = "callback";

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The call.
    pub wanted: Wanted,
    /// Who is told when it is done.
    pub callback: Option<Callback>,
}

impl Asked {
    /// Reads either body of `POST /calls`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(mut body: Value, kestra_is_known: bool) -> Result<Self, Vec<FieldError>> {
        let callback = taken(&mut body, kestra_is_known);
        match (Wanted::parse(&body), callback) {
            (Ok(wanted), Ok(callback)) => Ok(Self { wanted, callback }),
            (Ok(_), Err(errors)) | (Err(errors), Ok(_)) => Err(errors),
            (Err(more), Err(errors)) => Err(errors.into_iter().chain(more).collect()),
        }
    }
}

/// Takes whoever is told out of a body; null counts as absent.
///
/// # Errors
/// Everything that is wrong with it.
pub(super) fn taken(body: &mut Value, kestra_is_known: bool) -> Result<Option<Callback>, Vec<FieldError>> {
    let callback = body.as_object_mut().and_then(|fields| fields.remove(CALLBACK)).filter(|callback| !callback.is_null());
    let Some(callback) = callback else { return Ok(None) };
    let of = |Problem { field, message }: Problem| FieldError { field, message };
    Callback::read(&callback, CALLBACK, kestra_is_known).map(Some).map_err(|problems| problems.into_iter().map(of).collect())
}
