//! The series as CSV (RFC 4180): a line for each day.
//!
//! A program that shows tables takes a cell that begins like a formula for one; such a cell gets an apostrophe in front.

use super::{Analytics, DayNumbers, Question};

/// What the columns are called, in order.
const COLUMNS: [&str; 22] = [
    "date",
    "calls",
    "pending",
    "completed",
    "no_answer",
    "voicemail",
    "timeout",
    "error",
    "answerRate",
    "durationSecondsAverage",
    "durationSecondsP50",
    "durationSecondsP95",
    "costTotal",
    "costAverage",
    "completionSecondsP50",
    "completionSecondsP95",
    "webhooksReceived",
    "webhooksRejected",
    "webhooksLost",
    "deliverySuccess",
    "assistantId",
    "providerId",
];

/// The days as lines under a head; who was asked about stands in each of them.
#[must_use]
pub fn csv(question: &Question, analytics: &Analytics) -> String {
    let (assistants, providers) = (question.assistants.join(" "), question.providers.join(" "));
    let lines = analytics.series.iter().map(|day| cells(day, &assistants, &providers));
    let head = COLUMNS.map(str::to_owned);
    std::iter::once(head).chain(lines).map(|cells| cells.map(|text| cell(&text)).join(",") + "\r\n").collect()
}

fn cells(day: &DayNumbers, assistants: &str, providers: &str) -> [String; COLUMNS.len()] {
    let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let count = |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
    let status = day.by_status;
    [
        day.date.clone(),
        day.calls.to_string(),
        status.pending.to_string(),
        status.completed.to_string(),
        status.no_answer.to_string(),
        status.voicemail.to_string(),
        status.timeout.to_string(),
        status.error.to_string(),
        number(day.answer_rate),
        number(day.duration_seconds.average),
        number(day.duration_seconds.p50),
        number(day.duration_seconds.p95),
        day.cost.total.to_string(),
        number(day.cost.average),
        number(day.completion_seconds.p50),
        number(day.completion_seconds.p95),
        count(day.webhooks.received),
        count(day.webhooks.rejected),
        day.webhooks.lost.to_string(),
        number(day.webhooks.delivery_success),
        assistants.to_owned(),
        providers.to_owned(),
    ]
}

/// A cell that is shown as it is: quoted where it must be, and no formula. Numbers are ours: a minus before one is none.
fn cell(text: &str) -> String {
    let looks_like_a_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) && text.parse::<f64>().is_err();
    let text = if looks_like_a_formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn no_cell_is_a_formula() {
        for (text, shown) in [
            ("2026-11-21", "2026-11-21"),
            ("-0.5", "-0.5"),
            ("=1+1", "'=1+1"),
            ("+49", "+49"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("-cmd|'/c calc'!A1", "'-cmd|'/c calc'!A1"),
            ("\t=1", "'\t=1"),
            ("=HYPERLINK(\"http://x\",\"y\")", "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\""),
            ("a,b", "\"a,b\""),
            ("a\nb", "\"a\nb\""),
        ] {
            assert_eq!(cell(text), shown, "{text:?}");
        }
    }
}
