//! A request's values as prompts say them.

use serde::Serialize;

use super::request::{CallRequest, CustomPrompt, Urgency};

/// What clients are called who gave no name.
const A_CLIENT: &str = "my client";
/// What a direct task is without one.
const NO_TASK: &str = "Say who asked you to call, ask whether there is a message for them, and take it down exactly.";

/// What templates can say.
#[derive(Debug, Serialize)]
pub(super) struct Words<'a> {
    suffix: &'a str,
    provider: String,
    client: String,
    service: Option<String>,
    problem: Option<String>,
    criteria: Vec<String>,
    task: String,
    location: Option<String>,
    address: Option<String>,
    client_phone: Option<&'a str>,
    preferred_time: Option<String>,
    urgency: Option<&'static str>,
    options: Vec<String>,
    custom: Custom<'a>,
    vapi: Variables,
}

#[derive(Debug, Default, Serialize)]
struct Custom<'a> {
    system_prompt: &'a str,
    first_message: Option<&'a str>,
    /// The prompt asks for the criteria by itself.
    asks_criteria: bool,
}

/// What Vapi fills in itself.
#[derive(Debug, Serialize)]
struct Variables {
    transcript: &'static str,
}

impl<'a> Words<'a> {
    pub(super) fn of(request: &'a CallRequest, suffix: &'a str) -> Self {
        let text = |value: &Option<String>| value.as_deref().map(said).filter(|text| !text.is_empty());
        let criteria = criteria(request.user_criteria.as_deref().unwrap_or_default());
        let service = text(&request.service_needed).filter(|service| !request.is_direct_by_name() || service != "Direct Task");
        let task = text(&request.user_criteria).or_else(|| text(&request.problem_description)).or_else(|| service.clone());
        Self {
            suffix,
            provider: said(&request.provider_name),
            client: text(&request.client_name).unwrap_or_else(|| A_CLIENT.to_owned()),
            service,
            problem: text(&request.problem_description),
            custom: request.custom_prompt.as_ref().map(|prompt| Custom::of(prompt, &criteria)).unwrap_or_default(),
            criteria,
            task: task.unwrap_or_else(|| NO_TASK.to_owned()),
            location: text(&request.location),
            address: text(&request.client_address),
            client_phone: request.client_phone.as_deref(),
            preferred_time: text(&request.preferred_time),
            urgency: request.urgency.and_then(hurry),
            options: request.options.iter().map(|option| said(option)).collect(),
            vapi: Variables { transcript: "{{transcript}}" },
        }
    }
}

impl<'a> Custom<'a> {
    fn of(prompt: &'a CustomPrompt, criteria: &[String]) -> Self {
        let lower = prompt.system_prompt.to_lowercase();
        let asks_criteria = criteria.iter().all(|criterion| lower.contains(&criterion.to_lowercase()));
        Self { system_prompt: &prompt.system_prompt, first_message: prompt.first_message.as_deref(), asks_criteria }
    }
}

fn hurry(urgency: Urgency) -> Option<&'static str> {
    match urgency {
        Urgency::Immediate => Some("as soon as possible, today if it can be done"),
        Urgency::Within24Hours => Some("within 24 hours"),
        Urgency::Within2Days => Some("within two days"),
        Urgency::Flexible => None,
    }
}

/// One criterion a line, or between commas and semicolons.
fn criteria(text: &str) -> Vec<String> {
    let parts = text.split(['\n', ';', ',']).map(|part| part.trim().trim_start_matches(['-', '*', '•']));
    parts.map(said).filter(|part| !part.is_empty()).collect()
}

/// On one line, and with nothing in it that Vapi would take for one of its variables.
fn said(text: &str) -> String {
    let plain: String = text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
    let line = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    line.replace('{', "(").replace('}', ")")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::{criteria, said};

    #[test]
    fn criteria_stand_on_lines_or_between_commas() {
        assert_eq!(criteria("- licensed\n- insured, bonded; 5 years "), ["licensed", "insured", "bonded", "5 years"]);
        assert!(criteria(" \n;, ").is_empty());
    }

    proptest! {
        #[test]
        fn nothing_a_caller_writes_is_a_variable_or_a_new_line(text in any::<String>()) {
            for text in [text.clone(), format!("{{{{{text}}}}}"), text.replace('a', "{").replace('b', "%")] {
                let said = said(&text);
                let is_plain = !said.contains("{{") && !said.contains("{%") && !said.contains('\n');
                prop_assert!(is_plain, "{}", said);
            }
        }
    }
}
