//! The flow that places calls: what it is started with, and what Kestra says of it. Pure.

use serde_json::Value;

use crate::outbound::{Failure, Reply};

/// The input that holds the whole body for Vapi.
pub const CALL: &str = "call";
/// Inputs that every execution gets.
pub const ALWAYS: [&str; 2] = ["placement_id", CALL];
/// Inputs that an execution gets where they are known of its call.
pub const WHERE_KNOWN: [&str; 8] =
    ["provider_name", "provider_phone", "service_needed", "user_criteria", "location", "urgency", "service_request_id", "provider_id"];
/// The output that names the call.
pub const CALL_ID: &str = "call_id";

/// A flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// It can be started.
    pub starts: bool,
    /// What it takes. The parts of a form stand alone, by the names that they are sent under.
    pub inputs: Vec<Input>,
    /// What it gives.
    pub outputs: Vec<String>,
}

/// What a flow takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Its name.
    pub id: String,
    /// Its type, in Kestra's words.
    pub kind: String,
    /// Without it there is no execution.
    pub is_needed: bool,
}

/// What came of looking for a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sought {
    /// Here it is.
    Found(Flow),
    /// There is none.
    Nothing,
    /// Kestra did not say.
    NotShown,
}

impl Sought {
    /// The answer to a question for a flow.
    #[must_use]
    pub fn of(reply: Result<Reply, Failure>) -> Self {
        match reply {
            Ok(reply) if reply.status.is_success() => Flow::read(&reply.body).map_or(Self::NotShown, Self::Found),
            Ok(reply) if reply.status.as_u16() == 404 => Self::Nothing,
            _ => Self::NotShown,
        }
    }
}

impl Flow {
    /// Reads one; `None` when it is none.
    fn read(body: &[u8]) -> Option<Self> {
        let flow: Value = serde_json::from_slice(body).ok()?;
        flow.get("id")?.as_str()?;
        // A source that this Kestra can't read comes with the reason.
        let starts = flow["disabled"] != true && flow["exception"].is_null();
        let outputs = listed(&flow["outputs"]).filter_map(|output| output["id"].as_str()).map(str::to_owned).collect();
        Some(Self { starts, inputs: listed(&flow["inputs"]).flat_map(|input| Input::of(input, "")).collect(), outputs })
    }
}

impl Input {
    fn of(input: &Value, form: &str) -> Vec<Self> {
        let Some(id) = input["id"].as_str().map(|id| format!("{form}{id}")) else { return Vec::new() };
        let kind = input["type"].as_str().unwrap_or_default().to_owned();
        if kind == "FORM" && form.is_empty() {
            return listed(&input["inputs"]).flat_map(|part| Self::of(part, &format!("{id}."))).collect();
        }
        // What depends on others may not be asked for.
        let is_needed = input["required"] != false && input["defaults"].is_null() && input["dependsOn"].is_null();
        vec![Self { id, kind, is_needed }]
    }
}

fn listed(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use reqwest::{StatusCode, header::HeaderMap};

    use super::{Failure, Flow, Reply, Sought};

    fn sought(status: u16, body: &str) -> Sought {
        let status = StatusCode::from_u16(status).expect("a status");
        Sought::of(Ok(Reply { status, headers: HeaderMap::new(), body: body.to_owned().into() }))
    }

    #[test]
    fn a_flow_is_read_with_what_it_needs() {
        let body = r#"{"id":"f","namespace":"n","revision":3,"disabled":false,"deleted":false,"tasks":[],
            "inputs":[{"id":"call","type":"JSON","required":true},{"id":"a","type":"STRING"},{"id":"b","type":"INT","required":false},
                {"id":"c","type":"STRING","defaults":"x"},{"id":"d","type":"STRING","dependsOn":{"inputs":["a"]}},{"type":"STRING"},
                {"id":"e","type":"FORM","inputs":[{"id":"f","type":"DATE"}]}],
            "outputs":[{"id":"call_id","type":"STRING","value":"{{ x }}"}]}"#;
        let Sought::Found(flow) = sought(200, body) else { panic!("it is one") };
        let inputs: Vec<_> = flow.inputs.iter().map(|input| (input.id.as_str(), input.kind.as_str(), input.is_needed)).collect();
        let expected = [
            ("call", "JSON", true),
            ("a", "STRING", true),
            ("b", "INT", false),
            ("c", "STRING", false),
            ("d", "STRING", false),
            ("e.f", "DATE", true),
        ];
        assert_eq!((inputs.as_slice(), flow.outputs.as_slice(), flow.starts), (&expected[..], &["call_id".to_owned()][..], true));
    }

    #[test]
    fn one_that_can_not_be_started_is_told_from_one_without_inputs() {
        let found = |starts| Sought::Found(Flow { starts, inputs: Vec::new(), outputs: Vec::new() });
        for (body, starts) in [
            (r#"{"id":"f"}"#, true),
            (r#"{"id":"f","inputs":null,"outputs":{}}"#, true),
            (r#"{"id":"f","disabled":true}"#, false),
            (r#"{"id":"f","exception":"Invalid type: io.kestra.plugin.gone"}"#, false),
        ] {
            assert_eq!(sought(200, body), found(starts), "{body}");
        }
    }

    #[test]
    fn only_kestras_own_words_say_that_there_is_none() {
        assert_eq!(sought(404, r#"{"message":"Not Found"}"#), Sought::Nothing);
        for (status, body) in [(200, "<html>"), (200, "{}"), (200, "null"), (401, ""), (403, "{}"), (500, ""), (503, "")] {
            assert_eq!(sought(status, body), Sought::NotShown, "{status} {body}");
        }
        assert_eq!(Sought::of(Err(Failure::TimedOut)), Sought::NotShown);
    }
}
