//! The worker function: migrates one chunk of one segment. It is the only function that holds something that can write to a
//! table.

use std::sync::{Arc, OnceLock};

use backfill_core::engine::worker::{Chunk, LastPace, Worker};
use backfill_core::pace::Share;
use backfill_dynamodb::ReadWrite;
use tokio_util::sync::CancellationToken;

fn main() -> Result<(), lambda_runtime::Error> {
    // Once per process: it remembers which specs batches cannot write, and says so only once; and the pace that was found last. What
    // the worker itself remembers is forgotten with each chunk, since the next one may be of another run.
    let access = OnceLock::new();
    let last = Arc::new(LastPace::default());
    backfill_lambdas::serve(async |setup, chunk: Chunk, latest| {
        let access = access.get_or_init(|| ReadWrite::new(setup.connection.clone()));
        let worker = Worker::new(access.clone(), setup.checkpoints.clone(), Share::OfWorker);
        worker
            .going_on_from(&last)
            .work(&chunk, Some(latest), &CancellationToken::new())
            .await
    })
}
