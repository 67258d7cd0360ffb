//! Vapi's own SDKs, unchanged but for their base URL: they place and read calls through the face, although their requests are sent again; and
//! the original poller waits for the results as it always did.

mod meddler;

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::{Value, json};

use self::meddler::Meddler;
use super::{is_there, left_out, unavailable};
use crate::support::{
    SECRET,
    home::Home,
    program::{Program, Running},
    service::Service,
    soon,
};

/// What is installed: the SDK that the documents pin, and the newest ones.
const NPM: [(&str, &str); 2] = [("old", "@vapi-ai/server-sdk@0.11.0"), ("new", "@vapi-ai/server-sdk@2.0.1")];
const PYPI: &str = "vapi_server_sdk==3.0.0";
/// Whose token it is.
const TOKEN: &str = "sdk-token-0123456789";
const SCRIPTS: [(&str, &str); 2] = [("place.cjs", include_str!("place.cjs")), ("place.py", include_str!("place.py"))];

/// A service that anybody may read, and the fake Vapi beside it.
struct Stage {
    home: Home,
    service: Service,
    vapi: Option<Running>,
    vapis_url: String,
}

impl Stage {
    fn set() -> Self {
        let home = Home::new();
        for (name, script) in SCRIPTS {
            home.write(name, script);
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port();
        let vapis_url = format!("http://127.0.0.1:{port}");
        let service = Program::guarded(&home)
            .set("VAPI_API_URL", &vapis_url)
            .set("VAPI_API_KEY", "sim-key")
            .set("API_TOKENS", format!("admin:sdk={TOKEN}"))
            .set("ALLOW_UNAUTHENTICATED", "reads")
            .serve();
        let to = format!("{}/api/v1/vapi/webhook", service.url());
        let simulating = format!("simulate --port {port} --pace 0.01 --secret {SECRET} --webhook-url {to}");
        let vapi = Program::in_home(&home).with(simulating.split(' ')).begin();
        assert!(soon(Duration::from_secs(10), || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()));
        Self { home, service, vapi: Some(vapi), vapis_url }
    }

    /// Runs a script to its end: what it told.
    fn run(&self, script: &[&str], words: &[&str]) -> Value {
        let mut command = Command::new(script[0]);
        command.args(&script[1..]).args(words).current_dir(self.home.path()).env("PYTHONPATH", self.home.file("py"));
        let ended = command.stdin(Stdio::null()).output().expect("it runs");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{script:?} {words:?}: {said}\n{}", self.service.said());
        serde_json::from_slice(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    /// Through the face, behind somebody who spoils the first answer to a placing; and straight to Vapi, with our webhook in the assistant.
    fn shows(&self, script: &[&str]) {
        let backend = self.service.url();
        let meddler = Meddler::before(self.service.address());
        let (base, webhook) = (format!("{}/vapi", meddler.url()), format!("{backend}/api/v1/vapi/webhook"));
        // One after the other: the list is to have one call since then.
        has_result(&self.run(script, &[&self.vapis_url, "sim-key", &backend, &webhook]));
        through_the_face(&self.run(script, &[&base, TOKEN, &backend]));
        assert_eq!(meddler.posts(), 3, "the placing came twice, and was answered once; and a wrong one came");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(vapi) = self.vapi.take() {
            vapi.signal(Signal::INT);
            vapi.ended();
        }
    }
}

fn has_result(told: &Value) {
    assert_eq!(told["status"], "queued", "{told}");
    let result = &told["result"];
    assert_eq!((&result["dataStatus"], &result["endedReason"]), (&json!("complete"), &json!("customer-ended-call")), "{told}");
    assert!(result["polls"].as_u64().is_some_and(|polls| (1..=3).contains(&polls)), "{result}");
    assert!(result["transcript"].as_str().is_some_and(|text| text.len() > 50), "{result}");
    assert!(result["analysis"]["summary"].as_str().is_some_and(|text| !text.is_empty()), "{result}");
}

fn through_the_face(told: &Value) {
    has_result(told);
    let (call, result) = (&told["call"], &told["result"]);
    assert_eq!((&call["id"], &call["status"], &call["type"]), (&told["id"], &json!("ended"), &json!("outboundPhoneCall")));
    assert_eq!(call["customer"], json!({"number": "+15551234567", "name": "Service Provider"}));
    assert_eq!((&call["artifact"]["transcript"], &call["analysis"]["summary"]), (&result["transcript"], &result["analysis"]["summary"]));
    assert_eq!(call["endedReason"], result["endedReason"]);
    let messages = call["artifact"]["messages"].as_array().expect("messages");
    assert!(messages.len() > 2 && messages.iter().all(|message| message["time"].is_number()), "{messages:?}");
    assert!(call["cost"].is_number() && call["costs"].is_array() && call["orgId"].is_string(), "{call}");
    assert_eq!(told["listed"], json!([told["id"]]), "one call, though it was asked for twice");
    assert_eq!((&told["renamed"], &told["deleted"]), (&json!("Second try"), &told["id"]));
    let not_found = json!({"status": 404, "body": {"message": "Call not found", "error": "Not Found", "statusCode": 404}});
    assert_eq!((&told["unknown"], &told["gone"]), (&not_found, &not_found));
    for (refused, status) in [("wrong", 400), ("stranger", 401)] {
        assert_eq!((&told[refused]["status"], &told[refused]["body"]["statusCode"]), (&json!(status), &json!(status)), "{told}");
    }
}

/// Runs an installer in the folder; why it could not.
fn installed(home: &Home, program: &str, words: &[&str]) -> Result<(), String> {
    let ended = Command::new(program).args(words).current_dir(home.path()).stdin(Stdio::null()).output();
    let ended = ended.map_err(|error| error.to_string())?;
    if ended.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&ended.stderr).into_owned()) }
}

#[test]
#[ignore = "downloads the SDKs from npm; ./.ci/test runs it"]
fn vapis_sdks_for_node_place_and_read_calls_through_ringback() {
    const WHAT: &str = "Vapi's SDKs for Node";
    if left_out(WHAT) {
        return;
    }
    if !is_there("npm") || !is_there("node") {
        unavailable(WHAT, "node and npm are not installed");
    }
    let stages = NPM.map(|(name, package)| (name, package, Stage::set()));
    thread::scope(|scope| {
        for (name, package, stage) in &stages {
            scope.spawn(move || {
                stage.home.write("package.json", r#"{"private": true}"#);
                let package = format!("{name}@npm:{package}");
                let install = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", &package];
                match installed(&stage.home, "npm", &install) {
                    Ok(()) => stage.shows(&["node", "place.cjs", name]),
                    Err(why) => unavailable(WHAT, &format!("npm can't install {package}: {why}")),
                }
            });
        }
    });
}

#[test]
#[ignore = "downloads the SDK from PyPI; ./.ci/test runs it"]
fn vapis_sdk_for_python_places_and_reads_calls_through_ringback() {
    const WHAT: &str = "Vapi's SDK for Python";
    if left_out(WHAT) {
        return;
    }
    let python = ["python3", "python"].into_iter().find(|program| is_there(program));
    let python = python.unwrap_or_else(|| unavailable(WHAT, "Python is not installed"));
    let stage = Stage::set();
    let folder: PathBuf = stage.home.file("py");
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", folder.to_str().expect("a path"), PYPI];
    match installed(&stage.home, python, &install) {
        Ok(()) => stage.shows(&[python, "place.py"]),
        Err(why) => unavailable(WHAT, &format!("pip can't install it: {why}")),
    }
}
