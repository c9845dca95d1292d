//! resume and no-gap: processes and functions that are killed at random moments.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use backfill_e2e::command::{AtWork, backfill};
use backfill_e2e::database::Embedded;
use backfill_e2e::functions::Functions;
use backfill_e2e::tables;
use backfill_e2e::tables::{STUFF_KEYS, migrated, read_all};
use backfill_e2e::wire::{Tap, Verdict, Wire};
use fastrand::Rng;
use serde_json::{Value as Json, json};

use crate::execution::Execution;
use crate::trial::{CHECKPOINTS, assert_accounted, for_seeds};

/// Pages that a segment may have in work beyond its checkpoint: four of which the last items are being written, and one whose
/// checkpoint is being saved.
const PAGES_IN_WORK: u64 = 5;

/// Pages whose items may be on their way together: a segment reads a page ahead of what it has still to write, and is in the middle
/// of another.
const PAGES_UNWRITTEN: u64 = 3;

/// Short pages and slow writes on table `stuff`, so that a few hundred items take seconds and many checkpoints.
pub fn slow_line(wire: &Wire, page: u64, write_time: Duration) -> Tap {
    wire.tap("stuff", move |call| async move {
        if call.is_update() {
            tokio::time::sleep(write_time).await;
        }
        match call.is_sweep() {
            true => Verdict::ShortPage(page as u32),
            false => Verdict::Forward,
        }
    })
}

/// What a run that was interrupted so often may have done again.
struct Repeated {
    seed: u64,
    /// How often the work on a segment was cut off.
    cuts: u64,
    /// Items on a page.
    page: u64,
    items: u64,
    pending: u64,
}

impl Repeated {
    /// resume, no-gap, accounting: every item was evaluated and written once, but for what was in flight at each cut.
    fn check(&self, status: &Json, tap: &Tap) {
        let Repeated { seed, cuts, .. } = *self;
        let in_work = cuts * PAGES_IN_WORK * self.page;
        let unwritten = cuts * PAGES_UNWRITTEN * self.page;
        let n = |field: &str| status[field].as_u64().expect("a count");
        assert_eq!(status["status"], "succeeded", "seed {seed}: {status}");
        assert_eq!(n("remaining"), 0, "seed {seed}: {status}");
        assert_accounted(status, format_args!("seed {seed}"));
        // One more pass if a kill came between the last word of a run and its end.
        let items = self.items * n("passes");
        assert_eq!(n("scanned"), items, "seed {seed}: {status}");
        for pass in &status["by_pass"].as_array().expect("passes")[1..] {
            assert_eq!(pass["counters"]["matched"], 0, "seed {seed}: a gap: {pass}");
        }
        let done = n("updated") + n("raced");
        assert!(
            done <= self.pending && done + in_work >= self.pending,
            "seed {seed}: {cuts} cuts: {status}"
        );
        let seen = tap.seen();
        let swept = seen.iter().filter(|seen| seen.call.is_sweep());
        let swept: u64 = swept.map(|seen| seen.scanned).sum();
        assert!(
            swept <= items + in_work,
            "seed {seed}: {cuts} cuts: {swept} items evaluated of {items}"
        );
        let sent: u64 = seen.iter().map(|seen| seen.call.updates()).sum();
        println!(
            "seed {seed}: {cuts} cuts: of {items} items {} evaluated again, {} updates sent again, {} not counted",
            swept - items,
            sent - self.pending,
            self.pending - done,
        );
        assert!(
            sent <= self.pending + unwritten,
            "seed {seed}: {cuts} cuts: {sent} updates of {}",
            self.pending
        );
    }
}

/// Five seeds make fifty kills.
const KILLS_PER_SEED: u64 = 10;

/// resume, no-gap, accounting: SIGKILL at 50 random moments of `backfill run`.
#[tokio::test(flavor = "multi_thread")]
async fn resume_after_50_kills_leaves_no_gap() {
    const ITEMS: u64 = 1_000;
    const PAGE: u64 = 25;
    const WRITE_TIME: Duration = Duration::from_millis(15);
    // What is read for copies is no part of the sweep.
    const RUN: &str =
        "run --table stuff --set test=1 --json --segments 4 --concurrency 2 --no-rehearsal";
    fn start(endpoint: &str) -> AtWork {
        let mut command = backfill(RUN.split(' '));
        command.args(["--endpoint-url", endpoint]);
        AtWork::start(command)
    }
    for_seeds(0..5, async |seed| {
        let mut random = Rng::with_seed(seed);
        // What becomes of a table that nobody disturbs, and how long that takes.
        let calm = Embedded::with_stuff(ITEMS).await;
        let line = calm.line().await;
        let _tap = slow_line(&line, PAGE, WRITE_TIME);
        let begin = Instant::now();
        start(&line.endpoint).end().await.expect_code(0);
        let length = begin.elapsed();
        let expected = read_all(&calm.client, "stuff", STUFF_KEYS).await;

        let (mut kills, mut tables) = (0, 0);
        while kills < KILLS_PER_SEED {
            tables += 1;
            let database = Embedded::with_stuff(ITEMS).await;
            let line = database.line().await;
            let tap = slow_line(&line, PAGE, WRITE_TIME);
            let mut here = 0;
            loop {
                let process = start(&line.endpoint);
                if kills + here < KILLS_PER_SEED {
                    // More often early than late, or a table would see two of them.
                    let moment = length.mul_f64(random.f64().powi(4));
                    tokio::time::sleep(moment.max(Duration::from_millis(3))).await;
                    process.signal("KILL");
                }
                let ended = process.end().await;
                match ended.code {
                    -1 => here += 1,
                    0 => break,
                    _ => panic!("seed {seed}: {ended:#?}"),
                }
            }
            kills += here;
            let after = read_all(&database.client, "stuff", STUFF_KEYS).await;
            assert!(after == expected, "seed {seed}: the tables differ");
            let repeated = Repeated {
                seed,
                // Two segments at once.
                cuts: 2 * here,
                page: PAGE,
                items: ITEMS,
                pending: ITEMS * 8 / 10,
            };
            let status = AtWork::start(database.backfill("status --json"))
                .end()
                .await;
            repeated.check(&status.expect_code(0).json(), &tap);
        }
        println!("seed {seed}: {kills} kills on {tables} tables, a calm run takes {length:.1?}");
    })
    .await;
}

/// resume, no-gap, accounting: SIGKILL at 50 random moments of planner, worker and verifier, as they are deployed, under a
/// clock that is seconds, minutes and millions of years off.
#[tokio::test(flavor = "multi_thread")]
async fn resume_after_50_kills_of_functions_leaves_no_gap() {
    const ITEMS: u64 = 600;
    const PAGE: u64 = 10;
    const WRITE_TIME: Duration = Duration::from_millis(60);
    let input = json!({
        "table": "stuff", "set": {"test": 1}, "run_id": "functions", "total_segments": 5, "max_concurrency": 3,
        "time_box_seconds": 1,
    });
    for_seeds(0..5, |seed| {
        let input = input.clone();
        async move {
            let (mut kills, mut tables) = (0, 0);
            while kills < KILLS_PER_SEED {
                tables += 1;
                let database = Embedded::with_stuff(ITEMS).await;
                tables::create(&database.client, CHECKPOINTS, tables::CHECKPOINT_KEYS).await;
                let before = read_all(&database.client, "stuff", STUFF_KEYS).await;
                let line = database.line().await;
                let tap = slow_line(&line, PAGE, WRITE_TIME);
                let execution = Execution {
                    seed,
                    functions: Functions::new(&line.endpoint, CHECKPOINTS),
                    random: Mutex::new(Rng::with_seed(seed * 1_000 + tables)),
                    kills_left: AtomicU64::new(KILLS_PER_SEED - kills),
                    cuts: AtomicU64::new(0),
                };
                let conclusion = execution.run(&input).await;
                kills = KILLS_PER_SEED - execution.kills_left.load(SeqCst);
                assert_eq!(
                    conclusion["status"], "succeeded",
                    "seed {seed}: {conclusion}"
                );
                let after = read_all(&database.client, "stuff", STUFF_KEYS).await;
                assert!(after == migrated(&before), "seed {seed}: the tables differ");
                let status = AtWork::start(database.backfill("status --run-id functions --json"))
                    .end()
                    .await;
                let repeated = Repeated {
                    seed,
                    cuts: execution.cuts.load(SeqCst),
                    page: PAGE,
                    items: ITEMS,
                    pending: ITEMS * 8 / 10,
                };
                repeated.check(&status.expect_code(0).json(), &tap);
            }
            println!("seed {seed}: {kills} kills of functions on {tables} tables");
        }
    })
    .await;
}
