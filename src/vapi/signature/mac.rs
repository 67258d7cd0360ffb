//! Keyed hashes, and how they are written down.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_PAD_INDIFFERENT, URL_SAFE_PAD_INDIFFERENT},
};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use subtle::{Choice, ConstantTimeEq};

/// The hash under an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Sha1,
    Sha256,
    Sha512,
}

impl Algorithm {
    /// How many bytes its MAC has.
    fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// How the bytes of a MAC are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Hex,
    Base64,
}

impl Encoding {
    /// Reads a MAC; `None` when `text` has not the shape of one of `algorithm`.
    pub(super) fn decode(self, text: &[u8], algorithm: Algorithm) -> Option<Vec<u8>> {
        // Hexadecimal is the longest way to write one: anything longer is not even decoded.
        if text.len() > 2 * algorithm.length() {
            return None;
        }
        let bytes = match self {
            Self::Hex => hex::decode(text).ok(),
            Self::Base64 => base64(text),
        };
        bytes.filter(|bytes| bytes.len() == algorithm.length())
    }
}

/// Reads base64 in the standard or the URL alphabet, padded or not.
pub(super) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD_PAD_INDIFFERENT.decode(text).or_else(|_| URL_SAFE_PAD_INDIFFERENT.decode(text)).ok()
}

/// A key, already worked into the hash: the secret itself cannot be read from it.
#[derive(Debug)]
pub(super) enum Key {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha512(Hmac<Sha512>),
}

impl Key {
    pub(super) fn new(algorithm: Algorithm, secret: &[u8]) -> Self {
        match algorithm {
            Algorithm::Sha1 => Self::Sha1(keyed(secret)),
            Algorithm::Sha256 => Self::Sha256(keyed(secret)),
            Algorithm::Sha512 => Self::Sha512(keyed(secret)),
        }
    }

    /// Is the MAC of all `pieces`, one after another, among the `claimed`? Takes as long whichever it is.
    pub(super) fn signs<'a>(&self, pieces: impl Iterator<Item = &'a [u8]>, claimed: &[Vec<u8>]) -> bool {
        match self {
            Self::Sha1(key) => among(key, pieces, claimed),
            Self::Sha256(key) => among(key, pieces, claimed),
            Self::Sha512(key) => among(key, pieces, claimed),
        }
    }
}

fn keyed<M: KeyInit>(secret: &[u8]) -> M {
    M::new_from_slice(secret).expect("HMAC takes keys of any length")
}

fn among<'a, M: Mac + Clone>(key: &M, pieces: impl Iterator<Item = &'a [u8]>, claimed: &[Vec<u8>]) -> bool {
    let mut mac = key.clone();
    pieces.for_each(|piece| mac.update(piece));
    let right = mac.finalize().into_bytes();
    claimed.iter().fold(Choice::from(0), |found, signature| found | right[..].ct_eq(signature)).into()
}

#[cfg(test)]
mod tests {
    use super::{Algorithm, Encoding, Key};

    /// RFC 2202 and RFC 4231, test case 2.
    const VECTORS: [(Algorithm, &str); 3] = [
        (Algorithm::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
        (Algorithm::Sha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            Algorithm::Sha512,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
    ];

    #[test]
    fn the_vectors_of_the_rfcs_hold_however_the_text_is_cut() {
        for (algorithm, hex) in VECTORS {
            let signature = Encoding::Hex.decode(hex.as_bytes(), algorithm).expect("the vector has the right shape");
            let key = Key::new(algorithm, b"Jefe");
            let whole: [&[u8]; 1] = [b"what do ya want for nothing?"];
            let cut: [&[u8]; 4] = [b"what do ya ", b"", b"want for ", b"nothing?"];
            let other = vec![0; signature.len()];
            assert!(key.signs(whole.into_iter(), std::slice::from_ref(&signature)));
            assert!(key.signs(cut.into_iter(), &[other.clone(), signature.clone()]));
            assert!(!key.signs(whole.into_iter(), &[other]));
            assert!(!key.signs(whole.into_iter(), &[]));
            assert!(!key.signs(whole.into_iter(), &[signature[1..].to_vec(), vec![]]));
            assert!(!Key::new(algorithm, b"Jeff").signs(whole.into_iter(), &[signature]));
        }
    }

    #[test]
    fn only_the_shape_of_a_mac_is_read() {
        let all_ones: Option<Vec<u8>> = Some(vec![0xff; 32]);
        let base64 = format!("{}8", "_".repeat(42));
        for (encoding, text, expected) in [
            (Encoding::Hex, "f".repeat(64), &all_ones),
            (Encoding::Hex, "F".repeat(64), &all_ones),
            (Encoding::Hex, "f".repeat(63), &None),
            (Encoding::Hex, "f".repeat(62), &None),
            (Encoding::Hex, "f".repeat(66), &None),
            (Encoding::Hex, "g".repeat(64), &None),
            (Encoding::Hex, String::new(), &None),
            (Encoding::Base64, base64.clone(), &all_ones),
            (Encoding::Base64, format!("{base64}="), &all_ones),
            (Encoding::Base64, base64.replace('_', "/"), &all_ones),
            (Encoding::Base64, format!("{base64}=="), &None),
            (Encoding::Base64, "_".repeat(43), &None),
            (Encoding::Base64, "_".repeat(40), &None),
            (Encoding::Base64, "f".repeat(64), &None),
        ] {
            assert_eq!(encoding.decode(text.as_bytes(), Algorithm::Sha256), *expected, "{encoding:?} {text}");
        }
    }
}
