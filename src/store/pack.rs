//! How records and bodies are written down: JSON, compressed with zstd at level 1, which costs less than writing the bytes it saves; then, with
//! a `DATA_KEY`, encrypted.

use std::{
    borrow::Cow,
    fmt,
    sync::{Mutex, PoisonError},
};

use serde::{Serialize, de::DeserializeOwned};
use zstd::{
    bulk::{Compressor, Decompressor},
    zstd_safe::compress_bound,
};

use super::{
    StoreError,
    vault::{DataKeys, Place, Vault},
};

/// zstd's fastest regular level: higher ones cost more time than the saved bytes are worth.
const LEVEL: i32 = 1;
/// A room larger than this many bytes is not kept for the next time.
const MOST_ROOM: usize = 1 << 20;
/// Room for a value's JSON to begin with, in bytes: most records fit in.
const JSON_ROOM: usize = 16_384;
/// No stored value unpacks to more than this, in bytes: far above `MAX_BODY_MB`, and a bound for what a broken file can ask for.
const MAX_UNPACKED: u64 = 1 << 30;

/// Packs and unpacks. It keeps the work space of zstd for the next time: to make it anew takes a tenth of the time of packing a report.
#[derive(Default)]
pub(super) struct Packer {
    compressors: Mutex<Vec<Press>>,
    decompressors: Mutex<Vec<Decompressor<'static>>>,
    vault: Vault,
}

/// A compressor, and the room it writes into.
struct Press {
    compressor: Compressor<'static>,
    room: Vec<u8>,
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Packer")
    }
}

/// Takes an idle tool, or makes one.
fn idle<T>(tools: &Mutex<Vec<T>>, make: impl FnOnce() -> std::io::Result<T>) -> std::io::Result<T> {
    let idle = tools.lock().unwrap_or_else(PoisonError::into_inner).pop();
    idle.map_or_else(make, Ok)
}

fn put_back<T>(tools: &Mutex<Vec<T>>, tool: T) {
    tools.lock().unwrap_or_else(PoisonError::into_inner).push(tool);
}

impl Packer {
    /// Packs under these keys.
    pub(super) fn new(keys: DataKeys) -> Self {
        Self { vault: Vault::new(keys), ..Self::default() }
    }

    /// What encrypts.
    pub(super) fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Compresses `bytes`.
    pub(super) fn pack(&self, bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
        let pack = || {
            let mut press = idle(&self.compressors, || Ok(Press { compressor: Compressor::new(LEVEL)?, room: Vec::new() }))?;
            press.room.clear();
            press.room.reserve(compress_bound(bytes.len()));
            press.compressor.compress_to_buffer(bytes, &mut press.room)?;
            // Exactly as long as it is: the room for the worst case would be held while the writer is waited for.
            let packed = press.room.as_slice().to_vec();
            if press.room.capacity() <= MOST_ROOM {
                put_back(&self.compressors, press);
            }
            Ok(packed)
        };
        pack().map_err(|error: std::io::Error| StoreError::Unavailable(format!("a value can't be compressed: {error}")))
    }

    /// What [`Self::pack`] was given.
    pub(super) fn unpack(&self, packed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let unpack = || {
            let size = zstd::zstd_safe::get_frame_content_size(packed).ok()??;
            let capacity = usize::try_from(size).ok().filter(|_| size <= MAX_UNPACKED)?;
            let mut decompressor = idle(&self.decompressors, Decompressor::new).ok()?;
            let bytes = decompressor.decompress(packed, capacity);
            put_back(&self.decompressors, decompressor);
            bytes.ok()
        };
        unpack().ok_or_else(|| StoreError::Unavailable("a stored value is broken".to_owned()))
    }

    /// The text that was packed. Should it be none, what can't be read is replaced: half a timeline is better than none.
    pub(super) fn unpack_text(&self, packed: &[u8]) -> Result<String, StoreError> {
        self.unpack(packed).map(lossy)
    }

    /// A text that may have been packed, or stand there as it is: no text begins like a frame of zstd, for that is no UTF-8.
    pub(super) fn text<'t>(&self, stored: &'t [u8]) -> Result<Cow<'t, str>, StoreError> {
        if stored.starts_with(&zstd::zstd_safe::MAGICNUMBER.to_le_bytes()) {
            self.unpack_text(stored).map(Cow::Owned)
        } else {
            Ok(String::from_utf8_lossy(stored))
        }
    }

    /// Compresses and, if there is a key, encrypts.
    pub(super) fn seal(&self, place: Place<'_>, bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.vault.seal(place, self.pack(bytes)?)
    }

    /// What [`Self::seal`] was given, or what was packed before there was a key.
    pub(super) fn open(&self, place: Place<'_>, stored: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.vault.open(place, stored)?.map_or_else(|| self.unpack(stored), |packed| self.unpack(&packed))
    }

    /// The same for a text. Should it be none, what can't be read is replaced: half a timeline is better than none.
    pub(super) fn open_text(&self, place: Place<'_>, stored: &[u8]) -> Result<String, StoreError> {
        Ok(lossy(self.open(place, stored)?))
    }

    /// The same value under the newest key; `None` when it is that already, or there is no key.
    pub(super) fn reseal(&self, place: Place<'_>, stored: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if !self.vault.is_locked() || self.vault.is_current(stored) {
            return Ok(None);
        }
        let packed = self.vault.open(place, stored)?.unwrap_or_else(|| stored.to_vec());
        self.vault.seal(place, packed).map(Some)
    }

    /// Writes a value as sealed JSON.
    pub(super) fn seal_json<T: Serialize>(&self, place: Place<'_>, value: &T) -> Result<Vec<u8>, StoreError> {
        let mut json = Vec::with_capacity(JSON_ROOM);
        serde_json::to_writer(&mut json, value)
            .map_err(|error| StoreError::Unavailable(format!("a value can't be written as JSON: {error}")))?;
        self.seal(place, &json)
    }

    /// Reads what [`Self::seal_json`] wrote.
    pub(super) fn open_json<T: DeserializeOwned>(&self, place: Place<'_>, stored: &[u8]) -> Result<T, StoreError> {
        let json = self.open(place, stored)?;
        serde_json::from_slice(&json).map_err(|error| StoreError::Unavailable(format!("a stored value can't be read: {error}")))
    }
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|no_text| String::from_utf8_lossy(no_text.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::{Packer, Place};

    const HERE: Place<'_> = Place::Record("call-1");

    #[test]
    fn what_was_packed_comes_out_again() {
        let packer = Packer::default();
        for bytes in [&b""[..], b"x", &vec![0; 100_000], "grüße".as_bytes()] {
            assert_eq!(packer.unpack(&packer.pack(bytes).unwrap()).unwrap(), bytes);
        }
    }

    #[test]
    fn words_that_repeat_take_little_room() {
        let body = "the same words again ".repeat(3_000);
        assert!(Packer::default().pack(body.as_bytes()).unwrap().len() < 300);
    }

    #[test]
    fn broken_bytes_are_an_error_and_no_panic() {
        let packer = Packer::default();
        let mut cut = packer.pack(&[7; 5_000]).unwrap();
        cut.truncate(cut.len() - 1);
        for broken in [&b""[..], b"no frame", &[0x28, 0xb5, 0x2f, 0xfd], &cut] {
            assert!(packer.unpack(broken).is_err(), "{broken:?}");
        }
        assert!(packer.open_json::<u64>(HERE, &packer.pack(b"\"a text\"").unwrap()).is_err());
        assert_eq!(packer.unpack_text(&packer.pack(b"a\xff").unwrap()).unwrap(), "a\u{fffd}");
        assert_eq!(packer.unpack(&packer.pack(b"and goes on").unwrap()).unwrap(), b"and goes on");
    }

    #[test]
    fn values_travel_as_json() {
        let packer = Packer::default();
        let words = vec!["one".to_owned(), "two".to_owned()];
        assert_eq!(packer.open_json::<Vec<String>>(HERE, &packer.seal_json(HERE, &words).unwrap()).unwrap(), words);
    }
}
