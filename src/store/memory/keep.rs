//! What the memory store keeps of a call and of an event, and how many bytes that takes.

use std::{io, sync::Arc};

use crate::{
    call::{
        event::{CallEvent, Keep},
        id::CallId,
        measures::Measures,
        time::Millis,
    },
    store::{Columns, StoreError, StoredCall, TimelineEntry, figures::Packed, pack::Packer},
};

/// What an entry takes beside its texts, in bytes: structs, map slots, allocator.
const OVERHEAD: u64 = 1_000;

/// A call, its columns, and who works on it.
#[derive(Debug)]
pub(super) struct NewCall {
    pub(super) call: Arc<StoredCall>,
    pub(super) columns: Columns,
    pub(super) measures: Packed,
    pub(super) lease_until: Option<Millis>,
    pub(super) bytes: u64,
}

impl NewCall {
    pub(super) fn of(call: Arc<StoredCall>, mut columns: Columns) -> Self {
        let search = columns.words(&call).into_owned();
        let mut length = Length(OVERHEAD + len(&search) + len(&columns.metadata));
        columns.search = Some(search);
        // Counting can't fail; if serialising did, the size would only be guessed too small.
        let _ = serde_json::to_writer(&mut length, &call.record);
        let measures = Packed::of(&Measures::of(&call.record, call.created_at), false);
        Self { call, columns, measures, lease_until: None, bytes: length.0 }
    }

    pub(super) fn id(&self) -> &CallId {
        &self.call.id
    }

    /// The later of end and first sight: what retention goes by.
    pub(super) fn age(&self) -> Millis {
        self.columns.ended_at.map_or(self.call.created_at, |ended| ended.max(self.call.created_at))
    }
}

/// An event, or a repeat of one.
#[derive(Debug, Clone)]
pub(super) struct NewEvent {
    pub(super) call_id: Option<CallId>,
    pub(super) keep: Keep,
    pub(super) folded: bool,
    pub(super) entry: TimelineEntry,
    /// Compressed.
    pub(super) body: Option<Arc<[u8]>>,
    /// Length of the body before compression.
    pub(super) body_length: usize,
}

impl NewEvent {
    pub(super) fn of(event: CallEvent, changed: Vec<String>, version: Option<u64>, packer: &Packer) -> Result<Self, StoreError> {
        let body = match event.keep {
            Keep::Nothing => None,
            Keep::Whole | Keep::Replacing if event.body.is_empty() => None,
            Keep::Whole | Keep::Replacing => Some(Arc::from(packer.pack(&event.body)?)),
        };
        let entry = TimelineEntry {
            at: event.received_at,
            kind: event.kind.as_str().to_owned(),
            source: event.source,
            event_id: event.id,
            sent_at: event.sent_at,
            proof: event.proof.map(str::to_owned),
            duplicate: false,
            changed,
            version,
            details: event.details,
            folded: event.folded,
            body: None,
        };
        Ok(Self { call_id: event.call_id, keep: event.keep, folded: event.folded, entry, body, body_length: event.body.len() })
    }

    /// The note that `self` arrived once more, as this delivery.
    pub(super) fn repeat(&self, delivery: &Self) -> Self {
        let entry = TimelineEntry {
            at: delivery.entry.at,
            sent_at: delivery.entry.sent_at,
            proof: delivery.entry.proof.clone(),
            duplicate: true,
            changed: Vec::new(),
            version: None,
            details: None,
            ..self.entry.clone()
        };
        Self { call_id: self.call_id.clone(), keep: Keep::Whole, folded: true, entry, body: None, body_length: 0 }
    }

    pub(super) fn bytes(&self) -> u64 {
        OVERHEAD / 2 + self.body.as_ref().map_or(0, |body| body.len() as u64) + self.entry.details.as_deref().map_or(0, len)
    }

    /// The entry that a timeline shows; with its body if there is a packer to unpack it.
    pub(super) fn into_entry(self, packer: Option<&Packer>) -> Result<TimelineEntry, StoreError> {
        let body = packer.zip(self.body).map(|(packer, packed)| packer.unpack_text(&packed)).transpose()?;
        Ok(TimelineEntry { body, ..self.entry })
    }
}

fn len(text: &str) -> u64 {
    text.len() as u64
}

/// Counts what is written to it.
struct Length(u64);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
