//! `/vapi/*`: a face that looks like Vapi's own REST interface, so that a client of Vapi with another base URL places and reads calls through us.
//!
//! Wanted: nothing in such a client has to change. Bodies, statuses and errors are those it knows; what can't be answered truly is refused, never
//! left aside. Only the newest words differ on purpose: what is never kept (`monitor`, secrets, system prompts) is not told.
//!
//! | Module | What it serves |
//! |---|---|
//! | `place` | `POST /vapi/call`, each call once although clients send again |
//! | `list` | `GET /vapi/call` |
//! | `call` | `GET`, `PATCH`, `DELETE /vapi/call/{id}` |
//! | `other` | everything else: 501, or passed on |

pub(super) mod call;
pub(super) mod list;
mod other;
pub(super) mod place;

use axum::{
    Router,
    routing::{any, get},
};

use super::Api;
use crate::{
    call::{id::CallId, view::Meta},
    store::StoredCall,
    vapi::face::VapiCall,
};

/// All routes of the face.
pub(super) fn routes() -> Router<Api> {
    Router::new()
        .route("/vapi/call", get(list::calls).post(place::place).fallback(other::pass))
        .route("/vapi/call/{id}", get(call::read).patch(call::change).delete(call::remove).fallback(other::pass))
        .route("/vapi/{*rest}", any(other::pass))
}

/// Is this path one of the face's?
pub(super) fn is_at(path: &str) -> bool {
    path.strip_prefix("/vapi").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A stored call, in Vapi's words.
fn told<'a>(api: &'a Api, call: &'a StoredCall) -> VapiCall<'a> {
    let meta = Meta { version: call.version, created_at: Some(call.created_at), updated_at: Some(call.updated_at), next_fetch_at: None };
    VapiCall::of(&call.id, &call.record, meta, api.config.http.public_url.as_deref().unwrap_or_default())
}

/// A placing of which nobody knows yet what came: a call that waits for a line, as far as anybody can tell.
fn unknown_yet(id: &CallId) -> serde_json::Value {
    let at = crate::dial::placed_at(id.as_str()).map(|at| at.to_string());
    serde_json::json!({
        "id": id.as_str(), "type": "outboundPhoneCall", "status": "queued", "createdAt": at, "updatedAt": at,
        "metadata": {"placementId": id.as_str()}, "analysis": {}, "artifact": {},
    })
}
