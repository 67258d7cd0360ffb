//! What is on its way: targets, and the verbs.

use redis::{cmd, pipe};

use super::{
    RedisStore,
    deliveries::{self, STEP},
    fault::Fault,
    keys::{key, key_of},
    link::{Kind, Lines},
    scripts::{Scripts, token},
};
use crate::{
    call::{news::NewsItem, time::Millis},
    store::{
        DeliveryFilter, DeliveryLease, DeliveryMark, DeliveryPage, DeliveryStates, FanOut, GiveUp, LeasedDeliveries, OutboxState,
        Redelivery, StoreError, StoredTarget, Targets,
        moving::{ResealStage, Resealed},
        pack::Packer,
        vault::Place,
    },
};

/// Scope, revision and body of a target.
type Row = (Option<String>, Option<u64>, Option<Vec<u8>>);

fn read(id: String, row: Row, packer: &Packer) -> Result<Option<StoredTarget>, StoreError> {
    let (Some(scope), Some(revision), Some(body)) = row else { return Ok(None) };
    let body = packer.open(Place::Target(&id), &body)?;
    Ok(Some(StoredTarget { id, scope: Some(scope).filter(|scope| !scope.is_empty()), revision, body }))
}

async fn targets(lines: &Lines, scripts: &Scripts, scope: Option<&str>, packer: &Packer) -> Result<Targets, Fault> {
    let broken = || StoreError::Unavailable("the targets can't be read".to_owned());
    let mut call = scripts.targets();
    call.arg(scope.unwrap_or_default());
    let answer: Vec<Vec<u8>> = lines.run(Kind::Lookup, &call).await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let generation = answer.first().and_then(|number| text(number).parse().ok()).ok_or_else(broken)?;
    let mut targets = Vec::new();
    for part in answer[1..].chunks_exact(4) {
        let row = (Some(text(&part[1])), text(&part[2]).parse().ok(), Some(part[3].clone()));
        targets.extend(read(text(&part[0]), row, packer)?);
    }
    targets.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    Ok(Targets { generation, targets })
}

async fn row(lines: &Lines, id: &str) -> Result<Row, Fault> {
    lines.one(Kind::Lookup, cmd("HMGET").arg(key_of("target", id)).arg(&["scope", "revision", "body"][..])).await
}

async fn put(
    lines: &Lines,
    scripts: &Scripts,
    (target, body): (&StoredTarget, &[u8]),
    (expected, news): (Option<u64>, Option<&NewsItem>),
) -> Result<bool, Fault> {
    let mut call = scripts.target();
    let expected = expected.map_or_else(String::new, |revision| revision.to_string());
    call.arg(token()).arg(&target.id).arg(target.scope.as_deref().unwrap_or_default()).arg(target.revision).arg(expected).arg(body);
    if let Some(NewsItem { at, kind, about, .. }) = news {
        call.arg(at.0).arg(kind.as_str()).arg(about.as_deref().unwrap_or_default());
    }
    let done: Vec<u8> = lines.run(Kind::Lookup, &call).await?;
    Ok(done == [1])
}

async fn drop_target(lines: &Lines, scripts: &Scripts, id: &str) -> Result<bool, Fault> {
    loop {
        let mut call = scripts.untarget();
        call.arg(token()).arg(id).arg(STEP);
        let (count, was_there): (usize, bool) = lines.run(Kind::Scan, &call).await?;
        if count < STEP {
            return Ok(was_there);
        }
    }
}

async fn state(lines: &Lines) -> Result<OutboxState, Fault> {
    let mut words = pipe();
    words.atomic();
    words.cmd("HMGET").arg(key("outbox")).arg(&["generation", "fanned"][..]);
    words.cmd("EXISTS").arg(key("subscriptions")).cmd("EXISTS").arg(key("callbacks"));
    let ((generation, fanned), subscriptions, callbacks): ((Option<u64>, Option<u64>), bool, bool) =
        lines.all(Kind::Lookup, &words).await?;
    Ok(OutboxState { generation: generation.unwrap_or_default(), fanned: fanned.unwrap_or_default(), subscriptions, callbacks })
}

/// Encrypts the bodies of at most `limit` targets behind a place with the newest key.
pub(super) async fn reseal(lines: &Lines, scripts: &Scripts, (after, limit): (&str, usize), packer: &Packer) -> Result<Resealed, Fault> {
    let mut words = pipe();
    words.cmd("SMEMBERS").arg(key("subscriptions")).cmd("SMEMBERS").arg(key("callbacks"));
    let all: Vec<Vec<String>> = lines.all(Kind::Scan, &words).await?;
    let mut ids: Vec<String> = all.into_iter().flatten().filter(|id| id.as_str() > after).collect();
    ids.sort_unstable();
    ids.truncate(limit);
    let (mut call, mut written) = (scripts.retarget(), 0);
    for id in &ids {
        let (_, Some(revision), Some(body)) = row(lines, id).await? else { continue };
        if let Some(body) = packer.reseal(Place::Target(id), &body)? {
            call.arg(id).arg(revision).arg(body);
            written += 1;
        }
    }
    if written > 0 {
        let _: usize = lines.run(Kind::Scan, &call).await?;
    }
    Ok(Resealed { seen: ids.len(), written, next: ids.last().map(|id| ResealStage::Targets(id.clone()).to_string()) })
}

impl RedisStore {
    pub(in crate::store) async fn targets(&self, scope: Option<&str>) -> Result<Targets, StoreError> {
        Ok(targets(self.lines()?, &self.shared.scripts, scope, &self.shared.packer).await?)
    }

    pub(in crate::store) async fn target(&self, id: &str) -> Result<Option<StoredTarget>, StoreError> {
        read(id.to_owned(), row(self.lines()?, id).await?, &self.shared.packer)
    }

    pub(in crate::store) async fn put_target(&self, target: StoredTarget, expected: Option<u64>) -> Result<bool, StoreError> {
        let body = self.shared.packer.seal(Place::Target(&target.id), &target.body)?;
        Ok(put(self.lines()?, &self.shared.scripts, (&target, &body), (expected, None)).await?)
    }

    pub(in crate::store) async fn put_target_and_tell(
        &self,
        target: StoredTarget,
        expected: Option<u64>,
        news: NewsItem,
    ) -> Result<bool, StoreError> {
        let body = self.shared.packer.seal(Place::Target(&target.id), &target.body)?;
        Ok(put(self.lines()?, &self.shared.scripts, (&target, &body), (expected, Some(&news))).await?)
    }

    pub(in crate::store) async fn drop_target(&self, id: &str) -> Result<bool, StoreError> {
        Ok(drop_target(self.lines()?, &self.shared.scripts, id).await?)
    }

    pub(in crate::store) async fn outbox(&self) -> Result<OutboxState, StoreError> {
        Ok(state(self.lines()?).await?)
    }

    pub(in crate::store) async fn fan_out(&self, step: FanOut) -> Result<bool, StoreError> {
        Ok(deliveries::fan_out(self.lines()?, &self.shared.scripts, &step).await?)
    }

    pub(in crate::store) async fn lease_deliveries(&self, lease: DeliveryLease) -> Result<LeasedDeliveries, StoreError> {
        Ok(deliveries::lease(self.lines()?, &self.shared.scripts, &lease).await?)
    }

    pub(in crate::store) async fn mark_deliveries(&self, marks: Vec<DeliveryMark>) -> Result<Vec<bool>, StoreError> {
        Ok(deliveries::mark(self.lines()?, &self.shared.scripts, &marks).await?)
    }

    pub(in crate::store) async fn deliveries(&self, filter: DeliveryFilter) -> Result<DeliveryPage, StoreError> {
        Ok(deliveries::page(self.lines()?, &filter).await?)
    }

    pub(in crate::store) async fn delivery_states(&self, target: &str, events: &[String]) -> Result<DeliveryStates, StoreError> {
        Ok(deliveries::states(self.lines()?, target, events).await?)
    }

    pub(in crate::store) async fn redeliver(&self, target: &str, which: Redelivery, now: Millis) -> Result<usize, StoreError> {
        Ok(deliveries::redeliver(self.lines()?, &self.shared.scripts, (target, now), &which).await?)
    }

    pub(in crate::store) async fn give_up_deliveries(&self, give_up: GiveUp) -> Result<usize, StoreError> {
        Ok(deliveries::give_up(self.lines()?, &self.shared.scripts, &give_up).await?)
    }

    pub(in crate::store) async fn forget_deliveries(&self, before: Millis, limit: usize) -> Result<usize, StoreError> {
        Ok(deliveries::forget(self.lines()?, &self.shared.scripts, before, limit).await?)
    }
}
