//! The worker function: one chunk of one segment.

use backfill_core::budget::Share;
use backfill_core::worker::{Chunk, Worker};
use backfill_dynamodb::ReadWrite;
use tokio_util::sync::CancellationToken;

fn main() -> Result<(), lambda_runtime::Error> {
    backfill_lambdas::serve(async |setup, chunk: Chunk, latest| {
        let worker = Worker::new(
            ReadWrite::new(setup.connection.clone()),
            setup.checkpoints.clone(),
            Share::OfWorker,
        );
        worker
            .work(&chunk, Some(latest), &CancellationToken::new())
            .await
    })
}
