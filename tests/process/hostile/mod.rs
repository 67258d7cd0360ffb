//! What strangers and broken clients send. Wanted: a clear status where the request reaches routing, no panic, bounded memory, and a
//! service that goes on.
//!
//! Each story is told at two doors: a service whose webhooks need a proof, where a verified sender sends nonsense, and one that takes
//! webhooks of this machine as they come.

mod bodies;
mod crowd;
mod flood;
mod heads;
mod slow;

use crate::support::{
    SECRET,
    home::Home,
    messages::WEBHOOK,
    program::Program,
    service::Service,
    wire::{Answer, Wire, request},
};

/// No story here may make the service use more than this, in KiB.
const MEMORY: u64 = 256 * 1_024;

/// A service, and what it takes to be let in.
struct Door {
    service: Service,
    proof: Vec<(&'static str, &'static str)>,
    _home: Home,
}

impl Door {
    fn open() -> Self {
        let home = Home::new();
        Self { service: Program::in_home(&home).serve(), proof: Vec::new(), _home: home }
    }

    fn guarded() -> Self {
        Self::guarded_with(|program| program)
    }

    fn guarded_with(settings: impl FnOnce(Program) -> Program) -> Self {
        let home = Home::new();
        let service = settings(Program::in_home(&home).set("VAPI_WEBHOOK_SECRET", SECRET)).serve();
        Self { service, proof: vec![("x-vapi-secret", SECRET)], _home: home }
    }

    fn wire(&self) -> Wire {
        self.service.wire()
    }

    /// The head of a webhook up to and without the empty line; `more` are lines of it.
    fn head(&self, more: &str) -> String {
        let proof = self.proof.iter().flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect::<String>();
        format!("POST {WEBHOOK} HTTP/1.1\r\nhost: localhost\r\n{proof}{more}")
    }

    /// A webhook as bytes.
    fn webhook(&self, body: &[u8]) -> Vec<u8> {
        request("POST", WEBHOOK, &self.proof, body)
    }

    /// Posts this as a webhook.
    fn post(&self, body: impl AsRef<[u8]>) -> Answer {
        let mut wire = self.wire();
        // Somebody who refuses need not read it all.
        let _ = wire.send(self.webhook(body.as_ref()));
        wire.answer().unwrap_or_else(|error| panic!("{error}\n{}", self.service.said()))
    }

    /// Sends bytes over a connection of their own and takes what comes back, if anything does.
    fn send(&self, bytes: impl AsRef<[u8]>) -> Option<Answer> {
        let mut wire = self.wire();
        // The other side may have heard enough before all was said.
        let _ = wire.send(bytes);
        wire.answer().ok()
    }

    /// It lives, answers, has not panicked and has not grown too large.
    fn is_well(&self) {
        self.service.is_well();
        let peak = self.service.peak_memory();
        assert!(peak < MEMORY, "{peak} KiB at its peak");
    }
}

/// Tells a story at both doors, and sees whether the service is well afterwards.
fn at_each_door(story: impl Fn(&Door)) {
    for door in [Door::open(), Door::guarded()] {
        story(&door);
        door.is_well();
    }
}
