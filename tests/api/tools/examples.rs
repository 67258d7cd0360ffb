//! The worked examples in `examples/tools/` are taken as they stand, and their script answers.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use super::tool_calls;
use crate::support::{
    app::{Engine, Story},
    calls::message,
    vapi::CALL,
};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/tools/tools.toml");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/tools/answer.mjs");

/// The script on a free port; killed when dropped.
struct Script {
    child: Child,
    port: String,
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `None` where there is no Node.
fn script() -> Option<Script> {
    let mut child = Command::new("node").arg(SCRIPT).env("PORT", "0").stderr(Stdio::piped()).spawn().ok()?;
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let port = line.trim().rsplit(' ').next().unwrap().to_owned();
    Some(Script { child, port })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_look_up_and_schedule() {
    let Some(script) = script() else { return eprintln!("not tested: node is not installed") };
    let file = fs::read_to_string(FILE).unwrap();
    assert_eq!(file.matches("127.0.0.1:8090").count(), 3);
    let app = Story::on(Engine::Sqlite).with("TOOLS", &file.replace("8090", &script.port)).begin().await;
    let asks = |id: &str, name: &str, arguments: Value| json!({"id": id, "function": {"name": name, "arguments": arguments.to_string()}});
    let slot = json!({"date": "2026-12-01", "time": "10:00", "name": "Rowan"});
    let book = |id: &str| tool_calls(&[asks(id, "schedule_appointment", slot.clone())]);
    for (question, said) in [
        (tool_calls(&[asks("t1", "lookup_order", json!({"order": 1007}))]), json!("Order 1007 is packed, it leaves on Monday.")),
        (tool_calls(&[asks("t2", "lookup_order", json!({"order": 1}))]), json!("There is no order 1.")),
        (book("t3"), json!("Booked for Rowan: 2026-12-01 at 10:00.")),
        (book("t3"), json!("Booked for Rowan: 2026-12-01 at 10:00.")),
        (book("t4"), json!("10:00 on 2026-12-01 is taken.")),
        (tool_calls(&[asks("t5", "sing", json!({}))]), json!("Nobody knows how to do sing.")),
    ] {
        let answer = app.hears(&question).await;
        let entry = &answer["results"][0];
        assert_eq!(entry.get("result").or_else(|| entry.get("error")), Some(&said), "{answer}");
    }
    assert_eq!(app.hears(&message("assistant-request", CALL, json!({}))).await, json!({"error": "This number takes no calls."}));
    app.finish().await;
}
