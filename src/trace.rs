//! The trace that the work at hand belongs to (W3C Trace Context), so that a webhook, the fetch that follows and the delivery at the end are
//! seen as one.
//!
//! Wanted:
//! - Off unless spans are sent somewhere; then nothing is made, and whoever passes by looks at one flag.
//! - What is done later, perhaps by another instance, goes on in the same trace: the record of a call keeps the place where it is to go on.
//! - A span says what was done to which call, and how long it took. Nobody can put a text of a caller in: there is only [`note`], with fixed
//!   keys, for ids and words of ours.
//!
//! Design: a span is the current one while its future is polled ([`opentelemetry::Context`]); requests of ours to others take it along
//! ([`inject`]). Tasks of their own are handed it by [`carried`]. Spans of `tracing` are not used: they would need a subscriber for the whole
//! process, and would carry the fields of every library's log lines out of the house.

use std::{borrow::Cow, collections::HashMap};

use opentelemetry::{
    Context, KeyValue, Value,
    propagation::TextMapPropagator as _,
    trace::{FutureExt as _, SpanBuilder, SpanKind, Status, TraceContextExt as _},
};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracer};
use reqwest::header::HeaderMap;

/// The header that says where a trace goes on.
const TRACEPARENT: &str = "traceparent";
/// What vendors add to it.
const TRACESTATE: &str = "tracestate";

/// Makes spans, if there is anybody to send them to. A clone is cheap.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<SdkTracer>);

/// What a span is about.
#[derive(Debug, Clone)]
pub struct Work<'a> {
    name: Cow<'static, str>,
    kind: SpanKind,
    parent: Option<&'a str>,
}

/// A request that is being answered, as a span.
#[derive(Debug, Clone)]
pub struct Answering(Context);

impl<'a> Work<'a> {
    /// Asking somebody over the network.
    #[must_use]
    pub fn asking(name: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), kind: SpanKind::Client, parent: None }
    }

    /// It goes on from here, as [`current`] said once; without one it goes on from the work around it.
    #[must_use]
    pub fn after(self, parent: Option<&'a str>) -> Self {
        Self { parent, ..self }
    }
}

impl Traces {
    /// Spans go where this tracer sends them.
    #[must_use]
    pub fn by(tracer: SdkTracer) -> Self {
        Self(Some(tracer))
    }

    /// Are spans sent anywhere?
    #[must_use]
    pub fn are_on(&self) -> bool {
        self.0.is_some()
    }

    /// Somebody asks us, in a trace of theirs if `headers` say so. `None` when traces are off.
    #[must_use]
    pub fn answering(&self, headers: &HeaderMap, method: &str, route: &str) -> Option<Answering> {
        let tracer = self.0.as_ref()?;
        let theirs = TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers));
        let builder = SpanBuilder::from_name(format!("{method} {route}")).with_kind(SpanKind::Server);
        Some(Answering(theirs.with_span(builder.start_with_context(tracer, &theirs))))
    }

    /// Does this work as a span of its own.
    pub async fn span<F: Future>(&self, about: Work<'_>, work: F) -> F::Output {
        let Some(tracer) = &self.0 else { return work.await };
        let before = about.parent.and_then(read).unwrap_or_else(Context::current);
        let builder = SpanBuilder::from_name(about.name).with_kind(about.kind);
        work.with_context(before.with_span(builder.start_with_context(tracer, &before))).await
    }
}

impl Answering {
    /// The trace's id, 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        self.0.span().span_context().trace_id().to_string()
    }

    /// Does what leads to the answer.
    pub async fn within<F: Future>(&self, work: F) -> F::Output {
        work.with_context(self.0.clone()).await
    }

    /// It was answered so.
    pub fn end(self, status: u16, notes: impl IntoIterator<Item = (&'static str, Option<String>)>) {
        let span = self.0.span();
        let notes = notes.into_iter().filter_map(|(key, value)| Some(KeyValue::new(key, value?)));
        span.set_attributes(notes.chain([KeyValue::new("http.response.status_code", i64::from(status))]));
        if status >= 500 {
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

/// Says something about the work at hand: an id, a word of ours, a number. Nothing happens outside of a span.
pub fn note(key: &'static str, value: impl Into<Value>) {
    Context::map_current(|context| {
        if context.has_active_span() {
            context.span().set_attribute(KeyValue::new(key, value.into()));
        }
    });
}

/// The work at hand failed, for a reason in words of ours.
pub fn failed(why: &'static str) {
    Context::map_current(|context| {
        if context.has_active_span() {
            context.span().set_status(Status::error(why));
        }
    });
}

/// Where the trace of the work at hand goes on, as `traceparent` has it; `None` outside of one.
#[must_use]
pub fn current() -> Option<String> {
    Context::map_current(|context| {
        if !context.has_active_span() {
            return None;
        }
        let mut headers = HashMap::new();
        TraceContextPropagator::new().inject_context(context, &mut headers);
        headers.remove(TRACEPARENT)
    })
}

/// Tells whoever is asked which trace the work at hand belongs to.
pub fn inject(headers: &mut HeaderMap) {
    Context::map_current(|context| {
        if context.has_active_span() {
            TraceContextPropagator::new().inject_context(context, &mut HeaderInjector(headers));
            if headers.get(TRACESTATE).is_some_and(reqwest::header::HeaderValue::is_empty) {
                headers.remove(TRACESTATE);
            }
        }
    });
}

/// The same work, which belongs to the trace of the work at hand wherever it is done.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    work.with_current_context()
}

fn read(parent: &str) -> Option<Context> {
    let headers = HashMap::from([(TRACEPARENT.to_owned(), parent.to_owned())]);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    context.has_active_span().then_some(context)
}

#[cfg(test)]
mod tests;
