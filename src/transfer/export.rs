//! A store, or the rest of it, as lines: the calls newest first, then events without a record, then subscriptions, then tombstones.
//!
//! Deliveries stay: what was on its way stays with the store that had it. Documents stay: placings under way and how far something came belong to
//! the service that works on them, answers to idempotency keys and batches to where they were given. The log of news is of its store, too, and so
//! are counts of what left no call behind.

use std::io::{BufRead, Write};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    TransferError, Watcher, go_on,
    line::{End, FORMAT, Head, Line, MovedCall, MovedEvent, MovedGrave, MovedSubscription, encoded},
};
use crate::{
    call::time::Millis,
    store::{CallFilter, PageCursor, Store},
};

/// Calls, or events, that are asked for at once.
const PAGE: usize = 100;
/// Timelines that are asked for at the same time.
const AT_ONCE: usize = 8;

/// What an unfinished export says of itself.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// Lines that count.
    pub lines: u64,
    /// Their bytes; what follows is to be cut off.
    pub bytes: u64,
    head: Option<Head>,
    calls: u64,
    cursor: Option<PageCursor>,
    place: Option<String>,
}

/// Looks through an export that did not come to its end.
///
/// # Errors
/// When it can't be read, or is none.
pub fn written(mut file: impl BufRead) -> Result<Written, TransferError> {
    let (mut written, mut text) = (Written::default(), Vec::new());
    let (mut lines, mut bytes) = (0, 0);
    loop {
        text.clear();
        bytes += file.read_until(b'\n', &mut text)? as u64;
        lines += 1;
        if text.pop() != Some(b'\n') {
            return Ok(written);
        }
        let line = serde_json::from_slice(&text).ok();
        match line {
            Some(Line::Ringback(head)) if lines == 1 => written.head = Some(head),
            Some(Line::Call(call)) if lines > 1 => {
                written.cursor = Some(PageCursor { at: call.created_at, id: call.id });
                written.calls += 1;
            }
            // A page counts when it is whole.
            Some(Line::Event(event)) if lines > 1 && event.place.is_none() => continue,
            Some(Line::Event(event)) if lines > 1 => written.place = event.place,
            // They are few, and come all at once: again from the first.
            Some(Line::Subscription(_) | Line::Tombstone(_) | Line::End(_)) if lines > 1 => return Ok(written),
            _ => return Err(TransferError::Refused("the unfinished file is no export of Ringback's: move it away".to_owned())),
        }
        (written.lines, written.bytes) = (lines, bytes);
    }
}

/// Writes everything in the store that is not `written` yet; returns how many calls there are in all.
///
/// # Errors
/// When the store or the file fails, when what is written is of another store, or when it was stopped.
pub async fn export(
    store: &Store,
    out: &mut (dyn Write + Send),
    written: Written,
    now: Millis,
    watcher: &mut (dyn Watcher + Send),
) -> Result<u64, TransferError> {
    let key = encoded(&store.graves().await?.key);
    if written.head.as_ref().is_some_and(|head| head.tombstone_key != key) {
        return Err(TransferError::Refused("the unfinished file is an export of another store: move it away".to_owned()));
    }
    let all = store.amounts().await?.calls;
    let mut pen = Pen { out, lines: written.lines };
    if written.head.is_none() {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        pen.write(&Line::Ringback(Head { format: FORMAT, version, exported_at: now.0, tombstone_key: key }))?;
    }
    let mut calls = written.calls;
    let mut cursor = written.cursor;
    loop {
        go_on(watcher)?;
        let page = store.list(CallFilter { limit: PAGE, cursor, ..CallFilter::default() }).await?;
        let lines = stream::iter(&page.calls).map(async |call| {
            let timeline = store.timeline(&call.id, true).await?;
            Ok::<_, TransferError>(Line::Call(Box::new(MovedCall::of(call, timeline))))
        });
        let lines: Vec<Line> = lines.buffered(AT_ONCE).try_collect().await?;
        lines.iter().try_for_each(|line| pen.write(line))?;
        calls += lines.len() as u64;
        watcher.told(calls, all);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    strays(store, &mut pen, written.place, watcher).await?;
    for target in store.targets(None).await?.targets {
        let body = encoded(&target.body);
        pen.write(&Line::Subscription(MovedSubscription { id: target.id, revision: target.revision, body }))?;
    }
    // Last of all: a call that was deleted since its line was written must not come back.
    for (hash, at) in &store.graves().await?.all {
        pen.write(&Line::Tombstone(MovedGrave { hash: encoded(hash), at: *at }))?;
    }
    pen.write(&Line::End(End { lines: pen.lines + 1 }))?;
    pen.out.flush()?;
    Ok(calls)
}

async fn strays(store: &Store, pen: &mut Pen<'_>, mut after: Option<String>, watcher: &dyn Watcher) -> Result<(), TransferError> {
    loop {
        go_on(watcher)?;
        let strays = store.strays(after, PAGE).await?;
        let count = strays.events.len();
        for (number, (call_id, entry)) in strays.events.into_iter().enumerate() {
            let place = strays.next.clone().filter(|_| number + 1 == count);
            pen.write(&Line::Event(Box::new(MovedEvent { place, ..MovedEvent::of(call_id, entry) })))?;
        }
        after = strays.next;
        if after.is_none() || count == 0 {
            return Ok(());
        }
    }
}

struct Pen<'a> {
    out: &'a mut (dyn Write + Send),
    lines: u64,
}

impl Pen<'_> {
    fn write(&mut self, line: &Line) -> Result<(), TransferError> {
        let mut json = serde_json::to_vec(line).map_err(std::io::Error::other)?;
        json.push(b'\n');
        self.out.write_all(&json)?;
        self.lines += 1;
        Ok(())
    }
}
