//! Lists: a filter becomes SQL, except for words, which are looked for here, in the calls that the sieve lets through.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension as _, params_from_iter, types::Value};

use super::{
    rows::{WORDS_BY_N, words_of},
    sieve,
};
use crate::{
    call::time::Millis,
    store::{
        CallFilter, CallPage, PageCursor, SortBy, StoreError,
        pack::Packer,
        rows::{CallRow, call_id, count},
    },
};

/// Of so many calls all that may be on the page are sorted and looked at; more are walked through in order.
const FEW: usize = 32_768;

/// Conditions and what is bound in them. Values never become part of the text.
#[derive(Default)]
pub(super) struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    fn and(&mut self, condition: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.extend(values);
    }

    fn and_any(&mut self, column: &str, wanted: &[String]) {
        if !wanted.is_empty() {
            self.and(&format!("{column} IN ({})", marks(wanted.len())), texts(wanted));
        }
    }

    /// Everything that is asked for but the number.
    pub(super) fn of(filter: &CallFilter) -> Self {
        let mut all = Self::default();
        let moment = column(filter.by);
        if filter.by == SortBy::EndedAt {
            all.and("c.ended_at IS NOT NULL", []);
        }
        all.and_any("c.status", &filter.status);
        all.and_any("c.call_status", &filter.call_status);
        all.and_any("c.data_status", &filter.data_status);
        all.and_any("c.assistant_id", &filter.assistant_id);
        all.and_any("c.provider_id", &filter.provider_id);
        all.and_any("c.service_request_id", &filter.service_request_id);
        all.and_any("c.correlation_id", &filter.correlation_id);
        for (key, wanted) in filter.metadata.iter().filter(|(_, wanted)| !wanted.is_empty()) {
            let exists = format!("EXISTS (SELECT 1 FROM json_each(c.metadata) WHERE key = ? AND value IN ({}))", marks(wanted.len()));
            all.and(&exists, [Value::from(key.clone())].into_iter().chain(texts(wanted)));
        }
        if let Some(Millis(since)) = filter.since {
            all.and(&format!("{moment} >= ?"), [since.into()]);
        }
        if let Some(Millis(until)) = filter.until {
            all.and(&format!("{moment} < ?"), [until.into()]);
        }
        if let Some(PageCursor { at: Millis(at), id }) = &filter.cursor {
            all.and(&format!("({moment}, c.id) < (?, ?)"), [(*at).into(), id.as_str().to_owned().into()]);
        }
        all
    }

    /// The statement that finds the page.
    ///
    /// Each number is looked for in each of its two columns, by an index that has the calls in order, and only as far as the page can reach.
    fn page(self, filter: &CallFilter) -> (String, Vec<Value>) {
        let moment = column(filter.by);
        let wanted = filter.limit.saturating_add(1);
        let [limit, offset, reach] = [wanted, filter.offset, wanted.saturating_add(filter.offset)].map(number);
        let rows = |condition: &str| {
            let conditions = &self.sql;
            format!(
                "SELECT c.n, {moment} AS moment, c.id FROM calls c WHERE {condition}{conditions} ORDER BY {moment} DESC, c.id DESC LIMIT ?"
            )
        };
        if filter.phone.is_empty() {
            return (rows("true") + " OFFSET ?", self.values.iter().cloned().chain([limit, offset]).collect());
        }
        let (mut parts, mut values) = (Vec::new(), Vec::new());
        for (column, digits) in
            ["customer_digits", "provider_digits"].into_iter().flat_map(|column| filter.phone.iter().map(move |it| (column, it)))
        {
            parts.push(format!("SELECT * FROM ({})", rows(&format!("c.{column} = ?"))));
            values.push(Value::from(digits.clone()));
            values.extend(self.values.iter().cloned().chain([reach.clone()]));
        }
        values.extend([limit, offset]);
        (parts.join(" UNION ") + " ORDER BY moment DESC, id DESC LIMIT ? OFFSET ?", values)
    }

    /// With the number, too.
    pub(super) fn with_phone(mut self, filter: &CallFilter) -> Self {
        if !filter.phone.is_empty() {
            let marks = marks(filter.phone.len());
            let either = format!("(c.customer_digits IN ({marks}) OR c.provider_digits IN ({marks}))");
            self.and(&either, texts(&filter.phone).chain(texts(&filter.phone)));
        }
        self
    }

    /// What follows a first condition, and its values.
    pub(super) fn parts(self) -> (String, Vec<Value>) {
        (self.sql, self.values)
    }

    /// The statement that goes through everything.
    fn walk(self, filter: &CallFilter) -> (String, Vec<Value>) {
        let (conditions, values) = self.with_phone(filter).parts();
        let moment = column(filter.by);
        (format!("SELECT c.n, {moment}, c.id FROM calls c WHERE true{conditions} ORDER BY {moment} DESC, c.id DESC"), values)
    }
}

fn number(number: usize) -> Value {
    Value::from(count(number))
}

fn column(by: SortBy) -> &'static str {
    match by {
        SortBy::CreatedAt => "c.created_at",
        SortBy::UpdatedAt => "c.updated_at",
        SortBy::EndedAt => "c.ended_at",
    }
}

fn marks(count: usize) -> String {
    vec!["?"; count].join(",")
}

fn texts(values: &[String]) -> impl Iterator<Item = Value> {
    values.iter().cloned().map(Value::from)
}

/// One page, newest first, from one snapshot.
pub(super) fn list(db: &Connection, filter: &CallFilter, packer: &Packer) -> Result<CallPage, StoreError> {
    let snapshot = db.unchecked_transaction()?;
    let mut rows = matching(&snapshot, filter, packer)?;
    let more = rows.len() > filter.limit;
    rows.truncate(filter.limit);
    let cursor = rows.last().filter(|_| more).map(|(_, at, id)| Ok::<_, StoreError>(PageCursor { at: Millis(*at), id: call_id(id)? }));
    let next = cursor.transpose()?;
    let mut calls = Vec::with_capacity(rows.len());
    for (n, _, _) in rows {
        if let Some(row) = CallRow::by_n(&snapshot, n)? {
            calls.push(row.unpacked(packer)?);
        }
    }
    Ok(CallPage { calls, next })
}

/// Number, moment and id of the calls on the page, and of one more if there is one.
fn matching(db: &Connection, filter: &CallFilter, packer: &Packer) -> Result<Vec<Place>, StoreError> {
    let conditions = Conditions::of(filter);
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    if filter.words.is_empty() {
        let (text, values) = conditions.page(filter);
        let mut find = db.prepare_cached(&text)?;
        return Ok(find.query_map(params_from_iter(values), row)?.collect::<rusqlite::Result<_>>()?);
    }
    let through = sieve::through(db, &filter.words)?;
    let mut finding = Finding { db, filter, packer, skip: filter.offset, found: Vec::new() };
    match through {
        Some(numbers) if numbers.len() <= FEW => finding.among(&numbers, conditions)?,
        through => finding.walk(through, conditions)?,
    }
    Ok(finding.found)
}

/// Number, moment and id of a call.
type Place = (i64, i64, String);

/// A page of calls with some words in the making.
struct Finding<'a> {
    db: &'a Connection,
    filter: &'a CallFilter,
    packer: &'a Packer,
    skip: usize,
    found: Vec<Place>,
}

impl Finding<'_> {
    /// Takes a call that has the words; tells whether that is enough: the page, and one more if there is one.
    fn take(&mut self, call: Place) -> Result<bool, StoreError> {
        let mut find = self.db.prepare_cached(WORDS_BY_N)?;
        let matches = find.query_row([call.0], |row| Ok(words_of(row, self.packer).map(|text| self.filter.matches_words(&text))));
        if matches?? {
            match self.skip.checked_sub(1) {
                Some(left) => self.skip = left,
                None => self.found.push(call),
            }
        }
        Ok(self.found.len() > self.filter.limit)
    }

    /// Looks at these calls alone.
    fn among(&mut self, numbers: &[i64], conditions: Conditions) -> Result<(), StoreError> {
        let moment = column(self.filter.by);
        let (conditions, mut values) = conditions.with_phone(self.filter).parts();
        let mut find = self.db.prepare_cached(&format!("SELECT c.n, {moment}, c.id FROM calls c WHERE c.n = ?{conditions}"))?;
        values.insert(0, Value::Null);
        let mut calls: Vec<Place> = Vec::new();
        for n in numbers {
            values[0] = Value::from(*n);
            let call = find.query_row(params_from_iter(&values), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
            calls.extend(call.optional()?);
        }
        calls.sort_unstable_by(|a, b| (b.1, &b.2).cmp(&(a.1, &a.2)));
        for call in calls {
            if self.take(call)? {
                break;
            }
        }
        Ok(())
    }

    /// Goes through all calls in order and looks at those that came through the sieve, or at each: where many have the words, the page is soon full.
    fn walk(&mut self, through: Option<Vec<i64>>, conditions: Conditions) -> Result<(), StoreError> {
        let (text, values) = conditions.walk(self.filter);
        let through: Option<HashSet<i64>> = through.map(HashSet::from_iter);
        let mut find = self.db.prepare_cached(&text)?;
        let mut rows = find.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            let n = row.get(0)?;
            if through.as_ref().is_none_or(|through| through.contains(&n)) && self.take((n, row.get(1)?, row.get(2)?))? {
                break;
            }
        }
        Ok(())
    }
}
