//! One commit: encoded by the caller, written by the writer.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, named_params, params};

use super::{
    news,
    standing::{Standing, Steady},
};
use crate::{
    call::{
        event::{CallEvent, Keep},
        id::CallId,
        measures::Measures,
        news::NewsItem,
        time::Millis,
    },
    store::{
        CallWrite, Columns, Commit, Committed, Due, StoreError, StoredCall,
        figures::Packed,
        pack::Packer,
        tombstone::{TombstoneHash, TombstoneKey},
        vault::Place,
    },
};

/// What a row takes beside its blobs, in bytes, about.
const ROW_BYTES: usize = 1_500;
/// This release, noted with events that it could not read.
pub(super) const APP: &str = env!("CARGO_PKG_VERSION");

/// A commit with everything costly done already: serialised, compressed, hashed.
pub(super) struct EncodedCommit {
    tombstone: Option<TombstoneHash>,
    cause: EncodedEvent,
    more: Vec<EncodedEvent>,
    write: Option<EncodedWrite>,
}

struct EncodedEvent {
    /// Without its body.
    event: CallEvent,
    changed: Option<String>,
    version: Option<i64>,
    /// Bytes of the body as it came.
    length: i64,
    /// The body, packed.
    body: Option<Vec<u8>>,
}

struct EncodedWrite {
    call: Arc<StoredCall>,
    expected: Option<u64>,
    columns: Columns,
    measures: Packed,
    record: Vec<u8>,
    news: Vec<NewsItem>,
}

impl EncodedCommit {
    pub(super) fn of(commit: Commit, tombstones: &TombstoneKey, packer: &Packer) -> Result<Self, StoreError> {
        let Commit { event, changed, more, past, write } = commit;
        let id = write.as_ref().map(|write| &write.call.id).or(event.call_id.as_ref());
        let tombstone = id.map(|id| tombstones.hash(id));
        let version = write.as_ref().map(|write| write.call.version.cast_signed());
        let changed = joined(&changed);
        let cause = EncodedEvent::of(event, changed, version, packer)?;
        let more = more.into_iter().map(|event| EncodedEvent::of(event, None, version, packer));
        let past = past.into_iter().map(|it| EncodedEvent::of(it.event, joined(&it.changed), it.version.map(u64::cast_signed), packer));
        let more = more.chain(past).collect::<Result<_, _>>()?;
        let encode = |mut write: CallWrite| -> Result<EncodedWrite, StoreError> {
            let record = packer.seal_json(Place::Record(write.call.id.as_str()), &write.call.record)?;
            packer.vault().hide(&write.call.id, &write.call.record, &mut write.columns);
            let CallWrite { call, expected, columns, news, .. } = write;
            let measures = Packed::of(&Measures::of(&call.record, call.created_at), packer.vault().is_locked());
            Ok(EncodedWrite { call, expected, columns, measures, record, news })
        };
        Ok(Self { tombstone, cause, more, write: write.map(encode).transpose()? })
    }

    /// About how many bytes it writes.
    pub(super) fn weight(&self) -> usize {
        let events = [&self.cause].into_iter().chain(&self.more).map(|event| event.body.as_ref().map_or(0, Vec::len));
        ROW_BYTES + events.sum::<usize>() + self.write.as_ref().map_or(0, |write| write.search().len() + write.record.len())
    }

    /// Decides, then writes.
    pub(super) fn run(&self, db: &Connection) -> rusqlite::Result<Committed> {
        if let Some(hash) = &self.tombstone
            && is_buried(db, hash)?
        {
            return Ok(Committed::Deleted);
        }
        let unread = match self.cause.stored(db)? {
            Some((seq, folded)) if folded || !self.cause.event.folded => {
                self.cause.note_repeat(db, seq, folded)?;
                return Ok(Committed::Duplicate);
            }
            found => found.map(|(seq, _)| seq),
        };
        let standing = self.write.as_ref().map(|write| Standing::of(db, &write.call.id)).transpose()?.flatten();
        if let Some(write) = &self.write
            && standing.as_ref().map(|it| it.revision) != write.expected
        {
            return Ok(Committed::Conflict);
        }
        match unread {
            Some(seq) => self.cause.now_read(db, seq)?,
            None => self.cause.insert(db)?,
        }
        for event in &self.more {
            event.insert(db)?;
        }
        if let Some(write) = &self.write {
            write.put(db, standing.as_ref())?;
            news::add(db, &write.call.id, &write.news)?;
        }
        Ok(Committed::Done)
    }
}

/// Was this call deleted?
pub(super) fn is_buried(db: &Connection, hash: &TombstoneHash) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM tombstones WHERE hash = ?1")?.exists([hash])
}

impl EncodedEvent {
    fn of(event: CallEvent, changed: Option<String>, version: Option<i64>, packer: &Packer) -> Result<Self, StoreError> {
        let has_body = event.keep != Keep::Nothing && !event.body.is_empty();
        let place = Place::Body { call: event.call_id.as_ref().map(CallId::as_str), event: &event.id };
        let (length, body) = (length(&event.body), has_body.then(|| packer.seal(place, &event.body)).transpose()?);
        // Let go of here and not by the writer: many commits wait for it at once.
        let event = CallEvent { body: Bytes::new(), ..event };
        Ok(Self { event, changed, version, length, body })
    }

    /// Place of the event with this id, and whether it could be read.
    fn stored(&self, db: &Connection) -> rusqlite::Result<Option<(i64, bool)>> {
        let mut find = db.prepare_cached("SELECT seq, folded FROM events WHERE id = ?1")?;
        find.query_row([&self.event.id], |row| Ok((row.get(0)?, row.get(1)?))).optional()
    }

    fn note_repeat(&self, db: &Connection, seq: i64, folded: bool) -> rusqlite::Result<()> {
        if !folded {
            let tried = db.prepare_cached("UPDATE events SET app = ?2 WHERE seq = ?1 AND app IS NOT ?2")?.execute(params![seq, APP])?;
            if tried > 0 {
                // No delivery: this release tried what an earlier one had stored.
                return Ok(());
            }
        }
        let event = &self.event;
        db.prepare_cached("INSERT INTO repeats (event, sent_at, received_at, proof) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![seq, event.sent_at.map(|at| at.0), event.received_at.0, event.proof])
            .map(|_| ())
    }

    /// The event stands there since a release that could not read it; its body stays.
    fn now_read(&self, db: &Connection, seq: i64) -> rusqlite::Result<()> {
        let event = &self.event;
        db.prepare_cached(
            "UPDATE events SET folded = 1, app = NULL, call_id = ?2, changed = ?3, version = ?4, details = ?5 WHERE seq = ?1",
        )?
        .execute(params![seq, event.call_id.as_ref().map(CallId::as_str), self.changed, self.version, event.details])
        .map(|_| ())
    }

    fn insert(&self, db: &Connection) -> rusqlite::Result<()> {
        let event = &self.event;
        let stays = match event.keep {
            Keep::Whole => true,
            Keep::Replacing => self.replaces(db)?,
            Keep::Nothing => false,
        };
        if !stays {
            return Ok(());
        }
        let mut insert = db.prepare_cached(
            "INSERT OR IGNORE INTO events (id, call_id, kind, source, sent_at, received_at, proof, changed, version, details, folded, app, \
             length, has_body, body) VALUES (:id, :call_id, :kind, :source, :sent_at, :received_at, :proof, :changed, :version, :details, \
             :folded, :app, :length, :has_body, :body)",
        )?;
        insert.execute(named_params! {
            ":id": event.id,
            ":call_id": event.call_id.as_ref().map(CallId::as_str),
            ":kind": event.kind.as_str(),
            ":source": event.source,
            ":sent_at": event.sent_at.map(|at| at.0),
            ":received_at": event.received_at.0,
            ":proof": event.proof,
            ":changed": self.changed,
            ":version": self.version,
            ":details": event.details,
            ":folded": event.folded,
            ":app": (!event.folded).then_some(APP),
            ":length": self.length,
            ":has_body": self.body.is_some(),
            ":body": self.body,
        })?;
        Ok(())
    }

    /// Makes the other events of the same call and source give way, unless one of them is longer; then false.
    fn replaces(&self, db: &Connection) -> rusqlite::Result<bool> {
        let rivals = params![self.event.call_id.as_ref().map(CallId::as_str), self.event.source];
        let mut find = db.prepare_cached("SELECT max(length) FROM events WHERE call_id = ?1 AND source = ?2")?;
        let Some(longest) = find.query_row(rivals, |row| row.get::<_, Option<i64>>(0))? else { return Ok(true) };
        if longest > self.length {
            return Ok(false);
        }
        let rivals = params![self.event.call_id.as_ref().map(CallId::as_str), self.event.source];
        db.prepare_cached("DELETE FROM repeats WHERE event IN (SELECT seq FROM events WHERE call_id = ?1 AND source = ?2)")?
            .execute(rivals)?;
        db.prepare_cached("DELETE FROM events WHERE call_id = ?1 AND source = ?2")?.execute(rivals)?;
        Ok(true)
    }
}

fn joined<T: AsRef<str>>(names: &[T]) -> Option<String> {
    (!names.is_empty()).then(|| names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(","))
}

fn length(body: &[u8]) -> i64 {
    i64::try_from(body.len()).unwrap_or(i64::MAX)
}

impl EncodedWrite {
    fn put(&self, db: &Connection, standing: Option<&Standing>) -> rusqlite::Result<()> {
        let Some(standing) = standing else {
            let n = self.insert(db)?;
            db.prepare_cached("INSERT INTO records (call, search, record) VALUES (?1, ?2, ?3)")?.execute(params![
                n,
                self.search().as_bytes(),
                self.record
            ])?;
            return put_due(db, n, self.call.due);
        };
        self.update(db, standing)?;
        db.prepare_cached("UPDATE records SET search = ?2, record = ?3 WHERE call = ?1")?.execute(params![
            standing.n,
            self.search().as_bytes(),
            self.record
        ])?;
        // A lease goes on as long as the due time stays.
        if standing.due == self.call.due { Ok(()) } else { put_due(db, standing.n, self.call.due) }
    }

    /// Empty where the record tells it: it would be the largest part of what is written.
    fn search(&self) -> &str {
        self.columns.search.as_deref().unwrap_or_default()
    }

    fn steady(&self) -> Steady {
        let columns = &self.columns;
        Steady {
            ended_at: columns.ended_at.map(|at| at.0),
            assistant_id: columns.assistant_id.clone(),
            provider_id: columns.provider_id.clone(),
            customer_digits: columns.customer_digits.clone(),
            provider_digits: columns.provider_digits.clone(),
            measures: Some(self.measures),
        }
    }

    fn insert(&self, db: &Connection) -> rusqlite::Result<i64> {
        let (call, columns, measures) = (&self.call, &self.columns, &self.measures);
        let mut insert = db.prepare_cached(
            "INSERT INTO calls (id, revision, version, created_at, updated_at, ended_at, status, call_status, data_status, \
             assistant_id, provider_id, service_request_id, correlation_id, customer_digits, provider_digits, metadata, news, \
             measured, marks, duration, cost, completion, fetches, score) VALUES (:id, \
             :revision, :version, :created_at, :updated_at, :ended_at, :status, :call_status, :data_status, :assistant_id, \
             :provider_id, :service_request_id, :correlation_id, :customer_digits, :provider_digits, :metadata, :news, \
             :revision, :marks, :duration, :cost, :completion, :fetches, :score)",
        )?;
        insert.insert(named_params! {
            ":id": call.id.as_str(),
            ":revision": call.revision.cast_signed(),
            ":version": call.version.cast_signed(),
            ":created_at": call.created_at.0,
            ":updated_at": call.updated_at.0,
            ":ended_at": columns.ended_at.map(|at| at.0),
            ":status": columns.status,
            ":call_status": columns.call_status,
            ":data_status": columns.data_status,
            ":assistant_id": columns.assistant_id,
            ":provider_id": columns.provider_id,
            ":service_request_id": columns.service_request_id,
            ":correlation_id": columns.correlation_id,
            ":customer_digits": columns.customer_digits,
            ":provider_digits": columns.provider_digits,
            ":metadata": some_text(&columns.metadata),
            ":news": call.news.cast_signed(),
            ":marks": measures.marks,
            ":duration": measures.duration,
            ":cost": measures.cost,
            ":completion": measures.completion,
            ":fetches": measures.fetches,
            ":score": measures.score,
        })
    }

    fn update(&self, db: &Connection, standing: &Standing) -> rusqlite::Result<()> {
        let (call, columns) = (&self.call, &self.columns);
        let mut update = db.prepare_cached(
            "UPDATE calls SET revision = :revision, measured = :revision, version = :version, updated_at = :updated_at, \
             status = :status, call_status = :call_status, data_status = :data_status, service_request_id = :service_request_id, \
             correlation_id = :correlation_id, metadata = :metadata, news = :news WHERE n = :n",
        )?;
        update.execute(named_params! {
            ":n": standing.n,
            ":revision": call.revision.cast_signed(),
            ":version": call.version.cast_signed(),
            ":updated_at": call.updated_at.0,
            ":status": columns.status,
            ":call_status": columns.call_status,
            ":data_status": columns.data_status,
            ":service_request_id": columns.service_request_id,
            ":correlation_id": columns.correlation_id,
            ":metadata": some_text(&columns.metadata),
            ":news": call.news.cast_signed(),
        })?;
        let steady = self.steady();
        if standing.steady == steady { Ok(()) } else { steady.put(db, standing.n, &self.measures) }
    }
}

fn some_text(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Sets when a call is due, and ends its lease.
pub(super) fn put_due(db: &Connection, n: i64, due: Option<Due>) -> rusqlite::Result<()> {
    let Some(Due { at: Millis(at), .. }) = due else {
        return db.prepare_cached("DELETE FROM dues WHERE call = ?1")?.execute([n]).map(|_| ());
    };
    db.prepare_cached("INSERT OR REPLACE INTO dues (call, reason, at, lease_until) VALUES (?1, ?2, ?3, NULL)")?
        .execute(params![n, due.map(Due::urgency), at])
        .map(|_| ())
}
