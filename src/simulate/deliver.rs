//! Posting webhooks: where to, how signed, how often tried.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::{
    script::scaled,
    sign,
    world::{Delivery, Progress, World},
};

/// How long Vapi waits for an answer unless the call says otherwise, in seconds.
const TIMEOUT_SECONDS: u64 = 20;
/// The most retries that Vapi takes.
const MAX_RETRIES: u64 = 10;

/// Where the webhooks of a call go.
#[derive(Debug, Clone)]
pub(super) struct Target {
    url: String,
    headers: HeaderMap,
    timeout: Duration,
    backoff: Option<Backoff>,
}

/// `server.backoffPlan`. Without one Vapi tries once.
#[derive(Debug, Clone)]
struct Backoff {
    exponential: bool,
    retries: u64,
    base_milliseconds: i64,
    excluded: Vec<u64>,
}

/// A message on its way.
#[derive(Debug, Clone)]
pub(super) struct Post {
    pub(super) call_id: String,
    pub(super) message_id: String,
    pub(super) kind: String,
    pub(super) body: Vec<u8>,
}

impl Target {
    /// The server of the call's overrides, else of its assistant, else `fallback`.
    pub(super) fn of(request: &Map<String, Value>, fallback: Option<&str>) -> Option<Self> {
        let own = ["assistantOverrides", "assistant"].iter().filter_map(|holder| request.get(*holder)?.get("server"));
        let server = own.into_iter().find(|server| server["url"].is_string());
        let url = server.and_then(|server| server["url"].as_str()).or(fallback)?.to_owned();
        let server = server.unwrap_or(&Value::Null);
        let timeout = Duration::from_secs(server["timeoutSeconds"].as_u64().unwrap_or(TIMEOUT_SECONDS).clamp(1, 300));
        Some(Self { url, headers: headers(server), timeout, backoff: backoff(&server["backoffPlan"]) })
    }
}

fn headers(server: &Value) -> HeaderMap {
    let given = server["headers"].as_object().into_iter().flatten();
    let mut headers: HeaderMap =
        given.filter_map(|(name, value)| Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value.as_str()?).ok()?))).collect();
    if let Some(secret) = server["secret"].as_str().and_then(|secret| HeaderValue::try_from(secret).ok()) {
        headers.insert("x-vapi-secret", secret);
    }
    headers
}

fn backoff(plan: &Value) -> Option<Backoff> {
    let plan = plan.as_object()?;
    let number = |field: &str| plan.get(field).and_then(Value::as_f64);
    let excluded = plan.get("excludedStatusCodes").and_then(Value::as_array).into_iter().flatten();
    Some(Backoff {
        exponential: plan.get("type").and_then(Value::as_str) == Some("exponential"),
        retries: plan.get("maxRetries").and_then(Value::as_u64).unwrap_or_default().min(MAX_RETRIES),
        base_milliseconds: scaled(1_000, number("baseDelaySeconds").unwrap_or(1.0).clamp(0.0, 10.0)),
        excluded: excluded.filter_map(Value::as_u64).collect(),
    })
}

impl Backoff {
    /// How long to wait after try number `attempt` that got `status`, in milliseconds; `None` to give up.
    fn wait(&self, attempt: u32, status: Option<u16>) -> Option<i64> {
        let excluded = status.is_some_and(|status| self.excluded.contains(&u64::from(status)));
        if excluded || u64::from(attempt) > self.retries {
            return None;
        }
        let factor = if self.exponential { 1_i64 << (attempt - 1).min(10) } else { 1 };
        Some(self.base_milliseconds * factor)
    }
}

impl World {
    /// Tries once; the rest of the plan goes on by itself, so that a failing server does not hold the call up.
    pub(super) async fn deliver(self: &std::sync::Arc<Self>, target: &Target, post: Post) -> Delivery {
        let first = self.attempt(target, &post, 1).await;
        if target.backoff.is_some() && !is_success(&first) {
            let (world, target, status) = (std::sync::Arc::clone(self), target.clone(), first.status);
            self.tasks.spawn(async move { world.retry(&target, &post, status).await });
        }
        first
    }

    async fn retry(&self, target: &Target, post: &Post, mut status: Option<u16>) {
        let mut attempt = 1;
        while let Some(wait) = target.backoff.as_ref().and_then(|backoff| backoff.wait(attempt, status)) {
            let wait = Duration::from_millis(u64::try_from(scaled(wait, self.options.pace)).unwrap_or_default());
            if tokio::time::timeout(wait, self.stop.cancelled()).await.is_ok() {
                return;
            }
            attempt += 1;
            let delivery = self.attempt(target, post, attempt).await;
            if is_success(&delivery) {
                return;
            }
            status = delivery.status;
        }
    }

    /// One try, signed afresh.
    async fn attempt(&self, target: &Target, post: &Post, attempt: u32) -> Delivery {
        let mut request = self.http.post(&target.url).timeout(target.timeout).header(CONTENT_TYPE, "application/json");
        request = request.header("x-call-id", &post.call_id);
        if let Some(secret) = &self.options.secret {
            let now = self.options.clock.now();
            for (name, value) in sign::headers_of(self.options.auth, secret, &post.message_id, &post.body, now) {
                request = request.header(name, value);
            }
        }
        let sent = request.headers(target.headers.clone()).body(post.body.clone()).send();
        let (status, answer) = match sent.await {
            Ok(response) => (Some(response.status().as_u16()), response.text().await.unwrap_or_default()),
            Err(error) if error.is_timeout() => (None, "no answer in time".to_owned()),
            Err(_) => (None, "no connection".to_owned()),
        };
        let delivery = Delivery { call_id: post.call_id.clone(), kind: post.kind.clone(), attempt, status, answer };
        self.deliveries().push(delivery.clone());
        self.tell(Progress::Delivered(delivery.clone()));
        delivery
    }
}

fn is_success(delivery: &Delivery) -> bool {
    delivery.status.is_some_and(|status| (200..300).contains(&status))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::{Backoff, Target, backoff};
    use crate::simulate::script::as_map;

    fn target(request: Value, fallback: Option<&str>) -> Option<Target> {
        Target::of(&as_map(request), fallback)
    }

    fn plan(fields: &Value) -> Backoff {
        backoff(fields).expect("an object is a plan")
    }

    #[test]
    fn the_nearest_server_that_has_an_address_counts() {
        let url = |request| target(request, Some("http://last")).expect("there is a last resort").url;
        let server = |url: &str| json!({"server": {"url": url}});
        assert_eq!(url(json!({"assistant": server("http://a"), "assistantOverrides": server("http://o")})), "http://o");
        assert_eq!(url(json!({"assistant": server("http://a"), "assistantOverrides": {"server": {"timeoutSeconds": 3}}})), "http://a");
        assert_eq!(url(json!({"assistantId": "saved"})), "http://last");
        assert!(target(json!({"assistantId": "saved"}), None).is_none(), "nowhere to send to");
    }

    #[test]
    fn a_server_is_waited_for_as_long_as_it_asks_within_vapis_bounds() {
        let timeout = |seconds| {
            let server = json!({"assistant": {"server": {"url": "http://a", "timeoutSeconds": seconds}}});
            target(server, None).expect("a server").timeout
        };
        for (asked, seconds) in [(json!(7), 7), (json!(0), 1), (json!(9_999), 300), (json!("soon"), 20), (json!(null), 20)] {
            assert_eq!(timeout(asked.clone()), Duration::from_secs(seconds), "{asked}");
        }
    }

    #[test]
    fn headers_that_cannot_be_sent_are_left_out() {
        let server = json!({"url": "http://a", "headers": {"x-good": "1", "bad name": "2", "x-bad": "a\nb", "x-number": 3}});
        let target = target(json!({"assistant": {"server": server}}), None).expect("a server");
        assert_eq!(target.headers.keys().map(ToString::to_string).collect::<Vec<_>>(), ["x-good"]);
    }

    #[test]
    fn waits_grow_only_when_the_plan_is_exponential() {
        let waits = |plan: &Backoff| (1..=5).map(|attempt| plan.wait(attempt, Some(500))).collect::<Vec<_>>();
        let fixed = plan(&json!({"type": "fixed", "maxRetries": 3, "baseDelaySeconds": 2}));
        assert_eq!(waits(&fixed), [Some(2_000), Some(2_000), Some(2_000), None, None]);
        let growing = plan(&json!({"type": "exponential", "maxRetries": 4, "baseDelaySeconds": 0.5}));
        assert_eq!(waits(&growing), [Some(500), Some(1_000), Some(2_000), Some(4_000), None]);
    }

    #[test]
    fn a_plan_stays_within_vapis_bounds() {
        let wild = plan(&json!({"type": "exponential", "maxRetries": 1_000, "baseDelaySeconds": 1_000}));
        assert_eq!(wild.wait(10, None), Some(10_000 * 512));
        assert_eq!(wild.wait(11, None), None);
        assert_eq!(plan(&json!({})).wait(1, None), None, "no retries unless asked for");
        assert!(backoff(&json!(null)).is_none());
    }

    #[test]
    fn an_excluded_status_ends_it() {
        let plan = plan(&json!({"type": "fixed", "maxRetries": 5, "baseDelaySeconds": 1, "excludedStatusCodes": [400, 401]}));
        assert_eq!((plan.wait(1, Some(400)), plan.wait(1, Some(402)), plan.wait(1, None)), (None, Some(1_000), Some(1_000)));
    }
}
