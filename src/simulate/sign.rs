//! Signing a webhook in each of the ways that Ringback takes. Written apart from the code that verifies, so that they check each other.

use base64::{Engine, prelude::BASE64_STANDARD};
use clap::ValueEnum;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::call::time::{Millis, SECOND};

/// How a webhook proves where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Auth {
    /// `x-vapi-secret`: the secret itself.
    Secret,
    /// `Authorization: Bearer`: the secret itself.
    Bearer,
    /// `x-vapi-signature`: HMAC-SHA256 of the body, in hex.
    Signature,
    /// Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`. `whsec_…` secrets are base64.
    Standard,
    /// Vapi's HMAC credential as it is unless changed: `x-signature` over `{timestamp}.{body}` in hex, `x-timestamp` in milliseconds.
    Hmac,
}

/// The headers that prove `body`, sent at `now`. Under Standard Webhooks the id follows from the body, so that a repeat is a repeat.
#[must_use]
pub fn headers(auth: Auth, secret: &SecretString, body: &[u8], now: Millis) -> Vec<(&'static str, String)> {
    let id = if auth == Auth::Standard { format!("msg_{:.32}", hex::encode(Sha256::digest(body))) } else { String::new() };
    headers_of(auth, secret, &id, body, now)
}

/// The headers that prove `body`, sent at `now` as the message `id`, which only Standard Webhooks tell.
#[must_use]
pub fn headers_of(auth: Auth, secret: &SecretString, id: &str, body: &[u8], now: Millis) -> Vec<(&'static str, String)> {
    let text = secret.expose_secret();
    match auth {
        Auth::Secret => vec![("x-vapi-secret", text.to_owned())],
        Auth::Bearer => vec![("authorization", format!("Bearer {text}"))],
        Auth::Signature => vec![("x-vapi-signature", hex::encode(mac(text.as_bytes(), &[body])))],
        Auth::Hmac => {
            let timestamp = now.0.to_string();
            let signature = mac(text.as_bytes(), &[timestamp.as_bytes(), b".", body]);
            vec![("x-signature", hex::encode(signature)), ("x-timestamp", timestamp)]
        }
        Auth::Standard => {
            let timestamp = now.0.div_euclid(SECOND).to_string();
            let signature = mac(&standard_key(text), &[id.as_bytes(), b".", timestamp.as_bytes(), b".", body]);
            let signed = format!("v1,{}", BASE64_STANDARD.encode(signature));
            vec![("webhook-id", id.to_owned()), ("webhook-timestamp", timestamp), ("webhook-signature", signed)]
        }
    }
}

/// The key of a Standard Webhooks secret; one that is no base64 is taken as it stands.
fn standard_key(secret: &str) -> Vec<u8> {
    let encoded = secret.strip_prefix("whsec_").and_then(|rest| BASE64_STANDARD.decode(rest).ok());
    encoded.unwrap_or_else(|| secret.as_bytes().to_vec())
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::{Auth, headers, headers_of};
    use crate::call::time::Millis;

    const NOW: Millis = Millis(1_614_265_330_123);

    fn signed(auth: Auth, secret: &str, body: &str) -> Vec<(&'static str, String)> {
        headers(auth, &SecretString::from(secret), body.as_bytes(), NOW)
    }

    #[test]
    fn standard_webhooks_are_signed_as_their_specification_shows() {
        // The example of the specification's reference libraries.
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signed = headers_of(Auth::Standard, &secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", br#"{"test": 2432232314}"#, NOW);
        assert_eq!(signed[1], ("webhook-timestamp", "1614265330".to_owned()));
        assert_eq!(signed[2], ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".to_owned()));
    }

    #[test]
    fn a_plain_secret_signs_standard_webhooks_by_its_own_bytes() {
        let plain = signed(Auth::Standard, "0123456789abcdef", "{}");
        let encoded = signed(Auth::Standard, "whsec_MDEyMzQ1Njc4OWFiY2RlZg==", "{}");
        assert_eq!(plain, encoded);
    }

    #[test]
    fn a_bare_signature_is_the_hmac_of_the_body() {
        // RFC 4231, test case 2.
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signed(Auth::Signature, "Jefe", "what do ya want for nothing?"), [("x-vapi-signature", expected.to_owned())]);
    }

    #[test]
    fn vapis_plan_signs_milliseconds_and_body() {
        let by_plan = signed(Auth::Hmac, "Jefe", "{}");
        let by_hand = signed(Auth::Signature, "Jefe", "1614265330123.{}");
        assert_eq!(by_plan, [("x-signature", by_hand[0].1.clone()), ("x-timestamp", "1614265330123".to_owned())]);
    }

    #[test]
    fn plain_proofs_carry_the_secret() {
        assert_eq!(signed(Auth::Secret, "s3cret", "{}"), [("x-vapi-secret", "s3cret".to_owned())]);
        assert_eq!(signed(Auth::Bearer, "s3cret", "{}"), [("authorization", "Bearer s3cret".to_owned())]);
    }

    #[test]
    fn the_same_body_is_the_same_message_and_another_body_another() {
        let id = |body| signed(Auth::Standard, "0123456789abcdef", body)[0].1.clone();
        assert_eq!(id("{}"), id("{}"));
        assert_ne!(id("{}"), id("[]"));
    }
}
