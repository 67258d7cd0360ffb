//! One commit with everything costly done already: serialised, compressed, hashed, cleaned.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::{
    linking::{Note, notes},
    step::clean,
};
use crate::{
    call::{
        event::{CallEvent, Keep},
        id::CallId,
        measures::Measures,
        news::NewsItem,
    },
    store::{
        CallWrite, Columns, Commit, PublishedRow, StoreError, StoredCall,
        figures::Packed,
        pack::Packer,
        queue::Encoded,
        tombstone::{TombstoneHash, TombstoneKey},
        vault::Place,
    },
};

/// What a row takes beside its blobs, in bytes, about.
const ROW_BYTES: usize = 1_500;
/// This release, noted with events that it could not read.
pub(super) const APP: &str = env!("CARGO_PKG_VERSION");

/// A commit, ready to be decided and written.
#[derive(Debug)]
pub(super) struct EncodedCommit {
    /// Whoever writes about the same thing has the same lock.
    pub(super) lock: i64,
    pub(super) tombstone: Option<TombstoneHash>,
    pub(super) cause: EncodedEvent,
    pub(super) more: Vec<EncodedEvent>,
    pub(super) write: Option<EncodedWrite>,
}

#[derive(Debug)]
pub(super) struct EncodedEvent {
    pub(super) event: CallEvent,
    pub(super) changed: Option<String>,
    pub(super) version: Option<i64>,
    pub(super) body: Option<Vec<u8>>,
    /// Bytes of the body before it was compressed.
    pub(super) length: i64,
}

#[derive(Debug)]
pub(super) struct EncodedWrite {
    pub(super) call: Arc<StoredCall>,
    pub(super) expected: Option<u64>,
    pub(super) columns: Columns,
    /// The text in which words are looked for.
    pub(super) search: String,
    pub(super) measures: Packed,
    pub(super) record: Vec<u8>,
    pub(super) published: Option<Box<Publication>>,
    /// What other programs' tables are to be told.
    pub(super) notes: Vec<Note>,
    pub(super) news: Vec<NewsItem>,
}

/// What other programs are to read of a call.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) row: PublishedRow,
    /// The event whose body is the row's raw payload.
    pub(super) report: Option<String>,
}

/// The lock of whoever writes about a call. It is the same on every instance, and says nothing about the id.
pub(super) fn lock_of(tombstone: &TombstoneHash) -> i64 {
    let (first, _) = tombstone.split_first_chunk().expect("a hash has more than 8 bytes");
    i64::from_be_bytes(*first)
}

impl Encoded for EncodedCommit {
    fn weight(&self) -> usize {
        let events = [&self.cause].into_iter().chain(&self.more).map(|event| event.body.as_ref().map_or(0, Vec::len));
        let write = self.write.as_ref().map_or(0, |write| {
            let published = write.published.as_ref().map_or(0, |it| it.row.weight());
            write.search.len() + write.record.len() + published
        });
        ROW_BYTES + events.sum::<usize>() + write
    }
}

impl EncodedCommit {
    pub(super) fn of(commit: Commit, tombstones: &TombstoneKey, packer: &Packer, links: bool) -> Result<Self, StoreError> {
        let Commit { event, changed, more, past, write } = commit;
        let id = write.as_ref().map(|write| &write.call.id).or(event.call_id.as_ref());
        let tombstone = id.map(|id| tombstones.hash(id));
        let lock = lock_of(&tombstone.unwrap_or_else(|| Sha256::digest(event.id.as_bytes()).into()));
        let version = write.as_ref().map(|write| write.call.version.cast_signed());
        let changed = (!changed.is_empty()).then(|| changed.join(","));
        let report = std::iter::once(&event).chain(&more).find(|event| event.facts.reported && !event.body.is_empty());
        let report = report.map(|event| clean(&event.id).into_owned());
        let cause = EncodedEvent::of(event, changed, version, packer)?;
        let more = more.into_iter().map(|event| EncodedEvent::of(event, None, version, packer));
        let past = past.into_iter().map(|it| {
            let changed = (!it.changed.is_empty()).then(|| it.changed.join(","));
            EncodedEvent::of(it.event, changed, it.version.map(u64::cast_signed), packer)
        });
        let more = more.chain(past).collect::<Result<_, _>>()?;
        let write = write.map(|write| EncodedWrite::of(write, report, packer, links)).transpose()?;
        Ok(Self { lock, tombstone, cause, more, write })
    }
}

impl EncodedEvent {
    fn of(mut event: CallEvent, changed: Option<String>, version: Option<i64>, packer: &Packer) -> Result<Self, StoreError> {
        let has_body = event.keep != Keep::Nothing && !event.body.is_empty();
        event.id = clean(&event.id).into_owned();
        let place = Place::Body { call: event.call_id.as_ref().map(CallId::as_str), event: &event.id };
        let body = has_body.then(|| packer.seal(place, &event.body)).transpose()?;
        let length = i64::try_from(event.body.len()).unwrap_or(i64::MAX);
        event.body = Bytes::new();
        event.source = clean(&event.source).into_owned();
        Ok(Self { event, changed, version, body, length })
    }

    pub(super) fn id(&self) -> &str {
        &self.event.id
    }

    pub(super) fn call_id(&self) -> Option<&str> {
        self.event.call_id.as_ref().map(CallId::as_str)
    }
}

impl EncodedWrite {
    /// `report`: the event that brought the raw payload, if any did. `links`: other programs' tables may be told.
    fn of(write: CallWrite, report: Option<String>, packer: &Packer, links: bool) -> Result<Self, StoreError> {
        let record = packer.seal_json(Place::Record(write.call.id.as_str()), &write.call.record)?;
        let CallWrite { call, expected, mut columns, published, news } = write;
        let notes = if links { notes(&call.record, &columns) } else { Vec::new() };
        packer.vault().hide(&call.id, &call.record, &mut columns);
        let search = columns.words(&call).into_owned();
        let measures = Packed::of(&Measures::of(&call.record, call.created_at), packer.vault().is_locked());
        let published = published.map(|row| {
            let row = packer.vault().hide_published(*row);
            let report = report.filter(|_| row.raw_webhook_payload.is_some());
            Box::new(Publication { row, report })
        });
        Ok(Self { call, expected, columns, search, measures, record, published, notes, news })
    }

    pub(super) fn id(&self) -> &str {
        self.call.id.as_str()
    }
}
