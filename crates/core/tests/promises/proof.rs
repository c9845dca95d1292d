//! proof: what a verification needs, and what follows from it.

use std::time::Duration;

use backfill_core::clock::rfc3339;
use backfill_core::engine::conclusion::{Conclusion, ConclusionStatus};
use backfill_core::engine::verifier::{Lacking, VerifyRequest};
use backfill_core::guard::SwitchOn;
use backfill_core::ports::guard::GuardStore as _;
use backfill_core::ports::{CheckpointReader as _, LookBy, ReadAccess as _};
use backfill_core::records::{GuardHour, HOUR_MS, Owner, RunStatus, Watcher};
use backfill_core::view::cost::Prices;
use backfill_core::view::progress::snapshot;
use backfill_core::{ErrorKind, Request};
use backfill_testkit::{Faults, LiveWriter, ModelTable};
use tokio_util::sync::CancellationToken;

use crate::world::{World, assert_accounted, first_chunk, in_virtual_time};

/// proof: items that appear behind the cursor bring another pass, and if the passes are used up the run
/// says what remains.
#[test]
fn proof_brings_further_passes_or_says_what_remains() {
    for (passes, expected) in [(2, RunStatus::Succeeded), (1, RunStatus::Incomplete)] {
        in_virtual_time(async {
            let settings = format!(r#","total_segments":2,"max_passes":{passes}"#);
            let world = World::with_live_writers(Faults::none(5), 50, &settings);
            let plan = world.begin("first").await;
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
        let plan = planner
            .begin(&world.request, &"first".into())
            .await
            .unwrap();
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
        let plan = world.begin("first").await;
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

/// An update that does not extinguish its predicate is found on the first item, and no second one is touched, in whichever way a
/// table allows that item to be looked at.
#[test]
fn an_update_that_does_not_extinguish_touches_one_item() {
    in_virtual_time(async {
        for by in [LookBy::Check, LookBy::Query, LookBy::Page] {
            an_update_that_does_not_extinguish_is_found(by).await;
        }
    });
}

/// If it does, each segment goes on after its first item, and what was looked at is paid in the units of that way.
#[test]
fn an_update_that_extinguishes_is_seen_to_in_every_way() {
    in_virtual_time(async {
        for (by, wcu, rcu) in [
            (LookBy::Check, 80.0 + 4.0 * 2.0, 0.0),
            (LookBy::Query, 80.0, 4.0),
            // A page of a consistent scan each, at least.
            (LookBy::Page, 80.0, 4.0),
        ] {
            let settings = r#","total_segments":4,"writer":"update-item""#;
            let world = World::new(Faults::none(4), 100, settings);
            world.table.allow_looks_from(by);
            let before = world.table.items();
            assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
            world.assert_migrated(&before);
            let counters = world.counters().await;
            assert_eq!(counters.consumed_wcu, wcu, "{by:?}");
            // Pages of the sweep are eventually consistent, and cost half a unit each in the model.
            let of_looks = counters.consumed_rcu - world.table.sweep_pages() as f64 * 0.5;
            assert!((rcu..=3.0 * rcu).contains(&of_looks), "{by:?}: {of_looks}");
        }
    });
}

/// no-gap, only-U, accounting: also if faults and live writers are at the items that are looked at.
#[test]
fn accounting_under_faults_in_every_way_of_looking() {
    in_virtual_time(async {
        for seed in 0..20 {
            for by in [LookBy::Query, LookBy::Page] {
                let settings = r#","total_segments":5,"max_rcu":50,"max_wcu":200"#;
                let world = World::new(Faults::random(seed, 0.15, 0.1), 300, settings);
                world.table.allow_looks_from(by);
                let before = world.table.items();
                assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
                world.assert_migrated(&before);
                assert_accounted(&world.counters().await);
            }
        }
    });
}

async fn an_update_that_does_not_extinguish_is_found(by: LookBy) {
    {
        let world = World::with_live_writers(Faults::none(1), 100, r#","total_segments":8"#);
        world.table.make_updates_useless();
        world.table.allow_looks_from(by);
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
    }
}

/// Whoever looks at the records sees how far a verification has come. A note is never more than what is counted, and nothing is
/// decided by one: it may be lost, and one of another pass or session says nothing.
#[test]
fn a_verification_notes_how_far_it_has_come() {
    in_virtual_time(async {
        let world = World::new(Faults::none(3), 3_000, r#","total_segments":2,"max_rcu":2"#);
        let run = world.run();
        tokio::pin!(run);
        let mut seen = Vec::new();
        let ended = loop {
            tokio::select! {
                ended = &mut run => break ended,
                () = tokio::time::sleep(Duration::from_secs(1)) => {
                    let run_id = world.request.run_id();
                    let snapshot = snapshot(&world.store, &run_id).await.unwrap();
                    let Some(snapshot) = snapshot else { continue };
                    assert!(snapshot.counting.is_none() || snapshot.is_verifying());
                    if let Some(note) = snapshot.counting {
                        let glance = snapshot.glance();
                        assert!(glance.verifies && glance.done < Some(1.0), "{glance:?}");
                        seen.push(note.scanned);
                    }
                }
            }
        };
        assert_eq!(ended.unwrap(), RunStatus::Succeeded);
        assert!(seen.len() > 5 && seen.is_sorted(), "{seen:?}");
        assert!(seen.iter().all(|scanned| *scanned <= 3_000), "{seen:?}");
        assert!(seen.first() < seen.last(), "{seen:?}");
    });
}

/// proof: a run whose rejected items were being tried again by somebody who died of it is verified by the next try that leaves none.
#[test]
fn proof_after_a_retry_that_died() {
    in_virtual_time(async {
        let settings = r#","total_segments":4,"max_passes":1,"max_wcu":10"#;
        let world = World::new(Faults::none(4), 1_000, settings);
        world.table.poison(100..300);
        assert_eq!(world.run().await.unwrap(), RunStatus::Incomplete);
        world.table.mend();
        let time = Duration::from_secs(5);
        let died = tokio::time::timeout(time, world.retry_rejected()).await;
        assert!(died.is_err(), "in the middle: {died:?}");
        assert_eq!(world.record().await.status, RunStatus::Running);
        let died = tokio::time::timeout(time, world.retry_rejected_from("retry")).await;
        assert!(died.is_err(), "once more: {died:?}");

        // One that ends, and leaves some, leaves the run as it was before all of them.
        world.table.poison(100..300);
        world.retry_rejected_from("retry").await.unwrap();
        let run = world.record().await;
        assert_eq!(run.status, RunStatus::Incomplete, "{}", run.message);
        assert_eq!(run.proof, None, "of items that are mended by now");
        assert!(world.counters().await.rejected > 0);
        world.table.mend();
        world.retry_rejected().await.unwrap();
        let run = world.record().await;
        assert_eq!(run.status, RunStatus::Succeeded, "{}", run.message);
        assert_eq!(run.proof.unwrap().remaining, 0);
        let counters = world.counters().await;
        assert_accounted(&counters);
        assert_eq!((counters.rejected, counters.matched), (0, 800));
    });
}

/// proof: so it is if the try that leaves none is the first after that one.
#[test]
fn proof_after_a_retry_that_died_and_one_that_left_none() {
    in_virtual_time(async {
        let settings = r#","total_segments":4,"max_passes":1,"max_wcu":10"#;
        let world = World::new(Faults::none(4), 1_000, settings);
        world.table.poison(100..300);
        assert_eq!(world.run().await.unwrap(), RunStatus::Incomplete);
        world.table.mend();
        let time = Duration::from_secs(5);
        let died = tokio::time::timeout(time, world.retry_rejected()).await;
        assert!(died.is_err(), "in the middle: {died:?}");
        let run = world.record().await;
        assert_eq!(run.status, RunStatus::Running);
        // What was counted before is no count of now.
        let seen = snapshot(&world.store, &run.run_id).await.unwrap().unwrap();
        assert_eq!(seen.summary(&Prices::default()).remaining, None);

        world.retry_rejected_from("retry").await.unwrap();
        let run = world.record().await;
        assert_eq!(run.status, RunStatus::Succeeded, "{}", run.message);
        assert_eq!(run.proof.unwrap().remaining, 0);
        let counters = world.counters().await;
        assert_accounted(&counters);
        assert_eq!((counters.rejected, counters.matched), (0, 800));
    });
}

/// Items that the predicate leaves out and that lack what the update sets are counted beside the proof, segment by segment, however
/// often a time box interrupts that; the record says it, and its units are in the bill.
#[test]
fn items_outside_the_predicate_that_lack_what_is_set_are_counted() {
    in_virtual_time(async {
        let settings = r#","total_segments":20,"time_box_seconds":1"#;
        let world = World::with_items_left_out(Faults::random(9, 0.1, 0.05), 4_000, settings);
        let plan = world.begin("first").await;
        let mut verification = plan.verification;
        let mut rounds = 0;
        let mut interrupted = 0;
        while !verification.done {
            assert!(
                verification.told_lacking().is_empty(),
                "it is not counted to its end"
            );
            let lacking = verification
                .open
                .iter()
                .filter(|open| open.lacking.is_some());
            interrupted += lacking.count();
            let request = VerifyRequest {
                run_id: plan.run_id.clone(),
                pass: 1,
                owner: Owner::from("first"),
                verification: serde_json::from_str(&serde_json::to_string(&verification).unwrap())
                    .unwrap(),
            };
            let verifier = world.verifier();
            let never = CancellationToken::new();
            verification = verifier.verify(request, None, &never).await.unwrap();
            rounds += 1;
            assert!(rounds < 1_000);
        }
        assert!(interrupted > 1);
        assert_eq!(
            (verification.scanned, verification.remaining),
            (4_000, 3_200)
        );
        assert_eq!(verification.told_lacking(), [("extra".into(), 800)].into());

        let world = World::with_items_left_out(Faults::none(2), 500, r#","total_segments":3"#);
        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
        let run = world.record().await;
        let proof = run.proof.clone().unwrap();
        assert_eq!((proof.remaining, proof.scanned), (0, 500));
        assert_eq!(proof.lacking, [("extra".into(), 100)].into());
        assert!(run.message.contains("100 lack extra"), "{}", run.message);
        let snapshot = snapshot(&world.store, &run.run_id).await.unwrap().unwrap();
        let summary = snapshot.summary(&Prices::default());
        assert_eq!(summary.lacking, proof.lacking);
    });
}

/// proof: a filter that DynamoDB refuses ends the count of what items lack, and nothing else.
#[test]
fn proof_without_the_number_of_items_that_lack_something() {
    in_virtual_time(async {
        let world = World::with_items_left_out(Faults::none(2), 500, r#","total_segments":30"#);
        world.table.refuse_lacking();
        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
        let proof = world.record().await.proof.unwrap();
        assert_eq!((proof.remaining, proof.scanned), (0, 500));
        assert!(proof.lacking.is_empty());
    });
}

/// A count that is no longer that of the spec says nothing of it.
#[test]
fn a_count_of_what_other_attributes_lack_is_refused() {
    in_virtual_time(async {
        let world = World::with_items_left_out(Faults::none(2), 50, r#","total_segments":2"#);
        let plan = world.begin("first").await;
        let mut verification = plan.verification;
        verification.lacking = Some(Lacking {
            counts: [("another".to_owned(), 1)].into(),
            ..Lacking::default()
        });
        let request = VerifyRequest {
            run_id: plan.run_id,
            pass: 1,
            owner: Owner::from("first"),
            verification,
        };
        let never = CancellationToken::new();
        let error = world
            .verifier()
            .verify(request, None, &never)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

/// A dry run of the same table and records, from its begin to its conclusion, which is asked for twice.
async fn dry_run(world: &World, owner: &str, more: &str) -> (World, Conclusion) {
    let json = format!(r#"{{"table":"stuff","set":{{"test":1}},"dry_run":true{more}}}"#);
    let request = Request::from_json(&json).unwrap();
    let (table, store) = (world.table.clone(), world.store.clone());
    let dry = World::of(world.faults.clone(), table, store, request);
    let plan = dry.begin(owner).await;
    assert!(plan.segments.is_empty(), "a dry run sweeps nothing");
    let request = VerifyRequest {
        run_id: plan.run_id.clone(),
        pass: plan.pass,
        owner: owner.into(),
        verification: plan.verification,
    };
    let never = CancellationToken::new();
    let counted = dry.verifier().verify(request, None, &never).await.unwrap();
    let runs = dry.planner().runs;
    let owner = Owner::from(owner);
    let conclude = || runs.conclude(&plan.run_id, plan.pass, &owner, &counted);
    let conclusion = conclude().await.unwrap();
    assert_eq!(conclude().await.unwrap(), conclusion, "said twice");
    assert_eq!(
        conclusion.remaining,
        dry.table.count_pending(&dry.request.spec)
    );
    (dry, conclusion)
}

/// Old application code writes items without the attribute.
async fn old_code(world: &World, seed: u64) {
    let old_code = LiveWriter {
        table: world.table.clone(),
        seed,
        ids: 60,
        creates_pending: true,
    };
    old_code.work(60, Duration::from_millis(1)).await;
    assert!(world.table.count_pending(&world.request.spec) > 0);
}

/// proof: what comes after it is told. A dry run that finds items pending after a count of 0, of the run or of an earlier dry run, is no
/// success, and names some of them; before any proof it is one, whatever it finds.
#[test]
fn proof_is_over_when_items_are_pending_again() {
    let (succeeded, again) = (ConclusionStatus::Succeeded, ConclusionStatus::PendingAgain);
    in_virtual_time(async {
        let world = World::with_live_writers(Faults::none(5), 50, r#","total_segments":2"#);
        let (_, first) = dry_run(&world, "before", "").await;
        assert_eq!((first.status, first.remaining > 0), (succeeded, true));
        assert!(first.message.starts_with("dry run: "), "{}", first.message);

        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
        let (_, proven) = dry_run(&world, "after", "").await;
        assert_eq!((proven.status, proven.remaining), (succeeded, 0));

        old_code(&world, 2).await;
        for owner in ["then", "and then"] {
            let (dry, found) = dry_run(&world, owner, "").await;
            assert_eq!(found.status, again, "{}", found.message);
            let says = format!("items are pending again, such as {}", found.samples[0]);
            assert!(found.message.contains(&says), "{}", found.message);
            let record = dry.record().await;
            assert_eq!(record.status, RunStatus::Incomplete);
            assert_eq!(record.message, found.message);
        }
        // Under any id: the run with the usual one has the proof.
        let (_, nightly) = dry_run(&world, "nightly", r#","run_id":"nightly""#).await;
        assert_eq!(nightly.status, again, "{}", nightly.message);
        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
        assert_eq!(dry_run(&world, "mended", "").await.1.status, succeeded);
    });
}

/// What the guard of the change has seen since the count of zero is the suspicion of who it was; what it did before is not.
#[test]
fn proof_that_is_over_names_what_the_guard_has_seen_since() {
    in_virtual_time(async {
        let world = World::with_live_writers(Faults::none(5), 50, r#","total_segments":2"#);
        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
        let proven_ms = dry_run(&world, "after", "").await.0.record().await;
        let proven_ms = proven_ms.last_proven_ms().unwrap();
        old_code(&world, 2).await;
        let (_, unguarded) = dry_run(&world, "unguarded", "").await;
        assert!(
            !unguarded.message.contains("guard"),
            "{}",
            unguarded.message
        );

        let keys = world.table.describe("stuff").await.unwrap().keys;
        let switch_on = |spec| SwitchOn {
            spec,
            keys: keys.clone(),
            stream_arn: "arn:of:the:stream".into(),
            watcher: Watcher::Function,
            stack: Some("orders".into()),
            mapping: None,
            by: "a test".into(),
        };
        let this_hour = proven_ms - proven_ms % HOUR_MS;
        for (start_ms, repaired, id) in [(this_hour - HOUR_MS, 7, 1), (this_hour, 2, 3)] {
            let done = GuardHour {
                start_ms,
                repaired,
                samples: vec![ModelTable::key(id)],
                ..GuardHour::default()
            };
            world.store.add_to_guard_hour("stuff", &done).await.unwrap();
        }
        // What the guard of another change has seen is nothing of this one.
        let other = Request::from_json(r#"{"table":"stuff","set":{"other":1}}"#);
        let other = switch_on(other.unwrap().spec);
        let mut other = other.begin(&world.store, || proven_ms).await.unwrap();
        let (_, silent) = dry_run(&world, "silent", "").await;
        assert!(!silent.message.contains("guard"), "{}", silent.message);
        other.revision += 1;
        other.switch_off(proven_ms, "a test");
        world.store.save_guard(&other).await.unwrap();
        let on = switch_on(world.request.spec.clone());
        on.begin(&world.store, || proven_ms).await.unwrap();

        let (_, told) = dry_run(&world, "told", "").await;
        let seen = format!(
            "has seen the old shape written in the hour from {}: 2 items, such as {}; backfill guard status tells more",
            rfc3339(this_hour),
            ModelTable::key(3)
        );
        assert!(told.message.ends_with(&seen), "{}", told.message);
    });
}

/// guarded: the claim goes by the last count until there is another, though the dry run that has made it begins again, or starts over; but
/// not if that is a run of another change then.
#[test]
fn guarded_by_the_count_of_a_dry_run_that_begins_again() {
    in_virtual_time(async {
        let world = World::with_live_writers(Faults::none(5), 50, r#","total_segments":2"#);
        let (dry, told) = dry_run(&world, "told", "").await;
        assert!(told.remaining > 0);
        let counted = dry.record().await.last_count().unwrap();
        assert_eq!(counted.remaining, told.remaining);
        dry.begin("beginning").await;
        let begun = dry.record().await;
        assert_eq!(
            (begun.proof.as_ref(), begun.last_count()),
            (None, Some(counted.clone()))
        );
        for (name, count) in [("test", Some(counted)), ("other", None)] {
            let run_id = &begun.run_id;
            let json = format!(
                r#"{{"table":"stuff","set":{{"{name}":1}},"dry_run":true,"run_id":"{run_id}","fresh":true}}"#
            );
            let (table, store) = (world.table.clone(), world.store.clone());
            let request = Request::from_json(&json).unwrap();
            let over = World::of(world.faults.clone(), table, store, request);
            over.begin("beginning").await;
            assert_eq!(over.record().await.last_count(), count, "{name}");
        }
    });
}

/// The proof of a dry run is one, too, and what is started over has none.
#[test]
fn proof_of_a_dry_run_is_over_when_items_are_pending_again() {
    in_virtual_time(async {
        let id = r#","total_segments":2,"run_id":"mine""#;
        let world = World::with_live_writers(Faults::none(5), 50, id);
        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
        old_code(&world, 2).await;
        // Nobody knows of the run with an id of its own.
        let (_, found) = dry_run(&world, "one", "").await;
        assert_eq!(
            found.status,
            ConclusionStatus::Succeeded,
            "{}",
            found.message
        );
        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
        assert_eq!(dry_run(&world, "two", "").await.1.remaining, 0);
        old_code(&world, 3).await;
        let (_, found) = dry_run(&world, "three", "").await;
        assert_eq!(
            found.status,
            ConclusionStatus::PendingAgain,
            "{}",
            found.message
        );
        let (_, over) = dry_run(&world, "four", r#","fresh":true"#).await;
        assert_eq!(over.status, ConclusionStatus::Succeeded, "{}", over.message);
    });
}
