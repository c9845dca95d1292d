//! `backfill runs`: which runs there are, each at a glance.

use std::io::{IsTerminal as _, stdin};

use backfill_core::Result;
use backfill_dynamodb::{CheckpointTable, Connection};
use clap::Args;
use serde::Serialize;

use crate::args::ConnectionArgs;
use crate::drive::runs::Lookout;
use crate::drive::signals;
use crate::drive::watch::{look_on, poll_every};
use crate::ending::Ending;
use crate::hint::CHECKPOINT_TABLE;
use crate::place;
use crate::show::runs::{Lines, Printed, RunLine};
use crate::show::watch::{Choice, RunList};
use crate::show::{lines, print, words};

#[derive(Args)]
pub struct RunsArgs {
    /// Table that holds the checkpoints.
    #[arg(long, value_name = "NAME", default_value = CHECKPOINT_TABLE)]
    checkpoint_table: String,
    /// Read the whole checkpoint table, slowly: finds runs of earlier versions, too.
    #[arg(long)]
    all: bool,
    /// Print the runs as one JSON object on stdout.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Runs<'a> {
    checkpoint_table: &'a str,
    /// The latest started first.
    runs: Vec<Printed<'a>>,
}

/// Runs the command.
pub async fn runs(args: RunsArgs) -> Result<Ending> {
    let connection = args.connection.open().await?;
    let checkpoints = CheckpointTable::new(&connection, &args.checkpoint_table);
    let mut lookout = Lookout::new(&connection, &checkpoints, args.all);
    let mut runs = lookout.look().await?;
    let is_terminal = stdin().is_terminal() && print::stdout_is_terminal() && print::is_terminal();
    if is_terminal && !args.json && !runs.is_empty() {
        runs = choose(&mut lookout, runs, &connection, &checkpoints).await?;
    }
    if args.json {
        print::json(&place::with(&Runs {
            checkpoint_table: checkpoints.name(),
            runs: runs.iter().map(Printed::from).collect(),
        }));
    } else {
        print_table(&runs, &checkpoints, &place::of(&connection))?;
    }
    Ok(Ending::Succeeded)
}

/// Shows the runs on the whole terminal, kept fresh, and watches those that are chosen. Returns them as they were shown last.
async fn choose(
    lookout: &mut Lookout,
    mut runs: Vec<RunLine>,
    connection: &Connection,
    checkpoints: &CheckpointTable,
) -> Result<Vec<RunLine>> {
    let stop = signals::stop_on_signal("stopped looking");
    let place = format!("in {} {}", checkpoints.name(), connection.place());
    let mut chosen: Option<String> = None;
    while let Some(mut list) = RunList::open(&place, &runs, chosen.as_deref()) {
        let choice = loop {
            let look = async {
                tokio::time::sleep(poll_every(connection) * 2).await;
                lookout.look().await
            };
            tokio::select! {
                () = stop.cancelled() => break Choice::Leave,
                choice = list.choice() => break choice,
                looked = look => match looked {
                    Ok(looked) => {
                        runs = looked;
                        list.take(runs.clone());
                    }
                    Err(error) => list.failed(&error),
                },
            }
        };
        drop(list);
        let Choice::Watch(run_id) = choice else {
            break;
        };
        // To leave the run is to come back to the list.
        look_on(connection, checkpoints, &run_id, stop.child_token()).await?;
        chosen = Some(run_id);
    }
    Ok(runs)
}

fn print_table(runs: &[RunLine], checkpoints: &CheckpointTable, place: &str) -> Result<()> {
    if runs.is_empty() {
        print::say(&format!(
            "checkpoint table {} {place} has no run yet",
            checkpoints.name()
        ));
    } else {
        let width = lines::width(print::stdout_is_terminal());
        print::line(&Lines::of(runs).text(width))?;
        let count = words::plural(runs.len() as u32, "run", "runs");
        say!("{count} in checkpoint table {} {place}", checkpoints.name());
    }
    Ok(())
}
