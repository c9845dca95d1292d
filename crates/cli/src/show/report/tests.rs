//! Reports of made-up runs, also with hostile values, against snapshots.

use std::collections::BTreeMap;
use std::time::Duration;

use backfill_core::records::{BoundBy, Counters, Different, Event, Flush, Latencies, Proof};
use backfill_core::view::cost::Bill;
use backfill_core::view::progress::{SegmentProgress, Snapshot, SweptSegment};
use backfill_core::{Key, Value};

use super::brief::Verdict;
use super::chart::Line;
use super::segments::{MOST_CELLS, SHADES};
use super::*;
use crate::hint::CHECKPOINT_TABLE;

/// 2026-11-20 21:00:00 UTC.
const START: u64 = 1_795_208_400_000;

const HOSTILE: &str = "</code></style>]]><script>alert('x')</script><img src=x onerror=\"y\"> | `a` ``b`` **c** [d](http://e)\n# f &amp;";

fn counters(scanned: u64, updated: u64, rejected: u64) -> Counters {
    Counters {
        scanned,
        matched: updated + rejected + 3,
        updated,
        raced: 2,
        vanished: 1,
        rejected,
        contended: 0,
        consumed_rcu: scanned as f64 * 0.0366,
        consumed_wcu: updated as f64,
        throttles: 4,
        worked_seconds: 40.0,
        checkpoints: 7,
    }
}

/// Pages of 4 ms, and so many writes of 9 ms of which one in fifty took ten times as long.
fn latency(writes: u64) -> Latencies {
    let mut latency = Latencies::default();
    for n in 0..writes {
        let millis = if n % 50 == 49 { 90 } else { 9 };
        latency.writes.note(Duration::from_millis(millis));
    }
    latency.reads.note(Duration::from_millis(4));
    latency
}

/// A run whose budget was raised and which was paused for a while.
fn record(status: RunStatus) -> RunRecord {
    let event = |minutes: u64, what: &str, old: &str, new: &str| Event {
        at_ms: START + minutes * 60_000,
        by: "ann@host".into(),
        what: what.into(),
        old: old.into(),
        new: new.into(),
    };
    let json = format!(
        r##"{{"version":1,"run_id":"stuff-demo","spec":"{{\"table\":\"stuff\",\"pending\":\"attribute_not_exists(#s0)\",\"update\":\"SET #s0 = :s0\",\"names\":{{\"#s0\":\"test\"}},\"values\":{{\":s0\":{{\"N\":\"1\"}}}}}}",
        "fingerprint":"0b4b8a0e","keys":{{"hash":{{"name":"id","type":"S"}}}},"table_identity":"id-1","estimated_items":40000,
        "settings":{{"total_segments":20,"max_concurrency":8,"time_box_seconds":600,"max_passes":3,"max_wcu":900}},
        "status":"running","message":"as it was told","first_pass":1,"pass":2,"last_pass":3,"owner":"process 7 on host","started_ms":{START},
        "sessions":2,"earlier_seconds":3600,
        "ended_ms":{},"verification_rcu":2930.5,"revision":9}}"##,
        START + 1_330_000
    );
    let mut run: RunRecord = serde_json::from_str(&json).unwrap();
    run.status = status;
    run.events = vec![
        event(4, "max_wcu", "none", "300"),
        event(6, "max_wcu", "300", "900"),
        event(8, "status", "running", "paused"),
        event(20, "status", "paused", "running"),
        event(22, "status", "running", status.name()),
    ];
    run.proof = Some(Proof {
        remaining: if status == RunStatus::Incomplete {
            60
        } else {
            0
        },
        scanned: 40_123,
        samples: Vec::new(),
        lacking: BTreeMap::new(),
        different: None,
        began_ms: None,
        at_ms: START + 1_325_000,
    });
    run
}

/// What the workers noted, with the pause in it.
fn history() -> Vec<HistoryBucket> {
    let buckets = (1..=48).chain(121..=130).map(|i| {
        let mut bucket = HistoryBucket::new(1, START + i * 10_000);
        bucket.add(&Flush {
            at_ms: START + i * 10_000,
            seconds: 10.0,
            done: Counters {
                scanned: 1_000 + i * 3,
                matched: 0,
                updated: 300 + i * 7 % 20,
                consumed_rcu: 36.6,
                consumed_wcu: 310.0 * if i < 24 { 1.0 } else { 8.0 },
                throttles: if i == 30 { 4 } else { 0 },
                ..Counters::default()
            },
        });
        bucket
    });
    buckets.collect()
}

/// A run of two passes over 20 segments, the second of which found nothing more; with its budget raised and a pause.
fn report(status: RunStatus) -> Report {
    let pass = |pass: u32, scanned: &dyn Fn(u32) -> u64, updated: u64, rejected: u64| {
        let segments = (0..20).map(|segment| SegmentProgress {
            segment,
            exhausted: status.is_finished() || pass == 1 || segment != 4,
            generation: 2,
            bound_by: BoundBy::Budget,
            throttled_by: None,
            saved_ms: 0,
            counters: counters(scanned(segment), updated, rejected),
            latency: latency(updated),
        });
        PassProgress::of(pass, segments.collect())
    };
    let run = record(status);
    let snapshot = Snapshot {
        counting: None,
        run,
        passes: vec![
            pass(
                1,
                &|segment| if segment == 13 { 9_000 } else { 1_638 },
                900,
                3,
            ),
            pass(2, &|_| 2_006, 0, 3),
        ],
    };
    let prices = Prices::default();
    let mut summary = snapshot.summary(&prices);
    if status == RunStatus::Running {
        summary.elapsed_seconds = 1_330.0;
        summary.total_seconds = 4_930.0;
    }
    Report {
        made_ms: START + 1_400_000,
        version: "0.1.0",
        checkpoint_table: CHECKPOINT_TABLE.into(),
        summary,
        run: snapshot.run,
        table_now: None,
        claim: None,
        passes: snapshot.passes,
        largest: Vec::new(),
        prices,
        history: history(),
        rejected: Vec::new(),
        rejected_count: 0,
    }
}

fn hostile() -> Report {
    let mut report = report(RunStatus::Incomplete);
    report.run.spec.values = [(":s0".to_owned(), Value::S(HOSTILE.into()))].into();
    report.run.message = HOSTILE.into();
    report.run.owner = HOSTILE.into();
    report.run.events[0].by = HOSTILE.into();
    report.run.events[1].old = HOSTILE.into();
    report.passes[0].throttled_by = Some(HOSTILE.into());
    let key = Key([("id".to_string(), Value::S(HOSTILE.into()))].into());
    report.summary.samples = vec![key.clone()];
    report.rejected = vec![Rejected {
        segment: 4,
        key,
        reason: HOSTILE.into(),
        at_ms: START + 60_000,
    }];
    report.rejected_count = 101;
    report
}

/// The page without its style and the coordinates of its charts.
fn structure(html: &str) -> String {
    let (head, rest) = html.split_once("<style>").unwrap();
    let (_, body) = rest.split_once("</style>").unwrap();
    let mut parts = body.split("<svg");
    let mut text = format!("{head}{}", parts.next().unwrap());
    for part in parts {
        let (svg, rest) = part.split_once("</svg>").unwrap();
        let (tag, elements) = svg.split_once('>').unwrap();
        let labels = elements.split("<text").skip(1).map(|label| {
            let (_, label) = label.split_once('>').unwrap();
            label.split_once("</text>").unwrap().0.trim()
        });
        let labels: Vec<&str> = labels.collect();
        text += &format!("<svg{tag}>{}</svg>{rest}", labels.join(" "));
    }
    for tag in [
        "<h", "<p", "<div", "<tr", "<section", "<svg", "<pre", "<li", "<dl",
    ] {
        text = text.replace(tag, &format!("\n{tag}"));
    }
    text
}

#[test]
fn a_report_in_both_formats() {
    let report = report(RunStatus::Succeeded);
    insta::assert_snapshot!("markdown", markdown::render(&report));
    insta::assert_snapshot!("html", structure(&html::render(&report).unwrap()));
}

/// What may hold the run, or pauses it, stands behind its settings.
#[test]
fn holds_stand_behind_the_settings() {
    let mut report = report(RunStatus::Running);
    let without: Vec<&str> = report.facts().iter().map(|fact| fact.0).collect();
    assert!(!without.contains(&"Holds"), "{without:?}");
    let mut run = serde_json::to_value(&report.run).unwrap();
    run["settings"]["pause_when"] = "orders-latency".into();
    run["settings"]["hours"] = "22:00-06:00 +02:00".into();
    run["settings"]["pause_after"] = 500.into();
    report.run = serde_json::from_value(run).unwrap();
    let facts = report.facts();
    let at = facts.iter().position(|fact| fact.0 == "Settings").unwrap();
    let expected = "held while alarm orders-latency is in ALARM, held outside of 22:00-06:00 +02:00, pauses after 500 updated items";
    assert_eq!(facts[at + 1], ("Holds", expected.to_owned()));
}

/// What comes from outside is text, in either format.
#[test]
fn hostile_values_are_text() {
    let report = hostile();
    let html = html::render(&report).unwrap();
    assert!(!html.contains("<script"), "{html}");
    assert!(!html.contains("<img"));
    assert_eq!(html.matches("</style>").count(), 1);
    assert!(html.contains("&lt;script&gt;alert('x')"));
    let markdown = markdown::render(&report);
    insta::assert_snapshot!("markdown-hostile", markdown);
    let mut in_code = false;
    for line in markdown.lines() {
        if ["```", "```json"].contains(&line) {
            in_code = !in_code;
        } else if !in_code {
            assert!(!line.starts_with("# f"), "{line}");
            // Whatever is not code has no tag, link or bold in it.
            let outside: String = line.split("```").step_by(2).collect();
            for markup in ["<script", "<img", "](", "**c**", "://"] {
                let said_so = outside.replace("\\]", "").replace("\\*", "");
                assert!(!said_so.contains(markup), "{markup}: {line}");
            }
        }
    }
    // A bar within a cell would make more cells of it.
    let bars = |line: &str| line.replace("\\|", "").matches('|').count();
    let rows: Vec<&str> = markdown
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    assert!(!rows.is_empty());
    for row in rows {
        assert_eq!(bars(row), 5, "{row}");
    }
}

/// Each state in words that nobody takes for another one.
#[test]
fn the_outcome_of_every_state() {
    let mut text = String::new();
    for status in [
        RunStatus::Running,
        RunStatus::Succeeded,
        RunStatus::Incomplete,
        RunStatus::Paused,
        RunStatus::Cancelled,
        RunStatus::Failed,
    ] {
        for (dry_run, proven) in [(false, true), (false, false), (true, true)] {
            let mut report = report(status);
            if status == RunStatus::Paused && !proven {
                report.run.settings.only_segments = vec![0, 3, 7];
            }
            report.run.settings.dry_run = dry_run;
            if !proven {
                report.run.proof = None;
            }
            if status == RunStatus::Incomplete && !dry_run {
                report.rejected_count = 60;
            }
            if status == RunStatus::Failed {
                report.run.error = Some("AccessDenied".into());
            }
            let outcome = report.brief();
            let proof = report.proof();
            let is_good = outcome.verdict == Verdict::Proven;
            assert_eq!(is_good, status == RunStatus::Succeeded && proven);
            text += &format!(
                "{} {} {}\n  {:?}: {}\n",
                status.name(),
                if dry_run { "dry run" } else { "run" },
                if proven {
                    "with a count"
                } else {
                    "without a count"
                },
                outcome.verdict,
                outcome.headline
            );
            for (advice, command) in outcome.advice {
                text += &format!("  -> {advice} {}\n", command.unwrap_or_default());
            }
            text += &format!("  proof: {proof}\n");
        }
    }
    insta::assert_snapshot!("outcomes", text);
}

/// Contended items have a column, a term and a word of what they are if there are any, and none of it if there are not.
#[test]
fn contended_items_are_shown_if_there_are_any() {
    let mut report = report(RunStatus::Succeeded);
    let shown = |report: &Report| {
        let (html, markdown) = (html::render(report).unwrap(), markdown::render(report));
        let found = [&html, &markdown].map(|text| text.contains("Contended"));
        (found, html.contains("+ contended"), markdown, html)
    };
    let (found, explained, ..) = shown(&report);
    assert_eq!((found, explained), ([false, false], false));
    let counters = &mut report.passes[1].counters;
    (counters.matched, counters.contended) = (counters.matched + 4_321, 4_321);
    let (found, explained, markdown, html) = shown(&report);
    assert_eq!((found, explained), ([true, true], true));
    let headings = "| Rejected | Contended | Read units |";
    assert!(markdown.contains(headings), "{markdown}");
    for row in ["| 1 | 20 of 20 |", "| 2 | 20 of 20 |", "| all |"] {
        let line = markdown.lines().find(|line| line.starts_with(row));
        let line = line.unwrap_or_else(|| panic!("{row}: {markdown}"));
        let expected = if row.starts_with("| 1") { "0" } else { "4,321" };
        assert_eq!(line.split('|').nth(9).map(str::trim), Some(expected));
    }
    assert_eq!(html.matches("<td class=\"n\">4,321</td>").count(), 2);
}

/// What is to be done about contended items stands in the advice if some may remain, and only then.
#[test]
fn contended_items_that_may_remain_come_with_advice() {
    let advice = |status: RunStatus, contended: u64, rejected: usize| {
        let mut report = report(status);
        report.passes[1].counters.contended = contended;
        report.rejected_count = rejected;
        let advice = report.brief().advice.into_iter();
        let advice: Vec<String> = advice.map(|(what, _)| what).collect();
        advice.join("\n")
    };
    let told = advice(RunStatus::Incomplete, 4_321, 0);
    let says = "4,321 items were contended in the last pass: a live writer kept changing what their values are made from. Find that \
                writer, and start the run again while it is quiet.";
    assert!(told.contains(says), "{told}");
    let one = advice(RunStatus::Incomplete, 1, 0);
    let says = "1 item was contended in the last pass: a live writer kept changing what its value is made from.";
    assert!(one.contains(says), "{one}");
    for (status, contended, rejected) in [
        (RunStatus::Incomplete, 0, 0),
        // All that remain are rejected.
        (RunStatus::Incomplete, 3, 60),
        (RunStatus::Succeeded, 3, 0),
    ] {
        let told = advice(status, contended, rejected);
        assert!(!told.contains("contended"), "{told}");
    }
}

/// Items that have another value than their sources give now stand beside the proof, by number and by keys, if they were counted.
#[test]
fn other_values_stand_beside_the_proof() {
    let shown = |items: Option<u64>| {
        let mut report = report(RunStatus::Succeeded);
        let key = Key([("id".to_owned(), Value::S("item-7".into()))].into());
        let different = items.map(|items| Different {
            items,
            samples: vec![key; items.min(1) as usize],
        });
        report.summary.different = items;
        let samples = different.as_ref().map(|found| found.samples.clone());
        report.summary.different_samples = samples.unwrap_or_default();
        report.run.proof.as_mut().unwrap().different = different;
        let texts = [html::render(&report).unwrap(), markdown::render(&report)];
        (report.brief().headline, texts)
    };
    let (headline, texts) = shown(Some(12));
    let says = "found 0 that do. 12 items have another value than their sources give now, such as ";
    assert!(headline.contains(says), "{headline}");
    for text in texts {
        assert!(text.contains("12 items have another value"), "{text}");
        let list = "Some of the items that have another value than their sources give now:";
        let (_, behind) = text.split_once(list).unwrap_or_else(|| panic!("{text}"));
        assert!(behind.contains("item-7"), "{text}");
    }
    let (headline, texts) = shown(Some(0));
    let says = "found 0 that do. No item has another value than its sources give now.";
    assert!(headline.ends_with(says), "{headline}");
    assert!(!texts.iter().any(|text| text.contains("Some of the items")));
    let (headline, texts) = shown(None);
    assert!(!headline.contains("value"), "{headline}");
    assert!(!texts.iter().any(|text| text.contains("another value")));
}

/// What was proven is not that no item lacks the attribute: how many do all the same stands beside it, and what is not known is
/// not told.
#[test]
fn items_that_the_predicate_leaves_out_stand_beside_the_proof() {
    let report = |lacking: &[(&str, u64)]| {
        let mut report = report(RunStatus::Succeeded);
        report.run.spec.pending = "attribute_exists(country) AND attribute_not_exists(#s0)".into();
        let lacking = lacking.iter().map(|(name, n)| ((*name).to_owned(), *n));
        report.run.proof.as_mut().unwrap().lacking = lacking.collect();
        report.brief()
    };
    let told = report(&[("test", 40)]);
    assert!(
        told.headline
            .ends_with("found 0 that do. Of the items that the predicate leaves out 40 lack test."),
        "{}",
        told.headline
    );
    assert_eq!(told.advice, []);
    let none = report(&[("test", 0)]);
    assert!(
        none.headline
            .ends_with(". None of the items that the predicate leaves out lacks test."),
        "{}",
        none.headline
    );
    let unknown = report(&[]);
    assert!(
        unknown.headline.ends_with("found 0 that do."),
        "{}",
        unknown.headline
    );
    assert_eq!(unknown.advice.len(), 1, "{:?}", unknown.advice);
}

#[test]
fn budgets_are_told_from_the_events() {
    let report = report(RunStatus::Succeeded);
    let minute = |n: u64| START + n * 60_000;
    assert_eq!(
        report.budget("max_wcu", Some(900)),
        [(0, None), (minute(4), Some(300)), (minute(6), Some(900))]
    );
    assert_eq!(report.budget("max_rcu", Some(5)), [(0, Some(5))]);
    let [_, (_, chart), _] = report.charts();
    let words: Vec<_> = chart.lines.iter().map(Line::budget_in_words).collect();
    assert_eq!(words, [Some("none → 300 → 900".to_owned()), None]);
}

/// Nobody knows the budget before the earliest event of a full record.
#[test]
fn a_budget_is_told_no_earlier_than_it_is_known() {
    let mut report = report(RunStatus::Succeeded);
    let earliest = START + 3 * 60_000;
    let mut events = vec![report.run.events[2].clone(); MAX_EVENTS - report.run.events.len()];
    events[0].at_ms = earliest;
    events.append(&mut report.run.events);
    report.run.events = events;
    let minute = |n: u64| START + n * 60_000;
    assert_eq!(
        report.budget("max_wcu", Some(900)),
        [
            (earliest, None),
            (minute(4), Some(300)),
            (minute(6), Some(900))
        ]
    );
    assert_eq!(report.budget("max_rcu", Some(5)), [(earliest, Some(5))]);
    let [_, (_, chart), _] = report.charts();
    assert_eq!(
        chart.lines[0].budget_in_words().unwrap(),
        "… → none → 300 → 900"
    );
    // One that was dropped less, and all of them are known.
    report.run.events.remove(1);
    assert_eq!(report.budget("max_rcu", Some(5)), [(0, Some(5))]);
}

#[test]
fn skew_and_map_of_segments() {
    let report = report(RunStatus::Running);
    let skew = report.skew().unwrap();
    assert_eq!(skew.hottest, (13, 11_006));
    assert_eq!(skew.median, 3_644.0);
    assert_eq!((skew.exhausted, skew.open, skew.not_begun), (19, 1, 0));
    let share = 11_006.0 / (19.0 * 3_644.0 + 11_006.0);
    assert_eq!(skew.largest.0, 1);
    assert!((skew.largest.1 - share).abs() < 1e-9);
    let cells = report.cells();
    assert_eq!(cells.len(), 20);
    assert_eq!((cells[13].shade, cells[0].shade), (SHADES, 2));
    assert_eq!((cells[4].not_done, cells[5].not_done), (1, 0));

    // A million of them, of which few were begun.
    let mut large = report;
    large.run.settings.total_segments = 1_000_000;
    let cells = large.cells();
    assert_eq!(cells.len(), MOST_CELLS as usize);
    assert_eq!((cells[0].first, cells[0].last), (0, 2_499));
    assert_eq!(cells[0].scanned, 19 * 3_644 + 11_006);
    assert_eq!((cells[0].shade, cells[1].shade), (SHADES, 0));
    assert_eq!(cells[1].not_done, 2_500);
    let skew = large.skew().unwrap();
    assert_eq!((skew.largest, skew.not_begun), ((10_000, 1.0), 999_980));
    // The sums of exhausted segments do not say how many items of each were updated, and the map says so.
    assert!(!large.cells_note().contains("updated"));
    large.passes[1].swept.push(SweptSegment {
        segment: 2_600,
        scanned: 7,
        rejected: 1,
    });
    let swept = large.cells()[1].describe();
    assert_eq!(
        swept,
        "segments 2500 to 4999: 7 scanned, 1 rejected, 2499 not done"
    );
    assert!(
        large
            .cells_note()
            .contains("updated is known of the whole run")
    );
    large.passes[1].swept.clear();
    // And none at all, as in a dry run.
    for pass in &mut large.passes {
        pass.segments.clear();
    }
    assert_eq!(large.skew(), None);
    assert!(large.cells().iter().all(|cell| cell.shade == 0));
}

#[test]
fn a_short_run_has_words_in_place_of_charts() {
    let mut report = report(RunStatus::Succeeded);
    for (history, expected) in [
        (report.history[..1].to_vec(), "too short for a chart"),
        (Vec::new(), "Nothing was noted"),
    ] {
        report.history = history;
        for text in [html::render(&report).unwrap(), markdown::render(&report)] {
            assert!(text.contains(expected), "{text}");
            assert!(!text.contains("<svg"));
        }
    }
}

#[test]
fn the_parts_of_the_bill_are_its_sum() {
    let report = report(RunStatus::Succeeded);
    let Bill { total, .. } = Snapshot {
        counting: None,
        run: report.run.clone(),
        passes: report.passes.clone(),
    }
    .used()
    .bill(&report.prices);
    let parts: f64 = report.bill().iter().map(|(_, usd)| usd).sum();
    assert!(total > 0.0 && (parts - total).abs() < 1e-9);
}
