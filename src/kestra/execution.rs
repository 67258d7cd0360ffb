//! What Kestra says of an execution. Pure.

use serde_json::Value;

use crate::outbound::{Failure, Reply};

/// States in which nothing happens any more, of either generation.
const OVER: [&str; 5] = ["SUCCESS", "WARNING", "FAILED", "KILLED", "CANCELLED"];

/// One run of a flow.
#[derive(Debug, Clone, PartialEq)]
pub struct Execution {
    /// Its id.
    pub id: String,
    /// Its state, in Kestra's words.
    pub state: String,
    /// What came out of the flow; `None` in the second generation, and as long as nothing did.
    pub outputs: Option<Value>,
}

/// What came of looking for one.
#[derive(Debug, Clone, PartialEq)]
pub enum Looked {
    /// Here it is.
    Found(Execution),
    /// There is none.
    Nothing,
    /// Kestra could not be asked.
    NotAsked,
}

impl Execution {
    /// Reads one; `None` when it is none.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        Self::of(&serde_json::from_slice(body).ok()?)
    }

    fn of(value: &Value) -> Option<Self> {
        let id = value.get("id")?.as_str().filter(|id| is_id(id))?.to_owned();
        let state = value.pointer("/state/current")?.as_str()?.to_owned();
        Some(Self { id, state, outputs: value.get("outputs").filter(|outputs| !outputs.is_null()).cloned() })
    }

    /// Nothing happens in it any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        OVER.contains(&self.state.as_str())
    }
}

impl Looked {
    /// The answer to a question for one execution.
    #[must_use]
    pub fn of_one(reply: Result<Reply, Failure>) -> Self {
        match reply {
            Ok(reply) if reply.status.is_success() => Execution::read(&reply.body).map_or(Self::NotAsked, Self::Found),
            Ok(reply) if reply.status.as_u16() == 404 => Self::Nothing,
            _ => Self::NotAsked,
        }
    }

    /// The answer to a search.
    #[must_use]
    pub fn of_search(reply: Result<Reply, Failure>) -> Self {
        let Some(reply) = reply.ok().filter(|reply| reply.status.is_success()) else { return Self::NotAsked };
        let page: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let Some(found) = page.get("results").and_then(Value::as_array) else { return Self::NotAsked };
        match found.first() {
            None => Self::Nothing,
            Some(first) => Execution::of(first).map_or(Self::NotAsked, Self::Found),
        }
    }
}

/// It can stand in a path.
fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use reqwest::{StatusCode, header::HeaderMap};
    use serde_json::json;

    use super::{Execution, Failure, Looked, Reply};

    fn reply(status: u16, body: &str) -> Reply {
        let status = StatusCode::from_u16(status).expect("a status");
        Reply { status, headers: HeaderMap::new(), body: body.to_owned().into() }
    }

    #[test]
    fn an_execution_is_read_of_either_generation() {
        let first = r#"{"id":"2u8zZ1","state":{"current":"SUCCESS"},"outputs":{"call_id":"c"},"inputs":{}}"#;
        let Looked::Found(execution) = Looked::of_one(Ok(reply(200, first))) else { panic!("it is one") };
        assert_eq!((execution.is_over(), execution.outputs), (true, Some(json!({"call_id": "c"}))));
        let second = r#"{"id":"2u8zZ1","state":{"current":"QUEUED"},"outputs":null}"#;
        let expected = Execution { id: "2u8zZ1".to_owned(), state: "QUEUED".to_owned(), outputs: None };
        assert_eq!(Looked::of_one(Ok(reply(200, second))), Looked::Found(expected.clone()));
        assert!(!expected.is_over());
        assert_eq!(Looked::of_search(Ok(reply(200, &format!(r#"{{"results":[{second}],"total":1}}"#)))), Looked::Found(expected));
    }

    #[test]
    fn only_kestras_own_words_say_that_there_is_none() {
        assert_eq!(Looked::of_one(Ok(reply(404, ""))), Looked::Nothing);
        assert_eq!(Looked::of_search(Ok(reply(200, r#"{"results":[],"total":0}"#))), Looked::Nothing);
        for (status, body) in [(404, r#"{"results":[]}"#), (200, "<html>"), (200, "{}"), (200, r#"{"results":[{"id":"../x"}]}"#), (500, "")]
        {
            assert_eq!(Looked::of_search(Ok(reply(status, body))), Looked::NotAsked, "{status} {body}");
        }
        for (status, body) in [(200, "<html>"), (200, r#"{"id":"a/b","state":{"current":"SUCCESS"}}"#), (401, ""), (503, "")] {
            assert_eq!(Looked::of_one(Ok(reply(status, body))), Looked::NotAsked, "{status} {body}");
        }
        assert_eq!(Looked::of_one(Err(Failure::TimedOut)), Looked::NotAsked);
    }
}
