//! The report as Markdown, for a ticket or a pull request.

use std::fmt::{Display, Write as _};

use backfill_core::Key;
use backfill_core::records::{Counters, Event};
use backfill_core::text::visible;
use backfill_core::view::progress::totals;
use backfill_core::view::series::Series;
use indicatif::HumanCount;

use super::Report;
use super::over_time::HISTORY_NOTE;
use crate::show::summary::unread_text;
use crate::show::words::{decimal, duration, time};
use crate::typed;

/// Rows of the table over time.
const ROWS: usize = 12;

/// The document.
pub fn render(report: &Report) -> String {
    let mut doc = Document::default();
    for section in [
        brief,
        proof,
        passes,
        over_time,
        segments,
        rejected,
        changes,
        bill,
        spec_and_facts,
    ] {
        section(&mut doc, report);
    }
    // Between letters nothing is that turns the direction of writing, or is not seen.
    visible(&doc.0).into_owned()
}

fn brief(doc: &mut Document, report: &Report) {
    let brief = report.brief();
    doc.heading(1, &report.title());
    doc.paragraph(&format!(
        "Run {}, as of {}",
        text(&report.run.run_id),
        time(report.made_ms)
    ));
    doc.paragraph(&format!("**{}**", text(&brief.headline)));
    for (advice, command) in &brief.advice {
        let command = command
            .as_ref()
            .map_or_else(String::new, |command| format!(" {}", code(command)));
        doc.paragraph(&format!("{}{command}", text(advice)));
    }
}

fn proof(doc: &mut Document, report: &Report) {
    doc.heading(2, "Proof");
    doc.paragraph(&text(&report.proof()));
    let list = |doc: &mut Document, keys: &[Key]| {
        for key in keys {
            let _ = writeln!(doc.0, "- {}", code(&key.to_string()));
        }
    };
    list(doc, &report.summary.samples);
    if !report.summary.different_samples.is_empty() {
        doc.paragraph("Some of the items that have another value than their sources give now:");
        list(doc, &report.summary.different_samples);
    }
}

fn passes(doc: &mut Document, report: &Report) {
    doc.heading(2, "Passes");
    let total = report.run.settings.total_segments;
    let contended = report.has_contended();
    let mut rows: Vec<Vec<String>> = report
        .passes
        .iter()
        .map(|pass| {
            let segments = format!("{} of {}", count(pass.segments_exhausted), count(total));
            pass_row(pass.pass.to_string(), segments, &pass.counters, contended)
        })
        .collect();
    if report.passes.len() > 1 {
        let sum = totals(&report.passes);
        rows.push(pass_row("all".into(), String::new(), &sum, contended));
    }
    let became = match contended {
        true => "Raced | Vanished | Rejected | Contended",
        false => "Raced | Vanished | Rejected",
    };
    doc.table(
        &format!(
            "Pass | Segments | Scanned | Matched | Updated | {became} | Read units | Write units | Throttles"
        ),
        rows,
    );
    if let Some(unread) = unread_text(report.summary.segments_unread) {
        doc.paragraph(&format!("Figures are {unread}."));
    }
    for pass in &report.passes {
        if let Some(throttled_by) = &pass.throttled_by {
            let of = pass.pass;
            doc.paragraph(&format!(
                "Pass {of}, why the table throttled, as it said: {}",
                text(throttled_by)
            ));
        }
        if let Some(latency) = report.latency_of(pass) {
            doc.paragraph(&text(&latency));
        }
    }
}

/// A row of the table of passes, with the counter that only runs which compute values have if so asked.
fn pass_row(name: String, segments: String, c: &Counters, contended: bool) -> Vec<String> {
    let mut row = vec![name, segments];
    row.extend(
        [
            c.scanned, c.matched, c.updated, c.raced, c.vanished, c.rejected,
        ]
        .map(count),
    );
    row.extend(contended.then(|| count(c.contended)));
    row.extend([
        decimal(c.consumed_rcu),
        decimal(c.consumed_wcu),
        count(c.throttles),
    ]);
    row
}

fn over_time(doc: &mut Document, report: &Report) {
    doc.heading(2, "Over time");
    let series = Series::new(&report.history, ROWS);
    if series.bins.len() < 2 {
        doc.paragraph(&report.no_charts());
    } else {
        let rows = series.bins.iter().map(|bin| {
            let rates = &bin.rates;
            let mut row = vec![
                time(bin.from_ms as u64),
                duration((bin.to_ms - bin.from_ms) / 1000.0),
            ];
            row.extend(
                [
                    rates.scanned,
                    rates.updated,
                    rates.write_units,
                    rates.read_units,
                    rates.throttles,
                ]
                .map(decimal),
            );
            row
        });
        doc.table(
            "From | For | Scanned/s | Updated/s | Write units/s | Read units/s | Throttles/s",
            rows.collect(),
        );
    }
    doc.paragraph(&format!("{HISTORY_NOTE} {}", report.gaps_note(&series)));
}

fn segments(doc: &mut Document, report: &Report) {
    doc.heading(2, "Segments");
    match report.skew() {
        None => doc.paragraph("No segment has any work yet: a dry run leaves all to the count."),
        Some(skew) => {
            doc.paragraph(&skew.describe(report.run.settings.total_segments));
            let rows = report.hottest().into_iter().map(|hot| {
                let c = &hot.counters;
                vec![
                    hot.segment.to_string(),
                    count(c.scanned),
                    count(c.updated),
                    count(c.rejected),
                    duration(c.worked_seconds),
                ]
            });
            doc.table(
                "Segment with most items | Scanned | Updated | Rejected | Time at work",
                rows.collect(),
            );
        }
    }
}

fn rejected(doc: &mut Document, report: &Report) {
    doc.heading(2, "Rejected items");
    if report.rejected_count == 0 {
        doc.paragraph(&format!("None in pass {}.", report.run.pass));
    } else {
        doc.paragraph(&format!(
            "{} {}",
            report.rejected_note(),
            code(&report.list_rejected())
        ));
        let rows = report.rejected.iter().map(|item| {
            vec![
                cell_code(&item.key.to_string()),
                text(&item.reason),
                item.segment.to_string(),
                time(item.at_ms),
            ]
        });
        doc.table("Key | Reason | Segment | When", rows.collect());
    }
}

fn changes(doc: &mut Document, report: &Report) {
    doc.heading(2, "Changes");
    if report.run.events.is_empty() {
        doc.paragraph("None: the run went on as it was started.");
    } else {
        let rows = report.run.events.iter().map(Event::brief).map(|event| {
            vec![
                time(event.at_ms),
                text(&typed::of_event(&event.what)),
                format!("{} → {}", text(&event.old), text(&event.new)),
                text(&event.by),
            ]
        });
        doc.table("When | What | Old → new | By", rows.collect());
        doc.paragraph(&text(&report.changes_note()));
    }
}

fn bill(doc: &mut Document, report: &Report) {
    doc.heading(2, "Bill");
    let bill = &report.summary.cost_usd;
    let usd = |usd: f64| format!("{usd:.4}");
    let mut rows: Vec<Vec<String>> = report
        .bill()
        .into_iter()
        .map(|(name, part)| vec![name.into(), usd(part)])
        .collect();
    rows.push(vec!["All".into(), usd(bill.total)]);
    doc.table("For | USD", rows);
    doc.paragraph(&text(&report.bill_note()));
}

fn spec_and_facts(doc: &mut Document, report: &Report) {
    doc.heading(2, "Spec");
    doc.paragraph(&code(&report.run.spec.describe()));
    doc.block(&report.spec());

    doc.heading(2, "Run and versions");
    let rows = report.facts().into_iter();
    doc.table(
        "What | Value",
        rows.map(|(name, value)| vec![name.into(), text(&value)])
            .collect(),
    );
}

#[derive(Default)]
struct Document(String);

impl Document {
    fn heading(&mut self, level: usize, heading: &str) {
        let before = if self.0.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.0, "{before}{} {}", "#".repeat(level), text(heading));
    }

    fn paragraph(&mut self, paragraph: &str) {
        let _ = writeln!(self.0, "\n{}", paragraph.trim());
    }

    /// The cells are Markdown; the heading's are parted by bars.
    fn table(&mut self, heading: &str, rows: Vec<Vec<String>>) {
        let columns = heading.split(" | ").count();
        let _ = writeln!(self.0, "\n| {heading} |\n|{}", "---|".repeat(columns));
        for row in rows {
            let _ = writeln!(self.0, "| {} |", row.join(" | "));
        }
    }

    /// A block of code, fenced by more backticks than are in it.
    fn block(&mut self, block: &str) {
        let fence = "`".repeat(longest_run_of_backticks(block).max(2) + 1);
        let _ = writeln!(self.0, "\n{fence}json\n{block}\n{fence}");
    }
}

fn count(n: impl Into<u64>) -> String {
    HumanCount(n.into()).to_string()
}

/// Text of others in which nothing is taken for Markdown or HTML, in one line.
fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '!' | '$' | '@' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    // GitHub and others make a link of what looks like one.
    escaped.replace("://", ":&#47;&#47;")
}

/// Text of others as code, in one line.
fn code(code: &str) -> String {
    let line: String = code
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let fence = "`".repeat(longest_run_of_backticks(&line) + 1);
    // A space next to the fence is taken away again.
    let pad = if line.contains('`') { " " } else { "" };
    format!("{fence}{pad}{line}{pad}{fence}")
}

/// Text of others as code in a cell of a table, which a bar would end even within code.
fn cell_code(text: &str) -> String {
    code(text).replace('|', "\\|")
}

fn longest_run_of_backticks(text: impl Display) -> usize {
    let text = text.to_string();
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}
