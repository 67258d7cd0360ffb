//! Answers to the assistant's questions have the types of the Vapi SDK, by its own compiler.

use std::{
    fmt::Write as _,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{is_there, left_out, unavailable};
use crate::support::{
    home::Home,
    messages::{WEBHOOK, life_of, new_call},
    program::Program,
    service::Service,
    target::Target,
};

/// What is installed.
const PACKAGES: [&str; 2] = ["@vapi-ai/server-sdk@2.0.1", "typescript@5.9.3"];

fn asked(service: &Service, kind: &str, fields: Value) -> Value {
    let mut message = json!({"type": kind, "call": {"id": format!("call-{kind}")}});
    if let Value::Object(fields) = fields {
        fields.into_iter().for_each(|(key, value)| message[key] = value);
    }
    let body = json!({"message": message}).to_string();
    let secret = [("x-vapi-secret", crate::support::SECRET)];
    let answer = service.wire().ask("POST", WEBHOOK, &secret, body.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 200);
    answer.json()
}

/// Answers of a service that knows one tool that works and one that does not, each as a line of TypeScript.
fn answers(service: &Service) -> String {
    let tool = |id: &str, name: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": {}}});
    let tools = json!({"toolCallList": [tool("1", "works"), tool("2", "fails"), tool("3", "nobody_knows")]});
    let mut script = "import type { Vapi } from \"@vapi-ai/server-sdk\";\n".to_owned();
    let kinds = [
        ("tool-calls", "ToolCalls", tools),
        ("assistant-request", "AssistantRequest", json!({})),
        ("transfer-destination-request", "TransferDestinationRequest", json!({})),
        ("knowledge-base-request", "KnowledgeBaseRequest", json!({})),
        ("call.endpointing.request", "CallEndpointingRequest", json!({})),
        ("campaign.predial", "CampaignPredial", json!({})),
    ];
    for (index, (kind, name, fields)) in kinds.into_iter().enumerate() {
        let answer = asked(service, kind, fields);
        // Written out like this, members that the type does not have are errors, too.
        let _ = writeln!(script, "export const answer{index}: Vapi.ServerMessageResponse{name} = {answer};");
    }
    // The SDK wants a destination even where there is none to give.
    let refusal = asked(service, "handoff-destination-request", json!({}));
    let _ =
        writeln!(script, "export const refusal: Omit<Vapi.ServerMessageResponseHandoffDestinationRequest, \"destination\"> = {refusal};");
    script
}

/// A call as the face tells it, as a line of TypeScript. Members that the type does not have are let through, but none may have another type.
fn call(service: &Service) -> String {
    let id = new_call();
    for message in life_of(&id) {
        assert_eq!(service.post(&message).status, 200);
    }
    let mut told = service.read(&format!("/vapi/call/{id}")).json();
    // Vapi's own answers have it, and its types forget it.
    told["costBreakdown"].as_object_mut().expect("an object").remove("knowledgeBaseCost");
    assert!(told["messages"].as_array().is_some_and(|messages| messages.len() > 2), "{told}");
    format!("export const call: Vapi.Call & Record<string, unknown> = {told};\n")
}

/// Runs a program in the folder; what it said, if that went wrong.
fn run(home: &Home, program: &str, words: &[&str]) -> Result<(), String> {
    let ended =
        Command::new(program).args(words).current_dir(home.path()).stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let said = [ended.stdout, ended.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    if ended.status.success() { Ok(()) } else { Err(said) }
}

#[test]
#[ignore = "downloads the SDK from npm; ./.ci/test runs it"]
fn answers_to_questions_have_the_types_of_the_vapi_sdk() {
    const WHAT: &str = "the SDK's types";
    if left_out(WHAT) {
        return;
    }
    if !is_there("npm") {
        unavailable(WHAT, "npm is not installed");
    }
    let (home, works) = (Home::new(), Target::serving(200, "{\"result\":\"Done.\"}"));
    let config = format!("[tools.works]\nurl = \"{}\"\n[tools.fails]\nurl = \"http://127.0.0.1:1/\"\n", works.url);
    let service = Program::guarded(&home).set("TOOLS", config).serve();
    let script = answers(&service) + &call(&service);
    let said = works.next();
    assert_eq!(said.json()["name"], "works");
    home.write("package.json", r#"{"private": true, "type": "module"}"#);
    let install = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", PACKAGES[0], PACKAGES[1]];
    if let Err(why) = run(&home, "npm", &install) {
        unavailable(WHAT, &format!("npm can't install them: {why}"));
    }
    let compile = |script: &str| {
        home.write("answers.ts", script);
        run(
            &home,
            "node_modules/.bin/tsc",
            &["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--target", "es2022", "answers.ts"],
        )
    };
    assert_eq!(compile(&script), Ok(()), "{script}");
    let wrong = compile(&script.replace("\"toolCallId\"", "\"toolCallID\"")).expect_err("the compiler looks at it");
    assert!(wrong.contains("toolCallID"), "{wrong}");
    let wrong = compile(&script.replace("\"status\":\"ended\"", "\"status\":\"over\"")).expect_err("at the call, too");
    assert!(wrong.contains("\"over\""), "{wrong}");
}
