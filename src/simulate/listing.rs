//! `GET /call`: which calls, in which order. Pure.

use std::{cmp::Reverse, collections::HashMap};

use serde_json::Value;

use crate::call::time::Millis;

/// Calls in one answer unless asked otherwise.
const DEFAULT_LIMIT: usize = 100;
/// The most that can be asked for.
const MAX_LIMIT: usize = 1_000;

/// The calls that pass the filters of `query`, newest first.
///
/// # Errors
/// What is wrong with the query, in Vapi's manner.
pub(super) fn newest_first(calls: Vec<Value>, query: &HashMap<String, String>) -> Result<Vec<Value>, String> {
    let limit = match query.get("limit").map(|limit| limit.parse::<usize>()) {
        None => DEFAULT_LIMIT,
        Some(Ok(limit)) if limit <= MAX_LIMIT => limit,
        Some(_) => return Err(format!("limit must be a number from 0 to {MAX_LIMIT}")),
    };
    let mut bounds = Vec::new();
    for (name, value) in query.iter().filter(|(name, _)| name.starts_with("createdAt") || name.starts_with("updatedAt")) {
        let bound = Millis::parse_rfc3339(value).ok_or_else(|| format!("{name} must be a valid ISO 8601 date string"))?;
        let (field, relation) = name.split_at("createdAt".len());
        if !matches!(relation, "Gt" | "Lt" | "Ge" | "Le") {
            return Err(format!("property {name} should not exist"));
        }
        bounds.push((field, relation, bound));
    }
    let moment = |call: &Value, field: &str| call[field].as_str().and_then(Millis::parse_rfc3339);
    let within = |call: &Value| {
        bounds.iter().all(|&(field, relation, bound)| {
            moment(call, field).is_some_and(|at| match relation {
                "Gt" => at > bound,
                "Ge" => at >= bound,
                "Lt" => at < bound,
                _ => at <= bound,
            })
        })
    };
    let same =
        |call: &Value| ["id", "assistantId", "phoneNumberId"].iter().all(|field| query.get(*field).is_none_or(|id| call[*field] == *id));
    let mut found: Vec<Value> = calls.into_iter().filter(|call| same(call) && within(call)).collect();
    found.sort_by_key(|call| Reverse(moment(call, "createdAt")));
    found.truncate(limit);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::{Value, json};

    use super::newest_first;

    fn calls() -> Vec<Value> {
        let call = |id: &str, second: u8| json!({"id": id, "assistantId": "nora", "createdAt": format!("2026-09-26T11:18:0{second}.000Z")});
        vec![call("a", 1), call("b", 2), call("c", 3)]
    }

    fn ids(query: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let query: HashMap<String, String> = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let found = newest_first(calls(), &query)?;
        Ok(found.iter().map(|call| call["id"].as_str().expect("every call has an id").to_owned()).collect())
    }

    #[test]
    fn the_newest_call_comes_first_and_the_limit_cuts_the_oldest() {
        assert_eq!(ids(&[]), Ok(vec!["c".into(), "b".into(), "a".into()]));
        assert_eq!(ids(&[("limit", "1")]), Ok(vec!["c".into()]));
    }

    #[test]
    fn bounds_are_inclusive_only_when_they_say_so() {
        let second = "2026-09-26T11:18:02.000Z";
        for (bound, expected) in [("createdAtGt", "c"), ("createdAtGe", "cb"), ("createdAtLt", "a"), ("createdAtLe", "ba")] {
            assert_eq!(ids(&[(bound, second)]).expect("a date").concat(), expected, "{bound}");
        }
    }

    #[test]
    fn all_filters_must_fit() {
        assert_eq!(ids(&[("id", "b"), ("assistantId", "nora")]), Ok(vec!["b".into()]));
        assert_eq!(ids(&[("id", "b"), ("assistantId", "somebody else")]), Ok(vec![]));
    }

    #[test]
    fn a_call_without_the_moment_asked_for_is_not_within_it() {
        assert_eq!(ids(&[("updatedAtGe", "2020-01-01T00:00:00Z")]), Ok(vec![]));
    }

    #[test]
    fn wrong_queries_are_refused() {
        assert!(ids(&[("limit", "1001")]).is_err());
        assert!(ids(&[("limit", "many")]).is_err());
        assert!(ids(&[("createdAtGe", "yesterday")]).is_err());
        assert!(ids(&[("createdAtEq", "2026-09-26T11:18:02Z")]).is_err());
    }
}
