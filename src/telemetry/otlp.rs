//! Sends spans to a collector: OTLP over HTTP, as protobuf, gathered for some seconds on a thread of the library's own.
//!
//! A collector that is away costs nothing but its spans. What the library reads from the environment beside the address: `OTEL_EXPORTER_OTLP_HEADERS`
//! (credentials), `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`, `OTEL_BSP_*`.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use reqwest::Url;
use tokio::runtime::Handle;
use tracing::{info, warn};

use crate::{
    outbound::{Outbound, Post, Trust},
    trace::Traces,
};

/// Where spans are taken, behind the address of a collector.
const PATH: &str = "/v1/traces";
/// How long sending what was gathered may take.
const WITHIN: Duration = Duration::from_secs(10);
/// How long the end of the program waits for the last spans.
const FLUSH: Duration = Duration::from_secs(3);
/// Bytes of an answer that are read.
const MOST_ANSWER_BYTES: usize = 65_536;

/// The spans can't be sent.
#[derive(Debug, thiserror::Error)]
#[error("OTEL_EXPORTER_OTLP_ENDPOINT: {0}")]
pub struct TraceError(String);

/// Sends spans until it is closed; a cheap handle. Without a collector it does nothing.
#[derive(Debug, Clone, Default)]
pub struct Collector(Option<SdkTracerProvider>);

impl Collector {
    /// Sends to the collector at this base address, from within a runtime.
    ///
    /// # Errors
    /// [`TraceError`] when the address can't be used.
    pub fn at(endpoint: &str, outbound: Outbound) -> Result<Self, TraceError> {
        let road = Road { outbound, runtime: Handle::current(), is_blocked: Arc::default() };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(road)
            .with_endpoint(format!("{}{PATH}", endpoint.trim_end_matches('/')))
            .with_timeout(WITHIN)
            .build()
            .map_err(|error| TraceError(error.to_string()))?;
        let instance = uuid::Uuid::new_v4().to_string();
        let about = [KeyValue::new("service.version", env!("CARGO_PKG_VERSION")), KeyValue::new("service.instance.id", instance)];
        let resource = Resource::builder().with_service_name("ringback").with_attributes(about).build();
        Ok(Self(Some(SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build())))
    }

    /// Makes the spans that are sent.
    #[must_use]
    pub fn traces(&self) -> Traces {
        self.0.as_ref().map_or_else(Traces::default, |provider| Traces::by(provider.tracer("ringback")))
    }

    /// Sends what was gathered.
    pub async fn flush(&self) {
        self.blocking(|provider| drop(provider.force_flush())).await;
    }

    /// Sends what was gathered, and then nothing more.
    pub async fn close(&self) {
        self.blocking(|provider| drop(provider.shutdown_with_timeout(FLUSH))).await;
    }

    /// The library waits for its thread by blocking ours, which may be the one that the runtime sends with.
    async fn blocking(&self, act: impl FnOnce(SdkTracerProvider) + Send + 'static) {
        if let Some(provider) = self.0.clone() {
            let _ = tokio::task::spawn_blocking(move || act(provider)).await;
        }
    }
}

/// The way to the collector. The library's thread has no runtime, so that it is taken along.
struct Road {
    outbound: Outbound,
    runtime: Handle,
    is_blocked: Arc<AtomicBool>,
}

impl fmt::Debug for Road {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Road").finish_non_exhaustive()
    }
}

impl HttpClient for Road {
    fn send_bytes<'life, 'out>(
        &'life self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'out>>
    where
        'life: 'out,
        Self: 'out,
    {
        let (outbound, is_blocked) = (self.outbound.clone(), Arc::clone(&self.is_blocked));
        let sent = self.runtime.spawn(async move {
            let outcome = send(&outbound, request).await;
            tell(&is_blocked, &outcome);
            outcome
        });
        Box::pin(async move { sent.await? })
    }
}

async fn send(outbound: &Outbound, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let url = Url::parse(&request.uri().to_string())?;
    let (parts, body) = request.into_parts();
    let post = Post { url: &url, trust: Trust::Configured, headers: parts.headers, body, within: WITHIN, most_bytes: MOST_ANSWER_BYTES };
    let reply = outbound.post(post).await?;
    let mut response = Response::new(reply.body);
    (*response.status_mut(), *response.headers_mut()) = (reply.status, reply.headers);
    Ok(response)
}

/// Says once that spans are lost, and once that they are not any more.
fn tell(is_blocked: &AtomicBool, outcome: &Result<Response<Bytes>, HttpError>) {
    let trouble = match outcome {
        Ok(response) if response.status().is_success() => None,
        Ok(response) => Some(format!("it answers {}", response.status().as_u16())),
        Err(error) => Some(error.to_string()),
    };
    let was_blocked = is_blocked.swap(trouble.is_some(), Ordering::Relaxed);
    match trouble {
        Some(why) if !was_blocked => warn!(why, "The collector of traces takes no spans; they are lost until it does"),
        None if was_blocked => info!("The collector of traces takes spans again"),
        _ => {}
    }
}
