//! `backfill verify`: the proof on its own. Only a reader of the table is made here; the count is kept with the guard of the table, if it
//! has one.

use std::collections::BTreeMap;

use backfill_core::engine::planner::describe;
use backfill_core::engine::verifier::Draw;
use backfill_core::{Error, Key, Request, Result};
use backfill_dynamodb::{CheckpointTable, ReadOnly};
use clap::Args;
use serde::Serialize;

use crate::args::{ConnectionArgs, SettingsArgs, SpecArgs};
use crate::drive::count::Counted;
use crate::drive::sampled::Sampled;
use crate::drive::{guard, paths};
use crate::ending::Ending;
use crate::hint::CHECKPOINT_TABLE;
use crate::place;
use crate::show::guard::status::{ClaimFields, claim_text};
use crate::show::print;

#[derive(Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    spec: SpecArgs,
    /// Scan segments, 1 to 1,000,000; default: by the size of the table.
    #[arg(long, value_name = "N")]
    segments: Option<u32>,
    /// Count about this part of the table, 0.01% to 50%, drawn at random: an estimate, no proof.
    #[arg(long, value_name = "PERCENT", conflicts_with = "segments")]
    sample: Option<String>,
    /// Draw the sample by this number, which an earlier one has told; default: a random one.
    #[arg(long, value_name = "N", requires = "sample")]
    seed: Option<u32>,
    /// Read capacity units per second, from 1 on; default: no limit.
    #[arg(long, value_name = "N")]
    max_rcu: Option<u32>,
    /// Table that holds the records of the table's guard, if it has one.
    #[arg(long, value_name = "NAME", default_value = CHECKPOINT_TABLE)]
    checkpoint_table: String,
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Print the result as one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Default, Serialize)]
struct Verified {
    table: String,
    /// Items for which the predicate holds, by strongly consistent reads; null if it was stopped, and of a sample.
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
    #[serde(flatten)]
    of_sample: OfSample,
    #[serde(flatten)]
    claim: ClaimFields,
    consumed_rcu: f64,
    elapsed_seconds: f64,
}

/// What of it is of a sample. Null if the whole table was counted; the last five as well if the count was stopped.
#[derive(Default, Serialize)]
struct OfSample {
    /// The part of the table that was asked for, 0 to 1.
    sampled: Option<f64>,
    /// By which it was drawn.
    seed: Option<u64>,
    segments_drawn: Option<usize>,
    total_segments: Option<u32>,
    /// Items of the table, by the sample.
    items: Option<u64>,
    /// Pending items of the table, by the sample.
    estimate: Option<u64>,
    /// The interval of that with 95 % confidence.
    at_least: Option<u64>,
    at_most: Option<u64>,
    /// Items of the largest segment that was read: of pending items of one partition key beyond that it knows nothing.
    most_of_one: Option<u64>,
}

impl OfSample {
    fn new(sampled: &Sampled) -> OfSample {
        let (draw, found) = (&sampled.draw, sampled.estimate);
        OfSample {
            sampled: Some(draw.part),
            seed: Some(draw.seed),
            segments_drawn: Some(draw.segments.len()),
            total_segments: Some(draw.total_segments),
            items: found.map(|found| found.items),
            estimate: found.map(|found| found.estimate),
            at_least: found.map(|found| found.at_least),
            at_most: found.map(|found| found.at_most),
            most_of_one: found.map(|found| found.most_of_one),
        }
    }
}

/// Runs the command.
pub async fn verify(args: VerifyArgs) -> Result<Ending> {
    let part = args.sample.as_deref().map(Draw::part).transpose();
    let part = part.map_err(|error| Error::new(error.kind(), format!("--{error}")))?;
    let settings = SettingsArgs::to_verify(args.segments, args.max_rcu);
    let request = args.spec.request(&settings)?;
    let connection = args.connection.open().await?;
    let access = ReadOnly(connection.clone());
    let description = describe(&access, &request).await?;
    paths::refuse_ambiguous(&request, &connection, &description).await?;
    let (ending, verified) = if let Some(part) = part {
        let sampled = Sampled::new(&request, part, args.seed, &access, &description).await?;
        say!("{}", sampled.sentence(&request, &connection));
        (sampled.ending(), Verified::of_sample(request, sampled))
    } else {
        let counted = Counted::new(&request, &access, &description).await?;
        say!("{}", counted.sentence(&request, &connection));
        let checkpoints = CheckpointTable::new(&connection, &args.checkpoint_table);
        let proof = counted.proof();
        if let Some(proof) = &proof {
            guard::status::keep_count(&request.spec, proof, &checkpoints).await;
        }
        let guarded =
            guard::status::of_count(&request.spec, proof, &checkpoints, &connection).await;
        if let Some(claim) = guarded.as_ref().and_then(claim_text) {
            say!("{claim}");
        }
        let claim = ClaimFields::of(guarded.as_ref());
        (counted.ending(), Verified::of_all(request, counted, claim))
    };
    if args.json {
        print::json(&place::with(&verified));
    }
    Ok(ending)
}

impl Verified {
    fn of_all(request: Request, counted: Counted, claim: ClaimFields) -> Verified {
        let (different, different_samples) = counted.different();
        Verified {
            remaining: counted.remaining(),
            table: request.spec.table,
            scanned: counted.verification.scanned,
            lacking: counted.verification.told_lacking(),
            different,
            different_samples,
            of_sample: OfSample::default(),
            claim,
            consumed_rcu: counted.verification.all_rcu(),
            samples: counted.verification.samples,
            elapsed_seconds: counted.elapsed_seconds,
        }
    }

    fn of_sample(request: Request, sampled: Sampled) -> Verified {
        Verified {
            table: request.spec.table,
            of_sample: OfSample::new(&sampled),
            scanned: sampled.count.scanned,
            consumed_rcu: sampled.count.consumed_rcu,
            samples: sampled.count.samples,
            elapsed_seconds: sampled.elapsed_seconds,
            ..Verified::default()
        }
    }
}
