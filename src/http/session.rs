//! `/session`: people sign in at the dashboard with a token of the API, and their browser shows a cookie from then on.
//!
//! Properties wanted:
//! - A session can do what its token can, and ends with it: when the token leaves `API_TOKENS`, changes, or changes its scope.
//! - Who reads the store can't show a session: it has hashes only.
//! - A page of another origin can neither use a session nor start one.
//! - Guessing tokens is slow, from one address.
//! - While the store can't be asked, who was signed in stays so: somebody has to see what is wrong. What is changed is noted first, and so waits.

mod remembered;

use std::time::Duration;

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, header, request::Parts},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use self::remembered::Known;
pub(super) use self::remembered::Remembered;
use super::{
    Api,
    audit::Slip,
    auth::{self, Caller, Read},
    deadline::{CHANGE_DEADLINE, in_time},
    observe::{Told, client_ip},
    sent::held,
    tls,
};
use crate::{
    call::time::Millis,
    config::{ApiToken, Scope},
    envelope::Envelope,
    error::ApiError,
    store::{Document, DocumentKind, DocumentWrite},
};

/// How long a session lasts, in milliseconds: a working day and then some.
const LASTS: i64 = 12 * 3_600_000;
/// The same in seconds.
const MAX_AGE: i64 = LASTS / 1_000;
/// Failed sign-ins of one address within a minute; then nobody signs in from there until it is over.
const MOST_FAILURES: u32 = 20;
/// So long the store is asked for a session that this process knows.
const KNOWN_DEADLINE: Duration = Duration::from_secs(1);
/// Bytes of the body of a sign-in.
const LONGEST_BODY: u64 = 4_096;
/// The cookie over TLS: browsers take one of this name from nobody but this very host, over TLS.
const SECURE_COOKIE: &str = "__Host-ringback";
/// The cookie over plain HTTP.
const PLAIN_COOKIE: &str = "ringback";

const ALL_SCOPES: [Scope; 4] = [Scope::Poll, Scope::Read, Scope::Place, Scope::Admin];
const NO_TOKENS: &str = "Nobody can sign in: set API_TOKENS, start the service again, and sign in with one of them.";
const WRONG_BODY: &str = "A sign-in is a JSON object with a text `token`.";

/// Somebody who signed in.
#[derive(Debug)]
pub(super) struct Session {
    /// The token's name.
    pub(super) token: String,
    /// What the token may do.
    pub(super) scope: Scope,
    /// When it ends.
    pub(super) until: Millis,
    /// Tells when somebody signs out of it here.
    pub(super) over: CancellationToken,
}

/// A session as it is stored.
#[derive(Serialize, Deserialize, PartialEq, Eq)]
struct Kept {
    token: String,
    scope: String,
    /// A hash of the token's hash: with another token of the same name it is over.
    mark: String,
}

impl Kept {
    fn of(token: &ApiToken) -> Self {
        Self { token: token.name.clone(), scope: token.scope.as_str().to_owned(), mark: hex::encode(Sha256::digest(token.digest)) }
    }
}

#[derive(Deserialize)]
struct SignIn {
    token: String,
}

/// Who is signed in, and what the page has to know of the service.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    signed_in: bool,
    can_sign_in: bool,
    token: Option<String>,
    scope: Option<&'static str>,
    may: Vec<&'static str>,
    /// Seconds, so that a browser whose clock is wrong knows as well.
    ends_in: Option<i64>,
    service: Option<Service>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Service {
    version: &'static str,
    webhook_url: Option<String>,
    webhook_secret: bool,
    vapi_key: bool,
    encrypted: bool,
}

impl Status {
    fn nobody(api: &Api) -> Self {
        let can_sign_in = !api.config.access.tokens.is_empty();
        Self { signed_in: false, can_sign_in, token: None, scope: None, may: Vec::new(), ends_in: None, service: None }
    }

    fn of(api: &Api, token: Option<String>, scope: Scope, until: Option<Millis>) -> Self {
        let webhook = &api.config.webhook;
        let service = Service {
            version: env!("CARGO_PKG_VERSION"),
            webhook_url: webhook.url.clone(),
            webhook_secret: !webhook.secrets.is_empty(),
            vapi_key: api.client.is_some(),
            encrypted: api.registry.store().data_key().is_some(),
        };
        let may = ALL_SCOPES.into_iter().filter(|may| *may <= scope).map(Scope::as_str).collect();
        let ends_in = until.map(|until| until.since(api.clock.now()) / 1_000);
        Self { signed_in: true, token, scope: Some(scope.as_str()), may, ends_in, service: Some(service), ..Self::nobody(api) }
    }

    fn answer(self) -> Response {
        let told = Told::by(self.token.clone());
        (told, Json(Envelope::of(self))).into_response()
    }
}

/// The session that a request shows, if it goes on. Where there are no tokens nobody is signed in.
pub(super) async fn of(api: &Api, parts: &Parts) -> Result<Option<Session>, ApiError> {
    if api.config.access.tokens.is_empty() {
        return Ok(None);
    }
    let Some(shown) = cookie(api, parts) else { return Ok(None) };
    // Boxed: only the dashboard shows a cookie, and the room that asking the store takes would be moved about with every request.
    let Some(session) = Box::pin(find(api, &name_of(shown))).await? else { return Ok(None) };
    if is_from_own_page(api, &parts.method, &parts.headers) { Ok(Some(session)) } else { Err(ApiError::ForeignOrigin) }
}

/// As the store has it, or, while that can't be asked, as it had it.
async fn find(api: &Api, name: &str) -> Result<Option<Session>, ApiError> {
    let (now, sessions) = (api.clock.now(), &api.gate.sessions);
    let known = sessions.find(name, now);
    let deadline = if known.is_some() { KNOWN_DEADLINE } else { CHANGE_DEADLINE };
    let found = match in_time(deadline, api.registry.store().document(DocumentKind::Session, name, now)).await {
        Ok(Some(document)) => sessions.put(document),
        Ok(None) => {
            sessions.end(name);
            return Ok(None);
        }
        Err(error) => known.ok_or(error)?,
    };
    Ok(going_on(api, &found))
}

fn going_on(api: &Api, known: &Known) -> Option<Session> {
    let kept: Kept = serde_json::from_slice(&known.document.body).ok()?;
    let token = api.config.access.tokens.iter().find(|token| Kept::of(token) == kept)?;
    let (token, scope, until) = (token.name.clone(), token.scope, known.document.expires_at?);
    (!known.over.is_cancelled()).then(|| Session { token, scope, until, over: known.over.clone() })
}

/// Browsers say of every write where it comes from; what another page reads with our cookie they keep from it, save sockets, which say it too.
/// A port is no other site to them, so that the cookie's `SameSite` does not suffice.
fn is_from_own_page(api: &Api, method: &Method, headers: &HeaderMap) -> bool {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    headers.get(header::ORIGIN).map_or(reads, |origin| auth::is_own(api, headers, origin.as_bytes()))
}

/// `GET /session`: who is signed in.
pub(super) async fn read(State(api): State<Api>, caller: Result<Caller<Read>, ApiError>) -> Result<Response, ApiError> {
    match caller {
        Ok(caller) => {
            let until = caller.until.map(|(until, _)| until);
            Ok(Status::of(&api, caller.token, caller.scope, until).answer())
        }
        Err(error @ ApiError::StoreUnavailable(_)) => Err(error),
        Err(_nobody) => Ok(Status::nobody(&api).answer()),
    }
}

/// `POST /session`: signs in.
pub(super) async fn sign_in(State(api): State<Api>, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let (headers, client) = (&parts.headers, client_ip(&api, &parts.extensions, &parts.headers));
    if headers.get(header::ORIGIN).is_some_and(|origin| !auth::is_own(&api, headers, origin.as_bytes())) {
        return Err(ApiError::ForeignOrigin);
    }
    if api.config.access.tokens.is_empty() {
        return Err(ApiError::AuthNotConfigured(NO_TOKENS));
    }
    let may_try = || api.gate.sign_ins.of(client, api.clock.now()) < MOST_FAILURES;
    if !may_try() {
        return Err(ApiError::RateLimited);
    }
    let body = held(&parts, body, &api, LONGEST_BODY).await?;
    // Many may have been let in before the first of them was through: nothing is awaited from here to the count.
    if !may_try() {
        return Err(ApiError::RateLimited);
    }
    let shown: SignIn = serde_json::from_slice(&body.bytes).map_err(|_json| ApiError::InvalidPayload(WRONG_BODY.to_owned()))?;
    let Some(token) = api.config.access.find(shown.token.trim()) else {
        api.gate.sign_ins.count(client, api.clock.now());
        return Err(ApiError::Unauthorized);
    };
    if token.scope < Scope::Read {
        return Err(ApiError::Forbidden(Scope::Read));
    }
    if let Some(slip) = parts.extensions.get::<Slip>() {
        slip.fill(&api, Some(token.name.clone()), None).await?;
    }
    api.usage.note(&token.name);
    let (secret, until) = begin(&api, token).await?;
    let mut response = Status::of(&api, Some(token.name.clone()), token.scope, Some(until)).answer();
    set_cookie(&mut response, &secret, MAX_AGE, is_over_tls(&api, &parts))?;
    Ok(response)
}

/// `DELETE /session`: signs out, whether or not anybody was signed in.
pub(super) async fn sign_out(State(api): State<Api>, request: Request) -> Result<Response, ApiError> {
    let (parts, _body) = request.into_parts();
    if let Some(shown) = cookie(&api, &parts) {
        if !is_from_own_page(&api, &parts.method, &parts.headers) {
            return Err(ApiError::ForeignOrigin);
        }
        if let (Some(session), Some(slip)) = (of(&api, &parts).await?, parts.extensions.get::<Slip>()) {
            slip.fill(&api, Some(session.token), None).await?;
        }
        let name = name_of(shown);
        in_time(CHANGE_DEADLINE, api.registry.store().drop_document(DocumentKind::Session, &name)).await?;
        api.gate.sessions.end(&name);
    }
    let mut response = Status::nobody(&api).answer();
    set_cookie(&mut response, "", 0, false)?;
    set_cookie(&mut response, "", 0, true)?;
    Ok(response)
}

/// Begins a session; returns what the browser is to show, and when it ends.
async fn begin(api: &Api, token: &ApiToken) -> Result<(String, Millis), ApiError> {
    let mut secret = [0; 32];
    SystemRandom::new().fill(&mut secret).map_err(|_unspecified| ApiError::Internal("there is no randomness".to_owned()))?;
    let secret = URL_SAFE_NO_PAD.encode(secret);
    let now = api.clock.now();
    let until = now.plus(LASTS);
    let body = serde_json::to_vec(&Kept::of(token)).map_err(|error| ApiError::Internal(error.to_string()))?;
    let document = Document {
        kind: DocumentKind::Session,
        id: name_of(&secret),
        revision: 1,
        alias: None,
        due: None,
        created_at: now,
        expires_at: Some(until),
        body,
    };
    let write = DocumentWrite { document: document.clone(), expected: None };
    if in_time(CHANGE_DEADLINE, api.registry.store().put_documents(vec![write], now)).await? {
        api.gate.sessions.put(document);
        Ok((secret, until))
    } else {
        Err(ApiError::Internal("a session of this name is there already".to_owned()))
    }
}

/// By what a session is found: the secret itself is stored nowhere.
fn name_of(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

/// Over TLS the plain cookie says nothing: other hosts of the domain, and whoever sits in the line of one without TLS, can set it.
fn cookie<'a>(api: &Api, parts: &'a Parts) -> Option<&'a str> {
    let find = |wanted: &str| {
        let all =
            parts.headers.get_all(header::COOKIE).iter().filter_map(|header| header.to_str().ok()).flat_map(|header| header.split(';'));
        all.filter_map(|pair| pair.trim().split_once('=')).find_map(|(name, value)| (name == wanted && !value.is_empty()).then_some(value))
    };
    find(SECURE_COOKIE).or_else(|| if is_plain(api, parts) { find(PLAIN_COOKIE) } else { None })
}

fn set_cookie(response: &mut Response, secret: &str, max_age: i64, is_over_tls: bool) -> Result<(), ApiError> {
    let (name, secure) = if is_over_tls { (SECURE_COOKIE, "; Secure") } else { (PLAIN_COOKIE, "") };
    let cookie = format!("{name}={secret}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Strict{secure}");
    let cookie = HeaderValue::try_from(cookie).map_err(|error| ApiError::Internal(error.to_string()))?;
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(())
}

/// The browser says how it came here, whatever stands between.
fn is_over_tls(api: &Api, parts: &Parts) -> bool {
    says_tls(parts).unwrap_or_else(|| tls::is_used(api, &parts.extensions, &parts.headers))
}

/// As far as can be told of a read, of which browsers say nothing; people also come over plain HTTP to a service that has a public address.
fn is_plain(api: &Api, parts: &Parts) -> bool {
    // Another page's origin says how that one came.
    let is_own = parts.headers.get(header::ORIGIN).is_some_and(|origin| auth::is_own(api, &parts.headers, origin.as_bytes()));
    let said = if is_own { says_tls(parts) } else { None };
    !said.unwrap_or_else(|| tls::brought(api, &parts.extensions, &parts.headers))
}

fn says_tls(parts: &Parts) -> Option<bool> {
    parts.headers.get(header::ORIGIN).map(|origin| origin.as_bytes().starts_with(b"https:"))
}
