//! The public address, tried as Vapi would: with a test event that changes nothing.
//!
//! First without a proof. Only if what answers refuses it as a Ringback does, a proof is shown: a stranger at that address is told no secret.

use std::time::Duration;

use reqwest::{
    Client, Url,
    header::{CONTENT_TYPE, HeaderMap, LOCATION},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Finding, STANDARD_PREFIX, address::address};
use crate::{
    clock::Clock,
    config::WebhookConfig,
    simulate::{Auth, sign},
    vapi::{
        client::{plain_http, reason},
        probe,
    },
};

/// An answer that takes longer counts as none.
const DEADLINE: Duration = Duration::from_secs(10);
/// An answer should not take longer, connection and TLS included.
const BRISK: Duration = Duration::from_secs(1);
/// More of an answer is not read, in bytes.
const MOST_BYTES: usize = 65_536;

/// An answer.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
    took: Duration,
}

/// Tries the address.
pub async fn examine(webhook: &WebhookConfig, clock: &Clock) -> Vec<Finding> {
    let Some(url) = &webhook.url else {
        let words = "the address under which Vapi reaches this service is not set";
        return vec![
            Finding::warning("webhook_url", words).advise("set PUBLIC_URL to https://YOUR-HOST, or VAPI_WEBHOOK_URL to the whole address"),
        ];
    };
    let mut findings = vec![of_address(url)];
    let http = match plain_http() {
        Ok(http) => http,
        Err(error) => {
            findings.push(Finding::error("webhook_reached", &format!("TLS can't be set up here: {error}")));
            return findings;
        }
    };
    let nonce = Uuid::new_v4().to_string();
    let body = probe::body(&nonce).to_string().into_bytes();
    let unproven = match post(&http, url, &body, vec![(probe::HEADER, nonce.clone())]).await {
        Ok(answer) => answer,
        Err(why) => {
            let words = format!("{} does not answer: {why}", address(url, Some(url)));
            findings.push(
                Finding::error("webhook_reached", &words)
                    .advise("is the service running, and does the address lead to it, through every proxy and firewall?"),
            );
            return findings;
        }
    };
    findings.extend(judged(&unproven, url, &nonce, webhook.secrets.is_empty()));
    if is_refusal(&unproven)
        && let Some((auth, secret)) = proof(webhook)
    {
        let proven = post(&http, url, &body, sign::headers(auth, secret, &body, clock.now())).await;
        findings.push(of_proof(&proven, &nonce));
        if let Ok(answer) = &proven {
            findings.push(of_time(answer.took));
        }
    }
    findings
}

fn of_address(url: &str) -> Finding {
    let shown = address(url, Some(url));
    let parsed = Url::parse(url).ok();
    let is_local =
        parsed.as_ref().and_then(Url::host_str).is_some_and(|host| host == "localhost" || host.starts_with("127.") || host == "[::1]");
    match parsed {
        Some(url) if url.scheme() == "https" => Finding::ok("webhook_url", &format!("webhooks go to {shown}")),
        _ if is_local => Finding::ok("webhook_url", &format!("webhooks go to {shown}, which only this machine can reach")),
        _ => Finding::warning("webhook_url", &format!("webhooks go to {shown}, in clear")).advise("use an https address"),
    }
}

/// What the answer to an event without a proof means.
fn judged(answer: &Answer, url: &str, nonce: &str, is_open: bool) -> Vec<Finding> {
    let reached = |words: &str| Finding::error("webhook_reached", words);
    let status = answer.status;
    let here = || Finding::ok("webhook_reached", "a Ringback answers at the public address");
    if (300..400).contains(&status) {
        let to = answer.headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or_default();
        let to = Url::parse(url).and_then(|url| url.join(to)).map_or_else(|_| String::new(), |to| address(to.as_str(), Some(url)));
        let finding = reached(&format!("the public address redirects ({status}) to {to}, and Vapi does not follow with a webhook"));
        return vec![finding.advise("set PUBLIC_URL or VAPI_WEBHOOK_URL to the address behind the redirect")];
    }
    if is_refusal(answer) {
        return vec![here(), Finding::ok("webhook_refusal", "webhooks without a proof are refused")];
    }
    if status == 403 && answer.body["code"] == "AUTH_NOT_CONFIGURED" {
        let finding = reached("the service takes no webhooks from elsewhere, since it has no secret");
        return vec![finding.advise("set VAPI_WEBHOOK_SECRET, here and as the server credential at Vapi")];
    }
    if status == 200 && answer.body["nonce"] == nonce {
        let refusal = if is_open {
            Finding::warning("webhook_refusal", "webhooks are taken without a proof")
                .advise("set VAPI_WEBHOOK_SECRET, here and as the server credential at Vapi")
        } else {
            Finding::error("webhook_refusal", "the service that runs takes webhooks without a proof: its configuration is not this one")
                .advise("restart it with the configuration that was examined")
        };
        return vec![here(), refusal, of_time(answer.took)];
    }
    let finding = match status {
        503 if answer.body["code"].is_string() => {
            reached(&format!("the service answers {status}")).advise("look at its log, and try again")
        }
        502..=504 => reached(&format!("a proxy answers {status}: the service behind the public address does not"))
            .advise("is the service running, and does the proxy lead to its port?"),
        _ => reached(&format!("something else answers at the public address ({status}); it was shown no secret"))
            .advise("set PUBLIC_URL or VAPI_WEBHOOK_URL to where this service is reached, or correct the proxy"),
    };
    vec![finding]
}

/// A Ringback refuses what has no proof; more shortly where too much of that came from here, and takes what is proven all the same.
fn is_refusal(answer: &Answer) -> bool {
    matches!((answer.status, answer.body["code"].as_str()), (401, Some("INVALID_SIGNATURE")) | (429, Some("RATE_LIMITED")))
}

fn of_proof(answer: &Result<Answer, String>, nonce: &str) -> Finding {
    let bad = |words: &str| Finding::error("webhook_proof", words);
    let answer = match answer {
        Ok(answer) => answer,
        Err(why) => return bad(&format!("the signed test event got no answer: {why}")).advise("try again; look at the service's log"),
    };
    match (answer.status, answer.body["code"].as_str().unwrap_or_default()) {
        (200, _) if answer.body["nonce"] == nonce => Finding::ok("webhook_proof", "the signed test event was taken"),
        (200, _) => bad("the signed test event was taken, but not as one: an older Ringback runs there").advise("start this release there"),
        (401, "TIMESTAMP_OUT_OF_RANGE") => {
            bad("the service finds the signed test event too old or too new: its clock differs from this machine's")
                .advise("set both clocks")
        }
        (401, _) => bad("the service refuses what VAPI_WEBHOOK_SECRET proves: it runs with another secret")
            .advise("restart it with the secret that was examined, or examine with its environment"),
        (status, _) => bad(&format!("the signed test event got {status}")).advise("look at the service's log"),
    }
}

fn of_time(took: Duration) -> Finding {
    let words = format!("the test event was answered within {} ms", took.as_millis());
    if took > BRISK {
        let words = format!("the test event took {:.1} s", took.as_secs_f64());
        return Finding::warning("webhook_time", &words).advise("look at the proxies on the way, and at the load of this machine");
    }
    Finding::ok("webhook_time", &words)
}

/// How to prove an event, and with which secret: a signature rather than the secret itself.
fn proof(webhook: &WebhookConfig) -> Option<(Auth, &SecretString)> {
    let counts = |word: &str| webhook.auth.iter().any(|listed| listed == word);
    let is_plain = |secret: &&SecretString| !secret.expose_secret().starts_with(STANDARD_PREFIX);
    let plain = webhook.secrets.iter().find(is_plain);
    let standard = webhook.secrets.iter().find(|secret| !is_plain(secret));
    let candidates = [
        ("signature", Auth::Signature, plain),
        ("standard", Auth::Standard, standard.or(plain)),
        ("secret", Auth::Secret, plain),
        ("bearer", Auth::Bearer, plain),
    ];
    candidates.into_iter().find_map(|(word, auth, secret)| Some((auth, secret.filter(|_| counts(word))?)))
}

async fn post(http: &Client, url: &str, body: &[u8], proof: Vec<(&'static str, String)>) -> Result<Answer, String> {
    let begun = Instant::now();
    let mut request = http.post(url).header(CONTENT_TYPE, "application/json").body(body.to_vec());
    for (name, value) in proof {
        request = request.header(name, value);
    }
    let asked = async {
        let mut response = request.send().await.map_err(reason)?;
        let (status, headers, mut body) = (response.status().as_u16(), response.headers().clone(), Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(reason)? {
            body.extend_from_slice(&chunk);
            if body.len() > MOST_BYTES {
                break;
            }
        }
        Ok((status, headers, body))
    };
    let late = |_elapsed| Err(format!("no answer within {} s", DEADLINE.as_secs()));
    let (status, headers, body) = tokio::time::timeout(DEADLINE, asked).await.unwrap_or_else(late)?;
    Ok(Answer { status, headers, body: serde_json::from_slice(&body).unwrap_or_default(), took: begun.elapsed() })
}
