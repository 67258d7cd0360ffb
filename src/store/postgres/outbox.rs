//! What is on its way: targets, and the verbs.

use tokio_postgres::Row;

use super::{
    PostgresStore,
    deliveries::{self, FIRST, ROLLBACK, lock, missing},
    fault::Fault,
    link::Db,
    news,
    pool::Kind,
    signal::{CHANNEL, told},
    step::{Step, Value},
    write::{BEGIN, COMMIT, NOTIFY},
};
use crate::{
    call::{news::NewsItem, time::Millis},
    store::{
        DeliveryFilter, DeliveryLease, DeliveryMark, DeliveryPage, DeliveryState, DeliveryStates, FanOut, GiveUp, LeasedDeliveries,
        OutboxState, Redelivery, Signal, StoreError, StoredTarget, Targets,
        moving::{ResealStage, Resealed},
        pack::Packer,
        steps::Steps,
        vault::Place,
    },
};

/// Deliveries that one transaction takes where there may be many, so that others get their turn in between.
const STEP: usize = 500;

fn read(row: &Row, packer: &Packer) -> Result<StoredTarget, Fault> {
    let id: String = row.try_get(0)?;
    let body = packer.open(Place::Target(&id), row.try_get(3)?)?;
    Ok(StoredTarget { scope: row.try_get(1)?, revision: row.try_get::<_, i64>(2)?.cast_unsigned(), body, id })
}

/// Both in one statement, so that they belong together.
const TARGETS: &str = "SELECT t.id, t.scope, t.revision, t.body, o.generation FROM ringback.outbox o \
    LEFT JOIN ringback.targets t ON t.scope IS NOT DISTINCT FROM $1 ORDER BY t.id";

async fn targets(db: &Db, scope: Option<&str>, packer: &Packer) -> Result<Targets, Fault> {
    let rows = db.query(&Step::new(TARGETS, vec![Value::maybe_text(scope)])).await?;
    let generation = rows.first().ok_or_else(missing)?.try_get::<_, i64>(4)?.cast_unsigned();
    let mut targets = Vec::new();
    for row in &rows {
        if row.try_get::<_, Option<&str>>(0)?.is_some() {
            targets.push(read(row, packer)?);
        }
    }
    Ok(Targets { generation, targets })
}

const TARGET: &str = "SELECT id, scope, revision, body FROM ringback.targets WHERE id = $1";
const FIRST_TARGET: &str = "WITH written AS (INSERT INTO ringback.targets (id, scope, revision, body) VALUES ($1, $2, $3, $4) \
    ON CONFLICT (id) DO NOTHING RETURNING scope),
counted AS (UPDATE ringback.outbox SET generation = generation + 1 FROM written WHERE written.scope IS NULL)
SELECT FROM written";
const NEXT_TARGET: &str = "WITH written AS (UPDATE ringback.targets SET revision = $3, body = $4 WHERE id = $1 AND revision = $5 \
    AND scope IS NOT DISTINCT FROM $2 RETURNING scope),
counted AS (UPDATE ringback.outbox SET generation = generation + 1 FROM written WHERE written.scope IS NULL)
SELECT FROM written";

fn put_step<'a>((target, body): (&'a StoredTarget, &'a [u8]), expected: Option<u64>) -> Step<'a> {
    let scope = Value::maybe_text(target.scope.as_deref());
    let mut values = vec![Value::text(&target.id), scope, Value::whole(target.revision.cast_signed()), Value::bytes(body)];
    values.extend(expected.map(|revision| Value::whole(revision.cast_signed())));
    Step::new(if expected.is_some() { NEXT_TARGET } else { FIRST_TARGET }, values)
}

async fn put(db: &Db, step: Step<'_>) -> Result<bool, Fault> {
    let answers = db.pipeline(Some(BEGIN), &[step], Some(COMMIT)).await?;
    Ok(answers.first().is_some_and(|rows| !rows.is_empty()))
}

/// The lock of the log comes first here: somebody who erases has it, and waits for somebody who makes deliveries and waits for our row.
async fn put_and_tell(db: &Db, step: Step<'_>, news: &NewsItem) -> Result<bool, Fault> {
    let (told, texts) = ([(news::NO_CALL, news)], told(&[Signal::News]));
    let [lock, add] = news::steps(&told);
    let answers = db.pipeline(Some(BEGIN), &[lock, step], None).await?;
    if answers[1].is_empty() {
        db.simple(ROLLBACK).await?;
        return Ok(false);
    }
    let notify = Step::new(NOTIFY, vec![Value::text(CHANNEL), Value::texts(&texts, |text| Some(text))]);
    db.pipeline(None, &[add, notify], Some(COMMIT)).await?;
    Ok(true)
}

/// Of one state, for an index has those in order; the newest first, so that those left keep their turns.
const DROP_SOME: &str = "WITH gone AS (DELETE FROM ringback.deliveries WHERE n IN (
    SELECT n FROM ringback.deliveries WHERE state = $3 AND target = $1 ORDER BY n DESC LIMIT $2
) RETURNING n) SELECT count(*) FROM gone";
const DROP_TARGET: &str = "WITH gone AS (DELETE FROM ringback.targets WHERE id = $1 RETURNING scope),
counted AS (UPDATE ringback.outbox SET generation = generation + 1 FROM gone WHERE gone.scope IS NULL)
SELECT FROM gone";
const DROP_ALL: &str = "DELETE FROM ringback.deliveries WHERE target = $1 AND NOT EXISTS (SELECT FROM ringback.targets WHERE id = $1)";

async fn drop_target(db: &Db, id: &str) -> Result<bool, Fault> {
    let value = || vec![Value::text(id)];
    let answers = db.pipeline(Some(BEGIN), &[lock(), Step::new(DROP_TARGET, value()), Step::new(DROP_ALL, value())], Some(COMMIT)).await?;
    Ok(!answers[1].is_empty())
}

const STATES: &str = "SELECT d.state FROM unnest($2::text[]) WITH ORDINALITY AS i (event_id, place) \
    LEFT JOIN ringback.deliveries d ON d.target = $1 AND d.event_id = i.event_id ORDER BY i.place";

async fn states(db: &Db, target: &str, events: &[String]) -> Result<Vec<Option<DeliveryState>>, Fault> {
    let rows = db.query(&Step::new(STATES, vec![Value::text(target), Value::texts(events, |id| Some(id))])).await?;
    rows.iter().map(|row| Ok(row.try_get::<_, Option<&str>>(0)?.and_then(DeliveryState::parse))).collect()
}

const STATE: &str = "SELECT generation, fanned, EXISTS (SELECT FROM ringback.targets WHERE scope IS NULL), \
    EXISTS (SELECT FROM ringback.targets WHERE scope IS NOT NULL) FROM ringback.outbox";

async fn state(db: &Db) -> Result<OutboxState, Fault> {
    let row = db.query_one(&Step::new(STATE, Vec::new())).await?;
    Ok(OutboxState {
        generation: row.try_get::<_, i64>(0)?.cast_unsigned(),
        fanned: row.try_get::<_, i64>(1)?.cast_unsigned(),
        subscriptions: row.try_get(2)?,
        callbacks: row.try_get(3)?,
    })
}

const FORGET: &str = "WITH gone AS (DELETE FROM ringback.deliveries WHERE n IN (
    SELECT n FROM ringback.deliveries WHERE settled_at < $1 ORDER BY settled_at LIMIT $2 FOR UPDATE SKIP LOCKED
) RETURNING n) SELECT count(*) FROM gone";

async fn counted(db: &Db, step: Step<'_>) -> Result<usize, Fault> {
    Ok(usize::try_from(db.query_one(&step).await?.try_get::<_, i64>(0)?).unwrap_or_default())
}

const BODIES: &str = "SELECT id, revision, body FROM ringback.targets WHERE id > $1 ORDER BY id LIMIT $2";
const PUT_BODIES: &str = "UPDATE ringback.targets t SET body = i.body FROM unnest($1::text[], $2::bigint[], $3::bytea[]) \
    AS i (id, revision, body) WHERE t.id = i.id AND t.revision = i.revision";

/// Encrypts the bodies of at most `limit` targets behind a place with the newest key.
pub(super) async fn reseal(db: &Db, after: &str, limit: usize, packer: &Packer) -> Result<Resealed, Fault> {
    let rows = db.query(&Step::new(BODIES, vec![Value::text(after), Value::count(limit)])).await?;
    let mut next = None;
    let mut stale: Vec<(&str, i64, Vec<u8>)> = Vec::new();
    for row in &rows {
        let id: &str = row.try_get(0)?;
        next = Some(ResealStage::Targets(id.to_owned()).to_string());
        if let Some(body) = packer.reseal(Place::Target(id), row.try_get(2)?)? {
            stale.push((id, row.try_get(1)?, body));
        }
    }
    if !stale.is_empty() {
        let values =
            vec![Value::texts(&stale, |it| Some(it.0)), Value::wholes(&stale, |it| Some(it.1)), Value::blobs(&stale, |it| Some(&it.2))];
        db.pipeline(Some(BEGIN), &[Step::new(PUT_BODIES, values)], Some(COMMIT)).await?;
    }
    Ok(Resealed { seen: rows.len(), written: stale.len(), next })
}

impl PostgresStore {
    pub(in crate::store) async fn targets(&self, scope: Option<&str>) -> Result<Targets, StoreError> {
        self.run(Kind::Lookup, async |db| targets(&db, scope, &self.shared.packer).await).await
    }

    pub(in crate::store) async fn target(&self, id: &str) -> Result<Option<StoredTarget>, StoreError> {
        let find = async |db: std::sync::Arc<Db>| {
            let rows = db.query(&Step::new(TARGET, vec![Value::text(id)])).await?;
            rows.first().map(|row| read(row, &self.shared.packer)).transpose()
        };
        self.run(Kind::Lookup, find).await
    }

    pub(in crate::store) async fn put_target(&self, target: StoredTarget, expected: Option<u64>) -> Result<bool, StoreError> {
        let body = self.shared.packer.seal(Place::Target(&target.id), &target.body)?;
        self.run(Kind::Lookup, async |db| put(&db, put_step((&target, &body), expected)).await).await
    }

    pub(in crate::store) async fn put_target_and_tell(
        &self,
        target: StoredTarget,
        expected: Option<u64>,
        news: NewsItem,
    ) -> Result<bool, StoreError> {
        let body = self.shared.packer.seal(Place::Target(&target.id), &target.body)?;
        self.run(Kind::Lookup, async |db| put_and_tell(&db, put_step((&target, &body), expected), &news).await).await
    }

    pub(in crate::store) async fn drop_target(&self, id: &str) -> Result<bool, StoreError> {
        for state in [DeliveryState::Delivered, DeliveryState::Dead, DeliveryState::Pending] {
            let some = || Step::new(DROP_SOME, vec![Value::text(id), Value::count(STEP), Value::text(state.as_str())]);
            while self.run(Kind::Scan, async |db| counted(&db, some()).await).await? >= STEP {}
        }
        self.run(Kind::Lookup, async |db| drop_target(&db, id).await).await
    }

    pub(in crate::store) async fn outbox(&self) -> Result<OutboxState, StoreError> {
        self.run(Kind::Lookup, async |db| state(&db).await).await
    }

    pub(in crate::store) async fn fan_out(&self, step: FanOut) -> Result<bool, StoreError> {
        self.run(Kind::Lookup, async |db| deliveries::fan_out(&db, &step).await).await
    }

    pub(in crate::store) async fn lease_deliveries(&self, lease: DeliveryLease) -> Result<LeasedDeliveries, StoreError> {
        self.run(Kind::Lookup, async |db| deliveries::lease(&db, &lease).await).await
    }

    pub(in crate::store) async fn mark_deliveries(&self, marks: Vec<DeliveryMark>) -> Result<Vec<bool>, StoreError> {
        self.run(Kind::Lookup, async |db| deliveries::mark(&db, &marks).await).await
    }

    pub(in crate::store) async fn deliveries(&self, filter: DeliveryFilter) -> Result<DeliveryPage, StoreError> {
        self.run(Kind::Scan, async |db| deliveries::page(&db, &filter).await).await
    }

    pub(in crate::store) async fn delivery_states(&self, target: &str, events: &[String]) -> Result<DeliveryStates, StoreError> {
        self.run(Kind::Lookup, async |db| states(&db, target, events).await).await
    }

    pub(in crate::store) async fn redeliver(&self, target: &str, which: Redelivery, now: Millis) -> Result<usize, StoreError> {
        let (mut all, mut after) = (0, Some(FIRST));
        while let Some(place) = after {
            let step = async |db: std::sync::Arc<Db>| deliveries::redeliver(&db, target, &which, (place, STEP, now)).await;
            let (count, last) = self.run(Kind::Scan, step).await?;
            (all, after) = (all + count, last);
        }
        Ok(all)
    }

    pub(in crate::store) async fn give_up_deliveries(&self, give_up: GiveUp) -> Result<usize, StoreError> {
        let mut steps = Steps::of(give_up.limit, STEP);
        while let Some(step) = steps.next() {
            steps.took(self.run(Kind::Scan, async |db| deliveries::give_up(&db, &give_up, step).await).await?);
        }
        Ok(steps.taken())
    }

    pub(in crate::store) async fn forget_deliveries(&self, before: Millis, limit: usize) -> Result<usize, StoreError> {
        let mut steps = Steps::of(limit, STEP);
        while let Some(step) = steps.next() {
            let some = || Step::new(FORGET, vec![Value::whole(before.0), Value::count(step)]);
            steps.took(self.run(Kind::Scan, async |db| counted(&db, some()).await).await?);
        }
        Ok(steps.taken())
    }
}
