//! Is everything as it must be for webhooks to arrive: our configuration, the store, Kestra, the clock, the public address, Vapi's settings?
//!
//! Wanted: an examination changes nothing, anywhere. What it finds has a stable name, says what is and what to do, and shows no secret and no
//! control character, whatever stands in Vapi's settings. Changes ([`fix`]) are worked out apart from it, and made only to objects that somebody
//! named.
//!
//! | Module | What it holds |
//! |---|---|
//! | [`finding`] | a finding, and the names of the checks |
//! | [`door`] | the public address, tried with a test event ([`crate::vapi::probe`]) |
//! | [`object`] | what one object at Vapi needs: pure |
//! | `credential` | with what its webhooks prove themselves: pure |
//! | `tools` | where the tools of an assistant are asked: pure |
//! | [`house`] | all objects of the organisation, and which address counts for whom |
//! | `flow` | the flow of Kestra's that places calls |
//! | [`fix`] | changing objects, and putting back what was there |
//! | [`latest`] | what the latest round found |
//! | [`rounds`] | the same on a schedule inside the service |
//!
//! Vapi's public API has no route for the organisation. Its own dashboard uses `/org/{id}`, which some private keys may read; where one may not, that
//! is a warning, and nothing is concluded from it.

mod address;
mod credential;
pub mod door;
pub mod finding;
pub mod fix;
mod flow;
pub mod house;
pub mod latest;
pub mod object;
pub mod rounds;
mod tools;

use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    call::time::{Millis, SECOND},
    clock::Clock,
    config::{Config, WEBHOOK_PATHS, WebhookConfig},
    kestra::{self, Kestra, Looked},
    store::{StoreError, StoreHealth},
    vapi::client::VapiClient,
};

pub use self::finding::{CHECKS, Finding, Severity};
use self::{
    house::{House, Named},
    object::{Needs, Plan},
};

/// A clock that differs by more than this deserves a look, in milliseconds.
const NOTABLE_SKEW: i64 = 10 * SECOND;
/// How the keys begin that serve Standard Webhooks only.
const STANDARD_PREFIX: &str = "whsec_";
/// A label that no execution has.
const LOOK: (&str, &str) = (kestra::LABEL, "doctor");

/// Examines. Has what it needs of the configuration.
#[derive(Clone)]
pub struct Doctor {
    webhook: WebhookConfig,
    needs: Needs,
    client: Option<VapiClient>,
    kestra: Option<Kestra>,
    clock: Clock,
    warnings: Vec<String>,
}

/// What an examination found, and what could be changed at Vapi.
#[derive(Debug, Clone, Default)]
pub struct Examination {
    /// What was found, in the order of the checks.
    pub findings: Vec<Finding>,
    /// What the objects need, for those that need something.
    pub plans: Vec<Plan>,
}

impl Doctor {
    /// For a service with this configuration.
    #[must_use]
    pub fn new(config: &Config, client: Option<VapiClient>, kestra: Option<Kestra>, clock: Clock) -> Self {
        let webhook = config.webhook.clone();
        let bases = config.http.public_url.iter();
        let paths: Vec<&str> = WEBHOOK_PATHS.into_iter().chain(webhook.path.as_deref()).collect();
        let aliases = bases.flat_map(|base| paths.iter().map(move |path| format!("{base}{path}"))).collect();
        let plain = |secret: &&SecretString| !secret.expose_secret().starts_with(STANDARD_PREFIX);
        let needs = Needs {
            url: webhook.url.clone(),
            aliases,
            proof: !webhook.secrets.is_empty(),
            credential_id: config.server.credential_id.clone(),
            secrets: webhook.secrets.iter().filter(plain).cloned().collect(),
            proofs: webhook.auth.clone(),
            tools: !config.tools.tools.is_empty(),
        };
        Self { webhook, needs, client, kestra, clock, warnings: config.warnings.clone() }
    }

    /// What webhooks must be like to be taken here.
    #[must_use]
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// Examines everything but the store: all objects at Vapi, or those that are named.
    pub async fn examine(&self, named: &Named) -> Examination {
        let mut findings = self.configuration();
        findings.extend(door::examine(&self.webhook, &self.clock).await);
        if let Some(kestra) = &self.kestra {
            let told = of_kestra(kestra).await;
            let is_well = told.severity == Severity::Ok;
            findings.push(told);
            if is_well {
                findings.extend(flow::examine(kestra).await);
            }
        }
        let mut plans = Vec::new();
        if let Some(client) = &self.client {
            let house = House::visit(client, &self.clock, named).await;
            findings.extend(self.clocks(house.skew));
            let found = house.examine(&self.needs);
            findings.extend(found.findings);
            plans = found.plans;
        } else {
            findings.push(
                Finding::warning("vapi_api", "there is no VAPI_API_KEY, so Vapi's settings and clock were not looked at")
                    .advise("set VAPI_API_KEY to Vapi's private key; without it late data is not fetched either"),
            );
        }
        Examination { findings, plans }
    }

    fn configuration(&self) -> Vec<Finding> {
        if self.warnings.is_empty() {
            return vec![Finding::ok("config", "the configuration can be used")];
        }
        self.warnings.iter().map(|warning| Finding::warning("config", warning)).collect()
    }

    fn clocks(&self, skew: Option<i64>) -> Option<Finding> {
        let skew = skew?;
        let (seconds, way) = (skew.abs() / SECOND, if skew > 0 { "ahead of" } else { "behind" });
        let words = format!("this machine's clock is {seconds} s {way} Vapi's");
        Some(if skew.abs() > self.webhook.tolerance_ms {
            let words = format!("{words}, more than VAPI_WEBHOOK_TOLERANCE_SECONDS: signed webhooks are refused");
            Finding::error("clock", &words).advise("set the clock, and keep it right with NTP (`timedatectl set-ntp true`)")
        } else if skew.abs() > NOTABLE_SKEW {
            Finding::warning("clock", &words).advise("set the clock, and keep it right with NTP (`timedatectl set-ntp true`)")
        } else {
            Finding::ok("clock", "this machine's clock agrees with Vapi's")
        })
    }
}

/// Somebody relies on Kestra: for calls to be placed, or at least for those who sleep until a call is done. How it is it tells everybody, of its
/// executions only those that it lets in.
async fn of_kestra(kestra: &Kestra) -> Finding {
    let health = kestra.health().await;
    let (why, advice) = match health {
        Err(why) => (why, "look at KESTRA_URL, and at the Kestra there"),
        Ok(()) if kestra.labelled(LOOK).await == Looked::NotAsked => {
            let advice = "look at KESTRA_USERNAME and KESTRA_PASSWORD, or KESTRA_API_TOKEN, and at KESTRA_TENANT";
            ("Kestra answers, but does not tell us of its executions".to_owned(), advice)
        }
        Ok(()) => return Finding::ok("kestra", "Kestra answers at KESTRA_URL, and lets us in"),
    };
    let finding = if kestra.places() {
        Finding::error("kestra", &format!("{why}; with KESTRA_ENABLED no call is placed meanwhile"))
    } else {
        Finding::warning("kestra", &format!("{why}; executions that sleep until a call is done are not resumed"))
    };
    finding.advise(advice)
}

/// How the store is doing, as it says itself.
#[must_use]
pub fn of_store(health: &Result<StoreHealth, StoreError>) -> Vec<Finding> {
    let health = match health {
        Ok(health) => health,
        Err(error) => {
            let advice = "look at DATABASE_URL, and at the database or disk behind it; until it answers, webhooks get 503";
            return vec![Finding::error("store", &error.to_string()).advise(advice)];
        }
    };
    let room = if health.is_low_on_disk() {
        Finding::error("store_room", "room is short where the store lies: raw bodies are being dropped").advise("make room on that disk")
    } else {
        Finding::ok("store_room", "there is room where the store lies")
    };
    vec![Finding::ok("store", "the store answers"), room]
}

/// How far our clock is ahead of what Vapi says, in milliseconds; it tells whole seconds.
fn skew(ours: Millis, theirs: Millis) -> i64 {
    let off = ours.since(theirs);
    // The answer was made somewhere within its second.
    if (0..=SECOND).contains(&off) { 0 } else { off }
}
