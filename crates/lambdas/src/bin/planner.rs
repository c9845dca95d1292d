//! The planner function: starts and resumes runs, lists open segments, concludes passes, records failures, and says how long a run
//! that is held has to wait. It reads table descriptions, alarms, and a few items to see that they are no records of runs, and
//! writes run records; it cannot write to a target table.

use backfill_core::engine::planner::Planner;
use backfill_core::step_functions::Ask;
use backfill_dynamodb::ReadOnly;

fn main() -> Result<(), lambda_runtime::Error> {
    backfill_lambdas::serve(async |setup, ask: Ask, _latest| {
        let planner = Planner::new(
            ReadOnly(setup.connection.clone()),
            setup.checkpoints.clone(),
        );
        planner.answer(ask).await
    })
}
