//! How records and bodies are written down: JSON, compressed with zstd at level 1, which costs less than writing the bytes it saves.

use serde::{Serialize, de::DeserializeOwned};

use super::StoreError;

/// zstd's fastest regular level: higher ones cost more time than the saved bytes are worth.
const LEVEL: i32 = 1;
/// No stored value unpacks to more than this, in bytes: far above `MAX_BODY_MB`, and a bound for what a broken file can ask for.
const MAX_UNPACKED: u64 = 1 << 30;

/// Compresses `bytes`.
pub(super) fn pack(bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
    zstd::bulk::compress(bytes, LEVEL).map_err(|error| StoreError::Unavailable(format!("a value can't be compressed: {error}")))
}

/// What [`pack`] was given.
pub(super) fn unpack(packed: &[u8]) -> Result<Vec<u8>, StoreError> {
    let broken = || StoreError::Unavailable("a stored value is broken".to_owned());
    let size = zstd::zstd_safe::get_frame_content_size(packed).ok().flatten().filter(|size| *size <= MAX_UNPACKED).ok_or_else(broken)?;
    let capacity = usize::try_from(size).ok().ok_or_else(broken)?;
    zstd::bulk::decompress(packed, capacity).ok().ok_or_else(broken)
}

/// Writes a value as compressed JSON.
pub(super) fn pack_json<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    let json = serde_json::to_vec(value).map_err(|error| StoreError::Unavailable(format!("a value can't be written as JSON: {error}")))?;
    pack(&json)
}

/// Reads what [`pack_json`] wrote.
pub(super) fn unpack_json<T: DeserializeOwned>(packed: &[u8]) -> Result<T, StoreError> {
    let json = unpack(packed)?;
    serde_json::from_slice(&json).map_err(|error| StoreError::Unavailable(format!("a stored value can't be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::{pack, pack_json, unpack, unpack_json};

    #[test]
    fn what_was_packed_comes_out_again() {
        for bytes in [&b""[..], b"x", &[0; 100_000], "grüße".as_bytes()] {
            assert_eq!(unpack(&pack(bytes).unwrap()).unwrap(), bytes);
        }
    }

    #[test]
    fn words_that_repeat_take_little_room() {
        let body = "the same words again ".repeat(3_000);
        assert!(pack(body.as_bytes()).unwrap().len() < 300);
    }

    #[test]
    fn broken_bytes_are_an_error_and_no_panic() {
        let mut cut = pack(&[7; 5_000]).unwrap();
        cut.truncate(cut.len() - 1);
        for broken in [&b""[..], b"no frame", &[0x28, 0xb5, 0x2f, 0xfd], &cut] {
            assert!(unpack(broken).is_err(), "{broken:?}");
        }
        assert!(unpack_json::<u64>(&pack(b"\"a text\"").unwrap()).is_err());
    }

    #[test]
    fn values_travel_as_json() {
        let words = vec!["one".to_owned(), "two".to_owned()];
        assert_eq!(unpack_json::<Vec<String>>(&pack_json(&words).unwrap()).unwrap(), words);
    }
}
