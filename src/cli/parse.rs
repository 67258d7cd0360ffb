//! Reading what commands have in common from the command line.

use std::convert::Infallible;

use reqwest::Url;
use secrecy::SecretString;

/// Where a service takes Vapi's webhooks.
const WEBHOOK_PATH: &str = "/api/v1/vapi/webhook";

/// A secret, which from here on is not printed.
#[expect(clippy::unnecessary_wraps, reason = "clap wants a Result of every parser")]
pub(super) fn secret(text: &str) -> Result<SecretString, Infallible> {
    Ok(SecretString::from(text))
}

/// How often a second something happens.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    number(text).filter(|rate| (0.001..=1e6).contains(rate)).ok_or_else(|| "a rate is a number from 0.001 to 1000000".to_owned())
}

/// A number from 0 to 1.
pub(super) fn probability(text: &str) -> Result<f64, String> {
    number(text).filter(|it| (0.0..=1.0).contains(it)).ok_or_else(|| "a probability is a number from 0 to 1".to_owned())
}

/// How fast time goes by in calls.
pub(super) fn pace(text: &str) -> Result<f64, String> {
    number(text).filter(|pace| (0.0..=1_000.0).contains(pace)).ok_or_else(|| "a pace is a number from 0 to 1000".to_owned())
}

/// An http or https address; `localhost:3000/hook` will do.
pub(super) fn target(text: &str) -> Result<Url, String> {
    let text = text.trim();
    if text.contains("://") { address(text) } else { address(&format!("http://{text}")) }
}

fn address(text: &str) -> Result<Url, String> {
    let url: Url = text.trim().parse().map_err(|error| format!("no address: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("an address begins with http:// or https://".to_owned());
    }
    Ok(url)
}

/// An http or https address; one without a path means the service's webhook route.
pub(super) fn webhook_url(text: &str) -> Result<Url, String> {
    let mut url = address(text)?;
    if url.path() == "/" {
        url.set_path(WEBHOOK_PATH);
    }
    Ok(url)
}

/// Seconds, 0 or more.
pub(super) fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.trim().parse().ok().filter(|seconds: &f64| seconds.is_finite() && (0.0..=1e9).contains(seconds));
    seconds.ok_or_else(|| "give a number of seconds, 0 or more".to_owned())
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{pace, probability, rate, target, webhook_url};

    #[test]
    fn an_address_without_a_path_means_the_webhook_route() {
        let read = |text| webhook_url(text).map(|url| url.to_string());
        assert_eq!(read("http://127.0.0.1:8000"), Ok("http://127.0.0.1:8000/api/v1/vapi/webhook".into()));
        assert_eq!(read("https://host/"), Ok("https://host/api/v1/vapi/webhook".into()));
        assert_eq!(read("https://host/elsewhere?a=b"), Ok("https://host/elsewhere?a=b".into()));
        for wrong in ["", "host", "ftp://host/", "/path"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_target_needs_no_scheme() {
        let read = |text| target(text).map(|url| url.to_string());
        assert_eq!(read("localhost:3000/hook"), Ok("http://localhost:3000/hook".into()));
        assert_eq!(read(" https://host "), Ok("https://host/".into()));
        assert!(read("").is_err() && read("ftp://host").is_err());
    }

    #[test]
    fn numbers_have_their_bounds() {
        assert_eq!((rate("0.5"), probability("1"), pace("0")), (Ok(0.5), Ok(1.0), Ok(0.0)));
        for wrong in ["0", "-1", "1e-300", "1e300", "NaN", "inf", "fast", ""] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
        assert!(probability("1.1").is_err() && probability("-0.1").is_err() && pace("-0.1").is_err() && pace("inf").is_err());
    }
}
