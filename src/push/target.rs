//! Who is told: subscriptions, and whoever waits for one call. This is what is stored of them.

use std::{collections::BTreeMap, fmt};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::callback::Callback;
use crate::{
    call::{
        time::Millis,
        view::{View, metadata_text},
    },
    outbound::SigningKey,
    registry::Filter,
    store::StoredCall,
};

/// A text that may be a secret, or hold one. It goes into the store as it is, and is never shown by `Debug`.
#[derive(Clone)]
pub struct Hidden(SecretString);

impl Hidden {
    /// The text, to be used and not to be shown.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<&str> for Hidden {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl PartialEq for Hidden {
    fn eq(&self, other: &Self) -> bool {
        self.reveal() == other.reveal()
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl Serialize for Hidden {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.reveal())
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

/// Calls that a subscription is about; an empty list, or map, is about all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Wanted {
    /// Assistants that talked.
    pub assistant_id: Vec<String>,
    /// Numbers, of customer or provider; only their digits count.
    pub phone: Vec<String>,
    /// How the call turned out.
    pub status: Vec<String>,
    /// Texts in the metadata, by key; any of a key's, of all keys.
    pub metadata: BTreeMap<String, Vec<String>>,
}

/// What becomes of a subscription's news.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It is told.
    Active,
    /// It is collected.
    Paused,
    /// It is dropped: the other side said that it is gone.
    Disabled,
}

impl Standing {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }
}

/// A secret that signs along for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OldSecret {
    /// The secret.
    pub secret: Hidden,
    /// Until when.
    pub until: Millis,
}

/// Somebody who wants to be told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    /// Where to.
    pub url: Hidden,
    /// Types of events.
    pub events: Vec<String>,
    /// Of which calls.
    pub filter: Wanted,
    /// How much of them.
    pub view: View,
    /// Headers to send along, by name in lower case.
    pub headers: BTreeMap<String, Hidden>,
    /// What it is for, in somebody's words.
    pub description: String,
    /// Signs, `whsec_…`.
    pub secret: Hidden,
    /// Sign along, newest first.
    pub old_secrets: Vec<OldSecret>,
    /// What becomes of its news.
    pub standing: Standing,
    /// Position of the log behind which its news begin.
    pub since: u64,
    /// When it was made.
    pub created_at: Millis,
    /// When it was last changed.
    pub updated_at: Millis,
}

impl Subscription {
    /// The keys that sign at a moment, the newest first.
    #[must_use]
    pub fn keys(&self, now: Millis) -> Vec<SigningKey> {
        let old = self.old_secrets.iter().filter(|old| old.until > now).map(|old| &old.secret);
        std::iter::once(&self.secret).chain(old).filter_map(|secret| SigningKey::parse(secret.reveal()).ok()).collect()
    }

    /// Does it want events of this type?
    #[must_use]
    pub fn wants_kind(&self, kind: &str) -> bool {
        self.events.iter().any(|wanted| wanted == kind)
    }

    /// Is it about every call?
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.filter == Wanted::default()
    }

    /// Is it about this call, as it stands?
    #[must_use]
    pub fn fits(&self, call: &StoredCall) -> bool {
        let Wanted { assistant_id, phone, status, metadata } = &self.filter;
        let filter = Filter { types: Vec::new(), assistants: assistant_id.clone(), phones: phone.clone(), statuses: status.clone() };
        let has = |(key, texts): (&String, &Vec<String>)| metadata_text(&call.record, key).is_some_and(|text| texts.contains(&text));
        filter.fits(call) && metadata.iter().all(has)
    }
}

/// Anybody who is told something.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "target", rename_all = "lowercase")]
pub enum Target {
    /// A subscription.
    Subscription(Subscription),
    /// Somebody who waits for one call.
    Callback(Callback),
}

impl Target {
    /// Reads what is stored; `None` for what only a later release understands.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// What is to be stored.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{Callback, Hidden, Target};

    #[test]
    fn what_is_stored_is_read_again_and_never_shown() {
        let callback = Callback::N8nResume { url: Hidden::from("https://n8n.example/?signature=hunter2"), view: None, since: 7 };
        let target = Target::Callback(callback.clone());
        assert!(!format!("{target:?}").contains("hunter2"), "{target:?}");
        let Some(Target::Callback(read)) = Target::read(&target.write()) else { panic!("it is read") };
        assert_eq!(read, callback);
        assert!(Target::read(br#"{"target":"pigeon"}"#).is_none(), "of a later release");
    }
}
