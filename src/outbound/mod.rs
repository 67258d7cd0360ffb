//! Requests of ours to other people's addresses: tools, relays, and whoever else is told something.
//!
//! Wanted: whatever the other side does, one request ends within its time in one [`Reply`] or one [`Failure`], and takes no more memory than
//! its limit.
//!
//! - An address from our own configuration is trusted. One that came over the API is checked on every try against the address that is really
//!   connected to: what a name resolves to is filtered on the way to the socket, so a name that changes between check and connect gains nothing.
//! - Redirects are failures: the place that was checked is the place that is asked.
//! - No proxy is taken from the environment: it would connect to places that nobody checked.
//! - An error text never holds an address, which may hold a secret.

pub mod guard;
mod sign;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use reqwest::{Client, Method, StatusCode, Url, header::HeaderMap, redirect};

use self::guard::{Allowed, GuardedNames, Lookup};
pub use self::sign::{InvalidKey, SigningKey};
use crate::trace;

/// Ports for which a checking client is kept; more are made anew each time.
const MOST_PORTS: usize = 64;

/// Who gave an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Whoever runs the service, in its configuration.
    Configured,
    /// Somebody, over the API.
    Given,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Post<'a> {
    /// Where to.
    pub url: &'a Url,
    /// Who says so.
    pub trust: Trust,
    /// Headers to send.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// How long all of it may take.
    pub within: Duration,
    /// Bytes of an answer that are read, after decompression.
    pub most_bytes: usize,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Why there is no answer that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The address may not be reached.
    #[error("the address is private or reserved, and OUTBOUND_ALLOW does not list it")]
    Refused,
    /// Nobody answers there.
    #[error("it could not be reached")]
    Unreachable,
    /// No whole answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// It sends elsewhere.
    #[error("it answered with a redirect")]
    Redirected,
    /// The answer has more bytes than are read.
    #[error("the answer is too large")]
    TooLarge,
    /// The answer was cut, or is no HTTP.
    #[error("the answer was cut")]
    Cut,
}

/// The client could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client could not be set up: {0}")]
pub struct SetUpError(#[from] reqwest::Error);

/// Sends requests. A clone is cheap and shares connections.
#[derive(Clone)]
pub struct Outbound(Arc<Shared>);

struct Shared {
    trusted: Client,
    allowed: Arc<Allowed>,
    lookup: Lookup,
    /// One for each port, for what is allowed may depend on it and a resolver is told no port.
    guarded: Mutex<HashMap<u16, Client>>,
}

impl Outbound {
    /// A client; `allowed` are the private places that given addresses may name.
    ///
    /// # Errors
    /// [`SetUpError`] when TLS can't be set up.
    pub fn new(allowed: Allowed) -> Result<Self, SetUpError> {
        Self::resolving_by(allowed, guard::system_lookup())
    }

    /// The same, with another way to find the addresses of a name.
    ///
    /// # Errors
    /// [`SetUpError`] when TLS can't be set up.
    pub fn resolving_by(allowed: Allowed, lookup: Lookup) -> Result<Self, SetUpError> {
        // Err means that it is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (allowed, guarded) = (Arc::new(allowed), Mutex::default());
        Ok(Self(Arc::new(Shared { trusted: plain().build()?, allowed, lookup, guarded })))
    }

    /// Sends one request and reads its answer.
    ///
    /// # Errors
    /// [`Failure`] when there is no whole answer. An answer of any status but a redirect is one.
    pub async fn post(&self, post: Post<'_>) -> Result<Reply, Failure> {
        self.send(Method::POST, post).await
    }

    /// The same as a GET; its body should be empty.
    ///
    /// # Errors
    /// As [`Outbound::post`].
    pub async fn get(&self, get: Post<'_>) -> Result<Reply, Failure> {
        self.send(Method::GET, get).await
    }

    /// Is this an address that somebody may give over the API, as far as one can tell before a name is resolved?
    #[must_use]
    pub fn may_be_given(&self, url: &Url) -> bool {
        let (Some(port), Some(host)) = (url.port_or_known_default(), url.host_str()) else { return false };
        // An address that is written out passes no resolver.
        host.trim_matches(['[', ']']).parse().map_or(true, |address| self.0.allowed.may_reach(None, address, port))
    }

    async fn send(&self, method: Method, mut post: Post<'_>) -> Result<Reply, Failure> {
        trace::inject(&mut post.headers);
        let client = match post.trust {
            Trust::Configured => self.0.trusted.clone(),
            Trust::Given => self.guarded(post.url)?,
        };
        tokio::time::timeout(post.within, answer(client, method, post)).await.unwrap_or(Err(Failure::TimedOut))
    }

    fn guarded(&self, url: &Url) -> Result<Client, Failure> {
        let port = url.port_or_known_default().ok_or(Failure::Refused)?;
        if !self.may_be_given(url) {
            return Err(Failure::Refused);
        }
        let mut clients = self.0.guarded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&port) {
            return Ok(client.clone());
        }
        let names = GuardedNames { allowed: Arc::clone(&self.0.allowed), lookup: Arc::clone(&self.0.lookup), port };
        // No connection is kept: every try is checked against the address that it goes to.
        let built = plain().dns_resolver(Arc::new(names)).pool_max_idle_per_host(0).build();
        let client = built.map_err(|_no_tls| Failure::Unreachable)?;
        if clients.len() < MOST_PORTS {
            clients.insert(port, client.clone());
        }
        Ok(client)
    }
}

fn plain() -> reqwest::ClientBuilder {
    Client::builder().no_proxy().redirect(redirect::Policy::none()).user_agent(concat!("ringback/", env!("CARGO_PKG_VERSION")))
}

async fn answer(client: Client, method: Method, post: Post<'_>) -> Result<Reply, Failure> {
    let request = client.request(method, post.url.clone()).headers(post.headers).body(post.body);
    let mut response = request.send().await.map_err(|error| failure(&error))?;
    let (status, headers) = (response.status(), response.headers().clone());
    if status.is_redirection() {
        return Err(Failure::Redirected);
    }
    let announced = response.content_length().unwrap_or_default();
    if announced > post.most_bytes as u64 {
        return Err(Failure::TooLarge);
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
        if body.len() + chunk.len() > post.most_bytes {
            return Err(Failure::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Reply { status, headers, body: body.freeze() })
}

fn failure(error: &reqwest::Error) -> Failure {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.is::<guard::Refused>() {
            return Failure::Refused;
        }
        cause = error.source();
    }
    match error {
        _ if error.is_timeout() => Failure::TimedOut,
        _ if error.is_connect() || error.is_builder() => Failure::Unreachable,
        _ => Failure::Cut,
    }
}
