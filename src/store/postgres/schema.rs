//! The schema and its changes, embedded in order.
//!
//! Table `ringback.migrations` holds a row for each step taken: *major × 1000 + step*. Within a major the steps only add, so this release runs
//! on a schema that is further along; a newer major stops the start. Changes are made in one transaction, by one instance at a time.

use super::{
    fault::Fault,
    link::Db,
    step::{Step, Value},
};
use crate::store::{
    Migrate,
    tombstone::{LENGTH, TombstoneKey},
};

/// Steps in one major.
const MAJOR: i64 = 1_000;
/// The lock of whoever changes the schema: "Ringback" in ASCII.
const LOCK: &str = "SELECT pg_advisory_xact_lock(x'52696e676261636b'::bigint)";
/// Another instance may take its time; whoever holds a table is waited for only so long, and then again: others wait behind us.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '20s'";
/// The changes, oldest first: the version each leads to, and its SQL.
const STEPS: &[(i64, &str)] = &[
    (1_001, include_str!("../migrations/postgres/0001_calls.sql")),
    (1_002, include_str!("../migrations/postgres/0002_results.sql")),
    (1_003, include_str!("../migrations/postgres/0003_links.sql")),
    (1_004, include_str!("../migrations/postgres/0004_news.sql")),
    (1_005, include_str!("../migrations/postgres/0005_unpublished.sql")),
    (1_006, include_str!("../migrations/postgres/0006_outbox.sql")),
    (1_007, include_str!("../migrations/postgres/0007_documents.sql")),
    (1_008, include_str!("../migrations/postgres/0008_figures.sql")),
];
/// Who may see what; at each start.
const ACCESS: &str = include_str!("../migrations/postgres/access.sql");

/// Before the first step.
const FOUNDATION: &str = "CREATE SCHEMA IF NOT EXISTS ringback; \
    CREATE TABLE IF NOT EXISTS ringback.migrations (version bigint PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())";
/// Asked of the catalogue itself: `to_regclass` may answer from what this connection remembers of before it waited for the lock.
const IS_THERE: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE n.nspname = 'ringback' AND c.relname = 'migrations')";
const STANDING: &str = "SELECT coalesce(max(version), 0) FROM ringback.migrations";
const APPLIED: &str = "INSERT INTO ringback.migrations (version) VALUES ($1)";
const KEEP_KEY: &str = "INSERT INTO ringback.meta (key, value) VALUES ('tombstone_key', $1) ON CONFLICT (key) DO NOTHING";
const KEY: &str = "SELECT value FROM ringback.meta WHERE key = 'tombstone_key'";

const STILL: &str = "SELECT (SELECT max(version) FROM ringback.migrations), (SELECT value FROM ringback.meta WHERE key = 'tombstone_key')";

/// Is the schema there, as far along as this release needs it, with this key?
pub(super) async fn is_still(db: &Db, key: &TombstoneKey) -> Result<bool, Fault> {
    let row = match db.query_one(&Step::new(STILL, Vec::new())).await {
        // No such table.
        Err(Fault::Refused(why)) if why.starts_with("42P01") => return Ok(false),
        row => row?,
    };
    let (standing, there): (Option<i64>, Option<Vec<u8>>) = (row.try_get(0)?, row.try_get(1)?);
    let newest = STEPS.last().map_or(0, |step| step.0);
    let is_ours = standing.is_some_and(|standing| standing >= newest && standing / MAJOR == newest / MAJOR);
    Ok(is_ours && there.as_deref() == Some(&key.as_bytes()[..]))
}

/// Brings the schema to where this release needs it, or says why that can't be. Returns the key of the tombstones, which is made with the store;
/// a new one is the `known` one, if there is any: instances that knew the store before go on with it.
pub(super) async fn prepare(db: &Db, migrate: Migrate, known: Option<&TombstoneKey>) -> Result<TombstoneKey, Fault> {
    let newest = STEPS.last().map_or(0, |step| step.0);
    let standing = standing(db).await?;
    if standing / MAJOR > newest / MAJOR {
        return Err(Fault::Unusable(format!(
            "the database was written by a newer major release of Ringback (its schema is {standing}, this release knows {newest}): start that release"
        )));
    }
    match migrate {
        Migrate::Check if standing < newest => {
            return Err(Fault::Behind(format!(
                "the schema of the database is behind (it is {standing}, this release needs {newest}) and MIGRATE is check: run `ringback migrate` first"
            )));
        }
        Migrate::Check => {}
        Migrate::Auto => change(db).await.map_err(explained)?,
    }
    let fresh = known.cloned().unwrap_or_else(TombstoneKey::random);
    db.query(&Step::new(KEEP_KEY, vec![Value::bytes(fresh.as_bytes())])).await.map_err(explained)?;
    let row = db.query_one(&Step::new(KEY, Vec::new())).await?;
    let key = row.try_get::<_, &[u8]>(0)?.first_chunk::<LENGTH>();
    let broken = || Fault::Unusable("ringback.meta: tombstone_key is broken".to_owned());
    Ok(TombstoneKey::from_bytes(*key.ok_or_else(broken)?))
}

/// The schema's version; 0 when there is none.
async fn standing(db: &Db) -> Result<i64, Fault> {
    if !db.query_one(&Step::new(IS_THERE, Vec::new())).await?.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    Ok(db.query_one(&Step::new(STANDING, Vec::new())).await?.try_get(0)?)
}

/// Takes the steps that are missing, and sees to it that only those may look who shall.
async fn change(db: &Db) -> Result<(), Fault> {
    db.simple(BEGIN).await?;
    db.simple(LOCK).await?;
    let before = standing(db).await?;
    let mut standing = before;
    if standing == 0 {
        db.simple(FOUNDATION).await?;
    }
    for (version, sql) in STEPS {
        if *version > standing {
            db.simple(sql).await?;
            db.query(&Step::new(APPLIED, vec![Value::whole(*version)])).await?;
            standing = *version;
        }
    }
    db.simple(ACCESS).await?;
    db.simple("COMMIT").await?;
    if standing > before {
        tracing::info!(from = before, to = standing, "The database's schema was brought up to date");
    }
    Ok(())
}

/// What the operator can do where the server only refuses.
fn explained(fault: Fault) -> Fault {
    match fault {
        Fault::Unusable(text) if text.starts_with("42501") => Fault::Unusable(format!(
            "the role of the URL may not do what is needed ({text}): it must be allowed to create a schema in the database, a table in schema \
             public, and to own public.vapi_call_results if that is there already"
        )),
        // Classes 53 and 58: no room, no memory, no disk; that may pass.
        Fault::Refused(text) if !text.starts_with("53") && !text.starts_with("58") => {
            Fault::Unusable(format!("the schema can't be brought up to date: {text}"))
        }
        other => other,
    }
}
