//! Faults, kills and live traffic at once, for seconds or for as long as `make soak` says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use backfill_core::Value;
use backfill_e2e::command::{AtWork, backfill};
use backfill_e2e::database::Embedded;
use backfill_e2e::live::{Code, Writer};
use backfill_e2e::tables::{STUFF_KEYS, migrated, read_all};
use backfill_e2e::wire::Faults;
use fastrand::Rng;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::trial::{Blow, CHECKPOINTS, assert_accounted};

/// Items of the table under torture.
const ITEMS: u64 = 1_500;

/// Backfills that are started over and over on one table while it lives.
pub struct Torture {
    /// Where they meet the table.
    endpoint: String,
    until: Instant,
    random: Mutex<Rng>,
    /// Processes by what became of them.
    ends: Mutex<BTreeMap<&'static str, u64>>,
}

impl Torture {
    pub fn new(endpoint: &str, until: Instant, seed: u64) -> Torture {
        Torture {
            endpoint: endpoint.to_owned(),
            until,
            random: Mutex::new(Rng::with_seed(seed)),
            ends: Mutex::default(),
        }
    }

    /// How many processes ended in which way.
    pub fn ends(&self) -> BTreeMap<&'static str, u64> {
        self.ends.lock().unwrap().clone()
    }

    pub fn start(&self, arguments: &str) -> AtWork {
        let mut command = backfill(arguments.split_whitespace());
        command.args(["--endpoint-url", &self.endpoint]);
        AtWork::start(command)
    }

    /// Goes on with each of these backfills until the time is over, beside these writers. Returns the writers, after everything has
    /// ended.
    pub async fn beside<W>(
        self: &Arc<Self>,
        writers: Vec<JoinHandle<W>>,
        backfills: impl IntoIterator<Item = String>,
    ) -> Vec<W> {
        let backfills = backfills.into_iter().map(|arguments| {
            let torture = self.clone();
            tokio::spawn(async move { torture.go_on(&arguments).await })
        });
        let backfills: Vec<_> = backfills.collect();
        let mut at_the_end = Vec::new();
        for writer in writers {
            at_the_end.push(writer.await.expect("no writer saw what it should not"));
        }
        for backfill in backfills {
            backfill.await.expect("every backfill ended as it may");
        }
        at_the_end
    }

    /// Starts a backfill until the time is over, and deals most of its processes a blow.
    pub async fn go_on(&self, arguments: &str) {
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
    let seed = std::env::var("FAULT_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    println!("seed {seed}");
    let until = Instant::now() + Duration::from_secs(seconds);
    let writers = live_writers(&database, until, seed).await;
    let torture = Arc::new(Torture::new(&database.endpoint, until, seed));
    let run = |name: &str, set: &str| format!("run --table stuff --json --run-id {name} {set}");
    let last: Vec<_> = BACKFILLS.iter().map(|(name, set)| run(name, set)).collect();
    let mut backfills = last.clone();
    backfills[0] += " --take-over";
    backfills.push(backfills[0].clone());
    let at_the_end = torture.beside(writers, backfills).await;
    // What is left, each may now do undisturbed.
    for arguments in last {
        let ended = torture.start(&arguments).end().await.expect_code(0);
        let result = ended.json();
        assert_accounted(&result, format_args!("seed {seed}"));
        assert_eq!(result["remaining"], 0, "{result}");
    }
    let after = read_all(&database.client, "stuff", STUFF_KEYS).await;
    for writer in &at_the_end {
        writer.check(&after);
    }
    let of = |count: fn(&Writer) -> u64| at_the_end.iter().map(count).sum::<u64>();
    let (writes, met) = (of(|writer| writer.writes), of(|writer| writer.met));
    let ends = torture.ends();
    println!(
        "{writes} live operations in {seconds} s, {met} of which met a backfill's work; {} of {ITEMS} items left",
        after.len()
    );
    println!("backfills: {ends:?}");
    // Or it was no torture.
    assert!(met > 100 * seconds / 60, "{met} of {writes}");
    assert!(ends["killed"] >= seconds / 2, "{ends:?}");
}

/// The application, for as long: each writer is alone on its keys, and all backfills are on all of them.
async fn live_writers(database: &Embedded, until: Instant, seed: u64) -> Vec<JoinHandle<Writer>> {
    const WRITERS: u64 = 4;
    let before = read_all(&database.client, "stuff", STUFF_KEYS).await;
    let added: BTreeMap<String, Value> = serde_json::from_value(json!({
        "test": {"N": "1"}, "flag": {"BOOL": true}, "mark": {"M": {"by": {"L": [{"S": "us"}, {"N": "1"}]}}},
    }))
    .expect("values");
    let writer = |n| {
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
    };
    (0..WRITERS).map(writer).collect()
}

/// Seconds of the torture, and of the soak beside it.
pub fn torture_seconds() -> u64 {
    std::env::var("TORTURE_SECONDS").map_or(60, |seconds| {
        seconds.parse().expect("TORTURE_SECONDS is a number")
    })
}

/// Resident memory in MB and open files of a process; none if it has ended.
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
            "run --table stuff --set test=1 --json --run-id soak --segments 64 --concurrency 64 --max-wcu {RATE}"
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
