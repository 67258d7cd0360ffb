//! One commit, as the script takes it.

use serde::{Deserialize, Serialize};

use super::{
    figures,
    keys::{marks, moments},
};
use crate::{
    call::{
        event::{CallEvent, Keep},
        id::CallId,
        time::Millis,
    },
    store::{CallWrite, Commit, Due, StoreError, pack::Packer, queue::Encoded, tombstone::TombstoneKey, vault::Place},
};

/// This release, noted with events that it could not read.
pub(super) const APP: &str = env!("CARGO_PKG_VERSION");
/// What a commit takes on the server beside its blobs, in bytes, about.
const ROW_BYTES: usize = 2_000;

/// What stays with an event whatever becomes of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) kind: String,
    pub(super) sent_at: Option<Millis>,
    pub(super) proof: Option<String>,
}

/// What came of an event.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) changed: Vec<String>,
    pub(super) version: Option<u64>,
    pub(super) details: Option<String>,
}

/// A repeat of an event.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) at: Millis,
    pub(super) sent_at: Option<Millis>,
    pub(super) proof: Option<String>,
}

/// A commit with everything costly done already: serialised, compressed, hashed.
#[derive(Debug)]
pub(super) struct EncodedCommit {
    /// In the order in which the script reads them.
    pub(super) arguments: Vec<Vec<u8>>,
}

impl EncodedCommit {
    pub(super) fn of(commit: Commit, tombstones: &TombstoneKey, packer: &Packer) -> Result<Self, StoreError> {
        let Commit { event, changed, more, past, write } = commit;
        let id = write.as_ref().map(|write| &write.call.id).or(event.call_id.as_ref());
        let grave = id.map(|id| tombstones.hash(id).to_vec()).unwrap_or_default();
        let version = write.as_ref().map(|write| write.call.version);
        let mut all = Arguments { list: vec![grave], packer };
        all.event(&event, &Told { changed: changed.into_iter().map(str::to_owned).collect(), version, details: event.details.clone() })?;
        all.text(&(more.len() + past.len()));
        for event in &more {
            all.event(event, &Told { changed: Vec::new(), version, details: event.details.clone() })?;
        }
        for it in past {
            all.event(&it.event, &Told { changed: it.changed, version: it.version, details: it.event.details.clone() })?;
        }
        all.text(&u8::from(write.is_some()));
        if let Some(mut write) = write {
            packer.vault().hide(&write.call.id, &write.call.record, &mut write.columns);
            let write = &write;
            all.write(write)?;
        }
        Ok(Self { arguments: all.list })
    }
}

impl Encoded for EncodedCommit {
    fn weight(&self) -> usize {
        ROW_BYTES + self.arguments.iter().map(Vec::len).sum::<usize>()
    }
}

/// The kind and the time of something due; two empty texts when nothing is.
pub(super) fn due(due: Option<Due>) -> [String; 2] {
    due.map_or_else(Default::default, |due| [due.urgency().to_string(), due.at.0.to_string()])
}

struct Arguments<'a> {
    list: Vec<Vec<u8>>,
    packer: &'a Packer,
}

impl Arguments<'_> {
    fn text(&mut self, value: &(impl ToString + ?Sized)) {
        self.list.push(value.to_string().into_bytes());
    }

    fn json(&mut self, value: &impl Serialize) -> Result<(), StoreError> {
        let json =
            serde_json::to_vec(value).map_err(|error| StoreError::Unavailable(format!("a value can't be written as JSON: {error}")))?;
        self.list.push(json);
        Ok(())
    }

    /// `EVENT` of the script.
    fn event(&mut self, event: &CallEvent, told: &Told) -> Result<(), StoreError> {
        let proof = event.proof.map(str::to_owned);
        self.text(&event.id);
        self.text(&event.call_id.as_ref().map_or("", CallId::as_str));
        self.text(match event.keep {
            Keep::Whole => "whole",
            Keep::Replacing => "replacing",
            Keep::Nothing => "nothing",
        });
        self.text(&event.source);
        self.text(&event.received_at.0);
        self.text(&u8::from(event.folded));
        self.text(&if event.folded { "" } else { APP });
        self.text(&event.body.len());
        self.json(&Meta { kind: event.kind.as_str().to_owned(), sent_at: event.sent_at, proof: proof.clone() })?;
        self.json(told)?;
        self.json(&Note { at: event.received_at, sent_at: event.sent_at, proof })?;
        let has_body = event.keep != Keep::Nothing && !event.body.is_empty();
        let place = Place::Body { call: event.call_id.as_ref().map(CallId::as_str), event: &event.id };
        self.list.push(if has_body { self.packer.seal(place, &event.body)? } else { Vec::new() });
        Ok(())
    }

    /// `WRITE` of the script.
    fn write(&mut self, write: &CallWrite) -> Result<(), StoreError> {
        let (call, columns) = (&write.call, &write.columns);
        self.text(&call.id);
        self.text(&write.expected.map_or_else(String::new, |revision| revision.to_string()));
        self.text(&call.revision);
        self.text(&call.version);
        self.text(&call.created_at.0);
        self.text(&call.updated_at.0);
        for part in due(call.due) {
            self.text(&part);
        }
        self.text(&moments(call, columns));
        self.text(&marks(columns));
        self.list.push(self.packer.pack(columns.words(call).as_bytes())?);
        self.list.push(self.packer.seal_json(Place::Record(call.id.as_str()), &call.record)?);
        self.text(&call.news);
        self.list.push(figures::written(call, self.packer.vault().is_locked()));
        self.text(&write.news.len());
        for item in &write.news {
            self.text(&item.at.0);
            self.text(&item.sequence);
            self.text(item.kind.as_str());
            self.text(item.about.as_deref().unwrap_or_default());
        }
        Ok(())
    }
}
