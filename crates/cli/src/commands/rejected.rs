//! `backfill rejected`: the items that DynamoDB refused for good, and another try at them.

use backfill_core::engine::planner::describe;
use backfill_core::engine::rejected::{Retried, retry_rejected};
use backfill_core::records::{Rejected, RunRecord, RunStatus};
use backfill_core::request::RequestedSettings;
use backfill_core::{Error, Request, Result};
use backfill_dynamodb::{Connection, ReadOnly, ReadWrite};
use clap::Args;
use serde::Serialize;

use crate::args::OneRunArgs;
use crate::drive::records;
use crate::ending::Ending;
use crate::show::{print, words};

#[derive(Args)]
pub struct RejectedArgs {
    /// Try the update on these items again, and on no others.
    #[arg(long)]
    retry: bool,
    #[command(flatten)]
    of: OneRunArgs,
}

/// What `--json` prints.
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
    let run = records::record(&args.of.run_id, &checkpoints, &connection).await?;
    let mut items = records::rejected(&run, &checkpoints).await?;
    items.sort_by(|a, b| (a.segment, &a.key).cmp(&(b.segment, &b.key)));
    let retried = if args.retry && !items.is_empty() {
        refuse_another_table(&run, &connection).await?;
        let access = ReadWrite::new(connection.clone());
        let retried = match retry_rejected(&access, &checkpoints, &run, items).await {
            Ok(retried) => retried,
            // Some may have been updated: each is recorded, and the rest can be tried again.
            Err(error) => {
                print::error(&error);
                return Ok(Ending::Failed);
            }
        };
        items = retried.rejected.clone();
        Some(retried)
    } else {
        None
    };
    if args.of.json {
        print::json(&Listed {
            run_id: &run.run_id,
            table: &run.spec.table,
            pass: run.pass,
            retried: retried.as_ref(),
            rejected: &items,
        });
    } else {
        for item in &items {
            print::line(&format!("{}  {}", item.key, item.reason))?;
        }
    }
    let mended = run.status == RunStatus::Succeeded;
    say!("{}", text(&run, retried.as_ref(), &items));
    Ok(if items.is_empty() || mended {
        Ending::Succeeded
    } else {
        Ending::ItemsRemain
    })
}

/// Refuses a table that has other items under the same name.
async fn refuse_another_table(run: &RunRecord, connection: &Connection) -> Result<()> {
    let request = Request {
        spec: run.spec.clone(),
        settings: RequestedSettings::default(),
    };
    let description = describe(&ReadOnly(connection.clone()), &request).await?;
    if description.identity == run.table_identity {
        return Ok(());
    }
    Err(Error::invalid(
        "run-id",
        format!(
            "table {} was created anew since run {}",
            run.spec.table, run.run_id
        ),
    ))
}

/// How many items are rejected, and what came of another try.
fn text(run: &RunRecord, retried: Option<&Retried>, items: &[Rejected]) -> String {
    let mut lines = Vec::new();
    if let Some(retried) = retried {
        lines.push(format!(
            "tried again: {} updated, {} raced, {} vanished, {} rejected",
            retried.updated,
            retried.raced,
            retried.vanished,
            retried.rejected.len()
        ));
    }
    lines.push(format!(
        "{} of table {} rejected in pass {} of run {}",
        words::plural(items.len() as u32, "item", "items"),
        run.spec.table,
        run.pass,
        run.run_id
    ));
    if run.status == RunStatus::Succeeded && !items.is_empty() {
        lines.push("the run has succeeded since: they have the attribute, or are gone".into());
    }
    lines.join("\n")
}
