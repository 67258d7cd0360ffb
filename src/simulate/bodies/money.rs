//! Durations and what they cost.

use serde_json::{Value, json};

use crate::{
    call::time::Millis,
    simulate::script::{CallScript, Entry, Voice},
};

/// US dollars that Vapi itself takes for a minute.
const VAPI_A_MINUTE: f64 = 0.05;
/// US dollars for a minute of transcription.
const TRANSCRIBER_A_MINUTE: f64 = 0.0098;
/// US dollars for a character spoken.
const VOICE_A_CHARACTER: f64 = 0.000_05;
/// US dollars for the model, a line.
const MODEL_A_LINE: f64 = 0.000_5;

/// Milliseconds as seconds.
pub(super) fn seconds(milliseconds: i64) -> f64 {
    rounded(real(milliseconds) / 1_000.0)
}

/// Milliseconds as minutes, with four decimals.
pub(super) fn minutes(milliseconds: i64) -> f64 {
    rounded(real(milliseconds) / 60_000.0)
}

/// `cost`, `costBreakdown` and `costs` of a call that began at `started`.
pub(super) fn costs(script: &CallScript, started: Millis) -> Value {
    let length = real(script.ended_at.since(started)) / 60_000.0;
    let spoken = |entry: &Entry| match entry {
        Entry::Said { by: Voice::Bot, text, .. } => text.chars().count(),
        _ => 0,
    };
    let characters: usize = script.entries.iter().map(spoken).sum();
    let tts = rounded(real(characters) * VOICE_A_CHARACTER);
    let (vapi, stt) = (rounded(length * VAPI_A_MINUTE), rounded(length * TRANSCRIBER_A_MINUTE));
    let llm = rounded(real(script.entries.len()) * MODEL_A_LINE);
    let total = rounded(vapi + stt + llm + tts);
    json!({
        "cost": total,
        "costBreakdown": {
            "transport": 0, "stt": stt, "llm": llm, "tts": tts, "vapi": vapi, "chat": 0, "total": total,
            "llmPromptTokens": 2333, "llmCompletionTokens": 174, "ttsCharacters": characters, "knowledgeBaseCost": 0,
        },
        "costs": [
            {"type": "transcriber", "transcriber": {"provider": "deepgram", "model": "nova-2"}, "minutes": length, "cost": stt},
            {"type": "model", "model": {"provider": "openai", "model": "gpt-4o-mini"}, "promptTokens": 2333, "completionTokens": 174, "cost": llm},
            {"type": "voice", "voice": {"provider": "vapi", "voiceId": "Elliot"}, "characters": characters, "cost": tts},
            {"type": "vapi", "subType": "normal", "minutes": length, "cost": vapi},
        ],
    })
}

fn rounded(amount: f64) -> f64 {
    (amount * 10_000.0).round() / 10_000.0
}

/// A count or a span as a real number; exact below 2^53, which neither reaches.
#[expect(clippy::cast_precision_loss, reason = "counts and spans of a call are far below 2^53")]
fn real(count: impl TryInto<i64>) -> f64 {
    count.try_into().unwrap_or_default() as f64
}
