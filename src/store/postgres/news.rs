//! The log of news.
//!
//! *Two commits at once*: numbers are given out in the order in which they are asked for, and not in that of the commits; so whoever adds
//! entries holds one lock from before the numbers are given until the commit. Telling other instances (`NOTIFY`) makes commits wait for each
//! other in the same way, so that costs little.

use tokio_postgres::Row;

use super::{
    fault::Fault,
    link::Db,
    step::{Step, Value},
};
use crate::{
    call::{
        id::CallId,
        news::{NewsEntry, NewsItem, NewsKind},
        time::Millis,
    },
    store::{NewsPage, StoreError, rows::call_id},
};

/// The lock of whoever adds to the log: `RingNews` in ASCII.
pub(super) const LOG: i64 = 0x5269_6e67_4e65_7773;
/// Stands in the place of a call where there is none.
pub(super) const NO_CALL: &str = "";
const LOCK_LOG: &str = "SELECT pg_advisory_xact_lock($1)";
const ADD: &str = "INSERT INTO ringback.news (at, call_id, sequence, kind, about) \
    SELECT i.at, i.call_id, i.sequence, i.kind, i.about FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[]) \
    WITH ORDINALITY AS i (at, call_id, sequence, kind, about, place) ORDER BY i.place";

/// Adds what there is to tell of each call; the last of what a transaction writes.
pub(super) fn steps<'a>(news: &'a [(&'a str, &'a NewsItem)]) -> [Step<'a>; 2] {
    let values = vec![
        Value::wholes(news, |(_, item)| Some(item.at.0)),
        Value::texts(news, |(id, _)| Some(id)),
        Value::wholes(news, |(_, item)| Some(item.sequence.cast_signed())),
        Value::texts(news, |(_, item)| Some(item.kind.as_str())),
        Value::texts(news, |(_, item)| item.about.as_deref()),
    ];
    [Step::new(LOCK_LOG, vec![Value::whole(LOG)]), Step::new(ADD, values)]
}

const OF_ALL: &str = "SELECT n, at, call_id, sequence, kind, about FROM ringback.news WHERE n > $1 ORDER BY n LIMIT $2";
const OF_CALL: &str = "SELECT n, at, call_id, sequence, kind, about FROM ringback.news WHERE n > $1 AND call_id = $3 ORDER BY n LIMIT $2";
const SPAN: &str = "SELECT (SELECT n FROM ringback.news_gone), (SELECT max(n) FROM ringback.news)";

/// At most `limit` entries after a position, of one call or of all.
pub(super) async fn page(db: &Db, after: u64, call: Option<&CallId>, limit: usize) -> Result<NewsPage, Fault> {
    let mut values = vec![Value::whole(after.cast_signed()), Value::count(limit)];
    values.extend(call.map(|id| Value::text(id.as_str())));
    let entries = Step::new(if call.is_some() { OF_CALL } else { OF_ALL }, values);
    // The span second: what is committed in between is beyond the page, and not before it.
    let mut answers = db.pipeline(None, &[entries, Step::new(SPAN, Vec::new())], None).await?.into_iter();
    let rows = answers.next().unwrap_or_default();
    let rows = rows.iter().map(read).collect::<Result<Vec<_>, Fault>>()?;
    let span = answers.next().unwrap_or_default();
    let span = span.first().ok_or_else(|| Fault::Refused("a row is missing".to_owned()))?;
    let number = |column: usize| Ok::<_, Fault>(span.try_get::<_, Option<i64>>(column)?.unwrap_or_default().cast_unsigned());
    Ok(NewsPage::of(rows, (after, limit), (number(0)?, number(1)?)))
}

/// Position and entry, if it is of a kind that we know.
fn read(row: &Row) -> Result<(u64, Option<NewsEntry>), Fault> {
    let position = row.try_get::<_, i64>(0)?.cast_unsigned();
    let Some(kind) = NewsKind::parse(row.try_get(4)?) else { return Ok((position, None)) };
    let item = NewsItem { at: Millis(row.try_get(1)?), sequence: row.try_get::<_, i64>(3)?.cast_unsigned(), kind, about: row.try_get(5)? };
    let id: &str = row.try_get(2)?;
    let call_id = (id != NO_CALL).then(|| call_id(id)).transpose().map_err(|error: StoreError| Fault::Refused(error.to_string()))?;
    Ok((position, Some(NewsEntry { position, call_id, item })))
}

const FORGET: &str = "WITH old AS (SELECT max(n) AS n FROM (SELECT n, at FROM ringback.news ORDER BY n LIMIT $2) AS oldest WHERE at < $1),
gone AS (UPDATE ringback.news_gone g SET n = old.n FROM old WHERE old.n > g.n),
dropped AS (DELETE FROM ringback.news e USING old WHERE e.n <= old.n RETURNING e.n)
SELECT count(*) FROM dropped";

/// Drops at most `limit` of the oldest entries, those from before a moment; returns how many went.
pub(super) async fn forget(db: &Db, before: Millis, limit: usize) -> Result<usize, Fault> {
    let values = vec![Value::whole(before.0), Value::count(limit)];
    let row = db.query_one(&Step::new(FORGET, values)).await?;
    Ok(usize::try_from(row.try_get::<_, i64>(0)?).unwrap_or_default())
}
