//! The document of the API tells the truth: every route is in it, every route in it is there, and answers look as it says.

use std::collections::{BTreeMap, BTreeSet};

use ringback::{http, simulate::Stage};
use serde_json::{Value, json};

use crate::support::{
    app::{SECRET, Story, TestApp},
    calls::{late_talk, message, path, talk},
    vapi::CALL,
};

/// Pages for people, and what only they use; and what is Vapi's.
const PAGES: [&str; 6] = ["/", "/dashboard/{*file}", "/docs", "/docs/{*file}", "/session", "/vapi/{*rest}"];
const METHODS: [&str; 5] = ["get", "head", "post", "delete", "patch"];
const SCOPES: [&str; 4] = ["poll", "read", "place", "admin"];

fn document() -> Value {
    serde_json::to_value(http::openapi()).expect("JSON")
}

/// Every operation: path, method, what is said about it.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let all = paths.iter().flat_map(|(path, item)| {
        METHODS.iter().filter_map(move |method| Some((path.clone(), (*method).to_owned(), item.get(*method)?.clone())))
    });
    all.collect()
}

#[test]
fn every_route_is_in_the_document_and_nothing_else() {
    let document = document();
    let told: BTreeSet<&str> = document["paths"].as_object().expect("paths").keys().map(String::as_str).collect();
    let routes: BTreeSet<&str> = http::TEMPLATES.into_iter().filter(|route| !PAGES.contains(route)).collect();
    assert_eq!(told, routes);
}

#[tokio::test]
async fn every_operation_in_the_document_is_there() {
    let app = Story::new().placing().begin().await;
    for (path, method, _) in operations(&document()) {
        let asked = path.replace("{id}", CALL).replace("{phone}", "15550199123").replace("{token}", "x");
        let answer = app.ask(&method.to_uppercase(), &asked).send().await;
        let code = answer.bytes.is_empty().then(String::new).unwrap_or_else(|| answer.text());
        assert!(!code.contains("ROUTE_NOT_FOUND") && !code.contains("METHOD_NOT_ALLOWED"), "{method} {path}: {code}");
    }
    app.work().await;
    app.finish().await;
}

#[test]
fn every_operation_has_an_id_a_tag_a_summary_and_says_who_may_use_it() {
    let document = document();
    let tags: BTreeSet<&str> = document["tags"].as_array().expect("tags").iter().filter_map(|tag| tag["name"].as_str()).collect();
    let schemes = document["components"]["securitySchemes"].as_object().expect("schemes");
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let context = format!("{method} {path}");
        assert!(ids.insert(operation["operationId"].to_string()), "{context}: its id is another's too");
        let id = operation["operationId"].as_str().expect("an id");
        assert!(id.starts_with(char::is_lowercase) && id.chars().all(char::is_alphanumeric), "{context}: {id}");
        assert!(operation["tags"][0].as_str().is_some_and(|tag| tags.contains(tag)), "{context}");
        assert!(operation["summary"].as_str().is_some_and(|words| !words.is_empty()), "{context}");
        for allowed in operation["security"].as_array().unwrap_or_else(|| panic!("{context} says nothing of security")) {
            for (scheme, scopes) in allowed.as_object().expect("an object") {
                assert!(schemes.contains_key(scheme), "{context}: {scheme}");
                let scopes = scopes.as_array().expect("scopes");
                assert!(scopes.iter().all(|scope| SCOPES.contains(&scope.as_str().unwrap_or_default())), "{context}: {scopes:?}");
            }
        }
    }
}

#[test]
fn every_parameter_answer_and_member_is_explained() {
    let document = document();
    for (path, method, operation) in operations(&document) {
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        for name in path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
            let found = parameters.iter().find(|parameter| parameter["name"] == name && parameter["in"] == "path");
            assert!(found.is_some_and(|parameter| parameter["required"] == true), "{method} {path}: {name}");
        }
        for parameter in &parameters {
            assert!(parameter["description"].as_str().is_some_and(|words| !words.is_empty()), "{method} {path}: {parameter}");
        }
        for (status, response) in operation["responses"].as_object().expect("responses") {
            assert!(response["description"].as_str().is_some_and(|words| !words.is_empty()), "{method} {path} {status}");
            let is_error = status.starts_with(['4', '5']) && path != "/readyz" && method != "head" && status != "416";
            if is_error {
                let schema = &response["content"]["application/json"]["schema"]["$ref"];
                let error = if path.starts_with("/vapi/") { "VapiError" } else { "NoData" };
                assert!(schema.as_str().is_some_and(|name| name.contains(error)), "{method} {path} {status}: {response}");
            }
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
        for (member, about) in schema["properties"].as_object().into_iter().flatten() {
            let described = ["description", "$ref", "oneOf", "allOf", "items"].iter().any(|key| about.get(*key).is_some());
            assert!(described, "{name}.{member} is not explained");
        }
    }
}

/// What is wrong with a value, by a schema of the document; nothing if it fits.
fn misfit(document: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let pointed = document.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("{name} leads nowhere"));
        return misfit(document, pointed, value, at);
    }
    for (key, all) in [("allOf", true), ("oneOf", false), ("anyOf", false)] {
        if let Some(parts) = schema[key].as_array() {
            let misfits: Vec<_> = parts.iter().map(|part| misfit(document, part, value, at)).collect();
            let fits = if all { misfits.iter().all(Option::is_none) } else { misfits.iter().any(Option::is_none) };
            return if fits { None } else { misfits.into_iter().flatten().next() };
        }
    }
    let is_type = |word: &str| match word {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        _ => value.is_object(),
    };
    let fits = match &schema["type"] {
        Value::String(word) => is_type(word),
        Value::Array(words) => words.iter().filter_map(Value::as_str).any(is_type),
        _ => true,
    };
    if !fits {
        return Some(format!("{at} is {value}, not {}", schema["type"]));
    }
    match value {
        Value::Object(members) => misfit_of_members(document, schema, members, at),
        Value::Array(items) => items.iter().find_map(|item| misfit(document, &schema["items"], item, &format!("{at}[]"))),
        _ => None,
    }
}

fn misfit_of_members(document: &Value, schema: &Value, members: &serde_json::Map<String, Value>, at: &str) -> Option<String> {
    let properties = schema["properties"].as_object()?;
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if let Some(missing) = required.into_iter().find(|key| !members.contains_key(*key)) {
        return Some(format!("{at}.{missing} is missing"));
    }
    members.iter().find_map(|(key, member)| match properties.get(key) {
        Some(about) => misfit(document, about, member, &format!("{at}.{key}")),
        None => Some(format!("{at}.{key} is not in the document")),
    })
}

async fn fits(app: &TestApp, document: &Value, method: &str, template: &str, path: &str) {
    let ask = app.ask(&method.to_uppercase(), path);
    let ask = if template.ends_with("webhook") {
        ask.header("x-vapi-secret", SECRET).body(message("hang", CALL, json!({})).to_string())
    } else {
        ask
    };
    let answer = ask.send().await;
    let response = &document["paths"][template][method]["responses"][answer.status.to_string()];
    assert!(response.is_object(), "{method} {template} does not tell of {}", answer.status);
    let schema = &response["content"]["application/json"]["schema"];
    assert!(schema.is_object(), "{method} {template} {} has no schema", answer.status);
    assert_eq!(misfit(document, schema, &answer.json(), "$"), None, "{method} {path}: {}", answer.text());
}

#[tokio::test]
async fn answers_look_as_the_document_says() {
    let (app, document) = (Story::new().begin().await, document());
    let envelope = json!({"$ref": "#/components/schemas/Envelope_CallResult"});
    assert!(misfit(&document, &envelope, &json!({}), "$").is_some_and(|why| why.contains("missing")), "this test can fail");
    let rich = talk(CALL)
        .with_tool_asked(2, "look_up", json!({"a": 1}))
        .with_output("o", "n", &json!(1))
        .with_metadata(json!({"providerName": "R"}));
    app.hears_report(&rich).await;
    app.hears_report(&late_talk("late")).await;
    app.hears_status(&talk("live"), Stage::InProgress).await;
    app.ask("DELETE", &format!("{}?always=1", path("gone"))).send().await.data(200);
    let calls = "/api/v1/vapi/calls";
    let one = "/api/v1/vapi/calls/{id}";
    let sub = |id: &str, rest: &str| format!("{calls}/{id}{rest}");
    for (method, template, path) in [
        ("get", one.to_owned(), sub(CALL, "")),
        ("get", one.to_owned(), sub(CALL, "?view=summary")),
        ("get", one.to_owned(), sub("live", "")),
        ("get", one.to_owned(), sub("unknown", "")),
        ("get", one.to_owned(), sub("late", "")),
        ("get", one.to_owned(), sub("a%20b", "")),
        ("get", format!("{one}/result"), sub(CALL, "/result")),
        ("get", format!("{one}/result"), sub("live", "/result")),
        ("get", format!("{one}/result"), sub("unknown", "/result")),
        ("get", format!("{one}/result"), sub("gone", "/result")),
        ("get", format!("{one}/result"), sub("live", "/result?wait=x")),
        ("get", format!("{one}/timeline"), sub(CALL, "/timeline")),
        ("get", format!("{one}/timeline"), sub(CALL, "/timeline?body=1")),
        ("get", format!("{one}/timeline"), sub("unknown", "/timeline")),
        ("get", format!("{one}/recording"), sub("unknown", "/recording")),
        ("get", format!("{one}/recording"), sub("gone", "/recording")),
        ("get", format!("{one}/recording"), sub(CALL, "/recording?kind=x")),
        ("post", format!("{one}/fetch"), sub("live", "/fetch")),
        ("post", format!("{one}/fetch"), sub("unknown", "/fetch")),
        ("post", format!("{one}/fetch"), sub("gone", "/fetch")),
        ("get", calls.to_owned(), calls.to_owned()),
        ("get", calls.to_owned(), format!("{calls}?view=full&limit=1")),
        ("get", calls.to_owned(), format!("{calls}?limit=0")),
        ("get", format!("{calls}/by-phone/{{phone}}"), format!("{calls}/by-phone/15550199123")),
        ("get", format!("{calls}/by-phone/{{phone}}"), format!("{calls}/by-phone/x")),
        ("get", "/api/v1/vapi/cache/stats".to_owned(), "/api/v1/vapi/cache/stats".to_owned()),
        ("post", "/api/v1/vapi/webhook".to_owned(), "/api/v1/vapi/webhook".to_owned()),
        ("get", "/api/v1/webhooks/vapi/test".to_owned(), "/api/v1/webhooks/vapi/test".to_owned()),
        ("get", "/livez".to_owned(), "/livez".to_owned()),
        ("get", "/readyz".to_owned(), "/readyz".to_owned()),
        ("get", "/vapi/call".to_owned(), "/vapi/call".to_owned()),
        ("get", "/vapi/call".to_owned(), "/vapi/call?page=2".to_owned()),
        ("get", "/vapi/call/{id}".to_owned(), format!("/vapi/call/{CALL}")),
        ("get", "/vapi/call/{id}".to_owned(), "/vapi/call/live".to_owned()),
        ("get", "/vapi/call/{id}".to_owned(), "/vapi/call/unknown".to_owned()),
        ("post", "/vapi/call".to_owned(), "/vapi/call".to_owned()),
        ("delete", one.to_owned(), sub("live", "")),
        ("delete", "/api/v1/vapi/cache".to_owned(), "/api/v1/vapi/cache".to_owned()),
    ] {
        fits(&app, &document, method, &template, &path).await;
    }
    app.work().await;
    app.finish().await;
}

/// Every refusal that a route can give whoever has no, or too small, a token.
#[tokio::test]
async fn refusals_are_in_the_document() {
    let document = document();
    let guarded = Story::new().with("API_TOKENS", "poll:p=poll-token-0123456789").begin().await;
    for (path, method, operation) in operations(&document) {
        let asked = path.replace("{id}", CALL).replace("{phone}", "1").replace("{token}", "x");
        for ask in [guarded.ask(&method.to_uppercase(), &asked), guarded.ask(&method.to_uppercase(), &asked).token("poll-token-0123456789")]
        {
            let status = ask.send().await.status.to_string();
            assert!(operation["responses"].get(&status).is_some(), "{method} {path} does not tell of {status}");
        }
    }
    guarded.finish().await;
}

#[tokio::test]
async fn the_document_and_its_page_come_from_inside_and_name_no_other_host() {
    let app = Story::new().begin().await;
    let served: Value = app.get("/openapi.json").await.json();
    assert_eq!((&served, &served["openapi"]), (&document(), &json!("3.1.0")));
    let page = app.get("/docs/index.html").await;
    assert_eq!(page.header("content-type").split(';').next(), Some("text/html"));
    let html = page.text();
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for attribute in ["src=\"", "href=\""] {
        for (start, _) in html.match_indices(attribute) {
            let target = html[start + attribute.len()..].split('"').next().expect("a quote");
            assert!(!target.contains("//"), "{target} leads to another host");
            let answer = app.get(&format!("/docs/{}", target.trim_start_matches("./"))).await;
            assert_eq!(answer.status, 200, "{target}");
            files.insert(target.to_owned(), answer.text());
        }
    }
    assert!(files.len() >= 5, "{:?}", files.keys());
    let start = files.iter().find_map(|(name, text)| name.contains("initializer").then_some(text)).expect("what starts the page");
    assert!(start.contains("/openapi.json") && !start.contains("http"), "{start}");
    // Without this the page has its document judged by a service on the internet.
    assert!(start.contains("\"validatorUrl\": \"none\"") || start.contains("\"validatorUrl\":\"none\""), "{start}");
    app.finish().await;
}
