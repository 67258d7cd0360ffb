//! Who may do what: extractors that let a request in, so that no handler can forget to ask.

use std::net::IpAddr;

use axum::{
    extract::{FromRequestParts, Query, RawPathParams, Request},
    http::{HeaderMap, HeaderValue, Method, header, request::Parts},
};
use tokio_util::sync::CancellationToken;

use super::{
    Api,
    audit::Slip,
    observe::client_ip,
    session::{self, Session},
};
use crate::{call::time::Millis, config::Scope, error::ApiError};

/// Headers that show that somebody stands between us and the client, such as a tunnel; and all that begin with [`FORWARDED`].
const FORWARDING_HEADERS: [&str; 6] = ["cf-connecting-ip", "forwarded", "true-client-ip", "via", "x-original-host", "x-real-ip"];
/// How the others begin: `-for`, `-host`, `-proto`, `-port`, `-server` and more.
const FORWARDED: &str = "x-forwarded-";

/// Wrong tokens of one address within a minute; further ones are 429. Many clients with a token that is no longer valid are to hear that it is not, and at
/// this pace nobody guesses one in a lifetime.
const MOST_FAILURES: u32 = 600;

const SET_TOKENS: &str = "Requests from elsewhere need a token: set API_TOKENS and send it as Authorization: Bearer.";

/// What a route asks of its caller.
pub trait Needs {
    /// The scope.
    const SCOPE: Scope;
    /// `ALLOW_UNAUTHENTICATED=reads` opens it.
    const OPEN_TO_READERS: bool = false;
    /// It takes a `poll` token in the path.
    const TOKEN_IN_PATH: bool = false;
    /// It takes the `VAPI_API_KEY` itself: whoever has that may do as much at Vapi.
    const TAKES_VAPI_KEY: bool = false;
    /// It takes a token of one of these scopes as `?access_token=`: an `EventSource` of a browser can send no header.
    const SCOPES_IN_QUERY: &'static [Scope] = &[];
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

/// The stream of one call.
#[derive(Debug)]
pub struct PollStream;
impl Needs for PollStream {
    const SCOPE: Scope = Scope::Poll;
    const SCOPES_IN_QUERY: &'static [Scope] = &[Scope::Poll, Scope::Read];
}

/// The streams of all calls.
#[derive(Debug)]
pub struct ReadStream;
impl Needs for ReadStream {
    const SCOPE: Scope = Scope::Read;
    const SCOPES_IN_QUERY: &'static [Scope] = &[Scope::Read];
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

/// What looks like Vapi: reading.
#[derive(Debug)]
pub struct FaceRead;
impl Needs for FaceRead {
    const SCOPE: Scope = Scope::Read;
    const TAKES_VAPI_KEY: bool = true;
}

/// What looks like Vapi: placing.
#[derive(Debug)]
pub struct FacePlace;
impl Needs for FacePlace {
    const SCOPE: Scope = Scope::Place;
    const TAKES_VAPI_KEY: bool = true;
}

/// What looks like Vapi: changing and deleting.
#[derive(Debug)]
pub struct FaceAdmin;
impl Needs for FaceAdmin {
    const SCOPE: Scope = Scope::Admin;
    const TAKES_VAPI_KEY: bool = true;
}

/// How the owner of the `VAPI_API_KEY` is named, as no token can be.
const KEY_OWNER: &str = "VAPI_API_KEY";

/// The caller may do what `N` needs.
#[derive(Debug)]
pub struct Caller<N: Needs> {
    /// The token's name; `None` on an open route or an open loopback.
    pub token: Option<String>,
    /// What the caller may do in all.
    pub scope: Scope,
    /// When the session ends, and what tells that it ended before, if the caller signed in at the dashboard.
    pub until: Option<(Millis, CancellationToken)>,
    needs: std::marker::PhantomData<N>,
}

impl<N: Needs> FromRequestParts<Api> for Caller<N> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let in_path =
            if N::TOKEN_IN_PATH && parts.uri.path().starts_with("/t/") { path_parameter(parts, api, "token").await } else { None };
        let in_query = if N::SCOPES_IN_QUERY.is_empty() { None } else { token_in_query(parts) };
        let in_url = match (&in_path, &in_query) {
            (Some(token), _) => Some((token.as_str(), &[Scope::Poll][..])),
            (None, Some(token)) => Some((token.as_str(), N::SCOPES_IN_QUERY)),
            (None, None) => None,
        };
        let shows_token = in_url.is_some() || parts.headers.contains_key(header::AUTHORIZATION);
        let session = if shows_token { None } else { session::of(api, parts).await? };
        let until = session.as_ref().map(|session| (session.until, session.over.clone()));
        let (token, scope) = match session {
            Some(session) => of_session::<N>(session)?,
            None => admit::<N>(api, &parts.headers, in_url).map_err(|error| refused(api, parts, shows_token, error))?,
        };
        if let Some(name) = &token {
            api.usage.note(name);
        }
        if let Some(slip) = parts.extensions.get::<Slip>().cloned() {
            let subject = path_parameter(parts, api, "id").await;
            // Boxed, as all that only some requests need: its room would be moved about with every one.
            Box::pin(slip.fill(api, token.clone(), subject.as_deref())).await?;
        }
        Ok(Self { token, scope, until, needs: std::marker::PhantomData })
    }
}

/// Guessing is slow, from one address; a valid token is never refused, whatever came before it.
fn refused(api: &Api, parts: &Parts, shows_token: bool, error: ApiError) -> ApiError {
    let is_guess = shows_token && matches!(error, ApiError::Unauthorized);
    let client = client_ip(api, &parts.extensions, &parts.headers);
    if is_guess && api.gate.tokens.count(client, api.clock.now()) > MOST_FAILURES { ApiError::RateLimited } else { error }
}

async fn path_parameter(parts: &mut Parts, api: &Api, wanted: &str) -> Option<String> {
    let params = RawPathParams::from_request_parts(parts, api).await.ok()?;
    params.iter().find_map(|(name, value)| (name == wanted).then(|| value.to_owned()))
}

fn token_in_query(parts: &Parts) -> Option<String> {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).ok()?.0;
    pairs.into_iter().find_map(|(name, value)| (name == "access_token" && !value.is_empty()).then_some(value))
}

/// Who signed in may do what the token may.
fn of_session<N: Needs>(session: Session) -> Result<(Option<String>, Scope), ApiError> {
    if session.scope >= N::SCOPE { Ok((Some(session.token), session.scope)) } else { Err(ApiError::Forbidden(N::SCOPE)) }
}

/// A token `in_url` stands there with the scopes that may.
fn admit<N: Needs>(api: &Api, headers: &HeaderMap, in_url: Option<(&str, &[Scope])>) -> Result<(Option<String>, Scope), ApiError> {
    let access = &api.config.access;
    let opened = N::OPEN_TO_READERS && access.open_reads;
    let shown = in_url.map(|(token, _)| token).or_else(|| bearer(headers));
    if N::TAKES_VAPI_KEY && shown.is_some_and(|shown| api.config.vapi.is_key(shown)) {
        return Ok((Some(KEY_OWNER.to_owned()), Scope::Admin));
    }
    if let Some(token) = shown.and_then(|shown| access.find(shown)) {
        // An address is no place for a wide token: addresses end up in other people's logs.
        let too_wide = in_url.is_some_and(|(_, scopes)| !scopes.contains(&token.scope) && token.scope >= N::SCOPE);
        return match token.scope >= N::SCOPE {
            _ if too_wide => Err(ApiError::Unauthorized),
            true => Ok((Some(token.name.clone()), token.scope)),
            // What is open to everyone is open to the owner of a small token too.
            false if opened => Ok((Some(token.name.clone()), token.scope)),
            false => Err(ApiError::Forbidden(N::SCOPE)),
        };
    }
    match access.tokens.is_empty() {
        _ if opened => Ok((None, N::SCOPE)),
        true if !api.config.http.is_loopback() => Err(ApiError::AuthNotConfigured(SET_TOKENS)),
        true if is_of_this_machine(headers) => Ok((None, Scope::Admin)),
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
    if writes { refuse_foreign(api, request.headers()) } else { Ok(()) }
}

/// The same for what is no writing, and yet no browser keeps to its own pages, such as a WebSocket.
pub(super) fn refuse_foreign(api: &Api, headers: &HeaderMap) -> Result<(), ApiError> {
    let foreign = |origin: &HeaderValue| is_foreign(api, headers, origin.as_bytes());
    if headers.get(header::ORIGIN).is_some_and(foreign) { Err(ApiError::ForeignOrigin) } else { Ok(()) }
}

fn is_foreign(api: &Api, headers: &HeaderMap, origin: &[u8]) -> bool {
    let origin = String::from_utf8_lossy(origin);
    let listed = api.config.http.cors_origins.iter().any(|listed| listed.trim_end_matches('/') == origin);
    !is_own(api, headers, origin.as_bytes()) && !listed
}

/// Is this the origin of our own pages?
pub(super) fn is_own(api: &Api, headers: &HeaderMap, origin: &[u8]) -> bool {
    let origin = String::from_utf8_lossy(origin);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let same_host = origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host));
    same_host || api.config.http.public_url.as_deref().is_some_and(|public| public.trim_end_matches('/') == origin)
}
