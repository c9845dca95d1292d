//! The four functions, and a program that is whichever of them it is deployed as.

use std::sync::{Arc, OnceLock};

use backfill_core::engine::planner::Planner;
use backfill_core::engine::verifier::{Verifier, VerifyRequest};
use backfill_core::engine::worker::{Chunk, LastPace, Worker};
use backfill_core::pace::Share;
use backfill_core::step_functions::Ask;
use backfill_dynamodb::{ReadOnly, ReadWrite};
use tokio_util::sync::CancellationToken;

use crate::guard::{GuardEvent, Watch};
use crate::serve::serve;

/// How a function ends: with an error if it cannot be served. Else Lambda ends its process.
pub type Ended = Result<(), lambda_runtime::Error>;

/// The planner function: starts and resumes runs, lists open segments, concludes passes, records failures, and says how long a run
/// that is held has to wait. It reads table descriptions, alarms, and a few items to see that they are no records of runs, and
/// writes run records; it cannot write to a target table.
pub fn planner() -> Ended {
    serve(async |setup, ask: Ask, _invocation| {
        let planner = Planner::new(
            ReadOnly(setup.connection.clone()),
            setup.checkpoints.clone(),
        );
        planner.answer(ask).await
    })
}

/// The worker function: migrates one chunk of one segment. It and the guard are the only functions that hold something that can write
/// to a table.
pub fn worker() -> Ended {
    // Once per process: it remembers which specs batches cannot write, and says so only once; and the pace that was found last. What
    // the worker itself remembers is forgotten with each chunk, since the next one may be of another run.
    let access = OnceLock::new();
    let last = Arc::new(LastPace::default());
    serve(async |setup, chunk: Chunk, invocation| {
        let access = access.get_or_init(|| ReadWrite::new(setup.connection.clone()));
        let worker = Worker::new(access.clone(), setup.checkpoints.clone(), Share::OfWorker);
        worker
            .going_on_from(&last)
            .work(&chunk, Some(invocation.latest), &CancellationToken::new())
            .await
    })
}

/// The verifier function: counts what is still pending. It holds nothing that could write to a table.
pub fn verifier() -> Ended {
    serve(async |setup, request: VerifyRequest, invocation| {
        let verifier = Verifier::new(
            ReadOnly(setup.connection.clone()),
            setup.checkpoints.clone(),
        );
        verifier
            .verify(request, Some(invocation.latest), &CancellationToken::new())
            .await
    })
}

/// The guard function: repairs items that somebody writes in the old shape, as the stream of the table `TABLE_NAME` tells of them.
pub fn guard() -> Ended {
    let table = std::env::var("TABLE_NAME").unwrap_or_default();
    if table.is_empty() {
        return Err(
            "TABLE_NAME: expected the name of the guarded table in this environment variable"
                .into(),
        );
    }
    // Once per process, as for a worker.
    let access = OnceLock::new();
    serve(async |setup, event: GuardEvent, invocation| {
        let access = access.get_or_init(|| ReadWrite::new(setup.connection.clone()));
        let watch = Watch::new(&setup, access, &table, invocation);
        watch.answer(event).await
    })
}

/// A program that is each of the four functions, with the code that `register` registers: which one says the end of the name under
/// which Lambda has it, `-planner`, `-worker`, `-verifier` or `-guard`, as `template.yaml` names them.
///
/// Errors: those of `register`; a name that ends in none of these.
pub fn main_with(register: impl FnOnce() -> backfill_core::Result<()>) -> Ended {
    register().map_err(|error| error.report())?;
    let name = std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
    match name.rsplit('-').next() {
        Some("planner") => planner(),
        Some("worker") => worker(),
        Some("verifier") => verifier(),
        Some("guard") => guard(),
        _ => Err(format!(
            "AWS_LAMBDA_FUNCTION_NAME: expected a name that ends in -planner, -worker, -verifier or -guard, got {name:?}"
        )
        .into()),
    }
}
