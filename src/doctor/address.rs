//! Addresses, made fit to be shown.

use reqwest::Url;

use crate::words::clean;

/// What an address is called that is none.
const NO_ADDRESS: &str = "something that is no address";

/// An address without what may be secret in it: user, query and fragment; and its path, where it is another server than `ours`.
pub(super) fn address(url: &str, ours: Option<&str>) -> String {
    let Ok(url) = Url::parse(url.trim()) else { return NO_ADDRESS.to_owned() };
    let origin = url.origin().ascii_serialization();
    if origin == "null" {
        return NO_ADDRESS.to_owned();
    }
    let ours = ours.and_then(|ours| Url::parse(ours).ok()).map(|ours| ours.origin().ascii_serialization());
    match url.path() {
        "/" => origin,
        path if ours.as_ref() == Some(&origin) => clean(&format!("{origin}{path}")),
        _ => format!("{origin}/…"),
    }
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        let ours = Some("https://calls.example.com/api/v1/vapi/webhook");
        for (url, shown) in [
            ("https://calls.example.com/webhook?token=hunter2", "https://calls.example.com/webhook"),
            ("https://me:hunter2@calls.example.com/webhook#hunter2", "https://calls.example.com/webhook"),
            ("https://hooks.example.org/services/hunter2", "https://hooks.example.org/…"),
            ("https://hooks.example.org", "https://hooks.example.org"),
            ("data:hunter2", "something that is no address"),
            ("hunter2", "something that is no address"),
        ] {
            assert_eq!(address(url, ours), shown);
        }
    }
}
