//! Tables and partitions read page by page, within a budget if there is one.

use std::time::Duration;

use backfill_core::pace::retry::Until;
use backfill_core::pace::{Budget, Consistency, Pace, Share};
use backfill_core::{Error, ErrorKind, Item, Key, Result};
use backfill_dynamodb::Onward;
use backfill_dynamodb::calls::{Query, Scan};

use super::access::Admin;
use crate::calls::Placeholders;

/// Longer than any page waits for its turn. Whoever reads at a rate waits for it.
const PATIENCE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Most items of a page if nobody says otherwise.
const PAGE_SIZE: u32 = 1_000;

/// A scan, or a query if there is a key condition.
#[derive(Debug, Clone, Default)]
pub struct Read {
    /// The table.
    pub table: String,
    /// One of its indexes.
    pub index: Option<String>,
    /// Key condition expression.
    pub key_condition: Option<String>,
    /// Filter expression.
    pub filter: Option<String>,
    /// Projection expression.
    pub projection: Option<String>,
    /// What the placeholders of the expressions stand for.
    pub placeholders: Placeholders,
    /// Strongly consistent.
    pub consistent: bool,
    /// For a query: from the greatest sort key down.
    pub descending: bool,
    /// For a scan: segment and number of segments.
    pub segment: Option<(u32, u32)>,
    /// Most items that are looked at for a page.
    pub page_size: Option<u32>,
    /// Without the items.
    pub count_only: bool,
}

/// One page of a [`Read`].
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The items; none if they were only counted.
    pub items: Vec<Item>,
    /// How many there are.
    pub count: u64,
    /// Items that were looked at for them.
    scanned: u64,
    /// Read units.
    units: f64,
    next: Option<Key>,
}

/// Whoever reads much of a table: all of it keeps to one budget.
#[derive(Debug)]
pub struct Reading<'a> {
    admin: &'a Admin,
    budget: Option<Budget>,
}

impl<'a> Reading<'a> {
    /// Reads of this table, at so many read units a second at most; `None` sets no limit.
    ///
    /// Errors: `InvalidInput` naming `max-rcu` if it is 0.
    pub async fn new(admin: &'a Admin, table: &str, max_rcu: Option<u32>) -> Result<Reading<'a>> {
        if max_rcu == Some(0) {
            return Err(Error::invalid("max-rcu", "expected a number from 1 on"));
        }
        let Some(units) = max_rcu else {
            let budget = None;
            return Ok(Reading { admin, budget });
        };
        let budget = Budget::new(Share::Whole);
        budget.read.set_rate(f64::from(units));
        // Without it the first page waits for as much as the largest item costs.
        if let Ok(described) = admin.describe_table(table).await {
            let figure = |name: &str| described[name].as_f64().filter(|figure| *figure > 0.0);
            let bytes = figure("TableSizeBytes").zip(figure("ItemCount"));
            budget.expect_items_of(bytes.map(|(bytes, items)| bytes / items));
        }
        let budget = Some(budget);
        Ok(Reading { admin, budget })
    }

    /// The pages of a scan or query, from its beginning on.
    pub fn pages(&self, read: Read) -> Pages<'_> {
        let pace = |budget| Pace::new(budget, 1, None, None);
        Pages {
            admin: self.admin,
            pace: self.budget.as_ref().map(pace),
            read,
            onward: Onward::default(),
            after: None,
            is_over: false,
        }
    }
}

/// The pages of one scan or query, one after another.
#[derive(Debug)]
pub struct Pages<'a> {
    admin: &'a Admin,
    pace: Option<Pace<'a>>,
    read: Read,
    onward: Onward,
    after: Option<Key>,
    is_over: bool,
}

impl Pages<'_> {
    /// The next page; `None` behind the last.
    ///
    /// Errors: those of Scan and Query; `Internal` if the pages do not go on.
    pub async fn next(&mut self) -> Result<Option<Found>> {
        if self.is_over {
            return Ok(None);
        }
        let doing = format!("reading table {}", self.read.table);
        let found = self.admin.patiently(|| self.in_turn(&doing)).await?;
        let (after, next) = (self.after.as_ref(), found.next.as_ref());
        self.onward.check(&doing, after, next)?;
        self.is_over = next.is_none();
        self.after = found.next.clone();
        Ok(Some(found))
    }

    /// True behind the last page.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// One try of a page, once the budget has what it should cost.
    async fn in_turn(&self, doing: &str) -> Result<Found> {
        let most = self.read.page_size.unwrap_or(PAGE_SIZE);
        let Some(pace) = &self.pace else {
            return self.page(doing, most).await;
        };
        let consistency = Consistency::of(self.read.consistent);
        let items = pace.items_per_read(most, consistency);
        let turn = pace.read(items, consistency, &Until::after(PATIENCE)).await;
        let late = || Error::new(ErrorKind::Internal, format!("{doing}: its turn never came"));
        let turn = turn.ok_or_else(late)?;
        let found = self.page(doing, items).await;
        match &found {
            Ok(found) => turn.end(found.scanned, found.units),
            Err(error) => turn.failed(error),
        }
        found
    }

    /// One call.
    async fn page(&self, doing: &str, items: u32) -> Result<Found> {
        let read = &self.read;
        let select = read.count_only.then_some("COUNT");
        let total = self.pace.is_some().then_some("TOTAL");
        let (names, values) = (&read.placeholders.names, &read.placeholders.values);
        let uncounted = || Error::new(ErrorKind::Internal, format!("{doing}: a page has no count"));
        let Some(key_condition) = &read.key_condition else {
            let scan = Scan {
                table_name: &read.table,
                index_name: read.index.as_deref(),
                filter_expression: read.filter.as_deref(),
                projection_expression: read.projection.as_deref(),
                expression_attribute_names: Some(names),
                expression_attribute_values: Some(values),
                consistent_read: read.consistent,
                segment: read.segment.map(|(segment, _)| segment),
                total_segments: read.segment.map(|(_, total)| total),
                limit: Some(items),
                select,
                exclusive_start_key: self.after.as_ref(),
                return_consumed_capacity: total,
            };
            let page = self.admin.once(doing, &scan).await?;
            return Ok(Found {
                items: page.items.unwrap_or_default(),
                count: page.count.ok_or_else(uncounted)?,
                scanned: page.scanned_count,
                units: page.consumed_capacity.map_or(0.0, |c| c.capacity_units),
                next: page.last_evaluated_key,
            });
        };
        let query = Query {
            table_name: &read.table,
            index_name: read.index.as_deref(),
            key_condition_expression: key_condition,
            filter_expression: read.filter.as_deref(),
            projection_expression: read.projection.as_deref(),
            expression_attribute_names: Some(names),
            expression_attribute_values: Some(values),
            consistent_read: read.consistent,
            scan_index_forward: read.descending.then_some(false),
            limit: Some(items),
            select,
            exclusive_start_key: self.after.as_ref(),
            return_consumed_capacity: total,
        };
        let page = self.admin.once(doing, &query).await?;
        let count = page.count.ok_or_else(uncounted)?;
        Ok(Found {
            items: page.items.unwrap_or_default(),
            count,
            scanned: page.scanned_count.unwrap_or(count),
            units: page.consumed_capacity.map_or(0.0, |c| c.capacity_units),
            next: page.last_evaluated_key,
        })
    }
}
