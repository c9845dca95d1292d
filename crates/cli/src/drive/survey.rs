//! A look at the table before a run. Reads only.

use backfill_core::survey::{Fact, Plan, Room, Surroundings, Warning, other_runs};
use backfill_core::table::TableDescription;
use backfill_core::view::cost::Prices;
use backfill_core::{Request, Result};
use backfill_dynamodb::{CheckpointTable, Connection, ReadOnly};
use backfill_rehearsal::trial::EmbeddedTrial;

use crate::drive::{others, owner};

/// The plan of a run, by so many sampled pages. `room` is set if it is to be a deployed run.
pub async fn plan(
    request: &Request,
    description: &TableDescription,
    connection: &Connection,
    checkpoints: &CheckpointTable,
    prices: &Prices,
    pages: u32,
    room: Option<Fact<Room>>,
) -> Result<Plan> {
    let with = Surroundings {
        access: &ReadOnly(connection.clone()),
        checkpoints,
        rehearsal: &EmbeddedTrial,
        owner: &owner::this_process(),
        prices,
        pages,
        room,
    };
    let (plan, others) = tokio::join!(
        Plan::make(request, description, &with),
        others::others(request, connection, checkpoints)
    );
    let mut plan = plan?;
    let amplification = plan.forecast.amplification;
    let warnings = other_runs(&others, &plan.settings, Some(&plan.table), amplification);
    // Behind what is said first of all.
    let is_first = |warning: &Warning| warning.code.starts_with("values_are_");
    let at = plan.warnings.iter().take_while(|w| is_first(w)).count();
    plan.warnings.splice(at..at, warnings);
    Ok(plan)
}
