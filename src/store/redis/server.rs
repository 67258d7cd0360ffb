//! What kind of server it is, and whether calls may be entrusted to it.
//!
//! A 200 to Vapi means that the event is stored for good. A Redis keeps that promise if it appends to a file (`appendonly yes`) and flushes it
//! before it answers (`appendfsync always`), and if it never removes keys by itself (`maxmemory-policy noeviction`).

use std::collections::HashMap;

use redis::{RedisResult, cmd};
use tracing::warn;

use super::{fault::Fault, keys::key, link::Db};
use crate::store::{
    Migrate,
    tombstone::{LENGTH, TombstoneKey},
};

/// The schema of this release: major × 1000 + step. Within a major, steps only add.
const SCHEMA: i64 = 1_001;
/// Steps in one major.
const MAJOR: i64 = 1_000;
/// The oldest server that knows all we ask of it.
const OLDEST: (u32, u32) = (6, 2);

/// What the server says about itself.
#[derive(Debug, Default)]
pub(super) struct Traits(HashMap<String, String>);

impl Traits {
    pub(super) fn read(info: &str) -> Self {
        let pairs = info.lines().filter_map(|line| line.split_once(':'));
        Self(pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    fn version(&self) -> Option<(u32, u32)> {
        let mut parts = self.text("redis_version")?.split('.').map(|part| part.parse().ok());
        Some((parts.next()??, parts.next()??))
    }
}

/// Asks, and decides whether the server can be used at all. `first`: the store was not open before.
pub(super) async fn inspect(db: &mut Db, ephemeral_ok: bool, first: bool) -> Result<(), Fault> {
    let info: RedisResult<String> = cmd("INFO").query_async(db).await;
    let mut traits = Traits::read(&permitted(info)?.unwrap_or_default());
    for name in ["appendfsync", "no-appendfsync-on-rewrite", "maxmemory-policy"] {
        let told: RedisResult<Vec<(String, String)>> = cmd("CONFIG").arg("GET").arg(name).query_async(db).await;
        traits.0.extend(permitted(told)?.unwrap_or_default());
    }
    for warning in judge(&traits, ephemeral_ok, first)? {
        if first {
            warn!("DATABASE_URL: {warning}");
        }
    }
    Ok(())
}

/// An answer; `None` where the provider does not let us ask, so that we can't know.
pub(super) fn permitted<T>(answer: RedisResult<T>) -> Result<Option<T>, Fault> {
    match answer.map_err(Fault::from) {
        Ok(answer) => Ok(Some(answer)),
        Err(Fault::Refused(_)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Sentences for the log; or why the server can't be used.
fn judge(traits: &Traits, ephemeral_ok: bool, first: bool) -> Result<Vec<String>, Fault> {
    let unusable = |why: String| Err(Fault::Unusable(why));
    if traits.version().is_some_and(|version| version < OLDEST) {
        return unusable(format!("this is Redis {}; 6.2 is the oldest that will do", traits.text("redis_version").unwrap_or_default()));
    }
    if traits.text("redis_mode") == Some("cluster") {
        return unusable("the server is part of a cluster: Ringback needs all its keys on one server".to_owned());
    }
    if traits.text("role").is_some_and(|role| role != "master") {
        let why = "the server is a read-only replica: name the primary in the URL".to_owned();
        // Once it was the primary; it may have swapped places, and a proxy or a name will soon lead to the other one.
        return Err(if first { Fault::Unusable(why) } else { Fault::Lost(why) });
    }
    match traits.text("maxmemory_policy").or_else(|| traits.text("maxmemory-policy")) {
        Some("noeviction") => {}
        Some(policy) => {
            return unusable(format!(
                "the server removes keys when its memory is full (maxmemory-policy is {policy}): set it to noeviction"
            ));
        }
        None if ephemeral_ok => {}
        None => {
            return unusable(
                "the server does not tell its maxmemory-policy; if you know that it is noeviction, put ?ephemeral=true behind the URL"
                    .to_owned(),
            );
        }
    }
    let Some(risk) = risk(traits) else { return Ok(Vec::new()) };
    if ephemeral_ok {
        return Ok(vec![risk]);
    }
    unusable(format!(
        "{risk}. Set `appendonly yes` and `appendfsync always` on the server, or accept the loss with ?ephemeral=true behind the URL"
    ))
}

/// What may become of acknowledged events; `None` if they are safe.
fn risk(traits: &Traits) -> Option<String> {
    let fsync = traits.text("appendfsync");
    Some(match (traits.text("aof_enabled"), fsync, traits.text("no-appendfsync-on-rewrite")) {
        (Some("0"), _, _) => "the server keeps no append-only file: whatever was acknowledged since its last snapshot is lost when it restarts".to_owned(),
        (Some(_), Some("always"), Some("yes")) => {
            "the server does not flush its file while it rewrites it (no-appendfsync-on-rewrite is yes): a power failure then takes what was acknowledged"
                .to_owned()
        }
        (Some(_), Some("always"), _) => return None,
        (Some(_), Some(fsync), _) => {
            format!("the server flushes its file later than it answers (appendfsync is {fsync}): a power failure takes the last seconds of what was acknowledged")
        }
        _ => "the server does not tell whether it flushes its file before it answers: a power failure may take what was acknowledged".to_owned(),
    })
}

/// Brings the schema up to date, writes once, and returns the key of the tombstones. `known`: the key from before.
pub(super) async fn prepare(db: &mut Db, migrate: Migrate, known: Option<&TombstoneKey>) -> Result<TombstoneKey, Fault> {
    let place = key("meta");
    let standing: Option<i64> = cmd("HGET").arg(&place).arg("schema").query_async(db).await?;
    match standing {
        Some(standing) if standing / MAJOR > SCHEMA / MAJOR => {
            return Err(Fault::Unusable(format!(
                "what is stored was written by a newer major release of Ringback (its schema is {standing}, this release knows {SCHEMA}): start that release"
            )));
        }
        Some(standing) if standing >= SCHEMA => {}
        behind if migrate == Migrate::Check && known.is_none() => {
            return Err(Fault::Behind(format!(
                "the schema is behind (it is {}, this release needs {SCHEMA}) and MIGRATE is check: run `ringback migrate` first",
                behind.unwrap_or_default()
            )));
        }
        _ => {
            let () = cmd("HSET").arg(&place).arg("schema").arg(SCHEMA).query_async(db).await?;
        }
    }
    probe(db).await?;
    let fresh = known.cloned().unwrap_or_else(TombstoneKey::random);
    let is_new: bool = cmd("HSETNX").arg(&place).arg("tombstone_key").arg(&fresh.as_bytes()[..]).query_async(db).await?;
    let bytes: Vec<u8> = cmd("HGET").arg(&place).arg("tombstone_key").query_async(db).await?;
    let bytes = <[u8; LENGTH]>::try_from(bytes).map_err(|_long| Fault::Unusable("the key of the tombstones is broken".to_owned()))?;
    match known {
        Some(_) if is_new => warn!("The server has lost what was stored in it; the store begins anew"),
        Some(known) if *known.as_bytes() != bytes => {
            return Err(Fault::Unusable("the server holds another store than before: restart Ringback to use it".to_owned()));
        }
        _ => {}
    }
    Ok(TombstoneKey::from_bytes(bytes))
}

/// Proves that the server can be written.
pub(super) async fn probe(db: &mut Db) -> RedisResult<()> {
    cmd("HSET").arg(key("meta")).arg("probe").arg(uuid::Uuid::new_v4().as_bytes()).query_async(db).await
}

#[cfg(test)]
mod tests;
