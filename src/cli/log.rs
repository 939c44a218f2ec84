//! How the log of `serve` looks: text, logfmt or JSON, one line for each event on stderr, whatever a value holds. How the
//! lines get there is for `outlet`.

use std::fmt::{self, Write};
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, anyhow};
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
            let text = format::format().with_target(false).with_ansi(false);
            let text = OneLine::new(text, journal);
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
        let mut line = String::new();
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

/// Writes `line` without control characters: each becomes the escape of JSON, whose strings may hold some as they are.
fn escape(line: &str, writer: &mut impl Write) -> fmt::Result {
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
}
