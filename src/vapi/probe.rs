//! The message by which `ringback doctor` tries the way that Vapi's webhooks take. It is no message of Vapi's: it is proven like one, answered
//! 200, counted, and changes nothing.

use serde::Deserialize;
use serde_json::{Value, json};

/// Its `message.type`.
pub const TYPE: &str = "ringback.doctor";
/// Marks such a message that is sent without a proof, to see it refused: it is counted apart, so that no alert about refusals goes off.
pub const HEADER: &str = "x-ringback-doctor";
/// A longer body is no such message, in bytes: webhooks are not parsed for nothing.
const LONGEST_BODY: usize = 512;
/// Characters of the longest word that is said back.
const LONGEST_NONCE: usize = 64;

#[derive(Deserialize)]
struct Body {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    r#type: String,
    nonce: String,
}

/// The message with a word in it that nobody can guess.
#[must_use]
pub fn body(nonce: &str) -> Value {
    json!({"message": {"type": TYPE, "nonce": nonce}})
}

/// The word of such a message; `None` if it is another.
#[must_use]
pub fn nonce_of(body: &[u8]) -> Option<String> {
    if body.len() > LONGEST_BODY {
        return None;
    }
    let Body { message } = serde_json::from_slice(body).ok()?;
    let is_word = !message.nonce.is_empty()
        && message.nonce.len() <= LONGEST_NONCE
        && message.nonce.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (message.r#type == TYPE && is_word).then_some(message.nonce)
}

/// What is answered: the word comes back, so that whoever sent it knows that a Ringback took it.
#[must_use]
pub fn answer(nonce: &str) -> Value {
    let message = "A test event of `ringback doctor`; nothing was changed.";
    json!({"success": true, "status": "success", "received": true, "message": message, "callId": null, "nonce": nonce})
}

#[cfg(test)]
mod tests {
    use super::{body, nonce_of};

    #[test]
    fn only_a_doctors_message_is_one() {
        assert_eq!(nonce_of(body("a-1").to_string().as_bytes()).as_deref(), Some("a-1"));
        let long = body(&"a".repeat(65)).to_string();
        let large = format!("{}{}", body("a"), " ".repeat(600));
        for other in ["", "{}", r#"{"message":{"type":"hang","nonce":"a"}}"#, r#"{"message":{"type":"ringback.doctor"}}"#, &long, &large] {
            assert_eq!(nonce_of(other.as_bytes()), None, "{other}");
        }
        assert_eq!(nonce_of(body("<b>").to_string().as_bytes()), None, "it is said back");
    }
}
