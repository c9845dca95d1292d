//! The promises of SEMANTICS.md, each under its name, held by the real planner, worker and verifier against a
//! model table: random pages, random faults, live writers, and a crash at every step. All in virtual time.

use std::time::Duration;

use backfill_core::engine::rejected::retry_rejected;
use backfill_core::engine::runs::{Failure, Rate, Round};
use backfill_core::engine::verifier::{OpenSegment, Verification, VerifyRequest};
use backfill_core::engine::worker::{CHUNKS_PER_CHILD, Chunk};
use backfill_core::ports::{CheckpointReader as _, RunStore as _, SegmentStore as _};
use backfill_core::records::{Counters, Cursor, Owner, RunStatus, SegmentRecord};
use backfill_core::view::cost::Prices;
use backfill_core::view::progress::snapshot;
use backfill_core::{ErrorKind, Key, Request, Value};
use backfill_testkit::{Faults, LiveWriter};
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

mod world;

use world::{World, assert_accounted, taking_over};

/// Each property is tried on this many seeds.
const CASES: u32 = 128;

/// A chunk of a segment in the first pass of a run that `first` owns.
fn first_chunk(plan: &Round, segment: u32) -> Chunk {
    Chunk {
        run_id: plan.run_id.clone(),
        pass: 1,
        segment,
        owner: Owner::from("first"),
        trial: false,
    }
}

fn in_virtual_time<F: Future>(future: F) -> F::Output {
    backfill_testkit::in_virtual_time(1, future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    /// only-U, proof, accounting: whatever fails on the way, the table ends as it should and the figures add up.
    #[test]
    fn only_u_and_proof_under_random_faults(
        seed: u64,
        items in 0u64..120,
        segments in 1u32..9,
        concurrency in 1u32..5,
        refuse in 0.0f64..0.3,
        lose_reply in 0.0f64..0.1,
    ) {
        in_virtual_time(async {
            let settings = format!(r#","total_segments":{segments},"max_concurrency":{concurrency}"#);
            let world = World::new(Faults::random(seed, refuse, lose_reply), items, &settings);
            let before = world.table.items();
            assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
            world.assert_migrated(&before);
            let counters = world.counters().await;
            assert_accounted(&counters);
            assert_eq!(counters.scanned, items);
            if lose_reply == 0.0 {
                assert_eq!(counters.updated, world.table.updates().len() as u64);
            }
        });
    }

    /// never-overwrite, never-resurrect, only-U: live writers work on the same keys, and whatever they left
    /// behind is there at the end, but for a `test` that they left out.
    #[test]
    fn never_overwrite_and_never_resurrect_with_live_writers(
        seed: u64,
        segments in 1u32..9,
        refuse in 0.0f64..0.2,
        lose_reply in 0.0f64..0.1,
    ) {
        in_virtual_time(async {
            let settings = format!(r#","total_segments":{segments},"max_passes":50"#);
            let world = World::with_live_writers(Faults::random(seed, refuse, lose_reply), 80, &settings);
            let before = world.table.items();
            let writer = LiveWriter {
                table: world.table.clone(),
                seed: !seed,
                ids: 120,
                creates_pending: true,
            };
            let live = tokio::spawn(writer.work(400, Duration::from_millis(10)));
            world.run().await.unwrap();
            live.await.unwrap();
            // The writers may have outlived the first run; this one meets a quiet table.
            assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);

            let history = world.table.history();
            let after = world.table.items();
            for (key, left) in &history {
                match (left, after.get(key)) {
                    (None, found) => assert_eq!(found, None, "resurrected {key}"),
                    (Some(left), found) => {
                        let mut expected = left.clone();
                        expected.entry("test".into()).or_insert_with(|| Value::N("1".into()));
                        // Where the live write came on top of our value, it kept it.
                        assert_eq!(found, Some(&expected), "changed {key}");
                    }
                }
            }
            for (key, item) in before {
                if !history.contains_key(&key) {
                    let mut expected = item;
                    expected.entry("test".into()).or_insert_with(|| Value::N("1".into()));
                    assert_eq!(after.get(&key), Some(&expected));
                }
            }
            assert_accounted(&world.counters().await);
        });
    }

    /// accounting, honest-end: items that DynamoDB refuses for good are counted, do not stop the others, and
    /// keep the run from succeeding.
    #[test]
    fn accounting_and_honest_end_with_rejected_items(seed: u64, segments in 1u32..5, refuse in 0.0f64..0.2) {
        in_virtual_time(async {
            let settings = format!(r#","total_segments":{segments},"max_passes":2"#);
            let world = World::new(Faults::random(seed, refuse, 0.0), 50, &settings);
            world.table.poison([3, 17, 40]);
            assert_eq!(world.run().await.unwrap(), RunStatus::Incomplete);
            let counters = world.counters().await;
            assert_accounted(&counters);
            assert_eq!(counters.rejected, 2 * 3, "three in each of two passes");
            let summary = snapshot(&world.store, &world.request.run_id()).await.unwrap().unwrap().summary(&Prices::default());
            assert_eq!(summary.remaining, Some(3));
            assert_eq!(summary.samples.len(), 3);
        });
    }

    /// accounting: the history of a run, by which its charts are drawn, adds up to its counters. Errors of it are none of the
    /// run's; what was lost by them is missing and never too much.
    #[test]
    fn accounting_of_the_history(
        seed: u64,
        items in 1u64..120,
        segments in 1u32..9,
        time_box in 1u64..30,
        refuse in prop_oneof![Just(0.0), 0.0f64..0.3],
        lose_reply in prop_oneof![Just(0.0), 0.0f64..0.1],
    ) {
        in_virtual_time(async {
            let settings = format!(r#","total_segments":{segments},"max_wcu":5,"time_box_seconds":{time_box}"#);
            let world = World::new(Faults::random(seed, refuse, lose_reply), items, &settings);
            assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
            let counters = world.counters().await;
            world.faults.calm_down();
            let buckets = world.store.history(&world.request.run_id(), 1).await.unwrap();
            assert!(buckets.is_sorted_by_key(|bucket| bucket.start_ms));
            let mut sum = Counters::default();
            for bucket in &buckets {
                sum += bucket.done;
            }
            let truth = counters.work();
            let close = |a: f64, b: f64| (a - b).abs() < 1e-6;
            if refuse == 0.0 && lose_reply == 0.0 {
                assert!(close(sum.consumed_rcu, truth.consumed_rcu) && close(sum.consumed_wcu, truth.consumed_wcu));
                let units = |of: Counters| Counters { consumed_rcu: 0.0, consumed_wcu: 0.0, ..of };
                assert_eq!(units(sum), units(truth));
            } else {
                assert!(sum.scanned <= truth.scanned && sum.updated <= truth.updated, "{sum:?} {truth:?}");
                assert!(sum.consumed_wcu < truth.consumed_wcu + 1e-6 && sum.throttles <= truth.throttles);
            }
        });
    }

    /// honest-end, resume: the operator may stop at any moment; the run is paused, and the next start ends it
    /// with every item counted once.
    #[test]
    fn resume_after_a_pause_at_any_moment(seed: u64, pause_ms in 0u64..3000, refuse in 0.0f64..0.2) {
        in_virtual_time(async {
            let world = World::new(Faults::random(seed, refuse, 0.0), 100, r#","total_segments":4"#);
            let before = world.table.items();
            let stop = CancellationToken::new();
            let trigger = stop.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                trigger.cancel();
            });
            let first = world.run_until(&stop).await.unwrap();
            if first == RunStatus::Paused {
                let run = world.store.run(&world.request.run_id()).await;
                if let Ok(Some(run)) = run {
                    assert_eq!(run.status, RunStatus::Paused);
                }
                assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
            }
            world.assert_migrated(&before);
            let counters = world.counters().await;
            assert_accounted(&counters);
            assert_eq!(counters.updated, 80);
        });
    }
}

/// The history of a segment is flushed about every ten seconds, not at each checkpoint, and at the end of each chunk.
#[test]
fn accounting_of_the_history_goes_on_within_a_chunk() {
    in_virtual_time(async {
        let world = World::new(Faults::none(7), 1000, r#","total_segments":1,"max_wcu":10"#);
        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
        let run_id = world.request.run_id();
        let [segment] = &world.store.segments(&run_id, 1).await.unwrap()[..] else {
            panic!("one segment")
        };
        let buckets = world.store.history(&run_id, 1).await.unwrap();
        let flushes: u64 = buckets.iter().map(|bucket| bucket.flushes).sum();
        let seconds: f64 = buckets.iter().map(|bucket| bucket.seconds).sum();
        let worked = segment.counters.worked_seconds;
        assert!(worked > 60.0, "{worked} s");
        let least = worked as u64 / 20;
        let most = worked as u64 / 10 + segment.generation;
        assert!((least..=most).contains(&flushes), "{flushes} in {worked} s");
        assert!((seconds - worked).abs() < 1.0, "{seconds} of {worked} s");
    });
}

/// no-gap, resume: the process dies at every step of a run, one step per case, and is started again. The
/// table ends as after an undisturbed run; the store has watched every checkpoint (see `ModelStore`); and the
/// work done twice is at most what was in flight: a page in each concurrent segment, and a verification.
#[test]
fn no_gap_and_resume_after_a_crash_at_every_step() {
    const ITEMS: u64 = 24;
    const SETTINGS: &str = r#","total_segments":3,"max_concurrency":2"#;
    const PAGE: u64 = 4;
    let undisturbed = in_virtual_time(async {
        let world = World::new(Faults::none(7), ITEMS, SETTINGS);
        world.run().await.unwrap();
        world.faults.steps()
    });
    assert!(undisturbed > 100, "a run has many steps: {undisturbed}");
    for step in 1..=undisturbed {
        in_virtual_time(async {
            let world = World::new(Faults::none(7), ITEMS, SETTINGS);
            let before = world.table.items();
            world.faults.crash_at(step);
            tokio::select! {
                result = world.run() => panic!("did not crash at step {step}: {result:?}"),
                () = world.faults.crashed() => {}
            }
            world.faults.restart();
            assert_eq!(
                world.run().await.unwrap(),
                RunStatus::Succeeded,
                "step {step}"
            );
            world.assert_migrated(&before);
            let summary = snapshot(&world.store, &world.request.run_id())
                .await
                .unwrap()
                .unwrap()
                .summary(&Prices::default());
            assert_accounted(&world.counters().await);
            // What was written and not checkpointed is not pending any more, so it is counted nowhere.
            assert!(summary.updated <= world.table.updates().len() as u64);
            // Sweep and verification of the second process, and what the first had done beyond its
            // checkpoints. A crash after the end makes the second process begin a new pass.
            if summary.passes == 1 {
                let repeated = world.table.evaluated().saturating_sub(2 * ITEMS);
                assert!(
                    repeated <= 2 * PAGE + ITEMS,
                    "step {step}: {repeated} items were read again"
                );
            }
        });
    }
}

/// resume: a rerun goes on from the checkpointed keys, and the swept part is not read again.
#[test]
fn resume_goes_on_from_the_checkpointed_keys() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 100, r#","total_segments":2"#);
        let plan = world
            .planner()
            .plan(&world.request, &"first".into())
            .await
            .unwrap();
        let chunk = first_chunk(&plan, 0);
        let never = CancellationToken::new();
        let done = world.worker().work(&chunk, None, &never).await.unwrap();
        assert!(done.done);
        let read = world.table.evaluated();
        assert_eq!(read, done.counters.scanned);

        let again = world
            .planner()
            .plan(&taking_over(&world.request), &"second".into())
            .await
            .unwrap();
        assert_eq!(again.segments, [1], "segment 0 needs no more work");
        assert!(!again.trial, "segment 0 has shown that the update works");
        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
        assert_eq!(world.table.evaluated(), 200, "a sweep and a verification");
    });
}

/// one-owner: of two workers on one segment, the stale one cannot move the checkpoint.
#[test]
fn one_owner_per_segment() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 60, r#","total_segments":1"#);
        let plan = world
            .planner()
            .plan(&world.request, &"first".into())
            .await
            .unwrap();
        let chunk = first_chunk(&plan, 0);
        let never = CancellationToken::new();
        let (stale_worker, worker) = (world.worker(), world.worker());
        let stale = stale_worker.work(&chunk, None, &never);
        let owner = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            worker.work(&chunk, None, &never).await
        };
        let (stale, owner) = tokio::join!(stale, owner);
        assert_eq!(stale.unwrap_err().kind(), ErrorKind::Fenced);
        assert!(owner.unwrap().done);
        let counters = world.counters().await;
        assert_accounted(&counters);
        assert_eq!(counters.scanned, 60, "nothing is counted twice");
        assert!(world.table.updates().values().all(|&count| count == 1));
    });
}

/// one-owner: a stale checkpoint is refused by the store, whatever it says.
#[test]
fn one_owner_in_the_store() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 10, "");
        world
            .planner()
            .plan(&world.request, &"first".into())
            .await
            .unwrap();
        let run_id = world.request.run_id();
        let run = world.store.run(&run_id).await.unwrap().unwrap();
        let mut stale = world.store.claim(&run, 0).await.unwrap();
        let latest = world.store.claim(&run, 0).await.unwrap();
        assert_eq!(latest.generation, stale.generation + 1);
        stale.cursor = Cursor::Exhausted;
        let refused = world.store.checkpoint(&stale).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Fenced);
        world.store.checkpoint(&latest).await.unwrap();

        // A worker of the former owner that read the run record before it changed hands comes too late to claim.
        world
            .planner()
            .plan(&taking_over(&world.request), &"second".into())
            .await
            .unwrap();
        let successor = world.store.run(&run_id).await.unwrap().unwrap();
        world.store.claim(&successor, 0).await.unwrap();
        let refused = world.store.claim(&run, 0).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Fenced);
    });
}

/// honest-end: a time box ends a chunk with what remains, not with an error, and the chunks add up.
#[test]
fn honest_end_of_a_time_box() {
    in_virtual_time(async {
        let world = World::new(
            Faults::none(3),
            1_000,
            r#","total_segments":1,"time_box_seconds":1"#,
        );
        let plan = world
            .planner()
            .plan(&world.request, &"first".into())
            .await
            .unwrap();
        let chunk = first_chunk(&plan, 0);
        let never = CancellationToken::new();
        let mut chunks = 0;
        loop {
            let begin = tokio::time::Instant::now();
            let report = world.worker().work(&chunk, None, &never).await.unwrap();
            assert!(
                begin.elapsed() < Duration::from_millis(1500),
                "{:?}",
                begin.elapsed()
            );
            chunks += 1;
            if report.done {
                assert_eq!(report.counters.scanned, 1_000);
                assert_eq!(report.counters.updated, 800);
                break;
            }
            assert!(
                matches!(report.cursor, Cursor::After(_)),
                "it says where to go on"
            );
        }
        assert!(chunks > 2, "several chunks: {chunks}");
    });
}

/// proof: items that appear behind the cursor bring another pass, and where the passes are used up the run
/// says what remains.
#[test]
fn proof_brings_further_passes_or_says_what_remains() {
    for (passes, expected) in [(2, RunStatus::Succeeded), (1, RunStatus::Incomplete)] {
        in_virtual_time(async {
            let settings = format!(r#","total_segments":2,"max_passes":{passes}"#);
            let world = World::with_live_writers(Faults::none(5), 50, &settings);
            let plan = world
                .planner()
                .plan(&world.request, &"first".into())
                .await
                .unwrap();
            let never = CancellationToken::new();
            for &segment in &plan.segments {
                let chunk = first_chunk(&plan, segment);
                world.worker().work(&chunk, None, &never).await.unwrap();
            }
            // Old application code writes items without the attribute, behind the cursors.
            let old_code = LiveWriter {
                table: world.table.clone(),
                seed: 2,
                ids: 60,
                creates_pending: true,
            };
            old_code.work(60, Duration::from_millis(1)).await;
            // Until then a sweep, which reads eventually consistent, may miss them.
            tokio::time::sleep(Duration::from_secs(2)).await;
            let left = world.table.count_pending(&world.request.spec);
            assert!(left > 0);

            assert_eq!(world.run().await.unwrap(), expected);
            let summary = snapshot(&world.store, &plan.run_id)
                .await
                .unwrap()
                .unwrap()
                .summary(&Prices::default());
            let pending = world.table.count_pending(&world.request.spec);
            assert_eq!(summary.remaining, Some(pending));
            assert_eq!(summary.passes, passes);
            match expected {
                RunStatus::Succeeded => assert_eq!(pending, 0),
                _ => {
                    assert_eq!(pending, left);
                    assert_eq!(summary.samples.len() as u64, left.min(10));
                }
            }
        });
    }
}

/// proof: no verdict without a complete count, and none while a segment is open.
#[test]
fn proof_needs_a_complete_count_of_a_swept_table() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 20, r#","total_segments":2"#);
        let planner = world.planner();
        let plan = planner.plan(&world.request, &"first".into()).await.unwrap();
        let incomplete = planner
            .runs
            .conclude(&plan.run_id, 1, &"first".into(), &plan.verification)
            .await
            .unwrap_err();
        assert_eq!(incomplete.kind(), ErrorKind::InvalidInput);
        let mut counted = plan.verification;
        counted.done = true;
        assert!(
            planner
                .runs
                .conclude(&plan.run_id, 1, &"first".into(), &counted)
                .await
                .is_err(),
            "the segments are open"
        );
    });
}

/// A verification that is interrupted again and again comes to the same count.
#[test]
fn a_verification_resumes_where_its_time_box_ended() {
    in_virtual_time(async {
        let world = World::new(
            Faults::random(9, 0.1, 0.05),
            4000,
            r#","total_segments":20,"time_box_seconds":1"#,
        );
        let plan = world
            .planner()
            .plan(&world.request, &"first".into())
            .await
            .unwrap();
        let mut verification = plan.verification;
        let mut rounds = 0;
        while !verification.done {
            let request = VerifyRequest {
                run_id: plan.run_id.clone(),
                pass: 1,
                owner: Owner::from("first"),
                // Its state goes through JSON, as in Step Functions.
                verification: serde_json::from_str(&serde_json::to_string(&verification).unwrap())
                    .unwrap(),
            };
            verification = world
                .verifier()
                .verify(request, None, &CancellationToken::new())
                .await
                .unwrap();
            rounds += 1;
            assert!(rounds < 1000);
        }
        assert!(rounds > 1);
        assert_eq!(verification.scanned, 4000);
        assert_eq!(verification.remaining, 3200);
        assert_eq!(verification.samples.len(), 10);
    });
}

/// An update that does not extinguish its predicate is found on the first item, and no second one is touched.
#[test]
fn an_update_that_does_not_extinguish_touches_one_item() {
    in_virtual_time(async {
        let world = World::with_live_writers(Faults::none(1), 100, r#","total_segments":8"#);
        world.table.make_updates_useless();
        let error = world.run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UpdateDoesNotExtinguish);
        assert_eq!(world.table.updates().len(), 1);
        let run = world
            .store
            .run(&world.request.run_id())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(run.status, RunStatus::Failed);
        // Resumed, it looks again.
        assert!(world.run().await.is_err());
        assert_eq!(world.table.updates().values().sum::<u64>(), 2);
    });
}

/// Another spec or segment count under a run id is refused with both shown; the same spec with the same count
/// resumes; fresh starts over.
#[test]
fn a_run_id_belongs_to_one_spec() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 10, r#","run_id":"r","total_segments":2"#);
        let planner = world.planner();
        planner.plan(&world.request, &"first".into()).await.unwrap();
        let request = |json: &str| Request::from_json(json).unwrap();
        let other = request(r#"{"table":"stuff","set":{"test":2},"run_id":"r"}"#);
        let refused = planner.plan(&other, &"second".into()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::RunMismatch);
        assert!(refused.to_string().contains(r#"{"N":"1"}"#), "{refused}");
        assert!(refused.to_string().contains(r#"{"N":"2"}"#), "{refused}");
        let segments =
            request(r#"{"table":"stuff","set":{"test":1},"run_id":"r","total_segments":3}"#);
        let refused = planner.plan(&segments, &"second".into()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::RunMismatch);
        assert!(refused.to_string().contains("2 segments"), "{refused}");
        assert!(
            refused.to_string().contains("3 were requested"),
            "{refused}"
        );
        let same = request(r#"{"table":"stuff","set":{"test":1},"run_id":"r"}"#);
        assert_eq!(
            planner
                .plan(&taking_over(&same), &"second".into())
                .await
                .unwrap()
                .segments
                .len(),
            2
        );
        let fresh = request(
            r#"{"table":"stuff","set":{"test":2},"run_id":"r","total_segments":3,"fresh":true}"#,
        );
        let plan = planner
            .plan(&taking_over(&fresh), &"third".into())
            .await
            .unwrap();
        assert_eq!((plan.pass, plan.segments.len()), (2, 3));
    });
}

/// Two planners on one run record: the one that read an older revision cannot write.
#[test]
fn a_run_record_changes_only_from_its_latest_revision() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 10, "");
        world
            .planner()
            .plan(&world.request, &"first".into())
            .await
            .unwrap();
        let run_id = world.request.run_id();
        let mut stale = world.store.run(&run_id).await.unwrap().unwrap();
        world
            .planner()
            .plan(&taking_over(&world.request), &"second".into())
            .await
            .unwrap();
        stale.revision += 1;
        stale.owner = "first again".into();
        let refused = world.store.save_run(&stale).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
    });
}

/// A table that is not ACTIVE is refused before anything is written.
#[test]
fn a_table_that_is_not_active_is_refused() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 10, "");
        world.table.set_status("CREATING");
        let refused = world.run().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::TableNotActive);
        assert!(refused.to_string().contains("CREATING"), "{refused}");
        assert!(
            world
                .store
                .run(&world.request.run_id())
                .await
                .unwrap()
                .is_none()
        );
    });
}

/// no-gap: cursors mean nothing in another table of the same name, so the run starts over.
#[test]
fn no_gap_in_a_table_that_was_created_anew() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 40, r#","total_segments":2"#);
        let planner = world.planner();
        let plan = planner.plan(&world.request, &"first".into()).await.unwrap();
        let mut chunk = first_chunk(&plan, 0);
        let never = CancellationToken::new();
        world.worker().work(&chunk, None, &never).await.unwrap();
        world.table.recreate();
        let again = planner
            .plan(&taking_over(&world.request), &"second".into())
            .await
            .unwrap();
        assert_eq!((again.pass, again.segments.len()), (2, 2));
        let stale = world.worker().work(&chunk, None, &never).await.unwrap_err();
        assert_eq!(stale.kind(), ErrorKind::Fenced, "another owner");
        chunk.owner = Owner::from("second");
        let stale = world.worker().work(&chunk, None, &never).await.unwrap_err();
        assert_eq!(stale.kind(), ErrorKind::Fenced, "the old pass is over");
    });
}

/// honest-end: the first failure is the one that is told, a run that was taken over is left alone, and nobody
/// works on for a run that has failed.
#[test]
fn honest_end_tells_the_first_failure() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 40, r#","total_segments":2"#);
        let planner = world.planner();
        let plan = planner.plan(&world.request, &"first".into()).await.unwrap();
        let failure = |error: &str| Failure {
            error: error.into(),
            message: format!("because of {error}"),
        };
        planner
            .plan(&taking_over(&world.request), &"second".into())
            .await
            .unwrap();
        let told = planner
            .runs
            .fail(&plan.run_id, &"first".into(), failure("TooMany"))
            .await
            .unwrap();
        assert_eq!(told.error, "Fenced");
        assert!(told.message.contains("second"), "{}", told.message);
        assert_eq!(
            world.store.run(&plan.run_id).await.unwrap().unwrap().status,
            RunStatus::Running,
            "it belongs to the second owner"
        );
        let told = planner
            .runs
            .fail(&plan.run_id, &"second".into(), failure("AccessDenied"))
            .await;
        assert_eq!(told.unwrap(), failure("AccessDenied"));
        let told = planner
            .runs
            .fail(&plan.run_id, &"second".into(), failure("TooMany"))
            .await;
        assert_eq!(told.unwrap(), failure("AccessDenied"));
        let refused = planner
            .runs
            .next(&plan.run_id, plan.pass, &"second".into())
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotRunning);
        let run = world.store.run(&plan.run_id).await.unwrap().unwrap();
        assert_eq!(run.error.as_deref(), Some("AccessDenied"));
        assert_eq!(
            world.run().await.unwrap(),
            RunStatus::Succeeded,
            "it can be resumed"
        );
    });
}

/// one-owner: whoever was replaced as the owner of a run can neither work, plan, conclude, pause nor fail it.
#[test]
fn one_owner_per_run() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 40, r#","total_segments":2"#);
        let planner = world.planner();
        let plan = planner.plan(&world.request, &"first".into()).await.unwrap();
        let run_id = &plan.run_id;
        planner
            .plan(&taking_over(&world.request), &"second".into())
            .await
            .unwrap();
        let chunk = first_chunk(&plan, 0);
        let never = CancellationToken::new();
        let mut errors = vec![
            world.worker().work(&chunk, None, &never).await.unwrap_err(),
            planner
                .runs
                .next(run_id, 1, &"first".into())
                .await
                .unwrap_err(),
        ];
        let mut counted = plan.verification;
        counted.done = true;
        errors.push(
            planner
                .runs
                .conclude(run_id, 1, &"first".into(), &counted)
                .await
                .unwrap_err(),
        );
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
            assert!(
                error.to_string().contains("second"),
                "it says who has it: {error}"
            );
        }
        let paused = RunStatus::Paused;
        planner
            .runs
            .stop(run_id, &"first".into(), paused)
            .await
            .unwrap();
        let run = world.store.run(run_id).await.unwrap().unwrap();
        assert_eq!(
            (run.status, run.owner.to_string().as_str()),
            (RunStatus::Running, "second")
        );
        planner
            .runs
            .stop(run_id, &"second".into(), paused)
            .await
            .unwrap();
        let run = world.store.run(run_id).await.unwrap().unwrap();
        assert_eq!(run.status, RunStatus::Paused);
    });
}

/// one-owner: a run that somebody holds is not begun anew beside it, whatever is asked for, unless it is said that the
/// former owner is dead; one that has ended, however it did, is.
#[test]
fn one_owner_until_it_has_ended_or_is_said_to_be_dead() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 40, r#","total_segments":2"#);
        let planner = world.planner();
        let plan = planner.plan(&world.request, &"first".into()).await.unwrap();
        let mut fresh = world.request.clone();
        fresh.settings.fresh = true;
        for request in [&world.request, &fresh] {
            let refused = planner.plan(request, &"second".into()).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ActiveElsewhere);
            let said = refused.to_string();
            assert!(said.contains("by first"), "who: {said}");
            assert!(said.contains("since 20"), "since when: {said}");
            assert!(said.contains("--take-over"), "what to do: {said}");
        }
        let run = world.store.run(&plan.run_id).await.unwrap().unwrap();
        assert_eq!((run.owner.to_string().as_str(), run.revision), ("first", 1));
        // The answer to its own request may have been lost.
        let again = planner.plan(&world.request, &"first".into()).await.unwrap();
        assert_eq!(again.segments, plan.segments);

        planner
            .plan(&taking_over(&world.request), &"second".into())
            .await
            .unwrap();
        let run = world.store.run(&plan.run_id).await.unwrap().unwrap();
        assert_eq!(run.owner, "second".into());
        assert!(
            run.message.contains("taken over from first"),
            "{}",
            run.message
        );

        // Whoever was seen to be dead may have been followed by somebody who lives.
        let mut too_late = world.request.clone();
        too_late.settings.take_over_from = Some("first".into());
        let refused = planner.plan(&too_late, &"third".into()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ActiveElsewhere);

        let paused = RunStatus::Paused;
        planner
            .runs
            .steer(&plan.run_id, paused, "a person")
            .await
            .unwrap();
        // A plan that is tried again does not undo that.
        let refused = planner
            .plan(&world.request, &"second".into())
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotRunning);
        planner.plan(&world.request, &"third".into()).await.unwrap();
        too_late.settings.take_over_from = Some("third".into());
        planner.plan(&too_late, &"fourth".into()).await.unwrap();
    });
}

/// accounting: each rejected item is recorded with its reason and nothing else of it, and tried again by itself.
#[test]
fn accounting_of_rejected_items_one_by_one() {
    in_virtual_time(async {
        let settings = r#","total_segments":4,"max_passes":1"#;
        let world = World::new(Faults::random(4, 0.1, 0.1), 50, settings);
        world.table.poison([3, 17, 40]);
        assert_eq!(world.run().await.unwrap(), RunStatus::Incomplete);
        world.faults.calm_down();
        let run_id = world.request.run_id();
        let run = world.store.run(&run_id).await.unwrap().unwrap();
        let rejected = world.store.rejected(&run_id, run.pass).await.unwrap();
        assert_eq!(rejected.len(), 3);
        assert!(rejected.iter().all(|item| item.reason == "poisoned"));
        assert!(
            rejected.iter().all(|item| item.key.0.len() == 2),
            "keys only"
        );
        let updates = world.table.updates().len();

        // One of them has become acceptable, one was deleted.
        world.table.poison([3]);
        world.table.delete(17);
        let again = retry_rejected(&world.table, &world.store, &run, rejected)
            .await
            .unwrap();
        assert_eq!((again.updated, again.vanished), (1, 1));
        assert_eq!(again.rejected.len(), 1);
        assert_eq!(world.table.updates().len(), updates + 1, "no other item");
        let left = world.store.rejected(&run_id, run.pass).await.unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].key, again.rejected[0].key);
    });
}

/// honest-end: where an update is refused for more items than the operator puts up with, the run fails and says which.
#[test]
fn honest_end_with_too_many_rejected_items() {
    for (poisoned, max_rejected, ending) in [
        // All of them: found with the first few, whatever the limit.
        (0..600, 1_000, Err((25, 25))),
        // Every second one, from some point on.
        (300..600, 40, Err((41, 200))),
        (300..310, 7, Err((8, 8))),
        (300..310, 8, Ok(8)),
        // Spread over many segments, a few in each chunk.
        (0..3_000, 200, Err((201, 300))),
    ] {
        in_virtual_time(async {
            let (items, segments) = match poisoned.end {
                3_000 => (3_000, 300),
                _ => (600, 6),
            };
            let settings = format!(
                r#","total_segments":{segments},"max_passes":1,"max_rejected":{max_rejected}"#
            );
            let world = World::new(Faults::none(4), items, &settings);
            // Of many only every third, so that none is hopeless.
            let step = if items > 600 { 3 } else { 1 };
            world.table.poison(poisoned.clone().step_by(step));
            let ended = world.run().await;
            let run_id = world.request.run_id();
            let rejected = world.store.rejected(&run_id, 1).await.unwrap().len();
            match ending {
                Err((least, most)) => {
                    let error = ended.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::TooManyRejected, "{error}");
                    assert!(error.to_string().contains("poisoned"), "why: {error}");
                    assert!(error.to_string().contains("item-"), "which: {error}");
                    assert!(
                        (least..=most).contains(&rejected),
                        "{poisoned:?}: {rejected}"
                    );
                }
                Ok(count) => {
                    assert_eq!(ended.unwrap(), RunStatus::Incomplete);
                    assert_eq!(rejected, count);
                }
            }
        });
    }
}

/// read-only: a dry run in AWS is a plan without segments, a verification and a conclusion; no worker works for it, and the
/// run itself is another one.
#[test]
fn read_only_dry_run_has_no_work_for_a_worker() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 50, r#","total_segments":2,"dry_run":true"#);
        let before = world.table.items();
        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
        let run_id = world.request.run_id();
        let run = world.store.run(&run_id).await.unwrap().unwrap();
        assert_eq!(run.status, RunStatus::Incomplete, "items are pending");
        assert_eq!(run.proof.unwrap().remaining, 40);
        assert!(run.message.contains("40 of 50"), "{}", run.message);
        assert_eq!(world.table.items(), before);

        let request = taking_over(&world.request);
        let plan = world
            .planner()
            .plan(&request, &"first".into())
            .await
            .unwrap();
        assert!(plan.segments.is_empty());
        let mut chunk = first_chunk(&plan, 0);
        chunk.pass = plan.pass;
        let never = CancellationToken::new();
        let refused = world.worker().work(&chunk, None, &never).await.unwrap_err();
        assert!(refused.to_string().contains("dry run"), "{refused}");
        assert_eq!(world.table.items(), before);

        let mut real = world.request.clone();
        real.settings.dry_run = false;
        assert_ne!(real.run_id(), run_id);
        real.settings.run_id = Some(run_id);
        let refused = world
            .planner()
            .plan(&real, &"first".into())
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::RunMismatch);
    });
}

/// What Step Functions carries stays below its 256 KiB, however many segments there are; and each is listed sooner or later.
#[test]
fn plans_of_many_segments_fit_into_the_state_of_an_execution() {
    const STATE: usize = 262_144;
    for total in [1_000, 100_000, 1_000_000] {
        in_virtual_time(async {
            let settings = format!(r#","total_segments":{total},"max_concurrency":1000"#);
            // Nothing is swept here, so nobody may look at the items behind a cursor.
            let world = World::with_live_writers(Faults::none(1), 10, &settings);
            let planner = world.planner();
            let mut plan = planner.plan(&world.request, &"first".into()).await.unwrap();
            let run = world.store.run(&plan.run_id).await.unwrap().unwrap();
            let mut listed = std::collections::BTreeSet::new();
            // Of a million the first rounds will do.
            while !plan.segments.is_empty() && listed.len() < 100_000 {
                let json = serde_json::to_string(&plan).unwrap();
                assert!(json.len() < STATE / 2, "{} bytes", json.len());
                // The outputs of the children: a byte each, and commas.
                assert!(2 * plan.segments.len() < STATE);
                for segment in &plan.segments {
                    assert!(listed.insert(*segment), "{segment} twice");
                    let claimed = world.store.claim(&run, *segment).await.unwrap();
                    let swept = SegmentRecord {
                        cursor: Cursor::Exhausted,
                        ..claimed
                    };
                    world.store.checkpoint(&swept).await.unwrap();
                }
                plan = planner
                    .runs
                    .next(&plan.run_id, 1, &"first".into())
                    .await
                    .unwrap();
            }
            assert_eq!(listed.len(), total.min(100_000));

            // A verification that was interrupted, with the longest of keys.
            let key = Key([("k".repeat(255), Value::S("v".repeat(2_048)))].into());
            let verification = Verification {
                open: (0..8)
                    .map(|segment| OpenSegment {
                        segment,
                        cursor: Cursor::After(key.clone()),
                    })
                    .collect(),
                samples: vec![key; 10],
                ..plan.verification
            };
            let json = serde_json::to_string(&verification).unwrap();
            assert!(json.len() < STATE / 4, "{} bytes", json.len());
        });
    }
}

/// A child execution of Step Functions hands a long segment over to another one before its history is full.
#[test]
fn a_long_segment_is_handed_over() {
    in_virtual_time(async {
        let settings = r#","total_segments":1,"time_box_seconds":1"#;
        let world = World::new(Faults::none(1), 1_000, settings);
        let plan = world
            .planner()
            .plan(&world.request, &"first".into())
            .await
            .unwrap();
        let run = world.store.run(&plan.run_id).await.unwrap().unwrap();
        for _ in 0..CHUNKS_PER_CHILD - 2 {
            world.store.claim(&run, 0).await.unwrap();
        }
        let never = CancellationToken::new();
        let mut handed_over = Vec::new();
        for _ in 0..3 {
            let chunk = first_chunk(&plan, 0);
            let report = world.worker().work(&chunk, None, &never).await.unwrap();
            assert!(!report.done);
            handed_over.push(report.hand_over);
        }
        assert_eq!(handed_over, [false, true, false]);
        assert_eq!(planner_lists(&world, &plan).await, [0], "it is still open");
    });
}

async fn planner_lists(world: &World, plan: &Round) -> Vec<u32> {
    let next = world
        .planner()
        .runs
        .next(&plan.run_id, 1, &"first".into())
        .await;
    next.unwrap().segments
}

/// resume, honest-end: the operator pauses a run from somewhere else, at any moment. It ends as paused within ten seconds, and
/// goes on from there; every change is noted with its author.
#[test]
fn resume_after_a_pause_from_elsewhere() {
    for pause_ms in (0..8_000).step_by(400) {
        in_virtual_time(async {
            let world = World::new(Faults::none(3), 3_000, r#","total_segments":3"#);
            let before = world.table.items();
            let (planner, run_id) = (world.planner(), world.request.run_id());
            let pause = async {
                tokio::time::sleep(Duration::from_millis(500 + pause_ms)).await;
                let steered = planner
                    .runs
                    .steer(&run_id, RunStatus::Paused, "a person")
                    .await;
                (steered, tokio::time::Instant::now())
            };
            let (ended, (steered, paused)) = tokio::join!(world.run(), pause);
            assert_eq!(steered.unwrap(), RunStatus::Running);
            assert_eq!(ended.unwrap(), RunStatus::Paused);
            assert!(
                paused.elapsed() < Duration::from_secs(10),
                "{:?}",
                paused.elapsed()
            );
            let run = world.store.run(&run_id).await.unwrap().unwrap();
            assert_eq!(run.status, RunStatus::Paused);
            assert!(run.message.contains("by a person"), "{}", run.message);

            let rate = Rate {
                max_wcu: Some(Some(50_000)),
                ..Rate::default()
            };
            planner
                .runs
                .set_rate(&run_id, rate, "another person")
                .await
                .unwrap();
            assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
            world.assert_migrated(&before);
            assert_eq!(world.counters().await.updated, 2_400);
            let run = world.store.run(&run_id).await.unwrap().unwrap();
            let events: Vec<_> = run
                .events
                .iter()
                .map(|event| {
                    format!(
                        "{}: {} -> {} by {}",
                        event.what, event.old, event.new, event.by
                    )
                })
                .collect();
            assert_eq!(
                events,
                [
                    "status: running -> paused by a person",
                    "max_wcu: none -> 50000 by another person",
                    "status: paused -> running by test 2",
                    "owner: test 1 -> test 2 by test 2",
                    "status: running -> succeeded by test 2",
                ]
            );
        });
    }
}

/// resume, honest-end: a canary sweeps the segments that were picked out and no others, and ends as paused; the run goes on with
/// the others, in the same pass, and is proven as a whole.
#[test]
fn resume_after_a_canary() {
    in_virtual_time(async {
        let mut world = World::new(Faults::none(3), 3_000, r#","total_segments":5"#);
        let before = world.table.items();
        world.request.settings.only_segments = Some(vec![3, 1]);
        assert_eq!(world.run().await.unwrap(), RunStatus::Paused);
        let run_id = world.request.run_id();
        let segments = world.store.segments(&run_id, 1).await.unwrap();
        let mut swept: Vec<u32> = segments.iter().map(|s| s.segment).collect();
        swept.sort_unstable();
        assert_eq!(swept, [1, 3]);
        assert!(segments.iter().all(|s| s.cursor == Cursor::Exhausted));
        let updated = world.counters().await.updated;
        assert!(0 < updated && updated < 2_400, "{updated}");
        let run = world.store.run(&run_id).await.unwrap().unwrap();
        assert_eq!((run.status, &run.proof), (RunStatus::Paused, &None));
        assert!(
            run.message
                .contains("the canary (segments 3,1 out of 0 to 4) is swept"),
            "{}",
            run.message
        );

        // Once more there is nothing to do, and nothing is changed.
        let refused = world.run().await.unwrap_err();
        assert!(
            refused.to_string().contains("is swept already"),
            "{refused}"
        );
        assert_eq!(world.store.run(&run_id).await.unwrap().unwrap(), run);
        world.request.settings.only_segments = Some(vec![5]);
        let refused = world.run().await.unwrap_err();
        assert!(refused.to_string().contains("expected 0 to 4"), "{refused}");

        world.request.settings.only_segments = None;
        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
        world.assert_migrated(&before);
        assert_eq!(world.counters().await.updated, 2_400);
        let run = world.store.run(&run_id).await.unwrap().unwrap();
        assert_eq!(run.pass, 1);
    });
}

/// A run comes from one state into another only where that makes sense, and says so where it does not.
#[test]
fn transitions_are_those_of_the_table() {
    in_virtual_time(async {
        let world = World::new(Faults::none(3), 20, "");
        let (planner, run_id) = (world.planner(), world.request.run_id());
        let unknown = planner.runs.steer("nobody", RunStatus::Paused, "me").await;
        assert_eq!(unknown.unwrap_err().kind(), ErrorKind::InvalidInput);
        world.run().await.unwrap();
        for status in [RunStatus::Paused, RunStatus::Cancelled, RunStatus::Failed] {
            let refused = planner.runs.steer(&run_id, status, "me").await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput);
            assert!(refused.to_string().contains("is succeeded"), "{refused}");
        }
        // Said twice, it holds once; and what is paused can still be given up.
        planner.plan(&world.request, &"me".into()).await.unwrap();
        for (status, before) in [
            (RunStatus::Paused, RunStatus::Running),
            (RunStatus::Paused, RunStatus::Paused),
            (RunStatus::Cancelled, RunStatus::Paused),
        ] {
            assert_eq!(
                planner.runs.steer(&run_id, status, "me").await.unwrap(),
                before
            );
        }
        let refused = planner
            .runs
            .steer(&run_id, RunStatus::Paused, "me")
            .await
            .unwrap_err();
        assert!(refused.to_string().contains("is cancelled"), "{refused}");
        let told = planner
            .runs
            .fail(&run_id, &"me".into(), Failure::caught("TooMany", ""))
            .await
            .unwrap();
        assert_eq!(told.error, "Stopped", "so the state machine ends well");
    });
}

/// A run id that belongs to another table is refused, also where that table is another one in identity.
#[test]
fn a_run_id_belongs_to_one_table() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 10, r#","run_id":"r""#);
        world
            .planner()
            .plan(&world.request, &"first".into())
            .await
            .unwrap();
        world.table.recreate();
        let other =
            Request::from_json(r#"{"table":"other","set":{"test":1},"run_id":"r"}"#).unwrap();
        let refused = world
            .planner()
            .plan(&other, &"second".into())
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::RunMismatch);
        assert!(refused.to_string().contains("stuff"), "{refused}");
        assert!(refused.to_string().contains("other"), "{refused}");
    });
}

/// no-gap, honest-end: an error that trying again does not mend ends the chunk; what was acknowledged is
/// checkpointed, no further write is begun, and the next start goes on.
#[test]
fn no_gap_after_an_error_in_the_middle_of_a_page() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 60, r#","total_segments":1"#);
        let before = world.table.items();
        world.faults.fail_after(150, ErrorKind::AccessDenied);
        let error = world.run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AccessDenied);
        let counters = world.counters().await;
        assert_accounted(&counters);
        assert_eq!(counters.updated, world.table.updates().len() as u64);
        assert!(counters.updated > 0);
        world.faults.restart();
        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
        world.assert_migrated(&before);
        assert_eq!(world.counters().await.updated, 48);
    });
}

/// one-owner, honest-end: a worker in the middle of a long chunk notices within seconds that its run was stopped.
#[test]
fn one_owner_is_looked_for_during_a_chunk() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 6000, r#","total_segments":1"#);
        let plan = world
            .planner()
            .plan(&world.request, &"first".into())
            .await
            .unwrap();
        let chunk = first_chunk(&plan, 0);
        let never = CancellationToken::new();
        let (worker, planner) = (world.worker(), world.planner());
        let work = worker.work(&chunk, None, &never);
        let stop = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            planner
                .runs
                .stop(&plan.run_id, &"first".into(), RunStatus::Paused)
                .await
                .unwrap();
            tokio::time::Instant::now()
        };
        let (ended, stopped) = tokio::join!(work, stop);
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::NotRunning);
        assert!(
            stopped.elapsed() < Duration::from_secs(6),
            "{:?}",
            stopped.elapsed()
        );
        let segments = world.store.segments(&plan.run_id, 1).await.unwrap();
        assert!(
            matches!(segments[0].cursor, Cursor::After(_)),
            "its checkpoint stands"
        );
    });
}

/// resume, honest-end: the operator need not wait out an outage.
#[test]
fn honest_end_when_stopped_during_an_outage() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 60, r#","total_segments":2"#);
        world.faults.fail_after(100, ErrorKind::Unavailable);
        let stop = CancellationToken::new();
        let trigger = stop.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(200)).await;
            trigger.cancel();
        });
        let begin = tokio::time::Instant::now();
        assert_eq!(world.run_until(&stop).await.unwrap(), RunStatus::Paused);
        assert!(
            begin.elapsed() < Duration::from_secs(280),
            "{:?}",
            begin.elapsed()
        );
        world.faults.restart();
        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
    });
}
