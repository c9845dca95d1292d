//! `backfill report` on real runs against the embedded database: its figures are those of the records, it is well-formed, and it
//! loads nothing.

use std::process::Child;
use std::time::{Duration, Instant};

use backfill_core::Value;
use backfill_e2e::command::Ended;
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{self, stuff};
use serde_json::Value as Json;

/// A key that would be markup.
const HOSTILE: &str = "<script src=\"//x\">alert('1')</script> | `a` [b](c)";

/// Items with a price, of which three are text, so that nothing can be added to it.
async fn prices(items: u64) -> Embedded {
    let database = Embedded::with_stuff(0).await;
    let priced = |i| {
        let mut item = stuff(i);
        item.remove("test");
        item.insert("price".into(), Value::N("5".into()));
        if i % 200 == 1 {
            item.insert("id".into(), Value::S(format!("{i} {HOSTILE}")));
            item.insert("price".into(), Value::S("free".into()));
        }
        item
    };
    let items: Vec<_> = (0..items).map(priced).collect();
    tables::put_all(&database.client, "stuff", &items).await;
    database
}

fn status(database: &Embedded) -> Option<Json> {
    let ended = Ended::run(&mut database.backfill("status --run-id r --json"));
    (ended.code == 0).then(|| ended.json())
}

/// Tags are closed in their order, and nothing else has their signs in it.
fn assert_well_formed(html: &str) {
    const VOID: [&str; 1] = ["meta"];
    let html = html.strip_prefix("<!DOCTYPE html>").expect("a doctype");
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html;
    while let Some((text, after)) = rest.split_once('<') {
        if open.last() != Some(&"style") {
            assert!(!text.contains('>'), "{text}");
            for entity in text.split('&').skip(1) {
                let name = entity.split(';').next().unwrap();
                assert!(["lt", "gt", "amp", "quot"].contains(&name), "&{entity}");
            }
        }
        let (tag, after) = after.split_once('>').expect("a tag ends");
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "before {after:.80}");
            continue;
        }
        let name = tag.split([' ', '/']).next().unwrap();
        let quotes = tag.matches('"').count();
        assert!(quotes.is_multiple_of(2), "{tag}");
        // Every value of an attribute is in quotes.
        let attributes = tag.trim_end_matches('/');
        let outside: String = attributes.split('"').step_by(2).collect();
        for attribute in outside.split_whitespace().skip(1) {
            assert!(attribute.ends_with('='), "{tag}");
        }
        if !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

/// Nothing is fetched and nothing is executed.
fn assert_self_contained(html: &str) {
    for outside in [
        "http:", "https:", " src=", " href=", "<script", "<link", "<iframe", "url(", "@import",
        " on",
    ] {
        // Within a tag or the style; text may say anything.
        let markup = html
            .split('<')
            .skip(1)
            .map(|part| match part.split_once('>') {
                Some(("style", css)) => css,
                Some((tag, _)) => tag,
                None => part,
            });
        for part in markup {
            // Nor in the values of attributes.
            let names: String = part.split('"').step_by(2).collect();
            assert!(!format!("<{names}").contains(outside), "{outside}: {part}");
        }
    }
}

/// A run whose rate was changed and some of whose items were rejected: both formats have the figures of `status`.
#[tokio::test(flavor = "multi_thread")]
async fn accounting_in_the_report_of_a_run() {
    let database = prices(500).await;
    let folder = tempfile::tempdir().unwrap();
    let report = |more: &str| {
        let mut command = database.backfill(&format!("report {more}"));
        Ended::run(command.current_dir(folder.path()))
    };
    let run = under_way(&database).await;
    // While it goes on, the report is a snapshot.
    let snapshot = report("--format markdown --out -").expect_code(0).stdout;
    assert!(snapshot.contains("**Not finished: "), "{snapshot}");
    Ended::run(&mut database.backfill("rate --run-id r --max-wcu 25")).expect_code(0);
    Ended::of(run).expect_code(3);

    let told = report("--run-id r").expect_code(0);
    assert!(
        told.stderr.contains("backfill-report-r.html"),
        "{}",
        told.stderr
    );
    assert_eq!(told.stdout, "");
    report("--format markdown").expect_code(0);
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let html = read("backfill-report-r.html");
    let markdown = read("backfill-report-r.md");
    assert_eq!(
        report("--out -")
            .expect_code(0)
            .stdout
            .matches("</html>")
            .count(),
        1
    );
    let status = status(&database).unwrap();
    assert_figures_of(&status, &html, &markdown);
    assert_charts(&database, &status, &html).await;

    assert_well_formed(&html);
    assert_self_contained(&html);
    assert!(
        html.contains("&lt;script src="),
        "the keys are there, as text"
    );
    assert!(
        !markdown
            .replace("{\"id\":{\"S\":\"", "")
            .contains("\n<script")
    );
}

/// A run that has updated something and still goes on.
async fn under_way(database: &Embedded) -> Child {
    // At these rates it takes twenty seconds: a shorter run has no charts.
    let run = database
        .backfill(
            "run --table stuff --run-id r --max-wcu 20 --max-passes 1 --segments 8 --concurrency 4",
        )
        .args(["--pending", "attribute_not_exists(gross)"])
        .args(["--update", "SET gross = price + :tax", "--value", ":tax=5"])
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while status(database).is_none_or(|status| status["updated"].as_u64() == Some(0)) {
        assert!(Instant::now() < deadline, "no progress");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    run
}

/// Both formats have the counters, the cost, the proof and the budgets.
fn assert_figures_of(status: &Json, html: &str, markdown: &str) {
    let pass = &status["by_pass"][0]["counters"];
    let names = [
        "scanned", "matched", "updated", "raced", "vanished", "rejected",
    ];
    let figures = names.map(|name| pass[name].to_string());
    assert_eq!(figures[5], "3", "{status}");
    let cells: Vec<String> = figures
        .iter()
        .map(|n| format!("<td class=\"n\">{n}</td>"))
        .collect();
    let row = format!(
        "<th scope=\"row\">1</th><td class=\"n\">8 of 8</td>{}",
        cells.concat()
    );
    assert!(html.contains(&row), "{row}");
    let row = format!("| 1 | 8 of 8 | {} |", figures.join(" | "));
    assert!(markdown.contains(&row), "{row}\n{markdown}");
    let cost = format!("{:.4}", status["cost_usd"]["total"].as_f64().unwrap());
    let proof = "NOT complete: 3 items of table stuff are still to be migrated.";
    for text in [html, markdown] {
        assert!(text.contains(&cost), "{cost}");
        assert!(text.contains(proof), "{text}");
        assert!(text.contains("3 items in pass 1."));
        assert!(text.contains("20 → 25"));
        assert!(text.contains("backfill rejected --run-id r --retry"));
    }
}

/// What the charts are drawn by adds up to the counters.
async fn assert_charts(database: &Embedded, status: &Json, html: &str) {
    let records = database
        .client
        .scan()
        .table_name("backfill-checkpoints")
        .send()
        .await
        .unwrap();
    let history = records.items().iter().filter(|record| {
        let name = record["record"].as_s().unwrap();
        name.starts_with("pass#00001#history#")
    });
    let sum: u64 = history
        .map(|bucket| bucket["updated"].as_n().unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!(status["by_pass"][0]["counters"]["updated"], sum);
    // Throughput and capacity, each for wide and narrow screens.
    assert_eq!(html.matches("<svg ").count(), 4);
    assert!(html.contains("budget: 20 → 25"));
}

/// A run that is not there has no report, and a dry run and one that is proven are told apart.
#[tokio::test(flavor = "multi_thread")]
async fn honest_end_in_the_report() {
    let database = Embedded::with_stuff(50).await;
    let report = |more: &str| Ended::run(&mut database.backfill(&format!("report --out - {more}")));
    let run = |more: &str| {
        let arguments = format!("run --table stuff --set test=1 {more}");
        Ended::run(&mut database.backfill(&arguments))
    };
    run("--run-id r").expect_code(0);
    let refused = report("--run-id other").expect_code(2);
    assert!(
        refused.stderr.contains("has no run other"),
        "{}",
        refused.stderr
    );
    let html = report("").expect_code(0).stdout;
    assert!(html.contains(
        "Proven: no item of table stuff matches attribute_not_exists(test): a strongly consistent count over 50 items"
    ));
    assert!(html.contains("too short for a chart"));
    assert_well_formed(html.trim_end());
    assert_self_contained(&html);
    let mut command = database.backfill("report --out no/such/folder/report.html");
    let unwritable = Ended::run(&mut command).expect_code(2).stderr;
    assert!(unwritable.contains("name another file"), "{unwritable}");
}
