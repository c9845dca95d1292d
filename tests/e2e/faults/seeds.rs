//! Random faults: every promise holds under each seed.

use std::sync::Arc;
use std::time::Instant;

use backfill_e2e::wire::Faults;

use crate::trial::{CHECKPOINTS, Trial, for_seeds};

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
