//! A call's recording: Vapi's links die after half an hour, so a fresh one is fetched each time.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    Api,
    auth::{Caller, Read},
    observe::Told,
    parameters::{CallPath, Parameters},
};
use crate::{
    envelope::{Envelope, NoData},
    error::ApiError,
    registry::Known,
    vapi::client::{RecordingKind, RecordingLink, VapiClient},
};

/// Headers that go along when a recording is streamed: ranges must work, or no player can seek.
const PASSED_ON: [HeaderName; 6] =
    [header::ACCEPT_RANGES, header::CONTENT_LENGTH, header::CONTENT_RANGE, header::CONTENT_TYPE, header::ETAG, header::LAST_MODIFIED];

/// The recording: a redirect to a fresh link, or with `proxy=1` the sound itself, ranges too.
#[utoipa::path(
    get,
    path = "/api/v1/vapi/calls/{id}/recording",
    operation_id = "playRecording",
    tag = "Calls",
    params(
        ("id" = String, Path, description = "The call's id"),
        ("kind" = Option<String>, Query, description = "mono (default), stereo, assistant, customer or video"),
        ("proxy" = Option<bool>, Query, description = "Stream it instead of redirecting"),
    ),
    responses(
        (status = 200, description = "The sound, with proxy=1"),
        (status = 206, description = "A range of it, with proxy=1"),
        (status = 302, description = "A link that works for some minutes"),
        (status = 404, description = "RECORDING_NOT_AVAILABLE", body = Envelope<NoData>),
        (status = 410, description = "CALL_DELETED", body = Envelope<NoData>),
        (status = 502, description = "VAPI_ACCOUNT, VAPI_UNAVAILABLE", body = Envelope<NoData>),
    ),
    security(("bearer" = ["read"]))
)]
pub(super) async fn play(
    State(api): State<Api>,
    caller: Caller<Read>,
    CallPath(id): CallPath,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (kind, proxied) = (kind(parameters.text("kind"))?, parameters.switch("proxy")?);
    if matches!(api.registry.look_up(&id).await?, Known::Deleted) {
        return Err(ApiError::CallDeleted(id));
    }
    let Some(client) = &api.client else { return Err(ApiError::VapiAccount) };
    let link = match client.recording_link(&id, kind).await {
        RecordingLink::At(link) => link,
        RecordingLink::Missing => return Err(ApiError::RecordingNotAvailable(id)),
        RecordingLink::Denied { .. } => return Err(ApiError::VapiAccount),
        RecordingLink::Failed { error, .. } => return Err(ApiError::VapiUnavailable(error)),
    };
    let told = Told::about(caller.token, id);
    let answer = if proxied {
        streamed(client, &link, &headers).await?
    } else {
        (StatusCode::FOUND, [(header::LOCATION, link.to_string())]).into_response()
    };
    Ok((told, answer).into_response())
}

async fn streamed(client: &VapiClient, link: &reqwest::Url, headers: &HeaderMap) -> Result<Response, ApiError> {
    let sound = client.open(link, headers.get(header::RANGE)).await.map_err(ApiError::VapiUnavailable)?;
    if !matches!(sound.status(), StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE) {
        return Err(ApiError::VapiUnavailable(format!("The place where Vapi keeps the recording answered {}.", sound.status().as_u16())));
    }
    // Whatever it says it is: opened as a page of ours, it must not run.
    let mut response = Response::builder()
        .status(sound.status())
        .header(header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'")
        .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    for name in PASSED_ON {
        if let Some(value) = sound.headers().get(&name) {
            response = response.header(name, value);
        }
    }
    response.body(Body::from_stream(sound.bytes_stream())).map_err(|error| ApiError::Internal(error.to_string()))
}

fn kind(text: Option<&str>) -> Result<RecordingKind, ApiError> {
    let unknown = || ApiError::InvalidParameter("kind takes mono, stereo, assistant, customer or video.".to_owned());
    text.map_or(Ok(RecordingKind::Mono), |word| RecordingKind::parse(word).ok_or_else(unknown))
}
