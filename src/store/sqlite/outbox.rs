//! What is on its way: targets, and the verbs.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{SqliteStore, deliveries, news, readers::Read};
use crate::{
    call::{news::NewsItem, time::Millis},
    store::{
        DeliveryFilter, DeliveryLease, DeliveryMark, DeliveryPage, DeliveryState, DeliveryStates, FanOut, GiveUp, LeasedDeliveries,
        OutboxState, Redelivery, StoreError, StoredTarget, Targets,
        moving::{ResealStage, Resealed},
        pack::Packer,
        rows::count,
        steps::Steps,
        vault::Place,
    },
};

/// Deliveries that one transaction takes where there may be many, so that commits get their turn in between.
const STEP: usize = 500;

/// A target as it is stored.
type TargetRow = (String, Option<String>, i64, Vec<u8>);

fn read(row: &Row<'_>) -> rusqlite::Result<TargetRow> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

fn opened((id, scope, revision, body): TargetRow, packer: &Packer) -> Result<StoredTarget, StoreError> {
    let body = packer.open(Place::Target(&id), &body)?;
    Ok(StoredTarget { id, scope, revision: revision.cast_unsigned(), body })
}

/// Counts a change of a subscription.
fn count_change(db: &Connection) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE outbox SET generation = generation + 1")?.execute([]).map(|_| ())
}

fn put(db: &Connection, (target, body): (&StoredTarget, &[u8]), expected: Option<u64>) -> rusqlite::Result<bool> {
    let revision = target.revision.cast_signed();
    let written = match expected {
        None => db
            .prepare_cached("INSERT OR IGNORE INTO targets (id, scope, revision, body) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![target.id, target.scope, revision, body])?,
        Some(expected) => db
            .prepare_cached("UPDATE targets SET revision = ?2, body = ?3 WHERE id = ?1 AND revision = ?4")?
            .execute(params![target.id, revision, body, expected.cast_signed()])?,
    };
    if written > 0 && target.scope.is_none() {
        count_change(db)?;
    }
    Ok(written > 0)
}

/// Drops at most `limit` deliveries of a target, of the pending ones the newest first, so that those left keep their turns.
fn drop_deliveries(db: &Connection, id: &str, limit: usize) -> rusqlite::Result<usize> {
    // One state after another: an index has them in order.
    let mut drop = db.prepare_cached(
        "DELETE FROM deliveries WHERE n IN (SELECT n FROM deliveries WHERE state = ?2 AND target = ?1 ORDER BY n DESC LIMIT ?3)",
    )?;
    let mut gone = 0;
    for state in [DeliveryState::Delivered, DeliveryState::Dead, DeliveryState::Pending] {
        let left = count(limit - gone);
        gone += drop.execute(params![id, state.as_str(), left])?;
    }
    Ok(gone)
}

fn drop_target(db: &Connection, id: &str) -> rusqlite::Result<bool> {
    let mut drop = db.prepare_cached("DELETE FROM targets WHERE id = ?1 RETURNING scope IS NULL")?;
    let Some(is_subscription) = drop.query_row([id], |row| row.get::<_, bool>(0)).optional()? else { return Ok(false) };
    if is_subscription {
        count_change(db)?;
    }
    drop_deliveries(db, id, usize::MAX)?;
    Ok(true)
}

fn state(db: &Connection) -> rusqlite::Result<OutboxState> {
    let mut find = db.prepare_cached(
        "SELECT generation, fanned, EXISTS (SELECT 1 FROM targets WHERE scope IS NULL), EXISTS (SELECT 1 FROM targets WHERE scope IS NOT NULL) \
         FROM outbox",
    )?;
    find.query_row([], |row| {
        Ok(OutboxState {
            generation: row.get::<_, i64>(0)?.cast_unsigned(),
            fanned: row.get::<_, i64>(1)?.cast_unsigned(),
            subscriptions: row.get(2)?,
            callbacks: row.get(3)?,
        })
    })
}

fn state_of(db: &Connection, target: &str, event: &str) -> rusqlite::Result<Option<DeliveryState>> {
    let mut find = db.prepare_cached("SELECT state FROM deliveries WHERE target = ?1 AND event_id = ?2")?;
    let state: Option<String> = find.query_row([target, event], |row| row.get(0)).optional()?;
    Ok(state.and_then(|state| DeliveryState::parse(&state)))
}

fn forget(db: &Connection, before: Millis, limit: usize) -> rusqlite::Result<usize> {
    db.prepare_cached("DELETE FROM deliveries WHERE n IN (SELECT n FROM deliveries WHERE settled_at < ?1 ORDER BY settled_at LIMIT ?2)")?
        .execute(params![before.0, count(limit)])
}

/// Targets behind a place whose bodies are to be written anew: id, revision, body; how many were looked at; the last of them.
type Stale = (Vec<(String, i64, Vec<u8>)>, usize, Option<String>);

fn stale(db: &Connection, after: &str, limit: usize, packer: &Packer) -> Result<Stale, StoreError> {
    let mut find = db.prepare_cached("SELECT id, scope, revision, body FROM targets WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let rows = find.query_map(params![after, count(limit)], read)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let (seen, last) = (rows.len(), rows.last().map(|row| row.0.clone()));
    let mut stale = Vec::new();
    for (id, _, revision, body) in rows {
        if let Some(body) = packer.reseal(Place::Target(&id), &body)? {
            stale.push((id, revision, body));
        }
    }
    Ok((stale, seen, last))
}

impl SqliteStore {
    /// Encrypts the bodies of at most `limit` targets behind a place with the newest key.
    pub(super) async fn reseal_targets(&self, after: String, limit: usize) -> Result<Resealed, StoreError> {
        let packer = Arc::clone(&self.shared.packer);
        let (stale, seen, last) = self.shared.readers.read(Read::Scan, move |db| stale(db, &after, limit, &packer)).await?;
        let put = move |db: &Connection| {
            let mut put = db.prepare_cached("UPDATE targets SET body = ?3 WHERE id = ?1 AND revision = ?2")?;
            stale.iter().map(|(id, revision, body)| put.execute(params![id, revision, body])).sum::<rusqlite::Result<usize>>()
        };
        let written = self.write(put).await?;
        Ok(Resealed { seen, written, next: last.map(|id| ResealStage::Targets(id).to_string()) })
    }

    pub(in crate::store) async fn targets(&self, scope: Option<&str>) -> Result<Targets, StoreError> {
        let (scope, packer) = (scope.map(str::to_owned), Arc::clone(&self.shared.packer));
        let find = move |db: &Connection| {
            // One look at both, so that they belong together.
            let together = db.unchecked_transaction()?;
            let generation = state(&together)?.generation;
            let mut find = together.prepare_cached("SELECT id, scope, revision, body FROM targets WHERE scope IS ?1 ORDER BY id")?;
            let rows = find.query_map([scope], read)?.collect::<rusqlite::Result<Vec<_>>>()?;
            let targets = rows.into_iter().map(|row| opened(row, &packer)).collect::<Result<_, _>>()?;
            Ok(Targets { generation, targets })
        };
        self.shared.readers.read(Read::Lookup, find).await
    }

    pub(in crate::store) async fn target(&self, id: &str) -> Result<Option<StoredTarget>, StoreError> {
        let (id, packer) = (id.to_owned(), Arc::clone(&self.shared.packer));
        let find = move |db: &Connection| {
            let mut find = db.prepare_cached("SELECT id, scope, revision, body FROM targets WHERE id = ?1")?;
            find.query_row([id], read).optional()?.map(|row| opened(row, &packer)).transpose()
        };
        self.shared.readers.read(Read::Lookup, find).await
    }

    pub(in crate::store) async fn put_target(&self, target: StoredTarget, expected: Option<u64>) -> Result<bool, StoreError> {
        let body = self.shared.packer.seal(Place::Target(&target.id), &target.body)?;
        self.write(move |db| put(db, (&target, &body), expected)).await
    }

    pub(in crate::store) async fn put_target_and_tell(
        &self,
        target: StoredTarget,
        expected: Option<u64>,
        news: NewsItem,
    ) -> Result<bool, StoreError> {
        let body = self.shared.packer.seal(Place::Target(&target.id), &target.body)?;
        let put = move |db: &Connection| {
            let put = put(db, (&target, &body), expected)?;
            if put {
                news::add_about_none(db, &news)?;
            }
            Ok(put)
        };
        self.write(put).await
    }

    pub(in crate::store) async fn drop_target(&self, id: &str) -> Result<bool, StoreError> {
        loop {
            let target = id.to_owned();
            if self.write(move |db| drop_deliveries(db, &target, STEP)).await? < STEP {
                break;
            }
        }
        let id = id.to_owned();
        // Its secrets are to leave the files.
        self.shared.writer.submit_and_cut(move |db| drop_target(db, &id)).await
    }

    pub(in crate::store) async fn outbox(&self) -> Result<OutboxState, StoreError> {
        self.shared.readers.read(Read::Lookup, |db| Ok(state(db)?)).await
    }

    pub(in crate::store) async fn fan_out(&self, step: FanOut) -> Result<bool, StoreError> {
        self.write(move |db| deliveries::fan_out(db, &step)).await
    }

    pub(in crate::store) async fn lease_deliveries(&self, lease: DeliveryLease) -> Result<LeasedDeliveries, StoreError> {
        let (deliveries, next) = self.write(move |db| deliveries::lease(db, &lease)).await?;
        Ok(LeasedDeliveries { deliveries, next })
    }

    pub(in crate::store) async fn mark_deliveries(&self, marks: Vec<DeliveryMark>) -> Result<Vec<bool>, StoreError> {
        self.write(move |db| marks.into_iter().map(|mark| deliveries::mark(db, mark)).collect()).await
    }

    pub(in crate::store) async fn deliveries(&self, filter: DeliveryFilter) -> Result<DeliveryPage, StoreError> {
        let find = move |db: &Connection| {
            let mut rows = deliveries::page(db, &filter, filter.limit.saturating_add(1))?;
            let more = rows.len() > filter.limit;
            rows.truncate(filter.limit);
            let next = rows.last().filter(|_| more).map(|kept| kept.n.cast_unsigned());
            Ok(DeliveryPage { deliveries: rows.into_iter().map(|kept| kept.delivery).collect(), next })
        };
        self.shared.readers.read(Read::Scan, find).await
    }

    pub(in crate::store) async fn delivery_states(&self, target: &str, events: &[String]) -> Result<DeliveryStates, StoreError> {
        let (target, events) = (target.to_owned(), events.to_vec());
        let find = move |db: &Connection| Ok(events.iter().map(|event| state_of(db, &target, event)).collect::<rusqlite::Result<_>>()?);
        self.shared.readers.read(Read::Scan, find).await
    }

    pub(in crate::store) async fn redeliver(&self, target: &str, which: Redelivery, now: Millis) -> Result<usize, StoreError> {
        let (mut all, mut after) = (0, Some(0));
        let which = Arc::new(which);
        while let Some(place) = after {
            let (target, which) = (target.to_owned(), Arc::clone(&which));
            let (count, last) = self.write(move |db| deliveries::redeliver(db, &target, &which, (place, STEP, now))).await?;
            (all, after) = (all + count, last);
        }
        Ok(all)
    }

    pub(in crate::store) async fn give_up_deliveries(&self, give_up: GiveUp) -> Result<usize, StoreError> {
        let give_up = Arc::new(give_up);
        let mut steps = Steps::of(give_up.limit, STEP);
        while let Some(step) = steps.next() {
            let give_up = Arc::clone(&give_up);
            steps.took(self.write(move |db| deliveries::give_up(db, &give_up, step)).await?);
        }
        Ok(steps.taken())
    }

    pub(in crate::store) async fn forget_deliveries(&self, before: Millis, limit: usize) -> Result<usize, StoreError> {
        let mut steps = Steps::of(limit, STEP);
        while let Some(step) = steps.next() {
            steps.took(self.write(move |db| forget(db, before, step)).await?);
        }
        Ok(steps.taken())
    }
}
