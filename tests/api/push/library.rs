//! The Standard Webhooks library of another language verifies what is delivered, and refuses what was changed.

use std::{path::Path, process::Command};

use serde_json::json;
use tempfile::TempDir;

use super::{about, begin, id, subscribe, tell};
use crate::support::{app::Engine, calls::talk, subscriber::Subscriber, vapi::CALL};

/// What is installed.
const LIBRARY: &str = "standardwebhooks@1.1.1";

/// Verifies the delivery in `delivery.json` with each of its secrets, and a changed one with none.
const SCRIPT: &str = r#"
const { Webhook } = require("standardwebhooks");
const { secrets, headers, body } = JSON.parse(require("fs").readFileSync("delivery.json", "utf8"));
for (const secret of secrets) {
  const event = new Webhook(secret).verify(body, headers);
  if (event.callId !== JSON.parse(body).callId) throw new Error("another event");
  for (const [wrong, with_] of [[body + " ", headers], [body, { ...headers, "webhook-id": "another" }], [body, { ...headers, "webhook-timestamp": "1" }]]) {
    let taken = true;
    try { new Webhook(secret).verify(wrong, with_); } catch { taken = false; }
    if (taken) throw new Error("a changed delivery was taken");
  }
}
console.log("verified", secrets.length);
"#;

fn run(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(folder).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
#[ignore = "installs a library from the npm registry; .ci/test runs it where there is npm"]
async fn a_library_of_another_language_verifies_a_delivery() {
    let (app, subscriber, folder) = (begin(Engine::Memory).await, Subscriber::start().await, TempDir::new().unwrap());
    // The library compares timestamps with the machine's clock.
    let now = ringback::clock::Clock::System.now();
    app.clock().advance(now.since(app.clock().now()));
    let made = subscribe(&app, json!({"url": subscriber.url(), "events": ["call.done"]})).await;
    let rotated = about(&app, "POST", &id(&made), "/rotate").await;
    app.hears_report(&talk(CALL)).await;
    tell(&app).await;
    let told = &subscriber.told()[0];
    let headers: serde_json::Map<_, _> = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .iter()
        .map(|name| ((*name).to_owned(), json!(told.header(name))))
        .collect();
    let body = String::from_utf8(told.bytes.to_vec()).unwrap();
    let delivery = json!({"secrets": [made["secret"], rotated["secret"]], "headers": headers, "body": body});
    std::fs::write(folder.path().join("delivery.json"), delivery.to_string()).unwrap();
    std::fs::write(folder.path().join("package.json"), "{}").unwrap();
    run(folder.path(), "npm", &["install", "--no-audit", "--no-fund", "--ignore-scripts", LIBRARY]);
    std::fs::write(folder.path().join("verify.cjs"), SCRIPT).unwrap();
    assert_eq!(run(folder.path(), "node", &["verify.cjs"]).trim(), "verified 2");
    app.finish().await;
}
