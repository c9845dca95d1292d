//! The worker function: migrates one chunk of one segment. It is the only function that holds something that can write to a
//! table.

use std::sync::OnceLock;

use backfill_core::engine::worker::{Chunk, Worker};
use backfill_core::pace::Share;
use backfill_dynamodb::ReadWrite;
use tokio_util::sync::CancellationToken;

fn main() -> Result<(), lambda_runtime::Error> {
    // Once per process: it remembers which specs batches cannot write, and says so only once. What the worker itself remembers is
    // forgotten with each chunk, since the next one may be of another run.
    let access = OnceLock::new();
    backfill_lambdas::serve(async |setup, chunk: Chunk, latest| {
        let access = access.get_or_init(|| ReadWrite::new(setup.connection.clone()));
        let worker = Worker::new(access.clone(), setup.checkpoints.clone(), Share::OfWorker);
        worker
            .work(&chunk, Some(latest), &CancellationToken::new())
            .await
    })
}
