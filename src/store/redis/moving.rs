//! What it takes to move a store and to rekey it: notes, tombstones, events without a record, bodies under the newest key.

use redis::{cmd, pipe};

use super::{
    RedisStore, document,
    fault::Fault,
    keys::{key, key_of},
    link::{Db, Kind, Lines},
    outbox,
    rows::told_events,
    scripts::Scripts,
};
use crate::store::{
    StoreError,
    moving::{Amounts, Graves, ResealStage, Resealed, Strays},
    pack::Packer,
    rows::{call_id, count},
    vault::{Place, RING, Vault},
};

/// Tombstones that one script call takes: more would keep others waiting.
const BURIED_AT_ONCE: usize = 1_000;

/// Finds out whether the keys are those that the store needs.
pub(super) async fn admit(db: &mut Db, scripts: &Scripts, vault: &Vault) -> Result<(), Fault> {
    let has_calls: bool = cmd("EXISTS").arg(key("by:created")).query_async(db).await?;
    loop {
        let note: Option<Vec<u8>> = cmd("HGET").arg(key("meta")).arg(RING).query_async(db).await?;
        let refused = |why| Fault::Unusable(format!("the store can't be read: {why}"));
        let Some(next) = vault.admit(note.as_deref(), has_calls).map_err(refused)? else { return Ok(()) };
        let mut call = scripts.note();
        let _: u8 = call.arg(RING).arg(note.unwrap_or_default()).arg(next).invoke_async(db).await?;
    }
}

async fn note(lines: &Lines, name: &str) -> Result<Option<Vec<u8>>, Fault> {
    lines.one(Kind::Lookup, cmd("HGET").arg(key("meta")).arg(name)).await
}

async fn set_note(lines: &Lines, scripts: &Scripts, name: &str, from: Option<&[u8]>, to: &[u8]) -> Result<bool, Fault> {
    let mut call = scripts.note();
    call.arg(name).arg(from.unwrap_or_default()).arg(to);
    lines.run(Kind::Lookup, &call).await
}

/// Members of a set that is sorted by time, from one moment on: at least `limit` if there are so many, and all of the last one's moment.
async fn page(lines: &Lines, place: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, i64)>, Fault> {
    let place = key(place);
    let range = async |from: &str, to: &str, limit: i64| -> Result<Vec<(String, i64)>, Fault> {
        let mut range = cmd("ZRANGEBYSCORE");
        range.arg(&place).arg(from).arg(to).arg("WITHSCORES").arg("LIMIT").arg(0).arg(limit);
        lines.one(Kind::Scan, &range).await
    };
    let from = after.map_or_else(|| "-inf".to_owned(), |after| format!("({after}"));
    let mut members = range(&from, "+inf", count(limit)).await?;
    if let Some((_, last)) = members.last().cloned() {
        members.retain(|(_, at)| *at != last);
        members.extend(range(&last.to_string(), &last.to_string(), -1).await?);
    }
    Ok(members)
}

async fn strays(lines: &Lines, after: Option<&str>, limit: usize, packer: &Packer) -> Result<Strays, Fault> {
    let members = page(lines, "stray", after, limit).await?;
    let mut strays = Strays { events: Vec::new(), next: members.last().map(|(_, at)| at.to_string()) };
    for (event, _) in members {
        let call: String = lines.one(Kind::Scan, cmd("HGET").arg(key_of("event", &event)).arg("call")).await?;
        let call = Some(call).filter(|call| !call.is_empty());
        let id = call.as_deref().map(call_id).transpose()?;
        let told = told_events(lines, &[event], call.as_deref(), true, packer).await?;
        strays.events.extend(told.into_iter().map(|entry| (id.clone(), entry)));
    }
    Ok(strays)
}

async fn graves(lines: &Lines) -> Result<Vec<(Vec<u8>, i64)>, Fault> {
    lines.one(Kind::Scan, cmd("ZRANGE").arg(key("tombstones")).arg(0).arg(-1).arg("WITHSCORES")).await
}

async fn bury(lines: &Lines, scripts: &Scripts, graves: &Graves) -> Result<bool, Fault> {
    let none: [&[(Vec<u8>, i64)]; 1] = [&[]];
    let parts = graves.all.chunks(BURIED_AT_ONCE);
    for part in none.into_iter().chain(parts) {
        let mut call = scripts.bury();
        call.arg(&graves.key[..]);
        for (hash, at) in part {
            call.arg(&hash[..]).arg(*at);
        }
        if !lines.run(Kind::Scan, &call).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Call and body of an event.
type BodyRow = (Option<String>, Option<Vec<u8>>);

async fn reseal(lines: &Lines, scripts: &Scripts, (after, limit): (Option<String>, usize), packer: &Packer) -> Result<Resealed, Fault> {
    let mut stage = ResealStage::at(after);
    loop {
        let resealed = match &stage {
            ResealStage::Bodies(after) => reseal_bodies(lines, scripts, (after.as_deref(), limit), packer).await?,
            ResealStage::Targets(after) => outbox::reseal(lines, scripts, (after, limit), packer).await?,
            ResealStage::Documents(kind, id) => document::reseal(lines, scripts, ((kind, id), limit), packer).await?,
        };
        match stage.next() {
            Some(next) if resealed.seen == 0 => stage = next,
            _ => return Ok(resealed),
        }
    }
}

async fn reseal_bodies(
    lines: &Lines,
    scripts: &Scripts,
    (after, limit): (Option<&str>, usize),
    packer: &Packer,
) -> Result<Resealed, Fault> {
    let members = page(lines, "bodies", after, limit).await?;
    if members.is_empty() {
        return Ok(Resealed::default());
    }
    let mut words = pipe();
    for (event, _) in &members {
        words.cmd("HMGET").arg(key_of("event", event)).arg(&["call", "body"][..]);
    }
    let rows: Vec<BodyRow> = lines.all(Kind::Scan, &words).await?;
    let (mut call, mut written) = (scripts.reseal(), 0);
    for ((event, _), (place, body)) in members.iter().zip(rows) {
        let place = Place::Body { call: place.as_deref().filter(|place| !place.is_empty()), event };
        if let Some(body) = body.map(|body| packer.reseal(place, &body)).transpose()?.flatten() {
            call.arg(event).arg(body);
            written += 1;
        }
    }
    if written > 0 {
        let _: usize = lines.run(Kind::Scan, &call).await?;
    }
    Ok(Resealed { seen: members.len(), written, next: members.last().map(|(_, at)| at.to_string()) })
}

impl RedisStore {
    pub(in crate::store) fn data_key(&self) -> Option<String> {
        self.shared.packer.vault().newest()
    }

    pub(in crate::store) async fn strays(&self, after: Option<String>, limit: usize) -> Result<Strays, StoreError> {
        Ok(strays(self.lines()?, after.as_deref(), limit, &self.shared.packer).await?)
    }

    pub(in crate::store) async fn graves(&self) -> Result<Graves, StoreError> {
        let key = self.shared.ready()?.tombstones.as_bytes().to_vec();
        Ok(Graves { key, all: graves(self.lines()?).await? })
    }

    pub(in crate::store) async fn bury(&self, graves: Graves) -> Result<bool, StoreError> {
        Ok(bury(self.lines()?, &self.shared.scripts, &graves).await?)
    }

    pub(in crate::store) async fn amounts(&self) -> Result<Amounts, StoreError> {
        let mut words = pipe();
        words.cmd("ZCARD").arg(key("by:created")).cmd("ZCARD").arg(key("bodies"));
        let (calls, bodies) = self.lines()?.all(Kind::Scan, &words).await?;
        Ok(Amounts { calls, bodies })
    }

    pub(in crate::store) async fn note(&self, name: &'static str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(note(self.lines()?, name).await?)
    }

    pub(in crate::store) async fn set_note(&self, name: &'static str, from: Option<Vec<u8>>, to: Vec<u8>) -> Result<bool, StoreError> {
        Ok(set_note(self.lines()?, &self.shared.scripts, name, from.as_deref(), &to).await?)
    }

    pub(in crate::store) async fn reseal(&self, after: Option<String>, limit: usize) -> Result<Resealed, StoreError> {
        Ok(reseal(self.lines()?, &self.shared.scripts, (after, limit), &self.shared.packer).await?)
    }

    pub(in crate::store) async fn forget_keys(&self) -> Result<(), StoreError> {
        let lines = self.lines()?;
        let there = note(lines, RING).await?;
        match there.as_deref().and_then(|there| self.shared.packer.vault().rekeyed(there)) {
            Some(next) => Ok(set_note(lines, &self.shared.scripts, RING, there.as_deref(), &next).await.map(drop)?),
            None => Ok(()),
        }
    }
}
