//! Recorded webhooks are posted again.

use std::{path::PathBuf, time::Instant};

use clap::Parser;
use ringback::{
    cli::replay::{BadFile, ReplayArgs, replay},
    clock::Clock,
    simulate::{CallScript, Stage, bodies, sign},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    receiver::Receiver,
    vapi::{CALL, START},
};

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    args: ReplayArgs,
}

/// A folder with recordings.
struct Recordings(TempDir);

impl Recordings {
    fn new() -> Self {
        Self(TempDir::new().expect("a folder"))
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path
    }
}

/// Runs the command on these files; whether all were taken, and what it printed.
async fn replayed(files: &[&PathBuf], options: &str, service: &str) -> anyhow::Result<(bool, String)> {
    let files = files.iter().map(|file| file.to_str().expect("a path of text"));
    let words = std::iter::once("replay").chain(options.split_whitespace()).chain(files);
    let mut out = Vec::new();
    let all_taken = replay(Command::try_parse_from(words)?.args, service, &Clock::manual(START), &mut out).await?;
    Ok((all_taken, String::from_utf8(out)?))
}

fn status(stage: Stage) -> Value {
    bodies::status_update(&CallScript::talk(CALL, START), stage, START)
}

#[tokio::test]
async fn a_document_is_posted_byte_for_byte_and_signed_afresh() {
    let (receiver, recordings) = (Receiver::start().await, Recordings::new());
    let pretty = serde_json::to_string_pretty(&status(Stage::Ringing)).expect("JSON");
    let file = recordings.file("one.json", format!("\n{pretty}\n"));
    let (all_taken, printed) = replayed(&[&file], "--auth hmac --secret 0123456789abcdef", &receiver.url).await.expect("it ran");
    assert!(all_taken);
    assert_eq!(printed, format!("200 status-update {CALL}\n"));
    let taken = &receiver.taken()[0];
    assert_eq!(taken.bytes, pretty.as_bytes());
    for (name, value) in sign::headers(sign::Auth::Hmac, &"0123456789abcdef".into(), pretty.as_bytes(), START) {
        assert_eq!(taken.header(name), value, "{name}");
    }
    assert_eq!(taken.header("content-type"), "application/json");
}

#[tokio::test]
async fn json_lines_and_documents_are_posted_in_their_order() {
    let (receiver, recordings) = (Receiver::start().await, Recordings::new());
    let lines = recordings.file("many.jsonl", format!("{}\n{}\r\n\n", status(Stage::Queued), status(Stage::Ringing)));
    let one = recordings.file("one.json", status(Stage::InProgress).to_string());
    let (_, printed) = replayed(&[&lines, &one], "", &receiver.url).await.expect("it ran");
    assert_eq!(receiver.kinds(), ["queued", "ringing", "in-progress"]);
    assert_eq!(printed.lines().count(), 3);
    assert!(receiver.taken()[0].header("x-vapi-secret").is_empty(), "no secret, no proof");
}

#[tokio::test]
async fn a_refusal_is_shown_and_the_rest_is_still_posted() {
    let (receiver, recordings) = (Receiver::start().await, Recordings::new());
    receiver.answer([(401, Value::Null)]);
    let odd = json!({"type": "call-end\nforged 200", "data": {}});
    let turned = json!({"type": "call\u{202e}end\u{200b}", "data": {}});
    let file = recordings.file("two.jsonl", format!("{}\n{odd}\n{turned}", status(Stage::Queued)));
    let (all_taken, printed) = replayed(&[&file], "", &receiver.url).await.expect("it ran");
    assert!(!all_taken);
    assert_eq!(printed, format!("401 status-update {CALL}\n200 call-end?forged?200 -\n200 call?end? -\n"));
}

#[tokio::test]
async fn a_service_that_is_not_there_is_000() {
    let recordings = Recordings::new();
    let file = recordings.file("one.json", status(Stage::Queued).to_string());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let (all_taken, printed) = replayed(&[&file], "", &address).await.expect("it ran");
    assert_eq!((all_taken, printed), (false, format!("000 status-update {CALL}\n")));
}

#[tokio::test]
async fn an_address_without_a_path_means_the_webhook_route() {
    let (receiver, recordings) = (Receiver::start().await, Recordings::new());
    let file = recordings.file("one.json", status(Stage::Queued).to_string());
    let host = receiver.url.trim_end_matches("/hook");
    replayed(&[&file], "", host).await.expect("it ran");
    replayed(&[&file], &format!("--url {host}"), "http://127.0.0.1:1").await.expect("it ran");
    replayed(&[&file], &format!("--url {host}/elsewhere"), "no address").await.expect("it ran");
    let paths: Vec<String> = receiver.taken().into_iter().map(|taken| taken.path).collect();
    assert_eq!(paths, ["/api/v1/vapi/webhook", "/api/v1/vapi/webhook", "/elsewhere"]);
    assert!(replayed(&[&file], "", "no address").await.is_err());
}

#[tokio::test]
async fn a_bad_file_is_named_with_its_line_and_nothing_is_posted() {
    let (receiver, recordings) = (Receiver::start().await, Recordings::new());
    let good = recordings.file("good.json", status(Stage::Queued).to_string());
    for (name, content, line) in [
        ("broken.jsonl", &b"{\"message\":{}}\n{\"message\":{}}\n{\"message\":\n"[..], 4),
        ("list.json", b"{}\n\n[1]", 3),
        ("text.txt", b"hello", 1),
        ("empty.json", b" \n", 1),
        ("latin1.json", b"{}\n{\"a\":\"\xe9\"}", 2),
    ] {
        let bad = recordings.file(name, content);
        let error = replayed(&[&good, &bad], "", &receiver.url).await.expect_err(name);
        assert!(error.is::<BadFile>(), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(name) && text.contains(&format!(" line {line}: ")), "{text}");
    }
    let missing = recordings.0.path().join("missing.json");
    let error = replayed(&[&good, &missing], "", &receiver.url).await.expect_err("there is no such file");
    assert!(error.is::<BadFile>() && error.to_string().contains("missing.json"), "{error}");
    assert!(receiver.taken().is_empty());
}

#[tokio::test]
async fn shuffling_posts_everything_in_another_order() {
    let (receiver, recordings) = (Receiver::start().await, Recordings::new());
    let lines: Vec<String> = (0..40).map(|number| json!({"message": {"type": format!("{number:02}")}}).to_string()).collect();
    let file = recordings.file("many.jsonl", lines.join("\n"));
    replayed(&[&file], "--shuffle", &receiver.url).await.expect("it ran");
    let mut kinds = receiver.kinds();
    assert!(!kinds.is_sorted(), "one in 40! stays in order");
    kinds.sort();
    assert_eq!(kinds, (0..40).map(|number| format!("{number:02}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_rate_is_kept() {
    let (receiver, recordings) = (Receiver::start().await, Recordings::new());
    let file = recordings.file("three.jsonl", "{}\n{}\n{}\n{}");
    let began = Instant::now();
    replayed(&[&file], "--rate 20", &receiver.url).await.expect("it ran");
    assert!(began.elapsed().as_millis() >= 145, "four at 20 a second in {:?}", began.elapsed());
}

#[test]
fn files_must_be_named_and_a_secret_is_not_shown() {
    assert!(Command::try_parse_from(["replay"]).is_err());
    assert!(Command::try_parse_from(["replay", "f", "--rate", "0"]).is_err());
    let args = Command::parse_from(["replay", "f", "--secret", "0123456789abcdef"]).args;
    assert!(!format!("{args:?}").contains("0123456789abcdef"));
}
