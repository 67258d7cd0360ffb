//! The sieve of a file: made after the commits, by blocks, a little at a time; until then calls stand in the *tail*, and are looked at.
//!
//! Properties wanted:
//! - A commit does nothing for it: the index of the tail tells by itself which calls are ahead of it, also when another release wrote them.
//! - A search misses nothing at any moment: a call is marked as sieved, at the revision that was read, after its block can be read.
//! - The writer is never held up for long: every transaction is small. A block half made is swept away by the next one who tends.
//!
//! *A call is written while its block is made*: its revision is another one than the mark, so it stays in the tail. *It is erased meanwhile*: its
//! mark finds nobody, and the block is made anew, as it is whenever one of its calls is erased.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    SqliteStore,
    readers::Read,
    rows::{WORDS_FROM_N, words_of},
};
use crate::{
    call::time::{Millis, SECOND},
    store::{
        StoreError,
        pack::Packer,
        sieve::{BYTES, Block, SLOTS, Slice, Wanted, keep, slots},
    },
};

/// Calls in a block, as numbers of rows.
const CALLS: i64 = 1_024;
const _: () = assert!(CALLS.unsigned_abs() == SLOTS as u64, "a slot for each call of a block");
/// A call that was quiet for so long, in milliseconds, is worth to be sieved: most are not written again.
const QUIET: i64 = 600 * SECOND;
/// So many calls of a block that are not quiet yet don't keep it from being made.
const LIVELY: i64 = 16;
/// So many of its calls in the tail are reason to make a block anew.
const MANY: i64 = 128;
/// So many that no other block need be looked for.
const PLENTY: i64 = 512;
/// A tail that is longer has to be worked off, however few calls each block has in it: every search looks at all of it.
const LONG_TAIL: i64 = 4_096;
/// Slices that one transaction writes or drops.
const SLICES_AT_ONCE: usize = 512;
/// Calls that one transaction marks.
const MARKS_AT_ONCE: usize = 256;

/// The numbers of all calls that may have these words, in no order; `None` when words of this kind can't be told apart.
pub(super) fn through(db: &Connection, words: &[String]) -> rusqlite::Result<Option<Vec<i64>>> {
    let Some(wanted) = Wanted::of(words) else { return Ok(None) };
    let mut find = db.prepare_cached("SELECT n FROM calls INDEXED BY calls_unsieved WHERE sieved IS NOT revision")?;
    let mut found = find.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    let mut blocks = db.prepare_cached("SELECT build, block, slices FROM sieve_blocks WHERE live = 1")?;
    let mut slice = db.prepare_cached("SELECT calls FROM sieve WHERE build = ?1 AND slice = ?2")?;
    let mut rows = blocks.query([])?;
    while let Some(row) = rows.next()? {
        let (build, block, slices): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let mut calls = [0xff; BYTES];
        let mut is_any = true;
        for number in wanted.slices(usize::try_from(slices).unwrap_or_default()) {
            let bits = |row: &rusqlite::Row<'_>| Ok(keep(&mut calls, row.get_ref(0)?.as_blob().unwrap_or_default()));
            is_any = slice.query_row(params![build, i64::try_from(number).unwrap_or_default()], bits).optional()?.unwrap_or_default();
            if !is_any {
                break;
            }
        }
        if is_any {
            found.extend(slots(&calls).map(|slot| block * CALLS + i64::try_from(slot).unwrap_or_default()));
        }
    }
    Ok(Some(found))
}

/// The block that is to be made next, if any.
fn next_block(db: &Connection, now: Millis) -> rusqlite::Result<Option<i64>> {
    let stale = db.prepare_cached("SELECT block FROM sieve_blocks WHERE live = 1 AND stale > 0 LIMIT 1")?.query_row([], |row| row.get(0));
    if let Some(block) = stale.optional()? {
        return Ok(Some(block));
    }
    // The block of the newest call is still filling.
    let filling = db.query_row("SELECT ifnull(max(n), 0) / ?1 FROM calls", [CALLS], |row| row.get::<_, i64>(0))?;
    let mut measure =
        db.prepare_cached("SELECT count(*) FROM (SELECT 1 FROM calls INDEXED BY calls_unsieved WHERE sieved IS NOT revision LIMIT ?1)")?;
    let is_long = measure.query_row([LONG_TAIL], |row| row.get::<_, i64>(0))? >= LONG_TAIL;
    let mut first = db.prepare_cached("SELECT min(n) FROM calls INDEXED BY calls_unsieved WHERE sieved IS NOT revision AND n >= ?1")?;
    let mut count = db.prepare_cached(
        "SELECT count(*), ifnull(sum(updated_at > ?3), 0) FROM calls INDEXED BY calls_unsieved \
         WHERE sieved IS NOT revision AND n >= ?1 AND n < ?1 + ?2",
    )?;
    let (mut best, mut from) = (None, 0);
    while let Some(n) = first.query_row([from], |row| row.get::<_, Option<i64>>(0))? {
        let block = n / CALLS;
        if block >= filling {
            break;
        }
        let counted = count.query_row([block * CALLS, CALLS, now.plus(-QUIET).0], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)));
        let (behind, lively) = counted?;
        let quiet = behind - lively;
        if lively <= LIVELY && (quiet >= MANY || (is_long && quiet > 0)) && best.is_none_or(|(_, most)| quiet > most) {
            best = Some((block, quiet));
        }
        if quiet >= PLENTY && lively <= LIVELY {
            break;
        }
        from = (block + 1) * CALLS;
    }
    Ok(best.map(|(block, _)| block))
}

/// A block as it was read: its slices, and its calls with the revision that was read of each and whether it was sieved before.
struct Made {
    block: i64,
    slices: Vec<Slice>,
    calls: Vec<(i64, i64)>,
    is_empty: bool,
}

fn made(db: &Connection, block: i64, packer: &Packer) -> Result<Made, StoreError> {
    let mut find = db.prepare_cached(WORDS_FROM_N)?;
    let mut rows = find.query([block * CALLS, CALLS])?;
    let (mut slices, mut calls, mut is_empty) = (Block::new(), Vec::new(), true);
    while let Some(row) = rows.next()? {
        let (n, revision, is_sieved): (i64, i64, bool) = (row.get(3)?, row.get(4)?, row.get(5)?);
        let text = words_of(row, packer)?;
        slices.add(usize::try_from(n % CALLS).unwrap_or_default(), &text);
        is_empty = false;
        if !is_sieved {
            calls.push((n, revision));
        }
    }
    Ok(Made { block, slices: slices.folded(), calls, is_empty })
}

/// Drops some slices of a block that nobody reads; tells whether there was any.
fn sweep(db: &Connection) -> rusqlite::Result<bool> {
    let gone = db.prepare_cached("SELECT build FROM sieve_blocks WHERE live = 0 LIMIT 1")?.query_row([], |row| row.get::<_, i64>(0));
    let Some(build) = gone.optional()? else { return Ok(false) };
    let limit = i64::try_from(SLICES_AT_ONCE).unwrap_or(i64::MAX);
    let mut drop =
        db.prepare_cached("DELETE FROM sieve WHERE build = ?1 AND slice IN (SELECT slice FROM sieve WHERE build = ?1 LIMIT ?2)")?;
    if drop.execute([build, limit])? < SLICES_AT_ONCE {
        db.prepare_cached("DELETE FROM sieve_blocks WHERE build = ?1")?.execute([build])?;
    }
    Ok(true)
}

fn retire(db: &Connection, block: i64) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE sieve_blocks SET live = 0 WHERE live = 1 AND block = ?1")?.execute([block]).map(drop)
}

fn begin(db: &Connection, block: i64, slices: usize) -> rusqlite::Result<i64> {
    db.prepare_cached("INSERT INTO sieve_blocks (block, slices, live) VALUES (?1, ?2, 0)")?
        .insert(params![block, i64::try_from(slices).unwrap_or(i64::MAX)])
}

fn put(db: &Connection, build: i64, slices: &[(usize, Slice)]) -> rusqlite::Result<()> {
    let mut put = db.prepare_cached("INSERT INTO sieve (build, slice, calls) VALUES (?1, ?2, ?3)")?;
    for (slice, calls) in slices {
        put.execute(params![build, i64::try_from(*slice).unwrap_or(i64::MAX), calls])?;
    }
    Ok(())
}

/// From now on this one is read.
fn swap(db: &Connection, block: i64, build: i64) -> rusqlite::Result<()> {
    retire(db, block)?;
    db.prepare_cached("UPDATE sieve_blocks SET live = 1 WHERE build = ?1")?.execute([build]).map(drop)
}

fn mark(db: &Connection, build: i64, calls: &[(i64, i64)]) -> rusqlite::Result<()> {
    let mut mark = db.prepare_cached("UPDATE calls SET sieved = ?2 WHERE n = ?1")?;
    let mut erased = 0;
    for (n, revision) in calls {
        erased += i64::from(mark.execute([n, revision])? == 0);
    }
    if erased > 0 {
        db.prepare_cached("UPDATE sieve_blocks SET stale = stale + ?2 WHERE build = ?1")?.execute([build, erased])?;
    }
    Ok(())
}

/// Nothing is sieved any more: what it was made of was in clear, or under another key.
pub(super) fn clear(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch("UPDATE calls SET sieved = NULL WHERE sieved IS NOT NULL; DELETE FROM sieve; DELETE FROM sieve_blocks;")
}

impl SqliteStore {
    /// Makes one block of the sieve, or sweeps up after one; returns how many calls it was about.
    pub(super) async fn sift(&self, now: Millis) -> Result<usize, StoreError> {
        // Two at once would sweep away what the other one makes.
        let _turn = self.shared.tending.lock().await;
        if self.shared.writer.submit(SLICES_AT_ONCE * BYTES, sweep).await? {
            return Ok(1);
        }
        let Some(block) = self.shared.readers.read(Read::Scan, move |db| Ok(next_block(db, now)?)).await? else { return Ok(0) };
        let packer = Arc::clone(&self.shared.packer);
        let Made { block, slices, calls, is_empty } = self.shared.readers.read(Read::Scan, move |db| made(db, block, &packer)).await?;
        if is_empty {
            self.write(move |db| retire(db, block)).await?;
            return Ok(1);
        }
        let (count, marks) = (slices.len(), calls.len());
        let build = self.write(move |db| begin(db, block, count)).await?;
        let filled: Vec<(usize, Slice)> = slices.into_iter().enumerate().filter(|(_, slice)| slice.iter().any(|byte| *byte != 0)).collect();
        for part in filled.chunks(SLICES_AT_ONCE).map(<[_]>::to_vec) {
            self.shared.writer.submit(SLICES_AT_ONCE * BYTES, move |db| put(db, build, &part)).await?;
        }
        self.write(move |db| swap(db, block, build)).await?;
        for part in calls.chunks(MARKS_AT_ONCE).map(<[_]>::to_vec) {
            self.write(move |db| mark(db, build, &part)).await?;
        }
        Ok(marks.max(1))
    }
}
