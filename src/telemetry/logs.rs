//! Log lines on stderr.
//!
//! A thread of its own writes them, many lines at a time when there are many. When nobody reads stderr any more, lines are dropped:
//! a stuck pipe must not keep webhooks from being answered.

use std::io::{BufWriter, IsTerminal as _, stderr};

use tracing::Dispatch;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Registry,
    fmt::{self, MakeWriter, format::JsonFields},
    layer::SubscriberExt as _,
    util::{SubscriberInitExt as _, TryInitError},
};

use super::json::JsonLines;
use crate::{
    config::{LogConfig, LogFormat},
    lifecycle::panic_reason,
};

/// Lines that wait to be written; one more is dropped.
const WAITING_LINES: usize = 16_384;
/// Bytes that are written at once.
const WRITE_BYTES: usize = 65_536;

/// Writes what waits when it is dropped. Keep it until the very end, and drop it before [`std::process::exit`].
#[must_use]
pub struct LogGuard {
    _worker: WorkerGuard,
}

/// Sends the log lines of the whole process to stderr, those of panics too. Only the command line does this, once.
///
/// # Errors
/// When the process has a logger already.
pub fn start_logs(config: &LogConfig, instance: &str) -> Result<LogGuard, TryInitError> {
    let writer = BufWriter::with_capacity(WRITE_BYTES, stderr());
    let (lines, worker) = NonBlockingBuilder::default().buffered_lines_limit(WAITING_LINES).thread_name("logs").finish(writer);
    let colours = stderr().is_terminal() && !config.no_color;
    dispatch(config, instance, lines, colours).try_init()?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, reason = panic_reason(panic.payload()), "panicked");
    }));
    Ok(LogGuard { _worker: worker })
}

/// What formats and filters the lines that go to `writer`.
#[must_use]
pub fn dispatch<W>(config: &LogConfig, instance: &str, writer: W, colours: bool) -> Dispatch
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let registry = Registry::default().with(EnvFilter::new(&config.filter));
    let lines = fmt::layer().with_writer(writer);
    match config.format {
        LogFormat::Text => registry.with(lines.with_ansi(colours)).into(),
        LogFormat::Json => registry.with(lines.fmt_fields(JsonFields::new()).event_format(JsonLines::new(instance))).into(),
    }
}

#[cfg(test)]
mod tests;
