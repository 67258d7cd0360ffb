//! Log lines on stderr.
//!
//! A thread of its own writes them, many lines at a time when there are many. When nobody reads stderr any more, lines are dropped:
//! a stuck pipe must not keep webhooks from being answered.

mod background;

use std::io::{self, IsTerminal as _, stderr};

use tracing::Dispatch;
use tracing_subscriber::{
    EnvFilter, Registry,
    fmt::{self, MakeWriter, format::JsonFields},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use self::background::{Worker, background};
use super::json::JsonLines;
use crate::{
    config::{LogConfig, LogFormat},
    lifecycle::panic_reason,
};

/// Libraries whose finer levels log what they are given: the values of every statement.
const QUIET: [&str; 1] = ["tokio_postgres=info"];

/// Writes what waits when it is dropped. Keep it until the very end, and drop it before [`std::process::exit`].
#[must_use]
pub struct LogGuard {
    _worker: Worker,
}

/// Sends the log lines of the whole process to stderr, those of panics too. Only the command line does this, once.
///
/// # Errors
/// When the process has a logger already, or no thread for it.
pub fn start_logs(config: &LogConfig, instance: &str) -> io::Result<LogGuard> {
    let (lines, worker) = background(stderr())?;
    let colours = stderr().is_terminal() && !config.no_color;
    dispatch(config, instance, lines, colours).try_init().map_err(io::Error::other)?;
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
