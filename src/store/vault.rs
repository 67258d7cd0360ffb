//! Encryption at rest: what is sealed, with which key, and how sealed values are found again.
//!
//! Properties wanted:
//! - Records and bodies are sealed with an AEAD that is bound to their call: no value can be put in another call's place unnoticed.
//! - Several keys open, the first seals. Every sealed value names its key. Values from before there was a key are read as they are.
//! - A key that is missing is found out when the store is opened, not when the first value can't be read.
//! - What lists filter by is a keyed hash. Hashes stay when keys change: their own key is random, made with the first data key, and kept in the
//!   store wrapped in every data key that is in use. That note is the list of keys that are needed.
//!
//! Design: AES-256-GCM with random nonces under a key of the call's own (HMAC-SHA256 of the data key), so that no key sees many nonces.

mod place;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom as _, SystemRandom},
};
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

pub(super) use self::place::Place;
use super::{CallFilter, Columns, PublishedRow, StoreError};
use crate::call::{id::CallId, record::CallRecord};

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// What sealed values begin with: no frame of zstd does.
const MAGIC: &[u8; 4] = b"RBK\x01";
/// Bytes of a key's id.
const ID_BYTES: usize = 8;
/// Bytes of a hash that stands for a value: two values never have the same by chance.
const HASH_BYTES: usize = 16;
/// Where the store keeps [`Ring`].
pub(super) const RING: &str = "data_keys";

/// The keys of `DATA_KEY`: the first seals, all open. None: nothing is sealed.
#[derive(Clone, Default)]
pub struct DataKeys(Vec<DataKey>);

#[derive(Clone)]
struct DataKey {
    id: [u8; ID_BYTES],
    secret: Arc<SecretBox<[u8; KEY_BYTES]>>,
}

impl fmt::Debug for DataKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(DataKey::name)).finish()
    }
}

fn hash(key: &[u8], parts: &[&[u8]]) -> [u8; KEY_BYTES] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for (number, part) in parts.iter().enumerate() {
        if number > 0 {
            mac.update(b"\0");
        }
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

impl DataKey {
    fn new(secret: [u8; KEY_BYTES]) -> Self {
        let id = *hash(&secret, &[b"ringback key id"]).first_chunk().expect("a hash has more than 8 bytes");
        Self { id, secret: Arc::new(SecretBox::new(Box::new(secret))) }
    }

    fn name(&self) -> String {
        hex::encode(self.id)
    }

    /// The cipher for one call, or for what is about no call.
    fn cipher(&self, call: &str) -> LessSafeKey {
        let key = hash(self.secret.expose_secret(), &[b"ringback seal", call.as_bytes()]);
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("the hash is as long as the key"))
    }

    fn seal(&self, call: &str, part: &[u8], bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
        let failed = |_| StoreError::Unavailable("a value can't be encrypted".to_owned());
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(failed)?;
        let mut sealed = bytes.to_vec();
        let aad = Aad::from(part);
        self.cipher(call).seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed).map_err(failed)?;
        Ok([MAGIC, &self.id[..], &nonce, &sealed].concat())
    }

    fn open(&self, call: &str, part: &[u8], nonce: [u8; NONCE_LEN], sealed: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let length = self.cipher(call).open_in_place(nonce, Aad::from(part), &mut bytes).ok()?.len();
        bytes.truncate(length);
        Some(bytes)
    }
}

/// Reads one key: 32 bytes in base64.
fn decoded(text: &str) -> Option<[u8; KEY_BYTES]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

impl DataKeys {
    /// The keys, each 32 bytes in base64, newest first.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] when one of them is none.
    pub fn from_base64(texts: &[SecretString]) -> Result<Self, StoreError> {
        let unusable = || StoreError::Unusable("a key of DATA_KEY is not 32 bytes in base64".to_owned());
        let key = |text: &SecretString| decoded(text.expose_secret()).map(DataKey::new).ok_or_else(unusable);
        texts.iter().map(key).collect::<Result<_, _>>().map(Self)
    }

    /// Is nothing sealed?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn of(&self, id: &[u8]) -> Option<&DataKey> {
        self.0.iter().find(|key| key.id == id)
    }
}

/// What the store notes of its keys, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Ring {
    /// Some values may be from before there was a key.
    plain: bool,
    /// The key of the hashes, wrapped in each data key that is in use, by the id of that.
    index: BTreeMap<String, String>,
}

/// The ids of the keys that a note names.
pub(super) fn noted_keys(note: &[u8]) -> Vec<String> {
    serde_json::from_slice::<Ring>(note).unwrap_or_default().index.into_keys().collect()
}

/// The key of the hashes.
struct Index {
    key: SecretBox<[u8; KEY_BYTES]>,
    plain: bool,
}

/// The key of the hashes out of its wrapping.
fn unwrapped(key: &DataKey, wrapped: &str) -> Option<[u8; KEY_BYTES]> {
    let sealed = STANDARD.decode(wrapped).ok()?;
    let (_, nonce, sealed) = Vault::split(&sealed)?;
    key.open("", b"index", nonce, sealed)?.try_into().ok()
}

/// A new key of the hashes.
fn random() -> Result<[u8; KEY_BYTES], String> {
    let mut fresh = [0; KEY_BYTES];
    SystemRandom::new().fill(&mut fresh).map_err(|_unspecified| "the system gives no random numbers".to_owned())?;
    Ok(fresh)
}

/// What seals and opens, and hides what lists filter by.
#[derive(Default)]
pub(super) struct Vault {
    keys: DataKeys,
    index: RwLock<Option<Arc<Index>>>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Vault").field(&self.keys).finish()
    }
}

impl Vault {
    pub(super) fn new(keys: DataKeys) -> Self {
        Self { keys, index: RwLock::default() }
    }

    /// Is anything sealed?
    pub(super) fn is_locked(&self) -> bool {
        !self.keys.is_empty()
    }

    /// The name of the key that seals.
    pub(super) fn newest(&self) -> Option<String> {
        self.keys.0.first().map(DataKey::name)
    }

    /// Compares the keys with what the store notes of them. Returns the note to write in the place of this one; then ask again with what
    /// stands there: another instance may have been faster. `has_calls`: the store is not empty. Fails with a sentence for the operator.
    pub(super) fn admit(&self, note: Option<&[u8]>, has_calls: bool) -> Result<Option<Vec<u8>>, String> {
        let ring = self.known_ring(note)?.unwrap_or_else(|| Ring { plain: has_calls, index: BTreeMap::new() });
        let Some(newest) = self.keys.0.first() else { return Ok(None) };
        let wrapped = self.keys.0.iter().find_map(|key| Some((key, ring.index.get(&key.name())?)));
        let index = match (wrapped, self.known()) {
            (Some((key, wrapped)), _) => unwrapped(key, wrapped).ok_or("the note about its keys is broken")?,
            // The server lost what it stored: what this process writes and looks for stays the same.
            (None, Some(known)) => *known.key.expose_secret(),
            (None, None) => random()?,
        };
        if ring.index.contains_key(&newest.name()) {
            let index = Index { key: SecretBox::new(Box::new(index)), plain: ring.plain };
            *self.index.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(index));
            return Ok(None);
        }
        let mut ring = ring;
        let wrapped = newest.seal("", b"index", &index).map_err(|error| error.to_string())?;
        ring.index.insert(newest.name(), STANDARD.encode(wrapped));
        Ok(Some(serde_json::to_vec(&ring).unwrap_or_default()))
    }

    /// Fails as [`Self::admit`] does; nothing is to be written.
    pub(super) fn admits(&self, note: Option<&[u8]>) -> Result<(), String> {
        self.known_ring(note).map(drop)
    }

    /// What the store notes, if it notes anything and no key is missing.
    fn known_ring(&self, note: Option<&[u8]>) -> Result<Option<Ring>, String> {
        let Some(note) = note.filter(|note| !note.is_empty()) else { return Ok(None) };
        let ring: Ring = serde_json::from_slice(note).map_err(|error| format!("the note about its keys is broken: {error}"))?;
        let missing: Vec<&str> =
            ring.index.keys().filter(|name| !self.keys.0.iter().any(|key| key.name() == **name)).map(String::as_str).collect();
        if missing.is_empty() { Ok(Some(ring)) } else { Err(self.refusal(&missing)) }
    }

    fn refusal(&self, missing: &[&str]) -> String {
        let missing = missing.join(", ");
        if self.keys.is_empty() {
            return format!("it is encrypted, and DATA_KEY is not set: set it to the key {missing}");
        }
        let given: Vec<_> = self.keys.0.iter().map(DataKey::name).collect();
        format!(
            "DATA_KEY is not the key it is encrypted with, or not all of them: {missing} is missing, {} is given. Put the missing key behind the \
             others; once `ringback rekey` has run with both, it is not needed any more",
            given.join(", ")
        )
    }

    /// The note once everything is sealed with the newest key.
    pub(super) fn rekeyed(&self, note: &[u8]) -> Option<Vec<u8>> {
        let mut ring: Ring = serde_json::from_slice(note).ok()?;
        let newest = self.newest()?;
        ring.index.retain(|name, _| *name == newest);
        ring.plain = false;
        serde_json::to_vec(&ring).ok()
    }

    /// Seals, if there is a key.
    pub(super) fn seal(&self, place: Place<'_>, bytes: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        match self.keys.0.first() {
            Some(key) => key.seal(place.call(), &place.part(), &bytes),
            None => Ok(bytes),
        }
    }

    /// What was sealed; `None` when nothing was.
    pub(super) fn open(&self, place: Place<'_>, stored: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some((id, nonce, sealed)) = Self::split(stored) else { return Ok(None) };
        let unknown =
            || StoreError::Unavailable(format!("a value is encrypted with the key {}, which DATA_KEY does not have", hex::encode(id)));
        let key = self.keys.of(id).ok_or_else(unknown)?;
        let opened = key.open(place.call(), &place.part(), nonce, sealed).or_else(|| match place {
            // It may have come before anybody knew which call it is about.
            Place::Body { call: Some(_), .. } => key.open("", &place.part(), nonce, sealed),
            _ => None,
        });
        let broken = || StoreError::Unavailable("an encrypted value is broken, or not in its place".to_owned());
        opened.map(Some).ok_or_else(broken)
    }

    /// Was this sealed with the newest key?
    pub(super) fn is_current(&self, stored: &[u8]) -> bool {
        let newest = self.keys.0.first().map(|key| &key.id[..]);
        Self::split(stored).map(|(id, _, _)| id) == newest
    }

    fn split(stored: &[u8]) -> Option<(&[u8], [u8; NONCE_LEN], &[u8])> {
        let (id, rest) = stored.strip_prefix(MAGIC)?.split_at_checked(ID_BYTES)?;
        let (nonce, sealed) = rest.split_first_chunk()?;
        Some((id, *nonce, sealed))
    }

    fn known(&self) -> Option<Arc<Index>> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn index(&self) -> Option<Arc<Index>> {
        self.known().filter(|_| self.is_locked())
    }

    /// Hides what tells about people. What stays plain: the ids of call, assistant and request, status, times, reasons.
    pub(super) fn hide(&self, id: &CallId, record: &CallRecord, columns: &mut Columns) {
        let Some(index) = self.index() else { return };
        for digits in [&mut columns.customer_digits, &mut columns.provider_digits].into_iter().flatten() {
            *digits = index.hash(&["phone", digits]);
        }
        for (name, value) in [("providerId", &mut columns.provider_id), ("correlationId", &mut columns.correlation_id)] {
            if let Some(value) = value {
                *value = index.hash(&[name, value]);
            }
        }
        if !columns.metadata.is_empty() {
            let mut pairs: BTreeMap<String, String> = serde_json::from_str(&columns.metadata).unwrap_or_default();
            for (key, value) in &mut pairs {
                *value = index.hash(&["metadata", key, value]);
            }
            columns.metadata = serde_json::to_string(&pairs).unwrap_or_default();
        }
        let reason = record.ended_reason.as_ref().map(|it| it.value.as_str());
        let words = [columns.assistant_id.as_deref(), columns.service_request_id.as_deref(), reason];
        let words = [id.as_str(), columns.status, columns.call_status, columns.data_status].into_iter().chain(words.into_iter().flatten());
        columns.search = Some(words.collect::<Vec<_>>().join("\n").to_lowercase());
    }

    /// The same for what is looked for. As long as there may be values from before the first key, they are looked for too.
    pub(super) fn hide_filter(&self, mut filter: CallFilter) -> CallFilter {
        let Some(index) = self.index() else { return filter };
        for (name, values) in
            [("phone", &mut filter.phone), ("providerId", &mut filter.provider_id), ("correlationId", &mut filter.correlation_id)]
        {
            index.hide_all(values, |value| index.hash(&[name, value]));
        }
        for (key, values) in &mut filter.metadata {
            index.hide_all(values, |value| index.hash(&["metadata", key, value]));
        }
        filter
    }

    /// What other programs may read in clear: no text, no number, no metadata, no body.
    pub(super) fn hide_published(&self, row: PublishedRow) -> PublishedRow {
        if !self.is_locked() {
            return row;
        }
        PublishedRow {
            customer_phone: None,
            transcript: None,
            messages: None,
            analysis_summary: None,
            analysis_structured_data: None,
            analysis_success_evaluation: None,
            structured_outputs: None,
            provider_name: None,
            provider_phone: None,
            service_type: None,
            location: None,
            user_criteria: None,
            urgency: None,
            correlation_id: None,
            overall_feedback: None,
            metadata: None,
            raw_webhook_payload: None,
            ..row
        }
    }
}

impl Index {
    fn hash(&self, parts: &[&str]) -> String {
        let parts: Vec<_> = parts.iter().map(|part| part.as_bytes()).collect();
        hex::encode(&hash(self.key.expose_secret(), &parts)[..HASH_BYTES])
    }

    fn hide_all(&self, values: &mut Vec<String>, hash: impl Fn(&str) -> String) {
        let hashes: Vec<_> = values.iter().map(|value| hash(value)).collect();
        if !self.plain {
            values.clear();
        }
        values.extend(hashes);
    }
}

#[cfg(test)]
mod tests;
