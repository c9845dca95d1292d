//! One seed: a table, a line that fails, and the runs of a command on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use backfill_core::{Item, Key, Value};
use backfill_e2e::command::{AtWork, Ended, backfill};
use backfill_e2e::database::Embedded;
use backfill_e2e::tables;
use backfill_e2e::tables::{STUFF_KEYS, read_all, stuff};
use backfill_e2e::wire::{Tap, Wire};
use fastrand::Rng;
use serde_json::Value as Json;
use tokio::sync::Semaphore;

/// Seeds at work at the same time: some wait for timeouts, most for the processor.
const AT_ONCE: usize = 6;

/// A run that is begun so often and does not end will never end.
const MOST_STARTS: usize = 12;

pub const CHECKPOINTS: &str = "backfill-checkpoints";

/// Runs a case for each seed, several at once. Panics at the end with the seeds that failed.
pub async fn for_seeds<F, Fut>(seeds: std::ops::Range<u64>, case: F)
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
pub enum Blow {
    Kill,
    Interrupt,
    /// It stands still for so long, and its clock has jumped when it goes on.
    Freeze(Duration),
}

impl Blow {
    /// Strikes a process, which may have ended by itself but is still ours.
    pub async fn strike(self, process: &AtWork) {
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
pub struct Trial {
    pub seed: u64,
    pub random: Rng,
    pub database: Embedded,
    pub wire: Wire,
    pub before: BTreeMap<Key, Item>,
    /// Keys of items whose update the database refuses.
    pub poison: BTreeSet<Key>,
    /// How many items more than it holds a sweep of the table may report: on a page that ends at 1 MB the embedded database
    /// counts the item that found no room, and counts it again on the next.
    pub counted_twice: u64,
    pub arguments: String,
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
    pub async fn new(seed: u64) -> Trial {
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
            // The records of some runs are spread over several keys.
            if seed % 10 == 5 {
                random.u8(65..=70)
            } else {
                random.u8(1..=6)
            },
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

    pub fn start(&self) -> AtWork {
        let mut command = backfill(self.arguments.split_whitespace());
        let typed = serde_json::to_string(&value()).expect("a value");
        command
            .args(["--set-typed", &format!("test={typed}")])
            .args(["--endpoint-url", &self.wire.endpoint]);
        AtWork::start(command)
    }

    /// `backfill status` or `backfill rejected`, past the faults.
    pub async fn ask(&self, what: &str) -> Ended {
        let asked = format!("{what} --run-id seed-{} --json", self.seed);
        AtWork::start(self.database.backfill(&asked)).end().await
    }

    /// What may befall the processes of this seed, and when.
    pub fn blows(&mut self) -> Vec<(Duration, Blow)> {
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
    pub async fn run_to_the_end(&mut self) -> Ended {
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
                    assert!(ended.stderr.contains("in time"), "seed {seed}: {ended:#?}");
                    println!("seed {seed}: failed: {}", ended.stderr.trim_end());
                }
                _ => panic!("seed {seed}: {blow:?}: {ended:#?}"),
            }
        }
        panic!("seed {seed}: not ended after {MOST_STARTS} starts");
    }

    /// Every promise, by the table and by the durable records.
    pub async fn check(&self, last: &Ended, tap: &Tap) {
        self.check_items(tap).await;
        let status = self.ask("status").await.expect_code(0).json();
        self.check_counters(&status, &last.json());
        self.check_passes(&status);
        self.check_end(&status, tap);
        self.check_rejected().await;
    }

    /// only-U, no-gap, never-overwrite.
    async fn check_items(&self, tap: &Tap) {
        let seed = self.seed;
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
    }

    fn items(&self) -> u64 {
        self.before.len() as u64
    }

    fn poisoned(&self) -> u64 {
        self.poison.len() as u64
    }

    /// accounting: what the run said at its end, every pass, and their sum.
    fn check_counters(&self, status: &Json, result: &Json) {
        let seed = self.seed;
        for field in ["status", "matched", "updated", "scanned", "remaining"] {
            assert_eq!(status[field], result[field], "seed {seed}: {field}");
        }
        assert_accounted(status, format_args!("seed {seed}"));
        let passes = status["by_pass"].as_array().expect("passes");
        for pass in passes {
            let n = |field: &str| pass["counters"][field].as_u64().expect("a count");
            assert_accounted(&pass["counters"], format_args!("seed {seed}"));
            // An item that was read again after a crash is counted once all the same.
            assert!(
                n("scanned") <= self.items() + self.counted_twice,
                "seed {seed}: {pass}"
            );
            assert_eq!(n("vanished"), 0, "seed {seed}: {pass}");
        }
        let sum = |field: &str| {
            let n = |pass: &Json| pass["counters"][field].as_u64().expect("a count");
            passes.iter().map(n).sum::<u64>()
        };
        for field in ["scanned", "updated", "raced"] {
            assert_eq!(status[field], sum(field), "seed {seed}: {field}");
        }
        // What each pass refuses is the same, and counts once.
        let last = &passes.last().expect("a pass")["counters"]["rejected"];
        assert_eq!(status["rejected"], *last, "seed {seed}");
        let again = sum("rejected") - last.as_u64().expect("a count");
        assert_eq!(status["matched"], sum("matched") - again, "seed {seed}");
    }

    /// no-gap: what is left to a later pass is what the database refuses, and nothing that a cursor has passed over.
    fn check_passes(&self, status: &Json) {
        let (seed, items, poison) = (self.seed, self.items(), self.poisoned());
        let passes = status["by_pass"].as_array().expect("passes");
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
    }

    /// proof, honest-end.
    fn check_end(&self, status: &Json, tap: &Tap) {
        let (seed, poison) = (self.seed, self.poisoned());
        let end = if poison == 0 {
            "succeeded"
        } else {
            "incomplete"
        };
        assert_eq!(status["status"], end, "seed {seed}");
        assert_eq!(status["remaining"], poison, "seed {seed}");
        let counted = tap.seen().into_iter().filter(|seen| seen.call.is_count());
        let counted: u64 = counted.map(|seen| seen.scanned).sum();
        assert!(counted >= self.items(), "seed {seed}: {counted}");
    }

    /// Each refused item is listed, and no other.
    async fn check_rejected(&self) {
        let (seed, poison) = (self.seed, self.poisoned());
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
pub fn assert_accounted(counters: &Json, whose: impl Display) {
    let n = |field: &str| counters[field].as_u64().expect("a count");
    assert_eq!(
        n("matched"),
        n("updated") + n("raced") + n("vanished") + n("rejected") + n("contended"),
        "{whose}: {counters}"
    );
}
