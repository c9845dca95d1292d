//! `backfill rejected`: the items that could not be updated, and another try at them.

use backfill_core::engine::planner::describe;
use backfill_core::engine::rejected::{RETRY_CONTENDED, Retried};
use backfill_core::engine::steering::RateChange;
use backfill_core::records::{Rejected, RunRecord, RunStatus};
use backfill_core::request::RequestedSettings;
use backfill_core::view::cost::Prices;
use backfill_core::{Error, ErrorKind, Request, Result};
use backfill_dynamodb::{CheckpointTable, Connection, ReadOnly};
use clap::Args;
use serde::Serialize;

use crate::args::OneRunArgs;
use crate::budget;
use crate::drive::{here, records};
use crate::ending::Ending;
use crate::place;
use crate::show::{print, summary, words};

#[derive(Args)]
pub struct RejectedArgs {
    /// Try the update on these items again, and on no others.
    #[arg(long)]
    retry: bool,
    /// Write capacity units per second for the run from now on, or none.
    #[arg(long, value_name = "N|none", requires = "retry")]
    max_wcu: Option<String>,
    /// Read capacity units per second for the run from now on, or none.
    #[arg(long, value_name = "N|none", requires = "retry")]
    max_rcu: Option<String>,
    #[command(flatten)]
    of: OneRunArgs,
}

impl RejectedArgs {
    fn rate(&self) -> Result<RateChange> {
        budget::rate(self.max_wcu.as_deref(), self.max_rcu.as_deref())
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Listed<'a> {
    run_id: &'a str,
    table: &'a str,
    pass: u32,
    /// How the run stands, after trying them again if so asked.
    status: RunStatus,
    /// Items still pending by a strongly consistent count; null if there is none since.
    remaining: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retried: Option<&'a Retried>,
    /// The items that are rejected, after trying them again if so asked.
    rejected: &'a [Rejected],
}

/// Runs the command. Without `--retry` it reads only.
pub async fn rejected(args: RejectedArgs) -> Result<Ending> {
    let (connection, checkpoints) = args.of.open().await?;
    let rate = args.rate()?;
    let prices = Prices::default();
    let mut records = records::snapshot(&args.of.run_id, &checkpoints, &connection).await?;
    let mut items = listed(&records.run, &checkpoints).await?;
    // One that is incomplete for no other reason can be verified.
    let is_worth_it = !items.is_empty() || records.run.status == RunStatus::Incomplete;
    let mut tried = None;
    if args.retry && is_worth_it {
        refuse_another_table(&records.run, &connection).await?;
        let retried = here::retry_rejected(&records.run, rate, &connection, &checkpoints).await;
        if let Err(error) = &retried {
            if error.kind().is_refusal() {
                return retried.map(|_| Ending::Failed);
            }
            // Some may have been updated: each is recorded, and the rest can be tried again.
            print::error(error);
        }
        records = records::snapshot(&args.of.run_id, &checkpoints, &connection).await?;
        items = listed(&records.run, &checkpoints).await?;
        tried = Some(retried);
    }
    let retried = match &tried {
        Some(Ok(retried)) => retried.as_ref(),
        _ => None,
    };
    let (run, summary) = (&records.run, records.summary(&prices));
    if args.of.json {
        print::json(&place::with(&Listed {
            run_id: &run.run_id,
            table: &run.spec.table,
            pass: run.pass,
            status: run.status,
            remaining: summary.remaining,
            retried,
            rejected: &items,
        }));
    } else {
        for item in &items {
            print::line(&format!("{}  {}", item.key, item.reason))?;
        }
    }
    say!("{}", text(run, retried, &items, &place::of(&connection)));
    if retried.is_some() {
        say!(
            "{}",
            summary::text(run, &summary, &prices, checkpoints.name())
        );
    }
    let is_unproven = args.retry && items.is_empty() && !run.status.is_finished();
    if is_unproven && !matches!(tried, Some(Err(_) | Ok(None))) {
        say!("{}", unproven(run));
    }
    Ok(ending(&tried, run, items.is_empty(), is_unproven))
}

/// What the command ends with, if the rejected items were `tried` again or not, none of them is left or some are, and nobody has
/// counted since or somebody has.
fn ending(
    tried: &Option<Result<Option<Retried>>>,
    run: &RunRecord,
    none_is_left: bool,
    is_unproven: bool,
) -> Ending {
    let mended = run.status == RunStatus::Succeeded;
    match tried {
        Some(Err(error)) if error.kind() == ErrorKind::Held => Ending::Stopped,
        Some(Err(_)) => Ending::Failed,
        Some(Ok(None)) => Ending::Stopped,
        Some(Ok(Some(_))) if run.status == RunStatus::Incomplete => Ending::ItemsRemain,
        _ if is_unproven && run.status == RunStatus::Failed => Ending::Failed,
        _ if is_unproven => Ending::Stopped,
        _ if none_is_left || mended => Ending::Succeeded,
        _ => Ending::ItemsRemain,
    }
}

/// That a run of which no item is rejected any more is not verified for all that, and what to do.
fn unproven(run: &RunRecord) -> String {
    let (run_id, status) = (&run.run_id, run.status.name());
    let go_on = match run.status {
        RunStatus::Running => "when it goes on to its end, it is",
        _ => "start it again: it goes on, and ends with the count",
    };
    format!(
        "no item of run {run_id} is rejected any more, but the run is {status} and not verified; {go_on}"
    )
}

/// The rejected items of a run, in order.
async fn listed(run: &RunRecord, checkpoints: &CheckpointTable) -> Result<Vec<Rejected>> {
    let mut items = records::rejected(run, checkpoints).await?;
    items.sort_by(|a, b| (a.segment, &a.key).cmp(&(b.segment, &b.key)));
    Ok(items)
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
fn text(run: &RunRecord, retried: Option<&Retried>, items: &[Rejected], place: &str) -> String {
    let mut lines = Vec::new();
    if let Some(retried) = retried {
        let contended = match retried.contended {
            0 => String::new(),
            contended => format!(", {contended} contended; {RETRY_CONTENDED}"),
        };
        lines.push(format!(
            "tried again: {} updated, {} raced, {} vanished, {} rejected{contended}",
            retried.updated,
            retried.raced,
            retried.vanished,
            retried.rejected.len()
        ));
    }
    lines.push(format!(
        "{} of table {} {place} rejected in pass {} of run {}",
        words::plural(items.len() as u32, "item", "items"),
        run.spec.table,
        run.pass,
        run.run_id
    ));
    if run.status == RunStatus::Succeeded && !items.is_empty() {
        lines.push("the run has succeeded since: they are pending no more".into());
    }
    lines.join("\n")
}
