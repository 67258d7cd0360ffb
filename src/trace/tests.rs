use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use reqwest::header::HeaderMap;

use super::{Traces, Work, carried, current, inject, note};

const THEIRS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn traces() -> (Traces, SdkTracerProvider, InMemorySpanExporter) {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    (Traces::by(provider.tracer("test")), provider, exporter)
}

#[tokio::test]
async fn off_there_is_no_trace_at_all() {
    let traces = Traces::default();
    assert!(traces.answering(&HeaderMap::new(), "GET", "/").is_none());
    let mut headers = HeaderMap::new();
    traces
        .span(Work::asking("work").after(Some(THEIRS)), async {
            note("key", "value");
            inject(&mut headers);
            assert_eq!(current(), None);
        })
        .await;
    assert!(headers.is_empty());
}

#[tokio::test]
async fn what_follows_goes_on_in_the_callers_trace() {
    let (traces, _provider, exporter) = traces();
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", THEIRS.parse().expect("a header"));
    headers.insert("tracestate", "vendor=1".parse().expect("a header"));
    let answering = traces.answering(&headers, "POST", "/hook").expect("it is on");
    assert_eq!(answering.trace_id(), "0af7651916cd43dd8448eb211c80319c");
    let kept = answering.within(async { carried(async { current() }).await }).await.expect("a place");
    answering.end(500, [("ringback.call_id", Some("call-1".to_owned())), ("nothing", None)]);
    let mut sent = HeaderMap::new();
    traces.span(Work::asking("later").after(Some(&kept)), async { inject(&mut sent) }).await;
    let spans = exporter.get_finished_spans().expect("spans");
    let ids: Vec<_> = spans.iter().map(|span| span.span_context.trace_id().to_string()).collect();
    assert_eq!(ids, ["0af7651916cd43dd8448eb211c80319c"; 2]);
    assert_eq!((spans[0].parent_span_id.to_string().as_str(), &*spans[0].name), ("b7ad6b7169203331", "POST /hook"));
    assert_eq!(spans[1].parent_span_id, spans[0].span_context.span_id());
    let later = spans[1].span_context.span_id();
    assert_eq!(sent["traceparent"], format!("00-{}-{later}-01", ids[0]));
    assert!(!sent.contains_key("tracestate"), "what vendors add is not kept");
}

#[tokio::test]
async fn nonsense_begins_a_trace_of_its_own() {
    let (traces, _provider, exporter) = traces();
    for nonsense in ["", "00-0-0-01", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "\u{e9}"] {
        traces.span(Work::asking("work").after(Some(nonsense)), async {}).await;
    }
    let spans = exporter.get_finished_spans().expect("spans");
    assert!(spans.len() == 4 && spans.iter().all(|span| span.parent_span_id.to_string() == "0000000000000000"));
}
