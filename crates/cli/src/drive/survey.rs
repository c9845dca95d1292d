//! A look at the table before a run. Reads only.

use std::sync::atomic::{AtomicU64, Ordering};

use backfill_core::change::expression::OURS;
use backfill_core::survey::{
    Concurrency, Fact, Plan, Rehearsal as _, Surroundings, Tried, objection, rehearse,
};
use backfill_core::table::{KeyAttribute, KeySchema, KeyType, TableDescription};
use backfill_core::view::cost::Prices;
use backfill_core::{Error, Request, Result, Spec, printable};
use backfill_dynamodb::{CheckpointTable, Connection, ReadOnly};
use backfill_rehearsal::trial::EmbeddedTrial;

use crate::drive::progress::with_progress;
use crate::drive::{others, owner};

/// The plan of a run, by so many sampled pages. `concurrency` is set if it is to be a deployed run.
pub async fn plan(
    request: &Request,
    description: &TableDescription,
    connection: &Connection,
    checkpoints: &CheckpointTable,
    prices: &Prices,
    pages: u32,
    concurrency: Option<Fact<Concurrency>>,
) -> Result<Plan> {
    let others = others::others(request, connection, checkpoints).await;
    let sampled = AtomicU64::new(0);
    let with = Surroundings {
        access: &ReadOnly(connection.clone()),
        checkpoints,
        rehearsal: &EmbeddedTrial,
        owner: &owner::this_process(),
        prices,
        pages,
        concurrency,
        others: &others,
        sampled: &sampled,
    };
    let doing = format!("sampling table {}", request.spec.table);
    let now = || (sampled.load(Ordering::Relaxed), String::new());
    with_progress(
        Plan::make(request, description, &with),
        doing,
        "pages",
        pages.into(),
        now,
    )
    .await
}

/// Refuses an update that cannot be read, on a table with any keys, before anything is sent. The deployed functions have no embedded
/// database, so this is for whoever starts them as well.
pub fn read_update(spec: &Spec) -> Result<()> {
    if spec.makes_values() {
        // Nobody has typed it: it follows from templates, which have been read, or from code.
        return Ok(());
    }
    let keys = KeySchema {
        // No expression names it, since its beginning is ours.
        hash: KeyAttribute::new(format!("{OURS}key"), KeyType::S),
        range: None,
    };
    EmbeddedTrial.read_update(&*spec.change(&keys))
}

/// Tries the update on copies of a few items of the table, and refuses one that would not end.
///
/// Errors: those of [`refuse_in_vain`]; those of a scan.
pub async fn try_on_copies(
    request: &Request,
    description: &TableDescription,
    connection: &Connection,
) -> Result<()> {
    let access = ReadOnly(connection.clone());
    let tried = rehearse(request, description, &access, &EmbeddedTrial).await?;
    refuse_in_vain(&request.spec, tried.iter())?;
    if let Some(why) = objection(&request.spec, tried.iter()) {
        say!("{}; the run lists such items as rejected", printable(&why));
    }
    Ok(())
}

/// Refuses an update that left copies of items pending: in the table it would do so, too.
///
/// Errors: `InvalidInput`, naming `update`.
pub fn refuse_in_vain<'a>(spec: &Spec, tried: impl Iterator<Item = &'a Tried>) -> Result<()> {
    let (in_vain, all) = tried.fold((0, 0), |(in_vain, all), tried| {
        (in_vain + u32::from(tried.is_in_vain()), all + 1)
    });
    if in_vain == 0 {
        return Ok(());
    }
    Err(Error::invalid(
        "update",
        format!(
            "it does not make its predicate false: {in_vain} of {all} items were still pending after it on copies in an embedded \
             database, and no item of the table was touched; change {} so that an updated item no longer matches, or, if DynamoDB \
             differs here, go on with --no-rehearsal",
            spec.what_to_change()
        ),
    ))
}
