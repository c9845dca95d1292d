//! Which shards there are, how far each has come, and whose turn is next.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::Error;
use crate::ports::stream::Shard;
use crate::records::{GuardRecord, ShardPosition};

/// Between two looks at a shard that had nothing new. A look costs a read, also if it finds nothing.
const IDLE: Duration = Duration::from_secs(1);

/// Longest wait for a shard that cannot be read, or whose records cannot be settled.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Empty pages in a row after which a shard has nothing new: also a page in the middle may be empty.
pub(super) const QUIET_PAGES: u32 = 10;

/// How far the reading of a shard has come.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) shard: Shard,
    /// Up to where everything is settled and stored.
    pub(super) settled: Option<String>,
    /// When that was stored, or when the shard was seen first; milliseconds since 1970.
    pub(super) stored_ms: u64,
    /// Where to read on; `None` after the last settled record.
    pub(super) iterator: Option<String>,
    /// When the last record that is settled was written, as long as there may be others behind it; milliseconds since 1970.
    pub(super) seen_ms: Option<u64>,
    /// Whether its position is stored under the generation of this process.
    pub(super) is_admitted: bool,
    /// Whether it is closed and settled to its end, or gone.
    pub(super) is_done: bool,
    /// Pages in a row without a record.
    pub(super) empty_pages: u32,
    wait: Duration,
    due: Instant,
}

impl Place {
    fn new(shard: Shard, now_ms: u64) -> Place {
        Place {
            shard,
            settled: None,
            stored_ms: now_ms,
            iterator: None,
            seen_ms: None,
            is_admitted: false,
            is_done: false,
            empty_pages: 0,
            wait: Duration::ZERO,
            due: Instant::now(),
        }
    }

    /// Goes on at once.
    pub(super) fn go_on(&mut self) {
        self.wait = Duration::ZERO;
        self.due = Instant::now();
    }

    /// Goes on when there may be something new.
    pub(super) fn rest(&mut self) {
        self.empty_pages += 1;
        if self.is_quiet() {
            self.seen_ms = None;
        }
        self.wait = Duration::ZERO;
        self.due = Instant::now() + IDLE;
    }

    /// Goes on after the last settled record, a while later, and later each time.
    pub(super) fn slow_down(&mut self) {
        self.iterator = None;
        self.wait = (self.wait * 2).clamp(IDLE, MAX_WAIT);
        // Shards that are throttled together do not come back together.
        let wait = self.wait.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.due = Instant::now() + wait;
    }

    /// Whether it has nothing new, as far as one can see.
    pub(super) fn is_quiet(&self) -> bool {
        self.is_done || self.empty_pages >= QUIET_PAGES
    }
}

/// All shards of a stream that are not gone and done.
#[derive(Debug, Default)]
pub(super) struct Shards {
    places: BTreeMap<String, Place>,
    /// Those whose turn it is: they are with whoever reads them.
    taken: BTreeSet<String>,
    /// What is stored of shards that have not been described yet.
    stored: BTreeMap<String, ShardPosition>,
    /// Closed shards that are settled to their end.
    done: BTreeSet<String>,
    /// Shards of the latest description.
    described: BTreeSet<String>,
}

impl Shards {
    /// With what is stored for this guard.
    pub(super) fn new(positions: Vec<ShardPosition>, guard: &GuardRecord) -> Shards {
        let positions = positions.into_iter();
        let positions = positions.filter(|position| guard.counts(position));
        Shards {
            stored: positions
                .map(|position| (position.shard.clone(), position))
                .collect(),
            ..Shards::default()
        }
    }

    /// Takes over a new description.
    pub(super) fn describe(&mut self, shards: Vec<Shard>, now_ms: u64) {
        self.described = shards.iter().map(|shard| shard.id.clone()).collect();
        for shard in shards {
            let id = shard.id.clone();
            if self.done.contains(&id) || self.is_known(&id) {
                continue;
            }
            match self.stored.remove(&id) {
                Some(stored) if stored.is_exhausted => {
                    self.done.insert(id);
                }
                Some(stored) => self.go_on_from(shard, stored),
                None => {
                    self.places.insert(id, Place::new(shard, now_ms));
                }
            }
        }
        // What is gone from the stream is never described again. Whoever asks for it hears that, and notes what was not settled.
        let described = &self.described;
        self.done.retain(|id| described.contains(id));
        for (id, stored) in std::mem::take(&mut self.stored) {
            if !stored.is_exhausted {
                self.go_on_from(Shard { id, parent: None }, stored);
            }
        }
    }

    /// A shard goes on where the process before has stopped.
    fn go_on_from(&mut self, shard: Shard, stored: ShardPosition) {
        let place = Place {
            settled: stored.settled,
            ..Place::new(shard, stored.at_ms)
        };
        self.places.insert(place.shard.id.clone(), place);
    }

    fn is_known(&self, id: &str) -> bool {
        self.places.contains_key(id) || self.taken.contains(id)
    }

    /// Whether a shard can have its turn. Its position is stored at once; its records may be settled when those of its parent are.
    fn has_turns(&self, place: &Place) -> bool {
        let parent = place.shard.parent.as_deref();
        let parent = parent.filter(|_| place.is_admitted);
        parent.is_none_or(|parent| {
            // A parent that is gone from the stream counts as done, unless it is still being read.
            !self.is_known(parent)
                && (self.done.contains(parent) || !self.described.contains(parent))
        })
    }

    /// The shard whose turn it is, if there is one.
    pub(super) fn take(&mut self) -> Option<Place> {
        let now = Instant::now();
        let ready = self.places.values();
        let ready = ready.filter(|place| place.due <= now && self.has_turns(place));
        let id = ready.min_by_key(|place| place.due)?.shard.id.clone();
        let place = self.places.remove(&id)?;
        self.taken.insert(id);
        Some(place)
    }

    /// When the next turn is due; `None` if nothing can be read.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let ready = self.places.values().filter(|place| self.has_turns(place));
        ready.map(|place| place.due).min()
    }

    /// Takes a shard back.
    pub(super) fn put_back(&mut self, place: Place) {
        self.taken.remove(&place.shard.id);
        if place.is_done {
            self.done.insert(place.shard.id);
        } else {
            self.places.insert(place.shard.id.clone(), place);
        }
    }

    /// Whether every shard that can be read has nothing new.
    pub(super) fn are_quiet(&self) -> bool {
        self.taken.is_empty() && self.places.values().all(Place::is_quiet)
    }

    /// Those that wait for their turns.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Place> {
        self.places.values()
    }
}

/// What came of the turn of a shard.
#[derive(Debug)]
pub(super) enum Turned {
    /// What there was is settled, or a part of it.
    Well,
    /// It did not go well, and may go well later.
    Later(Error),
    /// The guard cannot go on.
    Never(Error),
}
