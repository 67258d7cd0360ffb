//! The log of news.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::{
    call::{
        id::CallId,
        news::{NewsEntry, NewsItem, NewsKind},
        time::Millis,
    },
    store::{
        NewsPage, StoreError,
        rows::{call_id, count},
    },
};

/// Stands in the place of a call where there is none.
const NO_CALL: &str = "";

/// Adds what there is to tell of a call.
pub(super) fn add(db: &Connection, id: &CallId, news: &[NewsItem]) -> rusqlite::Result<()> {
    add_about(db, id.as_str(), news)
}

/// Adds what is about no call.
pub(super) fn add_about_none(db: &Connection, news: &NewsItem) -> rusqlite::Result<()> {
    add_about(db, NO_CALL, std::slice::from_ref(news))
}

fn add_about(db: &Connection, id: &str, news: &[NewsItem]) -> rusqlite::Result<()> {
    for item in news {
        db.prepare_cached("INSERT INTO news (at, call_id, sequence, kind, about) VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
            item.at.0,
            id,
            item.sequence.cast_signed(),
            item.kind.as_str(),
            item.about
        ])?;
    }
    Ok(())
}

/// How much was told of a call; `None` when there is no such call.
pub(super) fn told(db: &Connection, id: &CallId) -> rusqlite::Result<Option<u64>> {
    let mut find = db.prepare_cached("SELECT news FROM calls WHERE id = ?1")?;
    find.query_row([id.as_str()], |row| row.get::<_, i64>(0)).optional().map(|told| told.map(i64::cast_unsigned))
}

/// Tells that a call was erased, of which so much had been told.
pub(super) fn add_erased(db: &Connection, id: &CallId, told: u64, at: Millis) -> rusqlite::Result<()> {
    add(db, id, &[NewsItem { at, sequence: told + 1, kind: NewsKind::Deleted, about: None }])
}

const OF_ALL: &str = "SELECT n, at, call_id, sequence, kind, about FROM news WHERE n > ?1 ORDER BY n LIMIT ?2";
const OF_CALL: &str = "SELECT n, at, call_id, sequence, kind, about FROM news WHERE n > ?1 AND call_id = ?3 ORDER BY n LIMIT ?2";
const SPAN: &str = "SELECT (SELECT n FROM news_gone), (SELECT max(n) FROM news)";

/// At most `limit` entries after a position, of one call or of all.
pub(super) fn page(db: &Connection, after: u64, call: Option<&CallId>, limit: usize) -> Result<NewsPage, StoreError> {
    let (from, most) = (after.cast_signed(), count(limit));
    let rows = match call {
        None => db.prepare_cached(OF_ALL)?.query_map(params![from, most], read)?.collect::<rusqlite::Result<Vec<_>>>()?,
        Some(id) => db.prepare_cached(OF_CALL)?.query_map(params![from, most, id.as_str()], read)?.collect::<rusqlite::Result<Vec<_>>>()?,
    };
    let rows =
        rows.into_iter().map(|(position, row)| Ok((position, row.map(entry).transpose()?))).collect::<Result<Vec<_>, StoreError>>()?;
    let span =
        |row: &Row<'_>| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, Option<i64>>(1)?.unwrap_or_default().cast_unsigned()));
    let span = db.prepare_cached(SPAN)?.query_row([], span)?;
    Ok(NewsPage::of(rows, (after, limit), span))
}

type Known = (u64, String, NewsItem);

/// Position and entry, if it is of a kind that we know.
fn read(row: &Row<'_>) -> rusqlite::Result<(u64, Option<Known>)> {
    let position = row.get::<_, i64>(0)?.cast_unsigned();
    let Some(kind) = NewsKind::parse(row.get_ref(4)?.as_str()?) else { return Ok((position, None)) };
    let item = NewsItem { at: Millis(row.get(1)?), sequence: row.get::<_, i64>(3)?.cast_unsigned(), kind, about: row.get(5)? };
    Ok((position, Some((position, row.get(2)?, item))))
}

fn entry((position, id, item): Known) -> Result<NewsEntry, StoreError> {
    let call_id = if id == NO_CALL { None } else { Some(call_id(&id)?) };
    Ok(NewsEntry { position, call_id, item })
}

/// Drops at most `limit` of the oldest entries, those from before a moment; returns how many went.
pub(super) fn forget(db: &Connection, before: Millis, limit: usize) -> rusqlite::Result<usize> {
    let mut oldest = db.prepare_cached("SELECT n, at FROM news ORDER BY n LIMIT ?1")?;
    let rows = oldest.query_map([count(limit)], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
    let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let Some((last, _)) = rows.into_iter().take_while(|(_, at)| *at < before.0).last() else { return Ok(0) };
    db.prepare_cached("UPDATE news_gone SET n = ?1")?.execute([last])?;
    db.prepare_cached("DELETE FROM news WHERE n <= ?1")?.execute([last])
}
