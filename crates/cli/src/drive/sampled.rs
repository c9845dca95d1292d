//! The count of a random part of a table, from which the whole is estimated. Only a reader is made here.

use std::time::Instant;

use backfill_core::engine::verifier::{CountSum, Draw, Estimate, SampleCount, count_sample};
use backfill_core::pace::retry::Until;
use backfill_core::pace::{Budget, Share};
use backfill_core::ports::ReadAccess as _;
use backfill_core::table::TableDescription;
use backfill_core::{Request, Result};
use backfill_dynamodb::{Connection, ReadOnly};
use indicatif::HumanCount;

use crate::drive::count::COUNT_PATIENCE;
use crate::drive::progress::with_progress;
use crate::drive::signals::stop_on_signal;
use crate::ending::Ending;
use crate::{budget, place};

/// A strongly consistent count of some segments of a table, for `verify --sample`.
pub struct Sampled {
    pub draw: Draw,
    pub count: SampleCount,
    /// What it says of the whole table; `None` if the count was stopped.
    pub estimate: Option<Estimate>,
    pub elapsed_seconds: f64,
    /// Whether several items can have one partition key.
    has_sort_key: bool,
}

impl Sampled {
    /// Counts until every segment that was drawn is read or the operator stops it. Without a seed one is drawn.
    pub async fn new(
        request: &Request,
        part: f64,
        seed: Option<u32>,
        access: &ReadOnly,
        description: &TableDescription,
    ) -> Result<Sampled> {
        let begin = Instant::now();
        let seed = seed.unwrap_or_else(|| fastrand::u32(..));
        let draw = Draw::new(part, seed.into(), description.size_bytes);
        let settings = request.settings.choose(description.size_bytes);
        let reader = access.reader(request.spec.change(&description.keys));
        let until = Until {
            stop: stop_on_signal("stopping the count"),
            ..Until::after(COUNT_PATIENCE)
        };
        let budget = Budget::new(Share::Whole);
        budget.set(&settings, 0);
        budget.expect_items_of(description.item_bytes());
        let sum = CountSum::default();
        let counting = count_sample(&reader, &draw, &budget, &until, &sum);
        let doing = format!("counting a sample of table {}", request.spec.table);
        let expected = (description.item_count as f64 * part) as u64;
        let within = budget::text(None, settings.max_rcu);
        let count = with_progress(counting, doing, "items", expected, || {
            let note = sum.note(1);
            (
                note.scanned,
                format!("{} pending, {within}", note.remaining),
            )
        });
        let count = count.await.map_err(|error| {
            error.context(format!("counting a sample of table {}", request.spec.table))
        })?;
        let described = description.item_count;
        let estimate = || Estimate::new(&count.segments, draw.total_segments, described);
        Ok(Sampled {
            estimate: count.done.then(estimate),
            elapsed_seconds: begin.elapsed().as_secs_f64(),
            has_sort_key: description.keys.range.is_some(),
            draw,
            count,
        })
    }

    /// What the count means as exit code.
    pub fn ending(&self) -> Ending {
        match (&self.estimate, self.count.pending) {
            (None, _) => Ending::Stopped,
            (Some(_), 0) => Ending::Succeeded,
            (Some(_), _) => Ending::ItemsRemain,
        }
    }

    /// The estimate for people, with keys of pending items.
    pub fn sentence(&self, request: &Request, connection: &Connection) -> String {
        let table = format!("table {} {}", request.spec.table, place::of(connection));
        let scanned = HumanCount(self.count.scanned);
        let Some(found) = self.estimate else {
            return format!(
                "stopped before the sample was counted: {} of {scanned} items of {table} that were read are pending",
                HumanCount(self.count.pending)
            );
        };
        let items = HumanCount(found.items);
        let at_most = HumanCount(found.at_most);
        let mut text = match self.count.pending {
            0 => format!(
                "none of {scanned} items that were read is pending: at most {at_most} of about {items} items of {table} are, with 95 % \
                 confidence"
            ),
            _ => format!(
                "about {} of about {items} items of {table} are pending, {} to {at_most} with 95 % confidence; {} of {scanned} items \
                 that were read are",
                HumanCount(found.estimate),
                HumanCount(found.at_least),
                HumanCount(self.count.pending),
            ),
        };
        for key in &self.count.samples {
            text.push_str(&format!("\n  {key}"));
        }
        text.push_str(&format!(
            "\nthis is an estimate, no proof: by strongly consistent reads of {} of {} segments, drawn with --seed {}",
            HumanCount(self.draw.segments.len() as u64),
            HumanCount(self.draw.total_segments.into()),
            self.draw.seed
        ));
        if self.has_sort_key {
            text.push_str(&format!(
                "\nit may miss a partition key with more than {} pending items, since items of one key lie together",
                HumanCount(found.most_of_one)
            ));
        }
        text
    }
}
