//! A group of commits in one transaction: two trips to the server, one to lock and look, one to write and commit.

use std::collections::{HashMap, HashSet};

use tokio_postgres::Row;

use super::{
    batch::{Known, Plan, Standing, StandingCall, plan},
    commit::{APP, EncodedCommit, EncodedEvent, EncodedWrite, Publication},
    fault::Fault,
    link::Db,
    linking::{NOTE, Note},
    news,
    published::Publisher,
    rows,
    signal::{CHANNEL, told},
    step::{Step, Value},
    unpublished,
};
use crate::{
    call::event::Keep,
    store::{Committed, Due, PublishedRow, Signal, tombstone::LENGTH},
};

/// Begins a transaction that writes, and waits for the disk at its end, or not.
macro_rules! begin {
    ($waits:literal) => {
        concat!(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL synchronous_commit = ",
            $waits,
            "; SET LOCAL lock_timeout = '3s'; SET LOCAL statement_timeout = '4s'; SET LOCAL idle_in_transaction_session_timeout = '5s'"
        )
    };
}

/// Begins transactions that write. What is set ends with each, so that a pooler between us may give the connection to somebody else.
pub(super) const BEGIN: &str = begin!("on");
/// The same for deliveries that are made, taken and noted: nobody waits for the disk. Should the server crash before that is there, it is as if it had
/// not happened: they are made again from the log, with the same ids, and tried again. Whoever commits later, and does wait, waits for this as well.
pub(super) const BEGIN_LIGHT: &str = begin!("off");
/// Ends it.
pub(super) const COMMIT: &str = "COMMIT";
/// Takes locks, in the order given.
pub(super) const LOCK: &str = "SELECT pg_advisory_xact_lock(key) FROM unnest($1::bigint[]) AS key";
/// Tells every instance.
pub(super) const NOTIFY: &str = "SELECT pg_notify($1, text) FROM unnest($2::text[]) AS text";

const BURIED: &str = "SELECT hash FROM ringback.tombstones WHERE hash = ANY ($1::bytea[])";
const EVENTS: &str = "SELECT id, folded, app FROM ringback.events WHERE id = ANY ($1::text[])";
const CALLS: &str = "SELECT c.id, c.revision, d.reason, d.at FROM ringback.calls c LEFT JOIN ringback.dues d ON d.call_id = c.id \
    WHERE c.id = ANY ($1::text[])";
const LONGEST: &str = "SELECT e.call_id, e.source, max(e.length) FROM unnest($1::text[], $2::text[]) AS i (call_id, source) \
    JOIN ringback.events e ON e.call_id = i.call_id AND e.source = i.source GROUP BY e.call_id, e.source";

const DISPLACE: &str = "WITH gone AS (DELETE FROM ringback.events e USING unnest($1::text[], $2::text[]) AS i (call_id, source) \
    WHERE e.call_id = i.call_id AND e.source = i.source RETURNING e.seq) \
    DELETE FROM ringback.repeats r USING gone WHERE r.event = gone.seq";
/// How long locks on the documents' table are waited for: whoever sits on it stands in nobody's way.
pub(super) const HURRY: &str = "SELECT set_config('lock_timeout', '500ms', true)";
/// How long it may take to write there, triggers of others included; and then all as [`BEGIN`] has it.
const BRISK: &str = "SELECT set_config('statement_timeout', '1500ms', true)";
const CALM: &str = "SELECT set_config('lock_timeout', '3s', true), set_config('statement_timeout', '4s', true)";
/// Columns of a new event, in the order of [`event_values`].
macro_rules! insert_events {
    () => {
        "INSERT INTO ringback.events (id, call_id, kind, source, sent_at, received_at, proof, changed, version, details, folded, app, \
         length, body) SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], \
         $8::text[], $9::bigint[], $10::text[], $11::boolean[], $12::text[], $13::bigint[], $14::bytea[])"
    };
}
const INSERT_CAUSES: &str = insert_events!();
const INSERT_MORE: &str = concat!(insert_events!(), " ON CONFLICT (id) DO NOTHING");
const READ: &str = "UPDATE ringback.events e SET folded = true, app = NULL, call_id = i.call_id, changed = i.changed, version = i.version, \
    details = i.details FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[]) \
    AS i (id, call_id, changed, version, details) WHERE e.id = i.id";
const TRIED: &str = "UPDATE ringback.events SET app = $2 WHERE id = ANY ($1::text[])";
const REPEAT: &str = "INSERT INTO ringback.repeats (event, sent_at, received_at, proof) \
    SELECT e.seq, i.sent_at, i.received_at, i.proof FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]) \
    AS i (id, sent_at, received_at, proof) JOIN ringback.events e ON e.id = i.id";
const PUT: &str = "INSERT INTO ringback.calls (id, revision, version, created_at, updated_at, touched_at, ended_at, status, \
    call_status, data_status, assistant_id, provider_id, service_request_id, correlation_id, customer_digits, provider_digits, metadata, \
    search, record, news, measured, marks, duration, cost, completion, fetches, score) SELECT i.id, i.revision, i.version, i.created_at, i.updated_at, \
    (extract(epoch FROM clock_timestamp()) * 1000)::bigint, i.ended_at, i.status, i.call_status, i.data_status, i.assistant_id, \
    i.provider_id, i.service_request_id, i.correlation_id, i.customer_digits, i.provider_digits, i.metadata::jsonb, i.search, i.record, i.news, \
    i.revision, i.marks, i.duration, i.cost, i.completion, i.fetches, i.score \
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::text[], $9::text[], \
    $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::text[], $18::bytea[], $19::bigint[], \
    $20::bigint[], $21::float8[], $22::float8[], $23::float8[], $24::bigint[], $25::float8[]) \
    AS i (id, revision, version, created_at, updated_at, ended_at, status, call_status, data_status, assistant_id, \
    provider_id, service_request_id, correlation_id, customer_digits, provider_digits, metadata, search, record, news, \
    marks, duration, cost, completion, fetches, score) \
    ON CONFLICT (id) DO UPDATE SET revision = EXCLUDED.revision, version = EXCLUDED.version, \
    updated_at = EXCLUDED.updated_at, touched_at = EXCLUDED.touched_at, ended_at = EXCLUDED.ended_at, status = EXCLUDED.status, \
    call_status = EXCLUDED.call_status, data_status = EXCLUDED.data_status, assistant_id = EXCLUDED.assistant_id, \
    provider_id = EXCLUDED.provider_id, service_request_id = EXCLUDED.service_request_id, correlation_id = EXCLUDED.correlation_id, \
    customer_digits = EXCLUDED.customer_digits, provider_digits = EXCLUDED.provider_digits, metadata = EXCLUDED.metadata, \
    search = EXCLUDED.search, record = EXCLUDED.record, news = EXCLUDED.news, measured = EXCLUDED.measured, \
    marks = EXCLUDED.marks, duration = EXCLUDED.duration, cost = EXCLUDED.cost, completion = EXCLUDED.completion, \
    fetches = EXCLUDED.fetches, score = EXCLUDED.score";
const DUE: &str = "INSERT INTO ringback.dues (call_id, reason, at) SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[]) \
    ON CONFLICT (call_id) DO UPDATE SET reason = EXCLUDED.reason, at = EXCLUDED.at, lease_until = NULL";
const NOT_DUE: &str = "DELETE FROM ringback.dues WHERE call_id = ANY ($1::text[])";

/// A group failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) fault: Fault,
    /// It is certain that nothing of it was stored.
    pub(super) is_undone: bool,
    /// It was, or may have been, the documents' table where it failed.
    pub(super) at_publishing: bool,
}

impl Failed {
    /// Before anything was asked to be committed.
    fn before(fault: Fault) -> Self {
        Self { fault, is_undone: true, at_publishing: false }
    }

    /// When `COMMIT` may be on its way: only an answer of the server tells that it came to nothing.
    fn at_commit(fault: Fault, at_publishing: bool) -> Self {
        let is_undone = !matches!(fault, Fault::Lost(_));
        Self { fault, is_undone, at_publishing }
    }
}

/// Writes a group; returns when it is durable, with how each commit ended. With a publisher, results are published too; without, they are noted
/// to be published later.
pub(super) async fn write(db: &Db, commits: &[&EncodedCommit], publisher: Option<&Publisher>) -> Result<Vec<Committed>, Failed> {
    let standing = look(db, commits, publisher.is_some()).await.map_err(Failed::before)?;
    let mut plan = plan(standing, commits);
    let outcomes = std::mem::take(&mut plan.outcomes);
    let heard: Vec<Signal> =
        plan.writes.iter().map(|write| Signal::Changed { id: write.call.id.clone(), revision: write.call.revision }).collect();
    let texts = told(&heard);
    let publications: Vec<&Publication> = plan.writes.iter().filter_map(|it| it.published.as_deref()).collect();
    let rows: Vec<&PublishedRow> = publications.iter().map(|it| &it.row).collect();
    let later =
        if publisher.is_none() { unpublished::Left::of(&publications).map_err(|error| Failed::before(error.into()))? } else { Vec::new() };
    let notes: Vec<(&str, Note)> = plan.writes.iter().flat_map(|it| it.notes.iter().map(|note| (it.id(), *note))).collect();
    let (due, not_due): (Vec<_>, Vec<_>) = plan.dues.iter().partition(|(_, due)| due.is_some());

    let mut steps = event_steps(&plan);
    if !plan.writes.is_empty() {
        steps.push(Step::new(PUT, call_values(&plan.writes)));
    }
    if !due.is_empty() {
        steps.push(Step::new(DUE, due_values(&due)));
    }
    if !not_due.is_empty() {
        steps.push(Step::new(NOT_DUE, vec![Value::texts(&not_due, |(id, _)| Some(id))]));
    }
    let mut publishing = None;
    match publisher {
        _ if rows.is_empty() => {}
        Some(publisher) => {
            publishing = Some(steps.len() + 1);
            steps.extend([
                Step::new(BRISK, Vec::new()),
                publisher.step(&rows),
                unpublished::published(&publications),
                Step::new(CALM, Vec::new()),
            ]);
        }
        None => steps.push(unpublished::leave(&later)),
    }
    if !notes.is_empty() {
        steps.push(Step::new(NOTE, note_values(&notes)));
    }
    if !plan.news.is_empty() {
        steps.extend(news::steps(&plan.news));
    }
    if !texts.is_empty() {
        steps.push(Step::new(NOTIFY, vec![Value::text(CHANNEL), Value::texts(&texts, |text| Some(text))]));
    }
    let written = db.pipeline_told(None, &steps, Some(COMMIT)).await;
    // What is checked at the end may be a rule of that table's too.
    written.map_err(|(at, fault)| Failed::at_commit(fault, publishing.is_some() && (at.is_none() || at == publishing)))?;
    Ok(outcomes)
}

/// Takes the locks and looks at what stands there. In a hurry already, for the documents' table is locked as soon as a statement is prepared.
async fn look(db: &Db, commits: &[&EncodedCommit], hurries: bool) -> Result<Standing, Fault> {
    let mut locks: Vec<i64> = commits.iter().map(|commit| commit.lock).collect();
    locks.sort_unstable();
    locks.dedup();
    let hashes: Vec<&[u8]> = commits.iter().filter_map(|commit| commit.tombstone.as_ref().map(<[u8; LENGTH]>::as_slice)).collect();
    let calls: Vec<&str> = commits.iter().filter_map(|commit| Some(commit.write.as_ref()?.id())).collect();
    let replacing: Vec<&EncodedEvent> =
        commits.iter().flat_map(|it| [&it.cause].into_iter().chain(&it.more)).filter(|it| it.event.keep == Keep::Replacing).collect();
    let mut steps = vec![
        Step::new(LOCK, vec![Value::wholes(&locks, |lock| Some(*lock))]),
        Step::new(BURIED, vec![Value::blobs(&hashes, |hash| Some(hash))]),
        Step::new(EVENTS, vec![Value::texts(commits, |commit| Some(commit.cause.id()))]),
        Step::new(CALLS, vec![Value::texts(&calls, |id| Some(id))]),
    ];
    if !replacing.is_empty() {
        steps.push(Step::new(
            LONGEST,
            vec![Value::texts(&replacing, |it| it.call_id()), Value::texts(&replacing, |it| Some(&it.event.source))],
        ));
    }
    if hurries {
        steps.insert(1, Step::new(HURRY, Vec::new()));
    }
    let mut answers = db.pipeline(Some(BEGIN), &steps, None).await?.into_iter().skip(1 + usize::from(hurries));
    let mut next = || answers.next().unwrap_or_default();
    Ok(Standing {
        buried: buried(&next())?,
        events: next().iter().map(known).collect::<Result<_, Fault>>()?,
        calls: next().iter().map(standing_call).collect::<Result<_, Fault>>()?,
        longest: longest(&next())?,
    })
}

fn buried(rows: &[Row]) -> Result<HashSet<[u8; LENGTH]>, Fault> {
    let hash = |row: &Row| Ok(row.try_get::<_, &[u8]>(0)?.try_into().unwrap_or_default());
    rows.iter().map(hash).collect()
}

fn known(row: &Row) -> Result<(String, Known), Fault> {
    Ok((row.try_get(0)?, Known { folded: row.try_get(1)?, app: row.try_get(2)? }))
}

fn standing_call(row: &Row) -> Result<(String, StandingCall), Fault> {
    let revision = row.try_get::<_, i64>(1)?.cast_unsigned();
    Ok((row.try_get(0)?, StandingCall { revision, due: rows::due(row, 2)? }))
}

fn longest(rows: &[Row]) -> Result<HashMap<(String, String), i64>, Fault> {
    rows.iter().map(|row| Ok(((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?))).collect()
}

fn event_steps<'a>(plan: &'a Plan<'_>) -> Vec<Step<'a>> {
    let mut steps = Vec::new();
    if !plan.displaced.is_empty() {
        let values = vec![Value::texts(&plan.displaced, |(call, _)| Some(call)), Value::texts(&plan.displaced, |(_, source)| Some(source))];
        steps.push(Step::new(DISPLACE, values));
    }
    if !plan.causes.is_empty() {
        steps.push(Step::new(INSERT_CAUSES, event_values(&plan.causes)));
    }
    if !plan.more.is_empty() {
        steps.push(Step::new(INSERT_MORE, event_values(&plan.more)));
    }
    if !plan.read.is_empty() {
        let values = vec![
            Value::texts(&plan.read, |it| Some(it.id())),
            Value::texts(&plan.read, |it| it.call_id()),
            Value::texts(&plan.read, |it| it.changed.as_deref()),
            Value::wholes(&plan.read, |it| it.version),
            Value::texts(&plan.read, |it| it.event.details.as_deref()),
        ];
        steps.push(Step::new(READ, values));
    }
    if !plan.tried.is_empty() {
        steps.push(Step::new(TRIED, vec![Value::texts(&plan.tried, |id| Some(id)), Value::text(APP)]));
    }
    if !plan.repeats.is_empty() {
        let values = vec![
            Value::texts(&plan.repeats, |it| Some(it.id())),
            Value::wholes(&plan.repeats, |it| it.event.sent_at.map(|at| at.0)),
            Value::wholes(&plan.repeats, |it| Some(it.event.received_at.0)),
            Value::texts(&plan.repeats, |it| it.event.proof),
        ];
        steps.push(Step::new(REPEAT, values));
    }
    steps
}

fn event_values<'a>(events: &'a [&'a EncodedEvent]) -> Vec<Value<'a>> {
    vec![
        Value::texts(events, |it| Some(it.id())),
        Value::texts(events, |it| it.call_id()),
        Value::texts(events, |it| Some(it.event.kind.as_str())),
        Value::texts(events, |it| Some(&it.event.source)),
        Value::wholes(events, |it| it.event.sent_at.map(|at| at.0)),
        Value::wholes(events, |it| Some(it.event.received_at.0)),
        Value::texts(events, |it| it.event.proof),
        Value::texts(events, |it| it.changed.as_deref()),
        Value::wholes(events, |it| it.version),
        Value::texts(events, |it| it.event.details.as_deref()),
        Value::switches(events, |it| it.event.folded),
        Value::texts(events, |it| (!it.event.folded).then_some(APP)),
        Value::wholes(events, |it| Some(it.length)),
        Value::blobs(events, |it| it.body.as_deref()),
    ]
}

fn call_values<'a>(writes: &'a [&'a EncodedWrite]) -> Vec<Value<'a>> {
    vec![
        Value::texts(writes, |it| Some(it.id())),
        Value::wholes(writes, |it| Some(it.call.revision.cast_signed())),
        Value::wholes(writes, |it| Some(it.call.version.cast_signed())),
        Value::wholes(writes, |it| Some(it.call.created_at.0)),
        Value::wholes(writes, |it| Some(it.call.updated_at.0)),
        Value::wholes(writes, |it| it.columns.ended_at.map(|at| at.0)),
        Value::texts(writes, |it| Some(it.columns.status)),
        Value::texts(writes, |it| Some(it.columns.call_status)),
        Value::texts(writes, |it| Some(it.columns.data_status)),
        Value::texts(writes, |it| it.columns.assistant_id.as_deref()),
        Value::texts(writes, |it| it.columns.provider_id.as_deref()),
        Value::texts(writes, |it| it.columns.service_request_id.as_deref()),
        Value::texts(writes, |it| it.columns.correlation_id.as_deref()),
        Value::texts(writes, |it| it.columns.customer_digits.as_deref()),
        Value::texts(writes, |it| it.columns.provider_digits.as_deref()),
        Value::jsons(writes, |it| Some(it.columns.metadata.as_str()).filter(|json| !json.is_empty())),
        Value::texts(writes, |it| Some(&it.search)),
        Value::blobs(writes, |it| Some(&it.record)),
        Value::wholes(writes, |it| Some(it.call.news.cast_signed())),
        Value::wholes(writes, |it| Some(it.measures.marks)),
        Value::numbers(writes, |it| it.measures.duration),
        Value::numbers(writes, |it| it.measures.cost),
        Value::numbers(writes, |it| it.measures.completion),
        Value::wholes(writes, |it| Some(it.measures.fetches)),
        Value::numbers(writes, |it| it.measures.score),
    ]
}

fn note_values<'a>(notes: &'a [(&'a str, Note)]) -> Vec<Value<'a>> {
    vec![
        Value::texts(notes, |(id, _)| Some(id)),
        Value::wholes(notes, |(_, note)| Some(note.target as i64)),
        Value::wholes(notes, |(_, note)| Some(note.stage)),
    ]
}

fn due_values<'a>(dues: &'a [&'a (&'a str, Option<Due>)]) -> Vec<Value<'a>> {
    vec![
        Value::texts(dues, |(id, _)| Some(id)),
        Value::wholes(dues, |(_, due)| due.map(|due| i64::from(due.urgency()))),
        Value::wholes(dues, |(_, due)| due.map(|due| due.at.0)),
    ]
}
