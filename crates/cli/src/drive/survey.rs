//! A look at the table before a run. Reads only.

use std::sync::atomic::{AtomicU64, Ordering};

use backfill_core::change::Change;
use backfill_core::change::expression::RESERVED;
use backfill_core::engine::planner;
use backfill_core::ports::PageRequest;
use backfill_core::survey::{
    Fact, Plan, ReadPage, Rehearsal as _, Room, Surroundings, SurveyAccess, TableFacts, Tried,
    Warning, held_now, objection, other_runs, rehearse,
};
use backfill_core::table::{KeyAttribute, KeySchema, KeyType, TableDescription};
use backfill_core::view::cost::Prices;
use backfill_core::{Error, Request, Result, Spec, printable};
use backfill_dynamodb::{CheckpointTable, Connection, ReadOnly};
use backfill_rehearsal::trial::EmbeddedTrial;

use crate::drive::progress::with_progress;
use crate::drive::{others, owner};

/// Access to a table that knows how many pages of a sample were read.
struct Seen {
    access: ReadOnly,
    pages: AtomicU64,
}

impl SurveyAccess for Seen {
    async fn facts(&self, table: &str, keys: &KeySchema) -> Result<TableFacts> {
        self.access.facts(table, keys).await
    }

    async fn sample_page(&self, change: &dyn Change, request: PageRequest<'_>) -> Result<ReadPage> {
        let page = self.access.sample_page(change, request).await?;
        self.pages.fetch_add(1, Ordering::Relaxed);
        Ok(page)
    }
}

/// The plan of a run, by so many sampled pages. `room` is set if it is to be a deployed run.
pub async fn plan(
    request: &Request,
    description: &TableDescription,
    connection: &Connection,
    checkpoints: &CheckpointTable,
    prices: &Prices,
    pages: u32,
    room: Option<Fact<Room>>,
) -> Result<Plan> {
    let access = Seen {
        access: ReadOnly(connection.clone()),
        pages: AtomicU64::new(0),
    };
    let with = Surroundings {
        access: &access,
        checkpoints,
        rehearsal: &EmbeddedTrial,
        owner: &owner::this_process(),
        prices,
        pages,
        room,
    };
    let doing = format!("sampling table {}", request.spec.table);
    let now = || (access.pages.load(Ordering::Relaxed), String::new());
    let plan = with_progress(
        Plan::make(request, description, &with),
        doing,
        "pages",
        pages.into(),
        now,
    );
    let (plan, others) = tokio::join!(plan, others::others(request, connection, checkpoints));
    let mut plan = plan?;
    let amplification = plan.forecast.amplification;
    let reasons = planner::held_now(&access.access, &plan.settings).await?;
    let mut warnings = held_now(&reasons);
    let settings = &plan.settings;
    warnings.extend(other_runs(
        &others,
        settings,
        Some(&plan.table),
        amplification,
    ));
    // Behind what is said first of all.
    let is_first = |warning: &Warning| warning.code.starts_with("values_are_");
    let at = plan.warnings.iter().take_while(|w| is_first(w)).count();
    plan.warnings.splice(at..at, warnings);
    Ok(plan)
}

/// Refuses an update that cannot be read, on a table with any keys, before anything is sent. The deployed functions have no embedded
/// database, so this is for whoever starts them as well.
pub fn read_update(spec: &Spec) -> Result<()> {
    let keys = KeySchema {
        // No expression names it, since its beginning is ours.
        hash: KeyAttribute::new(format!("{RESERVED}key"), KeyType::S),
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
    refuse_in_vain(tried.iter())?;
    if let Some(why) = objection(tried.iter()) {
        say!("{}; the run lists such items as rejected", printable(&why));
    }
    Ok(())
}

/// Refuses an update that left copies of items pending: in the table it would do so, too.
///
/// Errors: `InvalidInput`, naming `update`.
pub fn refuse_in_vain<'a>(tried: impl Iterator<Item = &'a Tried>) -> Result<()> {
    let (in_vain, all) = tried.fold((0, 0), |(in_vain, all), tried| {
        let is_in_vain = tried.after.is_ok() && !tried.is_extinguished;
        (in_vain + u32::from(is_in_vain), all + 1)
    });
    if in_vain == 0 {
        return Ok(());
    }
    Err(Error::invalid(
        "update",
        format!(
            "it does not make its predicate false: {in_vain} of {all} items were still pending after it on copies in an embedded \
             database, and no item of the table was touched; change update or pending so that an updated item no longer matches, \
             or, if DynamoDB differs here, go on with --no-rehearsal"
        ),
    ))
}
