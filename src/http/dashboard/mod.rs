//! `GET /`: the page for people, and the files it consists of, all from inside the binary. `vendor/` has other people's, with their licences.

use axum::{
    extract::{Request, State},
    http::{HeaderName, header},
    response::{IntoResponse, Response},
};

use super::{Api, tls};
use crate::error::ApiError;

/// Nothing from elsewhere, nothing inline, no markup made from text, and nobody's frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; media-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
/// What every file goes out with.
const HEADERS: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

const PAGE: &str = include_str!("page/index.html");

/// The files by the rest of their path.
macro_rules! files {
    ($($name:literal $folder:literal $kind:expr;)*) => {
        &[$(($name, $kind, include_str!(concat!($folder, "/", $name)))),*]
    };
}

const OWN: &[(&str, &str, &str)] = files! {
    "access.js" "page" JAVASCRIPT;
    "act.js" "page" JAVASCRIPT;
    "analytics.js" "page" JAVASCRIPT;
    "api.js" "page" JAVASCRIPT;
    "app.js" "page" JAVASCRIPT;
    "batches.js" "page" JAVASCRIPT;
    "call.js" "page" JAVASCRIPT;
    "calls.js" "page" JAVASCRIPT;
    "charts.css" "page" CSS;
    "charts.js" "page" JAVASCRIPT;
    "connect.js" "page" JAVASCRIPT;
    "draft.js" "page" JAVASCRIPT;
    "health.js" "page" JAVASCRIPT;
    "html.js" "page" JAVASCRIPT;
    "icon.svg" "page" "image/svg+xml";
    "now.js" "page" JAVASCRIPT;
    "parts.js" "page" JAVASCRIPT;
    "signin.js" "page" JAVASCRIPT;
    "style.css" "page" CSS;
    "subscription.js" "page" JAVASCRIPT;
    "subscriptions.js" "page" JAVASCRIPT;
    "tell.js" "page" JAVASCRIPT;
    "timeline.js" "page" JAVASCRIPT;
    "words.js" "page" JAVASCRIPT;
};

const VENDORED: &[(&str, &str, &str)] = files! {
    "hooks.mjs" "vendor" JAVASCRIPT;
    "htm.mjs" "vendor" JAVASCRIPT;
    "preact.mjs" "vendor" JAVASCRIPT;
};

/// `GET /`: open to everyone; what it shows is asked for with the session.
pub(super) async fn page(State(api): State<Api>, request: Request) -> Response {
    answer(&api, &request, HTML, PAGE)
}

/// `GET /dashboard/{file}`: what the page consists of.
pub(super) async fn file(State(api): State<Api>, request: Request) -> Result<Response, ApiError> {
    let path = request.uri().path().trim_start_matches("/dashboard/");
    let (files, name) = path.strip_prefix("vendor/").map_or((OWN, path), |name| (VENDORED, name));
    let found = files.iter().find(|(known, ..)| *known == name);
    found.map(|(_, kind, text)| answer(&api, &request, kind, text)).ok_or(ApiError::RouteNotFound)
}

fn answer(api: &Api, request: &Request, kind: &'static str, text: &'static str) -> Response {
    let mut response = ([(header::CONTENT_TYPE, kind)], HEADERS, text).into_response();
    tls::keep(&mut response, tls::is_used(api, request.extensions(), request.headers()));
    response
}
