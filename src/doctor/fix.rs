//! Changing objects at Vapi, and putting back what was there.
//!
//! What stood there is on disk before the first request goes out. Each object is read again just before it is changed, so that what somebody agreed to
//! is what happens, and once more after it, so that nobody has to trust an answer.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::object::{self, Kind, Needs, Object, Plan};
use crate::{
    vapi::client::{SettingError, VapiClient},
    words::clean,
};

/// Marks the files that `--restore` takes.
const FORMAT: &str = "ringback-doctor-1";
/// Fields that are ever changed.
const FIELDS: [&str; 2] = ["server", "serverMessages"];
/// By this Vapi tells kinds of phone numbers apart; a change has to name it.
const PROVIDER: &str = "provider";

/// What stood at Vapi before a change. May hold secrets: for its owner's eyes only.
#[derive(Serialize, Deserialize)]
pub struct Saved {
    format: String,
    /// The API it was taken from.
    pub api_url: String,
    /// The objects.
    pub objects: Vec<SavedObject>,
}

/// What stood in the changed fields of one object; `null`: nothing.
#[derive(Serialize, Deserialize)]
pub struct SavedObject {
    kind: String,
    id: String,
    fields: Map<String, Value>,
}

/// Why a change was not made, or may not have been.
#[derive(Debug, thiserror::Error)]
pub enum FixError {
    /// It can't be changed from here.
    #[error("{0}: {1}")]
    Obstacle(String, &'static str),
    /// Somebody else was faster.
    #[error("{0} has been changed since it was examined; nothing was done to it. Start again")]
    Moved(String),
    /// Vapi's answer was no success.
    #[error("{0}: {1}")]
    Vapi(String, SettingError),
    /// Vapi took it, and shows something else.
    #[error("{0}: Vapi took the change, but does not show it; look at it in the dashboard")]
    NotTaken(String),
    /// The file is not one of ours, or belongs elsewhere.
    #[error("{0}")]
    File(&'static str),
}

impl Saved {
    /// What `plans` would change, as it stands.
    #[must_use]
    pub fn of(plans: &[Plan], api_url: &str) -> Self {
        let field = |plan: &Plan, name: &String| (name.clone(), plan.object.value.get(name).cloned().unwrap_or_default());
        let object = |plan: &Plan| SavedObject {
            kind: plan.object.kind.path().to_owned(),
            id: plan.object.id.clone(),
            fields: plan.patch.keys().map(|name| field(plan, name)).collect(),
        };
        Self { format: FORMAT.to_owned(), api_url: api_url.to_owned(), objects: plans.iter().map(object).collect() }
    }

    /// Reads a file that an earlier change left.
    ///
    /// # Errors
    /// [`FixError::File`] when it is none, or was taken from another API.
    pub fn parse(text: &str, api_url: &str) -> Result<Self, FixError> {
        let saved: Self = serde_json::from_str(text).map_err(|_garbled| FixError::File("that is no file of `ringback doctor --fix`"))?;
        let is_sound = |object: &SavedObject| {
            let fields_known = object.fields.keys().all(|field| FIELDS.contains(&field.as_str()));
            fields_known && is_id(&object.id) && Kind::of_path(&object.kind).is_some()
        };
        if saved.format != FORMAT || !saved.objects.iter().all(is_sound) {
            return Err(FixError::File("that is no file of `ringback doctor --fix`"));
        }
        if saved.api_url != api_url {
            return Err(FixError::File("that file was taken from another VAPI_API_URL"));
        }
        Ok(saved)
    }
}

impl SavedObject {
    /// Kind and id.
    #[must_use]
    pub fn subject(&self) -> String {
        clean(&format!("{} {}", self.kind, self.id))
    }

    /// The names of the fields that are put back.
    #[must_use]
    pub fn fields(&self) -> String {
        self.fields.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

/// Does it look like an id of Vapi's? Anything else could name another route.
#[must_use]
pub fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Makes one object as it should be.
///
/// # Errors
/// [`FixError`] when it was not made so, or may not have been.
pub async fn apply(client: &VapiClient, plan: &Plan, needs: &Needs) -> Result<(), FixError> {
    let object = &plan.object;
    if let Some(obstacle) = plan.obstacle {
        return Err(FixError::Obstacle(object.subject(), obstacle));
    }
    let now = read(client, object.kind, &object.id).await?;
    if FIELDS.iter().any(|field| now.value[field] != object.value[field]) {
        return Err(FixError::Moved(object.subject()));
    }
    change(client, &now, plan.patch.clone()).await?;
    let after = read(client, object.kind, &object.id).await?;
    if object::plan(&after, needs).is_some() { Err(FixError::NotTaken(object.subject())) } else { Ok(()) }
}

/// Puts back what stood in one object.
///
/// # Errors
/// [`FixError`] when it does not stand there again, or may not.
pub async fn restore(client: &VapiClient, saved: &SavedObject) -> Result<(), FixError> {
    let kind = Kind::of_path(&saved.kind).ok_or(FixError::File("that is no file of `ringback doctor --fix`"))?;
    let now = read(client, kind, &saved.id).await?;
    change(client, &now, saved.fields.clone()).await?;
    let after = read(client, kind, &saved.id).await?;
    let differs = saved.fields.iter().any(|(field, value)| after.value[field] != *value);
    if differs { Err(FixError::NotTaken(saved.subject())) } else { Ok(()) }
}

async fn read(client: &VapiClient, kind: Kind, id: &str) -> Result<Object, FixError> {
    let subject = || clean(&format!("{} {id}", kind.path()));
    let setting = client.setting(&[kind.path(), id], None).await.map_err(|error| FixError::Vapi(subject(), error))?;
    Object::new(kind, setting.value).ok_or_else(|| FixError::Vapi(subject(), SettingError::Missing))
}

async fn change(client: &VapiClient, object: &Object, mut fields: Map<String, Value>) -> Result<(), FixError> {
    if object.kind == Kind::PhoneNumber
        && let Some(provider) = object.value.get(PROVIDER)
    {
        fields.insert(PROVIDER.to_owned(), provider.clone());
    }
    let sent = client.set(&[object.kind.path(), &object.id], &Value::Object(fields)).await;
    sent.map(|_told| ()).map_err(|error| FixError::Vapi(object.subject(), error))
}
