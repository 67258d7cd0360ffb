//! Words of strangers, made fit to be shown.

use reqwest::Url;

/// Characters of a text that are shown.
const LONGEST: usize = 400;
/// What an address is called that is none.
const NO_ADDRESS: &str = "something that is no address";

/// One line without anything that steers a terminal or turns the direction of what follows.
#[must_use]
pub fn clean(words: &str) -> String {
    let steers = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    let mut clean: String = words.chars().take(LONGEST).map(|letter| if steers(letter) { ' ' } else { letter }).collect();
    if words.chars().nth(LONGEST).is_some() {
        clean.push('…');
    }
    clean.trim().to_owned()
}

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
    use proptest::prelude::{any, prop_assert, proptest};

    use super::{address, clean};

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

    proptest! {
        #[test]
        fn what_is_shown_steers_nothing_and_is_short(words in any::<String>()) {
            let shown = clean(&words);
            prop_assert!(!shown.chars().any(char::is_control) && shown.chars().count() <= 401);
        }
    }
}
