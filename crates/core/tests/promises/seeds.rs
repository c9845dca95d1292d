//! The promises on the worst of days, in virtual time: a thousand seeds of faults, crashes and takeovers, and a million
//! operations of live writers. A seed that fails is printed; `FAULT_SEED=<seed>` runs that one alone.

use std::collections::BTreeMap;
use std::time::Duration;

use backfill_core::ports::CheckpointReader as _;
use backfill_core::records::RunStatus;
use backfill_core::view::cost::Prices;
use backfill_core::view::progress::snapshot;
use backfill_core::{Error, ErrorKind, Item, Key, Request, Value};
use backfill_testkit::{Faults, LiveWriter, ModelTable};
use tokio_util::sync::CancellationToken;

use crate::computed::Case;
use crate::world::{World, assert_accounted};

/// Seeds of faults.
const SEEDS: u64 = 1_000;

/// Tables with live writers, and operations on each.
const TABLES: u64 = 500;
const OPERATIONS: u64 = 2_000;

/// Tables of computed values with live writers, by each of their cases in turn, and operations on each.
const COMPUTED_TABLES: u64 = 100;
const COMPUTED_OPERATIONS: u64 = 1_000;

/// Each of these seeds, or the one that the environment names. Says which one failed.
pub fn for_each_seed(seeds: u64, case: impl Fn(u64)) {
    let only = std::env::var("FAULT_SEED").ok();
    let only = only.map(|seed| seed.parse().expect("FAULT_SEED is a number"));
    for seed in only.map_or(0..seeds, |seed| seed..seed + 1) {
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(seed)));
        if let Err(panic) = failed {
            eprintln!("it was seed {seed}: run this test with FAULT_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// A run ends for good, or is begun again by whoever comes next.
pub async fn run_to_the_end(world: &World, random: &mut fastrand::Rng) -> RunStatus {
    for attempt in 0.. {
        assert!(attempt < 200, "it does not come to an end");
        let owner = format!("owner {attempt}");
        let stop = CancellationToken::new();
        let mut ended: Option<backfill_core::Result<RunStatus>> = None;
        if random.u8(..4) == 0 {
            // The process dies.
            world
                .faults
                .crash_at(world.faults.steps() + random.u64(1..400));
        }
        let run = world.run_as(&owner, &stop);
        let rival = async {
            match random.u8(..4) {
                // Somebody else takes the run over while it goes on.
                0 => {
                    tokio::time::sleep(Duration::from_millis(random.u64(..5_000))).await;
                    Some(world.run_as(&format!("rival {attempt}"), &stop).await)
                }
                // The operator interrupts.
                1 => {
                    tokio::time::sleep(Duration::from_millis(random.u64(..5_000))).await;
                    stop.cancel();
                    None
                }
                _ => None,
            }
        };
        let both = async { tokio::join!(run, rival) };
        tokio::select! {
            (first, second) = both => ended = Some(second.unwrap_or(first)),
            () = world.faults.crashed() => {}
        }
        world.faults.restart();
        match ended {
            Some(Ok(status)) if status.is_finished() => return status,
            // It crashed, or was interrupted, or taken over, or the outage was too long.
            None | Some(Ok(_)) => {}
            Some(Err(error)) => assert!(passes(&error), "{}", error.report()),
        }
    }
    unreachable!("the loop returns or panics")
}

fn passes(error: &Error) -> bool {
    let kind = error.kind();
    kind.is_retryable()
        || matches!(
            kind,
            ErrorKind::Fenced | ErrorKind::Conflict | ErrorKind::NotRunning
        )
}

/// All promises but those about live writers, after each of a thousand seeds.
#[test]
fn promises_hold_under_faults_of_1000_seeds() {
    for_each_seed(SEEDS, |seed| {
        backfill_testkit::in_virtual_time(seed, async {
            let mut random = fastrand::Rng::with_seed(seed);
            let items = random.u64(..100);
            let settings = format!(
                r#","total_segments":{},"max_concurrency":{},"max_passes":2,"time_box_seconds":{}"#,
                // The records of some runs are spread.
                if seed % 20 == 7 {
                    random.u32(65..81)
                } else {
                    random.u32(1..9)
                },
                random.u32(1..5),
                random.u64(1..30),
            );
            let (refuse, lose_reply) = (0.3 * random.f64(), 0.1 * random.f64());
            let faults = Faults::worst(seed, refuse, lose_reply);
            let world = World::new(faults, items, &settings);
            let before = world.table.items();
            let poison: Vec<u64> = (0..items).filter(|_| random.u8(..20) == 0).collect();
            // Items 8 and 9 of each ten have a value already.
            let refused = poison.iter().filter(|id| **id % 10 < 8).count();
            world.table.poison(poison);

            let status = run_to_the_end(&world, &mut random).await;
            let run_id = world.request.run_id();
            world.faults.calm_down();
            let run = world.store.run(&run_id).await.unwrap().unwrap();
            let counters = world.counters().await;
            assert_accounted(&counters);
            assert!(counters.updated <= world.table.updates().len() as u64);
            if refused == 0 {
                assert_eq!(status, RunStatus::Succeeded);
            } else {
                assert_eq!(status, RunStatus::Incomplete);
                let rejected = world.rejected(&run).await;
                assert_eq!(rejected.len(), refused);
                world.table.poison([]);
                let again = world.retry_rejected().await.unwrap();
                assert_eq!(again.updated, refused as u64);
                let counters = world.counters().await;
                assert_accounted(&counters);
                assert_eq!(counters.rejected, 0);
            }
            world.assert_migrated(&before);
            let records = snapshot(&world.store, &run_id).await.unwrap().unwrap();
            let summary = records.summary(&Prices::default());
            assert_eq!(summary.remaining, Some(0));
        });
    });
}

/// never-overwrite, never-resurrect, proof: a million operations of live writers on the keys that two backfills of different
/// attributes work on, which fail, die, and are taken over.
#[test]
fn never_overwrite_and_never_resurrect_in_a_million_live_operations() {
    for_each_seed(TABLES, |seed| {
        backfill_testkit::in_virtual_time(seed, async {
            let mut random = fastrand::Rng::with_seed(seed);
            let settings = format!(
                r#","total_segments":{},"max_passes":100,"time_box_seconds":{}"#,
                random.u32(1..9),
                random.u64(1..30)
            );
            let faults = Faults::worst(seed, 0.1 * random.f64(), 0.05 * random.f64());
            let world = World::with_live_writers(faults, 80, &settings);
            let before = world.table.items();
            let other =
                Request::from_json(r#"{"table":"stuff","set":{"flag":true},"max_passes":100}"#);
            let other = World {
                request: other.unwrap(),
                faults: world.faults.clone(),
                table: world.table.clone(),
                store: world.store.clone(),
                runs: Default::default(),
            };
            let writer = LiveWriter {
                table: world.table.clone(),
                seed: !seed,
                ids: 120,
                creates_pending: true,
            };
            let live = tokio::spawn(writer.work(OPERATIONS, Duration::from_millis(20)));
            while !live.is_finished() {
                run_to_the_end(&world, &mut random).await;
                run_to_the_end(&other, &mut random).await;
            }
            live.await.unwrap();
            // The last runs meet a quiet table.
            world.faults.calm_down();
            for world in [&world, &other] {
                assert_eq!(
                    run_to_the_end(world, &mut random).await,
                    RunStatus::Succeeded
                );
            }
            let after = world.table.items();
            let mut expected: BTreeMap<Key, Option<Item>> = before
                .into_iter()
                .map(|(key, item)| (key, Some(item)))
                .collect();
            expected.extend(world.table.history());
            for (key, left) in expected {
                let expected = left.map(|mut item| {
                    item.entry("test".into())
                        .or_insert_with(|| Value::N("1".into()));
                    item.entry("flag".into()).or_insert(Value::Bool(true));
                    item
                });
                assert_eq!(after.get(&key), expected.as_ref(), "{key}");
            }
        });
    });
}

/// computed, and all promises but those about live writers, after each of these seeds: values are computed in every mode, and of some
/// items nothing can be computed.
#[test]
fn computed_values_hold_under_faults_of_1000_seeds() {
    for_each_seed(SEEDS, |seed| {
        backfill_testkit::in_virtual_time(seed, async {
            let case = Case::ALL[seed as usize % Case::ALL.len()];
            let mut random = fastrand::Rng::with_seed(seed);
            let items = random.u64(..100);
            let settings = format!(
                r#","total_segments":{},"max_concurrency":{},"max_passes":2,"time_box_seconds":{}"#,
                if seed % 20 == 7 {
                    random.u32(65..81)
                } else {
                    random.u32(1..9)
                },
                random.u32(1..5),
                random.u64(1..30),
            );
            let (refuse, lose_reply) = (0.3 * random.f64(), 0.1 * random.f64());
            let faults = Faults::worst(seed, refuse, lose_reply);
            let poison: Vec<u64> = (0..items).filter(|_| random.u8(..20) == 0).collect();
            let spoilt: Vec<u64> = poison.iter().copied().filter(|_| random.bool()).collect();
            let world = case.world_with_spoilt(faults, items, &spoilt, &settings);
            let before = world.table.items();
            let of_poison = poison.iter().map(|id| &before[&ModelTable::key(*id)]);
            let refused = of_poison.filter(|item| case.is_found(item)).count();
            world.table.poison(poison);

            let status = run_to_the_end(&world, &mut random).await;
            world.faults.calm_down();
            case.assert_computed(&world);
            assert_accounted(&world.counters().await);
            if refused == 0 {
                assert_eq!(status, RunStatus::Succeeded);
            } else {
                assert_eq!(status, RunStatus::Incomplete);
                let rejected = world.rejected(&world.record().await).await;
                assert_eq!(rejected.len(), refused);
                world.table.mend();
                let mender = LiveWriter {
                    table: world.table.clone(),
                    seed,
                    ids: items,
                    creates_pending: true,
                };
                let mend = |_: &mut fastrand::Rng, _: u64, item: &mut Option<Item>| {
                    case.mend(item.as_mut().expect("nothing is deleted"));
                };
                mender.work_by(2_000, Duration::ZERO, mend).await;
                let again = world.retry_rejected().await.unwrap();
                assert_eq!(again.updated, refused as u64);
                assert_accounted(&world.counters().await);
            }
            let counters = world.counters().await;
            assert_eq!((counters.rejected, counters.contended), (0, 0));
            case.assert_migrated(&world, &before);
            case.assert_proven(&world).await;
            let updates = world.table.updates();
            assert!(updates.values().all(|&count| count == 1));
            assert!(counters.updated <= updates.len() as u64);
        });
    });
}

/// computed, never-overwrite, never-resurrect, only-U, proof: live operations that change sources, set and remove targets, delete and
/// create items, beside runs that fail, die, and are taken over.
#[test]
fn computed_from_what_stood_beside_it_in_100000_live_operations() {
    for_each_seed(COMPUTED_TABLES, |seed| {
        backfill_testkit::in_virtual_time(seed, async {
            let case = Case::ALL[seed as usize % Case::ALL.len()];
            let mut random = fastrand::Rng::with_seed(seed);
            let settings = format!(
                r#","total_segments":{},"max_passes":100,"time_box_seconds":{}"#,
                random.u32(1..9),
                random.u64(1..30)
            );
            let faults = Faults::worst(seed, 0.1 * random.f64(), 0.05 * random.f64());
            let world = case.live_world(faults, 80, &settings);
            let before = world.table.items();
            let every = Duration::from_millis(20);
            let work = case.work(world.table.clone(), !seed, 120, COMPUTED_OPERATIONS, every);
            let live = tokio::spawn(work);
            while !live.is_finished() {
                run_to_the_end(&world, &mut random).await;
            }
            live.await.unwrap();
            // The last run meets a quiet table.
            world.faults.calm_down();
            let ended = run_to_the_end(&world, &mut random).await;
            assert_eq!(ended, RunStatus::Succeeded);
            case.assert_migrated(&world, &before);
            case.assert_proven(&world).await;
            assert_accounted(&world.counters().await);
        });
    });
}
