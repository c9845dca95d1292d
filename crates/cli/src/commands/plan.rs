//! `backfill plan`: what a run would do to a table, before it does. Reads only.

use std::path::PathBuf;

use backfill_core::engine::own_records::refuse_own_table;
use backfill_core::engine::planner::describe;
use backfill_core::survey::{DEFAULT_PAGES, KeptPlan, MAX_PAGES};
use backfill_core::{Error, Result, printable};
use backfill_dynamodb::{CheckpointTable, ReadOnly};
use clap::Args;

use crate::args::{ConnectionArgs, PriceArgs, SettingsArgs, SpecArgs, keep, stack_name};
use crate::drive::executions::checkpoint_table_of;
use crate::drive::{concurrency, left, paths, survey};
use crate::ending::Ending;
use crate::hint::CHECKPOINT_TABLE;
use crate::place;
use crate::show::lines;
use crate::show::plan::{Printed, Shown};
use crate::show::print;

#[derive(Args)]
pub struct PlanArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Pages to sample, each of at most 250 items, in random segments; 1 to 1,000.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_PAGES)]
    pages: u32,
    /// Stack that is to run it; the plan then says whether Lambda has room for its workers.
    #[arg(long, value_name = "NAME", value_parser = stack_name)]
    stack_name: Option<String>,
    /// Table that holds the checkpoints, to see whether the run is there already [default: backfill-checkpoints, or
    /// STACK-checkpoints].
    #[arg(long, value_name = "NAME")]
    checkpoint_table: Option<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    prices: PriceArgs,
    /// Keep the plan in this file, for `run --plan` and `start --plan`. It holds no item.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the plan as one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub async fn plan(args: PlanArgs) -> Result<Ending> {
    let request = args.spec.request(&args.settings)?;
    if !(1..=MAX_PAGES).contains(&args.pages) {
        let why = format!("expected 1 to {MAX_PAGES}, got {}", args.pages);
        return Err(Error::invalid("pages", why));
    }
    survey::read_update(&request.spec)?;
    let prices = args.prices.read()?;
    let connection = args.connection.open().await?;
    let description = describe(&ReadOnly(connection.clone()), &request).await?;
    paths::refuse_ambiguous(&request, &connection, &description).await?;
    let stack = args.stack_name.as_deref();
    let checkpoint_table = match (args.checkpoint_table, stack) {
        (Some(name), _) => name,
        (None, Some(stack)) => checkpoint_table_of(stack),
        (None, None) => CHECKPOINT_TABLE.to_owned(),
    };
    let checkpoints = CheckpointTable::new(&connection, &checkpoint_table);
    refuse_own_table(&request, &checkpoints)?;
    let concurrency = match stack {
        Some(stack) => concurrency::look(&connection, stack).await,
        None => None,
    };
    let plan = survey::plan(
        &request,
        &description,
        &connection,
        &checkpoints,
        &prices,
        args.pages,
        concurrency,
    );
    let plan = plan.await?;
    if args.json {
        let left = left::find(&request, &connection, &description).await?;
        print::json(&place::with(&Printed::new(&plan, left)));
    } else {
        let shown = Shown {
            plan: &plan,
            place: &place::of(&connection),
            prices: &prices,
            width: lines::width(print::stdout_is_terminal()),
        };
        print::coloured_line(&shown.text())?;
        left::tell(&request, &connection, &description).await?;
    }
    if let Some(path) = &args.out {
        keep(&KeptPlan::new(&plan, &request.spec, &description), path)?;
        print::say(&format!("kept in {}", path.display()));
    }
    Ok(match &plan.objection {
        None => Ending::Succeeded,
        Some(why) => {
            print::say(&format!("as it is, do not run it: {}", printable(why)));
            Ending::Differs
        }
    })
}
