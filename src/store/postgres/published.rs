//! The documents' table in `public`: one row a call with a result.
//!
//! The table may have been there before us, with other types where ours are as good; values are cast to whatever types it has.

use std::{
    fmt::Write as _,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    fault::Fault,
    link::Db,
    step::{Step, Value},
};
use crate::store::PublishedRow;

/// What a column of ours holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Text,
    Json,
    /// Epoch milliseconds.
    Time,
    Number,
    Whole,
}

/// All columns that we write, in the order of [`values`].
const COLUMNS: [(&str, Of); 34] = [
    ("call_id", Of::Text),
    ("assistant_id", Of::Text),
    ("phone_number_id", Of::Text),
    ("customer_phone", Of::Text),
    ("status", Of::Text),
    ("ended_reason", Of::Text),
    ("started_at", Of::Time),
    ("ended_at", Of::Time),
    ("duration_minutes", Of::Number),
    ("duration_sec", Of::Number),
    ("transcript", Of::Text),
    ("messages", Of::Json),
    ("recording_url", Of::Text),
    ("analysis_summary", Of::Text),
    ("analysis_structured_data", Of::Json),
    ("analysis_success_evaluation", Of::Text),
    ("structured_outputs", Of::Json),
    ("provider_name", Of::Text),
    ("provider_phone", Of::Text),
    ("service_type", Of::Text),
    ("location", Of::Text),
    ("user_criteria", Of::Text),
    ("urgency", Of::Text),
    ("service_request_id", Of::Text),
    ("correlation_id", Of::Text),
    ("cost", Of::Number),
    ("nps_score", Of::Number),
    ("overall_feedback", Of::Text),
    ("metadata", Of::Json),
    ("data_status", Of::Text),
    ("version", Of::Whole),
    ("raw_webhook_payload", Of::Json),
    ("created_at", Of::Time),
    ("updated_at", Of::Time),
];

/// The name and type of every column that is there; none where there is no such table.
const TYPES: &str = "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute \
    WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped";
/// What an id must look like where the table wants UUIDs; anything else becomes null.
const UUID: &str = "'^[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}$'";

/// The columns of a table, and their types.
pub(super) async fn types_of(db: &Db, table: &str) -> Result<Vec<(String, String)>, Fault> {
    let rows = db.query(&Step::once(TYPES.to_owned(), vec![Value::text(table)])).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// After somebody held the table up, nobody tries for so long.
const HOLD: Duration = Duration::from_secs(10);

/// Writes rows into the table.
#[derive(Debug)]
pub(super) struct Publisher {
    sql: String,
    /// The same where no later version stands.
    belated: String,
    /// Fills in a report where none stands.
    fill: String,
    held_until: Mutex<Option<Instant>>,
}

impl Publisher {
    /// Looks at the table's types.
    pub(super) async fn look(db: &Db) -> Result<Self, Fault> {
        let types = types_of(db, "public.vapi_call_results").await?;
        let actual = |name: &str| types.iter().find(|(column, _)| column == name).map(|(_, kind)| kind.as_str());
        let sql = upsert(actual);
        let no_later = if actual("version").is_some() { " WHERE r.version IS NULL OR r.version <= EXCLUDED.version" } else { "" };
        let report = Of::Json.cast("report", actual("raw_webhook_payload").unwrap_or_default());
        let fill = format!(
            "UPDATE public.vapi_call_results AS r SET raw_webhook_payload = {report} \
             FROM (SELECT $1::text AS call_id, $2::text AS report) AS i WHERE r.call_id::text = i.call_id AND r.raw_webhook_payload IS NULL"
        );
        Ok(Self { belated: format!("{sql}{no_later}"), sql, fill, held_until: Mutex::default() })
    }

    /// Is it better not to try for a while?
    pub(super) fn is_held(&self) -> bool {
        let until = *self.held_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Somebody holds the table up.
    pub(super) fn hold(&self) {
        *self.held_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + HOLD);
    }

    /// Nobody does any more.
    pub(super) fn free(&self) {
        *self.held_until.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Writes a row that should have been written before; what was written since stays.
    pub(super) fn belated<'a>(&'a self, row: &'a [&'a PublishedRow]) -> Step<'a> {
        Step::new(&self.belated, values(row))
    }

    /// Writes a report that should have been written before.
    pub(super) fn fill<'a>(&'a self, call_id: &'a str, report: &'a str) -> Step<'a> {
        Step::new(&self.fill, vec![Value::text(call_id), Value::maybe_json(Some(report))])
    }

    /// Writes these rows, at most one for each call.
    pub(super) fn step<'a>(&'a self, rows: &'a [&'a PublishedRow]) -> Step<'a> {
        Step::new(&self.sql, values(rows))
    }
}

impl Of {
    /// The type that our values are sent as.
    pub(super) fn sent(self) -> &'static str {
        match self {
            Self::Text | Self::Json => "text",
            Self::Time | Self::Whole => "bigint",
            Self::Number => "double precision",
        }
    }

    /// The type that our own table has.
    fn kind(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "jsonb",
            Self::Time => "timestamp with time zone",
            Self::Number => "double precision",
            Self::Whole => "bigint",
        }
    }

    /// A value as the column wants it.
    pub(super) fn cast(self, name: &str, actual: &str) -> String {
        let value = match self {
            Self::Json => format!("i.{name}::jsonb"),
            Self::Time => format!("to_timestamp(i.{name} / 1000.0)"),
            Self::Text | Self::Number | Self::Whole => format!("i.{name}"),
        };
        match actual {
            same if same == self.kind() => value,
            "uuid" => format!("CASE WHEN {value}::text ~ {UUID} THEN {value}::uuid END"),
            "json" | "jsonb" if self == Self::Text => format!("to_jsonb({value})::{actual}"),
            "timestamp without time zone" if self == Self::Time => format!("{value} AT TIME ZONE 'UTC'"),
            other => format!("({value})::{other}"),
        }
    }
}

/// The statement for a table of these types.
fn upsert<'a>(actual: impl Fn(&str) -> Option<&'a str>) -> String {
    let there: Vec<_> = COLUMNS.iter().filter_map(|(name, of)| Some((*name, of.cast(name, actual(name)?)))).collect();
    let names = |of: &dyn Fn(&(&str, String)) -> String| there.iter().map(of).collect::<Vec<_>>().join(", ");
    let marks: Vec<_> = COLUMNS.iter().enumerate().map(|(at, (_, of))| format!("${}::{}[]", at + 1, of.sent())).collect();
    let sent: Vec<_> = COLUMNS.iter().map(|(name, _)| *name).collect();
    let mut sql = format!(
        "INSERT INTO public.vapi_call_results AS r ({}) SELECT {} FROM unnest({}) AS i ({}) ON CONFLICT (call_id) DO UPDATE SET ",
        names(&|(name, _)| (*name).to_owned()),
        names(&|(_, cast)| cast.clone()),
        marks.join(", "),
        sent.join(", "),
    );
    for (place, (name, _)) in there.iter().filter(|(name, _)| *name != "call_id").enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        let _ = match *name {
            "raw_webhook_payload" => write!(sql, "{comma}{name} = coalesce(EXCLUDED.{name}, r.{name})"),
            _ => write!(sql, "{comma}{name} = EXCLUDED.{name}"),
        };
    }
    sql
}

fn values<'a>(rows: &'a [&'a PublishedRow]) -> Vec<Value<'a>> {
    vec![
        Value::texts(rows, |row| row.call_id.as_deref()),
        Value::texts(rows, |row| row.assistant_id.as_deref()),
        Value::texts(rows, |row| row.phone_number_id.as_deref()),
        Value::texts(rows, |row| row.customer_phone.as_deref()),
        Value::texts(rows, |row| row.status.as_deref()),
        Value::texts(rows, |row| row.ended_reason.as_deref()),
        Value::wholes(rows, |row| row.started_at),
        Value::wholes(rows, |row| row.ended_at),
        Value::numbers(rows, |row| row.duration_minutes),
        Value::numbers(rows, |row| row.duration_sec),
        Value::texts(rows, |row| row.transcript.as_deref()),
        Value::jsons(rows, |row| row.messages.as_deref()),
        Value::texts(rows, |row| row.recording_url.as_deref()),
        Value::texts(rows, |row| row.analysis_summary.as_deref()),
        Value::jsons(rows, |row| row.analysis_structured_data.as_deref()),
        Value::texts(rows, |row| row.analysis_success_evaluation.as_deref()),
        Value::jsons(rows, |row| row.structured_outputs.as_deref()),
        Value::texts(rows, |row| row.provider_name.as_deref()),
        Value::texts(rows, |row| row.provider_phone.as_deref()),
        Value::texts(rows, |row| row.service_type.as_deref()),
        Value::texts(rows, |row| row.location.as_deref()),
        Value::texts(rows, |row| row.user_criteria.as_deref()),
        Value::texts(rows, |row| row.urgency.as_deref()),
        Value::texts(rows, |row| row.service_request_id.as_deref()),
        Value::texts(rows, |row| row.correlation_id.as_deref()),
        Value::numbers(rows, |row| row.cost),
        Value::numbers(rows, |row| row.nps_score),
        Value::texts(rows, |row| row.overall_feedback.as_deref()),
        Value::jsons(rows, |row| row.metadata.as_deref()),
        Value::texts(rows, |row| row.data_status.as_deref()),
        Value::wholes(rows, |row| row.version),
        Value::jsons(rows, |row| row.raw_webhook_payload.as_deref()),
        Value::wholes(rows, |row| row.created_at),
        Value::wholes(rows, |row| row.updated_at),
    ]
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, Of, upsert, values};

    #[test]
    fn every_column_has_its_values() {
        let values = values(&[]);
        assert_eq!(values.len(), COLUMNS.len());
        for ((name, of), value) in COLUMNS.iter().zip(&values) {
            let sent = match value.kind.name() {
                "_text" => "text",
                "_int8" => "bigint",
                "_float8" => "double precision",
                other => other,
            };
            assert_eq!(of.sent(), sent, "{name}");
        }
    }

    #[test]
    fn values_are_cast_to_the_types_that_are_there() {
        for (of, actual, cast) in [
            (Of::Text, "text", "i.x"),
            (Of::Text, "character varying(50)", "(i.x)::character varying(50)"),
            (Of::Json, "jsonb", "i.x::jsonb"),
            (Of::Json, "json", "(i.x::jsonb)::json"),
            (Of::Number, "numeric(10,4)", "(i.x)::numeric(10,4)"),
            (Of::Time, "timestamp without time zone", "to_timestamp(i.x / 1000.0) AT TIME ZONE 'UTC'"),
        ] {
            assert_eq!(of.cast("x", actual), cast);
        }
        assert!(Of::Text.cast("x", "uuid").starts_with("CASE WHEN i.x::text ~ "));
    }

    #[test]
    fn columns_that_are_not_there_are_left_alone() {
        let sql = upsert(|name| ["call_id", "status"].contains(&name).then_some("text"));
        assert!(
            sql.starts_with("INSERT INTO public.vapi_call_results AS r (call_id, status) SELECT i.call_id, i.status FROM unnest("),
            "{sql}"
        );
        assert!(sql.ends_with(" DO UPDATE SET status = EXCLUDED.status"), "{sql}");
    }
}
