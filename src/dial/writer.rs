//! What Vapi is asked for: assistants and calls, written from requests. Pure.
//!
//! A body of Vapi's own goes out as it came. Only where it says nothing of it, it gets our server, the messages that make a result, and the
//! number to call from; and in any case the id of its placing, by which a call is found again whose answer was lost.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::asked::{CALL_METHOD, CALLBACK, CallMethod};
pub use crate::call::id::PLACEMENT_ID;
use crate::{
    call::record::CallRecord,
    config::ServerConfig,
    fields::FieldError,
    vapi::{
        assistant::{self, Assistants, CallRequest, Server, TemplateError},
        client::create::hide,
        facts::server_name,
    },
};

/// Hex digits at the end of an assistant's name.
const SUFFIX: usize = 8;
/// Fields of a body of Vapi's own, of which it has one.
const WHO_TALKS: [&str; 6] = ["assistantId", "assistant", "squadId", "squad", "workflowId", "workflow"];
/// Where a call has metadata, in Vapi's words.
const METADATA: [&[&str]; 5] = [
    &["assistant", "metadata"],
    &["assistantOverrides", "metadata"],
    &["squadOverrides", "metadata"],
    &["workflowOverrides", "variableValues"],
    &["metadata"],
];

/// What somebody wants placed.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// A call by our own assistants.
    Request(Box<CallRequest>),
    /// Vapi's own body.
    Body(Map<String, Value>),
}

impl Wanted {
    /// Reads either body.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(body: &Value) -> Result<Self, Vec<FieldError>> {
        let body = match body {
            Value::Object(fields) if WHO_TALKS.iter().any(|field| fields.contains_key(*field)) => fields,
            _ => return CallRequest::parse(body).map(|request| Self::Request(Box::new(request))),
        };
        if body.contains_key("customers") {
            let message = "is for several calls: place them one by one".to_owned();
            return Err(vec![FieldError { field: "customers".to_owned(), message }]);
        }
        Ok(Self::Body(body.clone()))
    }

    /// Reads Vapi's own body, and no other.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse_body(body: &Value) -> Result<Self, Vec<FieldError>> {
        let wrong = |message: String| Err(vec![FieldError { field: String::new(), message }]);
        match body.as_object() {
            None => wrong("The body must be a JSON object.".to_owned()),
            Some(fields) if let Some(ours) = [CALLBACK, CALL_METHOD].into_iter().find(|ours| fields.contains_key(*ours)) => {
                wrong(format!("{ours} is no field of Vapi's: POST /api/v1/vapi/calls takes it."))
            }
            Some(fields) if !WHO_TALKS.iter().any(|field| fields.contains_key(*field)) => {
                wrong(format!("Need one of {}.", WHO_TALKS.join(", ")))
            }
            Some(_) => Self::parse(body),
        }
    }

    /// Where that number stands in what was sent.
    #[must_use]
    pub fn number_field(&self) -> &'static str {
        match self {
            Self::Request(_) => "providerPhone",
            Self::Body(_) => "customer.number",
        }
    }

    /// The number that will ring, if the request names it.
    #[must_use]
    pub fn number(&self) -> Option<&str> {
        match self {
            Self::Request(request) => Some(&request.provider_phone),
            Self::Body(body) => body.get("customer")?.get("number")?.as_str(),
        }
    }
}

/// Writes what Vapi is asked for.
#[derive(Debug)]
pub struct Writer {
    assistants: Assistants,
    server: ServerConfig,
    phone_number_id: Option<String>,
    secret: Option<SecretString>,
}

impl Writer {
    /// A writer whose assistants send their messages to `server`.
    ///
    /// # Errors
    /// [`TemplateError`] when a template is broken.
    pub fn new(server: ServerConfig) -> Result<Self, TemplateError> {
        Ok(Self { assistants: Assistants::new()?, server, phone_number_id: None, secret: None })
    }

    /// The same, for calls from this number; where there is no credential, their messages carry `secret`.
    #[must_use]
    pub fn calling(self, phone_number_id: Option<String>, secret: Option<SecretString>) -> Self {
        Self { phone_number_id, secret, ..self }
    }

    /// The assistant for a request, without any secret. The same request makes the same assistant, by name too.
    ///
    /// # Errors
    /// [`TemplateError`] when a template asks for what there is not.
    pub fn assistant(&self, request: &CallRequest) -> Result<Value, TemplateError> {
        let mut suffix = hex::encode(Sha256::digest(format!("{request:?}")));
        suffix.truncate(SUFFIX);
        self.assistants.write(request, &suffix, self.told())
    }

    /// The body for `POST /call`, without any secret of ours.
    ///
    /// # Errors
    /// [`TemplateError`] when a template asks for what there is not.
    pub fn call(&self, wanted: &Wanted, placement: &str) -> Result<Value, TemplateError> {
        let mut body = match wanted {
            Wanted::Body(body) => self.completed(body.clone(), placement),
            Wanted::Request(request) => {
                let suffix = &placement[placement.len().saturating_sub(SUFFIX)..];
                let mut assistant = self.assistants.write(request, suffix, self.told())?;
                assistant["metadata"][PLACEMENT_ID] = placement.into();
                let customer = json!({"number": request.provider_phone, "name": assistant::customer_name(request)});
                Map::from_iter([("customer".to_owned(), customer), ("assistant".to_owned(), assistant)])
            }
        };
        if let Some(id) = &self.phone_number_id
            && !body.contains_key("phoneNumberId")
            && !body.contains_key("phoneNumber")
        {
            body.insert("phoneNumberId".to_owned(), id.as_str().into());
        }
        Ok(Value::Object(body))
    }

    /// Does a call that was asked for with these facts send its messages to us?
    #[must_use]
    pub fn is_told_of(&self, asked: &CallRecord) -> bool {
        self.server.url.as_deref().is_some_and(|url| asked.server.as_ref().is_some_and(|server| server.value == server_name(url)))
    }

    /// Puts our secret into what is sent, where our server stands without a credential. What is stored never has it.
    pub fn seal(&self, body: &mut Value) {
        let (Some(url), None, Some(secret)) = (&self.server.url, &self.server.credential_id, &self.secret) else { return };
        for holder in ["assistant", "assistantOverrides", "squadOverrides", "workflow"] {
            let server = body.get_mut(holder).and_then(|holder| holder.get_mut("server"));
            if let Some(server) = server.filter(|it| it["url"] == *url.as_str() && it["headers"].is_null() && it["credentialId"].is_null())
            {
                server["headers"] = json!({"x-vapi-secret": secret.expose_secret()});
            }
        }
    }

    /// Takes our secret out of what Vapi says of a body that had it.
    pub fn hide(&self, words: &mut Value) {
        if let Some(secret) = &self.secret {
            hide(words, secret.expose_secret());
        }
    }

    /// A body of Vapi's own, with what it lacks.
    fn completed(&self, mut body: Map<String, Value>, placement: &str) -> Map<String, Value> {
        let has = |field: &str| body.contains_key(field);
        if has("workflow") || has("workflowId") {
            if let Some(workflow) = body.get_mut("workflow").and_then(Value::as_object_mut) {
                self.serve(workflow, &[]);
            }
            let overrides = object(&mut body, "workflowOverrides");
            object(overrides, "variableValues").insert(PLACEMENT_ID.to_owned(), placement.into());
            return body;
        }
        let (holder, over) = if has("squad") || has("squadId") {
            ("squadOverrides", None)
        } else if has("assistant") {
            ("assistant", body.get("assistantOverrides").cloned())
        } else {
            ("assistantOverrides", None)
        };
        let over = over.as_ref().and_then(Value::as_object);
        let given: Vec<&str> =
            ["server", "serverMessages"].into_iter().filter(|field| over.is_some_and(|it| it.contains_key(*field))).collect();
        let own = object(&mut body, holder);
        self.serve(own, &given);
        if !given.contains(&"serverMessages") {
            own.entry("serverMessages").or_insert_with(|| assistant::messages(self.told()).into());
        }
        object(own, "metadata").insert(PLACEMENT_ID.to_owned(), placement.into());
        if over.is_some_and(|over| over.contains_key("metadata")) {
            // It may stand in the place of the assistant's.
            object(object(&mut body, "assistantOverrides"), "metadata").insert(PLACEMENT_ID.to_owned(), placement.into());
        }
        body
    }

    /// Adds our server, unless there is one here or there is one `given` elsewhere.
    fn serve(&self, holder: &mut Map<String, Value>, given: &[&str]) {
        let has_own = ["server", "serverUrl"].iter().any(|field| holder.get(*field).is_some_and(|it| !it.is_null()));
        if let Some(server) = assistant::said_to(self.told()).filter(|_| !has_own && !given.contains(&"server")) {
            holder.insert("server".to_owned(), server);
        }
    }

    fn told(&self) -> Server<'_> {
        let ServerConfig { url, credential_id, messages } = &self.server;
        Server { url: url.as_deref(), credential: credential_id.as_deref(), messages }
    }
}

/// The object in this field; one is made in the place of anything else.
fn object<'a>(holder: &'a mut Map<String, Value>, field: &str) -> &'a mut Map<String, Value> {
    let value = holder.entry(field).or_insert(Value::Null);
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("it was made an object")
}

/// Notes who places a call, wherever it carries the id of its placing.
pub(super) fn note_method(body: &mut Value, method: CallMethod) {
    for path in METADATA {
        let metadata = path.iter().try_fold(&mut *body, |value, key| value.get_mut(*key)).and_then(Value::as_object_mut);
        if let Some(metadata) = metadata.filter(|metadata| metadata.contains_key(PLACEMENT_ID)) {
            metadata.insert(CALL_METHOD.to_owned(), method.as_str().into());
        }
    }
}

/// The id of the placing that a call of Vapi's REST carries.
#[must_use]
pub fn placement_in(call: &Value) -> Option<&str> {
    let at = |path: &&[&str]| path.iter().try_fold(call, |value, key| value.get(*key)).and_then(|it| it.get(PLACEMENT_ID)?.as_str());
    METADATA.iter().find_map(at)
}
