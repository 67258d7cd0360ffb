//! Who waits for one call: a webhook, or a paused execution of n8n or Kestra. This is what is checked and stored of it.

use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    Push, input,
    reach::Reach,
    target::{Hidden, Target},
};
use crate::{
    batch::extent::Extent,
    call::view::View,
    fields::{FieldError, Fields},
    store::{FanOut, MOST_CONFLICTS, OutboxState, OutgoingEvent, StoreError, StoredTarget},
};

/// Letters of an execution's id, at most.
const LONGEST_EXECUTION: usize = 128;
/// The one moment there is to be told at.
const WHEN: &str = "done";

/// Who waits, and how they are told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Callback {
    /// A webhook: the event, without a signature, for there is no secret.
    Webhook {
        /// Where to.
        url: Hidden,
        /// How much of the call.
        view: View,
        /// Position of the log behind which its news begin.
        #[serde(default)]
        since: u64,
    },
    /// A paused execution of n8n.
    N8nResume {
        /// `$execution.resumeUrl`.
        url: Hidden,
        /// How much of the call, or of a batch's calls; `None`: all of a call, summaries of a batch's.
        #[serde(default)]
        view: Option<View>,
        /// Position of the log behind which its news begin.
        #[serde(default)]
        since: u64,
    },
    /// A paused execution of Kestra.
    KestraResume {
        /// The execution.
        execution_id: String,
        /// Its tenant; `None`: the configured one.
        tenant: Option<String>,
        /// Position of the log behind which its news begin.
        #[serde(default)]
        since: u64,
    },
}

impl Callback {
    /// Reads what a request says; `field` is where it stands there.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(value: &Value, field: &str, reach: &Reach) -> Result<Self, Vec<FieldError>> {
        let mut fields = Fields::of(value, field);
        let callback = match fields.member("kind").and_then(Value::as_str).unwrap_or_default() {
            "webhook" => webhook(&mut fields, reach),
            "n8n-resume" => n8n(&mut fields, reach),
            "kestra-resume" => kestra(&mut fields, reach.kestra),
            _ => {
                fields.ignore_rest();
                fields.wrong("kind", "must be webhook, n8n-resume or kestra-resume");
                None
            }
        };
        if fields.member("on").is_some_and(|on| on != WHEN) {
            fields.wrong("on", "must be done");
        }
        fields.finish(callback)
    }

    /// Its `kind`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::N8nResume { .. } => "n8n-resume",
            Self::KestraResume { .. } => "kestra-resume",
        }
    }

    /// How much of a call, or of a batch's calls, goes out.
    pub(super) fn extent(&self, of_batch: bool) -> Extent {
        match self {
            Self::Webhook { view, .. } => (*view).into(),
            Self::N8nResume { view, .. } => view.map_or(if of_batch { Extent::Summary } else { Extent::Full }, Extent::from),
            // It is given three words and asks for the rest.
            Self::KestraResume { .. } => Extent::Nothing,
        }
    }

    /// The host that is asked, as far as others of the same host have to wait for it.
    pub(super) fn host(&self) -> String {
        match self {
            Self::Webhook { url, .. } | Self::N8nResume { url, .. } => {
                Url::parse(url.reveal()).map_or_else(|_no_url| String::new(), |url| url.origin().ascii_serialization())
            }
            Self::KestraResume { .. } => "kestra:".to_owned(),
        }
    }

    /// Position of the log behind which its news begin.
    pub(super) fn since(&self) -> u64 {
        match self {
            Self::Webhook { since, .. } | Self::N8nResume { since, .. } | Self::KestraResume { since, .. } => *since,
        }
    }

    fn beginning_at(mut self, position: u64) -> Self {
        match &mut self {
            Self::Webhook { since, .. } | Self::N8nResume { since, .. } | Self::KestraResume { since, .. } => *since = position,
        }
        self
    }
}

fn webhook(fields: &mut Fields<'_>, reach: &Reach) -> Option<Callback> {
    let (url, view) = (fields.required("url", |text| reach.url(text)), input::view(fields, "view").unwrap_or(View::Full));
    Some(Callback::Webhook { url: url?, view, since: 0 })
}

fn n8n(fields: &mut Fields<'_>, reach: &Reach) -> Option<Callback> {
    let view = input::view(fields, "view");
    let url = fields.required("url", |text| {
        let hidden = reach.url(text)?;
        // A client writes the address in its own way, and n8n signs every letter of it.
        let parsed = Url::parse(text).map_err(|_no_url| "must be an address".to_owned())?;
        let as_sent = parsed.query().map_or_else(|| parsed.path().to_owned(), |query| format!("{}?{query}", parsed.path()));
        let kept = text.ends_with(&as_sent) || as_sent == "/";
        if kept { Ok(hidden) } else { Err("must be $execution.resumeUrl, letter by letter as n8n gives it".to_owned()) }
    });
    Some(Callback::N8nResume { url: url?, view, since: 0 })
}

fn kestra(fields: &mut Fields<'_>, is_known: bool) -> Option<Callback> {
    let is_id = |text: &str| {
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=LONGEST_EXECUTION).contains(&text.len()) && text.bytes().all(letters)
    };
    let id = |text: &str| if is_id(text) { Ok(text.to_owned()) } else { Err("must be letters, digits, - and _".to_owned()) };
    let execution_id = fields.required("executionId", id);
    let tenant = fields.optional("tenant", id);
    if !is_known {
        fields.wrong("kind", "can't be kestra-resume: KESTRA_URL is not set");
    }
    Some(Callback::KestraResume { execution_id: execution_id?, tenant, since: 0 })
}

impl Push {
    /// Has somebody told when a call is done. `scope` is the call's id or that of its placing (`placementId` in the metadata); of one scope there
    /// is one callback, and the first counts. To be called before the call can be done: what was told earlier is not told again.
    ///
    /// # Errors
    /// [`StoreError`] when it could not be stored, or perhaps was.
    pub async fn call_back(&self, scope: &str, callback: Callback) -> Result<(), StoreError> {
        let since = self.begin_here().await?;
        let body = Target::Callback(callback.beginning_at(since)).write();
        let target = StoredTarget { id: id_of(scope), scope: Some(scope.to_owned()), revision: 1, body };
        self.0.parts.registry.store().put_target(target, None).await?;
        self.changed();
        Ok(())
    }

    /// Has whoever waits in a scope told of an event that is about no call. An event that was told before is not told again.
    ///
    /// # Errors
    /// [`StoreError`] when that is not certain.
    pub async fn tell_scope(&self, scope: &str, event: OutgoingEvent) -> Result<(), StoreError> {
        let store = self.0.parts.registry.store();
        for _ in 0..MOST_CONFLICTS {
            let OutboxState { generation, fanned, .. } = store.outbox().await?;
            let deliveries = vec![(id_of(scope), event.clone())];
            let at = self.0.parts.clock.now();
            if store.fan_out(FanOut { generation, from: fanned, until: fanned, at, deliveries }).await? {
                self.0.due.notify_one();
                return Ok(());
            }
        }
        Err(StoreError::Unavailable("the log kept being fanned out under us".to_owned()))
    }

    /// Is somebody told of this scope?
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked.
    pub async fn calls_back(&self, scope: &str) -> Result<bool, StoreError> {
        Ok(self.0.parts.registry.store().target(&id_of(scope)).await?.is_some())
    }

    /// Nobody is told of this scope any more, whatever is on its way.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't.
    pub async fn call_off(&self, scope: &str) -> Result<(), StoreError> {
        self.0.parts.registry.store().drop_target(&id_of(scope)).await.map(drop)
    }

    /// What addresses given over the API may lead to.
    #[must_use]
    pub fn reach(&self) -> Reach {
        Reach { kestra: self.0.parts.kestra.is_some(), outbound: Some(self.0.parts.outbound.clone()) }
    }
}

/// The id of the one target of a scope.
fn id_of(scope: &str) -> String {
    let digest = Sha256::digest(scope);
    format!("cb_{}", hex::encode(&digest[..16]))
}
