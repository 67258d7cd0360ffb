//! Every type of message: what it is taken for, and what is kept of it.

use ringback::{
    call::{
        event::{EventKind, Keep},
        id::CallId,
        record::{CallRecord, CallState},
    },
    vapi::message::{Delivery, Question, read},
};

use crate::support::bodies::{CALL, MADE, NOW, OLD_CALL, WEB_CALL, body, facts, heard, read as taken};

/// What a fixture must be taken for. `sent` is milliseconds after the call was made.
struct Row {
    file: &'static str,
    source: &'static str,
    keep: Keep,
    call: Option<&'static str>,
    sent: Option<i64>,
    state: CallState,
}

const fn row(file: &'static str, keep: Keep, sent: Option<i64>) -> Row {
    Row { file, source: file, keep, call: Some(CALL), sent, state: CallState::Unknown }
}

impl Row {
    const fn of(self, source: &'static str) -> Self {
        Self { source, ..self }
    }

    const fn about(self, call: Option<&'static str>) -> Self {
        Self { call, ..self }
    }

    const fn says(self, state: CallState) -> Self {
        Self { state, ..self }
    }
}

use CallState::{Ended, Forwarding, InProgress, Queued, Ringing, Scheduled, Unknown};
use Keep::{Nothing, Replacing, Whole};

const STATUS: &str = "status-update";
const REPORT: &str = "end-of-call-report";

const TABLE: [Row; 57] = [
    row("assistant-request", Whole, Some(0)),
    row("assistant.speechStarted", Nothing, Some(5_200)),
    row("assistant.started", Whole, Some(4_100)),
    row("call-connected", Whole, Some(3_000)).says(InProgress),
    row("call-ended", Whole, Some(30_000)).says(Ended),
    row("call-in-progress", Whole, Some(4_000)).says(InProgress),
    row("call-started", Whole, Some(2_000)).says(InProgress),
    row("call.artifact.upload", Whole, Some(40_000)),
    row("call.delete.failed", Whole, Some(90_000)),
    row("call.deleted", Whole, Some(90_000)),
    row("call.endpointing.request", Whole, Some(9_400)),
    row("campaign.predial", Whole, Some(0)).about(None),
    row("chat.created", Whole, Some(0)).about(None),
    row("chat.deleted", Whole, Some(0)).about(None),
    row("conversation-update", Replacing, Some(17_100)),
    row("conversation-update-2024", Replacing, None).of("conversation-update").about(Some(OLD_CALL)),
    row("end-of-call-report", Whole, Some(34_400)).says(Ended),
    row("end-of-call-report-2024-03", Whole, None).of(REPORT).about(Some(OLD_CALL)).says(Ended),
    row("end-of-call-report-2024-07", Whole, Some(1_721_022_340_814 - MADE.0)).of(REPORT).about(Some(OLD_CALL)).says(Ended),
    row("end-of-call-report-never-connected", Whole, Some(44_000)).of(REPORT).says(Ended),
    row("end-of-call-report-no-time-passed", Whole, Some(9_650)).of(REPORT).says(Ended),
    row("end-of-call-report-nothing-promised", Whole, Some(60_000)).of(REPORT).about(Some(WEB_CALL)).says(Ended),
    row("end-of-call-report-sent-again", Whole, Some(34_400)).of(REPORT).says(Ended),
    row("function-call", Whole, Some(1_721_022_286_100 - MADE.0)).about(Some(OLD_CALL)),
    row("function-call-alone", Whole, Some(1_721_022_286_100 - MADE.0)).of("function-call").about(Some(OLD_CALL)),
    row("handoff-destination-request", Whole, Some(18_000)),
    row("hang", Whole, Some(22_000)),
    row("hang-minimal", Whole, Some(22_000)).of("hang"),
    row("knowledge-base-request", Whole, Some(11_300)),
    row("language-change-detected", Whole, Some(17_200)),
    row("model-output", Nothing, Some(12_900)),
    row("phone-call-control", Whole, Some(20_000)),
    row("recording-ready", Whole, Some(36_000)),
    row("session.created", Whole, Some(0)).about(None),
    row("session.deleted", Whole, Some(0)).about(None),
    row("session.updated", Whole, Some(0)).about(None),
    row("speech-update", Nothing, Some(5_200)),
    row("status-update-deletion-failed", Whole, Some(7_000)).of(STATUS),
    row("status-update-ended", Whole, Some(29_800)).of(STATUS).says(Ended),
    row("status-update-ended-without-call", Whole, Some(1_500)).of(STATUS).about(None).says(Ended),
    row("status-update-forwarding", Whole, Some(5_000)).of(STATUS).says(Forwarding),
    row("status-update-in-progress", Whole, Some(4_000)).of(STATUS).says(InProgress),
    row("status-update-not-found", Whole, Some(6_000)).of(STATUS),
    row("status-update-queued", Whole, Some(2_000)).of(STATUS).says(Queued),
    row("status-update-ringing", Whole, Some(3_000)).of(STATUS).says(Ringing),
    row("status-update-scheduled", Whole, Some(1_000)).of(STATUS).says(Scheduled),
    row("tool-calls", Whole, Some(12_100)),
    row("tool-calls-flat", Whole, None).of("tool-calls"),
    row("tool-calls-text-arguments", Whole, Some(12_100)).of("tool-calls"),
    row("transcript-final", Whole, Some(11_250)).of("transcript"),
    row("transcript-final-by-type", Whole, Some(8_950)).of("transcript[transcriptType=\"final\"]"),
    row("transcript-partial", Nothing, Some(10_000)).of("transcript"),
    row("transfer-destination-request", Whole, Some(18_000)),
    row("transfer-update", Whole, Some(19_000)),
    row("user-interrupted", Nothing, Some(17_000)),
    row("voice-input", Nothing, Some(17_000)),
    row("voice-request", Whole, Some(13_400)),
];

#[test]
fn every_message_is_taken_for_what_it_is() {
    for row in TABLE {
        let event = heard(row.file);
        let found = (event.source.as_str(), event.keep, event.call_id.as_ref().map(CallId::as_str), event.sent_at, event.facts.state);
        let expected = (row.source, row.keep, row.call, row.sent.map(|after| MADE.plus(after)), row.state);
        assert_eq!(found, expected, "{}", row.file);
        assert_eq!((event.kind, event.received_at, event.folded), (EventKind::Delivery, NOW, true), "{}", row.file);
        assert_eq!(event.body.is_empty(), row.keep == Keep::Nothing, "{}", row.file);
    }
}

#[test]
fn the_table_holds_every_fixture_and_every_type_of_vapis_list() {
    let folder = format!("{}/tests/fixtures/vapi/messages", env!("CARGO_MANIFEST_DIR"));
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut files: Vec<String> = std::fs::read_dir(folder).unwrap().map(name).collect();
    files.sort_unstable();
    let mut listed: Vec<String> = TABLE.iter().map(|row| format!("{}.json", row.file)).collect();
    listed.sort_unstable();
    assert_eq!(files, listed);
    let union = [
        "assistant-request",
        "assistant.speechStarted",
        "call.artifact.upload",
        "call.delete.failed",
        "call.deleted",
        "call.endpointing.request",
        "campaign.predial",
        "chat.created",
        "chat.deleted",
        "conversation-update",
        "end-of-call-report",
        "handoff-destination-request",
        "hang",
        "knowledge-base-request",
        "language-change-detected",
        "model-output",
        "phone-call-control",
        "session.created",
        "session.deleted",
        "session.updated",
        "speech-update",
        "status-update",
        "tool-calls",
        "transcript",
        "transfer-destination-request",
        "transfer-update",
        "user-interrupted",
        "voice-input",
        "voice-request",
    ];
    assert_eq!(union.len(), 29);
    for kind in union {
        assert!(TABLE.iter().any(|row| row.source == kind), "{kind}");
    }
}

#[test]
fn whoever_asks_something_is_recognised() {
    let tool = |id: &str, name: &str| (id.to_owned(), name.to_owned());
    let asked = |file: &str| taken(&body(file)).question;
    assert_eq!(
        asked("tool-calls"),
        Some(Question::ToolCalls(vec![tool("call_Seed01", "find_order"), tool("call_Alder2", "find_price")])),
        "in the order asked, each once"
    );
    assert_eq!(asked("tool-calls-text-arguments"), Some(Question::ToolCalls(vec![tool("toolu_Moss3", "book")])));
    assert_eq!(
        asked("tool-calls-flat"),
        Some(Question::ToolCalls(vec![tool("note-1", "send_note")])),
        "the copy without a name takes none away"
    );
    let single = [
        ("function-call", Question::FunctionCall("call_Name1".to_owned(), "save_name".to_owned())),
        ("assistant-request", Question::Assistant),
        ("transfer-destination-request", Question::Destination),
        ("handoff-destination-request", Question::Destination),
        ("knowledge-base-request", Question::Documents),
        ("call.endpointing.request", Question::Endpointing),
        ("campaign.predial", Question::Predial),
        ("voice-request", Question::Voice),
    ];
    for (file, question) in &single {
        assert_eq!(asked(file).as_ref(), Some(question), "{file}");
    }
    let asking = |row: &&Row| single.iter().any(|(file, _)| row.source == *file) || row.source == "tool-calls";
    for row in TABLE.iter().filter(|row| !asking(row)) {
        assert_eq!(asked(row.file), None, "{}", row.file);
    }
}

#[test]
fn what_is_not_kept_makes_no_facts_and_keeping_all_adds_none() {
    let keeping_all = Delivery { keep_all: true, ..Delivery::default() };
    for row in TABLE {
        let (some, all) = (heard(row.file), read(&body(row.file), keeping_all.clone(), NOW).unwrap().event);
        assert_eq!(some.facts, all.facts, "{}", row.file);
        assert_eq!(some.id, all.id, "{}", row.file);
        assert_eq!(all.keep, Keep::Whole, "{}", row.file);
        assert!(!all.body.is_empty(), "{}", row.file);
        if row.keep == Keep::Nothing {
            assert_eq!(*all.facts, CallRecord::default(), "{}", row.file);
        }
    }
}

#[test]
fn of_lines_and_conversations_only_the_words_are_kept_and_they_state_the_same() {
    for file in ["transcript-final", "transcript-final-by-type", "conversation-update", "conversation-update-2024"] {
        let event = heard(file);
        let kept = String::from_utf8(event.body.to_vec()).unwrap();
        for left_out in ["assistant\":{", "phoneNumber", "monitor", "artifact"] {
            assert!(!kept.contains(left_out), "{file} keeps {left_out}");
        }
        let again = taken(&event.body).event;
        assert_eq!((again.facts, again.call_id, again.source), (event.facts, event.call_id, event.source), "{file}");
    }
}

#[test]
fn every_kept_body_states_the_same_when_it_is_read_again() {
    for row in TABLE.iter().filter(|row| row.keep == Keep::Whole) {
        let event = heard(row.file);
        let again = taken(&event.body).event;
        assert_eq!(again.facts, event.facts, "{}", row.file);
        if event.source != "transcript" && !event.source.starts_with("transcript[") {
            assert_eq!((again.id, again.body), (event.id, event.body), "{}", row.file);
        }
    }
}

#[test]
fn the_snapshot_of_the_call_proves_nothing() {
    let stale = serde_json::json!({"message": {"type": "hang", "timestamp": NOW.0, "call": {
        "id": CALL, "status": "ended", "endedReason": "silence-timed-out", "startedAt": "2026-05-14T09:30:04Z", "endedAt": "2026-05-14T09:30:29Z",
        "cost": 4.2, "costBreakdown": {"total": 4.2}, "transcript": "AI: stale", "messages": [{"role": "user", "message": "stale"}],
        "summary": "stale", "analysis": {"summary": "stale"}, "artifact": {"transcript": "AI: stale"}, "recordingUrl": "https://files.example.net/stale.wav",
    }}});
    let read = taken(stale.to_string().as_bytes()).event;
    assert_eq!(*read.facts, CallRecord { heard_at: Some(NOW), ..CallRecord::default() });
}

#[test]
fn live_states_and_ends_are_told_apart() {
    let live = facts("status-update-in-progress");
    assert_eq!((live.heard_live, live.live_at, live.dropped_at), (true, Some(MADE.plus(4_000)), None));
    let forwarded = facts("status-update-forwarding");
    assert_eq!((forwarded.heard_live, forwarded.live_at), (true, None), "forwarding is live, but no start");
    let ended = facts("status-update-ended");
    assert_eq!((ended.heard_live, ended.dropped_at, ended.resulted_at), (false, Some(MADE.plus(29_800)), None));
    assert!(!ended.has_result(), "only a report or REST brings a result");
    let report = facts("end-of-call-report");
    assert_eq!((report.dropped_at, report.resulted_at, report.webhook_received_at), (None, Some(MADE.plus(34_400)), Some(NOW)));
    assert!(report.reported && !report.rest_ended && report.has_result());
    for word in ["call-started", "call-connected", "call-in-progress"] {
        assert!(facts(word).heard_live, "{word}");
    }
    assert_eq!(facts("call-ended").dropped_at, Some(MADE.plus(30_000)));
    assert_eq!(facts("status-update-not-found").state, Unknown);
    assert_eq!(facts("hang").heard_at, Some(NOW));
}
