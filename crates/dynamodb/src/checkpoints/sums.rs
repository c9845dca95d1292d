//! How the sum of a block lies in the checkpoint table: one level of attributes, to each of which is added, and one for each
//! segment that is in it, which no other addition may find there.
//!
//! | attribute | holds |
//! |---|---|
//! | `s0` to `s63` | items that the segment in this place has scanned: it is in the sum |
//! | `x0` to `x63` | items of it that cannot be updated, if any |
//! | `scanned`, `matched`, … | totals |
//! | `w17`, `r17` | writes and reads whose time was in this bucket |
//!
//! How many blocks are full is an item of its own, with `blocks`, `trials` and `saved_ms`, as in [`FullBlocks`].

use backfill_core::records::{BlockSum, Counters, FullBlocks, RunRecord, VERSION};
use backfill_core::{Error, ErrorKind, Item, Result, Value};

use super::CheckpointTable;
use super::form::{Part, expires_at, full_key, key, names, number, sums_key, sums_prefix, values};
use crate::calls::{CONDITION_FAILED, PutItem, UpdateItem};
use crate::send::ProvideErrorMetadata as _;

/// Counters by their attributes.
fn counters(counters: &Counters) -> [(&'static str, Value); 12] {
    // As a pattern, so that a new counter cannot be forgotten here.
    let Counters {
        scanned,
        matched,
        updated,
        raced,
        vanished,
        rejected,
        contended,
        consumed_rcu,
        consumed_wcu,
        throttles,
        worked_seconds,
        checkpoints,
    } = *counters;
    [
        ("scanned", number(scanned)),
        ("matched", number(matched)),
        ("updated", number(updated)),
        ("raced", number(raced)),
        ("vanished", number(vanished)),
        ("rejected", number(rejected)),
        ("contended", number(contended)),
        ("consumed_rcu", number(consumed_rcu)),
        ("consumed_wcu", number(consumed_wcu)),
        ("throttles", number(throttles)),
        ("worked_seconds", number(worked_seconds)),
        ("checkpoints", number(checkpoints)),
    ]
}

/// What is added to attributes, and what is set, with the attributes of the segments first.
struct Parts {
    segments: Vec<String>,
    set: Vec<(String, Value)>,
    add: Vec<(String, Value)>,
}

impl Parts {
    /// The update.
    fn expression(&self) -> String {
        let each = |form: &str, parts: &[(String, Value)]| {
            let parts = parts.iter().map(|(name, _)| form.replace('?', name));
            parts.collect::<Vec<_>>().join(", ")
        };
        format!(
            "SET {} ADD {}",
            each("#? = :?", &self.set),
            each("#? :?", &self.add)
        )
    }

    /// That none of the segments is there.
    fn condition(&self) -> String {
        let each = self.segments.iter();
        let each = each.map(|name| format!("attribute_not_exists(#{name})"));
        each.collect::<Vec<_>>().join(" AND ")
    }
}

fn parts(sum: &BlockSum) -> Parts {
    let mut parts = Parts {
        segments: Vec::new(),
        set: Vec::new(),
        add: Vec::new(),
    };
    for (place, scanned) in &sum.segments {
        parts.segments.push(format!("s{place}"));
        parts.set.push((format!("s{place}"), number(scanned)));
    }
    for (place, rejected) in &sum.rejected {
        parts.set.push((format!("x{place}"), number(rejected)));
    }
    if let Some(throttled_by) = &sum.throttled_by {
        let throttled_by = Value::S(throttled_by.clone());
        parts.set.push(("throttled_by".into(), throttled_by));
    }
    for (name, value) in [
        ("version", number(VERSION)),
        ("expires_at", expires_at()),
        ("saved_ms", number(sum.saved_ms)),
    ] {
        parts.set.push((name.into(), value));
    }
    let more = [
        ("chunks", number(sum.chunks)),
        ("trials", number(sum.trials)),
    ];
    let named = counters(&sum.counters).into_iter().chain(more);
    let zero = number(0);
    let named = named.filter(|(_, value)| *value != zero);
    parts
        .add
        .extend(named.map(|(name, value)| (name.to_owned(), value)));
    for (kind, histogram) in [("w", &sum.latency.writes), ("r", &sum.latency.reads)] {
        let buckets = histogram.counts();
        parts
            .add
            .extend(buckets.map(|(bucket, count)| (format!("{kind}{bucket}"), number(count))));
    }
    parts
}

/// The sum of a block as it is stored.
///
/// Errors: `Internal` if this version has not written it.
fn read(table: &str, item: Item) -> Result<BlockSum> {
    let name = match item.get("record") {
        Some(Value::S(record)) => record.clone(),
        _ => String::new(),
    };
    let wrong = |why: &str| {
        let why = format!(
            "checkpoint table {table}: record {name} was not written by this version of backfill: {why}"
        );
        Error::new(ErrorKind::Internal, why)
    };
    let block = name.rsplit('#').next().and_then(|block| block.parse().ok());
    let mut sum = BlockSum {
        block: block.ok_or_else(|| wrong("its name has no number"))?,
        ..BlockSum::default()
    };
    if item.get("version") != Some(&number(VERSION)) {
        return Err(wrong(&format!("expected version {VERSION}")));
    }
    for (attribute, value) in item {
        let text = match value {
            Value::N(text) => text,
            Value::S(text) if attribute == "throttled_by" => {
                sum.throttled_by = Some(text);
                continue;
            }
            _ => continue,
        };
        let count = || text.parse::<u64>().map_err(|_| wrong(&attribute));
        let units = || text.parse::<f64>().map_err(|_| wrong(&attribute));
        let counters = &mut sum.counters;
        match attribute.as_str() {
            "scanned" => counters.scanned = count()?,
            "matched" => counters.matched = count()?,
            "updated" => counters.updated = count()?,
            "raced" => counters.raced = count()?,
            "vanished" => counters.vanished = count()?,
            "rejected" => counters.rejected = count()?,
            "contended" => counters.contended = count()?,
            "consumed_rcu" => counters.consumed_rcu = units()?,
            "consumed_wcu" => counters.consumed_wcu = units()?,
            "throttles" => counters.throttles = count()?,
            "worked_seconds" => counters.worked_seconds = units()?,
            "checkpoints" => counters.checkpoints = count()?,
            "chunks" => sum.chunks = count()?,
            "trials" => sum.trials = count()?,
            "saved_ms" => sum.saved_ms = count()?,
            _ => {
                // Others are nobody's here: of a later version, or those that every record has.
                let (kind, place) = attribute.split_at(1.min(attribute.len()));
                match (kind, place.parse::<u8>()) {
                    ("s", Ok(place)) => sum.segments.push((place, count()?)),
                    ("x", Ok(place)) => sum.rejected.push((place, count()?)),
                    ("w", Ok(bucket)) => sum.latency.writes.add_to(bucket, count()?),
                    ("r", Ok(bucket)) => sum.latency.reads.add_to(bucket, count()?),
                    _ => {}
                }
            }
        }
    }
    Ok(sum)
}

impl CheckpointTable {
    /// The sums under a shard from this block on.
    pub(super) async fn read_sums(
        &self,
        run: &RunRecord,
        pass: u32,
        shard: u32,
        from: u32,
    ) -> Result<Vec<BlockSum>> {
        let place = run.place_of_sums(shard);
        let part = Part::since(place, &sums_prefix(pass), sums_key(pass, from));
        let items = self.items(&part).await?.into_iter();
        items.map(|item| read(&self.name, item)).collect()
    }

    /// Adds to the sum of a block, unless one of these segments is in there.
    pub(super) async fn add_sum(&self, run: &RunRecord, sum: &BlockSum) -> Result<bool> {
        let parts = parts(sum);
        let (expression, condition) = (parts.expression(), parts.condition());
        let written: Item = parts.set.into_iter().chain(parts.add).collect();
        let place = run.place_of_sums(run.shard_of_block(sum.block));
        let key = key(&place, &sums_key(run.pass, sum.block));
        let update = UpdateItem {
            condition_expression: Some(&condition),
            expression_attribute_names: Some(&names(written.keys().map(String::as_str))),
            expression_attribute_values: Some(&values(
                written
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.clone())),
            )),
            ..self.update(&key, &expression)
        };
        match self.sender.call(&update).await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some(CONDITION_FAILED) => Ok(false),
            Err(error) => Err(self.failed("summing up in", error)),
        }
    }

    /// Puts the sum of a block, if the one that is there has so many chunks (0: there is none).
    pub(super) async fn put_sum(
        &self,
        run: &RunRecord,
        sum: &BlockSum,
        chunks: u64,
    ) -> Result<bool> {
        let Parts { set, add, .. } = parts(sum);
        let place = run.place_of_sums(run.shard_of_block(sum.block));
        let key = key(&place, &sums_key(run.pass, sum.block));
        let item: Item = key.0.into_iter().chain(set).chain(add).collect();
        let seen = values([("seen", number(chunks))]);
        let (condition, seen) = match chunks {
            0 => ("attribute_not_exists(run_id)", Item::new()),
            _ => ("chunks = :seen", seen),
        };
        self.put_if(&item, condition, &seen, "summing up in").await
    }

    /// Which blocks are full, as far as that is noted. A note of another version is none.
    pub(super) async fn read_full(&self, run: &RunRecord, pass: u32) -> Result<FullBlocks> {
        let key = key(&run.place_of_sums(0), &full_key(pass));
        let note = self.record(&key, true).await?.unwrap_or_default();
        let number_of = |name: &str| match note.get(name) {
            Some(Value::N(text)) => text.parse::<u64>().ok(),
            _ => None,
        };
        let read = || {
            Some(FullBlocks {
                blocks: u32::try_from(number_of("blocks")?).ok()?,
                trials: number_of("trials")?,
                saved_ms: number_of("saved_ms")?,
            })
        };
        let is_known = note.get("version") == Some(&number(VERSION));
        Ok(read().filter(|_| is_known).unwrap_or_default())
    }

    /// Notes which blocks are full, unless it is noted of as many.
    pub(super) async fn put_full(&self, run: &RunRecord, full: &FullBlocks) -> Result<()> {
        let key = key(&run.place_of_sums(0), &full_key(run.pass));
        let attributes = [
            ("version", number(VERSION)),
            ("expires_at", expires_at()),
            ("blocks", number(full.blocks)),
            ("trials", number(full.trials)),
            ("saved_ms", number(full.saved_ms)),
        ];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value));
        let item: Item = key.0.into_iter().chain(attributes).collect();
        let condition = "attribute_not_exists(blocks) OR blocks < :blocks";
        let seen = values([("blocks", number(full.blocks))]);
        let put = self.put_if(&item, condition, &seen, "writing").await;
        put.map(drop)
    }

    /// Puts an item under a condition; false if it does not hold.
    async fn put_if(
        &self,
        item: &Item,
        condition: &str,
        values: &Item,
        doing: &str,
    ) -> Result<bool> {
        let put = PutItem {
            table_name: &self.name,
            item,
            condition_expression: condition,
            expression_attribute_values: Some(values),
            return_values_on_condition_check_failure: "NONE",
        };
        match self.sender.call(&put).await {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some(CONDITION_FAILED) => Ok(false),
            Err(error) => Err(self.failed(doing, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use backfill_core::records::{BLOCK_SEGMENTS, Latencies};
    use backfill_core::value::size::item_bytes;

    use super::*;

    /// The sum of a full block of segments with ten items each, which took times from one to forty milliseconds.
    fn full(rejected: u64) -> BlockSum {
        let mut latency = Latencies::default();
        for ms in 1..40 {
            latency.writes.note(Duration::from_millis(ms));
            latency.reads.note(Duration::from_millis(ms / 2 + 1));
        }
        let places = || 0..BLOCK_SEGMENTS as u8;
        BlockSum {
            block: 12,
            segments: places().map(|place| (place, 10)).collect(),
            rejected: places()
                .filter(|_| rejected > 0)
                .map(|place| (place, rejected))
                .collect(),
            counters: Counters {
                scanned: 640,
                matched: 640,
                updated: 590,
                raced: 40,
                contended: 10,
                consumed_rcu: 32.5,
                consumed_wcu: 640.0,
                worked_seconds: 12.345,
                checkpoints: 64,
                ..Counters::default()
            },
            chunks: 64,
            trials: 3,
            latency,
            throttled_by: Some("ThrottlingException: throttled".into()),
            saved_ms: 1_800_000_000_123,
        }
    }

    fn stored(sum: &BlockSum) -> Item {
        let Parts { set, add, .. } = parts(sum);
        let named = key("stuff-1#03", &sums_key(1, sum.block)).0.into_iter();
        named.chain(set).chain(add).collect()
    }

    #[test]
    fn what_is_stored_is_read_again() {
        for rejected in [0, 2] {
            let sum = full(rejected);
            let mut found = read("checkpoints", stored(&sum)).unwrap();
            found.segments.sort_unstable();
            found.rejected.sort_unstable();
            assert_eq!(found, sum);
        }
        let mut later = stored(&full(0));
        later.insert("version".into(), number(VERSION + 1));
        let error = read("checkpoints", later).unwrap_err().to_string();
        assert!(error.contains("pass#00001#sums#0000012"), "{error}");
        assert!(error.contains("expected version 1"), "{error}");
    }

    /// An expression has at most 4 KB and 300 operators (developer guide, Quotas, Expression parameters), and a full block costs two
    /// write units at most.
    #[test]
    fn a_full_block_can_be_added_at_once() {
        let parts = parts(&full(2));
        assert!(parts.expression().len() <= 4_096);
        assert!(parts.condition().len() <= 4_096);
        assert!(parts.set.len() + parts.add.len() <= 300);
        assert!(2 * parts.segments.len() <= 300);
        let bytes = item_bytes(&stored(&full(0)));
        assert!(bytes <= 1_024, "{bytes}");
        let bytes = item_bytes(&stored(&full(2)));
        assert!(bytes <= 2_048, "{bytes}");
    }
}
