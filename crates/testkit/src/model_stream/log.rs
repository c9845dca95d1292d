//! What a stream of the model holds: its shards, and the records of each.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use backfill_core::ports::stream::{RecordKind, StreamRecord, StreamView};
use backfill_core::{Item, Key};
use tokio::time::Instant;

use super::seen::StreamSeen;

/// For so long records are kept (developer guide, Change data capture for DynamoDB Streams).
const KEPT: Duration = Duration::from_secs(24 * 3_600);

/// After so long a shard ends, however little was written. The service says "some hours" at most; any number will do here.
const SHARD_LIFE: Duration = Duration::from_secs(4 * 3_600);

/// Within this a change is in the stream, and a new shard in its description: "near-real time".
const LAG_MS: u64 = 1_000;

/// The first sequence number: numbers get a digit more on the way.
const FIRST: u64 = 999_970;

/// A record, and when it can be read.
struct Kept {
    record: StreamRecord,
    sequence: u64,
    at: Instant,
    visible: Instant,
}

/// A shard: the records of a range of the hash space, for a time.
pub(super) struct Lot {
    pub(super) id: String,
    pub(super) parent: Option<String>,
    /// The range, both ends included.
    range: (u64, u64),
    opened: Instant,
    closed: Option<Instant>,
    /// From when on it is described.
    pub(super) described: Instant,
    /// After so many records it ends.
    lasts: u64,
    records: VecDeque<Kept>,
    /// Records before this sequence number are gone.
    pub(super) trimmed: u64,
}

impl Lot {
    /// At most so many records from this sequence number on that can be read now, and whether they are the last of a shard that has
    /// ended.
    pub(super) fn from(&self, next: u64, limit: u32) -> (Vec<StreamRecord>, bool) {
        let now = Instant::now();
        let rest = self.records.iter().skip_while(|kept| kept.sequence < next);
        let rest: Vec<&Kept> = rest.collect();
        let visible = rest.iter().take_while(|kept| kept.visible <= now);
        let records: Vec<StreamRecord> = visible
            .take(limit as usize)
            .map(|kept| kept.record.clone())
            .collect();
        let is_end = self.closed.is_some() && records.len() == rest.len();
        (records, is_end)
    }
}

/// The stream.
pub(super) struct Log {
    pub(super) random: fastrand::Rng,
    begin: Instant,
    begin_ms: u64,
    next: u64,
    named: u64,
    pub(super) shards: Vec<Lot>,
    pub(super) is_enabled: bool,
    pub(super) view: StreamView,
    pub(super) seen: StreamSeen,
    pub(super) changed_ms: BTreeMap<Key, u64>,
    /// What items were left like, one for each record that has one.
    pub(super) left: Vec<Item>,
}

impl Log {
    pub(super) fn new(seed: u64, begin_ms: u64) -> Log {
        let mut log = Log {
            random: fastrand::Rng::with_seed(seed),
            begin: Instant::now(),
            begin_ms,
            next: FIRST,
            named: 0,
            shards: Vec::new(),
            is_enabled: true,
            view: StreamView::NewImage,
            seen: StreamSeen::default(),
            changed_ms: BTreeMap::new(),
            left: Vec::new(),
        };
        log.open(None, (0, u64::MAX), Instant::now());
        log
    }

    pub(super) fn elapsed_ms(&self) -> u64 {
        self.begin.elapsed().as_millis() as u64
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.begin_ms + self.elapsed_ms()
    }

    fn lag(&mut self) -> Duration {
        Duration::from_millis(self.random.u64(..LAG_MS))
    }

    fn open(&mut self, parent: Option<String>, range: (u64, u64), now: Instant) {
        self.named += 1;
        let described = match parent {
            Some(_) => now + self.lag(),
            None => now,
        };
        self.shards.push(Lot {
            id: format!("shardId-{:020}-{:08x}", self.named, self.random.u32(..)),
            parent,
            range,
            opened: now,
            closed: None,
            described,
            lasts: self.random.u64(1..40),
            records: VecDeque::new(),
            trimmed: self.next,
        });
    }

    /// Ends a shard, and opens its children.
    fn end(&mut self, index: usize, now: Instant) {
        let shard = &mut self.shards[index];
        shard.closed = Some(now);
        let ((first, last), id) = (shard.range, shard.id.clone());
        let open = self.shards.iter().filter(|shard| shard.closed.is_none());
        let is_split = open.count() < 4 && self.random.bool();
        if is_split {
            self.seen.splits += 1;
            let middle = first + (last - first) / 2;
            self.open(Some(id.clone()), (first, middle), now);
            self.open(Some(id), (middle + 1, last), now);
        } else {
            self.seen.rollovers += 1;
            self.open(Some(id), (first, last), now);
        }
    }

    /// What time alone does: old shards end, old records go, and so do shards of which nothing is left.
    pub(super) fn tick(&mut self) {
        while let Some(old) = self.shards.iter().position(|shard| {
            self.is_enabled && shard.closed.is_none() && shard.opened.elapsed() >= SHARD_LIFE
        }) {
            let now = self.shards[old].opened + SHARD_LIFE;
            self.end(old, now);
        }
        for shard in &mut self.shards {
            while let Some(kept) = shard.records.front()
                && kept.at.elapsed() >= KEPT
            {
                shard.trimmed = kept.sequence + 1;
                self.seen.trimmed += 1;
                shard.records.pop_front();
            }
        }
        self.shards.retain(|shard| {
            let is_over = shard.closed.is_some_and(|closed| closed.elapsed() >= KEPT);
            !is_over || !shard.records.is_empty()
        });
    }

    /// Adds a change of an item, if it is one and the stream is on.
    pub(super) fn append(
        &mut self,
        hash: u64,
        key: &Key,
        before: Option<&Item>,
        after: Option<&Item>,
    ) -> bool {
        // "If the PutItem or UpdateItem doesn't change any data, no stream record is written."
        if before == after || !self.is_enabled {
            return false;
        }
        self.tick();
        self.note(key, after);
        let mut index = self.open_at(hash);
        if self.shards[index].records.len() as u64 >= self.shards[index].lasts {
            self.end(index, Instant::now());
            index = self.open_at(hash);
        }
        let visible = Instant::now() + self.lag();
        let at_ms = self.now_ms();
        let image = after.filter(|_| self.view.has_new_image());
        let record = StreamRecord {
            sequence: self.next.to_string(),
            kind: match (before, after) {
                (_, None) => RecordKind::Remove,
                (None, Some(_)) => RecordKind::Insert,
                (Some(_), Some(_)) => RecordKind::Modify,
            },
            key: key.clone(),
            image: image.cloned(),
            at_ms: at_ms - at_ms % 1_000,
        };
        let shard = &mut self.shards[index];
        let visible = shard
            .records
            .back()
            .map_or(visible, |last| visible.max(last.visible));
        shard.records.push_back(Kept {
            record,
            sequence: self.next,
            at: Instant::now(),
            visible,
        });
        self.next += 1;
        true
    }

    fn note(&mut self, key: &Key, after: Option<&Item>) {
        self.seen.records += 1;
        self.seen.removed += u64::from(after.is_none());
        let at_ms = self.now_ms();
        self.changed_ms.insert(key.clone(), at_ms);
        self.left.extend(after.cloned());
    }

    fn open_at(&self, hash: u64) -> usize {
        let covers =
            |shard: &Lot| shard.closed.is_none() && shard.range.0 <= hash && hash <= shard.range.1;
        let found = self.shards.iter().position(covers);
        found.expect("the open shards cover the hash space")
    }

    pub(super) fn shard(&self, id: &str) -> Option<&Lot> {
        self.shards.iter().find(|shard| shard.id == id)
    }

    pub(super) fn iterator(&self, shard: &str, next: u64) -> String {
        format!("{shard}|{next}|{}", self.elapsed_ms())
    }

    /// When the next record that is there can be read; `None` if all can.
    pub(super) fn next_visible(&self) -> Option<Instant> {
        let now = Instant::now();
        let records = self.shards.iter().flat_map(|shard| &shard.records);
        records
            .map(|kept| kept.visible)
            .filter(|visible| *visible > now)
            .min()
    }

    pub(super) fn oldest_unseen_ms(
        &self,
        places: &BTreeMap<String, Option<String>>,
    ) -> Option<u64> {
        let now = Instant::now();
        let of_shard = |shard: &Lot| {
            let from = match places.get(&shard.id) {
                Some(None) => return None,
                Some(Some(next)) => next.parse().unwrap_or(0),
                None => 0,
            };
            let mut unseen = shard.records.iter().filter(|kept| kept.sequence >= from);
            unseen
                .find(|kept| kept.visible <= now)
                .map(|kept| kept.record.at_ms)
        };
        self.shards.iter().filter_map(of_shard).min()
    }
}
