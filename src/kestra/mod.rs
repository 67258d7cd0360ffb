//! Asking a Kestra: is it well, what does this flow take, start it, how does that execution do, go on with it.
//!
//! Two generations are in use. They differ in the path that resumes an execution, and in where an execution's outputs stand: in the first one it
//! carries them, in the second one they have a route of their own. Everything else that is asked for here is the same in both.
//!
//! - An execution is started at most once: `POST` is never sent again, and [`Started`] tells apart what is certain and what is not. Whoever does
//!   not know can look for it by its label.
//! - Kestra's address is our own configuration, so it is trusted; no proxy is taken from the environment, no redirect is followed.
//! - Neither what lets us in nor an address gets into an error text.

mod execution;
pub mod flow;
mod form;
mod start;

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use reqwest::{
    Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::{
    config::{KestraConfig, KestraLogin},
    outbound::{Failure, Outbound, Post, Reply, Trust},
};

pub use self::{
    execution::{Execution, Looked},
    start::{Started, Told},
};
use self::{flow::Sought, form::Form};

/// The label under which an execution has its placing.
pub const LABEL: &str = "ringback_placement";
/// How long Kestra may take to say that it is well.
const HEALTHY_WITHIN: Duration = Duration::from_secs(3);
/// How long starting an execution may take; it is put into a queue.
const START_WITHIN: Duration = Duration::from_secs(30);
/// How long any other question may take.
const ASK_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read: an execution comes with its inputs and outputs.
const MOST_ANSWER_BYTES: usize = 4 * 1_048_576;

/// Asks one Kestra. A clone is cheap.
#[derive(Clone)]
pub struct Kestra(Arc<Inner>);

struct Inner {
    config: KestraConfig,
    outbound: Outbound,
}

impl Kestra {
    /// Asks nothing yet.
    #[must_use]
    pub fn new(config: KestraConfig, outbound: Outbound) -> Self {
        Self(Arc::new(Inner { config, outbound }))
    }

    /// Does it place the calls of which nobody says how?
    #[must_use]
    pub fn places(&self) -> bool {
        self.0.config.places
    }

    /// The flow that places calls, as people write it.
    #[must_use]
    pub fn flow_name(&self) -> String {
        let KestraConfig { namespace, flow, .. } = &self.0.config;
        format!("{namespace}.{flow}")
    }

    /// The flow that places calls, as Kestra has it.
    pub async fn flow(&self) -> Sought {
        let KestraConfig { url, tenant, namespace, flow, .. } = &self.0.config;
        Sought::of(self.get(&format!("{url}/api/v1/{tenant}/flows/{namespace}/{flow}"), ASK_WITHIN).await)
    }

    /// Is it well?
    ///
    /// # Errors
    /// Why not, in words for a caller.
    pub async fn health(&self) -> Result<(), String> {
        match self.get(&format!("{}/api/v1/configs", self.0.config.url), HEALTHY_WITHIN).await {
            Ok(reply) if reply.status.is_success() => Ok(()),
            Ok(reply) => Err(format!("Kestra answered {}", reply.status.as_u16())),
            Err(failure) => Err(format!("Kestra was asked how it is: {failure}")),
        }
    }

    /// Starts the flow that places calls, with these inputs, under a label. It is asked once.
    pub async fn start(&self, inputs: &[(&str, &str)], label: (&str, &str)) -> Started {
        let KestraConfig { url, tenant, namespace, flow, .. } = &self.0.config;
        let Ok(mut address) = Url::parse(&format!("{url}/api/v1/{tenant}/executions/{namespace}/{flow}")) else {
            return Started::Refused(Told { status: None, words: "KESTRA_URL is no address".to_owned() });
        };
        address.query_pairs_mut().append_pair("labels", &format!("{}:{}", label.0, label.1));
        Started::of(self.post(&address, Form::of(inputs), START_WITHIN).await)
    }

    /// An execution of the configured tenant.
    pub async fn execution_of(&self, id: &str) -> Looked {
        self.execution(id, None, ASK_WITHIN).await
    }

    /// An execution; of the configured tenant, if none is named.
    pub async fn execution(&self, id: &str, tenant: Option<&str>, within: Duration) -> Looked {
        Looked::of_one(self.get(&self.address(id, tenant), within.min(ASK_WITHIN)).await)
    }

    /// The newest execution with a label.
    pub async fn labelled(&self, (key, value): (&str, &str)) -> Looked {
        let KestraConfig { url, tenant, .. } = &self.0.config;
        let Ok(mut address) = Url::parse(&format!("{url}/api/v1/{tenant}/executions/search")) else { return Looked::NotAsked };
        address.query_pairs_mut().append_pair("size", "1").append_pair(&format!("filters[labels][EQUALS][{key}]"), value);
        Looked::of_search(self.get(address.as_str(), ASK_WITHIN).await)
    }

    /// The outputs of an execution's flow. The first generation's stand in the execution itself.
    ///
    /// # Errors
    /// When they could not be had.
    pub async fn outputs(&self, execution: &Execution) -> Result<Value, Failure> {
        if let Some(outputs) = &execution.outputs {
            return Ok(outputs.clone());
        }
        let KestraConfig { url, tenant, .. } = &self.0.config;
        let reply = self.get(&format!("{url}/api/v1/{tenant}/outputs/executions/{}", execution.id), ASK_WITHIN).await?;
        // The first generation leaves outputs out that there are none of, and has no such route.
        let is_there = reply.status.is_success() || reply.status.as_u16() == 404;
        if is_there { Ok(serde_json::from_slice(&reply.body).unwrap_or_default()) } else { Err(Failure::Unreachable) }
    }

    /// Asks a paused execution to go on, with these inputs; `second` is the generation.
    ///
    /// # Errors
    /// [`Failure`] when there is no whole answer.
    pub async fn resume(
        &self,
        (id, tenant): (&str, Option<&str>),
        second: bool,
        inputs: &[(&str, &str)],
        within: Duration,
    ) -> Result<Reply, Failure> {
        let path = if second { "/actions/resume" } else { "/resume" };
        let Ok(address) = Url::parse(&format!("{}{path}", self.address(id, tenant))) else { return Err(Failure::Unreachable) };
        self.post(&address, Form::of(inputs), within).await
    }

    fn address(&self, id: &str, tenant: Option<&str>) -> String {
        let config = &self.0.config;
        format!("{}/api/v1/{}/executions/{id}", config.url, tenant.unwrap_or(&config.tenant))
    }

    async fn get(&self, address: &str, within: Duration) -> Result<Reply, Failure> {
        let Ok(url) = Url::parse(address) else { return Err(Failure::Unreachable) };
        let headers = self.headers(None);
        let asked = Post { url: &url, trust: Trust::Configured, headers, body: Bytes::new(), within, most_bytes: MOST_ANSWER_BYTES };
        self.0.outbound.get(asked).await
    }

    async fn post(&self, url: &Url, form: Form, within: Duration) -> Result<Reply, Failure> {
        let headers = self.headers(Some(&form.content_type));
        let body = Bytes::from(form.body);
        self.0.outbound.post(Post { url, trust: Trust::Configured, headers, body, within, most_bytes: MOST_ANSWER_BYTES }).await
    }

    fn headers(&self, content_type: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.extend(content_type.and_then(|kind| HeaderValue::try_from(kind).ok()).map(|kind| (CONTENT_TYPE, kind)));
        headers.extend(credentials(&self.0.config.login).map(|value| (AUTHORIZATION, value)));
        headers
    }
}

fn credentials(login: &KestraLogin) -> Option<HeaderValue> {
    let text = match login {
        KestraLogin::Open => return None,
        KestraLogin::Basic(user, password) => format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose_secret()))),
        KestraLogin::Token(token) => format!("Bearer {}", token.expose_secret()),
    };
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
