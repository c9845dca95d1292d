//! Plans: what is refused, what a plan lists, and what is handed over.

use std::time::Duration;

use backfill_core::engine::runs::{Failure, Round};
use backfill_core::engine::verifier::{Lacking, OpenSegment, Verification};
use backfill_core::engine::worker::CHUNKS_PER_CHILD;
use backfill_core::ports::{CheckpointReader as _, SegmentStore as _};
use backfill_core::records::{BlockSum, Cursor, Different, RunStatus, SegmentRecord};
use backfill_core::{ErrorKind, Key, Request, Value};
use backfill_testkit::Faults;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::world::{World, first_chunk, in_virtual_time, taking_over};

/// Another spec or segment count under a run id is refused with both shown; the same spec with the same count
/// resumes; fresh starts over.
#[test]
fn a_run_id_belongs_to_one_spec() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 10, r#","run_id":"r","total_segments":2"#);
        let planner = world.planner();
        planner
            .begin(&world.request, &"first".into())
            .await
            .unwrap();
        let request = |json: &str| Request::from_json(json).unwrap();
        let other = request(r#"{"table":"stuff","set":{"test":2},"run_id":"r"}"#);
        let refused = planner.begin(&other, &"second".into()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::RunMismatch);
        assert!(refused.to_string().contains(r#"{"N":"1"}"#), "{refused}");
        assert!(refused.to_string().contains(r#"{"N":"2"}"#), "{refused}");
        let segments =
            request(r#"{"table":"stuff","set":{"test":1},"run_id":"r","total_segments":3}"#);
        let refused = planner
            .begin(&segments, &"second".into())
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::RunMismatch);
        assert!(refused.to_string().contains("2 segments"), "{refused}");
        assert!(
            refused.to_string().contains("3 were requested"),
            "{refused}"
        );
        let same = request(r#"{"table":"stuff","set":{"test":1},"run_id":"r"}"#);
        assert_eq!(
            planner
                .begin(&taking_over(&same), &"second".into())
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
            .begin(&taking_over(&fresh), &"third".into())
            .await
            .unwrap();
        assert_eq!((plan.pass, plan.segments.len()), (2, 3));
    });
}

/// A table that serves no reads and writes is refused before anything is written.
#[test]
fn a_table_that_serves_nothing_is_refused() {
    in_virtual_time(async {
        for status in [
            "CREATING",
            "DELETING",
            "INACCESSIBLE_ENCRYPTION_CREDENTIALS",
            "ARCHIVING",
            "ARCHIVED",
        ] {
            let world = World::new(Faults::none(1), 10, "");
            world.table.set_status(status);
            let begin = Instant::now();
            let refused = world.run().await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::TableNotActive);
            let says = format!("table: stuff is {status} ");
            assert!(refused.to_string().starts_with(&says), "{refused}");
            let waited = begin.elapsed().as_secs();
            assert_eq!(waited >= 120, status == "CREATING", "{status}: {waited}");
            assert!(waited < 140, "a planner has 300 s: {waited}");
            let run_id = world.request.run_id();
            assert!(world.store.run(&run_id).await.unwrap().is_none());
        }
    });
}

/// honest-end: whatever else is being changed about a table, it serves reads and writes, and a run on it begins, resumes and
/// succeeds; one that is being created is waited for.
#[test]
fn honest_end_on_a_table_that_is_changed_or_created() {
    in_virtual_time(async {
        for (status, seconds) in [
            ("UPDATING", 100_000),
            ("REPLICATION_NOT_AUTHORIZED", 100_000),
            ("SOMETHING_NEW", 100_000),
            ("CREATING", 60),
        ] {
            let settings = r#","total_segments":2,"time_box_seconds":1"#;
            let world = World::new(Faults::random(7, 0.1, 0.1), 400, settings);
            let time = Duration::from_secs(seconds);
            world.table.set_status_for(status, time);
            let begin = Instant::now();
            let stop = CancellationToken::new();
            let stopped = async {
                while world.table.updates().is_empty() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                stop.cancel();
            };
            let run = async { tokio::join!(world.run_until(&stop), stopped).0 };
            let paused = tokio::time::timeout(Duration::from_secs(100), run).await;
            let paused = paused.expect("it begins, and stops").unwrap();
            assert_eq!(paused, RunStatus::Paused, "{status}");
            assert_eq!(begin.elapsed() >= time, status == "CREATING", "{status}");
            world.table.set_status_for("UPDATING", time);
            assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
        }
    });
}

/// A description may be older than the one before: while a table is being created, one that knows of no table is no refusal. A
/// table that was never seen is refused at once.
#[test]
fn a_table_that_is_created_may_be_unknown_for_a_moment() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 10, "");
        world
            .table
            .set_status_for("CREATING", Duration::from_secs(20));
        world
            .table
            .forget_for(Duration::from_secs(5), Duration::from_secs(10));
        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);

        world
            .table
            .forget_for(Duration::ZERO, Duration::from_secs(10));
        let begin = Instant::now();
        let refused = world.run().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::TableNotFound);
        assert!(begin.elapsed() < Duration::from_secs(2));
    });
}

/// never-overwrite: a table with replicas whose conditions see one region alone is refused before anything is written, unless it
/// is said that nothing else writes in another region; a run that goes on remembers that.
#[test]
fn never_overwrite_on_a_global_table_needs_a_word() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 100, r#","total_segments":2"#);
        world.table.replicate_to(&["eu-west-1", "us-west-2"], false);
        let refused = world.run().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        let says = refused.to_string();
        assert!(says.starts_with("only_writer_region: "), "{says}");
        assert!(says.contains("eu-west-1, us-west-2"), "{says}");
        let run_id = world.request.run_id();
        assert!(world.store.run(&run_id).await.unwrap().is_none());

        // It may be counted.
        let mut dry = world.request.clone();
        (dry.settings.dry_run, dry.settings.run_id) = (true, Some("dry".into()));
        world.planner().begin(&dry, &"first".into()).await.unwrap();

        // Strongly consistent replicas need no word.
        world.table.replicate_to(&["eu-west-1"], true);
        let mut strong = world.request.clone();
        strong.settings.run_id = Some("strong".into());
        world
            .planner()
            .begin(&strong, &"first".into())
            .await
            .unwrap();

        // What was said is kept, and noted.
        world.table.replicate_to(&["eu-west-1"], false);
        let mut said = world.request.clone();
        said.settings.only_writer_region = Some(true);
        let planner = world.planner();
        planner.begin(&said, &"first".into()).await.unwrap();
        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
        let run = world.store.run(&run_id).await.unwrap().unwrap();
        assert!(run.settings.only_writer_region);

        // Replicas that came later are noticed by a run that goes on.
        let refused = planner.begin(&taking_over(&strong), &"second".into()).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
        let mut said = taking_over(&strong);
        said.settings.only_writer_region = Some(true);
        planner.begin(&said, &"third".into()).await.unwrap();
        let run = world.store.run("strong").await.unwrap().unwrap();
        let noted = run
            .events
            .iter()
            .any(|event| event.what == "only_writer_region");
        assert!(noted, "{:?}", run.events);
    });
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
            .begin(&request, &"first".into())
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
            .begin(&real, &"first".into())
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
            let mut plan = planner
                .begin(&world.request, &"first".into())
                .await
                .unwrap();
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
                    world.store.checkpoint(&run, &swept).await.unwrap();
                    // As its worker would.
                    let (block, place) = run.blocks(1).unwrap().place(*segment);
                    let sum = BlockSum::of(block, [(place, &swept)]);
                    assert!(world.store.add_to_sums(&run, &sum).await.unwrap());
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
                        cursor: Cursor::Exhausted,
                        lacking: Some(Cursor::After(key.clone())),
                    })
                    .collect(),
                samples: vec![key.clone(); 10],
                different: Some(Different {
                    items: u64::MAX,
                    samples: vec![key; Different::MOST_SAMPLES],
                }),
                lacking: Some(Lacking {
                    counts: (0..8).map(|i| (format!("{i:255}"), u64::MAX)).collect(),
                    ..Lacking::default()
                }),
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
        let plan = world.begin("first").await;
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

/// A run comes from one state into another only if that makes sense, and says so if it does not.
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
            assert!(
                refused.to_string().contains("has the state succeeded"),
                "{refused}"
            );
        }
        // Said twice, it holds once; and what is paused can still be given up.
        planner.begin(&world.request, &"me".into()).await.unwrap();
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
        assert!(
            refused.to_string().contains("has the state cancelled"),
            "{refused}"
        );
        let told = planner
            .runs
            .fail(&run_id, &"me".into(), Failure::caught("TooMany", ""))
            .await
            .unwrap();
        assert_eq!(told.error, "Stopped", "so the state machine ends well");
    });
}

/// A run id that belongs to another table is refused, also if that table is another one in identity.
#[test]
fn a_run_id_belongs_to_one_table() {
    in_virtual_time(async {
        let world = World::new(Faults::none(1), 10, r#","run_id":"r""#);
        world.begin("first").await;
        world.table.recreate();
        let other =
            Request::from_json(r#"{"table":"other","set":{"test":1},"run_id":"r"}"#).unwrap();
        let refused = world
            .planner()
            .begin(&other, &"second".into())
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::RunMismatch);
        assert!(refused.to_string().contains("stuff"), "{refused}");
        assert!(refused.to_string().contains("other"), "{refused}");
    });
}
