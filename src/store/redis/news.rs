//! The log of news.

use std::collections::HashMap;

use redis::cmd;

use super::{
    fault::Fault,
    keys::{key, key_of},
    link::{Kind, Lines},
    scripts::Scripts,
};
use crate::{
    call::{
        id::CallId,
        news::{NewsEntry, NewsItem, NewsKind},
        time::Millis,
    },
    store::{NewsPage, StoreError, rows::call_id},
};

/// An entry as the server has it: its id, names and values.
type Row = (String, HashMap<String, String>);

/// At most `limit` entries after a position, of one call or of all.
pub(super) async fn page(lines: &Lines, after: u64, call: Option<&CallId>, limit: usize) -> Result<NewsPage, Fault> {
    let log = call.map_or_else(|| key("log"), |id| key_of("log", id.as_str()));
    let mut words = redis::pipe();
    words.cmd("XRANGE").arg(log).arg(format!("({after}-0")).arg("+").arg("COUNT").arg(limit);
    words.add_command(cmd("MGET")).arg(key("gone")).arg(key("told"));
    let (rows, span): (Vec<Row>, (Option<u64>, Option<u64>)) = lines.all(Kind::Lookup, &words).await?;
    let rows = rows.into_iter().map(read).collect::<Result<Vec<_>, StoreError>>()?;
    Ok(NewsPage::of(rows, (after, limit), (span.0.unwrap_or_default(), span.1.unwrap_or_default())))
}

/// Position and entry, if it is of a kind that we know.
fn read((id, mut row): Row) -> Result<(u64, Option<NewsEntry>), StoreError> {
    let broken = || StoreError::Unavailable("the log of news is broken".to_owned());
    let position = id.split('-').next().and_then(|number| number.parse().ok()).ok_or_else(broken)?;
    let Some(kind) = row.get("kind").and_then(|word| NewsKind::parse(word)) else { return Ok((position, None)) };
    let number = |name: &str| row.get(name).and_then(|number| number.parse::<i64>().ok()).ok_or_else(broken);
    let (at, sequence) = (Millis(number("at")?), number("sequence")?.cast_unsigned());
    // Of what is about no call there is nothing.
    let call_id = row.get("call").filter(|id| !id.is_empty()).map(|id| call_id(id)).transpose()?;
    let item = NewsItem { at, sequence, kind, about: row.remove("about").filter(|about| !about.is_empty()) };
    Ok((position, Some(NewsEntry { position, call_id, item })))
}

/// Drops at most `limit` of the oldest entries, those from before a moment; returns how many went.
pub(super) async fn forget(lines: &Lines, scripts: &Scripts, before: Millis, limit: usize) -> Result<usize, Fault> {
    let mut call = scripts.forget();
    call.arg(before.0).arg(limit);
    lines.run(Kind::Scan, &call).await
}
