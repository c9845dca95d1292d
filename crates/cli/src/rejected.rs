//! `backfill rejected`: the items that DynamoDB refused for good, and another try at them.

use backfill_core::checkpoint::{Rejected, RunStatus};
use backfill_core::planner::describe;
use backfill_core::ports::CheckpointReader as _;
use backfill_core::rejected::{Retried, retry_rejected};
use backfill_core::request::{RequestedSettings, check_run_id};
use backfill_core::retry::{PATIENCE, Until, retry};
use backfill_core::{Error, Request, Result};
use backfill_dynamodb::{CheckpointTable, ReadOnly, ReadWrite};
use clap::Args;
use serde::Serialize;

use crate::args::{CHECKPOINT_TABLE, ConnectionArgs};
use crate::{Ending, display};

#[derive(Args)]
pub struct RejectedArgs {
    /// Which run; its current or last pass.
    #[arg(long, value_name = "ID")]
    run_id: String,
    /// Try the update on these items again, and on no others.
    #[arg(long)]
    retry: bool,
    /// Table that holds the checkpoints.
    #[arg(long, value_name = "NAME", default_value = CHECKPOINT_TABLE)]
    checkpoint_table: String,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Print the items, or what came of them, as one JSON object on stdout.
    #[arg(long)]
    json: bool,
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
    check_run_id(&args.run_id)?;
    let connection = args.connection.open().await?;
    let checkpoints = CheckpointTable::new(&connection, &args.checkpoint_table);
    let until = Until::after(PATIENCE);
    let run = retry(&until, || checkpoints.run(&args.run_id)).await?;
    let run = run.ok_or_else(|| {
        Error::invalid(
            "run-id",
            format!(
                "checkpoint table {} {} has no run {}",
                args.checkpoint_table,
                connection.place(),
                args.run_id
            ),
        )
    })?;
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
    if args.json {
        display::json(&Listed {
            run_id: &run.run_id,
            table: &run.spec.table,
            pass: run.pass,
            retried: retried.as_ref(),
            rejected: &items,
        });
    } else {
        for item in &items {
            println!("{}  {}", item.key, item.reason);
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
