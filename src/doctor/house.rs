//! All objects of the organisation at Vapi, and which address counts for whom.
//!
//! A call's events go to the address of its assistant; if that has none, to that of its number; else to the organisation's.

use serde_json::Value;

use super::{
    Examination, Finding,
    address::address,
    object::{self, Kind, Needs, Object},
    skew, tools,
};
use crate::{
    clock::Clock,
    vapi::client::{Setting, SettingError, VapiClient},
};

/// Objects of one kind that are looked at.
const MOST: usize = 1_000;

/// The objects that somebody named. None: all are meant, for looking; none, for changing.
#[derive(Debug, Clone, Default)]
pub struct Named {
    /// Ids of assistants.
    pub assistants: Vec<String>,
    /// Ids of phone numbers.
    pub phone_numbers: Vec<String>,
    /// The organisation.
    pub org: bool,
}

impl Named {
    /// Nobody named anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.assistants.is_empty() && self.phone_numbers.is_empty() && !self.org
    }
}

/// What Vapi told.
#[derive(Debug, Default)]
pub struct House {
    org: Option<Object>,
    numbers: Vec<Object>,
    assistants: Vec<Object>,
    /// Everything was asked for, not only what was named.
    whole: bool,
    org_named: bool,
    /// What went wrong while asking.
    troubles: Vec<Finding>,
    /// How far our clock is ahead of Vapi's, in milliseconds.
    pub skew: Option<i64>,
}

impl House {
    /// Asks Vapi.
    pub async fn visit(client: &VapiClient, clock: &Clock, named: &Named) -> Self {
        let mut house = Self { whole: named.is_empty(), org_named: named.org, ..Self::default() };
        if house.whole {
            house.numbers = house.list(client, clock, Kind::PhoneNumber).await;
            // Without an answer to the first question there is none to the others.
            if house.troubles.is_empty() {
                house.assistants = house.list(client, clock, Kind::Assistant).await;
            }
        }
        for (kind, ids) in [(Kind::PhoneNumber, &named.phone_numbers), (Kind::Assistant, &named.assistants)] {
            for id in ids {
                let told = client.setting(&[kind.path(), id], None).await;
                let object = house.heard(clock, told).and_then(|value| Object::new(kind, value));
                match kind {
                    Kind::Assistant => house.assistants.extend(object),
                    _ => house.numbers.extend(object),
                }
            }
        }
        if house.troubles.is_empty() {
            house.ask_for_org(client, clock).await;
        }
        house
    }

    async fn list(&mut self, client: &VapiClient, clock: &Clock, kind: Kind) -> Vec<Object> {
        let told = client.setting(&[kind.path()], Some(MOST)).await;
        let Some(Value::Array(objects)) = self.heard(clock, told) else { return Vec::new() };
        if objects.len() >= MOST {
            let words = format!("only the newest {MOST} objects at /{} were looked at", kind.path());
            self.troubles.push(Finding::warning("vapi_api", &words).advise("name the others with --assistant or --phone-number"));
        }
        objects.into_iter().filter_map(|object| Object::new(kind, object)).collect()
    }

    fn heard(&mut self, clock: &Clock, told: Result<Setting, SettingError>) -> Option<Value> {
        match told {
            Ok(setting) => {
                self.skew = self.skew.or(setting.date.map(|date| skew(clock.now(), date)));
                Some(setting.value)
            }
            Err(error) => {
                let advice = match error {
                    SettingError::Denied(_) => "set VAPI_API_KEY to the private key of this organisation",
                    SettingError::Missing => "check the id, VAPI_API_URL, and that VAPI_API_KEY is of the same organisation",
                    SettingError::Failed(_) => "look at VAPI_API_URL and https://status.vapi.ai, and try again",
                };
                let words = match error {
                    SettingError::Denied(status) => format!("Vapi refuses VAPI_API_KEY ({status})"),
                    other => other.to_string(),
                };
                self.troubles.push(Finding::error("vapi_api", &words).advise(advice));
                None
            }
        }
    }

    /// The route is no part of Vapi's public API: that it is closed means nothing.
    async fn ask_for_org(&mut self, client: &VapiClient, clock: &Clock) {
        let id = self.assistants.iter().chain(&self.numbers).find_map(|object| object.value["orgId"].as_str().map(str::to_owned));
        let told = match &id {
            Some(id) => client.setting(&["org", id], None).await,
            None => client.setting(&["org"], None).await,
        };
        if let Ok(setting) = &told {
            self.skew = self.skew.or(setting.date.map(|date| skew(clock.now(), date)));
        }
        let value = told.map(|setting| match setting.value {
            Value::Array(orgs) => orgs.into_iter().next().unwrap_or_default(),
            org => org,
        });
        self.org = value.ok().and_then(|value| Object::new(Kind::Org, value));
        if self.org.is_none() {
            let words = "Vapi does not let this key read the organisation's settings, so its server URL is unknown";
            let finding = if self.org_named { Finding::error("vapi_api", words) } else { Finding::warning("vapi_api", words) };
            self.troubles.push(finding.advise("look at the server URL in Vapi's dashboard, under the organisation's settings"));
        }
    }

    /// What is to be said, and what could be changed.
    #[must_use]
    pub fn examine(self, needs: &Needs) -> Examination {
        let mut findings = Vec::new();
        if !self.troubles.iter().any(|trouble| trouble.severity == super::Severity::Error) {
            let (assistants, numbers) = (self.assistants.len(), self.numbers.len());
            findings.push(Finding::ok("vapi_api", &format!("Vapi told its settings: {assistants} assistants, {numbers} phone numbers")));
        }
        findings.extend(self.troubles.iter().cloned());
        let org = self.org.iter().filter(|_| self.whole || self.org_named);
        let objects: Vec<&Object> = org.chain(&self.numbers).chain(&self.assistants).collect();
        if needs.url.is_none() && !objects.is_empty() {
            let words = "where webhooks should go is unknown, so the server URLs at Vapi could not be compared";
            findings.push(Finding::warning("server_url", words).advise("set PUBLIC_URL"));
            return Examination { findings, plans: Vec::new() };
        }
        let mut plans = Vec::new();
        for object in objects {
            let found = self.findings_of(object, needs);
            // An object that is fine as it is, because another one's address counts, needs nothing, unless it was named.
            if !self.whole || found.iter().any(|finding| finding.severity != super::Severity::Ok) {
                plans.extend(object::plan(object, needs));
            }
            findings.extend(found);
            findings.extend(tools::findings(object, needs));
        }
        Examination { findings, plans }
    }

    fn findings_of(&self, object: &Object, needs: &Needs) -> Vec<Finding> {
        let is_ours = |object: &Object| object.url().is_some_and(|url| needs.is_ours(url));
        let mut findings = Vec::new();
        let comes_here = match object.url() {
            Some(url) if needs.is_ours(url) => {
                findings.push(object.found(Finding::ok("server_url", "its webhooks come here")));
                findings.extend(object::server_findings(object, needs));
                true
            }
            Some(url) => {
                findings.push(object.found(self.elsewhere(object, url, needs)));
                false
            }
            None => {
                let org = self.org.as_ref().is_some_and(is_ours);
                findings.push(object.found(self.nowhere(object, org, needs)));
                org
            }
        };
        if object.kind == Kind::Assistant && comes_here {
            findings.push(object::message_findings(object, needs));
        }
        findings
    }

    fn elsewhere(&self, object: &Object, url: &str, needs: &Needs) -> Finding {
        let words = format!("its webhooks go to {}", address(url, needs.url.as_deref()));
        let advice = format!("set server.url to {}", needs.url.as_deref().map_or_else(String::new, |url| address(url, Some(url))));
        let counts = match object.kind {
            Kind::Assistant => true,
            // Its assistant's own address goes first.
            Kind::PhoneNumber => self.assistant_of(object).is_none_or(|assistant| assistant.url().is_none()),
            Kind::Org => false,
        };
        if counts {
            Finding::error("server_url", &words).advise(&advice)
        } else {
            Finding::warning("server_url", &format!("{words}, for calls whose assistant has no address of its own")).advise(&advice)
        }
    }

    fn nowhere(&self, object: &Object, through_org: bool, needs: &Needs) -> Finding {
        let advice = format!("set server.url to {}", needs.url.as_deref().map_or_else(String::new, |url| address(url, Some(url))));
        match object.kind {
            Kind::Org => Finding::ok("server_url", "the organisation has no address of its own; those of assistants and numbers count"),
            _ if through_org => Finding::ok("server_url", "its webhooks come here, by the organisation's address"),
            Kind::PhoneNumber if object.value["assistantId"].is_string() || object.value["squadId"].is_string() => {
                Finding::ok("server_url", "it has no address of its own; its assistant's counts")
            }
            Kind::PhoneNumber => {
                let words = "it has neither an assistant nor a server URL: nobody is asked who answers its calls";
                Finding::warning("server_url", words).advise(&advice)
            }
            Kind::Assistant if self.numbers_of(object).any(|number| number.url().is_some_and(|url| needs.is_ours(url))) => {
                let words = "it has no server URL; only webhooks of calls over a number that has one come here";
                Finding::warning("server_url", words).advise(&advice)
            }
            Kind::Assistant => Finding::error("server_url", "it has no server URL: nothing is heard of its calls").advise(&advice),
        }
    }

    fn assistant_of(&self, number: &Object) -> Option<&Object> {
        let id = number.value["assistantId"].as_str()?;
        self.assistants.iter().find(|assistant| assistant.id == id)
    }

    fn numbers_of<'a>(&'a self, assistant: &'a Object) -> impl Iterator<Item = &'a Object> {
        self.numbers.iter().filter(|number| number.value["assistantId"] == assistant.id.as_str())
    }
}
