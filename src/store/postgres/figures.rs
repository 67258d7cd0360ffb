//! Numbers about calls, and tallies. The server adds up; a million rows would take long on their way.

use tokio_postgres::Row;

use super::{
    PostgresStore,
    fault::Fault,
    link::Db,
    list::Conditions,
    pool::Kind,
    rows::call_columns,
    step::{Step, Value},
    write::COMMIT,
};
use crate::{
    call::{measures::Measures, time::Millis},
    store::{
        CallFilter, StoreError,
        figures::{Counting, DETRACTOR, Figures, Group, PROMOTER, Packed, Scores, Sum},
        pack::Packer,
        rows::CallRow,
        tally::{Counted, HOUR, Tally, counted},
    },
};

/// It is given up when nobody can still be waiting for the answer.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; SET LOCAL statement_timeout = '4s'";
/// Calls measured at once.
const STEP: i64 = 200;
const DAY: i64 = crate::call::time::DAY;

/// The groups, each with the times of its calls: to rank them takes the server longer than to hand them out.
fn question(filter: &CallFilter) -> Step<'_> {
    let (conditions, values) = Conditions::of(filter).with_phone(filter).parts();
    let sql = format!(
        "SELECT c.created_at / {DAY}, c.marks, count(*), count(c.cost), coalesce(sum(c.cost), 0), \
         count(*) FILTER (WHERE c.fetches > 0), coalesce(sum(c.fetches), 0)::bigint, count(c.score), coalesce(sum(c.score), 0), \
         count(*) FILTER (WHERE c.score >= {PROMOTER}), count(*) FILTER (WHERE c.score <= {DETRACTOR}), \
         array_agg(c.duration) FILTER (WHERE c.duration IS NOT NULL), array_agg(c.completion) FILTER (WHERE c.completion IS NOT NULL) \
         FROM ringback.calls c WHERE c.marks IS NOT NULL{conditions} GROUP BY 1, 2"
    );
    Step::once(sql, values)
}

fn add(counting: &mut Counting, row: &Row) -> Result<(), Fault> {
    let count = |at: usize| Ok::<_, Fault>(row.try_get::<_, i64>(at)?.unsigned_abs());
    let sum = |at: usize| Ok::<_, Fault>(Sum { count: count(at)?, total: row.try_get(at + 1)? });
    let times = |at: usize| Ok::<_, Fault>(row.try_get::<_, Option<Vec<f64>>>(at)?.unwrap_or_default());
    let durations = times(11)?;
    let group = Group {
        calls: count(2)?,
        durations: Sum { count: durations.len() as u64, total: durations.iter().sum() },
        costs: sum(3)?,
        fetched: count(5)?,
        fetches: count(6)?,
        scores: Scores { all: sum(7)?, promoters: count(9)?, detractors: count(10)? },
        ..Group::empty(row.try_get(0)?, row.try_get(1)?)
    };
    counting.add_group(group, durations, times(12)?);
    Ok(())
}

async fn figures(db: &Db, filter: &CallFilter) -> Result<Figures, Fault> {
    let rows = db.pipeline(Some(BEGIN), &[question(filter)], Some(COMMIT)).await?.pop().unwrap_or_default();
    let mut counting = Counting::default();
    rows.iter().try_for_each(|row| add(&mut counting, row))?;
    Ok(counting.figures())
}

const UNMEASURED: &str = concat!(
    "SELECT ",
    call_columns!(),
    " FROM ringback.calls c LEFT JOIN ringback.dues d ON d.call_id = c.id WHERE c.measured IS DISTINCT FROM c.revision \
     ORDER BY c.created_at DESC LIMIT $1"
);
const MEASURE: &str = "UPDATE ringback.calls c SET measured = i.revision, marks = i.marks, duration = i.duration, cost = i.cost, \
    completion = i.completion, fetches = i.fetches, score = i.score \
    FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::float8[], $5::float8[], $6::float8[], $7::bigint[], $8::float8[]) \
    AS i (id, revision, marks, duration, cost, completion, fetches, score) WHERE c.id = i.id AND c.revision = i.revision";

/// Measures some of the calls that another release wrote, the newest first; tells how many.
async fn measure(db: &Db, packer: &Packer) -> Result<usize, Fault> {
    let rows = db.query(&Step::new(UNMEASURED, vec![Value::whole(STEP)])).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let (id, revision): (&str, i64) = (row.try_get(0)?, row.try_get(1)?);
        // What can't be read is counted as a call of which nothing is known, or it would be tried for ever.
        let call = CallRow::read(row)?.unpacked(packer);
        let (heard_at, record) = call.map(|call| (call.created_at, call.record.clone())).unwrap_or_default();
        found.push((id, revision, Packed::of(&Measures::of(&record, heard_at), packer.vault().is_locked())));
    }
    if !found.is_empty() {
        let values = vec![
            Value::texts(&found, |(id, ..)| Some(id)),
            Value::wholes(&found, |(_, revision, _)| Some(*revision)),
            Value::wholes(&found, |(.., it)| Some(it.marks)),
            Value::numbers(&found, |(.., it)| it.duration),
            Value::numbers(&found, |(.., it)| it.cost),
            Value::numbers(&found, |(.., it)| it.completion),
            Value::wholes(&found, |(.., it)| Some(it.fetches)),
            Value::numbers(&found, |(.., it)| it.score),
        ];
        db.query(&Step::new(MEASURE, values)).await?;
    }
    Ok(found.len())
}

/// In one order, so that nobody waits for who waits for him.
const TALLY: &str = "INSERT INTO ringback.tallies AS t (hour, source, name, count) \
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[]) AS i (hour, source, name, count) ORDER BY 1, 2, 3 \
    ON CONFLICT (hour, source, name) DO UPDATE SET count = greatest(t.count, EXCLUDED.count)";
const TALLIES: &str = "SELECT hour, name, sum(count)::bigint FROM ringback.tallies WHERE hour >= $1 AND hour < $2 GROUP BY hour, name";
const FORGET: &str = "DELETE FROM ringback.tallies WHERE hour < $1";

/// Drops tallies of hours that were over before a moment.
pub(super) async fn forget_tallies(db: &Db, before: i64) -> Result<(), Fault> {
    db.query(&Step::new(FORGET, vec![Value::whole(before.div_euclid(HOUR))])).await.map(drop)
}

impl PostgresStore {
    /// Calls that another release wrote are measured first.
    pub(in crate::store) async fn figures(&self, filter: CallFilter) -> Result<Figures, StoreError> {
        while self.tend(Millis(0)).await? > 0 {}
        let filter = self.shared.packer.vault().hide_filter(filter);
        self.run(Kind::Scan, async |db| figures(&db, &filter).await).await
    }

    pub(in crate::store) async fn tally(&self, tallies: Vec<Tally>) -> Result<(), StoreError> {
        let step = || {
            let values = vec![
                Value::wholes(&tallies, |it| Some(it.hour)),
                Value::texts(&tallies, |it| Some(&it.source)),
                Value::texts(&tallies, |it| Some(&it.name)),
                Value::wholes(&tallies, |it| Some(it.count.cast_signed())),
            ];
            Step::new(TALLY, values)
        };
        self.run(Kind::Lookup, async |db| db.query(&step()).await.map(drop)).await
    }

    pub(in crate::store) async fn tallies(&self, since: i64, until: i64) -> Result<Vec<Counted>, StoreError> {
        let step = || Step::new(TALLIES, vec![Value::whole(since), Value::whole(until)]);
        let read = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get::<_, i64>(2)?.unsigned_abs()));
        let find = async |db: std::sync::Arc<Db>| db.query(&step()).await?.iter().map(read).collect::<Result<Vec<_>, Fault>>();
        Ok(counted(self.run(Kind::Lookup, find).await?))
    }

    pub(in crate::store) async fn tend(&self, _now: Millis) -> Result<usize, StoreError> {
        self.run(Kind::Scan, async |db| measure(&db, &self.shared.packer).await).await
    }
}
