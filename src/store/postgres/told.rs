//! What other programs' tables are told of a call, and the statements that tell it.

use serde_json::json;

use super::{published::Of, step::Value};
use crate::{
    call::view::{CallResult, Meta, View},
    store::StoredCall,
};

/// A table of another program.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// The column that must be there, or nothing is told.
    key: &'static str,
}

/// A row a provider, found by its id: told how its call goes.
pub(super) const PROVIDERS: Table = Table { name: "public.providers", key: "id" };
/// A row a step of a request: told when a call is done.
pub(super) const LOGS: Table = Table { name: "public.interaction_logs", key: "request_id" };

/// A column, what it holds, and its value.
pub(super) type Said<'a> = (&'static str, Of, Value<'a>);

/// What there is to say about a call.
#[derive(Debug)]
pub(super) struct Telling<'a> {
    call: CallResult<'a>,
    result: Option<String>,
    words: String,
    step: String,
    detail: String,
}

impl<'a> Telling<'a> {
    pub(super) fn of(call: &'a StoredCall) -> Self {
        // As it was said: the defaults that answers show are no evidence.
        let result = call.record.structured_data.as_ref().map(|it| it.value.as_str().to_owned());
        let meta = Meta { version: call.version, created_at: Some(call.created_at), ..Meta::default() };
        let call = CallResult::of(&call.id, &call.record, meta, View::Full, "");
        let words = call.messages.iter().map(|said| json!({"speaker": speaker(said.role), "text": said.message})).collect::<Vec<_>>();
        let step = call.provider.name.as_ref().map_or_else(|| "Call".to_owned(), |name| format!("Call to {name}"));
        let detail = match (call.analysis.summary, call.ended_reason) {
            ("", Some(reason)) => format!("{} ({reason})", call.status),
            ("", None) => call.status.to_owned(),
            (summary, _) => summary.to_owned(),
        };
        Self { result, words: json!(words).to_string(), step, detail, call }
    }

    /// For `providers`. Of a call that goes on only that it does.
    pub(super) fn provider(&'a self) -> Vec<Said<'a>> {
        let call = &self.call;
        let is_done = matches!(call.data_status, "complete" | "fetch_failed");
        let status = if is_done { call.status } else { "in_progress" };
        let called_at = call.started_at.or(call.created_at);
        let mut said = vec![
            ("id", Of::Text, Value::maybe_text(call.provider_id.as_deref())),
            ("call_status", Of::Text, Value::maybe_text(Some(status))),
            ("call_method", Of::Text, Value::maybe_text(Some(call.call_method))),
            ("call_id", Of::Text, Value::maybe_text(Some(call.call_id))),
            ("called_at", Of::Time, Value::maybe_whole(called_at.map(|at| at.0.0))),
        ];
        if is_done {
            said.extend([
                ("call_result", Of::Json, Value::maybe_json(self.result.as_deref())),
                ("call_transcript", Of::Text, Value::maybe_text(Some(call.transcript.as_ref()))),
                ("call_summary", Of::Text, Value::maybe_text(Some(call.analysis.summary))),
                ("call_duration_minutes", Of::Number, Value::maybe_number(call.duration)),
                ("call_cost", Of::Number, Value::maybe_number(call.cost)),
            ]);
        }
        said
    }

    /// For `interaction_logs`.
    pub(super) fn log(&'a self) -> Vec<Said<'a>> {
        let call = &self.call;
        let status = match call.status {
            "completed" => "success",
            "error" => "error",
            _ => "warning",
        };
        vec![
            ("request_id", Of::Text, Value::maybe_text(call.service_request_id.as_deref())),
            ("step_name", Of::Text, Value::maybe_text(Some(&self.step))),
            ("status", Of::Text, Value::maybe_text(Some(status))),
            ("detail", Of::Text, Value::maybe_text(Some(&self.detail))),
            ("transcript", Of::Json, Value::maybe_json(Some(&self.words))),
            ("call_id", Of::Text, Value::maybe_text(Some(call.call_id))),
        ]
    }
}

/// Who speaks, as transcripts have it.
fn speaker(role: &str) -> &'static str {
    if role == "bot" { "AI" } else { "User" }
}

/// The statement that tells a table of these types; `None` where there is no such table, or nobody to be told.
pub(super) fn statement(table: &Table, said: &[Said<'_>], types: &[(String, String)]) -> Option<String> {
    let actual = |name: &str| types.iter().find(|(column, _)| column == name).map(|(_, kind)| kind.as_str());
    actual(table.key)?;
    let sent: Vec<String> = said.iter().enumerate().map(|(at, (name, of, _))| format!("${}::{} AS {name}", at + 1, of.sent())).collect();
    let sent = sent.join(", ");
    let there: Vec<(&str, String)> = said.iter().filter_map(|(name, of, _)| Some((*name, of.cast(name, actual(name)?)))).collect();
    let cast = |name: &str| there.iter().find(|(column, _)| *column == name).map(|(_, cast)| cast.as_str());
    if table.name == LOGS.name {
        let (names, casts): (Vec<&str>, Vec<&str>) = there.iter().map(|(name, cast)| (*name, cast.as_str())).unzip();
        let (names, casts) = (names.join(", "), casts.join(", "));
        let once = match actual("call_id") {
            Some(_) => " WHERE NOT EXISTS (SELECT FROM public.interaction_logs l WHERE l.call_id::text = i.call_id)",
            None => "",
        };
        return Some(format!(
            "INSERT INTO public.interaction_logs ({names}) SELECT {casts} FROM (SELECT {sent}) AS i{once} ON CONFLICT DO NOTHING"
        ));
    }
    let changes: Vec<String> = there.iter().filter(|(name, _)| *name != table.key).map(|(name, cast)| format!("{name} = {cast}")).collect();
    if changes.is_empty() {
        return None;
    }
    // A call that came later has been told already.
    let newest = match (cast("call_id"), cast("called_at")) {
        (Some(_), Some(called_at)) => {
            format!(" AND (p.call_id IS NULL OR p.call_id::text = i.call_id OR p.called_at IS NULL OR p.called_at <= {called_at})")
        }
        _ => String::new(),
    };
    let (changes, key) = (changes.join(", "), cast(table.key)?);
    Some(format!("UPDATE public.providers AS p SET {changes} FROM (SELECT {sent}) AS i WHERE p.id = {key}{newest}"))
}
