//! How the log of `serve` looks: text, logfmt or JSON, one line for each event on stderr, whatever a value holds. How the
//! lines get there is for `outlet`.

use std::error::Error;
use std::fmt::{self, Write};
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, anyhow};
use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{self, FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, SubscriberBuilder};
use tracing_subscriber::registry::LookupSpan;

use super::outlet::Outlet;
use crate::config::{Log, LogFormat};

/// The log of this process. Dropped, it waits until the last line is written.
pub struct Logging(Outlet);

impl Drop for Logging {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// Starts the log. Under systemd each line says its priority to the journal.
pub fn start(log: Log) -> anyhow::Result<Logging> {
    let journal = to_journal();
    let lost = |lines| tracing::warn!(lines, "lines of the log could not be written and are lost");
    let outlet = Outlet::start(std::io::stderr(), lost).context("cannot start the log")?;
    let builder = SubscriberBuilder::default()
        .with_writer(outlet.clone())
        // It would print them, and panic where it cannot.
        .log_internal_errors(false)
        .with_ansi(false)
        .with_max_level(log.level);
    let started = match log.format {
        LogFormat::Text => {
            let text = OneLine::new(Text, journal);
            builder.event_format(text).try_init()
        }
        LogFormat::Logfmt => {
            let logfmt = tracing_logfmt::EventsFormatter::default();
            let fields = tracing_logfmt::FieldsFormatter::default();
            let logfmt = OneLine::new(logfmt, journal);
            builder.event_format(logfmt).fmt_fields(fields).try_init()
        }
        LogFormat::Json => {
            let json = format::json().with_target(false).flatten_event(true);
            let json = OneLine::new(json, journal);
            let fields = format::JsonFields::new();
            builder.event_format(json).fmt_fields(fields).try_init()
        }
    };
    started.map_err(|error| anyhow!("cannot start the log: {error}"))?;
    // A panic is a line of the log like any other; where nobody reads, printing it would block whoever panics.
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        let what = panic.payload_as_str();
        tracing::error!(at, what, "a panic: this is a defect");
    }));
    Ok(Logging(outlet))
}

/// Whether stderr is the journal: systemd names its device and inode, which a redirected stderr does not have.
fn to_journal() -> bool {
    let stream = std::env::var("JOURNAL_STREAM").ok();
    let stderr = std::fs::metadata("/proc/self/fd/2").ok();
    stream
        .zip(stderr)
        .is_some_and(|(stream, stderr)| stream == format!("{}:{}", stderr.dev(), stderr.ino()))
}

/// Letters of a usual line.
const LINE: usize = 512;

/// A format whose events are one line each: what would begin another, or command a terminal, is escaped.
struct OneLine<F> {
    format: F,
    priorities: bool,
}

impl<F> OneLine<F> {
    fn new(format: F, priorities: bool) -> Self {
        Self { format, priorities }
    }
}

impl<S, N, F> FormatEvent<S, N> for OneLine<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::with_capacity(LINE);
        self.format
            .format_event(context, Writer::new(&mut line), event)?;
        if self.priorities {
            write!(writer, "<{}>", priority(event.metadata().level()))?;
        }
        escape(line.trim_end_matches('\n'), &mut writer)?;
        writer.write_char('\n')
    }
}

/// The priority of sd-daemon(3).
fn priority(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// The field whose name is not shown.
const MESSAGE: &str = "message";

/// The instant, the level, the message and the fields, as people read them; not the spans, of which this program has none.
/// One is written for each request: texts that need no escapes, nearly all, are copied as they are.
struct Text;

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(
            writer,
            "{:.6} {:>5} ",
            Timestamp::now(),
            event.metadata().level().as_str()
        )?;
        let mut fields = Fields {
            writer,
            separator: "",
            result: Ok(()),
        };
        event.record(&mut fields);
        fields.result
    }
}

/// Writes fields, the first without a blank before it.
struct Fields<'a> {
    writer: Writer<'a>,
    separator: &'static str,
    result: fmt::Result,
}

impl Fields<'_> {
    fn write(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        let mut name = || {
            self.writer.write_str(self.separator)?;
            if field.name() != MESSAGE {
                self.writer.write_str(field.name())?;
                self.writer.write_char('=')?;
            }
            Ok(())
        };
        // Where in its source a record of the `log` crate came from.
        if field.name().starts_with("log.") {
            return;
        }
        self.result = self
            .result
            .and_then(|()| name())
            .and_then(|()| value(&mut self.writer));
        self.separator = " ";
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write(field, |writer| write!(writer, "{value:?}"));
    }

    /// With what led to it.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.write(field, |writer| {
            write!(writer, "{value}")?;
            let Some(source) = value.source() else {
                return Ok(());
            };
            write!(writer, " {}.sources=[{source}", field.name())?;
            let mut other = source.source();
            while let Some(source) = other {
                write!(writer, ", {source}")?;
                other = source.source();
            }
            writer.write_char(']')
        });
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE {
            return self.write(field, |writer| writer.write_str(value));
        }
        let odd = |byte: u8| !matches!(byte, b' '..=b'~') || byte == b'"' || byte == b'\\';
        self.write(field, |writer| match any(value, odd) {
            true => write!(writer, "{value:?}"),
            false => {
                writer.write_char('"')?;
                writer.write_str(value)?;
                writer.write_char('"')
            }
        });
    }
}

/// Whether any byte is one of those. All are looked at, many at a time: that is faster than to stop at the first.
fn any(text: &str, wanted: impl Fn(u8) -> bool) -> bool {
    text.bytes().fold(false, |found, byte| found | wanted(byte))
}

/// Writes `line` without control characters: each becomes the escape of JSON, whose strings may hold some as they are.
fn escape(line: &str, writer: &mut impl Write) -> fmt::Result {
    // Those above ASCII begin with 0xC2, as some others do.
    if !any(line, |byte| matches!(byte, ..b' ' | 0x7f | 0xc2)) {
        return writer.write_str(line);
    }
    line.split_inclusive(char::is_control).try_for_each(|part| {
        let last = part.chars().next_back().filter(|last| last.is_control());
        match last.and_then(|last| Some((last, part.strip_suffix(last)?))) {
            None => writer.write_str(part),
            Some((last, before)) => write!(writer, "{before}\\u{:04x}", u32::from(last)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_begins_another_line_or_commands_a_terminal() {
        for (line, written) in [
            ("", ""),
            ("as it is: ü \"x\" \\", "as it is: ü \"x\" \\"),
            ("a\nb", "a\\u000ab"),
            ("\u{b5}m", "\u{b5}m"),
            (
                "\r\n\u{1b}[31mred\u{9b}\t",
                "\\u000d\\u000a\\u001b[31mred\\u009b\\u0009",
            ),
        ] {
            let mut found = String::new();
            escape(line, &mut found).unwrap();
            assert_eq!(found, written);
        }
    }

    /// The line of one event in a format, without its instant.
    fn line<F>(format: F) -> String
    where
        F: FormatEvent<tracing_subscriber::Registry, format::DefaultFields> + Send + Sync + 'static,
    {
        #[derive(Clone, Default)]
        struct Written(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);
        impl std::io::Write for Written {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let written = Written::default();
        let writer = written.clone();
        let subscriber = SubscriberBuilder::default()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .event_format(OneLine::new(format, false))
            .finish();
        let io = std::io::Error::other("the disk");
        let error: anyhow::Error = anyhow::Error::new(io).context("the file").context("it all");
        let error: &(dyn Error + 'static) = error.as_ref();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(
                error,
                plain = "GET",
                owned = "a b".to_owned(),
                odd = "\"quoted\" \\ and ü, \u{9b}\n",
                number = 7,
                absent = None::<&str>,
                there = Some("x"),
                shown = %"as it is",
                debugged = ?Some(1),
                "what {}",
                "happened"
            );
        });
        let line = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let (at, line) = line.split_once(' ').unwrap();
        at.parse::<Timestamp>().unwrap();
        assert_eq!(at.len(), "2026-11-29T17:00:00.123456Z".len());
        line.to_owned()
    }

    #[test]
    fn an_event_looks_as_it_does_everywhere_else() {
        let theirs = format::format().with_target(false).with_ansi(false);
        assert_eq!(line(Text), line(theirs));
    }
}
