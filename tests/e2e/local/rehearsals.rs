//! The demo and the simulation, which need no table.

use std::io::{BufRead as _, BufReader};

use backfill_e2e::command::{Ended, backfill};

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_migrates_and_checks_itself() {
    let ended = Ended::run(&mut backfill("demo --items 3000 --json".split(' '))).expect_code(0);
    let result = ended.json();
    assert_eq!(result["status"], "succeeded");
    assert_eq!(result["scanned"], 3000);
    assert_eq!(result["remaining"], 0);
    assert!(
        ended.stderr.contains("checked by reading the table"),
        "{}",
        ended.stderr
    );
}

/// What a simulation says follows from what it is asked, and nothing is called for it.
#[test]
fn a_simulation_answers_for_the_operators_own_figures() {
    let simulate = |more: &str| {
        let arguments =
            format!("simulate --items 60000 --partitions 4 --segments 8 --concurrency 4 {more}");
        Ended::run(backfill(arguments.split_whitespace()).env_remove("AWS_REGION"))
    };
    let budgeted = simulate("--max-wcu 1000 --json").expect_code(0);
    let result = budgeted.json();
    assert_eq!(result["bound_by"], "write units");
    assert_eq!(result["bound_seconds"], 60.0);
    let seconds = result["seconds"].as_f64().unwrap();
    assert!((60.0..65.0).contains(&seconds), "{result}");
    let writes = result["cost_usd"]["writes"].as_f64().unwrap();
    assert!((0.0375..0.038).contains(&writes), "{result}");
    let people = budgeted.stderr;
    for words in [
        "bound by  ",
        "bbbb",
        "write units/s",
        "60,000 items of 300 B on 4 partitions",
    ] {
        assert!(people.contains(words), "{words}: {people}");
    }
    let free = simulate("").expect_code(0);
    assert!(
        free.stdout.contains("by the hottest partition"),
        "{}",
        free.stdout
    );

    let prices = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        &prices,
        r#"{"million_write_units":1000,"region":"elsewhere"}"#,
    )
    .unwrap();
    let priced = simulate(&format!("--json --price-file {}", prices.path().display()));
    let priced = priced.expect_code(0);
    let writes = priced.json()["cost_usd"]["writes"].as_f64().unwrap();
    assert!((60.0..61.0).contains(&writes), "{writes}");
    assert!(priced.stderr.contains("elsewhere"), "{}", priced.stderr);

    for (more, field) in [
        ("--pending 2", "pending"),
        ("--item-size 0", "item-size"),
        ("--indexes 4000000000", "indexes: expected 0 to 100"),
        ("--live-wcu 4000000000", "live-wcu: expected 0 to 100000000"),
        ("--table-rcu 0", "table-rcu: expected 1 to"),
        ("--latency-ms 1e19", "latency-ms: expected 0 to 60000"),
        ("--statement-ms=-1", "statement-ms: expected 0 to 60000"),
        ("--max-wcu 0", "max-wcu:"),
        ("--price-file /nowhere", "price-file"),
    ] {
        let refused = simulate(more).expect_code(2);
        assert!(refused.stderr.contains(field), "{more}: {}", refused.stderr);
        assert_eq!(refused.stdout, "");
    }
}

/// A table of millions takes its time: it is said how far the simulation has come, and how long it takes yet.
#[test]
fn a_long_simulation_says_how_far_it_is() {
    let mut long = backfill("simulate --items 5000000 --max-wcu 500".split_whitespace())
        .spawn()
        .unwrap();
    let said = BufReader::new(long.stderr.take().unwrap()).lines().next();
    long.kill().unwrap();
    long.wait().unwrap();
    let said = said
        .expect("it says something before it has ended")
        .unwrap();
    assert!(said.starts_with("simulating: "), "{said}");
    assert!(said.contains(" of about 5,000,000 items, "), "{said}");
    assert!(said.ends_with(" left"), "{said}");
}

/// So short a run is measured against no bound: its requests take longer than what bounds large ones.
#[test]
fn a_simulation_of_a_few_items_alarms_nobody() {
    let few = backfill("simulate --items 12 --in-process".split_whitespace())
        .output()
        .unwrap();
    let text = String::from_utf8(few.stdout).unwrap();
    let bound = text.lines().find(|line| line.starts_with("  bound "));
    assert!(
        bound.is_some_and(|line| line.contains("less than 1 s by ") && !line.contains('%')),
        "{text}"
    );
    assert!(
        text.contains("  cost      less than 0.0001 USD in all"),
        "{text}"
    );
    assert!(text.contains("\n          0 "), "{text}");
}

/// Sizes that would take all memory, or all time, are refused before anything is made.
#[test]
fn a_simulation_of_sizes_that_no_table_has_is_refused() {
    for (sizes, field) in [
        (
            "--items 10 --partitions 4000000000",
            "partitions: expected 1 to 100000",
        ),
        ("--items 18446744073709551615", "items: expected 1 to"),
        (
            "--items 1000000000000 --item-size 400000",
            "partitions, and 100000 can be simulated",
        ),
    ] {
        let mut command = backfill(format!("simulate {sizes}").split_whitespace());
        let refused = Ended::run(&mut command).expect_code(2);
        assert!(
            refused.stderr.contains(field),
            "{sizes}: {}",
            refused.stderr
        );
    }
}
