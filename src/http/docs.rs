//! The OpenAPI document and the page that shows it.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use axum::{
    body::Bytes,
    extract::{Request, State},
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use utoipa::{IntoParams, Modify, OpenApi};

use super::{
    Api,
    calls::json_answer,
    operations::{Aliases, Refusals, Security},
    schemas::Exact,
    tls,
};
use crate::error::ApiError;

/// How much of a call goes out.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ViewParameter {
    /// `full`, or `summary`: the same keys with transcript, messages, toolCalls, costBreakdown and metadata empty.
    #[expect(dead_code, reason = "read for the document only")]
    pub(super) view: Option<String>,
}

/// How long an answer may wait.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WaitParameter {
    /// Seconds to wait, 0 (default) to `WAIT_MAX_SECONDS`
    #[param(example = 30)]
    #[expect(dead_code, reason = "read for the document only")]
    wait: Option<f64>,
}

/// By which something is done once.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(super) struct IdempotencyKeyParameter {
    /// 1 to 255 characters; sent again within 24 hours, it gives the same answer
    #[param(rename = "Idempotency-Key")]
    #[expect(dead_code, reason = "read for the document only")]
    key: Option<String>,
}

/// Which events a stream has.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "read for the document only")]
pub(super) struct StreamParameters {
    /// Types of events, separated by commas; all unless given
    types: Option<String>,
    /// Assistants that talked, separated by commas
    #[param(rename = "assistantId")]
    assistant_id: Option<String>,
    /// Numbers of customer or provider, separated by commas
    phone: Option<String>,
    /// How the call turned out, separated by commas
    status: Option<String>,
}

/// The API, as a document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Ringback",
        description = "Takes Vapi's webhooks, makes one reliable record of each call, and hands it to everyone who waits. Times are RFC 3339 in UTC, money is US dollars. Every JSON answer has the same keys."
    ),
    paths(
        super::assistant::write,
        super::place::place,
        super::cancel::cancel,
        super::batches::create,
        super::batches::list,
        super::batches::read,
        super::batches::wait,
        super::batches::cancel,
        super::calls::read,
        super::calls::erase,
        super::calls::fetch,
        super::result::wait,
        super::list::calls,
        super::list::by_phone,
        super::timeline::read,
        super::stream::one,
        super::stream::all,
        super::socket::all,
        super::onlookers::all,
        super::recording::play,
        super::subscriptions::list,
        super::subscriptions::create,
        super::subscriptions::read,
        super::subscriptions::change,
        super::subscriptions::remove,
        super::subscriptions::rotate,
        super::subscriptions::pause,
        super::subscriptions::resume,
        super::subscriptions::test,
        super::deliveries::list,
        super::deliveries::redeliver,
        super::face::place::place,
        super::face::list::calls,
        super::face::call::read,
        super::face::call::change,
        super::face::call::remove,
        super::backfill::page,
        super::audit::list,
        super::audit::note,
        super::tokens::list,
        super::analytics::tell,
        super::cache::stats,
        super::cache::clear,
        super::webhook::receive,
        super::webhook::test,
        super::health::live,
        super::health::ready,
        super::health::metrics,
        document,
    ),
    modifiers(&Security, &Example, &Refusals, &Exact, &Aliases),
    tags(
        (name = "Calls", description = "Results of calls"),
        (name = "Placing", description = "Calls that are placed here"),
        (name = "Batches", description = "Many calls, placed and waited for together"),
        (name = "Streams", description = "Calls as they go on"),
        (name = "Subscriptions", description = "Who is told what, and how it went"),
        (name = "Vapi", description = "What looks like Vapi's own API, for its SDKs"),
        (name = "Webhooks", description = "Where Vapi posts its messages"),
        (name = "Cache", description = "This instance's memory"),
        (name = "Operations", description = "Probes, metrics, analytics"),
    )
)]
struct Document;

/// A whole result as an example, as the service gave it; a test sees to it that no key is missing.
const EXAMPLE: &str = include_str!("example.json");

/// Whoever is signed in could be made to press its buttons from inside another page.
const FRAMED_BY_NOBODY: (HeaderName, &str) = (header::CONTENT_SECURITY_POLICY, "frame-ancestors 'none'");

struct Example;

impl Modify for Example {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let schemas = document.components.as_mut().map(|components| &mut components.schemas);
        let call = schemas.and_then(|schemas| schemas.get_mut("CallResult"));
        if let Some(utoipa::openapi::RefOr::T(utoipa::openapi::Schema::Object(call))) = call {
            call.examples = serde_json::from_str(EXAMPLE).into_iter().collect();
        }
    }
}

/// The OpenAPI 3.1 document.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

/// The document as it is sent, from the first time on that somebody asks: it is open to everyone, and takes a while to make.
#[derive(Debug, Default)]
pub struct Written(OnceLock<Bytes>);

impl Written {
    fn bytes(&self) -> Bytes {
        self.0.get_or_init(|| serde_json::to_vec(&openapi()).expect("its keys are texts").into()).clone()
    }
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    tag = "Operations",
    responses((status = 200, description = "The document, OpenAPI 3.1", body = Object)),
    security(())
)]
pub(super) async fn document(State(api): State<Api>) -> Response {
    json_answer(StatusCode::OK, api.document.bytes(), None)
}

/// `GET /docs`: the document as a page, from inside the binary.
pub(super) async fn page(State(api): State<Api>, request: Request) -> Result<Response, ApiError> {
    let Some(file) = request.uri().path().strip_prefix("/docs/") else {
        return Ok(Redirect::temporary("/docs/index.html").into_response());
    };
    // The page would have its document judged by a service on the internet.
    let config = Arc::new(utoipa_swagger_ui::Config::from("/openapi.json").validator_url("none"));
    match utoipa_swagger_ui::serve(file, config) {
        Ok(Some(file)) => {
            // Open to everyone, and megabytes: those who are slow to take them share the binary's own.
            let bytes = match file.bytes {
                Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                Cow::Owned(bytes) => bytes.into(),
            };
            let mut page = (StatusCode::OK, [(header::CONTENT_TYPE, file.content_type.as_str()), FRAMED_BY_NOBODY], bytes).into_response();
            tls::keep(&mut page, tls::is_used(&api, request.extensions(), request.headers()));
            Ok(page)
        }
        Ok(None) => Err(ApiError::RouteNotFound),
        Err(error) => Err(ApiError::Internal(error.to_string())),
    }
}
