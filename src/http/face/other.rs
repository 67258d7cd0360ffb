//! Whatever else Vapi has: not served here, unless it is to be passed on.

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{
    config::Scope,
    error::{ApiError, VapiError},
    http::{
        Api,
        auth::{Caller, FaceRead},
        observe::Told,
    },
    vapi::client::{NotRelayed, Relay},
};

/// Methods that may be passed on.
const METHODS: [Method; 6] = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

/// 501; with `VAPI_PASSTHROUGH` and an admin token, what Vapi answers.
pub(super) async fn pass(State(api): State<Api>, caller: Caller<FaceRead>, request: Request) -> Result<Response, ApiError> {
    if !api.config.vapi.passthrough || !METHODS.contains(request.method()) {
        return Ok(not_served(
            "Ringback serves POST and GET /call, and GET, PATCH and DELETE /call/{id}. VAPI_PASSTHROUGH=true passes the rest on.",
        ));
    }
    if caller.scope < Scope::Admin {
        return Ok(not_served("Ringback does not serve this; it is passed on to Vapi for tokens of scope admin only."));
    }
    let Some(client) = &api.client else { return Err(ApiError::VapiAccount) };
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().strip_prefix("/vapi").unwrap_or_default().to_owned();
    let has_body = parts.headers.contains_key(header::CONTENT_LENGTH) || parts.headers.contains_key(header::TRANSFER_ENCODING);
    let body = if has_body { reqwest::Body::wrap_stream(body.into_data_stream()) } else { reqwest::Body::default() };
    let relay = Relay { method: parts.method, path, query: parts.uri.query().map(str::to_owned), headers: parts.headers, body };
    let mut relayed = match client.relay(relay).await {
        Ok(relayed) => relayed,
        Err(NotRelayed::Path) => return Err(ApiError::RouteNotFound),
        Err(NotRelayed::Late) => return Ok(VapiError::new(StatusCode::GATEWAY_TIMEOUT, "Vapi did not answer in time.").into_response()),
        Err(NotRelayed::Failed(why)) => return Err(ApiError::VapiUnavailable(why)),
    };
    // Whatever it says it is: opened as a page of ours, it must not run.
    relayed.headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    relayed.headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok((relayed.status, relayed.headers, Told::by(caller.token), Body::from_stream(relayed.body)).into_response())
}

fn not_served(message: &str) -> Response {
    VapiError::new(StatusCode::NOT_IMPLEMENTED, message).into_response()
}
