//! What somebody wants a call to do.

use serde_json::{Map, Value};

/// Characters of a name, a place, an id, a time.
const MOST_SHORT: usize = 200;
/// Characters of a text.
const MOST_LONG: usize = 4_000;
/// Characters of a prompt.
const MOST_PROMPT: usize = 40_000;
/// Options that can be told apart on the phone.
const MOST_OPTIONS: usize = 3;
/// Digits of a phone number (E.164).
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;
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

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct FieldError {
    /// Its name, with dots and indices: `customPrompt.systemPrompt`, `options[2]`.
    pub field: String,
    /// What it has to be.
    pub message: String,
}

impl CallRequest {
    /// Reads a request. A null counts as absent.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(body: &Value) -> Result<Self, Vec<FieldError>> {
        let mut form = Form::of(body, "");
        let mode = form.choice("mode", &MODES);
        let service_needed = form.text("serviceNeeded", MOST_SHORT);
        let is_direct = service_needed.as_deref() == Some(DIRECT_TASK);
        let request = Self {
            provider_name: form.required("providerName", MOST_SHORT),
            provider_phone: form.phone("providerPhone").unwrap_or_default(),
            user_criteria: form.text("userCriteria", MOST_LONG),
            problem_description: form.text("problemDescription", MOST_LONG),
            client_name: form.text("clientName", MOST_SHORT),
            location: form.text("location", MOST_SHORT),
            client_address: form.text("clientAddress", MOST_SHORT),
            client_phone: form.phone("clientPhone"),
            preferred_time: form.text("preferredTime", MOST_SHORT),
            options: form.options("options"),
            urgency: form.choice("urgency", &Urgency::ALL),
            mode: if is_direct { Mode::DirectTask } else { mode.unwrap_or_default() },
            realtime: form.flag("realtime"),
            service_request_id: form.text("serviceRequestId", MOST_SHORT),
            provider_id: form.text("providerId", MOST_SHORT),
            custom_prompt: form.custom_prompt("customPrompt"),
            service_needed,
        };
        if request.provider_phone.is_empty() {
            form.missing("providerPhone");
        }
        if request.mode == Mode::Search && request.service_needed.is_none() {
            form.missing("serviceNeeded");
        }
        form.end(request)
    }

    /// Was it made a direct task by what it calls the service?
    pub(super) fn is_direct_by_name(&self) -> bool {
        self.service_needed.as_deref() == Some(DIRECT_TASK)
    }
}

const DIRECT_TASK: &str = "Direct Task";

const MODES: [(&str, Mode); 4] =
    [("search", Mode::Search), ("direct_task", Mode::DirectTask), ("booking", Mode::Booking), ("notification", Mode::Notification)];

/// Is this a number that can be dialled from anywhere?
#[must_use]
pub fn is_e164(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else { return false };
    PHONE_DIGITS.contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// An object that is read field by field; what is left over is wrong.
struct Form<'a> {
    fields: Map<String, Value>,
    within: &'a str,
    errors: Vec<FieldError>,
}

impl<'a> Form<'a> {
    fn of(body: &Value, within: &'a str) -> Self {
        let mut form = Self { fields: Map::new(), within, errors: Vec::new() };
        match body {
            Value::Object(fields) => form.fields.clone_from(fields),
            _ => form.wrong("", "must be a JSON object"),
        }
        form
    }

    fn wrong(&mut self, name: &str, message: impl Into<String>) {
        let field =
            if self.within.is_empty() || name.is_empty() { format!("{}{name}", self.within) } else { format!("{}.{name}", self.within) };
        // One sentence a field: the first says what to do.
        if !self.errors.iter().any(|error| error.field == field) {
            self.errors.push(FieldError { field, message: message.into() });
        }
    }

    fn missing(&mut self, name: &str) {
        self.wrong(name, "is required");
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    fn text(&mut self, name: &str, most: usize) -> Option<String> {
        let value = self.take(name)?;
        let Value::String(text) = value else {
            self.wrong(name, "must be a text");
            return None;
        };
        if text.chars().count() > most {
            self.wrong(name, format!("has more than {most} characters"));
        }
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    fn required(&mut self, name: &str, most: usize) -> String {
        let text = self.text(name, most);
        if text.is_none() {
            self.missing(name);
        }
        text.unwrap_or_default()
    }

    fn phone(&mut self, name: &str) -> Option<String> {
        let text = self.text(name, MOST_SHORT)?;
        if !is_e164(&text) {
            self.wrong(name, "must be a phone number in E.164: + and 7 to 15 digits, such as +15551234567");
        }
        Some(text)
    }

    fn flag(&mut self, name: &str) -> bool {
        match self.take(name) {
            None => false,
            Some(Value::Bool(flag)) => flag,
            Some(_) => {
                self.wrong(name, "must be true or false");
                false
            }
        }
    }

    fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let value = self.take(name)?;
        let found = value.as_str().and_then(|word| choices.iter().find(|(choice, _)| *choice == word));
        if found.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            self.wrong(name, format!("must be one of {}", words.join(", ")));
        }
        found.map(|(_, choice)| *choice)
    }

    fn options(&mut self, name: &str) -> Vec<String> {
        let items = match self.take(name) {
            None => return Vec::new(),
            Some(Value::Array(items)) => items,
            Some(_) => {
                self.wrong(name, "must be a list");
                return Vec::new();
            }
        };
        if items.len() > MOST_OPTIONS {
            self.wrong(name, format!("has more than {MOST_OPTIONS} entries"));
        }
        let mut options = Vec::new();
        for (index, item) in items.iter().enumerate() {
            match option(item) {
                Some(text) if text.chars().count() <= MOST_LONG => options.push(text),
                _ => self
                    .wrong(&format!("{name}[{index}]"), "must be a text, or an object of name, rating, rate, availability, phone, notes"),
            }
        }
        options
    }

    fn custom_prompt(&mut self, name: &str) -> Option<CustomPrompt> {
        let value = self.take(name)?;
        let mut form = Form::of(&value, name);
        let system_prompt = form.required("systemPrompt", MOST_PROMPT);
        let first_message = form.text("firstMessage", MOST_LONG);
        match form.end(CustomPrompt { system_prompt, first_message }) {
            Ok(prompt) => Some(prompt),
            Err(errors) => {
                self.errors.extend(errors);
                None
            }
        }
    }

    fn end<T>(mut self, read: T) -> Result<T, Vec<FieldError>> {
        let unknown: Vec<String> = self.fields.keys().cloned().collect();
        for name in unknown {
            self.wrong(&name, "is no field of a call request");
        }
        if self.errors.is_empty() { Ok(read) } else { Err(self.errors) }
    }
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
