//! One log line as a flat JSON object: what every line has, then the fields of the spans around it, then its own.
//!
//! The library's own JSON nests the fields of spans and knows no constant ones. This one also writes as it goes instead of building values,
//! because there is a line for every request. Keys are unique as long as an event does not repeat a field of its span.

use std::fmt::{self, Write as _};

use jiff::{Timestamp, fmt::temporal::DateTimePrinter};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormattedFields,
        format::{JsonFields, Writer},
    },
    registry::LookupSpan,
};

/// Bytes of a line, about: that of a request has some 400.
const LINE: usize = 512;

/// RFC 3339, in UTC, with microseconds.
const TIMES: DateTimePrinter = DateTimePrinter::new().precision(Some(6));

/// Formats events as lines of JSON.
#[derive(Debug)]
pub struct JsonLines {
    /// The fields that never change, ready to be written.
    constant: String,
}

impl JsonLines {
    /// Lines of this instance of the service.
    #[must_use]
    pub fn new(instance: &str) -> Self {
        let mut constant = ",\"instance\":\"".to_owned();
        // A `String` takes everything.
        let _ = Escaped(&mut constant).write_str(instance);
        constant.push_str(concat!("\",\"version\":\"", env!("CARGO_PKG_VERSION"), "\""));
        Self { constant }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> FormatEvent<S, JsonFields> for JsonLines {
    fn format_event(&self, context: &FmtContext<'_, S, JsonFields>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        // Put together here and written once: `out` is told each part by a call that can't be inlined.
        let mut line = String::with_capacity(LINE);
        line.push_str("{\"timestamp\":\"");
        #[expect(clippy::disallowed_methods, reason = "lines tell when they were written, whatever clock a test moves")]
        let now = Timestamp::now();
        TIMES.print_timestamp(&now, &mut line).map_err(|_full| fmt::Error)?;
        let metadata = event.metadata();
        line.extend(["\",\"level\":\"", metadata.level().as_str(), "\",\"target\":\"", metadata.target(), "\"", &self.constant]);
        for span in context.event_scope().into_iter().flat_map(tracing_subscriber::registry::Scope::from_root) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<JsonFields>>().map_or("", |fields| fields.as_str());
            let inner = fields.trim_start_matches('{').strip_suffix('}').unwrap_or_default();
            if !inner.is_empty() {
                line.extend([",", inner]);
            }
        }
        let mut fields = Fields { line, result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        fields.line.push_str("}\n");
        out.write_str(&fields.line)
    }
}

/// Writes each field as `,"name":value`.
struct Fields {
    line: String,
    result: fmt::Result,
}

impl Fields {
    fn field(&mut self, field: &Field, write: impl FnOnce(&mut String) -> fmt::Result) {
        let name = field.name();
        // Where a line of the `log` crate stands in its source is of no use here.
        if self.result.is_ok() && !matches!(name, "log.file" | "log.line" | "log.module_path") {
            self.line.extend([",\"", name.strip_prefix("r#").unwrap_or(name), "\":"]);
            self.result = write(&mut self.line);
        }
    }

    fn text(&mut self, field: &Field, write: impl FnOnce(&mut Escaped<&mut String>) -> fmt::Result) {
        self.field(field, |line| {
            line.push('"');
            write(&mut Escaped(&mut *line))?;
            line.push('"');
            Ok(())
        });
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, |line| write!(line, "{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, |line| line.write_str(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // As `serde_json` does it, in less than half of the time that `Display` takes.
        let mut digits = zmij::Buffer::new();
        // JSON has no word for infinity.
        self.field(field, |line| line.write_str(if value.is_finite() { digits.format_finite(value) } else { "null" }));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field, |line| write!(line, "{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field, |line| write!(line, "{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field, |line| write!(line, "{value}"));
    }
}

/// Escapes what is written for a JSON string (RFC 8259, section 7).
struct Escaped<W>(W);

impl<W: fmt::Write> fmt::Write for Escaped<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Nearly every text; looking at all of its bytes is quicker than stopping at the first.
        if text.bytes().fold(true, |all, byte| all & is_plain(byte)) {
            return self.0.write_str(text);
        }
        let mut plain = 0;
        for (index, byte) in text.bytes().enumerate() {
            if is_plain(byte) {
                continue;
            }
            self.0.write_str(&text[plain..index])?;
            match byte {
                b'"' | b'\\' => write!(self.0, "\\{}", char::from(byte))?,
                b'\n' => self.0.write_str("\\n")?,
                _ => write!(self.0, "\\u{byte:04x}")?,
            }
            plain = index + 1;
        }
        self.0.write_str(&text[plain..])
    }
}

/// A byte that stands in a JSON string as it is.
fn is_plain(byte: u8) -> bool {
    byte >= b' ' && byte != b'"' && byte != b'\\'
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::{prelude::any, proptest};

    use super::Escaped;

    proptest! {
        #[test]
        fn any_text_survives_being_escaped(text in any::<String>(), more in "[\\x00-\\x20\"\\\\]{0,8}") {
            let mut json = "\"".to_owned();
            write!(Escaped(&mut json), "{text}{more}").unwrap();
            json.push('"');
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text + &more);
        }
    }
}
