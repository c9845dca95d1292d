//! The verifier function: counts what is still pending. It holds nothing that could write to a table.

use backfill_core::engine::verifier::{Verifier, VerifyRequest};
use backfill_dynamodb::ReadOnly;
use tokio_util::sync::CancellationToken;

fn main() -> Result<(), lambda_runtime::Error> {
    backfill_lambdas::serve(async |setup, request: VerifyRequest, latest| {
        let verifier = Verifier::new(
            ReadOnly(setup.connection.clone()),
            setup.checkpoints.clone(),
        );
        verifier
            .verify(request, Some(latest), &CancellationToken::new())
            .await
    })
}
