//! `backfill verify`: the proof on its own. Only a reader is made here.

use std::collections::BTreeMap;

use backfill_core::engine::planner::describe;
use backfill_core::{Key, Result};
use backfill_dynamodb::ReadOnly;
use clap::Args;
use serde::Serialize;

use crate::args::{ConnectionArgs, SettingsArgs, SpecArgs};
use crate::drive::count::Counted;
use crate::drive::paths;
use crate::ending::Ending;
use crate::place;
use crate::show::print;

#[derive(Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    spec: SpecArgs,
    /// Scan segments, 1 to 1,000,000; default: by the size of the table.
    #[arg(long, value_name = "N")]
    segments: Option<u32>,
    /// Read capacity units per second, from 1 on; default: no limit.
    #[arg(long, value_name = "N")]
    max_rcu: Option<u32>,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Print the result as one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Verified {
    table: String,
    /// Items for which the predicate holds, by strongly consistent reads; null if it was stopped.
    remaining: Option<u64>,
    scanned: u64,
    /// Up to ten keys of such items.
    samples: Vec<Key>,
    /// Items that the predicate leaves out and that lack this attribute, which the update sets.
    lacking: BTreeMap<String, u64>,
    /// Items that have another value than their sources give now; null if that was not counted.
    different: Option<u64>,
    /// Up to five keys of such items.
    different_samples: Vec<Key>,
    consumed_rcu: f64,
    elapsed_seconds: f64,
}

/// Runs the command.
pub async fn verify(args: VerifyArgs) -> Result<Ending> {
    let settings = SettingsArgs::to_verify(args.segments, args.max_rcu);
    let request = args.spec.request(&settings)?;
    let connection = args.connection.open().await?;
    let access = ReadOnly(connection.clone());
    let description = describe(&access, &request).await?;
    paths::refuse_ambiguous(&request, &connection, &description).await?;
    let counted = Counted::new(&request, &access, &description).await?;
    say!("{}", counted.sentence(&request, &connection));
    let ending = counted.ending();
    if args.json {
        let (different, different_samples) = counted.different();
        print::json(&place::with(&Verified {
            remaining: counted.remaining(),
            table: request.spec.table,
            scanned: counted.verification.scanned,
            lacking: counted.verification.told_lacking(),
            different,
            different_samples,
            consumed_rcu: counted.verification.all_rcu(),
            samples: counted.verification.samples,
            elapsed_seconds: counted.elapsed_seconds,
        }));
    }
    Ok(ending)
}
