//! The count of what is pending, on its own. Only a reader is made here.

use std::time::{Duration, Instant};

use backfill_core::change::lacking_text;
use backfill_core::engine::verifier::{CountSum, Verification, count};
use backfill_core::pace::retry::Until;
use backfill_core::pace::{Budget, Share};
use backfill_core::ports::ReadAccess as _;
use backfill_core::table::TableDescription;
use backfill_core::{Request, Result};
use backfill_dynamodb::{Connection, ReadOnly};

use crate::budget;
use crate::drive::progress::with_progress;
use crate::drive::signals::stop_on_signal;
use crate::ending::Ending;
use crate::place;
use crate::show::progress::read_again;

/// Longer than any table takes to count from one machine.
const COUNT_PATIENCE: Duration = Duration::from_secs(30 * 24 * 3600);

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
        let verification = Verification::new(settings.total_segments);
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
        text
    }
}
