//! Lists: a filter becomes SQL. Its values never become part of the text.

use super::{
    fault::Fault,
    link::Db,
    rows::call_columns,
    step::{Step, Value},
};
use crate::{
    call::time::Millis,
    store::{CallFilter, CallPage, PageCursor, SortBy, pack::Packer, rows::CallRow},
};

/// A list is one look at one moment, and is given up by the server when nobody can still be waiting for it.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; SET LOCAL statement_timeout = '4s'";

/// What the page is made of; the last column is the moment that sorts it.
const COLUMNS: &str = "c.id, c.revision, c.version, c.created_at, c.updated_at, c.record, c.news";

/// Conditions and what is bound in them.
#[derive(Default)]
pub(super) struct Conditions<'a> {
    sql: String,
    values: Vec<Value<'a>>,
}

impl<'a> Conditions<'a> {
    /// Binds a value; returns its mark.
    fn mark(&mut self, value: Value<'a>) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    fn and(&mut self, condition: &str) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
    }

    fn and_any(&mut self, column: &str, wanted: &'a [String]) {
        if !wanted.is_empty() {
            let mark = self.mark(Value::texts(wanted, |text| Some(text)));
            self.and(&format!("{column} = ANY ({mark}::text[])"));
        }
    }

    pub(super) fn of(filter: &'a CallFilter) -> Self {
        let mut all = Self::default();
        let moment = column(filter.by);
        if filter.by == SortBy::EndedAt {
            all.and("c.ended_at IS NOT NULL");
        }
        all.and_any("c.status", &filter.status);
        all.and_any("c.call_status", &filter.call_status);
        all.and_any("c.data_status", &filter.data_status);
        all.and_any("c.assistant_id", &filter.assistant_id);
        all.and_any("c.provider_id", &filter.provider_id);
        all.and_any("c.service_request_id", &filter.service_request_id);
        all.and_any("c.correlation_id", &filter.correlation_id);
        for (key, wanted) in filter.metadata.iter().filter(|(_, wanted)| !wanted.is_empty()) {
            let (key, wanted) = (all.mark(Value::text(key)), all.mark(Value::texts(wanted, |text| Some(text))));
            all.and(&format!("c.metadata ->> {key}::text = ANY ({wanted}::text[])"));
        }
        for word in &filter.words {
            let word = all.mark(Value::text(word));
            all.and(&format!("strpos(c.search, {word}::text) > 0"));
        }
        if let Some(Millis(since)) = filter.since {
            let since = all.mark(Value::whole(since));
            all.and(&format!("{moment} >= {since}::bigint"));
        }
        if let Some(Millis(until)) = filter.until {
            let until = all.mark(Value::whole(until));
            all.and(&format!("{moment} < {until}::bigint"));
        }
        if let Some(PageCursor { at: Millis(at), id }) = &filter.cursor {
            let (at, id) = (all.mark(Value::whole(*at)), all.mark(Value::text(id.as_str())));
            all.and(&format!("({moment}, c.id) < ({at}::bigint, {id}::text COLLATE \"C\")"));
        }
        all
    }

    /// With the number, too.
    pub(super) fn with_phone(mut self, filter: &'a CallFilter) -> Self {
        if !filter.phone.is_empty() {
            let mark = self.mark(Value::texts(&filter.phone, |text| Some(text)));
            self.and(&format!("(c.customer_digits = ANY ({mark}::text[]) OR c.provider_digits = ANY ({mark}::text[]))"));
        }
        self
    }

    /// What follows a first condition, and its values.
    pub(super) fn parts(self) -> (String, Vec<Value<'a>>) {
        (self.sql, self.values)
    }

    /// The statement that finds the page, and one row more if there is one.
    ///
    /// With a number each of the two columns is looked through in order by its own index, as far as the page can reach.
    fn statement(mut self, filter: &'a CallFilter) -> Step<'a> {
        let moment = column(filter.by);
        let wanted = filter.limit.saturating_add(1);
        let [limit, offset, reach] = [wanted, filter.offset, wanted.saturating_add(filter.offset)]
            .map(|number| self.mark(Value::whole(i64::try_from(number).unwrap_or(i64::MAX))));
        let rows = |conditions: &str, limit: &str| {
            format!(
                "SELECT {COLUMNS}, {moment} AS moment FROM ringback.calls c WHERE true{conditions} ORDER BY {moment} DESC, c.id DESC LIMIT {limit}::bigint"
            )
        };
        let page = if filter.phone.is_empty() {
            format!("{} OFFSET {offset}::bigint", rows(&self.sql, &limit))
        } else {
            let is_one = |column: &str, mark: &str| match filter.phone.len() {
                // PostgreSQL keeps an index's order for one value only.
                1 => format!("{column} = {mark}::text"),
                _ => format!("{column} = ANY ({mark}::text[])"),
            };
            let mark = match filter.phone.as_slice() {
                [one] => self.mark(Value::text(one)),
                many => self.mark(Value::texts(many, |text| Some(text))),
            };
            let (customer, provider) = (is_one("c.customer_digits", &mark), is_one("c.provider_digits", &mark));
            let first = rows(&format!(" AND {customer}{}", self.sql), &reach);
            let second = rows(&format!(" AND {provider} AND ({customer}) IS NOT TRUE{}", self.sql), &reach);
            format!(
                "SELECT * FROM (({first}) UNION ALL ({second})) c ORDER BY moment DESC, c.id DESC LIMIT {limit}::bigint OFFSET {offset}::bigint"
            )
        };
        let columns = call_columns!();
        let sql = format!(
            "SELECT {columns}, c.moment FROM ({page}) c LEFT JOIN ringback.dues d ON d.call_id = c.id ORDER BY c.moment DESC, c.id DESC"
        );
        Step::once(sql, self.values)
    }
}

fn column(by: SortBy) -> &'static str {
    match by {
        SortBy::CreatedAt => "c.created_at",
        SortBy::UpdatedAt => "c.updated_at",
        SortBy::EndedAt => "c.ended_at",
    }
}

/// One page, newest first.
pub(super) async fn list(db: &Db, filter: &CallFilter, packer: &Packer) -> Result<CallPage, Fault> {
    let statement = Conditions::of(filter).statement(filter);
    let rows = db.pipeline(Some(BEGIN), &[statement], Some(super::write::COMMIT)).await?.pop().unwrap_or_default();
    let more = rows.len() > filter.limit;
    let mut calls = Vec::with_capacity(rows.len());
    for row in rows.iter().take(filter.limit) {
        calls.push(CallRow::read(row)?.unpacked(packer)?);
    }
    let last = if more && filter.limit > 0 { rows.get(filter.limit - 1).zip(calls.last()) } else { None };
    let next = last.map(|(row, call)| Ok::<_, Fault>(PageCursor { at: Millis(row.try_get(9)?), id: call.id.clone() })).transpose()?;
    Ok(CallPage { calls, next })
}
