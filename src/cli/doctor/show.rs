//! What is printed of an examination: a line each for people, or JSON.

use std::io::{self, IsTerminal as _, Write};

use serde_json::{Value, json};

use crate::{
    doctor::{Examination, Finding, Severity, object::Plan},
    words::clean,
};

/// Room for the longest severity.
const SEVERITY_WIDTH: usize = 7;
/// Room for the longest name of a check.
const CHECK_WIDTH: usize = 17;
const RESET: &str = "\x1b[0m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const RED: &str = "\x1b[31m";

/// For people; tells whether it could be written.
pub(super) fn on_stdout(examination: &Examination, no_color: bool) -> bool {
    let mut stdout = io::stdout();
    let colours = stdout.is_terminal() && !no_color;
    text(&mut stdout, examination, colours)
}

/// For people; tells whether it could be written.
pub(super) fn text(out: &mut dyn Write, examination: &Examination, colours: bool) -> bool {
    let Examination { findings, plans } = examination;
    let mut lines: Vec<String> = findings.iter().map(|finding| line(finding, colours)).collect();
    if !plans.is_empty() {
        lines.push("\nWhat these need at Vapi (`ringback doctor --fix` makes it so for what is named):".to_owned());
        lines.extend(plans.iter().map(difference));
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    lines.push(format!("\n{} errors, {} warnings, {} ok", count(Severity::Error), count(Severity::Warning), count(Severity::Ok)));
    writeln!(out, "{}", lines.join("\n")).is_ok()
}

fn line(finding: &Finding, colours: bool) -> String {
    let Finding { check, severity, found, advice, .. } = finding;
    let word = format!("{:<SEVERITY_WIDTH$}", severity.as_str());
    let word = match severity {
        _ if !colours => word,
        Severity::Ok => format!("{GREEN}{word}{RESET}"),
        Severity::Warning => format!("{YELLOW}{word}{RESET}"),
        Severity::Error => format!("{RED}{word}{RESET}"),
    };
    let about = about(finding.subject.as_deref(), finding.name.as_deref());
    let advice = advice.as_ref().map_or_else(String::new, |advice| format!("\n{:indent$}→ {advice}", "", indent = SEVERITY_WIDTH + 1));
    format!("{word} {check:<CHECK_WIDTH$} {about}{found}{advice}")
}

fn about(subject: Option<&str>, name: Option<&str>) -> String {
    match (subject, name) {
        (None, _) => String::new(),
        (Some(subject), None) => format!("{subject}: "),
        (Some(subject), Some(name)) => format!("{subject} ({name}): "),
    }
}

/// What would change at one object, a line a field.
pub(super) fn difference(plan: &Plan) -> String {
    let name = Some(plan.object.name()).filter(|name| !name.is_empty());
    let head = about(Some(&plan.object.subject()), name.as_deref());
    let changes = plan.changes.iter().map(|change| format!("    {}: {} → {}", change.field, change.from, change.to));
    let obstacle = plan.obstacle.map(|obstacle| format!("    but: {obstacle}"));
    std::iter::once(format!("  {}", head.trim_end())).chain(changes).chain(obstacle).collect::<Vec<_>>().join("\n")
}

/// For programs; tells whether it could be written.
pub(super) fn json(examination: &Examination) -> bool {
    let Examination { findings, plans } = examination;
    let is_ok = findings.iter().all(|finding| finding.severity != Severity::Error);
    let change = |plan: &Plan| -> Value {
        json!({
            "kind": plan.object.kind.path(),
            "id": clean(&plan.object.id),
            "name": plan.object.name(),
            "changes": plan.changes,
            "obstacle": plan.obstacle,
        })
    };
    let told = json!({"ok": is_ok, "findings": findings, "changes": plans.iter().map(change).collect::<Vec<_>>()});
    writeln!(io::stdout(), "{told:#}").is_ok()
}
