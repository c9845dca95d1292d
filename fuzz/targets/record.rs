//! What is stored and what travels between the states: events and records, whole or damaged, are refused in a clear sentence
//! or mean what they say.
#![no_main]

use std::time::Duration;

use backfill_core::Result;
use backfill_core::engine::conclusion::Conclusion;
use backfill_core::engine::runs::{Failure, Round};
use backfill_core::engine::verifier::{CountSum, Verification, VerifyRequest, count};
use backfill_core::engine::worker::{Chunk, ChunkReport};
use backfill_core::pace::retry::Until;
use backfill_core::pace::{Budget, Share};
use backfill_core::ports::{LackingPage, Page, PageRequest, TableReader};
use backfill_core::records::{Counters, Proof, Rejected, RunRecord, SegmentRecord};
use backfill_core::request::Settings;
use backfill_core::request::parse_strictly;
use backfill_core::step_functions::Ask;
use backfill_fuzz::{assert_is_a_clear_sentence, json};
use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;

fuzz_target!(|text: &str| {
    round_trip::<Ask>(text);
    round_trip::<Chunk>(text);
    round_trip::<ChunkReport>(text);
    round_trip::<Round>(text);
    round_trip::<Conclusion>(text);
    round_trip::<Failure>(text);
    round_trip::<SegmentRecord>(text);
    round_trip::<Counters>(text);
    round_trip::<Rejected>(text);
    round_trip::<Settings>(text);
    round_trip::<Proof>(text);
    if let Some(run) = round_trip::<RunRecord>(text) {
        run.passes();
        if let Err(refusal) = run.check() {
            assert_is_a_clear_sentence(&refusal.report());
        }
        run.spec.describe();
        let _ = run.change();
    }
    round_trip::<Verification>(text);
    if let Some(request) = round_trip::<VerifyRequest>(text) {
        go_on_with(request.verification);
    }

    let failure = Failure::caught("States.TaskFailed", text);
    assert_eq!(failure.error, "States.TaskFailed");
    let sentence = match serde_json::from_str::<serde_json::Value>(text) {
        Ok(cause) => cause["errorMessage"].as_str().map(str::to_owned),
        Err(_) => None,
    };
    if failure.message != text || !json::has_repeated_keys(text) {
        // A cause that says its sentence twice is shown as it is.
        assert_eq!(failure.message, sentence.unwrap_or_else(|| text.to_owned()));
    }
});

/// Checks that what is accepted is written as it was read.
fn round_trip<T: DeserializeOwned + Serialize>(text: &str) -> Option<T> {
    let value: T = match parse_strictly(text, "event") {
        Ok(value) => value,
        Err(refusal) => {
            assert!(refusal.kind().is_refusal());
            assert_is_a_clear_sentence(&refusal.report());
            return None;
        }
    };
    let written = serde_json::to_string(&value).unwrap();
    let again: T = parse_strictly(&written, "event").unwrap();
    assert!(
        json::same(
            &serde_json::to_value(&value).unwrap(),
            &serde_json::to_value(&again).unwrap()
        ),
        "{written}"
    );
    Some(value)
}

/// A table with one item in every segment, which is pending.
struct Pending;

impl TableReader for Pending {
    async fn page(&self, request: PageRequest<'_>) -> Result<Page> {
        assert!(request.segment < request.total_segments);
        Ok(Page {
            different: Vec::new(),
            passed_over: 0,
            pending: vec![backfill_core::Key([].into()).into()],
            scanned: 1,
            next: None,
            consumed_rcu: 1.0,
        })
    }

    async fn lacking(&self, request: PageRequest<'_>) -> Result<LackingPage> {
        assert!(request.segment < request.total_segments);
        Ok(LackingPage {
            lacking: vec![1],
            scanned: 1,
            next: None,
            consumed_rcu: 0.5,
        })
    }
}

/// Checks that a verification from an event is refused, or brought to its end.
fn go_on_with(verification: Verification) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let budget = Budget::new(Share::Whole);
    let end = runtime.block_on(async {
        let until = Until::after(Duration::from_secs(60));
        {
            let sum = CountSum::from(&verification);
            count(&Pending, None, verification, &budget, &until, &sum).await
        }
    });
    match end {
        Ok(end) => {
            let different = end.told_different().map_or(0, |found| found.samples.len());
            assert!(end.done && end.samples.len() <= 10 && different <= 5);
        }
        Err(refusal) => assert_is_a_clear_sentence(&refusal.report()),
    }
}
