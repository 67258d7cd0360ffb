//! What is left of a deleted call: a keyed hash of its id, so that the id itself is gone.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::call::id::CallId;

/// Length of key and hash, in bytes.
pub(super) const LENGTH: usize = 32;

/// The hash of one deleted call's id.
pub(super) type TombstoneHash = [u8; LENGTH];

/// The random key of one store. Without it nobody can try ids against the hashes.
#[derive(Clone)]
pub(super) struct TombstoneKey([u8; LENGTH]);

impl TombstoneKey {
    /// A new key, from the operating system's randomness by way of four version 4 UUIDs (488 random bits).
    pub(super) fn random() -> Self {
        let seed = (0..4).fold(Sha256::new(), |hash, _| hash.chain_update(Uuid::new_v4().as_bytes()));
        Self(seed.finalize().into())
    }

    /// A key that was stored before.
    pub(super) fn from_bytes(bytes: [u8; LENGTH]) -> Self {
        Self(bytes)
    }

    /// The key, to store it.
    pub(super) fn as_bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }

    /// HMAC-SHA256 of the call's id.
    pub(super) fn hash(&self, id: &CallId) -> TombstoneHash {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(id.as_str().as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for TombstoneKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TombstoneKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::TombstoneKey;
    use crate::call::id::CallId;

    #[test]
    fn the_same_key_gives_the_same_hash_and_another_key_another() {
        let (call, other) = (CallId::parse("call-1").unwrap(), CallId::parse("call-2").unwrap());
        let key = TombstoneKey::random();
        let stored = TombstoneKey::from_bytes(*key.as_bytes());
        assert_eq!(key.hash(&call), stored.hash(&call));
        assert_ne!(key.hash(&call), key.hash(&other));
        assert_ne!(key.hash(&call), TombstoneKey::random().hash(&call));
    }

    #[test]
    fn the_hash_is_hmac_sha256() {
        // RFC 4231, test case 2, with the key padded by zeros as HMAC pads it.
        let mut key = [0; super::LENGTH];
        key[..4].copy_from_slice(b"Jefe");
        let mac = <hmac::Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(b"Jefe").unwrap();
        let expected: [u8; 32] = hmac::Mac::finalize(hmac::Mac::chain_update(mac, "a-call")).into_bytes().into();
        assert_eq!(TombstoneKey::from_bytes(key).hash(&CallId::parse("a-call").unwrap()), expected);
    }

    #[test]
    fn the_key_is_not_shown() {
        assert_eq!(format!("{:?}", TombstoneKey::from_bytes([1; 32])), "TombstoneKey(…)");
    }
}
