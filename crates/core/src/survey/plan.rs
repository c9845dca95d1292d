//! The plan: everything that is known of a run before it begins, gathered by reads alone.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use super::computed::{is_pending, refuse_unsettled, shape};
use super::examples::{Unusual, diverse, diverse_in};
use super::facts::{Concurrency, Fact, IndexFacts, OtherRun, TableFacts};
use super::forecast::{Forecast, Tried};
use super::sample::{
    ITEMS_PER_PAGE, LEAST_ITEMS, ReadPage, Sample, SampledPage, sampling_rate, segments_to_sample,
};
use super::warnings::{Known, Warning, warnings};
use crate::change::Change;
use crate::compute::Path;
use crate::engine::holds::held_now;
use crate::engine::planner::preview;
use crate::engine::verifier::Verification;
use crate::pace::retry::{PATIENCE, Until, retry, retry_until};
use crate::pace::{Budget, Consistency, Pace, Share, Turn};
use crate::ports::{Asks, CheckpointReader, PageRequest, ReadAccess};
use crate::records::{Owner, RunRecord};
use crate::request::{Settings, WrittenBy};
use crate::table::{KeySchema, TableDescription, average_bytes, explain_segments};
use crate::view::cost::Prices;
use crate::{Error, ErrorKind, Item, Request, Result, Spec};

/// Read units of a page at most: 1 MB, eventually consistent.
const MAX_PAGE_UNITS: u32 = 128;

/// Most sampled items on which the update is tried.
const MAX_TRIED: usize = 25;

/// Most pages that are read before a run to try the update on copies of their items.
const REHEARSED_PAGES: u32 = 8;

/// Time for these pages.
const REHEARSAL_TIME: Duration = Duration::from_secs(10);

/// Read access to a table for whoever looks at it before a run.
pub trait SurveyAccess: Send + Sync {
    /// What DescribeTable and its like say of a table with these keys. What cannot be found out is [`super::Fact::Unknown`].
    ///
    /// Errors: those of DescribeTable; retryable ones are for the caller to retry.
    fn facts(
        &self,
        table: &str,
        keys: &KeySchema,
    ) -> impl Future<Output = Result<TableFacts>> + Send;

    /// One page of a sample by eventually consistent reads, with the items for which [`Change::sample`] asks, whole.
    ///
    /// Errors: those of a scan; retryable ones are for the caller to retry.
    fn sample_page(
        &self,
        change: &dyn Change,
        request: PageRequest<'_>,
    ) -> impl Future<Output = Result<ReadPage>> + Send;
}

/// A place where a change can be tried on copies of items.
pub trait Rehearsal {
    /// Reads the update of a change as DynamoDB would.
    ///
    /// Errors: `InvalidInput`, which names `update`, if it cannot be read; `Internal` if that cannot be found out.
    fn read_update(&self, change: &dyn Change) -> Result<()>;

    /// What the change does to each of these items in a table with the same keys and indexes.
    ///
    /// Errors: `Internal` if they cannot be put there.
    fn try_change(
        &self,
        change: &dyn Change,
        indexes: &[IndexFacts],
        items: Vec<Item>,
    ) -> Result<Vec<Tried>>;
}

/// What a plan is made with.
pub struct Surroundings<'a, A, C, R> {
    /// Read access to the table.
    pub access: &'a A,
    /// The records of runs, to see whether the run is there already.
    pub checkpoints: &'a C,
    /// The place in which the change is tried.
    pub rehearsal: &'a R,
    /// Who would run it.
    pub owner: &'a Owner,
    /// What is paid.
    pub prices: &'a Prices,
    /// Pages to sample, 1 to [`super::MAX_PAGES`].
    pub pages: u32,
    /// The concurrency that Lambda has for the workers of a deployed run; `None` if the run is to be one in a process.
    pub concurrency: Option<Fact<Concurrency>>,
    /// Other runs that go on on the table.
    pub others: &'a [OtherRun],
    /// Counts the pages that were sampled, for whoever waits for them.
    pub sampled: &'a AtomicU64,
}

/// Everything that is known of a run before it begins.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The id of the run.
    pub run_id: String,
    /// The run of this id as it stands; null if there is none.
    pub run: Option<KnownRun>,
    /// Why a start would be refused as things are; null if it would not.
    pub refused: Option<String>,
    /// Update and predicate in one line.
    pub change: String,
    /// What is known of the table.
    pub table: TableFacts,
    /// A sample of its items.
    pub sample: Sample,
    /// What becomes of sampled items that stand for all.
    pub tried: Vec<Tried>,
    /// What becomes of some that do not: the smallest and the largest, those with other attributes, and those that have a value
    /// already where the update writes.
    pub also_tried: Vec<Tried>,
    /// Why the update should not be run as it is: it was refused on copies of items, or left them pending; null if neither.
    pub objection: Option<String>,
    /// By which request the run would write, and why.
    pub written_by: WrittenBy,
    /// The settings that the run would have.
    pub settings: Settings,
    /// Why there are so many segments.
    pub segments: String,
    /// The concurrency that Lambda has for its workers; null if it is not to be a deployed one.
    pub lambda: Option<Fact<Concurrency>>,
    /// What the run would do.
    pub forecast: Forecast,
    /// Attributes that the update sets and that items may lack which the predicate leaves out: the verification counts these.
    pub lacking: Vec<String>,
    /// What to look at first. Whoever shows it puts its advice into words.
    #[serde(skip)]
    pub warnings: Vec<Warning>,
}

/// A run that is there already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KnownRun {
    /// [`crate::records::RunStatus::name`].
    pub status: &'static str,
    /// Its current pass.
    pub pass: u32,
    /// Why it is in this state.
    pub message: String,
    /// What it has, before the run that is planned.
    #[serde(skip)]
    pub settings: Settings,
    /// Whether it is that of a table of this name that is gone, so that a start is a new run; null if that cannot be told.
    pub table_gone: Option<bool>,
}

impl KnownRun {
    fn of(run: &RunRecord, description: &TableDescription) -> KnownRun {
        KnownRun {
            status: run.status.name(),
            pass: run.pass,
            message: run.message.clone(),
            settings: run.settings.clone(),
            table_gone: run.is_of_another(&description.identity),
        }
    }
}

impl Plan {
    /// Looks at the table, samples it, and tries the change on items of the sample.
    ///
    /// Errors: whatever the table refuses; `Throttled` if it throttles the sample for long; `InvalidInput`, naming `pause_when`, if
    /// there is no such alarm, and naming `mode` if converging to what is computed would not end.
    pub async fn make<A: SurveyAccess + ReadAccess, C: CheckpointReader, R: Rehearsal>(
        request: &Request,
        description: &TableDescription,
        with: &Surroundings<'_, A, C, R>,
    ) -> Result<Plan> {
        let (spec, keys) = (&request.spec, &description.keys);
        let until = Until::after(PATIENCE);
        let facts = retry(&until, || with.access.facts(&spec.table, keys)).await?;
        let stored = stored_run(with.checkpoints, &request.run_id()).await;
        let run = stored.as_ref().map(|run| KnownRun::of(run, description));
        // A run that is there keeps what was chosen for it.
        let (settings, refused) = match preview(stored, request, description, with.owner) {
            Ok(record) => (record.settings, None),
            Err(error) => {
                let settings = request.settings.choose(facts.size_bytes);
                (settings, Some(error.to_string()))
            }
        };
        let change = spec.change(keys);
        let targets = spec.targets();
        let sampled = sampled(&*change, &facts, &targets, &settings, with).await?;
        let (sample, representative) = (sampled.sample, sampled.examples.len());
        let items = sampled.examples.into_iter().chain(sampled.unusual);
        let mut tried = with
            .rehearsal
            .try_change(&*change, &facts.indexes, items.collect())?;
        let also_tried = tried.split_off(representative.min(tried.len()));
        let lacking = (change.lacks()).map_or_else(Vec::new, |lacks| lacks.attributes.clone());
        let forecast = Forecast::new(&facts, &sample, &tried, &settings, &lacking, with.prices);
        let forecast = priced(forecast, with.concurrency.as_ref());
        let held = held_now(with.access, &settings).await?;
        let known = Known {
            facts: &facts,
            sample: &sample,
            tried: &tried,
            also_tried: &also_tried,
            forecast: &forecast,
            settings: &settings,
            targets: &targets,
            computing: change.computing(),
            what_to_change: spec.what_to_change(),
            held: &held,
            others: with.others,
            concurrency: with.concurrency.as_ref(),
        };
        let warnings = warnings(&known);
        Ok(Plan {
            run_id: request.run_id(),
            run,
            refused,
            change: spec.describe(),
            segments: explain_segments(
                settings.total_segments,
                facts.size_bytes,
                settings.max_concurrency,
                settings.workers(),
            ),
            lambda: with.concurrency.clone(),
            warnings,
            table: facts,
            sample,
            objection: objection(spec, tried.iter().chain(&also_tried)),
            tried,
            also_tried,
            written_by: WrittenBy::new(&*change, settings.writer),
            settings,
            lacking,
            forecast,
        })
    }

    /// Up to three sampled items for which the update was accepted, as unlike each other as there are: the smallest, the largest, and
    /// the one with the fewest attributes in common with these. If values are computed, those whose sources are most unlike.
    pub fn examples(&self) -> Vec<&Tried> {
        let tried = self.tried.iter().chain(&self.also_tried);
        match &self.sample.computed {
            None => diverse(tried),
            Some(computed) => diverse_in(&computed.paths(), tried),
        }
    }

    /// The plan with exact figures in the place of estimates, by a count of the whole table.
    pub fn counted(self, count: &Verification, prices: &Prices) -> Plan {
        let sample = self
            .sample
            .counted(count.scanned, count.remaining, count.consumed_rcu);
        let forecast = Forecast::new(
            &self.table,
            &sample,
            &self.tried,
            &self.settings,
            &self.lacking,
            prices,
        );
        Plan {
            forecast: priced(forecast, self.lambda.as_ref()),
            sample,
            ..self
        }
    }
}

/// A forecast with the price of a run in AWS if it is to be one there.
fn priced(forecast: Forecast, concurrency: Option<&Fact<Concurrency>>) -> Forecast {
    match concurrency {
        Some(_) => forecast,
        None => forecast.here(),
    }
}

/// The run as it is stored. A plan needs no checkpoint table, so whatever keeps the run from being read is no error.
async fn stored_run<C: CheckpointReader>(checkpoints: &C, run_id: &str) -> Option<RunRecord> {
    match checkpoints.run(run_id).await {
        Ok(run) => run,
        Err(error) => {
            tracing::debug!("no run to see: {}", error.report());
            None
        }
    }
}

/// Why an update should not be run as it is, by what became of copies of items; `None` if each was updated and is pending no more.
pub fn objection<'a>(spec: &Spec, tried: impl Iterator<Item = &'a Tried>) -> Option<String> {
    let (mut all, mut lit, mut refusals) = (0, 0, Vec::new());
    for tried in tried {
        all += 1;
        match &tried.after {
            Err(why) => refusals.push(why),
            Ok(_) => lit += usize::from(tried.is_in_vain()),
        }
    }
    let of_all = |count: usize| match all {
        1 => "the one sampled item".to_owned(),
        all => format!("{count} of {all} sampled items"),
    };
    let mut objections = Vec::new();
    if let Some(why) = refusals.first() {
        let of_all = of_all(refusals.len());
        objections.push(format!(
            "the update was refused on copies of {of_all}: {why}"
        ));
    }
    if lit > 0 {
        objections.push(format!(
            "the update does not make its predicate false, {} stayed pending on copies: change {} so that an updated item no longer \
             matches",
            of_all(lit),
            spec.what_to_change()
        ));
    }
    (!objections.is_empty()).then(|| objections.join("; "))
}

/// A sample, and items of it.
struct Sampled {
    sample: Sample,
    /// Pending items that stand for all.
    examples: Vec<Item>,
    /// Others, which do not.
    unusual: Vec<Item>,
}

/// A sample of pages in random segments, within the read budget, and some of its pending items.
async fn sampled<A: SurveyAccess, C, R>(
    change: &dyn Change,
    facts: &TableFacts,
    targets: &[String],
    settings: &Settings,
    with: &Surroundings<'_, A, C, R>,
) -> Result<Sampled> {
    let total_segments = segments_to_sample(facts.items, with.pages);
    let mut segments = fastrand::choose_multiple(0..total_segments, with.pages as usize);
    segments.sort_unstable();
    let rate = sampling_rate(facts, settings);
    let budget = Budget::new(Share::Whole);
    let of_sample = Settings {
        max_rcu: Some(rate),
        ..settings.clone()
    };
    budget.set(&of_sample, 0);
    budget.expect_items_of(average_bytes(facts.size_bytes, facts.items));
    let pace = Pace::new(&budget, 1, None, None);
    // Some of each page, and more than are tried: of many a page nothing is pending.
    let examples = (2 * MAX_TRIED).div_ceil(with.pages as usize) + 1;
    let computed = change.computing();
    let sources = computed.map_or_else(Vec::new, |computed| computed.sources());
    let sources: Vec<Path> = sources.into_iter().map(|source| source.path).collect();
    let mut pages = Vec::new();
    let mut unusual = Unusual::default();
    for segment in segments {
        let is_measured = pages.iter().any(|page: &SampledPage| page.scanned > 0);
        let limit = items_of_page(rate, &pace, is_measured);
        let page = PageRequest {
            segment,
            total_segments,
            after: None,
            limit,
            consistent: false,
            asks: Asks::Sweep,
        };
        let until = Until::after(PATIENCE);
        let read = read_page(with.access, change, &pace, page, &until).await?;
        let read = read.ok_or_else(|| {
            let why = format!(
                "sampling table {}: it throttles, try again later",
                change.table()
            );
            Error::new(ErrorKind::Throttled, why)
        })?;
        refuse_unsettled(change, &read.items)?;
        for item in read.items.iter().filter(|item| is_pending(change, item)) {
            let kind = match change.computing() {
                None => item.keys().cloned().collect(),
                Some(_) => shape(&sources, item),
            };
            unusual.look_at(item, targets, kind);
        }
        let indexes = &facts.indexes;
        pages.push(SampledPage::new(read, change, indexes, targets, examples));
        with.sampled.fetch_add(1, Ordering::Relaxed);
    }
    let examples = spread(&pages, examples);
    let key_of = |item: &Item| change.keys().key_of(item);
    let known = examples.iter().map(key_of).collect();
    Ok(Sampled {
        sample: Sample::of(change, &facts.indexes, &pages, total_segments),
        unusual: unusual.without(known, key_of),
        examples,
    })
}

/// A page of a sample, in its turn; `None` if the time was over before that.
async fn read_page<A: SurveyAccess>(
    access: &A,
    change: &dyn Change,
    pace: &Pace<'_>,
    page: PageRequest<'_>,
    until: &Until,
) -> Result<Option<ReadPage>> {
    retry_until(
        until,
        || pace.read(page.limit, Consistency::Eventual, until),
        async |turn: Turn<'_>| {
            let read = access.sample_page(change, page).await;
            match &read {
                Ok(page) => turn.end(page.scanned, page.consumed_rcu),
                Err(error) => turn.failed(error),
            }
            read
        },
    )
    .await
}

/// Tries the update of a request on copies of the first few pending items that small pages of the table bring, and says what
/// became of them: nothing if none of these pages has a pending item, or if the read budget lets none be read in ten seconds.
///
/// Errors: those of a scan; those of [`Rehearsal::try_change`]; `InvalidInput`, naming `mode`, if converging to what is computed would
/// not end.
pub async fn rehearse<A: SurveyAccess, R: Rehearsal>(
    request: &Request,
    description: &TableDescription,
    access: &A,
    rehearsal: &R,
) -> Result<Vec<Tried>> {
    let change = request.spec.change(&description.keys);
    let settings = request.settings.choose(description.size_bytes);
    let budget = Budget::new(Share::Whole);
    budget.set(&settings, 0);
    budget.expect_items_of(description.item_bytes());
    let pace = Pace::new(&budget, 1, None, None);
    let total_segments = segments_to_sample(description.item_count, REHEARSED_PAGES);
    let until = Until::after(REHEARSAL_TIME);
    let mut items: Vec<Item> = Vec::new();
    for segment in fastrand::choose_multiple(0..total_segments, REHEARSED_PAGES as usize) {
        let page = PageRequest {
            segment,
            total_segments,
            after: None,
            limit: pace.items_per_read(LEAST_ITEMS, Consistency::Eventual),
            consistent: false,
            asks: Asks::Sweep,
        };
        let Some(read) = read_page(access, &*change, &pace, page, &until).await? else {
            break;
        };
        refuse_unsettled(&*change, &read.items)?;
        let pending = |item: &Item| is_pending(&*change, item);
        items.extend(read.items.into_iter().filter(pending));
        if items.len() >= MAX_TRIED {
            break;
        }
    }
    items.truncate(MAX_TRIED);
    rehearsal.try_change(&*change, &description.indexes, items)
}

/// How many items a page is to evaluate at most, at so many read units a second. `is_measured` says that a page before it held some.
fn items_of_page(rate: u32, pace: &Pace<'_>, is_measured: bool) -> u32 {
    if rate >= MAX_PAGE_UNITS {
        return ITEMS_PER_PAGE;
    }
    let limit = pace.items_per_read(ITEMS_PER_PAGE, Consistency::Eventual);
    // Of single items nothing could be concluded, and a small table is read whole.
    limit.max(if is_measured { 1 } else { LEAST_ITEMS })
}

/// Items to try, from every page some, since neighbours may be alike.
fn spread(pages: &[SampledPage], examples: usize) -> Vec<Item> {
    let mut items = Vec::new();
    for row in 0..examples {
        let of_row = pages.iter().filter_map(|page| page.examples.get(row));
        items.extend(of_row.take(MAX_TRIED - items.len()).cloned());
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Spec;
    use crate::survey::Billing;
    use crate::survey::tests::table;
    use crate::table::KeySchema;

    /// A table with so many items of 300 bytes in each segment.
    struct Small(u32);

    impl SurveyAccess for Small {
        async fn facts(&self, _: &str, _: &KeySchema) -> Result<TableFacts> {
            Ok(uncounted())
        }

        async fn sample_page(&self, _: &dyn Change, request: PageRequest<'_>) -> Result<ReadPage> {
            let scanned = self.0.min(request.limit);
            Ok(ReadPage {
                scanned: scanned.into(),
                items: Vec::new(),
                consumed_rcu: f64::from((scanned * 300).div_ceil(4_096).max(1)) / 2.0,
                is_whole_segment: scanned < request.limit,
            })
        }
    }

    /// DynamoDB has not counted it yet.
    fn uncounted() -> TableFacts {
        TableFacts {
            items: 0,
            size_bytes: 0,
            billing: Billing::Provisioned {
                write_units: 100,
                read_units: 100,
            },
            ..table()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_table_that_nobody_has_counted_is_read_whole() {
        const PAGES: u32 = 16;
        let facts = uncounted();
        let spec = Spec::set_missing(
            "stuff",
            [("test".to_owned(), crate::Value::N("1".into()))].into(),
        );
        let with = Surroundings {
            access: &Small(13),
            checkpoints: &(),
            rehearsal: &(),
            owner: &Owner::Other("tests".into()),
            prices: &Prices::default(),
            pages: PAGES,
            concurrency: None,
            others: &[],
            sampled: &AtomicU64::new(0),
        };
        let settings = crate::request::RequestedSettings::default().choose(0);
        let change = spec.change(&facts.keys);
        let sampled = sampled(&*change, &facts, &[], &settings, &with).await;
        let sample = sampled.unwrap().sample;
        assert!(sample.whole_table, "{sample:?}");
        assert_eq!(sample.items, u64::from(13 * PAGES));
    }
}
