//! The summary to show, and what stands out. Made when an answer is written, never stored: it is no analysis.
//!
//! Without a summary of Vapi's, sentences are taken from the transcript as they were said: those whose words the conversation comes back to.
//! Nothing is made up, and the source says that it is ours.

use std::{borrow::Cow, collections::HashMap};

use serde::Serialize;
use serde_json::Value;

use super::{
    CallRecord,
    parts::{FEEDBACK_KEYS, stated},
    text, transcript,
};

/// Sentences that are taken from a transcript.
const SENTENCES: usize = 3;
/// Lines looked at from each end of a transcript: what was wanted, and what came of it.
const LINES: usize = 60;
/// Words of fewer letters say nothing about what a conversation is about.
const TELLING: usize = 4;
/// Sentences of fewer telling words are greetings.
const FEWEST_WORDS: usize = 3;
/// Characters of a sentence or an insight that are shown at most.
const LONGEST: usize = 240;
/// Insights that are shown at most.
const INSIGHTS: usize = 12;

/// A summary to show.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionView<'a> {
    /// The summary; `""` when there is none.
    pub summary: Cow<'a, str>,
    /// Who made it: `vapi`, or `extractive` when it is sentences of the transcript, or `""`.
    pub source: &'static str,
    /// What stands out in the structured data and outputs: a name and a value each.
    pub key_insights: Vec<String>,
}

impl<'a> SessionView<'a> {
    pub(super) fn of(record: &'a CallRecord) -> Self {
        let key_insights = insights(record);
        if let Some(summary) = text(&record.summary).filter(|summary| !summary.trim().is_empty()) {
            return Self { summary: Cow::Borrowed(summary), source: "vapi", key_insights };
        }
        // While the call goes on, nobody knows yet what it will have been about.
        let extract = if record.has_result() { extract(&transcript(record)) } else { String::new() };
        let source = if extract.is_empty() { "" } else { "extractive" };
        Self { summary: Cow::Owned(extract), source, key_insights }
    }
}

/// A sentence, who said it, and its telling words.
struct Sentence<'t> {
    speaker: &'t str,
    words: &'t str,
    telling: Vec<String>,
}

/// The sentences that say most of what the conversation is about, in the order in which they were said.
fn extract(transcript: &str) -> String {
    let lines: Vec<&str> = transcript.lines().collect();
    let last = lines.len().saturating_sub(LINES).max(LINES.min(lines.len()));
    let sentences: Vec<Sentence<'_>> =
        lines[..LINES.min(lines.len())].iter().chain(&lines[last..]).flat_map(|line| sentences(line)).collect();
    let mut often: HashMap<&str, u32> = HashMap::new();
    for word in sentences.iter().flat_map(|sentence| &sentence.telling) {
        *often.entry(word).or_default() += 1;
    }
    let mut order: Vec<(usize, f64)> = sentences.iter().enumerate().map(|(at, it)| (at, weight(it, &often))).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut taken: Vec<usize> = order.into_iter().take(SENTENCES).map(|(at, _)| at).collect();
    taken.sort_unstable();
    let said = |at: &usize| {
        let Sentence { speaker, words, .. } = &sentences[*at];
        if speaker.is_empty() { short(words) } else { format!("{speaker}: {}", short(words)) }
    };
    taken.iter().map(said).collect::<Vec<_>>().join(" ")
}

/// The sentences of a line that are more than a greeting.
fn sentences(line: &str) -> Vec<Sentence<'_>> {
    let (speaker, said) = match line.split_once(": ") {
        Some((speaker @ ("AI" | "User"), said)) => (speaker, said),
        _ => ("", line),
    };
    let ends = |(at, mark): (usize, &str)| said[at + mark.len()..].starts_with(char::is_whitespace).then_some(at + mark.len());
    let ends = said.match_indices(['.', '?', '!']).filter_map(ends).chain([said.len()]);
    let sentences = ends.scan(0, |from, end| Some(&said[std::mem::replace(from, end)..end]));
    let sentence = |words: &'_ str| {
        words.split(|it: char| !it.is_alphanumeric()).filter(|it| it.chars().count() >= TELLING).map(str::to_lowercase).collect()
    };
    let sentences = sentences.map(|words| Sentence { speaker, words: words.trim(), telling: sentence(words) });
    sentences.filter(|it| it.telling.len() >= FEWEST_WORDS).collect()
}

/// How often the conversation comes back to a sentence's words; long sentences have it easier, and so count less for each word.
fn weight(sentence: &Sentence<'_>, often: &HashMap<&str, u32>) -> f64 {
    let count = |word: &String| often.get(word.as_str()).copied().map_or(0.0, f64::from);
    let length = f64::from(u32::try_from(sentence.telling.len()).unwrap_or(u32::MAX));
    sentence.telling.iter().map(count).sum::<f64>() / length.sqrt()
}

/// Names and values as they are stated, in sentences.
fn insights(record: &CallRecord) -> Vec<String> {
    stated(record).flatten().filter_map(|(key, value)| insight(&key, &value)).take(INSIGHTS).collect()
}

/// A name and a value to read; nothing for what is empty, stands elsewhere in the answer, or can only be read by a program.
fn insight(key: &str, value: &Value) -> Option<String> {
    let value = match value {
        Value::Array(items) => items.iter().filter_map(plain).collect::<Vec<_>>().join(", "),
        value => plain(value)?,
    };
    (!value.is_empty() && key != "call_id" && !FEEDBACK_KEYS.contains(&key)).then(|| short(&format!("{}: {value}", label(key))))
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|text| !text.is_empty()),
        Value::Bool(it) => Some(if *it { "yes" } else { "no" }.to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// `earliest_availability` and `earliestAvailability` as `Earliest availability`.
fn label(key: &str) -> String {
    let mut words = String::with_capacity(key.len());
    let mut before = None;
    for it in key.chars() {
        if it.is_uppercase() && before.is_some_and(char::is_lowercase) {
            words.extend([' ']);
            words.extend(it.to_lowercase());
        } else if words.is_empty() {
            words.extend(it.to_uppercase());
        } else {
            words.push(if matches!(it, '_' | '-') { ' ' } else { it });
        }
        before = Some(it);
    }
    words
}

/// A text that is not too long to show.
fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert, proptest};
    use serde_json::json;

    use super::{LONGEST, SENTENCES, extract, insight, label};

    #[test]
    fn what_the_talk_comes_back_to_is_taken_in_its_order() {
        let talk = "AI: Hello, this is Juniper. How are you today?\nUser: Fine.\nAI: I am calling about the leaking boiler in your kitchen.\n\
            User: Yes, the boiler in the kitchen leaks since Monday! Please send somebody.\nAI: We repair boilers. The repair of the kitchen boiler \
            costs 90 dollars.\nUser: Good. Thursday morning then.\nAI: Bye.";
        let taken = extract(talk);
        assert!(taken.starts_with("AI: I am calling about the leaking boiler in your kitchen. User: Yes, the boiler"), "{taken}");
        assert!(!taken.contains("Hello") && !taken.contains("Bye"), "{taken}");
        assert_eq!(extract("User: Hi.\nAI: Bye."), "", "greetings are no summary");
    }

    #[test]
    fn names_are_made_to_be_read() {
        for (key, name) in [
            ("availability", "Availability"),
            ("all_criteria_met", "All criteria met"),
            ("npsScore", "Nps score"),
            ("", ""),
            ("Übergabe-Ort", "Übergabe Ort"),
        ] {
            assert_eq!(label(key), name);
        }
    }

    #[test]
    fn what_only_a_program_can_read_is_no_insight() {
        for (value, shown) in [
            (json!("from\n Monday"), Some("A b: from Monday")),
            (json!(false), Some("A b: no")),
            (json!(["one", {"x": 1}, 2]), Some("A b: one, 2")),
            (json!({"x": 1}), None),
            (json!(" "), None),
            (json!([]), None),
            (json!(null), None),
        ] {
            assert_eq!(insight("a_b", &value).as_deref(), shown, "{value}");
        }
        assert_eq!((insight("call_id", &json!("ours")), insight("nps_score", &json!(9))), (None, None), "they stand elsewhere");
    }

    proptest! {
        #[test]
        fn whatever_was_said_is_shown_in_its_own_words(talk in "((AI: |User: )?[a-zäü .!?]{0,60}\n){0,12}") {
            let taken = extract(&talk);
            prop_assert!(taken.chars().count() <= SENTENCES * (LONGEST + 8));
            for word in taken.split_whitespace() {
                prop_assert!(talk.contains(word.trim_end_matches('…')), "{word}");
            }
        }
    }
}
