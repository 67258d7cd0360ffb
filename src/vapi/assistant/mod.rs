//! Assistants for Vapi, written from what somebody wants a call to do. Pure.
//!
//! What an assistant says and what is asked of its transcript stands in files that need no Rust: `modes/*.json` are assistants as Vapi takes
//! them, whose texts are [Jinja](https://jinja.palletsprojects.com) templates, and `prompts/*.md` are the longer ones of these. A mode may
//! have a file for a custom prompt and one for speech to speech; each says only what is different (RFC 7396: null takes a field out).
//!
//! Every field is one of Vapi's current API; a test holds the files against a list of its fields.
//!
//! | Module | What it does |
//! |---|---|
//! | [`request`] | reads a `CallRequest`, and says everything that is wrong with it |
//! | `words` | puts its values into words, so that nothing in them is taken for a template |

pub mod request;
mod words;

use minijinja::{Environment, UndefinedBehavior, value::Serde};
use serde_json::{Map, Value, json};

pub use self::request::{CallRequest, Mode, Urgency};
use self::words::Words;

/// Seconds that Vapi waits for an answer to a message.
const SERVER_TIMEOUT_SECONDS: u64 = 20;
/// How often Vapi sends a message again that was not answered with 2xx.
const SERVER_RETRIES: u64 = 8;
/// Seconds before the first of these; each wait is twice the one before.
const SERVER_RETRY_SECONDS: u64 = 1;
/// Characters that a customer's name may have at Vapi.
const MOST_NAME: usize = 40;

/// What Vapi is to send: what makes a result, and the lines as they are spoken.
pub const SERVER_MESSAGES: [&str; 6] = ["status-update", "end-of-call-report", "tool-calls", "hang", "transfer-update", "transcript"];

/// The files in a folder beside this one, by name.
macro_rules! files {
    ($folder:literal: $($name:literal)*) => {
        [$(($name, include_str!(concat!($folder, "/", $name)))),*]
    };
}

const MODES: [(&str, &str); 8] = files!("modes": "booking.json" "notification.json" "search.custom.json" "search.json" "search.realtime.json"
    "task.custom.json" "task.json" "task.realtime.json");

const PROMPTS: [(&str, &str); 26] = files!("prompts": "booking.data.md" "booking.md" "booking.success.md" "booking.summary.md" "ending.md"
    "manner.md" "notification.data.md" "notification.md" "notification.success.md" "notification.summary.md" "search.address.md"
    "search.custom.md" "search.data.md" "search.ending.md" "search.md" "search.steps.md" "search.success.md" "search.summary.md"
    "task.custom.md" "task.data.md" "task.md" "task.steps.md" "task.success.md" "task.summary.md" "truth.md" "voicemail.md");

/// Where an assistant's messages go.
#[derive(Debug, Clone, Copy)]
pub struct Server<'a> {
    /// The whole address; without one they go where the organisation's settings at Vapi say.
    pub url: Option<&'a str>,
    /// The credential at Vapi that signs them.
    pub credential: Option<&'a str>,
    /// Messages wanted besides [`SERVER_MESSAGES`].
    pub messages: &'a [String],
}

/// A template can't be filled in. It is a fault of the files in this folder.
#[derive(Debug, thiserror::Error)]
#[error("the assistant's template is broken: {0}")]
pub struct TemplateError(String);

impl From<minijinja::Error> for TemplateError {
    fn from(error: minijinja::Error) -> Self {
        Self(format!("{error:#}"))
    }
}

/// Writes assistants.
#[derive(Debug)]
pub struct Assistants {
    templates: Environment<'static>,
}

impl Assistants {
    /// Reads the templates.
    ///
    /// # Errors
    /// [`TemplateError`] when one is no Jinja.
    pub fn new() -> Result<Self, TemplateError> {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        // Plain text, whatever a file is called.
        templates.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        for (name, text) in PROMPTS {
            templates.add_template(name, text.trim_end())?;
        }
        Ok(Self { templates })
    }

    /// The assistant for a request; `suffix` ends its name.
    ///
    /// # Errors
    /// [`TemplateError`] when a template asks for what there is not.
    pub fn write(&self, request: &CallRequest, suffix: &str, server: Server<'_>) -> Result<Value, TemplateError> {
        let mut assistant = Value::Null;
        for name in files_of(request) {
            merge(&mut assistant, mode(&name)?);
        }
        self.fill(&mut assistant, &minijinja::Value::from(Serde(Words::of(request, suffix))))?;
        if let Some(name) = assistant.get_mut("name") {
            *name = name.as_str().unwrap_or_default().chars().take(MOST_NAME).collect::<String>().into();
        }
        if let Some(said) = said_to(server) {
            assistant["server"] = said;
        }
        assistant["serverMessages"] = messages(server).into();
        assistant["metadata"] = Value::Object(metadata(request));
        Ok(assistant)
    }

    /// Fills in every text below.
    fn fill(&self, value: &mut Value, words: &minijinja::Value) -> Result<(), TemplateError> {
        match value {
            Value::String(text) if text.contains('{') => *text = self.templates.render_str(text, words)?,
            Value::Array(items) => items.iter_mut().try_for_each(|item| self.fill(item, words))?,
            Value::Object(fields) => fields.values_mut().try_for_each(|field| self.fill(field, words))?,
            _ => {}
        }
        Ok(())
    }
}

/// The name a call's customer has at Vapi.
#[must_use]
pub fn customer_name(request: &CallRequest) -> String {
    request.provider_name.chars().take(MOST_NAME).collect()
}

/// What a call's metadata says of a request; only what was given.
#[must_use]
pub fn metadata(request: &CallRequest) -> Map<String, Value> {
    let named = [
        ("serviceRequestId", request.service_request_id.as_deref()),
        ("providerId", request.provider_id.as_deref()),
        ("providerName", Some(request.provider_name.as_str())),
        ("providerPhone", Some(request.provider_phone.as_str())),
        ("serviceNeeded", request.service_needed.as_deref()),
        ("userCriteria", request.user_criteria.as_deref()),
        ("location", request.location.as_deref()),
        ("urgency", request.urgency.map(Urgency::as_str)),
    ];
    named.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into()))).collect()
}

/// The server of an assistant, without any secret; none without an address.
#[must_use]
pub fn said_to(server: Server<'_>) -> Option<Value> {
    let url = server.url?;
    let plan = json!({"type": "exponential", "maxRetries": SERVER_RETRIES, "baseDelaySeconds": SERVER_RETRY_SECONDS});
    let mut said = json!({"url": url, "timeoutSeconds": SERVER_TIMEOUT_SECONDS, "backoffPlan": plan});
    if let Some(credential) = server.credential {
        said["credentialId"] = credential.into();
    }
    Some(said)
}

/// The messages that a server is to get.
#[must_use]
pub fn messages(server: Server<'_>) -> Vec<String> {
    let mut all: Vec<String> = SERVER_MESSAGES.into_iter().map(str::to_owned).collect();
    all.extend(server.messages.iter().filter(|it| !SERVER_MESSAGES.contains(&it.as_str())).cloned());
    all
}

/// The files that make an assistant, each over the ones before.
fn files_of(request: &CallRequest) -> Vec<String> {
    let (name, varies) = match request.mode {
        Mode::Search => ("search", true),
        Mode::DirectTask => ("task", true),
        Mode::Booking => ("booking", false),
        Mode::Notification => ("notification", false),
    };
    let mut files = vec![format!("{name}.json")];
    if varies && request.custom_prompt.is_some() {
        files.push(format!("{name}.custom.json"));
    }
    if varies && request.realtime {
        files.push(format!("{name}.realtime.json"));
    }
    files
}

fn mode(name: &str) -> Result<Value, TemplateError> {
    let text = MODES.into_iter().find(|(file, _)| *file == name).map_or("", |(_, text)| text);
    serde_json::from_str(text).map_err(|error| TemplateError(format!("{name}: {error}")))
}

/// Puts `patch` over `target` (RFC 7396).
fn merge(target: &mut Value, patch: Value) {
    match patch {
        Value::Object(patch) => {
            if !target.is_object() {
                *target = json!({});
            }
            let Value::Object(target) = target else { return };
            for (key, value) in patch {
                if value.is_null() {
                    target.remove(&key);
                } else {
                    merge(target.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        other => *target = other,
    }
}
