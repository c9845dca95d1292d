//! Under which partition keys the records of a run lie. A partition key takes 1,000 write and 3,000 read units a second
//! (developer guide, Best practices for designing and using partition keys), whatever its table takes.
//!
//! Those of a small run lie under its id. Those of a large one are spread over several keys, called *shards*: all that belongs
//! to a segment lies under the shard of that segment, and there is a copy of the run record under each shard, from which the
//! workers of its segments read. The run record itself lies under the id of the run always.

use crate::records::RunRecord;
use crate::table::{KeyAttribute, KeySchema, KeyType};

/// The hash key of the table of records: where a record lies.
pub const PLACE: &str = "run_id";

/// Its range key: the name of a record.
pub const NAME: &str = "record";

/// The attribute of every record that says when it expires.
pub const EXPIRES: &str = "expires_at";

/// The name of the run record.
pub const RUN: &str = "run";

/// The name of a copy of the run record, and of the mark of one. Not that of the run record: a list of runs has each once.
pub const COPY: &str = "copy";

/// The name of the note of how far a verification has come.
pub const COUNT: &str = "count";

/// How all names begin that belong to a pass, in whose order the passes are.
pub const PASS: &str = "pass#";

/// How the names of the counts of exhausted segments begin.
pub const EXHAUSTED: &str = "exhausted#";

/// How the names in the list of runs begin; not that of a run record, whatever the id.
pub const LISTED: &str = "run#";

/// The name of the record of a guard.
pub const GUARD: &str = "guard";

/// How the names begin of what a guard has done, hour by hour.
pub const HOUR: &str = "hour#";

/// How the names begin of items that a guard could not repair.
pub const FAILED: &str = "failed#";

/// How the names begin of how far a guard has come in the shards of a stream.
pub const SHARD: &str = "shard#";

/// The names of records that are always the same.
pub const NAMES: [&str; 4] = [RUN, COPY, COUNT, GUARD];

/// How those of all other records begin.
pub const PREFIXES: [&str; 6] = [PASS, EXHAUSTED, LISTED, HOUR, FAILED, SHARD];

/// How the partition keys of guards begin. No run id has a `#`.
pub const GUARDS: &str = "#guard:";

/// The partition key of all records of the guard on a table.
pub fn guard_place(table: &str) -> String {
    format!("{GUARDS}{table}")
}

/// Whether a table has the keys of records: `run_id` and `record`, both strings.
pub fn is_key_of_records(keys: &KeySchema) -> bool {
    let is = |key: &KeyAttribute, name: &str| key.name == name && key.kind == KeyType::S;
    is(&keys.hash, PLACE) && keys.range.as_ref().is_some_and(|key| is(key, NAME))
}

/// Segments of the largest run whose records lie under one key.
pub const MOST_ON_ONE_KEY: u32 = 64;

/// Shards of a larger run. A thousand segments at once are some sixty for each; and whoever reads all records of a run, or
/// counts its exhausted segments, reads from each.
const SHARDS: u32 = 16;

/// Shards of a new run of so many segments; 1 is the run's id alone.
pub(crate) fn shards_of(total_segments: u32) -> u32 {
    if total_segments > MOST_ON_ONE_KEY {
        SHARDS
    } else {
        1
    }
}

/// The partition key of a shard of a run of `shards`. No run id has a `#`.
pub fn place(run_id: &str, shards: u32, shard: u32) -> String {
    if shards > 1 {
        format!("{run_id}#{shard:02}")
    } else {
        run_id.to_owned()
    }
}

/// The shard of a segment. Segments that are worked on together lie a lane apart, so that the remainder of a division could
/// be the same for all of them; multiplied by the golden ratio, the fractions of any sequence of equal steps lie evenly
/// (Knuth, The Art of Computer Programming, 6.4).
pub fn shard_of(segment: u32, shards: u32) -> u32 {
    ((u64::from(evenly(segment)) * u64::from(shards)) >> 32) as u32
}

/// A number times the golden ratio, without the whole part.
pub(crate) fn evenly(number: u32) -> u32 {
    number.wrapping_mul(0x9E37_79B9)
}

/// Where a worker that knows its segment and nothing else may find a copy of the run record: the shard, if the run is new and
/// large for certain. Any copy will do, so it matters not if the run has another number of shards.
pub(crate) fn likely_copy(segment: u32) -> Option<u32> {
    (segment >= MOST_ON_ONE_KEY).then(|| shard_of(segment, SHARDS))
}

impl RunRecord {
    /// The partition key of what belongs to a segment.
    pub fn place_of(&self, segment: u32) -> String {
        place(&self.run_id, self.shards, shard_of(segment, self.shards))
    }

    /// The shard whose copy of this record the worker of a segment reads; `None` if there are none.
    pub(crate) fn copy_near(&self, segment: u32) -> Option<u32> {
        (self.shards > 1).then(|| shard_of(segment, self.shards))
    }

    /// The shards that hold a copy of this record; none if its records lie under one key.
    pub(crate) fn copies(&self) -> std::ops::Range<u32> {
        0..if self.shards > 1 { self.shards } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Lanes;

    /// Whichever segments are worked on together, no shard has much more than its part of them.
    #[test]
    fn segments_at_once_are_spread_over_the_shards() {
        for (total, at_once) in [
            (1_000, 1_000),
            (1_024, 64),
            (4_000, 1_000),
            (4_096, 256),
            (10_000, 1_000),
            (233_000, 1_000),
            (1_000_000, 10_000),
        ] {
            let shards = shards_of(total);
            let order: Vec<u32> = Lanes::new(total, at_once).order().take(20_000).collect();
            for together in order.chunks(at_once as usize) {
                let mut of_shard = vec![0; shards as usize];
                for &segment in together {
                    of_shard[shard_of(segment, shards) as usize] += 1;
                }
                let most = of_shard.iter().max().copied().unwrap_or(0);
                let part = at_once.div_ceil(shards);
                assert!(most <= 2 * part, "{most} of {part}: {total}, {at_once}");
            }
        }
    }

    /// The records of a small run lie where they always lay, and no place is that of another run.
    #[test]
    fn a_place_belongs_to_one_run() {
        assert_eq!(shards_of(MOST_ON_ONE_KEY), 1);
        assert_eq!(place("run", 1, shard_of(3, 1)), "run");
        assert_eq!(shards_of(MOST_ON_ONE_KEY + 1), SHARDS);
        assert_eq!(place("run", SHARDS, 7), "run#07");
        assert!(crate::request::check_run_id("run#07").is_err());
        assert_eq!(likely_copy(MOST_ON_ONE_KEY - 1), None);
        assert!(likely_copy(MOST_ON_ONE_KEY).is_some());
    }
}
