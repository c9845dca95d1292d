//! `backfill resume`: continues a paused or failed run.

use backfill_core::Result;
use clap::Args;

use crate::args::{OneRunArgs, PriceArgs};
use crate::drive::deployed::Deployed;
use crate::drive::executions::{Executions, machine_of};
use crate::drive::{concurrency, here, records, steer};
use crate::ending::Ending;

#[derive(Args)]
pub struct ResumeArgs {
    /// Continue in this process, even if the run was one of AWS.
    #[arg(long)]
    local: bool,
    /// Show the run on the whole terminal, as `backfill watch` does.
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    of: OneRunArgs,
    #[command(flatten)]
    prices: PriceArgs,
}

/// Continues a run by another execution of its state machine if it was one of AWS, or else in this process. Ends as `start` and
/// `run` do.
pub async fn resume(args: ResumeArgs) -> Result<Ending> {
    let ResumeArgs {
        of,
        prices,
        local,
        watch,
    } = args;
    let prices = prices.read()?;
    let (connection, checkpoints) = of.open().await?;
    let record = records::record(&of.run_id, &checkpoints, &connection).await?;
    let request = steer::request_to_resume(&record, &checkpoints).await?;
    match machine_of(&record.owner) {
        Some(machine) if !local => {
            let executions = Executions::new(&connection);
            executions.drained(&record.owner).await;
            concurrency::warn(&request, &connection, &checkpoints, &machine).await;
            let deployed = Deployed {
                executions,
                machine,
                checkpoints,
                connection,
                prices,
                json: of.json,
                watch,
            };
            deployed.start_and_follow(request).await
        }
        _ => here::execute(&request, &connection, &checkpoints, &prices, of.json, watch).await,
    }
}
