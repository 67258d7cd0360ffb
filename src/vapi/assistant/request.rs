//! What somebody wants a call to do.

use serde_json::Value;

use crate::{
    call::phone::is_e164,
    fields::{FieldError, Fields},
};

/// Characters of a name, a place, an id, a time.
const MOST_SHORT: usize = 200;
/// Characters of a text.
const MOST_LONG: usize = 4_000;
/// Characters of a prompt.
const MOST_PROMPT: usize = 40_000;
/// Options that can be told apart on the phone.
const MOST_OPTIONS: usize = 3;
/// What an option may say of itself, and the words before it.
const OPTION_PARTS: [(&str, &str); 6] =
    [("name", ""), ("rating", "rated "), ("rate", "rate "), ("availability", "available "), ("phone", "phone "), ("notes", "")];

/// What the call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Asks a provider for availability and rate.
    #[default]
    Search,
    /// Gets one thing done.
    DirectTask,
    /// Makes an appointment.
    Booking,
    /// Presents what a search found and takes the choice.
    Notification,
}

/// How soon it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Now.
    Immediate,
    /// Within a day.
    Within24Hours,
    /// Within two days.
    Within2Days,
    /// Any time.
    Flexible,
}

impl Urgency {
    const ALL: [(&'static str, Self); 4] = [
        ("immediate", Self::Immediate),
        ("within_24_hours", Self::Within24Hours),
        ("within_2_days", Self::Within2Days),
        ("flexible", Self::Flexible),
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Immediate => "immediate",
            Self::Within24Hours => "within_24_hours",
            Self::Within2Days => "within_2_days",
            Self::Flexible => "flexible",
        }
    }
}

/// A prompt of the caller's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomPrompt {
    /// What the assistant is told.
    pub system_prompt: String,
    /// What it says first; search asks for the business instead.
    pub first_message: Option<String>,
}

/// What somebody wants a call to do. Every text is trimmed and not empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallRequest {
    /// Who is called.
    pub provider_name: String,
    /// Their number, E.164.
    pub provider_phone: String,
    /// The work that is asked for.
    pub service_needed: Option<String>,
    /// What the provider has to meet; of a direct task, the task.
    pub user_criteria: Option<String>,
    /// What is wrong.
    pub problem_description: Option<String>,
    /// For whom the call is made.
    pub client_name: Option<String>,
    /// Where, roughly.
    pub location: Option<String>,
    /// Where, exactly.
    pub client_address: Option<String>,
    /// The client's number, E.164.
    pub client_phone: Option<String>,
    /// When it suits the client.
    pub preferred_time: Option<String>,
    /// What a notification presents, the best first; each in one line.
    pub options: Vec<String>,
    /// How soon it is needed.
    pub urgency: Option<Urgency>,
    /// What the call is for.
    pub mode: Mode,
    /// A model that hears and speaks by itself.
    pub realtime: bool,
    /// The caller's id of the request.
    pub service_request_id: Option<String>,
    /// The caller's id of the provider.
    pub provider_id: Option<String>,
    /// A prompt in the place of ours.
    pub custom_prompt: Option<CustomPrompt>,
}

impl CallRequest {
    /// Reads a request. A null counts as absent.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(body: &Value) -> Result<Self, Vec<FieldError>> {
        let mut fields = Fields::of(body, "");
        let mode = fields.choice("mode", &MODES);
        let service_needed = text(&mut fields, "serviceNeeded", MOST_SHORT);
        let is_direct = service_needed.as_deref() == Some(DIRECT_TASK);
        let request = Self {
            provider_name: required(&mut fields, "providerName", MOST_SHORT),
            provider_phone: phone(&mut fields, "providerPhone").unwrap_or_default(),
            user_criteria: text(&mut fields, "userCriteria", MOST_LONG),
            problem_description: text(&mut fields, "problemDescription", MOST_LONG),
            client_name: text(&mut fields, "clientName", MOST_SHORT),
            location: text(&mut fields, "location", MOST_SHORT),
            client_address: text(&mut fields, "clientAddress", MOST_SHORT),
            client_phone: phone(&mut fields, "clientPhone"),
            preferred_time: text(&mut fields, "preferredTime", MOST_SHORT),
            options: options(&mut fields, "options"),
            urgency: fields.choice("urgency", &Urgency::ALL),
            mode: if is_direct { Mode::DirectTask } else { mode.unwrap_or_default() },
            realtime: fields.flag("realtime"),
            service_request_id: text(&mut fields, "serviceRequestId", MOST_SHORT),
            provider_id: text(&mut fields, "providerId", MOST_SHORT),
            custom_prompt: custom_prompt(&mut fields, "customPrompt"),
            service_needed,
        };
        if request.provider_phone.is_empty() {
            fields.missing("providerPhone");
        }
        if request.mode == Mode::Search && request.service_needed.is_none() {
            fields.missing("serviceNeeded");
        }
        fields.finish(Some(request))
    }

    /// Was it made a direct task by what it calls the service?
    pub(super) fn is_direct_by_name(&self) -> bool {
        self.service_needed.as_deref() == Some(DIRECT_TASK)
    }
}

const DIRECT_TASK: &str = "Direct Task";

const MODES: [(&str, Mode); 4] =
    [("search", Mode::Search), ("direct_task", Mode::DirectTask), ("booking", Mode::Booking), ("notification", Mode::Notification)];

fn text(fields: &mut Fields<'_>, name: &'static str, most: usize) -> Option<String> {
    let short = |text: &str| {
        if text.chars().count() <= most { Ok(text.trim().to_owned()) } else { Err(format!("has more than {most} characters")) }
    };
    fields.optional(name, short).filter(|text| !text.is_empty())
}

fn required(fields: &mut Fields<'_>, name: &'static str, most: usize) -> String {
    let text = text(fields, name, most);
    if text.is_none() {
        fields.missing(name);
    }
    text.unwrap_or_default()
}

fn phone(fields: &mut Fields<'_>, name: &'static str) -> Option<String> {
    let text = text(fields, name, MOST_SHORT)?;
    if !is_e164(&text) {
        fields.wrong(name, "must be a phone number in E.164: + and 7 to 15 digits, such as +15551234567");
    }
    Some(text)
}

fn options(fields: &mut Fields<'_>, name: &'static str) -> Vec<String> {
    let items = match fields.member(name) {
        None => return Vec::new(),
        Some(Value::Array(items)) => items,
        Some(_) => {
            fields.wrong(name, "must be a list");
            return Vec::new();
        }
    };
    if items.len() > MOST_OPTIONS {
        fields.wrong(name, format!("has more than {MOST_OPTIONS} entries"));
    }
    let mut options = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match option(item) {
            Some(text) if text.chars().count() <= MOST_LONG => options.push(text),
            _ => {
                fields.wrong(&format!("{name}[{index}]"), "must be a text, or an object of name, rating, rate, availability, phone, notes");
            }
        }
    }
    options
}

fn custom_prompt(fields: &mut Fields<'_>, name: &'static str) -> Option<CustomPrompt> {
    let mut part = Fields::of(fields.member(name)?, name);
    let prompt = CustomPrompt {
        system_prompt: required(&mut part, "systemPrompt", MOST_PROMPT),
        first_message: text(&mut part, "firstMessage", MOST_LONG),
    };
    part.finish(Some(prompt)).map_err(|errors| fields.also(errors)).ok()
}

/// An option in one line: as it is given, or what its parts say.
fn option(item: &Value) -> Option<String> {
    match item {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Object(parts) => {
            let known = parts.keys().all(|key| OPTION_PARTS.iter().any(|(name, _)| name == key));
            let said = OPTION_PARTS.iter().filter_map(|(name, before)| {
                let text = match parts.get(*name)? {
                    Value::String(text) => text.trim().to_owned(),
                    Value::Number(number) => number.to_string(),
                    _ => String::new(),
                };
                (!text.is_empty()).then(|| format!("{before}{text}"))
            });
            let said: Vec<String> = said.collect();
            (known && parts.get("name").is_some_and(Value::is_string)).then(|| said.join(", ")).filter(|text| !text.is_empty())
        }
        _ => None,
    }
}
