//! Who may do what: extractors that let a request in, so that no handler can forget to ask.

use std::net::IpAddr;

use axum::{
    extract::{FromRequestParts, RawPathParams, Request},
    http::{HeaderMap, HeaderValue, Method, header, request::Parts},
};

use super::Api;
use crate::{config::Scope, error::ApiError};

/// Headers that show that somebody stands between us and the client, such as a tunnel; and all that begin with [`FORWARDED`].
const FORWARDING_HEADERS: [&str; 6] = ["cf-connecting-ip", "forwarded", "true-client-ip", "via", "x-original-host", "x-real-ip"];
/// How the others begin: `-for`, `-host`, `-proto`, `-port`, `-server` and more.
const FORWARDED: &str = "x-forwarded-";

const SET_TOKENS: &str = "Requests from elsewhere need a token: set API_TOKENS and send it as Authorization: Bearer.";

/// What a route asks of its caller.
pub trait Needs {
    /// The scope.
    const SCOPE: Scope;
    /// `ALLOW_UNAUTHENTICATED=reads` opens it.
    const OPEN_TO_READERS: bool = false;
    /// It takes a `poll` token in the path.
    const TOKEN_IN_PATH: bool = false;
}

/// One call's result, the least scope; also with the token in the path.
#[derive(Debug)]
pub struct Poll;
impl Needs for Poll {
    const SCOPE: Scope = Scope::Poll;
    const OPEN_TO_READERS: bool = true;
    const TOKEN_IN_PATH: bool = true;
}

/// Lists of calls and cache statistics.
#[derive(Debug)]
pub struct ReadOpen;
impl Needs for ReadOpen {
    const SCOPE: Scope = Scope::Read;
    const OPEN_TO_READERS: bool = true;
}

/// Everything else that is read.
#[derive(Debug)]
pub struct Read;
impl Needs for Read {
    const SCOPE: Scope = Scope::Read;
}

/// What costs money or time at Vapi.
#[derive(Debug)]
pub struct Place;
impl Needs for Place {
    const SCOPE: Scope = Scope::Place;
}

/// Everything.
#[derive(Debug)]
pub struct Admin;
impl Needs for Admin {
    const SCOPE: Scope = Scope::Admin;
}

/// The caller may do what `N` needs.
#[derive(Debug)]
pub struct Caller<N: Needs> {
    /// The token's name; `None` on an open route or an open loopback.
    pub token: Option<String>,
    needs: std::marker::PhantomData<N>,
}

impl<N: Needs> FromRequestParts<Api> for Caller<N> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let in_path = if N::TOKEN_IN_PATH && parts.uri.path().starts_with("/t/") { token_in_path(parts, api).await } else { None };
        let token = admit::<N>(api, &parts.headers, in_path.as_deref())?;
        Ok(Self { token, needs: std::marker::PhantomData })
    }
}

async fn token_in_path(parts: &mut Parts, api: &Api) -> Option<String> {
    let params = RawPathParams::from_request_parts(parts, api).await.ok()?;
    params.iter().find_map(|(name, value)| (name == "token").then(|| value.to_owned()))
}

fn admit<N: Needs>(api: &Api, headers: &HeaderMap, in_path: Option<&str>) -> Result<Option<String>, ApiError> {
    let access = &api.config.access;
    let opened = N::OPEN_TO_READERS && access.open_reads;
    let shown = in_path.or_else(|| bearer(headers));
    if let Some(token) = shown.and_then(|shown| access.find(shown)) {
        // A path is no place for a wide token: paths end up in other people's logs.
        let too_wide = in_path.is_some() && token.scope != Scope::Poll;
        return match token.scope >= N::SCOPE {
            _ if too_wide => Err(ApiError::Unauthorized),
            true => Ok(Some(token.name.clone())),
            // What is open to everyone is open to the owner of a small token too.
            false if opened => Ok(Some(token.name.clone())),
            false => Err(ApiError::Forbidden(N::SCOPE)),
        };
    }
    match access.tokens.is_empty() {
        _ if opened => Ok(None),
        true if !api.config.http.is_loopback() => Err(ApiError::AuthNotConfigured(SET_TOKENS)),
        true if is_of_this_machine(headers) => Ok(None),
        true => Err(ApiError::AuthNotConfigured(SET_TOKENS)),
        false => Err(ApiError::Unauthorized),
    }
}

/// The token of `Authorization: Bearer`.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Does the request come from this machine, and not through a tunnel that ends here?
pub(super) fn is_of_this_machine(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    // Of two hosts nobody knows which one is meant (RFC 9112, section 3.2).
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let host = host.to_str().unwrap_or_default();
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let ours = name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    // There are fewer headers in a request than names in the list.
    ours && !headers.keys().any(|name| name.as_str().starts_with(FORWARDED) || FORWARDING_HEADERS.contains(&name.as_str()))
}

/// Writing is refused to pages of other origins: a browser would send our cookies, or reach an open loopback, on their behalf.
pub(super) fn refuse_foreign_origin(api: &Api, request: &Request) -> Result<(), ApiError> {
    let writes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let foreign = |origin: &HeaderValue| is_foreign(api, request.headers(), origin.as_bytes());
    if writes && request.headers().get(header::ORIGIN).is_some_and(foreign) { Err(ApiError::ForeignOrigin) } else { Ok(()) }
}

fn is_foreign(api: &Api, headers: &HeaderMap, origin: &[u8]) -> bool {
    let origin = String::from_utf8_lossy(origin);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let same_host = origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host));
    let listed =
        api.config.http.cors_origins.iter().chain(&api.config.http.public_url).any(|listed| listed.trim_end_matches('/') == origin);
    !same_host && !listed
}
