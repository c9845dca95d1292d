//! What the functions write to their logs: one object of JSON a line, flat, so that Logs Insights finds each field by its
//! own name. Every line of an invocation says whose it is by `request_id`, and by `run_id`, `pass` and `segment` if there is
//! one. Figures of a run become metrics.

use std::fmt;

use backfill_core::clock::now_ms;
use backfill_core::engine::metrics;
use serde_json::{Map, Value};
use tracing::{Event, Level, Span, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;

use crate::emf;

/// The target under which lambda_runtime opens the span of an invocation.
const INVOCATION_SPAN: &str = "lambda_runtime::layers::trace";

/// The names that lambda_runtime gives its span's fields, and their names here.
const RENAMED: [(&str, &str); 2] = [
    ("requestId", "request_id"),
    ("xrayTraceId", "xray_trace_id"),
];

/// The target under which lambda_runtime logs the error of a handler once more, in the words of a debugger.
const LOGGED_TWICE: &str = "lambda_runtime::layers::panic";

/// What an invocation works on, as far as its event says so.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The run.
    pub run_id: Option<String>,
    /// The pass, from 1.
    pub pass: Option<u32>,
    /// The segment, from 0.
    pub segment: Option<u32>,
}

impl Subject {
    /// A span that has every line within it name the subject.
    pub(crate) fn span(&self) -> Span {
        // On the level of errors, so that no RUST_LOG takes it away.
        tracing::error_span!(
            "invocation",
            run_id = self.run_id,
            pass = self.pass,
            segment = self.segment
        )
    }
}

/// Logs events to standard output from now on. `directives` say which, in the words of RUST_LOG (`debug`, or
/// `warn,backfill_core=debug`); without any, those of level info and above.
pub(crate) fn start(directives: Option<&str>) {
    tracing_subscriber::registry()
        .with(
            tracing_subscriber::fmt::layer()
                .fmt_fields(JsonFields::new())
                .event_format(Lines),
        )
        .with(filter(directives))
        .init();
}

// Not EnvFilter, which brings an engine for regular expressions into each function.
fn filter(directives: Option<&str>) -> Targets {
    directives
        .and_then(|directives| directives.parse().ok())
        .unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO))
        .with_target(INVOCATION_SPAN, LevelFilter::INFO)
        .with_target(LOGGED_TWICE, LevelFilter::OFF)
        // Alarms rest on the metrics.
        .with_target(metrics::TARGET, LevelFilter::INFO)
}

/// An event as a line: the fields of its spans and its own, side by side.
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Map::new();
        let spans = context.event_scope().into_iter();
        for span in spans.flat_map(|scope| scope.from_root()) {
            if let Some(of_span) = span.extensions().get::<FormattedFields<N>>() {
                add(&mut fields, of_span);
            }
        }
        let mut own = String::new();
        context.format_fields(Writer::new(&mut own), event)?;
        add(&mut fields, &own);
        let metadata = event.metadata();
        if metadata.target() == metrics::TARGET {
            return writeln!(writer, "{}", emf::document(fields, now_ms()));
        }
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        write_line(
            &mut writer,
            &timestamp,
            metadata.level(),
            metadata.target(),
            fields,
        )
    }
}

/// Adds what [`JsonFields`] has formatted. The innermost value of a field counts.
fn add(fields: &mut Map<String, Value>, formatted: &str) {
    let Ok(Value::Object(formatted)) = serde_json::from_str(formatted) else {
        return;
    };
    for (name, value) in formatted {
        let renamed = RENAMED.iter().find(|(theirs, _)| *theirs == name);
        fields.insert(renamed.map_or(name, |(_, ours)| (*ours).to_owned()), value);
    }
}

/// Writes the fields in the order in which a person reads them: when, how bad, what, and all else.
fn write_line(
    writer: &mut Writer<'_>,
    timestamp: &str,
    level: &Level,
    target: &str,
    mut fields: Map<String, Value>,
) -> fmt::Result {
    write!(writer, r#"{{"timestamp":"{timestamp}","level":"{level}""#)?;
    if let Some(message) = fields.remove("message") {
        write!(writer, r#","message":{message}"#)?;
    }
    for (name, value) in &fields {
        write!(writer, ",{}:{value}", Value::from(name.as_str()))?;
    }
    writeln!(writer, r#","target":"{target}"}}"#)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use backfill_core::engine::metrics::{Figures, GuardFigures, report_look};
    use backfill_core::records::{Counters, GuardHour};
    use serde_json::json;

    use super::*;
    use crate::emf::METRICS;

    /// What `log` logs, line by line.
    fn logged(directives: Option<&str>, log: impl FnOnce()) -> Vec<Value> {
        #[derive(Clone, Default)]
        struct Memory(Arc<Mutex<Vec<u8>>>);
        impl Write for Memory {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let memory = Memory::default();
        let to_memory = memory.clone();
        let layer = tracing_subscriber::fmt::layer()
            .fmt_fields(JsonFields::new())
            .event_format(Lines)
            .with_writer(move || to_memory.clone());
        let subscriber = tracing_subscriber::registry()
            .with(layer)
            .with(filter(directives));
        tracing::subscriber::with_default(subscriber, log);
        let text = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().expect("lines of JSON")
    }

    fn in_an_invocation(log: impl FnOnce()) {
        // lambda_runtime does it so.
        let invocation = tracing::info_span!(
            target: "lambda_runtime::layers::trace",
            "Lambda runtime invoke",
            requestId = "id-1",
        );
        let subject = Subject {
            run_id: Some("run \"1\"".into()),
            pass: Some(2),
            segment: None,
        };
        invocation.in_scope(|| subject.span().in_scope(log));
    }

    #[test]
    fn a_line_says_whose_it_is_whatever_is_logged() {
        for directives in [None, Some("error"), Some("warn,backfill_core=debug")] {
            let lines = logged(directives, || {
                in_an_invocation(|| tracing::error!(error_name = "Fenced", "claimed\n\"since\""));
            });
            let [line] = &lines[..] else {
                panic!("{lines:?}")
            };
            assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
            assert_eq!(line["level"], "ERROR");
            assert_eq!(line["message"], "claimed\n\"since\"");
            assert_eq!(line["error_name"], "Fenced");
            assert_eq!(line["request_id"], "id-1");
            assert_eq!(line["run_id"], "run \"1\"");
            assert_eq!(line["pass"], 2);
            assert_eq!(line.get("segment"), None, "{line}");
            assert_eq!(line.get("requestId"), None, "{line}");
        }
    }

    #[test]
    fn an_event_that_names_its_segment_is_believed() {
        let lines = logged(None, || {
            in_an_invocation(|| tracing::info!(pass = 3, segment = 7, "on"));
        });
        assert_eq!(lines[0]["pass"], 3);
        assert_eq!(lines[0]["segment"], 7);
    }

    /// Every figure of the core has a metric, and the line is as CloudWatch wants it.
    #[test]
    fn figures_are_metrics_whatever_is_logged() {
        let figures = Figures {
            done: Some(Counters {
                scanned: 7,
                contended: 1,
                consumed_wcu: 2.5,
                ..Counters::default()
            }),
            pass: Some(2),
            segments_done: Some(1),
            segments_total: Some(8),
            max_wcu: Some(500),
            max_rcu: Some(100),
            verified: Some(7),
            remaining: Some(0),
        };
        for directives in [None, Some("error"), Some("off")] {
            let lines = logged(directives, || {
                in_an_invocation(|| figures.report("stuff", "run \"1\""));
            });
            let [line] = &lines[..] else {
                panic!("{lines:?}")
            };
            let directive = &line["_aws"]["CloudWatchMetrics"][0];
            let named = directive["Metrics"].as_array().unwrap().iter();
            let named: Vec<_> = named
                .map(|metric| metric["Name"].as_str().unwrap())
                .collect();
            let of_runs = METRICS.map(|metric| metric.name);
            assert_eq!(named, of_runs[..16]);
            for name in named {
                assert!(line[name].is_number(), "{name} of {line}");
            }
            assert_eq!(line["ItemsScanned"], 7);
            assert_eq!(line["ConsumedWriteUnits"], 2.5);
            assert_eq!(line["Table"], "stuff");
            assert_eq!(line["RunId"], "run \"1\"");
            if directives != Some("off") {
                assert_eq!(line["request_id"], "id-1");
            }
            let others = line.as_object().unwrap().iter().filter(|(name, value)| {
                value.is_number() && !METRICS.iter().any(|metric| metric.name == *name)
            });
            assert_eq!(others.count(), 0, "a figure is no metric: {line}");
        }
    }

    /// Those of a guard are the others, and of no run.
    #[test]
    fn figures_of_a_guard_are_metrics_of_the_table() {
        let done = GuardHour {
            seen: 5,
            repaired: 4,
            raced: 3,
            vanished: 2,
            failed: 1,
            ..GuardHour::default()
        };
        let figures = GuardFigures {
            done: &done,
            record_age_ms: Some(1_500),
        };
        let lines = logged(Some("off"), || figures.report("stuff"));
        let line = &lines[0];
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        let named = directive["Metrics"].as_array().unwrap().iter();
        let named: Vec<_> = named
            .map(|metric| metric["Name"].as_str().unwrap())
            .collect();
        let of_guards = METRICS.map(|metric| metric.name);
        assert_eq!(named, of_guards[16..22]);
        assert_eq!(directive["Dimensions"], json!([["Table"]]));
        assert_eq!(line.get("RunId"), None, "{line}");
        assert_eq!(line["Table"], "stuff");
        let figure = |name: &str| line[name].as_u64().unwrap();
        let figures = named.into_iter().map(figure);
        assert_eq!(figures.collect::<Vec<_>>(), [5, 4, 3, 2, 1, 1_500]);
    }

    /// Each counts, so that an alarm sees that nobody looks any more.
    #[test]
    fn a_look_of_a_guard_is_a_metric_of_the_table() {
        let lines = logged(Some("off"), || report_look("stuff"));
        let directive = &lines[0]["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(
            directive["Metrics"],
            json!([{"Name": "GuardLooks", "Unit": "Count"}])
        );
        assert_eq!(directive["Dimensions"], json!([["Table"]]));
        assert_eq!(lines[0]["GuardLooks"], 1);
        assert_eq!(lines[0]["Table"], "stuff");
    }

    #[test]
    fn figures_that_there_are_not_are_not_reported() {
        let figures = Figures {
            remaining: Some(3),
            ..Figures::default()
        };
        let lines = logged(None, || figures.report("stuff", "run"));
        let directive = &lines[0]["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(
            directive["Metrics"],
            json!([{"Name": "ItemsRemaining", "Unit": "Count"}])
        );
        assert_eq!(
            directive["Dimensions"],
            json!([["Table"], ["Table", "RunId"]])
        );
        assert_eq!(lines[0]["ItemsRemaining"], 3);
    }

    #[test]
    fn rust_log_decides_what_is_logged_and_info_is_the_default() {
        let logs = |directives, target, level| filter(directives).would_enable(target, &level);
        for without_directives in [None, Some("=not a level=")] {
            assert!(logs(without_directives, "backfill_core", Level::INFO));
            assert!(!logs(without_directives, "backfill_core", Level::DEBUG));
        }
        let chosen = Some("warn,backfill_core=debug");
        assert!(logs(chosen, "backfill_core::retry", Level::DEBUG));
        assert!(!logs(chosen, "aws_config", Level::INFO));
    }
}
