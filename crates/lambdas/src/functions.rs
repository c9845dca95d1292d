//! The three functions, and a program that is whichever of them it is deployed as.

use std::sync::{Arc, OnceLock};

use backfill_core::engine::planner::Planner;
use backfill_core::engine::verifier::{Verifier, VerifyRequest};
use backfill_core::engine::worker::{Chunk, LastPace, Worker};
use backfill_core::pace::Share;
use backfill_core::step_functions::Ask;
use backfill_dynamodb::{ReadOnly, ReadWrite};
use tokio_util::sync::CancellationToken;

use crate::serve::serve;

/// How a function ends: with an error if it cannot be served. Else Lambda ends its process.
pub type Ended = Result<(), lambda_runtime::Error>;

/// The planner function: starts and resumes runs, lists open segments, concludes passes, records failures, and says how long a run
/// that is held has to wait. It reads table descriptions, alarms, and a few items to see that they are no records of runs, and
/// writes run records; it cannot write to a target table.
pub fn planner() -> Ended {
    serve(async |setup, ask: Ask, _latest| {
        let planner = Planner::new(
            ReadOnly(setup.connection.clone()),
            setup.checkpoints.clone(),
        );
        planner.answer(ask).await
    })
}

/// The worker function: migrates one chunk of one segment. It is the only function that holds something that can write to a
/// table.
pub fn worker() -> Ended {
    // Once per process: it remembers which specs batches cannot write, and says so only once; and the pace that was found last. What
    // the worker itself remembers is forgotten with each chunk, since the next one may be of another run.
    let access = OnceLock::new();
    let last = Arc::new(LastPace::default());
    serve(async |setup, chunk: Chunk, latest| {
        let access = access.get_or_init(|| ReadWrite::new(setup.connection.clone()));
        let worker = Worker::new(access.clone(), setup.checkpoints.clone(), Share::OfWorker);
        worker
            .going_on_from(&last)
            .work(&chunk, Some(latest), &CancellationToken::new())
            .await
    })
}

/// The verifier function: counts what is still pending. It holds nothing that could write to a table.
pub fn verifier() -> Ended {
    serve(async |setup, request: VerifyRequest, latest| {
        let verifier = Verifier::new(
            ReadOnly(setup.connection.clone()),
            setup.checkpoints.clone(),
        );
        verifier
            .verify(request, Some(latest), &CancellationToken::new())
            .await
    })
}

/// A program that is each of the three functions, with the code that `register` registers: which one says the end of the name under
/// which Lambda has it, `-planner`, `-worker` or `-verifier`, as `template.yaml` names them.
///
/// Errors: those of `register`; a name that ends in none of these.
pub fn main_with(register: impl FnOnce() -> backfill_core::Result<()>) -> Ended {
    register().map_err(|error| error.report())?;
    let name = std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
    match name.rsplit('-').next() {
        Some("planner") => planner(),
        Some("worker") => worker(),
        Some("verifier") => verifier(),
        _ => Err(format!(
            "AWS_LAMBDA_FUNCTION_NAME: expected a name that ends in -planner, -worker or -verifier, got {name:?}"
        )
        .into()),
    }
}
