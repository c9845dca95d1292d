//! `backfill rejected`: the items that DynamoDB refused for good, and another try at them.

use backfill_core::engine::planner::describe;
use backfill_core::engine::rejected::{Retried, retry_rejected};
use backfill_core::pace::retry::{PATIENCE, Until, retry};
use backfill_core::ports::CheckpointReader as _;
use backfill_core::records::{Rejected, RunStatus};
use backfill_core::request::RequestedSettings;
use backfill_core::{Error, Request, Result};
use backfill_dynamodb::{ReadOnly, ReadWrite};
use clap::Args;
use serde::Serialize;

use crate::args::OneRunArgs;
use crate::{Ending, display};

#[derive(Args)]
pub struct RejectedArgs {
    /// Try the update on these items again, and on no others.
    #[arg(long)]
    retry: bool,
    #[command(flatten)]
    of: OneRunArgs,
}

#[derive(Serialize)]
struct Listed<'a> {
    run_id: &'a str,
    table: &'a str,
    pass: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    retried: Option<&'a Retried>,
    /// The items that are rejected, after trying them again if so asked.
    rejected: &'a [Rejected],
}

/// Runs the command. Without `--retry` it reads only.
pub async fn rejected(args: RejectedArgs) -> Result<Ending> {
    let (connection, checkpoints) = args.of.open().await?;
    let run = args.of.record(&connection, &checkpoints).await?;
    let until = Until::after(PATIENCE);
    let mut items = retry(&until, || checkpoints.rejected(&run.run_id, run.pass)).await?;
    items.sort_by(|a, b| (a.segment, &a.key).cmp(&(b.segment, &b.key)));
    let retried = if args.retry && !items.is_empty() {
        // Another table of the same name has other items.
        let request = Request {
            spec: run.spec.clone(),
            settings: RequestedSettings::default(),
        };
        let description = describe(&ReadOnly(connection.clone()), &request).await?;
        if description.identity != run.table_identity {
            return Err(Error::invalid(
                "run-id",
                format!(
                    "table {} was created anew since run {}",
                    run.spec.table, run.run_id
                ),
            ));
        }
        let access = ReadWrite::new(connection.clone());
        let retried = match retry_rejected(&access, &checkpoints, &run, items).await {
            Ok(retried) => retried,
            // Some may have been updated: each is recorded, and the rest can be tried again.
            Err(error) => {
                display::error(&error);
                return Ok(Ending::Failed);
            }
        };
        items = retried.rejected.clone();
        Some(retried)
    } else {
        None
    };
    if args.of.json {
        display::json(&Listed {
            run_id: &run.run_id,
            table: &run.spec.table,
            pass: run.pass,
            retried: retried.as_ref(),
            rejected: &items,
        });
    } else {
        for item in &items {
            display::line(&format!("{}  {}", item.key, item.reason))?;
        }
    }
    if let Some(retried) = &retried {
        eprintln!(
            "tried again: {} updated, {} raced, {} vanished, {} rejected",
            retried.updated,
            retried.raced,
            retried.vanished,
            retried.rejected.len()
        );
    }
    eprintln!(
        "{} of table {} rejected in pass {} of run {}",
        display::plural(items.len() as u32, "item", "items"),
        run.spec.table,
        run.pass,
        run.run_id
    );
    let mended = run.status == RunStatus::Succeeded;
    if mended && !items.is_empty() {
        eprintln!("the run has succeeded since: they have the attribute, or are gone");
    }
    Ok(if items.is_empty() || mended {
        Ending::Succeeded
    } else {
        Ending::ItemsRemain
    })
}
