//! What one object at Vapi needs so that its webhooks arrive here: findings, and the fields that would have to change. Pure.

use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    Finding,
    address::address,
    credential::{self, Credential, Proposal},
};
use crate::words::clean;

/// Seconds that Vapi must wait for an answer: the store has 5 to commit.
const LEAST_TIMEOUT: f64 = 6.0;
/// Seconds that it should wait: a tool has up to 18.
const TIMEOUT: f64 = 20.0;
/// Seconds that it waits unless told otherwise.
const DEFAULT_TIMEOUT: f64 = 20.0;
/// Fewer tries do not outlast a restart.
const RETRIES: u64 = 5;
/// What is set where there is no good plan: half an hour of tries.
const MAX_RETRIES: u64 = 10;
const BASE_DELAY_SECONDS: u64 = 2;
/// Without it no call ever has a result by webhook.
const REPORT: &str = "end-of-call-report";
/// Without it the end of a call is not heard of when its report gets lost.
const STATUS: &str = "status-update";
/// Without it no tool is asked.
const TOOL_CALLS: &str = "tool-calls";

/// What webhooks must be like to be taken here.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    /// Where they must go; unknown without a public address.
    pub url: Option<String>,
    /// Addresses that are as good.
    pub aliases: Vec<String>,
    /// They must prove themselves.
    pub proof: bool,
    /// The credential at Vapi that placed calls are given: what others lack, too.
    pub credential_id: Option<String>,
    /// Secrets that may be sent as they are.
    pub secrets: Vec<SecretString>,
    /// The proofs that count, as `VAPI_WEBHOOK_AUTH` names them.
    pub proofs: Vec<String>,
    /// Tools are answered here.
    pub tools: bool,
}

/// What kind of object it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The organisation.
    Org,
    /// A telephone number.
    PhoneNumber,
    /// A saved assistant.
    Assistant,
}

impl Kind {
    /// The word for it in Vapi's paths.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Org => "org",
            Self::PhoneNumber => "phone-number",
            Self::Assistant => "assistant",
        }
    }

    /// The kind with this word in its path.
    #[must_use]
    pub fn of_path(word: &str) -> Option<Self> {
        [Self::Org, Self::PhoneNumber, Self::Assistant].into_iter().find(|kind| kind.path() == word)
    }
}

/// An object at Vapi, as it stands.
#[derive(Debug, Clone)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Its id.
    pub id: String,
    /// All of it. May hold secrets.
    pub value: Value,
}

/// One field that would change, in plain words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The field.
    pub field: &'static str,
    /// What stands there.
    pub from: String,
    /// What would.
    pub to: String,
}

/// What an object needs.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The object, as it stands.
    pub object: Object,
    /// What would change, in plain words.
    pub changes: Vec<Change>,
    /// The fields to send. May hold secrets.
    pub patch: Map<String, Value>,
    /// Why it can't be changed from here, if it can't.
    pub obstacle: Option<&'static str>,
}

impl Object {
    /// Takes an object out of Vapi's answer; `None` if it has no id.
    #[must_use]
    pub fn new(kind: Kind, value: Value) -> Option<Self> {
        let id = value["id"].as_str()?.to_owned();
        Some(Self { kind, id, value })
    }

    /// Its `server`, `null` if there is none.
    #[must_use]
    pub fn server(&self) -> &Value {
        &self.value["server"]
    }

    /// Where its webhooks go, by its own settings.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        let older = self.value["serverUrl"].as_str();
        self.server()["url"].as_str().or(older).filter(|url| !url.trim().is_empty())
    }

    /// Its kind and id.
    #[must_use]
    pub fn subject(&self) -> String {
        clean(&format!("{} {}", self.kind.path(), self.id))
    }

    /// What people call it.
    #[must_use]
    pub fn name(&self) -> String {
        clean(self.value["name"].as_str().unwrap_or_default())
    }

    pub(super) fn found(&self, finding: Finding) -> Finding {
        finding.about(&self.subject(), &self.name())
    }
}

impl Needs {
    /// Does a proof of this kind count?
    #[must_use]
    pub fn counts(&self, proof: &str) -> bool {
        self.proofs.iter().any(|word| word == proof)
    }

    /// Does this address lead here?
    #[must_use]
    pub fn is_ours(&self, url: &str) -> bool {
        let same = |one: &str| one.trim_end_matches('/') == url.trim().trim_end_matches('/');
        self.url.as_deref().is_some_and(same) || self.aliases.iter().any(|alias| same(alias))
    }
}

/// What is to be said of the server of an object whose webhooks come here by its own settings.
#[must_use]
pub fn server_findings(object: &Object, needs: &Needs) -> Vec<Finding> {
    let findings = [timeout(object.server()), retries(object.server()), credentials(credential::of(object, needs), needs)];
    findings.into_iter().map(|finding| object.found(finding)).collect()
}

fn timeout(server: &Value) -> Finding {
    let seconds = server["timeoutSeconds"].as_f64().unwrap_or(DEFAULT_TIMEOUT);
    let words = format!("Vapi waits {seconds} s for an answer");
    let advice = format!("set server.timeoutSeconds to {TIMEOUT}");
    if seconds < LEAST_TIMEOUT {
        Finding::error("server_timeout", &format!("{words}, which is less than a busy store may take")).advise(&advice)
    } else if seconds < TIMEOUT {
        Finding::warning("server_timeout", &format!("{words}, which is less than a tool may take")).advise(&advice)
    } else {
        Finding::ok("server_timeout", &words)
    }
}

/// The plan tries often enough, after every refusal that may pass.
fn retries(server: &Value) -> Finding {
    let plan = &server["backoffPlan"];
    let retries = plan["maxRetries"].as_u64().unwrap_or_default();
    let passes = |code: &Value| code.as_u64().is_some_and(|code| code == 429 || code >= 500);
    let advice = "set server.backoffPlan to {\"type\":\"exponential\",\"maxRetries\":10,\"baseDelaySeconds\":2}";
    let finding = if retries == 0 {
        Finding::error("server_retries", "there is no backoff plan: Vapi sends each webhook once, and one that is missed is gone")
    } else if plan["excludedStatusCodes"].as_array().is_some_and(|codes| codes.iter().any(passes)) {
        Finding::warning("server_retries", "the backoff plan leaves out refusals that pass (429 or 5xx)")
    } else if retries < RETRIES || plan["type"] != "exponential" {
        let kind = if plan["type"] == "exponential" { "" } else { ", not at growing intervals" };
        Finding::warning("server_retries", &format!("Vapi tries again {retries} times{kind}, which may not outlast a restart"))
    } else {
        return Finding::ok("server_retries", &format!("Vapi tries again {retries} times, at growing intervals"));
    };
    finding.advise(advice)
}

fn credentials(found: Credential, needs: &Needs) -> Finding {
    let good = |words| Finding::ok("server_credential", words);
    let bad = |words| Finding::error("server_credential", words);
    let or_else = |advice: &str| match &needs.credential_id {
        Some(id) => format!("set server.credentialId to {id} (VAPI_CREDENTIAL_ID)"),
        None => advice.to_owned(),
    };
    match found {
        Credential::NotNeeded => good("no proof is asked for, since VAPI_WEBHOOK_SECRET is not set"),
        Credential::Kept => good("webhooks are proven by a credential; Vapi does not tell what is in it"),
        Credential::Ours => good("webhooks carry a secret of VAPI_WEBHOOK_SECRET"),
        Credential::Hidden => good("webhooks carry a secret that Vapi does not show"),
        Credential::Other => bad("webhooks carry a secret that is not in VAPI_WEBHOOK_SECRET: each is refused with 401")
            .advise(&or_else("put the same secret there and into VAPI_WEBHOOK_SECRET")),
        Credential::NotCounted => {
            bad("webhooks carry a secret as it is, which VAPI_WEBHOOK_AUTH does not let count: each is refused with 401")
                .advise(&or_else("set server.credentialId to an HMAC credential with that secret, or list `secret` in VAPI_WEBHOOK_AUTH"))
        }
        Credential::Missing => bad("webhooks carry no proof: each is refused with 401").advise(&or_else(
            "set server.credentialId to a credential that holds the secret of VAPI_WEBHOOK_SECRET (README, Connect Vapi)",
        )),
    }
}

/// What is to be said of what an assistant sends.
#[must_use]
pub fn message_findings(assistant: &Object, needs: &Needs) -> Finding {
    let missing = missing_messages(assistant, needs);
    let finding = if missing.is_empty() {
        Finding::ok("server_messages", "the messages that are needed are sent")
    } else {
        let words = format!("serverMessages lacks {}", missing.join(", "));
        let advice = format!("add {} to serverMessages", missing.join(", "));
        let is_grave = missing.contains(&REPORT);
        if is_grave { Finding::error("server_messages", &words) } else { Finding::warning("server_messages", &words) }.advise(&advice)
    };
    assistant.found(finding)
}

/// Vapi's default has all that is needed.
fn missing_messages(assistant: &Object, needs: &Needs) -> Vec<&'static str> {
    let Some(sent) = assistant.value["serverMessages"].as_array() else { return Vec::new() };
    let wanted = [REPORT, STATUS].into_iter().chain(needs.tools.then_some(TOOL_CALLS));
    wanted.filter(|word| !sent.iter().any(|sent| sent == word)).collect()
}

/// What an object needs to send its webhooks here, well; `None` if nothing, or if nobody knows where here is.
#[must_use]
pub fn plan(object: &Object, needs: &Needs) -> Option<Plan> {
    let url = needs.url.as_deref()?;
    let (mut changes, mut patch) = (Vec::new(), Map::new());
    let mut server = object.server().as_object().cloned().unwrap_or_default();
    let mut change = |field, from: String, to: String| changes.push(Change { field, from, to });
    if !object.url().is_some_and(|own| needs.is_ours(own)) {
        change("server.url", object.url().map_or_else(not_set, |own| address(own, Some(url))), address(url, Some(url)));
        server.insert("url".to_owned(), url.into());
    }
    let seconds = object.server()["timeoutSeconds"].as_f64();
    if seconds.is_some_and(|seconds| seconds < TIMEOUT) {
        change("server.timeoutSeconds", seconds.unwrap_or_default().to_string(), TIMEOUT.to_string());
        server.insert("timeoutSeconds".to_owned(), json!(20));
    }
    if retries(object.server()).advice.is_some() {
        let to = format!("{MAX_RETRIES} retries at growing intervals from {BASE_DELAY_SECONDS} s");
        change("server.backoffPlan", backoff_words(&object.server()["backoffPlan"]), to);
        let plan = json!({"type": "exponential", "maxRetries": MAX_RETRIES, "baseDelaySeconds": BASE_DELAY_SECONDS});
        server.insert("backoffPlan".to_owned(), plan);
    }
    let proof = credential::of(object, needs);
    if !proof.is_good()
        && let Some(Proposal { field, words, key, value }) = credential::proposal(object.server(), needs)
    {
        let is_new = proof == Credential::Missing || key == "credentialId";
        change(field, if is_new { not_set() } else { "another secret".to_owned() }, words);
        server.insert(key.to_owned(), value);
    }
    if !changes.is_empty() {
        // An older address becomes the url of the server that replaces it.
        server.entry("url").or_insert_with(|| url.into());
        patch.insert("server".to_owned(), Value::Object(server));
    }
    let missing = if object.kind == Kind::Assistant { missing_messages(object, needs) } else { Vec::new() };
    if !missing.is_empty() {
        let mut messages = object.value["serverMessages"].as_array().cloned().unwrap_or_default();
        messages.extend(missing.iter().map(|word| json!(word)));
        changes.push(Change { field: "serverMessages", from: "without them".to_owned(), to: format!("also {}", missing.join(", ")) });
        patch.insert("serverMessages".to_owned(), messages.into());
    }
    let is_hidden = patch.contains_key("server") && credential::hides_something(object.server());
    let obstacle =
        is_hidden.then_some("Vapi does not show all of its server settings, and to send them back would break them: use the dashboard");
    (!changes.is_empty()).then(|| Plan { object: object.clone(), changes, patch, obstacle })
}

fn not_set() -> String {
    "not set".to_owned()
}

fn backoff_words(plan: &Value) -> String {
    match plan["maxRetries"].as_u64() {
        None | Some(0) => not_set(),
        Some(retries) if plan["type"] == "exponential" => format!("{retries} retries at growing intervals"),
        Some(retries) => format!("{retries} retries at fixed intervals"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
    use serde_json::{Value, json};

    use super::{Kind, Needs, Object, message_findings, plan, server_findings};
    use crate::doctor::Severity;

    const URL: &str = "https://calls.example.com/api/v1/vapi/webhook";

    fn needs() -> Needs {
        let proofs = vec!["secret".to_owned()];
        Needs { url: Some(URL.to_owned()), proof: true, secrets: vec!["a-secret-of-mine".into()], proofs, tools: true, ..Needs::default() }
    }

    fn assistant(server: &Value, messages: &Value) -> Object {
        Object::new(Kind::Assistant, json!({"id": "a", "server": server, "serverMessages": messages})).expect("it has an id")
    }

    /// What may stand in a field: what belongs there, and what does not.
    fn anything() -> impl Strategy<Value = Value> {
        let words =
            prop_oneof![Just(URL.to_owned()), Just("exponential".to_owned()), Just("end-of-call-report".to_owned()), any::<String>()];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<f64>().prop_map(|it| json!(it)),
            any::<u8>().prop_map(|it| json!(it)),
            words.prop_map(Value::from)
        ];
        let leaf = leaf.boxed();
        let list = proptest::collection::vec(leaf.clone(), 0..3).prop_map(Value::from);
        let backoff = (leaf.clone(), leaf.clone()).prop_map(|(kind, retries)| json!({"type": kind, "maxRetries": retries}));
        let headers = leaf.clone().prop_map(|secret| json!({"X-Vapi-Secret": secret}));
        prop_oneof![leaf, list, backoff, headers]
    }

    proptest! {
        #[test]
        fn whatever_stands_there_a_plan_makes_it_right(
            (url, seconds, backoff, headers, messages) in (anything(), anything(), anything(), anything(), anything())
        ) {
            let server = json!({"url": url, "timeoutSeconds": seconds, "backoffPlan": backoff, "headers": headers, "encryptedPaths": ["x"]});
            let mut object = assistant(&server, &messages);
            if let Some(plan) = plan(&object, &needs()) {
                for (field, value) in plan.patch {
                    object.value[field] = value;
                }
            }
            prop_assert!(plan(&object, &needs()).is_none());
            let findings = server_findings(&object, &needs()).into_iter().chain([message_findings(&object, &needs())]);
            for finding in findings {
                prop_assert_eq!(finding.severity, Severity::Ok, "{:?} {}", finding, object.value);
            }
            prop_assert_eq!(&object.server()["encryptedPaths"], &json!(["x"]), "what is nobody's business stays");
        }
    }

    #[test]
    fn an_older_address_is_moved_into_a_server_when_that_is_needed() {
        let object = Object::new(Kind::Assistant, json!({"id": "a", "serverUrl": URL, "serverUrlSecret": "a-secret-of-mine"}));
        let plan = plan(&object.expect("it has an id"), &needs()).expect("there is no backoff plan");
        assert_eq!(plan.changes.len(), 1, "{:?}", plan.changes);
        assert_eq!(plan.patch["server"]["url"], URL);
    }

    #[test]
    fn what_needs_nothing_has_no_plan() {
        let backoff = json!({"type": "exponential", "maxRetries": 5, "baseDelaySeconds": 1});
        let good = assistant(&json!({"url": URL, "credentialId": "c", "backoffPlan": backoff}), &Value::Null);
        assert!(plan(&good, &needs()).is_none());
    }
}
