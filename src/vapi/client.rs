//! Asking Vapi over its REST interface.
//!
//! Wanted: whatever Vapi or what stands before it (Cloudflare, a proxy, nothing) does, one request ends within its timeout in one
//! of a few outcomes that policy can act on, and neither the key nor a stranger's page ever gets into an error text.
//!
//! - All requests of all clones pass one limiter, before their time begins to count.
//! - Redirects are never followed: the recording routes answer with one, and the key must not travel.
//! - No proxy is taken from the environment.
//! - What an answer means is decided in [`answer`], which is pure.

pub mod answer;
pub mod cancel;
pub mod change;
mod contact;
pub mod create;
mod limit;
pub mod list;
pub mod relay;
mod settings;

use std::{error::Error, fmt, num::NonZeroU32, sync::Arc, time::Duration};

use hyper::body::Bytes;
use reqwest::{
    Client, Method, RequestBuilder, StatusCode, Url,
    header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue},
    redirect,
};
use secrecy::{ExposeSecret, SecretString};

use crate::{call::id::CallId, clock::Clock, trace, words};

use contact::Contacts;
use limit::Limiter;

pub use answer::{Fetched, RecordingKind, RecordingLink};
pub use cancel::Canceled;
pub use change::Changed;
pub use contact::Contact;
pub use create::{Created, Refusal, RefusalReason};
pub use list::{ListQuery, Listed, ListedCall};
pub use relay::{NotRelayed, Relay, Relayed};
pub use settings::{Setting, SettingError};

/// Requests per second that Ringback allows itself: Vapi does not publish its limit.
pub const REQUESTS_PER_SECOND: NonZeroU32 = NonZeroU32::new(5).expect("5 is not 0");
/// How long one request may take in all: connect, headers and body.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long placing a call may take in all: Vapi does more for it than for anything else.
pub const CREATE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest answer that is read, in bytes after decompression. The largest real call seen has 238 KB.
const MAX_ANSWER_BYTES: usize = 20 * 1_048_576;

/// Told after each request: the operation, and the status of a whole answer (`None` when there was none).
pub type Observer = Arc<dyn Fn(&'static str, Option<u16>) + Send + Sync>;

/// What a client needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where Vapi is, such as `https://api.vapi.ai`; may have a path.
    pub url: String,
    /// The organisation's private key.
    pub key: SecretString,
    /// Requests per second of all clones together.
    pub requests_per_second: NonZeroU32,
    /// How long one request may take in all.
    pub timeout: Duration,
    /// The same for placing a call.
    pub create_timeout: Duration,
}

impl Settings {
    /// The usual limits, for Vapi at `url`.
    #[must_use]
    pub fn new(url: impl Into<String>, key: SecretString) -> Self {
        Self { url: url.into(), key, requests_per_second: REQUESTS_PER_SECOND, timeout: REQUEST_TIMEOUT, create_timeout: CREATE_TIMEOUT }
    }
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address is no `http` or `https` URL with a host.
    #[error("the address of Vapi is no http or https URL")]
    Url,
    /// The key cannot stand in a header.
    #[error("the key of Vapi has characters that cannot be sent in a header")]
    Key,
    /// TLS could not be set up.
    #[error("the HTTP client could not be set up: {0}")]
    Http(#[from] reqwest::Error),
}

/// Asks Vapi. A clone is cheap and shares connections and limiter.
#[derive(Clone)]
pub struct VapiClient {
    shared: Arc<Shared>,
    observer: Option<Observer>,
}

struct Shared {
    http: Client,
    url: Url,
    authorization: HeaderValue,
    limiter: Limiter,
    timeout: Duration,
    create_timeout: Duration,
    clock: Clock,
    contacts: Contacts,
}

impl VapiClient {
    /// A client; asks nothing yet.
    ///
    /// # Errors
    /// [`ClientError`] when the address or the key is unusable, or TLS cannot be set up.
    pub fn new(settings: &Settings, clock: Clock) -> Result<Self, ClientError> {
        let url = Url::parse(settings.url.trim()).ok().ok_or(ClientError::Url)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(ClientError::Url);
        }
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", settings.key.expose_secret())).ok().ok_or(ClientError::Key)?;
        authorization.set_sensitive(true);
        let shared = Shared {
            http: plain_http()?,
            url,
            authorization,
            limiter: Limiter::new(settings.requests_per_second),
            timeout: settings.timeout,
            create_timeout: settings.create_timeout,
            clock,
            contacts: Contacts::default(),
        };
        Ok(Self { shared: Arc::new(shared), observer: None })
    }

    /// The same client, whose requests (and those of its later clones) are told to `observer`.
    #[must_use]
    pub fn observed_by(self, observer: Observer) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// Asks for a call: `GET /call/{id}`.
    pub async fn call(&self, id: &CallId) -> Fetched {
        if !stands_in_a_path(id) {
            return Fetched::Unknown;
        }
        match self.ask("call", self.shared.request(Method::GET, &["call", id.as_str()], &[])).await {
            Ok(whole) => answer::of_call(whole, self.shared.clock.now()),
            Err(error) => Fetched::Failed { error: error.to_string(), retry_after_ms: None },
        }
    }

    /// Asks for a fresh link to a recording: `GET /call/{id}/{kind}-recording`. The link opens without a key, for some minutes.
    pub async fn recording_link(&self, id: &CallId, kind: RecordingKind) -> RecordingLink {
        if !stands_in_a_path(id) {
            return RecordingLink::Missing;
        }
        match self.ask("recording", self.shared.request(Method::GET, &["call", id.as_str(), kind.route()], &[])).await {
            Ok(whole) => answer::of_recording(&whole, &self.shared.url, self.shared.clock.now()),
            Err(error) => RecordingLink::Failed { error: error.to_string(), retry_after_ms: None },
        }
    }

    /// Opens a link that Vapi gave, without our key: it is meant for everyone who has it. `range` is passed on.
    ///
    /// # Errors
    /// Words for the caller when there is no answer.
    pub async fn open(&self, link: &Url, range: Option<&HeaderValue>) -> Result<reqwest::Response, String> {
        let mut request = self.shared.http.get(link.clone());
        if let Some(range) = range {
            request = request.header(reqwest::header::RANGE, range.clone());
        }
        let opened = tokio::time::timeout(self.shared.timeout, request.send()).await;
        opened.map_err(|_late| "the recording did not open in time".to_owned())?.map_err(|error| in_words(&error))
    }

    /// One request, read to its end.
    async fn ask(&self, operation: &'static str, request: RequestBuilder) -> Result<Whole, NoAnswer> {
        self.shared.limiter.urgent().await;
        self.ask_now(operation, request).await
    }

    /// The same, past the limiter.
    async fn ask_now(&self, operation: &'static str, request: RequestBuilder) -> Result<Whole, NoAnswer> {
        let shared = &*self.shared;
        let asked = tokio::time::timeout(shared.timeout, async { whole(request.send().await?).await }).await;
        let outcome = asked.unwrap_or_else(|_late| Err(NoAnswer::late(shared.timeout)));
        self.asked(operation, outcome.as_ref().ok().map(|whole| whole.status.as_u16()));
        outcome
    }
}

impl fmt::Debug for VapiClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VapiClient").field("host", &self.shared.url.host_str()).finish_non_exhaustive()
    }
}

/// An answer that came to its end.
#[derive(Debug)]
pub struct Whole {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, decompressed.
    pub body: Bytes,
}

/// Why there is no whole answer, in words for a poller.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("Vapi's answer is larger than {} MB", MAX_ANSWER_BYTES / 1_048_576)]
    TooLarge,
    #[error("{0}")]
    Other(String),
}

impl NoAnswer {
    fn late(timeout: Duration) -> Self {
        Self::Other(format!("no whole answer from Vapi within {} s", timeout.as_secs_f32()))
    }
}

impl From<reqwest::Error> for NoAnswer {
    fn from(error: reqwest::Error) -> Self {
        Self::Other(in_words(&error))
    }
}

impl Shared {
    /// A request to Vapi's REST, with our key. No segment of the path may be `.` or `..` (see [`stands_in_a_path`]).
    fn request(&self, method: Method, path: &[&str], query: &[(&str, String)]) -> RequestBuilder {
        let mut url = self.url.clone();
        // `new` has refused URLs that cannot have a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.http.request(method, url).header(AUTHORIZATION, self.authorization.clone());
        traced(request.header(ACCEPT, "application/json"))
    }
}

/// An answer, read to its end.
async fn whole(mut response: reqwest::Response) -> Result<Whole, NoAnswer> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(NoAnswer::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Whole { status: response.status(), headers: response.headers().clone(), body: body.into() })
}

/// Vapi is told which trace a request belongs to, if it belongs to one.
fn traced(request: RequestBuilder) -> RequestBuilder {
    let mut headers = HeaderMap::new();
    trace::inject(&mut headers);
    request.headers(headers)
}

/// An HTTP client that takes no proxy from the environment, follows no redirect and trusts the machine's certificates.
///
/// # Errors
/// When TLS cannot be set up.
pub fn plain_http() -> Result<Client, reqwest::Error> {
    // Err means that it is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(redirect::Policy::none())
        .user_agent(concat!("ringback/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Why a request got no answer, in one line and without its address, which may hold a token. The innermost cause says what a person can act on:
/// nobody listens there, there is no such host, its certificate is not trusted.
#[must_use]
pub fn reason(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    words::clean(&cause.to_string())
}

/// `.` and `..` are call ids by their letters, but in a path they would name another route.
fn stands_in_a_path(id: &CallId) -> bool {
    !matches!(id.as_str(), "." | "..")
}

/// Why there is no whole answer. Never the error's own text, which may hold an address.
fn in_words(error: &reqwest::Error) -> String {
    let words = if error.is_connect() {
        "Vapi could not be reached"
    } else if error.is_timeout() {
        "Vapi did not answer in time"
    } else if error.is_body() || error.is_decode() {
        "Vapi's answer was cut off or garbled"
    } else {
        "the connection to Vapi failed"
    };
    words.to_owned()
}
