//! Items for a table: made up, given, or a sample of another table; with attributes taken out or set, as if they were migrated or not.

use std::collections::VecDeque;

use backfill_core::{Error, Item, Result, Value};
use fastrand::Rng;
use serde_json::Value as Json;

use crate::admin::{Admin, Read, Reading};
use crate::made_up::Generator;

/// Items that are made and put at a time.
const BATCH: u64 = 500;
/// Parts of a sample, each from another place of the table.
const SAMPLE_PARTS: u64 = 20;
/// Most segments for a sample; more would make a page of few items on a large table no rarer.
const SAMPLE_SEGMENTS: u64 = 10_000;

/// Where the items come from.
#[derive(Debug)]
pub enum Source {
    /// They are given.
    Given(Vec<Item>),
    /// A sample of another table, which is only read.
    Sample {
        /// Where that table is.
        from: Admin,
        /// Its name.
        table: String,
        /// How many items, if it has so many.
        items: u64,
        /// Most read units a second; `None` for no limit.
        max_rcu: Option<u32>,
    },
    /// They are made up, by the names and types of the table's keys.
    MadeUp {
        /// How many.
        items: u64,
        /// Attributes in place of the usual ones, as `name` or `name:N`.
        attributes: Vec<String>,
        /// Attributes that only one item in five has.
        sparse: Vec<String>,
    },
}

/// How items become those that are put.
#[derive(Debug)]
pub struct Seed {
    /// Seed of made-up items, of samples, and of which items `with` is for.
    pub seed: u64,
    /// Attributes that are taken out.
    pub without: Vec<String>,
    /// Attributes that are set.
    pub with: Vec<(String, Value)>,
    /// On how many of a hundred items.
    pub with_percent: u64,
}

impl Seed {
    /// Puts items into a table, each in place of the one with its key, and returns how many. Every so often `goes_on` is told how
    /// many are put and how many there are in all; if it says no, no more are put.
    ///
    /// Errors: `InvalidInput` for a change of a key attribute, or attributes that cannot be made up; those of the calls, which say
    /// how many items were put before.
    pub async fn fill(
        &self,
        admin: &Admin,
        table: &str,
        source: Source,
        mut goes_on: impl FnMut(u64, u64) -> bool,
    ) -> Result<u64> {
        let described = admin.describe_table(table).await?;
        refuse_keys("without", &self.without, &described)?;
        let with: Vec<String> = self.with.iter().map(|(name, _)| name.clone()).collect();
        refuse_keys("with", &with, &described)?;
        // By its own seed, so that items are the same with and without the attribute.
        let mut random = Rng::with_seed(!self.seed);
        let mut migrate = |mut item: Item| {
            for name in &self.without {
                item.remove(name);
            }
            if random.u64(..100) < self.with_percent {
                item.extend(self.with.iter().cloned());
            }
            item
        };
        let given = match source {
            Source::Given(items) => items,
            Source::Sample {
                from,
                table,
                items,
                max_rcu,
            } => {
                let reading = Reading::new(&from, &table, max_rcu).await?;
                sample(&from, &reading, &table, items, self.seed).await?
            }
            Source::MadeUp {
                items: total,
                attributes,
                sparse,
            } => {
                let generator = Generator::new(&described, self.seed, total, &attributes, &sparse)?;
                let mut next = 0;
                while next < total && goes_on(next, total) {
                    let end = (next + BATCH).min(total);
                    let items: Vec<Item> = (next..end)
                        .map(|index| migrate(generator.item(index)))
                        .collect();
                    let put = admin.put_distinct(table, &items).await;
                    put.map_err(|error| after(next, error))?;
                    next = end;
                }
                return Ok(next);
            }
        };
        let items: Vec<Item> = given.into_iter().map(migrate).collect();
        let total = items.len() as u64;
        let mut put = 0;
        for some in items.chunks(BATCH as usize) {
            if !goes_on(put, total) {
                break;
            }
            let done = admin.put_all(table, some).await;
            done.map_err(|error| after(put, error))?;
            put += some.len() as u64;
        }
        Ok(put)
    }
}

/// Says how many items were put before an error.
fn after(put: u64, error: Error) -> Error {
    match put {
        0 => error,
        put => error.context(format!("after {put} items were put")),
    }
}

/// Refuses to take a key from an item or to change it.
fn refuse_keys(flag: &str, names: &[String], described: &Json) -> Result<()> {
    let keys = described["KeySchema"].as_array();
    let mut keys = keys.into_iter().flatten().map(|key| &key["AttributeName"]);
    match keys.find(|key| names.iter().any(|name| *key == name)) {
        None => Ok(()),
        Some(key) => Err(Error::invalid(flag, format!("{key} is a key of the table"))),
    }
}

/// Up to this many items from random places of a table: a page of each of several segments in turn, until there are
/// enough. Read eventually consistent, which costs half.
async fn sample(
    source: &Admin,
    reading: &Reading<'_>,
    table: &str,
    wanted: u64,
    seed: u64,
) -> Result<Vec<Item>> {
    let described = source.describe_table(table).await?;
    let known = described["ItemCount"].as_u64().unwrap_or_default();
    let page_size = wanted.div_ceil(SAMPLE_PARTS).clamp(1, 1_000);
    let total = (known / page_size).clamp(1, SAMPLE_SEGMENTS) as u32;
    let mut segments: Vec<u32> = (0..total).collect();
    Rng::with_seed(seed).shuffle(&mut segments);
    let read = |segment| Read {
        table: table.into(),
        segment: Some((segment, total)),
        page_size: Some(page_size as u32),
        ..Read::default()
    };
    let mut unopened = segments.into_iter();
    let mut open = VecDeque::new();
    let mut items = Vec::new();
    // A page of each before the second of any.
    while let Some(mut pages) = unopened
        .next()
        .map(|segment| reading.pages(read(segment)))
        .or_else(|| open.pop_front())
    {
        let page = pages.next().await?;
        items.extend(page.into_iter().flat_map(|page| page.items));
        if items.len() as u64 >= wanted {
            items.truncate(wanted as usize);
            break;
        }
        if !pages.is_over() {
            open.push_back(pages);
        }
    }
    Ok(items)
}
