//! The count of what is pending, on its own, and a dry run, which is one. Only a reader is made here.

use std::time::{Duration, Instant};

use backfill_core::change::lacking_text;
use backfill_core::clock::now_ms;
use backfill_core::engine::verifier::{CountSum, Verification, count};
use backfill_core::pace::retry::Until;
use backfill_core::pace::{Budget, Share};
use backfill_core::ports::ReadAccess as _;
use backfill_core::records::{Proof, RunStatus};
use backfill_core::survey::DEFAULT_PAGES;
use backfill_core::table::TableDescription;
use backfill_core::view::cost::Prices;
use backfill_core::view::progress::Summary;
use backfill_core::{Key, Request, Result, printable};
use backfill_dynamodb::{CheckpointTable, Connection, ReadOnly};

use crate::budget;
use crate::drive::progress::with_progress;
use crate::drive::signals::stop_on_signal;
use crate::drive::{left, survey};
use crate::ending::Ending;
use crate::place;
use crate::show::plan::Shown;
use crate::show::progress::read_again;
use crate::show::{lines, print};

/// Longer than any table takes to count from one machine.
pub const COUNT_PATIENCE: Duration = Duration::from_secs(30 * 24 * 3600);

/// A strongly consistent count of what is pending, for `verify` and for a dry run.
pub struct Counted {
    pub verification: Verification,
    pub segments: u32,
    pub elapsed_seconds: f64,
}

impl Counted {
    /// Counts until every segment is read or the operator stops it.
    pub async fn new(
        request: &Request,
        access: &ReadOnly,
        description: &TableDescription,
    ) -> Result<Counted> {
        let begin = Instant::now();
        let settings = request.settings.choose(description.size_bytes);
        let change = request.spec.change(&description.keys);
        let reader = access.reader(change.clone());
        let until = Until {
            stop: stop_on_signal("stopping the count"),
            ..Until::after(COUNT_PATIENCE)
        };
        let budget = Budget::new(Share::Whole);
        budget.set(&settings, 0);
        budget.expect_items_of(description.item_bytes());
        let verification =
            Verification::new(settings.total_segments).telling_different(change.tells_different());
        let sum = CountSum::from(&verification);
        let counting = count(&reader, change.lacks(), verification, &budget, &until, &sum);
        let doing = format!("counting table {}", request.spec.table);
        let expected = description.item_count;
        let within = budget::text(None, settings.max_rcu);
        let verification = with_progress(counting, doing, "items", expected, || {
            let note = sum.note(1);
            let more = format!("{} pending, {within}{}", note.remaining, read_again(&note));
            (note.counted() as u64, more)
        });
        let verification = verification
            .await
            .map_err(|error| error.context(format!("counting table {}", request.spec.table)))?;
        Ok(Counted {
            verification,
            segments: settings.total_segments,
            elapsed_seconds: begin.elapsed().as_secs_f64(),
        })
    }

    /// Items that are pending; `None` if the count was stopped.
    pub fn remaining(&self) -> Option<u64> {
        self.verification
            .done
            .then_some(self.verification.remaining)
    }

    /// The count as the proof that it is; `None` if it was stopped.
    pub fn proof(&self) -> Option<Proof> {
        let count = &self.verification;
        count.done.then(|| Proof {
            remaining: count.remaining,
            scanned: count.scanned,
            samples: count.samples.clone(),
            lacking: count.told_lacking(),
            different: count.told_different().cloned(),
            began_ms: count.began_ms,
            at_ms: now_ms(),
        })
    }

    /// How many items have another value than their sources give now, `None` if they were not counted, and keys of some.
    pub fn different(&self) -> (Option<u64>, Vec<Key>) {
        let different = self.verification.told_different().cloned();
        different.map_or((None, Vec::new()), |found| {
            (Some(found.items), found.samples)
        })
    }

    /// What the count means as exit code.
    pub fn ending(&self) -> Ending {
        match self.remaining() {
            None => Ending::Stopped,
            Some(0) => Ending::Succeeded,
            Some(_) => Ending::ItemsRemain,
        }
    }

    /// The count for people, with its samples.
    pub fn sentence(&self, request: &Request, connection: &Connection) -> String {
        let Some(remaining) = self.remaining() else {
            return format!(
                "stopped before the count was complete: {} of {} items of table {} {} that were counted are pending",
                self.verification.remaining,
                self.verification.scanned,
                request.spec.table,
                place::of(connection)
            );
        };
        let mut text = format!(
            "{remaining} of {} items of table {} {} are pending, by a strongly consistent count",
            self.verification.scanned,
            request.spec.table,
            place::of(connection)
        );
        for key in &self.verification.samples {
            text.push_str(&format!("\n  {key}"));
        }
        if let Some(lacking) = lacking_text(&self.verification.told_lacking()) {
            text.push_str(&format!("\n{lacking}"));
        }
        if let Some(different) = self.verification.told_different() {
            text.push_str(&format!("\n{}", different.sentence()));
        }
        text
    }
}

/// Counts what a run would change, and says what it would do with that. Only a reader is made here.
pub async fn dry_run(
    request: &Request,
    connection: &Connection,
    checkpoints: &CheckpointTable,
    description: &TableDescription,
    prices: &Prices,
    json: bool,
) -> Result<Ending> {
    left::tell(request, connection, description).await?;
    let counted = Counted::new(request, &ReadOnly(connection.clone()), description).await?;
    say!("dry run: {}", counted.sentence(request, connection));
    if counted.remaining().is_some() {
        let plan = survey::plan(
            request,
            description,
            connection,
            checkpoints,
            prices,
            DEFAULT_PAGES,
            None,
        );
        let plan = plan.await?.counted(&counted.verification, prices);
        let shown = Shown {
            plan: &plan,
            place: &place::of(connection),
            prices,
            width: lines::width(print::is_terminal()),
        };
        print::say_coloured(&shown.after_count());
        if let Some(why) = &plan.objection {
            say!("as it is, do not run it: {}", printable(why));
        }
    }
    let (status, ending) = match counted.ending() {
        Ending::Stopped => (RunStatus::Cancelled, Ending::Stopped),
        Ending::ItemsRemain => (RunStatus::Incomplete, Ending::ItemsRemain),
        ending => (RunStatus::Succeeded, ending),
    };
    if json {
        let (different, different_samples) = counted.different();
        print::json(&place::with(&Summary {
            segments: counted.segments,
            scanned: counted.verification.scanned,
            remaining: counted.remaining(),
            elapsed_seconds: counted.elapsed_seconds,
            consumed_rcu: counted.verification.all_rcu(),
            lacking: counted.verification.told_lacking(),
            different,
            different_samples,
            samples: counted.verification.samples,
            ..Summary::without_records(request, status)
        }));
    }
    Ok(ending)
}
