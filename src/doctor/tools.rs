//! Where the tools are asked that stand in an assistant itself. A tool's own server goes before the assistant's, and nothing of it is ever
//! changed from here. Pure.
//!
//! Saved tools, squads and workflows are not looked at.

use serde_json::{Value, json};

use super::{
    Finding,
    address::address,
    credential,
    object::{Kind, Needs, Object},
};
use crate::words::clean;

/// What is to be said of tools that have a server of their own; those without one are asked where the assistant's messages go.
pub(super) fn findings(assistant: &Object, needs: &Needs) -> Vec<Finding> {
    let tools = assistant.value["model"]["tools"].as_array().filter(|_| assistant.kind == Kind::Assistant);
    tools.into_iter().flatten().filter_map(|tool| finding(assistant, tool, needs)).collect()
}

fn finding(assistant: &Object, tool: &Value, needs: &Needs) -> Option<Finding> {
    let owner = Object { kind: Kind::Assistant, id: assistant.id.clone(), value: json!({"server": tool["server"]}) };
    let url = owner.url()?;
    let name = clean(tool["function"]["name"].as_str().or(tool["name"].as_str()).unwrap_or("without a name"));
    let finding = if !needs.is_ours(url) {
        if !needs.tools {
            return None;
        }
        let there = address(url, needs.url.as_deref());
        Finding::warning("tool_url", &format!("its tool {name} is asked at {there}, so TOOLS has no say in it"))
            .advise("take the server away from this tool, if it is to be answered here")
    } else if credential::of(&owner, needs).is_good() {
        Finding::ok("tool_url", &format!("its tool {name} is asked here"))
    } else {
        Finding::error(
            "tool_url",
            &format!("its tool {name} is asked here, but without a proof that counts: each question is refused with 401"),
        )
        .advise("take the server away from this tool, or give it the credential that its assistant has")
    };
    Some(assistant.found(finding))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::findings;
    use crate::doctor::{
        Severity,
        object::{Kind, Needs, Object},
    };

    const URL: &str = "https://calls.example.com/api/v1/vapi/webhook";

    /// What is said of an assistant with one tool, which has this server, where tools are configured or not.
    fn said(server: &Value, tools: bool) -> Vec<(Severity, String)> {
        let tool = json!({"type": "function", "function": {"name": "book\u{1b}it"}, "server": server});
        let assistant =
            Object::new(Kind::Assistant, json!({"id": "a", "model": {"tools": [{"type": "endCall"}, tool]}})).expect("it has an id");
        let secrets = vec!["a-secret-of-mine".into()];
        let needs = Needs { url: Some(URL.to_owned()), proof: true, secrets, proofs: vec!["secret".to_owned()], tools, ..Needs::default() };
        findings(&assistant, &needs).into_iter().map(|finding| (finding.severity, finding.found)).collect()
    }

    #[test]
    fn a_tool_that_is_asked_elsewhere_is_found_where_tools_are_answered_here() {
        let elsewhere = json!({"url": "https://old.example.com/tools?key=hunter2"});
        let words = "its tool book it is asked at https://old.example.com/…, so TOOLS has no say in it";
        assert_eq!(said(&elsewhere, true), [(Severity::Warning, words.to_owned())]);
        assert_eq!(said(&elsewhere, false), [], "nobody here would answer it");
        assert_eq!(said(&Value::Null, true), []);
    }

    #[test]
    fn a_tool_that_is_asked_here_must_prove_itself_too() {
        for (server, severity) in [
            (json!({"url": URL}), Severity::Error),
            (json!({"url": URL, "credentialId": "c"}), Severity::Ok),
            (json!({"url": URL, "headers": {"x-vapi-secret": "a-secret-of-mine"}}), Severity::Ok),
        ] {
            assert_eq!(said(&server, false).into_iter().map(|(severity, _)| severity).collect::<Vec<_>>(), [severity], "{server}");
        }
    }
}
