//! Reads what somebody sent to have many calls placed. Pure.

use std::collections::BTreeSet;

use serde_json::{Value, value::to_raw_value};

use crate::{
    batch::Orders,
    dial::{Asked, CallMethod},
    fields::{FieldError, Fields},
    push::{Callback, Reach},
};

/// Calls of one batch, at most.
pub const MOST_REQUESTS: usize = 500;
/// Calls of one batch that go on at once, at most.
pub const MOST_CONCURRENT: u64 = 50;
/// And unless it says another number.
const CONCURRENT: u64 = 5;

/// What is checked of a batch.
#[derive(Debug)]
pub struct Draft {
    /// What it asks for.
    pub orders: Orders,
    /// So many calls go on at once.
    pub max_concurrent: usize,
    /// Who is to place them, as far as that is said.
    pub methods: BTreeSet<Option<CallMethod>>,
}

impl Draft {
    /// Reads the body of `POST /batches`; `may_call` says whether a number may be called.
    ///
    /// # Errors
    /// Everything that is wrong with it; with requests, by their index.
    pub fn parse(body: &Value, reach: &Reach, may_call: impl Fn(Option<&str>) -> bool) -> Result<Self, Vec<FieldError>> {
        let mut fields = Fields::of(body, "");
        let callback = fields.member("callback");
        if let Some(Err(errors)) = callback.map(|callback| Callback::read(callback, "callback", reach)) {
            fields.also(errors);
        }
        let max_concurrent = fields.member("maxConcurrent").map_or(Some(CONCURRENT), Value::as_u64);
        let max_concurrent = max_concurrent.filter(|number| (1..=MOST_CONCURRENT).contains(number));
        if max_concurrent.is_none() {
            fields.wrong("maxConcurrent", format!("must be a whole number from 1 to {MOST_CONCURRENT}"));
        }
        let requests = fields.member("requests").and_then(Value::as_array).filter(|requests| (1..=MOST_REQUESTS).contains(&requests.len()));
        if requests.is_none() {
            fields.wrong("requests", format!("must be a list of 1 to {MOST_REQUESTS} requests"));
        }
        let mut methods = BTreeSet::new();
        for (index, request) in requests.into_iter().flatten().enumerate() {
            match check(request.clone(), reach, &may_call) {
                Ok(method) => drop(methods.insert(method)),
                Err(errors) => fields.also(errors.into_iter().map(|error| at(index, error)).collect()),
            }
        }
        let callback = callback.and_then(|callback| to_raw_value(callback).ok());
        let requests: Option<Vec<_>> = requests.and_then(|requests| requests.iter().map(|request| to_raw_value(request).ok()).collect());
        let orders = requests.map(|requests| Orders { callback, requests });
        let max_concurrent = max_concurrent.and_then(|number| usize::try_from(number).ok());
        fields.finish(orders.zip(max_concurrent).map(|(orders, max_concurrent)| Self { orders, max_concurrent, methods }))
    }
}

/// Who is to place one request, or what is wrong with it.
fn check(request: Value, reach: &Reach, may_call: impl Fn(Option<&str>) -> bool) -> Result<Option<CallMethod>, Vec<FieldError>> {
    let asked = Asked::parse(request, reach)?;
    if may_call(asked.wanted.number()) {
        return Ok(asked.method);
    }
    let field = if asked.wanted.number().is_some() { asked.wanted.number_field() } else { "body" };
    let message = "is not in DIAL_ALLOW, or names no number that could be checked".to_owned();
    Err(vec![FieldError { field: field.to_owned(), message }])
}

fn at(index: usize, FieldError { field, message }: FieldError) -> FieldError {
    let field = if field == "body" { format!("requests[{index}]") } else { format!("requests[{index}].{field}") };
    FieldError { field, message }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Draft, MOST_REQUESTS, Reach};

    fn request() -> Value {
        json!({"providerName": "Hill Plumbing", "providerPhone": "+15551234567", "serviceNeeded": "a leaking tap"})
    }

    fn fields(body: &Value) -> Vec<String> {
        let parsed =
            Draft::parse(body, &Reach { kestra: false, outbound: None }, |number| number.is_none_or(|number| number.starts_with("+1")));
        parsed.map_or_else(|errors| errors.into_iter().map(|error| error.field).collect(), |_| Vec::new())
    }

    #[test]
    fn what_is_wrong_is_told_by_index() {
        let own = json!({"assistantId": "nora", "customer": {"number": "+15551234567"}});
        let whole = json!({"requests": [request(), own], "maxConcurrent": 50, "callback": {"kind": "webhook", "url": "https://a.example"}});
        assert_eq!(fields(&whole), Vec::<String>::new());
        let mut dear = request();
        dear["providerPhone"] = "+4915112345678".into();
        let far = json!({"assistantId": "nora", "customer": {"number": "+44"}});
        let body = json!({"requests": [request(), {"providerName": "x"}, 7, dear, far, {"assistantId": "a", "callback": {}}]});
        let expected = [
            "requests[1].providerPhone",
            "requests[1].serviceNeeded",
            "requests[2]",
            "requests[2].providerName",
            "requests[2].providerPhone",
            "requests[2].serviceNeeded",
            "requests[3].providerPhone",
            "requests[4].customer.number",
            "requests[5].callback.kind",
        ];
        assert_eq!(fields(&body), expected);
    }

    #[test]
    fn a_batch_has_its_bounds() {
        let many = |count: usize| json!({"requests": vec![request(); count]});
        assert_eq!(fields(&many(MOST_REQUESTS)), Vec::<String>::new());
        for body in [many(0), many(MOST_REQUESTS + 1), json!({}), json!({"requests": {}}), json!({"requests": null})] {
            assert_eq!(fields(&body), ["requests"]);
        }
        for number in [json!(0), json!(51), json!(1.5), json!("5")] {
            assert_eq!(fields(&json!({"requests": [request()], "maxConcurrent": number})), ["maxConcurrent"]);
        }
        assert_eq!(fields(&json!([])), ["body", "requests"]);
        assert_eq!(fields(&json!({"requests": [request()], "colour": 1, "callback": 7})), ["callback", "callback.kind", "colour"]);
    }
}
