//! Somebody who is told: a small HTTP server on threads, for it has to outlive services that are killed.

use std::{
    collections::BTreeSet,
    io::Write as _,
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use serde_json::Value;

use super::{random_below, target::Got};

/// One event in so many is refused when it comes for the first time.
const REFUSED: u64 = 12;

/// An event as it came.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) call: String,
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) sequence: u64,
}

/// A server on a loopback port; its thread ends with the test's process.
pub(crate) struct Subscriber {
    pub(crate) url: String,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Default)]
struct Memory {
    told: Vec<Told>,
    /// Ids of events that were refused, once.
    refused: BTreeSet<String>,
}

impl Subscriber {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let memory: Arc<Mutex<Memory>> = Arc::default();
        let all = Arc::clone(&memory);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let all = Arc::clone(&all);
                thread::spawn(move || answer(&stream, &all));
            }
        });
        Self { url, memory }
    }

    /// Everything that was told and taken so far, in order.
    pub(crate) fn told(&self) -> Vec<Told> {
        locked(&self.memory).told.clone()
    }
}

fn locked(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes one request; one that is cut counts for nothing.
fn answer(stream: &TcpStream, memory: &Mutex<Memory>) -> Option<()> {
    let event: Value = serde_json::from_slice(&Got::read(stream)?.body).ok()?;
    let text = |member: &str| event[member].as_str().unwrap_or_default().to_owned();
    let new = Told { call: text("callId"), kind: text("type"), id: text("id"), sequence: event["sequence"].as_u64()? };
    let mut writer = stream;
    let mut memory = locked(memory);
    // Refused twice, it would come again only after five minutes.
    let is_first = !memory.told.iter().any(|known| known.id == new.id) && !memory.refused.contains(&new.id);
    if random_below(REFUSED) == 0 && is_first {
        memory.refused.insert(new.id);
        return writer.write_all(b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").ok();
    }
    memory.told.push(new);
    writer.write_all(b"HTTP/1.1 204 Fine\r\nconnection: close\r\n\r\n").ok()
}
