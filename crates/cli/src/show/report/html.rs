//! The report as one HTML page: style and charts are in it, and it loads nothing. maud escapes all that comes from outside.

use backfill_core::Result;
use backfill_core::records::{Counters, Event};
use backfill_core::text::visible;
use backfill_core::view::progress::totals;
use backfill_core::view::series::Series;
use indicatif::HumanCount;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Report;
use super::brief::Verdict;
use super::chart::{Chart, Size};
use super::over_time::HISTORY_NOTE;
use super::segments::SHADES;
use crate::show::summary::unread_text;
use crate::show::words::{decimal, duration, items, time};
use crate::typed;

const STYLE: &str = include_str!("style.css");

/// Bins of a chart: as many as the worker's flushes can tell apart.
const BINS: usize = 60;

/// A chart is drawn for wide and for narrow screens, so that its text is readable on both.
const SIZES: [(&str, Size); 2] = [("wide", (1000, 260)), ("narrow", (380, 240))];

/// What a page that follows a run says above its report.
pub struct Following {
    /// Grows with each state that is shown.
    pub state: u64,
    /// Whether it is the last one.
    pub has_ended: bool,
    /// How it stands, in a sentence.
    pub words: String,
    /// Why the records could not be read since.
    pub trouble: Option<String>,
    /// Part of the pass that is done, from 0 to 1; none if there is nothing to tell.
    pub part: Option<f64>,
}

/// Style sheet of a page that follows a run.
pub const FOLLOWING_STYLE: &str = concat!(include_str!("style.css"), include_str!("follow.css"));

/// Script of a page that follows a run.
pub const FOLLOWING_SCRIPT: &str = include_str!("follow.js");

/// The page.
///
/// Errors: `Internal` if a chart cannot be drawn.
pub fn render(report: &Report) -> Result<String> {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                (head(report))
                style { (PreEscaped(STYLE)) }
            }
            body { (content(report)?) }
        }
    };
    Ok(page.into_string())
}

/// The page that follows a run. Beside it lie `style.css` and `follow.js`, which asks for it again at `state`.
///
/// Errors: `Internal` if a chart cannot be drawn.
pub fn render_following(report: &Report, following: &Following) -> Result<String> {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                (head(report))
                link rel="icon" href="data:,";
                link rel="stylesheet" href="style.css";
                script src="follow.js" defer {}
            }
            body data-state=(following.state) data-ended[following.has_ended] {
                section.following aria-label="How the run stands" {
                    @match &following.trouble {
                        None => p id="following" { (following.words) },
                        Some(trouble) => p.lost id="following" { (trouble) },
                    }
                    @if let Some(part) = following.part {
                        progress max="1" value=(format!("{part:.4}")) aria-labelledby="following" {}
                    }
                }
                (content(report)?)
            }
        }
    };
    // Between letters nothing is that turns the direction of writing, or is not seen.
    Ok(visible(&page.into_string()).into_owned())
}

fn head(report: &Report) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1";
        meta name="color-scheme" content="light dark";
        title { (report.title()) ", run " (report.run.run_id) }
    }
}

/// All that the page says.
fn content(report: &Report) -> Result<Markup> {
    Ok(html! {
        header {
            h1 { (report.title()) }
            p.soft { "Run " (report.run.run_id) ", as of " (time(report.made_ms)) }
        }
        main {
            (brief(report))
            (figures(report))
            h2 { "Proof" }
            (proof(report))
            h2 { "Passes" }
            (passes(report))
            h2 { "Over time" }
            (over_time(report)?)
            h2 { "Segments" }
            (segments(report))
            h2 { "Rejected items" }
            (rejected(report))
            h2 { "Changes" }
            (changes(report))
            h2 { "Bill" }
            (bill(report))
            h2 { "Spec" }
            p { code { (report.run.spec.describe()) } }
            pre { (report.spec()) }
            h2 { "Run and versions" }
            div.scroll {
                table.facts {
                    @for (name, value) in report.facts() {
                        tr { th scope="row" { (name) } td { (value) } }
                    }
                }
            }
        }
        footer.soft {
            "Made from the durable records of the run by " code { "backfill report" } "."
        }
    })
}

fn brief(report: &Report) -> Markup {
    let brief = report.brief();
    let class = match brief.verdict {
        Verdict::Proven => "proven",
        Verdict::Open => "open",
        Verdict::NotComplete => "not-complete",
    };
    html! {
        section class={ "outcome " (class) } {
            p.headline { (brief.headline) }
            @for (advice, command) in &brief.advice {
                p { (advice) @if let Some(command) = command { " " code { (command) } } }
            }
        }
    }
}

fn figures(report: &Report) -> Markup {
    let summary = &report.summary;
    let remaining = summary
        .remaining
        .map_or_else(|| "not counted".into(), |n| HumanCount(n).to_string());
    let figures = [
        ("Still pending", remaining),
        ("Updated", HumanCount(summary.updated).to_string()),
        ("Scanned", HumanCount(summary.scanned).to_string()),
        ("Rejected", HumanCount(summary.rejected).to_string()),
        ("Time", report.duration()),
        ("Cost in USD", format!("{:.4}", summary.cost_usd.total)),
    ];
    html! {
        dl.figures {
            @for (name, figure) in figures {
                div { dt { (name) } dd { (figure) } }
            }
        }
    }
}

fn proof(report: &Report) -> Markup {
    html! {
        p { (report.proof()) }
        @if !report.summary.samples.is_empty() {
            p { "Some of the items that are pending:" }
            pre {
                @for key in &report.summary.samples { (key) "\n" }
            }
        }
        @if !report.summary.different_samples.is_empty() {
            p { "Some of the items that have another value than their sources give now:" }
            pre {
                @for key in &report.summary.different_samples { (key) "\n" }
            }
        }
    }
}

/// The heading of a figure that only runs which compute values have.
const CONTENDED: &str = "Contended";

/// Figures of a pass: heading, value.
type Column = (&'static str, fn(&Counters) -> String);

const COLUMNS: [Column; 10] = [
    ("Scanned", |c| HumanCount(c.scanned).to_string()),
    ("Matched", |c| HumanCount(c.matched).to_string()),
    ("Updated", |c| HumanCount(c.updated).to_string()),
    ("Raced", |c| HumanCount(c.raced).to_string()),
    ("Vanished", |c| HumanCount(c.vanished).to_string()),
    ("Rejected", |c| HumanCount(c.rejected).to_string()),
    (CONTENDED, |c| HumanCount(c.contended).to_string()),
    ("Read units", |c| decimal(c.consumed_rcu)),
    ("Write units", |c| decimal(c.consumed_wcu)),
    ("Throttles", |c| HumanCount(c.throttles).to_string()),
];

fn passes(report: &Report) -> Markup {
    let total = report.run.settings.total_segments;
    let contended = report.has_contended();
    let columns = || {
        let shown = move |(name, _): &Column| contended || *name != CONTENDED;
        COLUMNS.into_iter().filter(shown)
    };
    html! {
        div.scroll {
            table.wide-table {
                thead {
                    tr {
                        th scope="col" { "Pass" }
                        th.n scope="col" { "Segments" }
                        @for (name, _) in columns() { th.n scope="col" { (name) } }
                    }
                }
                tbody {
                    @for pass in &report.passes {
                        tr {
                            th scope="row" { (pass.pass) }
                            td.n { (HumanCount(pass.segments_exhausted.into())) " of " (HumanCount(total.into())) }
                            @for (_, value) in columns() { td.n { (value(&pass.counters)) } }
                        }
                    }
                    @if report.passes.len() > 1 {
                        tr.sum {
                            th scope="row" { "All" }
                            td {}
                            @let sum = totals(&report.passes);
                            @for (_, value) in columns() { td.n { (value(&sum)) } }
                        }
                    }
                }
            }
        }
        p.soft {
            "Matched = updated by this run + raced (a live writer was first) + vanished (deleted meanwhile) + rejected (cannot be \
             updated)"
            @if contended { " + contended (a live writer changed the item again and again while its value was computed)" }
            "."
            @if report.passes.len() > 1 {
                " Of all passes together an item that was refused in several counts once."
            }
        }
        @if let Some(unread) = unread_text(report.summary.segments_unread) {
            p.soft { "Figures are " (unread) "." }
        }
        @for pass in &report.passes {
            @if let Some(throttled_by) = &pass.throttled_by {
                p.soft { "Pass " (pass.pass) ", why the table throttled, as it said: " (throttled_by) }
            }
            @if let Some(latency) = report.latency_of(pass) {
                p.soft { (latency) }
            }
        }
    }
}

fn over_time(report: &Report) -> Result<Markup> {
    let series = Series::new(&report.history, BINS);
    if series.bins.len() < 2 {
        return Ok(html! {
            p { (report.no_charts()) }
            p.soft { (HISTORY_NOTE) }
        });
    }
    let mut charts = Vec::new();
    for (name, chart) in report.charts() {
        charts.push((name, chart_with_legend(name, &chart, &series)?));
    }
    Ok(html! {
        @for (name, chart) in &charts {
            h3 { (name) }
            (chart)
        }
        p.soft { (HISTORY_NOTE) " " (report.gaps_note(&series)) }
    })
}

fn chart_with_legend(name: &str, chart: &Chart, series: &Series) -> Result<Markup> {
    if chart.is_empty(series) {
        return Ok(html! { p { "None, at no time." } });
    }
    let mut drawn = Vec::new();
    for (class, size) in SIZES {
        drawn.push((class, size, chart.draw(series, size)?));
    }
    let classes = ["first", "second"];
    Ok(html! {
        p.legend {
            @for (line, class) in chart.lines.iter().zip(classes) {
                span { i class=(class) {} (line.name) }
                @if let Some(budget) = line.budget_in_words() {
                    span { i class={ "budget " (class) } {} "budget: " (budget) }
                }
            }
        }
        @for (class, (width, height), elements) in &drawn {
            svg class=(class) viewBox={ "0 0 " (width) " " (height) } role="img" aria-label={ (name) " over time, in " (chart.unit) } {
                (PreEscaped(elements))
            }
        }
    })
}

fn segments(report: &Report) -> Markup {
    let Some(skew) = report.skew() else {
        return html! { p { "No segment has any work yet: a dry run leaves all to the count." } };
    };
    let total = report.run.settings.total_segments;
    html! {
        p { (skew.describe(total)) }
        ul.map aria-label="Segments by items scanned" {
            @for cell in report.cells() {
                li class={ "s" (cell.shade) @if cell.not_done > 0 { " not-done" } } title=(cell.describe()) {}
            }
        }
        p.shades {
            "nothing" @for shade in 0..=SHADES { i class={ "s" (shade) } {} } "most items scanned"
            i class="s0 not-done" {} "not done"
        }
        p.soft { (report.cells_note()) }
        div.scroll {
            table {
                caption { "Segments with most items" }
                thead { tr { th scope="col" { "Segment" } th.n scope="col" { "Scanned" } th.n scope="col" { "Updated" }
                    th.n scope="col" { "Rejected" } th.n scope="col" { "Time at work" } } }
                tbody {
                    @for hot in report.hottest() {
                        tr {
                            th scope="row" { (hot.segment) }
                            td.n { (HumanCount(hot.counters.scanned)) }
                            td.n { (HumanCount(hot.counters.updated)) }
                            td.n { (HumanCount(hot.counters.rejected)) }
                            td.n { (duration(hot.counters.worked_seconds)) }
                        }
                    }
                }
            }
        }
    }
}

fn rejected(report: &Report) -> Markup {
    if report.rejected_count == 0 {
        return html! { p { "None in pass " (report.run.pass) "." } };
    }
    html! {
        p {
            (report.rejected_note()) " " code { (report.list_rejected()) }
        }
        div.scroll {
            table.wide-table {
                thead { tr { th scope="col" { "Key" } th scope="col" { "Reason" } th scope="col" { "Segment" } th scope="col" { "When" } } }
                tbody {
                    @for item in &report.rejected {
                        tr {
                            td.long { code { (item.key) } }
                            td.long { (item.reason) }
                            td.n { (item.segment) }
                            td.nowrap { (time(item.at_ms)) }
                        }
                    }
                }
            }
        }
    }
}

fn changes(report: &Report) -> Markup {
    if report.run.events.is_empty() {
        return html! { p { "None: the run went on as it was started." } };
    }
    html! {
        div.scroll {
            table.wide-table {
                thead { tr { th scope="col" { "When" } th scope="col" { "What" } th scope="col" { "Old → new" } th scope="col" { "By" } } }
                tbody {
                    @for event in report.run.events.iter().map(Event::brief) {
                        tr {
                            td.nowrap { (time(event.at_ms)) }
                            td.nowrap { (typed::of_event(&event.what)) }
                            td.long { (event.old) " → " (event.new) }
                            td.long { (event.by) }
                        }
                    }
                }
            }
        }
        p.soft { (report.changes_note()) }
    }
}

fn bill(report: &Report) -> Markup {
    let bill = &report.summary.cost_usd;
    html! {
        table {
            thead { tr { th scope="col" { "For" } th.n scope="col" { "USD" } } }
            tbody {
                @for (name, usd) in report.bill() {
                    tr { th scope="row" { (name) } td.n { (format!("{usd:.4}")) } }
                }
                tr.sum { th scope="row" { "All" } td.n { (format!("{:.4}", bill.total)) } }
            }
        }
        @if let Some(per_million) = bill.per_million_items {
            p { (format!("{per_million:.3} USD")) " per million items that were to be written; " (items(report.summary.matched)) " here." }
        }
        p.soft { (report.bill_note()) }
    }
}
