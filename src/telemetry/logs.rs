//! Log lines on stderr.
//!
//! A thread of its own writes them, many lines at a time when there are many. When nobody reads stderr any more, lines are dropped:
//! a stuck pipe must not keep webhooks from being answered.

use std::{
    io::{self, BufWriter, IsTerminal as _, Write, stderr},
    thread,
    time::Duration,
};

use tracing::Dispatch;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
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
/// After writing, the thread lets lines gather for this long. Waking it for each line would cost a request more than the line itself.
const GATHER: Duration = Duration::from_millis(5);

/// Libraries whose finer levels log what they are given: the values of every statement.
const QUIET: [&str; 1] = ["tokio_postgres=info"];

/// Writes what waits when it is dropped. Keep it until the very end, and drop it before [`std::process::exit`].
#[must_use]
pub struct LogGuard {
    _worker: WorkerGuard,
}

/// The thread flushes when no line waits any more.
struct Gathering<W>(W);

impl<W: Write> Write for Gathering<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        thread::sleep(GATHER);
        Ok(())
    }
}

/// Sends the log lines of the whole process to stderr, those of panics too. Only the command line does this, once.
///
/// # Errors
/// When the process has a logger already.
pub fn start_logs(config: &LogConfig, instance: &str) -> Result<LogGuard, TryInitError> {
    let (lines, worker) = background(stderr());
    let colours = stderr().is_terminal() && !config.no_color;
    dispatch(config, instance, lines, colours).try_init()?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, reason = panic_reason(panic.payload()), "panicked");
    }));
    Ok(LogGuard { _worker: worker })
}

/// A thread that writes lines to `out`, and the way to hand it some.
fn background(out: impl Write + Send + 'static) -> (NonBlocking, WorkerGuard) {
    let writer = Gathering(BufWriter::with_capacity(WRITE_BYTES, out));
    NonBlockingBuilder::default().buffered_lines_limit(WAITING_LINES).thread_name("logs").finish(writer)
}

/// What formats and filters the lines that go to `writer`.
#[must_use]
pub fn dispatch<W>(config: &LogConfig, instance: &str, writer: W, colours: bool) -> Dispatch
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let registry = Registry::default().with(filter(&config.filter));
    let lines = fmt::layer().with_writer(writer);
    match config.format {
        LogFormat::Text => registry.with(lines.with_ansi(colours)).into(),
        LogFormat::Json => registry.with(lines.fmt_fields(JsonFields::new()).event_format(JsonLines::new(instance))).into(),
    }
}

/// The filter as configured; but of what a library says in detail, nothing that would show values of rows.
fn filter(directives: &str) -> EnvFilter {
    QUIET.iter().filter_map(|directive| directive.parse().ok()).fold(EnvFilter::new(directives), EnvFilter::add_directive)
}

#[cfg(test)]
mod tests;
