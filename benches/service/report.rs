//! The reports that are sent: in the shape of real ones, each about another call.

use ringback::{
    call::{
        id::CallId,
        time::Millis,
        view::{CallResult, Meta, View},
    },
    registry,
    simulate::{
        CallScript, bodies,
        script::{Entry, Voice},
    },
    vapi::message::{self, Delivery},
};
use serde_json::{Value, json};

/// Stands where each report has its own call id.
pub(crate) const PLACEHOLDER: &str = "00000000-0000-7000-8000-000000000000";
/// Words of the conversations. Drawn at random they compress about as well as what people say.
const WORDS: &str = "the to and a you it is that we of in for on have can be do this with your are not will at so if just what or \
    would there my they one was but about all get how time up when work out some like know here as from then thank yes no okay right \
    need Thursday morning afternoon tomorrow Friday week available appointment rate hour dollars eighty ninety hundred estimate charge \
    visit water heater kitchen bathroom pipe leak faucet drain licensed insured warranty experience technician manager office schedule \
    calendar address street confirm number call back email question customer client assistant plumbing repair replace install emergency \
    service weekend parts labor minimum travel fee invoice deposit cancel reschedule before after between around probably definitely \
    sure great perfect sounds good moment please sorry understand really actually maybe anything else help today next month earliest \
    possible quote price total cost extra include quality review criteria requirement single person team truck tools material";
/// Words of a line.
const LINE: std::ops::RangeInclusive<u64> = 4..=30;

/// Bodies that differ in nothing but their call's id.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    body: Vec<u8>,
    /// Where the id stands in the body.
    places: Vec<usize>,
    /// Bytes of the answer that Ringback makes of it.
    answer: usize,
}

impl Template {
    /// A report whose body has about so many bytes.
    pub(crate) fn of_body(bytes: usize) -> Self {
        Self::largest(|template| template.body.len() <= bytes)
    }

    /// A report of whose call the answer has about so many bytes.
    pub(crate) fn of_answer(bytes: usize) -> Self {
        Self::largest(|template| template.answer <= bytes)
    }

    /// The longest conversation that fits.
    fn largest(fits: impl Fn(&Self) -> bool) -> Self {
        let mut lines = 1;
        while fits(&Self::of_lines(lines * 2)) {
            lines *= 2;
        }
        let mut step = lines / 2;
        while step > 0 {
            if fits(&Self::of_lines(lines + step)) {
                lines += step;
            }
            step /= 2;
        }
        Self::of_lines(lines)
    }

    fn of_lines(lines: usize) -> Self {
        let now = ringback::clock::Clock::System.now();
        let script = script(now, lines);
        let body = bodies::end_of_call_report(&script, now).to_string().into_bytes();
        let read = message::read(&body, Delivery::default(), now).expect("our own report can be read");
        let id = CallId::parse(PLACEHOLDER).expect("the placeholder is an id");
        let result = CallResult::of(&id, &read.event.facts, Meta::default(), View::Full, "");
        let answer = registry::answer(&result, true).len();
        let places = body.windows(PLACEHOLDER.len()).enumerate().filter(|(_, part)| *part == PLACEHOLDER.as_bytes()).map(|(at, _)| at);
        Self { places: places.collect(), answer, body }
    }

    /// The body about one call.
    pub(crate) fn about(&self, id: &str) -> Vec<u8> {
        let mut body = self.body.clone();
        for at in &self.places {
            body[*at..*at + PLACEHOLDER.len()].copy_from_slice(id.as_bytes());
        }
        body
    }
}

/// The id of call number `index` of run number `run`.
pub(crate) fn id(run: u32, index: u32) -> String {
    format!("{run:08x}-0000-7000-8000-{index:012x}")
}

/// What is said in a conversation of so many lines; the same for the same seed.
pub(crate) fn conversation(seed: u64, lines: usize) -> Vec<String> {
    let mut chance = Chance(seed);
    (0..lines).map(|_| chance.line()).collect()
}

/// A call of a transient assistant with a long prompt and tools, as they are placed for providers.
fn script(now: Millis, lines: usize) -> CallScript {
    let mut chance = Chance(0x5eed);
    let said: Vec<String> = (0..lines).map(|_| chance.line()).collect();
    let turns = [Voice::Bot, Voice::User].into_iter().cycle().zip(said.iter().map(String::as_str));
    let created = now.plus(-10_000 - i64::try_from(lines).unwrap_or_default() * 2_900);
    let script = CallScript::talk(PLACEHOLDER, created)
        .with_talk(turns)
        .with_assistant(assistant(&mut chance))
        .with_metadata(json!({
            "providerName": "Springfield Plumbing", "providerPhone": "+15550199123", "serviceNeeded": "plumbing", "location": "Springfield",
            "userCriteria": "licensed and insured", "urgency": "within_2_days", "serviceRequestId": PLACEHOLDER, "providerId": PLACEHOLDER,
        }))
        .with_tool_asked(2, "check_availability", json!({"day": "Thursday"}));
    debug_assert!(script.entries.iter().all(|entry| matches!(entry, Entry::Said { .. } | Entry::Asked { .. } | Entry::Answered { .. })));
    script
}

fn assistant(chance: &mut Chance) -> Value {
    let prompt: Vec<String> = (0..60).map(|_| chance.line()).collect();
    let tool = |name: &str, says: String| {
        json!({"type": "function", "function": {"name": name, "description": says,
            "parameters": {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]}}})
    };
    json!({
        "name": "Concierge-Springfield",
        "model": {
            "provider": "google", "model": "gemini-2.5-flash", "temperature": 0.35,
            "messages": [{"role": "system", "content": prompt.join("\n")}],
            "tools": [tool("check_availability", chance.line()), tool("end_call", chance.line())],
        },
        "voice": {"provider": "11labs", "voiceId": "21m00Tcm4TlvDq8ikWAM", "stability": 0.5, "similarityBoost": 0.75},
        "transcriber": {"provider": "deepgram", "language": "en", "model": "nova-2"},
        "firstMessage": "Hi, is this Springfield Plumbing?",
        "server": {"url": "https://hooks.example.com/api/v1/vapi/webhook", "timeoutSeconds": 20},
        "analysisPlan": {"summaryPlan": {"enabled": true}, "structuredDataPlan": {"enabled": true}},
    })
}

/// The same words in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn line(&mut self) -> String {
        let words: Vec<&str> = WORDS.split_whitespace().collect();
        let count = LINE.start() + self.below(LINE.end() - LINE.start());
        // The square makes the first words the frequent ones.
        let mut pick = || {
            let bound = words.len() as u64;
            let index = self.below(bound) * self.below(bound) / bound;
            words[usize::try_from(index).unwrap_or_default()]
        };
        let line: Vec<&str> = (0..count).map(|_| pick()).collect();
        format!("{}.", line.join(" "))
    }
}
