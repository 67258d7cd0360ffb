//! Words of strangers, made fit to be shown. Pure.

/// Characters of a text that are shown where it must be short.
const LONGEST: usize = 400;

/// One line without anything that steers a terminal, turns the direction of what follows, or hides. Each such letter leaves a gap.
#[must_use]
pub fn plain(words: &str) -> String {
    words.chars().map(|letter| if steers(letter) { ' ' } else { letter }).collect()
}

/// The same, shortened, and without blanks around it.
#[must_use]
pub fn clean(words: &str) -> String {
    let (shown, is_whole) = words.char_indices().nth(LONGEST).map_or((words, true), |(end, _)| (&words[..end], false));
    let mut clean = plain(shown);
    if !is_whole {
        clean.push('…');
    }
    clean.trim().to_owned()
}

fn steers(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{LONGEST, clean, plain};

    #[test]
    fn what_steers_turns_or_hides_leaves_a_gap() {
        assert_eq!(plain("a\u{1b}[2Jb\nc\u{202e}d\u{200b}e\u{feff}f\u{e0041}g\u{9b}h"), "a [2Jb c d e f g h");
        assert_eq!(plain(" grüße, 漢字 🙂 "), " grüße, 漢字 🙂 ");
        assert_eq!(clean(" \u{2066}grüße\n"), "grüße");
    }

    #[test]
    fn only_what_is_too_long_is_cut() {
        let fits = "ü".repeat(LONGEST);
        assert_eq!(clean(&fits), fits);
        assert_eq!(clean(&format!("{fits}ü")), format!("{fits}…"));
    }

    proptest! {
        #[test]
        fn what_is_shown_steers_nothing_and_is_short(words in any::<String>()) {
            let shown = clean(&words);
            prop_assert!(!shown.chars().any(char::is_control) && shown.chars().count() <= LONGEST + 1);
            prop_assert_eq!(clean(&shown), shown);
        }
    }
}
