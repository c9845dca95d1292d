//! What goes wrong around a live table, to real processes on a real database: faults of the service and of the network,
//! processes that are killed, stopped and frozen. Everything random follows from a seed, which is printed where a test
//! fails; `FAULT_SEED=7` replays that one alone, and `FAULT_SEED=100..200` tries others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use backfill_core::{Item, Key, Value};
use backfill_e2e::command::{AtWork, Ended, backfill};
use backfill_e2e::database::Embedded;
use backfill_e2e::functions::{Fate, Functions, Invoked};
use backfill_e2e::live::{Code, Writer};
use backfill_e2e::tables::{self, STUFF_KEYS, migrated, read_all, stuff};
use backfill_e2e::wire::{Faults, Tap, Verdict, Wire};
use fastrand::Rng;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value as Json, json};
use tokio::sync::Semaphore;

/// Seeds at work at the same time: some wait for timeouts, most for the processor.
const AT_ONCE: usize = 6;

/// A run that is begun so often and does not end will never end.
const MOST_STARTS: usize = 12;

const CHECKPOINTS: &str = "backfill-checkpoints";

/// Runs a case for each seed, several at once. Panics at the end with the seeds that failed.
async fn for_seeds<F, Fut>(seeds: std::ops::Range<u64>, case: F)
where
    F: Fn(u64) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let number = |text: &str| text.parse::<u64>().expect("FAULT_SEED is a number or two");
    let seeds: Vec<u64> = match std::env::var("FAULT_SEED") {
        Ok(asked) => match asked.split_once("..") {
            Some((first, end)) => (number(first)..number(end)).collect(),
            None => vec![number(&asked)],
        },
        Err(_) => seeds.collect(),
    };
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let cases: Vec<_> = seeds
        .into_iter()
        .map(|seed| {
            let (places, case) = (places.clone(), case(seed));
            let running = tokio::spawn(async move {
                let _place = places.acquire().await.expect("never closed");
                case.await;
            });
            (seed, running)
        })
        .collect();
    let mut failed = Vec::new();
    for (seed, running) in cases {
        if running.await.is_err() {
            failed.push(seed);
        }
    }
    assert!(
        failed.is_empty(),
        "failed: seeds {failed:?}; FAULT_SEED={} replays the first",
        failed[0]
    );
}

/// What befalls a process some time after its start.
#[derive(Debug, Clone, Copy)]
enum Blow {
    Kill,
    Interrupt,
    /// It stands still for so long, and its clock has jumped when it goes on.
    Freeze(Duration),
}

impl Blow {
    /// Strikes a process, which may have ended by itself but is still ours.
    async fn strike(self, process: &AtWork) {
        match self {
            Blow::Kill => process.signal("KILL"),
            Blow::Interrupt => process.signal("INT"),
            Blow::Freeze(time) => {
                process.signal("STOP");
                tokio::time::sleep(time).await;
                process.signal("CONT");
            }
        }
    }
}

/// A table whose run meets with what a seed holds.
struct Trial {
    seed: u64,
    random: Rng,
    database: Embedded,
    wire: Wire,
    before: BTreeMap<Key, Item>,
    /// Keys of items whose update the database refuses.
    poison: BTreeSet<Key>,
    /// How many items more than it holds a sweep of the table may report: on a page that ends at 1 MB the embedded database
    /// counts the item that found no room, and counts it again on the next.
    counted_twice: u64,
    arguments: String,
}

/// What the update sets: long enough for a full item to have no room for it.
fn value() -> Value {
    Value::S("y".repeat(1_000))
}

/// An item of about this many bytes.
fn of_size(i: u64, bytes: usize) -> Item {
    let mut item = stuff(i);
    item.insert("filler".into(), Value::S("x".repeat(bytes)));
    item
}

impl Trial {
    async fn new(seed: u64) -> Trial {
        let mut random = Rng::with_seed(seed);
        let database = Embedded::with_stuff(random.u64(150..=400)).await;
        // Pages that DynamoDB ends at 1 MB.
        let big = if random.bool() { 15 } else { 0 };
        let mut items: Vec<Item> = (0..big).map(|i| of_size(2_000 + i, 100_000)).collect();
        let poison: Vec<Item> = (0..random.u64(..4) / 2 * 2)
            .map(|i| of_size(3_000 + 10 * i, 400 * 1024 - 400))
            .collect();
        items.extend(poison.iter().cloned());
        tables::put_all(&database.client, "stuff", &items).await;
        let writer = match random.u8(..4) {
            0 => "--writer update-item",
            _ => "",
        };
        let arguments = format!(
            "run --table stuff --json --run-id seed-{seed} --segments {} --concurrency {} {writer}",
            random.u8(1..=6),
            random.u8(1..=4),
        );
        Trial {
            seed,
            before: read_all(&database.client, "stuff", STUFF_KEYS).await,
            poison: poison
                .iter()
                .map(|item| tables::key_of(item, STUFF_KEYS))
                .collect(),
            counted_twice: if big > 0 || !poison.is_empty() { 4 } else { 0 },
            wire: database.line().await,
            random,
            database,
            arguments,
        }
    }

    fn start(&self) -> AtWork {
        let mut command = backfill(self.arguments.split_whitespace());
        let typed = serde_json::to_string(&value()).expect("a value");
        command
            .args(["--set-typed", &format!("test={typed}")])
            .args(["--endpoint-url", &self.wire.endpoint]);
        AtWork::start(command)
    }

    /// `backfill status` or `backfill rejected`, past the faults.
    async fn ask(&self, what: &str) -> Ended {
        let asked = format!("{what} --run-id seed-{} --json", self.seed);
        AtWork::start(self.database.backfill(&asked)).end().await
    }

    /// What may befall the processes of this seed, and when.
    fn blows(&mut self) -> Vec<(Duration, Blow)> {
        let random = &mut self.random;
        let mut blows: Vec<(Duration, Blow)> = (0..random.u8(..4))
            .map(|_| {
                let blow = match random.u8(..4) {
                    0 => Blow::Freeze(Duration::from_millis(random.u64(200..2_000))),
                    1 => Blow::Interrupt,
                    _ => Blow::Kill,
                };
                (Duration::from_millis(random.u64(..800)), blow)
            })
            .collect();
        if self.seed % 10 == 3 {
            // Every timeout has passed when it goes on.
            blows.push((
                Duration::from_millis(random.u64(50..400)),
                Blow::Freeze(Duration::from_secs(11)),
            ));
        }
        blows
    }

    /// Starts the run until it has ended, with a blow to each of its first processes. Returns its last end.
    async fn run_to_the_end(&mut self) -> Ended {
        let seed = self.seed;
        let expected = if self.poison.is_empty() { 0 } else { 3 };
        let mut blows = self.blows();
        for _ in 0..MOST_STARTS {
            let process = self.start();
            let blow = blows.pop();
            if let Some((after, blow)) = blow {
                tokio::time::sleep(after).await;
                blow.strike(&process).await;
            }
            let ended = process.end().await;
            match (ended.code, blow) {
                (code, _) if code == expected => {
                    return ended;
                }
                (4, Some((_, Blow::Interrupt))) => {
                    assert_eq!(ended.json()["status"], "paused", "seed {seed}: {ended:#?}");
                }
                // Before its handler is there, an interrupt ends a process as it ends any.
                (-1, Some((_, Blow::Kill | Blow::Interrupt))) => {}
                // What has passed while it stood still is an outage to it: it says of what, and is begun again.
                (1, Some((_, Blow::Freeze(_)))) => {
                    assert!(
                        ended.stderr.contains("timed out"),
                        "seed {seed}: {ended:#?}"
                    );
                    println!("seed {seed}: failed: {}", ended.stderr.trim_end());
                }
                _ => panic!("seed {seed}: {blow:?}: {ended:#?}"),
            }
        }
        panic!("seed {seed}: not ended after {MOST_STARTS} starts");
    }

    /// Every promise, by the table and by the durable records.
    async fn check(&self, last: &Ended, tap: &Tap) {
        let seed = self.seed;
        // only-U, no-gap, never-overwrite.
        let mut expected = self.before.clone();
        for (key, item) in &mut expected {
            if !self.poison.contains(key) {
                item.entry("test".into()).or_insert_with(value);
            }
        }
        let after = read_all(&self.database.client, "stuff", STUFF_KEYS).await;
        for (key, item) in &expected {
            assert_eq!(after.get(key), Some(item), "seed {seed}: {key}");
        }
        assert_eq!(after.len(), expected.len(), "seed {seed}");
        for seen in tap.seen() {
            let call = seen.call;
            let ours = ["DescribeTable", "Scan", "TransactWriteItems"];
            assert!(
                call.is_update() && call.is_guarded()
                    || ours.contains(&call.operation.as_str())
                        && (call.operation != "TransactWriteItems" || call.is_check()),
                "seed {seed}: {call:?}"
            );
        }

        // accounting: of every pass, and of their sum.
        let items = expected.len() as u64;
        let status = self.ask("status").await.expect_code(0).json();
        let poison = self.poison.len() as u64;
        let result = last.json();
        for field in ["status", "matched", "updated", "scanned", "remaining"] {
            assert_eq!(status[field], result[field], "seed {seed}: {field}");
        }
        assert_accounted(&status, format_args!("seed {seed}"));
        let passes = status["by_pass"].as_array().expect("passes");
        for pass in passes {
            let n = |field: &str| pass["counters"][field].as_u64().expect("a count");
            assert_accounted(&pass["counters"], format_args!("seed {seed}"));
            // An item that was read again after a crash is counted once all the same.
            assert!(
                n("scanned") <= items + self.counted_twice,
                "seed {seed}: {pass}"
            );
            assert_eq!(n("vanished"), 0, "seed {seed}: {pass}");
        }
        let sum = |field: &str| {
            let n = |pass: &Json| pass["counters"][field].as_u64().expect("a count");
            passes.iter().map(n).sum::<u64>()
        };
        for field in ["scanned", "matched", "updated", "raced", "rejected"] {
            assert_eq!(status[field], sum(field), "seed {seed}: {field}");
        }
        // no-gap: what is left to a later pass is what the database refuses, and nothing that a cursor has passed over.
        for pass in &passes[1..] {
            let counters = &pass["counters"];
            assert_eq!(
                counters["matched"], counters["rejected"],
                "seed {seed}: {pass}"
            );
        }
        let last_pass = &passes.last().expect("a pass")["counters"];
        let swept = last_pass["scanned"].as_u64().expect("a count");
        assert!(
            (items..=items + self.counted_twice).contains(&swept),
            "seed {seed}: {status}"
        );
        assert_eq!(last_pass["rejected"], poison, "seed {seed}");
        let pending = self.before.values();
        let pending = pending.filter(|item| !item.contains_key("test")).count() as u64;
        let updated = status["updated"].as_u64().expect("a count");
        assert!(updated <= pending - poison, "seed {seed}: {status}");

        // proof, honest-end.
        let end = if poison == 0 {
            "succeeded"
        } else {
            "incomplete"
        };
        assert_eq!(status["status"], end, "seed {seed}");
        assert_eq!(status["remaining"], poison, "seed {seed}");
        let counted = tap.seen().into_iter().filter(|seen| seen.call.is_count());
        let counted: u64 = counted.map(|seen| seen.scanned).sum();
        assert!(counted >= items, "seed {seed}: {counted}");

        // Each refused item, and no other.
        let rejected = self.ask("rejected").await;
        let rejected = rejected.expect_code(if poison == 0 { 0 } else { 3 }).json();
        let listed = rejected["rejected"].as_array().expect("a list");
        let key = |item: &Json| serde_json::from_value::<Key>(item["key"].clone()).expect("a key");
        assert_eq!(listed.len() as u64, poison, "seed {seed}: {rejected}");
        let listed: BTreeSet<Key> = listed.iter().map(key).collect();
        assert_eq!(listed, self.poison, "seed {seed}");
    }
}

#[track_caller]
fn assert_accounted(counters: &Json, whose: impl Display) {
    let n = |field: &str| counters[field].as_u64().expect("a count");
    assert_eq!(
        n("matched"),
        n("updated") + n("raced") + n("vanished") + n("rejected"),
        "{whose}: {counters}"
    );
}

/// All promises, after every kind of fault of the service and of the network, on the target table and on the checkpoints,
/// beside processes that are killed, interrupted and frozen.
#[tokio::test(flavor = "multi_thread")]
async fn promises_hold_under_faults_of_50_seeds() {
    for_seeds(0..50, async |seed| {
        let begin = Instant::now();
        let mut trial = Trial::new(seed).await;
        let rate = 0.02 + 0.2 * trial.random.f64();
        let long_delays = u32::from(seed % 10 == 7);
        let faults = Arc::new(Faults::new(seed, rate).with_long_delays(long_delays));
        let meddle = |table: &str| {
            let faults = faults.clone();
            trial.wire.tap(table, move |call| {
                let verdict = faults.verdict(&call);
                async move { verdict }
            })
        };
        let (tap, _checkpoints) = (meddle("stuff"), meddle(CHECKPOINTS));
        let last = trial.run_to_the_end().await;
        trial.wire.settled().await;
        trial.check(&last, &tap).await;
        let met = |seen: &&backfill_e2e::wire::Seen| seen.status != Some(200);
        println!(
            "seed {seed}: {} calls, {} without a good answer, rate {rate:.2}, {:.1} s",
            tap.seen().len(),
            tap.seen().iter().filter(met).count(),
            begin.elapsed().as_secs_f64(),
        );
    })
    .await;
}

/// Pages that a segment may have in work beyond its checkpoint: two that are written, and one whose checkpoint is being
/// saved.
const PAGES_IN_FLIGHT: u64 = 3;

/// Short pages and slow writes on table `stuff`, so that a few hundred items take seconds and many checkpoints.
fn slow_line(wire: &Wire, page: u64, write_time: Duration) -> Tap {
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
        let in_flight = cuts * PAGES_IN_FLIGHT * self.page;
        let n = |field: &str| status[field].as_u64().expect("a count");
        assert_eq!(status["status"], "succeeded", "seed {seed}: {status}");
        assert_eq!(n("remaining"), 0, "seed {seed}: {status}");
        assert_accounted(status, format_args!("seed {seed}"));
        // One more pass where a kill came between the last word of a run and its end.
        let items = self.items * n("passes");
        assert_eq!(n("scanned"), items, "seed {seed}: {status}");
        for pass in &status["by_pass"].as_array().expect("passes")[1..] {
            assert_eq!(pass["counters"]["matched"], 0, "seed {seed}: a gap: {pass}");
        }
        let done = n("updated") + n("raced");
        assert!(
            done <= self.pending && done + in_flight >= self.pending,
            "seed {seed}: {cuts} cuts: {status}"
        );
        let seen = tap.seen();
        let swept = seen.iter().filter(|seen| seen.call.is_sweep());
        let swept: u64 = swept.map(|seen| seen.scanned).sum();
        assert!(
            swept <= items + in_flight,
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
            sent <= self.pending + in_flight,
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
    const RUN: &str = "run --table stuff --set test=1 --json --segments 4 --concurrency 2";
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

/// One execution as the state machine drives it, on functions that are killed now and then, each time to be invoked again.
struct Execution {
    seed: u64,
    functions: Functions,
    random: Mutex<Rng>,
    /// How many processes may still be killed.
    kills_left: AtomicU64,
    /// Workers that were killed, and chunks that ran out of time.
    cuts: AtomicU64,
}

impl Execution {
    /// What befalls the next invocation of a function that takes about so long.
    fn fate(&self, length: Duration) -> Fate {
        let mut random = self.random.lock().unwrap();
        let killed = random.bool() && self.kills_left.load(SeqCst) > 0;
        Fate {
            kill_after: killed.then(|| length.mul_f64(random.f64())),
            // The clock of Lambda and that of the function need not agree.
            deadline_ms: match random.u8(..8) {
                0 => -60_000,
                1 => 1_200,
                2 => i64::MAX / 2,
                _ => 900_000,
            },
        }
    }

    /// One task of the state machine, with its Retry.
    async fn task(&self, function: &'static str, length: Duration, payload: Json) -> Json {
        loop {
            match self
                .functions
                .invoke(function, &payload, self.fate(length))
                .await
            {
                Invoked::Answer(answer) => return answer,
                Invoked::Killed => {
                    // One too many, where two die at the same time, does no harm.
                    let _ = self
                        .kills_left
                        .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
                    if function == "worker" {
                        self.cuts.fetch_add(1, SeqCst);
                    }
                }
                Invoked::Error(name, message) => {
                    panic!("seed {}: {payload}: {name}: {message}", self.seed)
                }
            }
        }
    }

    async fn planner(&self, payload: Json) -> Json {
        self.task("planner", Duration::from_millis(40), payload)
            .await
    }

    async fn worker(&self, plan: &Json, segment: &Json, trial: bool) -> bool {
        let chunk = json!({
            "run_id": plan["run_id"], "pass": plan["pass"], "segment": segment, "owner": OWNER, "trial": trial,
        });
        let report = self.task("worker", Duration::from_millis(900), chunk).await;
        let done = report["done"] == true;
        self.cuts.fetch_add(u64::from(!done), SeqCst);
        done
    }

    /// statemachine/backfill.asl.json, from Plan to Conclude. Returns the conclusion.
    async fn run(&self, input: &Json) -> Json {
        let plan = json!({"action": "plan", "owner": OWNER, "input": input});
        let mut plan = self.planner(plan).await;
        loop {
            let segments = plan["segments"].as_array().expect("segments").clone();
            if !segments.is_empty() {
                if plan["trial"] == true {
                    self.worker(&plan, &segments[0], true).await;
                }
                let at_once = plan["max_concurrency"].as_u64().expect("a number");
                let plan_now = &plan;
                stream::iter(&segments)
                    .for_each_concurrent(at_once as usize, |segment| async move {
                        while !self.worker(plan_now, segment, false).await {}
                    })
                    .await;
            } else {
                let mut state = plan["verification"].clone();
                while state["done"] != true {
                    let request = json!({
                        "run_id": plan["run_id"], "pass": plan["pass"], "owner": OWNER, "verification": state,
                    });
                    let length = Duration::from_millis(200);
                    state = self.task("verifier", length, request).await;
                }
                let conclude = json!({
                    "action": "conclude", "owner": OWNER, "run_id": plan["run_id"], "pass": plan["pass"],
                    "verification": state,
                });
                let conclusion = self.planner(conclude).await;
                if conclusion["status"] != "next_pass" {
                    return conclusion;
                }
                plan["pass"] = conclusion["pass"].clone();
            }
            let next = json!({
                "action": "next", "owner": OWNER, "run_id": plan["run_id"], "pass": plan["pass"],
            });
            plan = self.planner(next).await;
        }
    }
}

const OWNER: &str = "arn:aws:states:us-east-1:000000000000:execution:backfill:faults";

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

/// Backfills that are started over and over on one table while it lives.
struct Torture {
    database: Embedded,
    until: Instant,
    random: Mutex<Rng>,
    /// Processes by what became of them.
    ends: Mutex<BTreeMap<&'static str, u64>>,
}

impl Torture {
    fn start(&self, arguments: &str) -> AtWork {
        AtWork::start(self.database.backfill(arguments))
    }

    /// Starts a backfill until the time is over, and deals most of its processes a blow.
    async fn go_on(&self, arguments: &str) {
        while Instant::now() < self.until {
            let (moment, blow) = {
                let mut random = self.random.lock().unwrap();
                let moment = Duration::from_millis(random.u64(5..1_500));
                let blow = match random.u8(..10) {
                    0..5 => Some(Blow::Kill),
                    5..7 => Some(Blow::Interrupt),
                    7 => Some(Blow::Freeze(moment)),
                    _ => None,
                };
                (moment, blow)
            };
            let process = self.start(arguments);
            if let Some(blow) = blow {
                tokio::time::sleep(moment).await;
                blow.strike(&process).await;
            }
            let ended = process.end().await;
            let end = match ended.code {
                -1 if matches!(blow, Some(Blow::Kill | Blow::Interrupt)) => "killed",
                0 => "succeeded",
                1 if ended.stderr.contains("taken over") => "taken over from",
                1 if ended.stderr.contains("claimed") => "taken over from",
                1 if ended.stderr.contains("changed meanwhile") => "refused beside another",
                2 if ended.stderr.contains("has been held since") => "refused beside another",
                // The application puts items without the attributes all the time.
                3 => "ended with items that remain",
                4 => "interrupted",
                _ => panic!("{arguments}: {blow:?}: {ended:#?}"),
            };
            *self.ends.lock().unwrap().entry(end).or_default() += 1;
        }
    }
}

/// never-overwrite, never-resurrect, one-owner: an application of old and new code sets, puts and deletes on the keys that
/// several backfills work on, each of which is killed, stopped, frozen and resumed all the time, and one is taken over by a
/// rival again and again. No live write is lost or altered, no deleted item comes back, and at the end every item that is there
/// has every attribute.
#[tokio::test(flavor = "multi_thread")]
async fn never_overwrite_and_never_resurrect_under_torture() {
    const ITEMS: u64 = 1_500;
    const WRITERS: u64 = 4;
    const BACKFILLS: [(&str, &str); 3] = [
        ("test", "--set test=1 --segments 4"),
        ("flag", "--set flag=true --segments 3 --writer update-item"),
        (
            "mark",
            r#"--set mark={"by":["us",1]} --segments 5 --concurrency 2"#,
        ),
    ];
    let seconds = torture_seconds();
    let database = Embedded::with_stuff(ITEMS).await;
    let before = read_all(&database.client, "stuff", STUFF_KEYS).await;
    let added: BTreeMap<String, Value> = serde_json::from_value(json!({
        "test": {"N": "1"}, "flag": {"BOOL": true}, "mark": {"M": {"by": {"L": [{"S": "us"}, {"N": "1"}]}}},
    }))
    .expect("values");
    let seed = std::env::var("FAULT_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    println!("seed {seed}");
    let until = Instant::now() + Duration::from_secs(seconds);
    // Each writer is alone on its keys, and all backfills are on all of them.
    let writers: Vec<_> = (0..WRITERS)
        .map(|n| {
            let items = (n..ITEMS).step_by(WRITERS as usize);
            let seed = seed * WRITERS + n;
            let code = Code::OldAndNew;
            let mut writer = Writer::new(&database.client, &before, items, &added, code, seed);
            tokio::spawn(async move {
                while Instant::now() < until {
                    writer.write().await;
                }
                writer
            })
        })
        .collect();
    let torture = Arc::new(Torture {
        database,
        until,
        random: Mutex::new(Rng::with_seed(seed)),
        ends: Mutex::default(),
    });
    let run = |name: &str, set: &str| format!("run --table stuff --json --run-id {name} {set}");
    let last: Vec<_> = BACKFILLS.iter().map(|(name, set)| run(name, set)).collect();
    let mut backfills = last.clone();
    backfills[0] += " --take-over";
    backfills.push(backfills[0].clone());
    let backfills: Vec<_> = backfills
        .into_iter()
        .map(|arguments| {
            let torture = torture.clone();
            tokio::spawn(async move { torture.go_on(&arguments).await })
        })
        .collect();
    let mut at_the_end = Vec::new();
    for writer in writers {
        at_the_end.push(writer.await.expect("no writer saw what it should not"));
    }
    for backfill in backfills {
        backfill.await.expect("every backfill ended as it may");
    }
    // What is left, each may now do undisturbed.
    for arguments in last {
        let ended = torture.start(&arguments).end().await.expect_code(0);
        let result = ended.json();
        assert_accounted(&result, format_args!("seed {seed}"));
        assert_eq!(result["remaining"], 0, "{result}");
    }
    let after = read_all(&torture.database.client, "stuff", STUFF_KEYS).await;
    for writer in &at_the_end {
        writer.check(&after);
    }
    let of = |count: fn(&Writer) -> u64| at_the_end.iter().map(count).sum::<u64>();
    let (writes, met) = (of(|writer| writer.writes), of(|writer| writer.met));
    let ends = torture.ends.lock().unwrap();
    println!(
        "{writes} live operations in {seconds} s, {met} of which met a backfill's work; {} of {ITEMS} items left",
        after.len()
    );
    println!("backfills: {ends:?}");
    // Or it was no torture.
    assert!(met > 100 * seconds / 60, "{met} of {writes}");
    assert!(ends["killed"] >= seconds / 2, "{ends:?}");
}

/// Seconds of the torture, and of the soak beside it.
fn torture_seconds() -> u64 {
    std::env::var("TORTURE_SECONDS").map_or(60, |seconds| {
        seconds.parse().expect("TORTURE_SECONDS is a number")
    })
}

/// Resident memory in MB and open files of a process; none where it has ended.
fn usage(pid: u32) -> Option<(f64, usize)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = resident.trim().strip_suffix("kB")?.trim().parse().ok()?;
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    Some((kilobytes / 1e3, files))
}

/// One process works for the whole time, through faults on both tables: its memory stays flat, no file stays open, and nothing
/// is lost. `make soak` runs it for ten minutes, beside the torture.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes ten minutes: make soak"]
async fn a_long_run_through_faults_grows_in_nothing() {
    const RATE: u64 = 300;
    const FAULTS: f64 = 0.03;
    let seconds = torture_seconds();
    // More than it can write in that time.
    let items = seconds * RATE * 10 / 7;
    let database = Embedded::with_stuff(items).await;
    let before = read_all(&database.client, "stuff", STUFF_KEYS).await;
    let line = database.line().await;
    let faults = Arc::new(Faults::new(1, FAULTS));
    let meddle = |table: &str| {
        let faults = faults.clone();
        line.tap(table, move |call| {
            let verdict = faults.verdict(&call);
            async move { verdict }
        })
    };
    let taps = (meddle("stuff"), meddle(CHECKPOINTS));
    let mut run = backfill(
        format!(
            "run --table stuff --set test=1 --json --run-id soak --segments 16 --max-wcu {RATE}"
        )
        .split_whitespace(),
    );
    run.args(["--endpoint-url", &line.endpoint]);
    let process = AtWork::start(run);
    let pid = process.pid();
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut samples = Vec::new();
    while Instant::now() < until {
        samples.push(usage(pid).expect("it is at work"));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    process.signal("INT");
    let paused = process.end().await.expect_code(4).json();
    assert_accounted(&paused, "the soak");
    let calls = taps.0.seen().len() + taps.1.seen().len();
    drop(taps);
    // Before that it is still opening connections and filling its caches.
    let part = |from: usize, to: usize| {
        let part = &samples[samples.len() * from / 10..samples.len() * to / 10];
        let memory = part.iter().map(|sample| sample.0).fold(0.0, f64::max);
        (
            memory,
            part.iter().map(|sample| sample.1).max().expect("samples"),
        )
    };
    let (early, late) = (part(2, 5), part(5, 10));
    println!(
        "{} items in {seconds} s, {calls} calls, {FAULTS} of them with faults; memory at most {:.1} MB and then {:.1} MB, \
         open files {} and then {}; {} throttles",
        paused["updated"], early.0, late.0, early.1, late.1, paused["throttles"]
    );
    assert!(late.0 < 1.1 * early.0 + 2.0, "memory: {early:?}, {late:?}");
    assert!(late.1 <= early.1 + 4, "open files: {early:?}, {late:?}");
    let rest =
        database.backfill("run --table stuff --set test=1 --json --run-id soak --max-wcu 100000");
    let result = AtWork::start(rest).end().await.expect_code(0).json();
    assert_accounted(&result, "the soak");
    assert_eq!(result["remaining"], 0, "{result}");
    let after = read_all(&database.client, "stuff", STUFF_KEYS).await;
    assert!(after == migrated(&before), "the tables differ");
}

/// What does not pass, on the n-th call of an operation on a table and on all that follow.
struct ForGood {
    table: &'static str,
    operation: &'static str,
    from: u64,
    verdict: Verdict,
    /// What the run says of it.
    cause: &'static str,
}

/// honest-end, no-gap, accounting: what trying again does not mend ends the run with exit code 1 and its cause, whether or not
/// that can still be recorded; once it is mended, the same command does the rest.
#[tokio::test(flavor = "multi_thread")]
async fn honest_end_by_faults_that_do_not_pass() {
    const RUN: &str = "run --table stuff --set test=1 --json --run-id mended --segments 3";
    let fail = |code| Verdict::FailStatements {
        every: 3,
        code,
        message: "injected",
    };
    let refuse = |code| Verdict::Refuse {
        code,
        message: "injected",
    };
    let of = |table, operation, from, verdict, cause| ForGood {
        table,
        operation,
        from,
        verdict,
        cause,
    };
    let cases = [
        of(
            "stuff",
            "BatchExecuteStatement",
            4,
            fail("ResourceNotFound"),
            "ResourceNotFound",
        ),
        of(
            "stuff",
            "BatchExecuteStatement",
            4,
            fail("DuplicateItem"),
            "DuplicateItem",
        ),
        of(
            "stuff",
            "BatchExecuteStatement",
            4,
            refuse("ResourceNotFoundException"),
            "ResourceNotFound",
        ),
        of(
            "stuff",
            "UpdateItem",
            2,
            refuse("AccessDeniedException"),
            "AccessDenied",
        ),
        of(
            "stuff",
            "Scan",
            6,
            refuse("AccessDeniedException"),
            "AccessDenied",
        ),
        of("stuff", "Scan", 6, refuse("SomethingNew"), "SomethingNew"),
        of(
            "stuff",
            "TransactWriteItems",
            2,
            Verdict::CancelTransaction {
                code: "AccessDenied",
            },
            "AccessDenied",
        ),
        of(
            CHECKPOINTS,
            "UpdateItem",
            8,
            refuse("AccessDeniedException"),
            "AccessDenied",
        ),
        of(
            CHECKPOINTS,
            "UpdateItem",
            8,
            refuse("ResourceNotFoundException"),
            "checkpoint-table",
        ),
        // Not even the failure can be recorded.
        of(
            CHECKPOINTS,
            "",
            25,
            refuse("AccessDeniedException"),
            "AccessDenied",
        ),
    ];
    for ForGood {
        table,
        operation,
        from,
        verdict,
        cause,
    } in cases
    {
        let case = format!("{verdict:?} of {operation} on {table}");
        let database = Embedded::with_stuff(600).await;
        let before = read_all(&database.client, "stuff", STUFF_KEYS).await;
        let line = database.line().await;
        let pages = (table != "stuff").then(|| slow_line(&line, 50, Duration::ZERO));
        let calls = AtomicU64::new(0);
        let tap = line.tap(table, move |call| {
            let ours = operation.is_empty() || call.operation == operation;
            let broken = ours && calls.fetch_add(1, SeqCst) + 1 >= from;
            let verdict = match broken {
                true => verdict.clone(),
                false if call.is_sweep() => Verdict::ShortPage(50),
                false => Verdict::Forward,
            };
            async move { verdict }
        });
        let start = || {
            let mut run = backfill(RUN.split(' '));
            run.args(["--endpoint-url", &line.endpoint]);
            AtWork::start(run)
        };
        let ended = start().end().await;
        assert_eq!(ended.code, 1, "{case}: {ended:#?}");
        assert!(ended.stderr.contains(cause), "{case}: {ended:#?}");
        drop((tap, pages));

        let after = read_all(&database.client, "stuff", STUFF_KEYS).await;
        let expected = migrated(&before);
        let done = after.iter().filter(|(key, item)| before[*key] != **item);
        let done = done.count() as u64;
        for (key, item) in &after {
            let whole = *item == before[key] || *item == expected[key];
            assert!(whole, "{case}: {key}: {item:?}");
        }
        let status = AtWork::start(database.backfill("status --run-id mended --json"))
            .end()
            .await;
        let status = status.expect_code(0).json();
        assert_accounted(&status, &case);
        let recorded = if operation.is_empty() {
            "running"
        } else {
            "failed"
        };
        assert_eq!(status["status"], recorded, "{case}: {status}");
        assert!(status["updated"].as_u64() <= Some(done), "{case}: {status}");
        if table == "stuff" {
            assert_eq!(status["updated"], done, "{case}: {status}");
        }

        let mended = start().end().await.expect_code(0).json();
        assert_accounted(&mended, &case);
        assert_eq!(mended["scanned"], 600, "{case}: {mended}");
        assert!(
            read_all(&database.client, "stuff", STUFF_KEYS).await == expected,
            "{case}: the tables differ"
        );
    }
}

/// no-gap, accounting: the checkpoint table is away for longer than a checkpoint waits for it. The run goes on by itself when
/// it is back, and nothing is lost or counted twice.
#[tokio::test(flavor = "multi_thread")]
async fn no_gap_after_an_outage_of_the_checkpoint_table() {
    const ITEMS: u64 = 800;
    const OUTAGE: Duration = Duration::from_secs(12);
    let database = Embedded::with_stuff(ITEMS).await;
    let before = read_all(&database.client, "stuff", STUFF_KEYS).await;
    let line = database.line().await;
    let _pages = slow_line(&line, 25, Duration::from_millis(10));
    let calls = AtomicU64::new(0);
    let since = Mutex::new(None::<Instant>);
    let checkpoints = line.tap(CHECKPOINTS, move |call| {
        let begins = call.operation == "UpdateItem" && calls.fetch_add(1, SeqCst) >= 10;
        let mut since = since.lock().unwrap();
        if begins {
            since.get_or_insert_with(Instant::now);
        }
        let away = since.is_some_and(|since| since.elapsed() < OUTAGE);
        async move {
            match away {
                true => Verdict::Unavailable(503),
                false => Verdict::Forward,
            }
        }
    });
    let mut run =
        backfill("run --table stuff --set test=1 --json --segments 4 --concurrency 2".split(' '));
    run.args(["--endpoint-url", &line.endpoint]);
    let ended = AtWork::start(run).end().await;
    let result = ended.expect_code(0).json();
    let lost = checkpoints
        .seen()
        .iter()
        .filter(|seen| seen.status == Some(503))
        .count();
    assert!(lost > 10, "{lost}");
    assert_accounted(&result, "after an outage");
    assert_eq!(result["passes"], 1, "{result}");
    assert_eq!(result["scanned"], ITEMS, "{result}");
    let after = read_all(&database.client, "stuff", STUFF_KEYS).await;
    assert!(after == migrated(&before), "the tables differ");
}

/// A claim that is carried out long after the worker has made it again fences that worker off, as somebody else's would. The
/// run goes on.
#[tokio::test(flavor = "multi_thread")]
async fn resume_after_a_claim_that_came_late() {
    const ITEMS: u64 = 400;
    let database = Embedded::with_stuff(ITEMS).await;
    let before = read_all(&database.client, "stuff", STUFF_KEYS).await;
    let line = database.line().await;
    let _pages = slow_line(&line, 25, Duration::from_millis(10));
    let claims = AtomicU64::new(0);
    let checkpoints = line.tap(CHECKPOINTS, move |call| {
        let update = call.body["UpdateExpression"].as_str().unwrap_or_default();
        let claim = update.contains("#generation = if_not_exists");
        let late = claim && claims.fetch_add(1, SeqCst) % 4 == 2;
        async move {
            match late {
                true => Verdict::Stray(Duration::from_millis(80)),
                false => Verdict::Forward,
            }
        }
    });
    let mut run = backfill("run --table stuff --set test=1 --json --segments 4".split(' '));
    run.args(["--endpoint-url", &line.endpoint]);
    let ended = AtWork::start(run).end().await;
    let result = ended.expect_code(0).json();
    let seen = checkpoints.seen();
    let fenced = seen.iter().filter(|seen| {
        let condition = &seen.call.body["ConditionExpression"];
        seen.status == Some(400)
            && condition
                .as_str()
                .is_some_and(|text| text.starts_with("#generation = :generation"))
    });
    assert!(fenced.count() > 0, "no claim came late");
    assert_accounted(&result, "after late claims");
    assert_eq!(
        (&result["passes"], &result["scanned"]),
        (&json!(1), &json!(ITEMS)),
        "{result}"
    );
    let after = read_all(&database.client, "stuff", STUFF_KEYS).await;
    assert!(after == migrated(&before), "the tables differ");
}
