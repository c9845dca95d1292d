//! `backfill table check`: a table held against a description of it.

use std::path::PathBuf;

use backfill_core::Result;
use backfill_rehearsal::check::Expected;
use clap::Args;

use crate::args::ConnectionArgs;
use crate::commands::table::definition::DefinitionArgs;
use crate::ending::Ending;
use crate::show::{print, words};

#[derive(Args)]
pub struct CheckArgs {
    /// The description: a file as for create. It may have MinItemCount, Alarms, and EventSourceMappings for the functions on the
    /// table's stream, which those of a template are as well.
    #[arg(long, value_name = "FILE")]
    expect: PathBuf,
    #[command(flatten)]
    definition: DefinitionArgs,
    /// The table, if it is not the one that the file names.
    #[arg(long)]
    table: Option<String>,
    /// Expect at least this many items.
    #[arg(long, value_name = "N")]
    min_items: Option<u64>,
    /// Most read capacity units for that count, per second, from 1 on; default: no limit.
    #[arg(long, value_name = "N")]
    max_rcu: Option<u32>,
    /// Print what differs as one JSON array on stdout.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Runs the command. It reads only.
pub async fn check(args: CheckArgs) -> Result<Ending> {
    let description = args
        .definition
        .read("expect", &args.expect, args.table.as_deref())?;
    let expected = Expected::new(description, args.min_items)?;
    let admin = args.connection.open_or_sandbox().await?;
    let differences = expected.differences(&admin, args.max_rcu).await?;
    if args.json {
        print::json(&differences);
    } else if !differences.is_empty() {
        print::line(&differences.join("\n"))?;
    }
    let (table, place) = (expected.table(), admin.connection().place());
    Ok(if differences.is_empty() {
        say!("table {table} {place} is as described");
        Ending::Succeeded
    } else {
        let n = differences.len() as u32;
        let differences = words::plural(n, "difference", "differences");
        say!("table {table} {place}: {differences}");
        Ending::Differs
    })
}
