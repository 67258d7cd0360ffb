//! Reading what commands have in common from the command line.

use std::convert::Infallible;

use reqwest::Url;
use secrecy::SecretString;

use crate::{
    call::time::{Millis, SECOND},
    config::WEBHOOK_ROUTE,
};

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

/// The address of a service, without a slash at its end.
pub(super) fn service(text: &str) -> Result<String, String> {
    address(text).map(|_| text.trim().trim_end_matches('/').to_owned())
}

fn address(text: &str) -> Result<Url, String> {
    let url = text.trim().parse().ok().filter(|url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| "give an address that begins with http:// or https://, such as https://ringback.example.com".to_owned())
}

/// An http or https address; one without a path means the service's webhook route.
pub(super) fn webhook_url(text: &str) -> Result<Url, String> {
    let mut url = address(text)?;
    if url.path() == "/" {
        url.set_path(WEBHOOK_ROUTE);
    }
    Ok(url)
}

/// A moment as somebody types it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// A time, or the beginning of a day in UTC.
    At(Millis),
    /// So many milliseconds ago.
    Ago(i64),
}

impl Moment {
    /// The moment, as seen `now`.
    pub(super) fn at(self, now: Millis) -> Millis {
        match self {
            Self::At(at) => at,
            Self::Ago(milliseconds) => now.plus(-milliseconds),
        }
    }
}

/// A time, a day, or how long ago.
pub(super) fn moment(text: &str) -> Result<Moment, String> {
    let text = text.trim();
    let time = Millis::parse_rfc3339(text).or_else(|| Millis::parse_rfc3339(&format!("{text}T00:00:00Z"))).map(Moment::At);
    let wrong = "give a time like 2026-01-31T12:00:00Z, a day like 2026-01-31, or how long ago: 90m, 12h, 30d";
    time.or_else(|| ago(text)).ok_or_else(|| wrong.to_owned())
}

fn ago(text: &str) -> Option<Moment> {
    let unit = match text.chars().next_back()? {
        's' => SECOND,
        'm' => 60 * SECOND,
        'h' => 3_600 * SECOND,
        'd' => 86_400 * SECOND,
        _ => return None,
    };
    text.get(..text.len() - 1)?.parse::<u32>().ok().map(|number| Moment::Ago(i64::from(number) * unit))
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
    use super::{Millis, Moment, moment, pace, probability, rate, service, target, webhook_url};

    #[test]
    fn a_moment_is_a_time_a_day_or_a_while_ago() {
        let now = Millis(1_790_421_482_411);
        let read = |text| moment(text).map(|moment| moment.at(now).to_string());
        assert_eq!(read("2026-01-31T12:00:00+02:00"), Ok("2026-01-31T10:00:00.000Z".into()));
        assert_eq!(read("2026-01-31"), Ok("2026-01-31T00:00:00.000Z".into()));
        assert_eq!((moment("90m"), moment("30d")), (Ok(Moment::Ago(5_400_000)), Ok(Moment::Ago(2_592_000_000))));
        for wrong in ["", "h", "-1h", "1.5h", "yesterday", "12", "2026-13-01", "99999999999d", "1é"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }

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
    fn a_service_is_known_by_its_address_alone() {
        assert_eq!(service(" http://127.0.0.1:8000/ "), Ok("http://127.0.0.1:8000".into()));
        for wrong in ["", "host", "localhost:8000", "ftp://host", "http://"] {
            assert!(service(wrong).is_err_and(|why| why.contains("https://")), "{wrong}");
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
