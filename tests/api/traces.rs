//! One trace leads from a webhook over the fetch that follows to the delivery at the end, whatever happens in between; and no word of a caller
//! is in it.

use opentelemetry_proto::tonic::{collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value as Said, trace::v1::Span};
use prost::Message as _;
use ringback::{call::time::SECOND, simulate::Stage};
use serde_json::json;

use crate::support::{
    app::{Engine, SECRET, Story, TestApp, on_every_engine},
    calls::{late_talk, message, path, talk},
    endpoint::Endpoint,
    subscriber::{Say, Subscriber, to},
    vapi::CALL,
};

on_every_engine! {
    one_trace_leads_from_the_webhook_over_the_fetch_to_the_delivery
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const THEIRS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const SUBSCRIPTIONS: &str = "/api/v1/vapi/subscriptions";

/// A service that sends its traces here.
fn traced(engine: Engine, collector: &Subscriber) -> Story {
    Story::on(engine).with("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.base()).with("OUTBOUND_ALLOW", "127.0.0.1")
}

/// What came of the service so far.
async fn spans(app: &TestApp, collector: &Subscriber) -> Vec<Span> {
    app.app().collector().flush().await;
    let exports = collector.told().into_iter().map(|told| {
        assert_eq!((told.target.as_str(), told.header("content-type")), ("/v1/traces", "application/x-protobuf"));
        ExportTraceServiceRequest::decode(told.bytes).expect("OTLP")
    });
    let resources = exports.flat_map(|export| export.resource_spans);
    resources.flat_map(|resource| resource.scope_spans).flat_map(|scope| scope.spans).collect()
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name} in {names:?}"))
}

fn said(span: &Span, key: &str) -> Option<String> {
    let value = span.attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value?;
    Some(match value {
        Said::StringValue(text) => text,
        Said::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}

fn whole(span: &Span, key: &str) -> Option<i64> {
    match span.attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value? {
        Said::IntValue(number) => Some(number),
        _ => None,
    }
}

/// The `traceparent` that goes on from a span.
fn from(span: &Span) -> String {
    format!("00-{}-{}-01", hex::encode(&span.trace_id), hex::encode(&span.span_id))
}

async fn hears_report_in_a_trace(app: &TestApp) {
    let report = ringback::simulate::bodies::end_of_call_report(&late_talk(CALL), app.clock().now()).to_string();
    let ask = app.ask("POST", "/api/v1/vapi/webhook").header("x-vapi-secret", SECRET).header("traceparent", THEIRS);
    assert_eq!(ask.body(report).send().await.status, 200);
}

async fn one_trace_leads_from_the_webhook_over_the_fetch_to_the_delivery(engine: Engine) {
    let (collector, subscriber) = (Subscriber::start().await, Subscriber::start().await);
    let mut app = traced(engine, &collector).begin().await;
    assert_eq!(app.ask("POST", SUBSCRIPTIONS).body(to(&subscriber.url(), &["call.done"]).to_string()).send().await.status, 201);
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    hears_report_in_a_trace(&app).await;
    if engine != Engine::Memory {
        app.app().collector().close().await;
        app = app.restart().await;
    }
    app.advance(4.0).await;
    assert_eq!(app.call(CALL).await["dataStatus"], "complete");
    assert_eq!(app.api().push.step().await.expect("the store answers"), 1);
    let spans = spans(&app, &collector).await;
    let (webhook, fetch, deliver) = (named(&spans, "POST /api/v1/vapi/webhook"), named(&spans, "fetch call"), named(&spans, "deliver"));
    for span in [webhook, fetch, deliver] {
        assert_eq!(hex::encode(&span.trace_id), TRACE, "{}", span.name);
        assert_eq!(said(span, "ringback.call_id").as_deref(), Some(CALL), "{}", span.name);
    }
    assert_eq!(hex::encode(&webhook.parent_span_id), "b7ad6b7169203331");
    assert_eq!((&fetch.parent_span_id, &deliver.parent_span_id), (&webhook.span_id, &fetch.span_id));
    assert_eq!(said(webhook, "http.response.status_code").as_deref(), Some("200"));
    assert_eq!(said(webhook, "ringback.event_type").as_deref(), Some("end-of-call-report"));
    assert_eq!(said(deliver, "ringback.event_type").as_deref(), Some("call.done"));
    let statuses = [webhook, deliver].map(|span| whole(span, "http.response.status_code"));
    assert_eq!(statuses, [Some(200), Some(200)], "numbers, by which a collector can compare");
    let asked = app.vapi.requests().into_iter().find(|request| request.path == format!("/call/{CALL}")).expect("Vapi was asked");
    assert_eq!(asked.traceparent, Some(from(fetch)));
    assert_eq!(subscriber.told()[0].header("traceparent"), from(deliver));
    app.app().collector().close().await;
    app.finish().await;
}

#[tokio::test]
async fn no_word_and_no_number_of_a_caller_is_in_a_span() {
    let (collector, subscriber) = (Subscriber::start().await, Subscriber::start().await);
    let app = traced(Engine::Memory, &collector).begin().await;
    assert_eq!(app.ask("POST", SUBSCRIPTIONS).body(to(&subscriber.url(), &["call.done"]).to_string()).send().await.status, 201);
    let script = talk(CALL)
        .with_lines(["Is the umbrella still there?", "Yes, the umbrella is here."])
        .with_requested("customer", json!({"number": "+15555550142", "name": "Persephone"}))
        .with_metadata(json!({"note": "pelican"}));
    app.hears_report(&script).await;
    app.hears(&message("pelican.of.somebody", CALL, json!({}))).await;
    for path in [
        path(CALL),
        "/api/v1/vapi/calls?q=umbrella&phone=15555550142".to_owned(),
        "/api/v1/vapi/calls/by-phone/15555550142".to_owned(),
        "/pelican/15555550142?token=hunter4".to_owned(),
    ] {
        app.ask("GET", &path).header("baggage", "a=pelican").send().await;
    }
    app.api().push.step().await.expect("the store answers");
    let spans = spans(&app, &collector).await;
    named(&spans, "GET unmatched");
    named(&spans, "GET /api/v1/vapi/calls/by-phone/{phone}");
    named(&spans, "deliver");
    let all =
        format!("{spans:?}") + &String::from_utf8_lossy(&collector.told().iter().flat_map(|told| told.bytes.to_vec()).collect::<Vec<_>>());
    for private in ["umbrella", "5550142", "Persephone", "pelican", "hunter4", SECRET] {
        assert!(!all.contains(private), "{private}");
    }
    app.app().collector().close().await;
    app.finish().await;
}

#[tokio::test]
async fn tools_and_the_relay_are_asked_in_the_trace_of_the_question() {
    let (collector, endpoint) = (Subscriber::start().await, Endpoint::start().await);
    let tools = format!("[tools.look_up]\nurl = \"{}\"\n[relay]\nurl = \"{}\"\n", endpoint.url("/fast"), endpoint.url("/hook"));
    let app = traced(Engine::Memory, &collector).with("TOOLS", &tools).begin().await;
    let call = json!({"id": "t1", "type": "function", "function": {"name": "look_up", "arguments": {}}});
    let question = message("tool-calls", CALL, json!({"toolCallList": [call], "toolCalls": [call]}));
    let ask = app.ask("POST", "/api/v1/vapi/webhook").header("x-vapi-secret", SECRET).header("traceparent", THEIRS);
    assert_eq!(ask.body(question.to_string()).send().await.status, 200);
    endpoint.has_hits(2).await;
    let spans = spans(&app, &collector).await;
    let (webhook, tool) = (named(&spans, "POST /api/v1/vapi/webhook"), named(&spans, "ask tool"));
    assert_eq!((&tool.parent_span_id, said(tool, "ringback.tool").as_deref()), (&webhook.span_id, Some("look_up")));
    let mut told: Vec<_> = endpoint.hits().iter().map(|hit| (hit.path.clone(), hit.header("traceparent").to_owned())).collect();
    told.sort();
    assert_eq!(told, [("/fast".to_owned(), from(tool)), ("/hook".to_owned(), from(webhook))]);
    app.app().collector().close().await;
    app.finish().await;
}

#[tokio::test]
async fn vapi_is_told_the_trace_of_whoever_changes_or_deletes_a_call() {
    let collector = Subscriber::start().await;
    let app = traced(Engine::Memory, &collector).placing().begin().await;
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    for (method, body) in [("PATCH", r#"{"name":"Second try"}"#), ("DELETE", "")] {
        let ask = app.ask(method, &format!("/vapi/call/{CALL}")).header("traceparent", THEIRS);
        assert_eq!(ask.body(body).send().await.status, 200, "{method}");
        let asked = app.vapi.requests().into_iter().find(|request| request.method == method).expect("Vapi was asked");
        let spans = spans(&app, &collector).await;
        assert_eq!(asked.traceparent, Some(from(named(&spans, &format!("{method} /vapi/call/{{id}}")))), "{method}");
    }
    app.app().collector().close().await;
    app.finish().await;
}

#[tokio::test]
async fn probes_make_no_spans_and_a_request_that_fails_is_marked() {
    let collector = Subscriber::start().await;
    let app = traced(Engine::Memory, &collector).begin().await;
    for probe in ["/livez", "/readyz", "/metrics"] {
        app.get(probe).await;
    }
    app.get(&path("nobody")).await.refused(404, "CALL_NOT_FOUND");
    app.lose_store().await;
    app.get(&path("anybody")).await.refused(503, "STORE_UNAVAILABLE");
    let spans = spans(&app, &collector).await;
    let marks: Vec<_> =
        spans.iter().map(|span| (said(span, "http.response.status_code"), span.status.as_ref().map_or(0, |status| status.code))).collect();
    assert_eq!(marks, [(Some("404".to_owned()), 0), (Some("503".to_owned()), 2)]);
    app.app().collector().close().await;
    app.finish().await;
}

#[tokio::test]
async fn a_collector_that_is_away_or_slow_delays_nobody() {
    let collector = Subscriber::start().await;
    collector.always_says(Some(Say::Status(503)));
    let app = traced(Engine::Memory, &collector).begin().await;
    app.hears_report(&talk(CALL)).await;
    assert_eq!(app.poll(CALL).await.status, 200);
    app.app().collector().flush().await;
    collector.always_says(None);
    app.clock().advance(SECOND);
    assert_eq!(app.poll(CALL).await.status, 200);
    app.app().collector().close().await;
    app.finish().await;
}

#[tokio::test]
async fn without_a_collector_nothing_is_kept_and_nobody_is_told() {
    let subscriber = Subscriber::start().await;
    let app = Story::new().with("OUTBOUND_ALLOW", "127.0.0.1").begin().await;
    assert_eq!(app.ask("POST", SUBSCRIPTIONS).body(to(&subscriber.url(), &["call.done"]).to_string()).send().await.status, 201);
    app.vapi_knows(&talk(CALL), Stage::Analysed);
    hears_report_in_a_trace(&app).await;
    app.advance(4.0).await;
    app.api().push.step().await.expect("the store answers");
    assert_eq!((subscriber.told().len(), subscriber.told()[0].header("traceparent")), (1, ""));
    assert!(app.vapi.requests().iter().all(|request| request.traceparent.is_none()));
    app.finish().await;
}
