//! The model of an event source mapping of Lambda on a stream: it reads each shard, brings its records to a function in batches, one
//! invocation of a shard at a time and in order, and brings what has failed again. What it rests on is in docs/AWS-FACTS.md, under
//! Streams.

mod shard;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use backfill_core::ports::stream::{Shard, StreamReader as _, StreamRecord};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::model_stream::ModelStream;

/// What is set of a mapping.
#[derive(Debug, Clone)]
pub struct MappingSettings {
    /// BatchSize: most records of a batch.
    pub batch_size: usize,
    /// MaximumBatchingWindowInSeconds: for so long a batch is filled.
    pub window: Duration,
    /// BisectBatchOnFunctionError: of what has failed, the halves come again, one after the other.
    pub bisects: bool,
    /// ReportBatchItemFailures: the function's word on single records counts.
    pub reports: bool,
    /// MaximumRecordAgeInSeconds: older records are given up.
    pub max_age: Duration,
    /// The function's timeout.
    pub timeout: Duration,
    /// Of a thousand invocations so many are killed in the middle.
    pub kills: u32,
    /// Of a thousand batches that have succeeded so many come once more.
    pub repeats: u32,
}

/// What a mapping brings records to.
pub trait StreamFunction {
    /// Handles the records of a batch, and returns the sequence numbers of those that have failed; an error fails all of them. It is
    /// dropped in the middle if it is killed.
    fn handle(
        &self,
        records: Vec<StreamRecord>,
        deadline: Instant,
    ) -> impl Future<Output = Result<Vec<String>, String>>;
}

/// Records that were given up: their shard, and the sequence numbers of the first and the last. Nothing of the records themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// ShardId.
    pub shard: String,
    /// startSequenceNumber.
    pub first: String,
    /// endSequenceNumber.
    pub last: String,
    /// approximateArrivalOfFirstRecord, in milliseconds since 1970.
    pub first_ms: u64,
    /// approximateArrivalOfLastRecord, in milliseconds since 1970.
    pub last_ms: u64,
    /// timestamp: when they were given up, in milliseconds since 1970.
    pub at_ms: u64,
}

/// What Lambda says of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// UUID: one that was made anew has another.
    pub uuid: String,
    /// State.
    pub state: &'static str,
    /// LastProcessingResult, if it is a problem.
    pub problem: Option<&'static str>,
}

/// What a mapping has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Invocations.
    pub batches: u64,
    /// Records of all invocations.
    pub records: u64,
    /// Records that were brought before.
    pub again: u64,
    /// Batches that were cut in two.
    pub bisected: u64,
    /// Answers that named failed records.
    pub reported: u64,
    /// Invocations that were killed in the middle.
    pub killed: u64,
    /// Records that were given up because of their age.
    pub given_up: u64,
    /// Shards whose next record was trimmed before it was read.
    pub too_late: u64,
    /// Iterators that had expired.
    pub expired: u64,
    /// Shards that were read to their end.
    pub ended: u64,
}

impl Delivered {
    /// Adds what has happened elsewhere.
    pub fn add(&mut self, other: Delivered) {
        self.batches += other.batches;
        self.records += other.records;
        self.again += other.again;
        self.bisected += other.bisected;
        self.reported += other.reported;
        self.killed += other.killed;
        self.given_up += other.given_up;
        self.too_late += other.too_late;
        self.expired += other.expired;
        self.ended += other.ended;
    }
}

/// What stays of a mapping while it is off.
#[derive(Default)]
struct State {
    /// The sequence number to go on with in each shard.
    next: BTreeMap<String, u64>,
    /// Shards that were read to their ends.
    done: BTreeSet<String>,
    dead_letters: VecDeque<DeadLetter>,
    /// It was stuck, and has brought nothing since.
    has_problem: bool,
    /// Sequence numbers that were brought.
    brought: BTreeSet<u64>,
    delivered: Delivered,
}

/// A mapping. Its clones are the same one.
#[derive(Clone)]
pub struct ModelMapping {
    stream: ModelStream,
    settings: MappingSettings,
    random: Arc<Mutex<fastrand::Rng>>,
    state: Arc<Mutex<State>>,
    switch: watch::Sender<Switch>,
}

/// How a mapping stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Switch {
    /// Which mapping it is, of those that there were: grows when one is made anew.
    made: u32,
    is_there: bool,
    is_enabled: bool,
    /// It is on, and able to hand over nothing.
    is_stuck: bool,
}

impl Switch {
    /// Whether this mapping hands records over.
    fn hands_over(&self) -> bool {
        self.is_there && self.is_enabled && !self.is_stuck
    }
}

impl ModelMapping {
    /// A mapping on this stream from its oldest record on (TRIM_HORIZON).
    pub fn new(stream: ModelStream, settings: MappingSettings, seed: u64) -> Self {
        let (switch, _) = watch::channel(Switch {
            made: 1,
            is_there: true,
            is_enabled: true,
            is_stuck: false,
        });
        ModelMapping {
            stream,
            settings,
            random: Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))),
            state: Arc::default(),
            switch,
        }
    }

    /// Switches it on, to go on where it was, or off. What is in flight ends.
    pub fn enable(&self, is_enabled: bool) {
        self.switch.send_modify(|now| now.is_enabled = is_enabled);
    }

    /// Whether it is there and on.
    pub fn is_enabled(&self) -> bool {
        let now = *self.switch.borrow();
        now.is_there && now.is_enabled
    }

    /// Deletes it, with the places that it has reached. What is in flight ends; what it has given up stays in the queue.
    pub fn delete(&self) {
        self.switch.send_modify(|now| now.is_there = false);
        let mut state = self.state();
        state.next.clear();
        state.done.clear();
    }

    /// Makes it anew if it was deleted: another one, from the oldest record that is left on.
    pub fn make_anew(&self) {
        self.switch.send_if_modified(|now| {
            let is_made = !now.is_there;
            *now = Switch {
                made: now.made + u32::from(is_made),
                is_there: true,
                ..*now
            };
            is_made
        });
    }

    /// It is stuck, or no more: as long as it is, it is on, and hands nothing over.
    pub fn stick(&self, is_stuck: bool) {
        self.switch.send_modify(|now| now.is_stuck = is_stuck);
        self.state().has_problem = true;
    }

    /// What Lambda says of it: `None` if there is none. A problem is that of its last try.
    pub fn described(&self) -> Option<Described> {
        let now = *self.switch.borrow();
        let has_problem = now.is_enabled && (now.is_stuck || self.state().has_problem);
        now.is_there.then(|| Described {
            uuid: format!("{:08x}-0000-4000-8000-000000000000", now.made),
            state: if now.is_enabled {
                "Enabled"
            } else {
                "Disabled"
            },
            problem: has_problem.then_some("PROBLEM: Function call failed"),
        })
    }

    /// What it has done so far.
    pub fn delivered(&self) -> Delivered {
        self.state().delivered
    }

    /// The oldest dead letter, which stays until it is removed.
    pub fn dead_letter(&self) -> Option<DeadLetter> {
        self.state().dead_letters.front().cloned()
    }

    /// This dead letter was handled.
    pub fn remove_dead_letter(&self, handled: &DeadLetter) {
        self.state().dead_letters.retain(|letter| letter != handled);
    }

    /// The creation of the oldest record that was not handled: one that can be read, or one that was given up and whose dead letter is
    /// there. In milliseconds since 1970; `None` if there is none.
    pub fn oldest_unseen_ms(&self) -> Option<u64> {
        let (places, given_up) = {
            let state = self.state();
            let next = state.next.iter();
            let mut places: BTreeMap<String, Option<String>> = next
                .map(|(shard, next)| (shard.clone(), Some(next.to_string())))
                .collect();
            places.extend(state.done.iter().map(|shard| (shard.clone(), None)));
            let given_up = state.dead_letters.iter().map(|letter| letter.first_ms);
            (places, given_up.min())
        };
        let unseen = self.stream.oldest_unseen_ms(&places);
        unseen.into_iter().chain(given_up).min()
    }

    /// Reads the stream and brings its records to the function, for ever.
    pub async fn work(&self, function: &impl StreamFunction) {
        let mut at_work = FuturesUnordered::new();
        let mut names = BTreeSet::new();
        loop {
            if let Ok(described) = self.stream.describe_stream(self.stream.arn()).await {
                for shard in self.due(&described.shards) {
                    if names.insert(shard.id.clone()) {
                        at_work.push(self.work_on(shard.id, function));
                    }
                }
            }
            let again = Duration::from_millis(self.random().u64(200..300_000));
            let described = Duration::from_millis(self.random().u64(..1_500));
            tokio::select! {
                // A seed is to do the same again.
                biased;
                Some(ended) = at_work.next(), if !at_work.is_empty() => {
                    names.remove(&ended);
                    // Its children are described within a second.
                    sleep(described).await;
                }
                () = sleep(again) => {}
            }
        }
    }

    /// The shards that are to be read now: those whose parents are done or gone.
    fn due(&self, described: &[Shard]) -> Vec<Shard> {
        let state = self.state();
        let is_read =
            |id: &String| state.done.contains(id) || !described.iter().any(|shard| shard.id == *id);
        let due = described.iter().filter(|shard| {
            !state.done.contains(&shard.id) && shard.parent.as_ref().is_none_or(is_read)
        });
        due.cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn random(&self) -> MutexGuard<'_, fastrand::Rng> {
        self.random.lock().unwrap()
    }

    /// Whether something happens that happens so often in a thousand times.
    fn happens(&self, in_a_thousand: u32) -> bool {
        self.random().u32(..1_000) < in_a_thousand
    }
}

#[cfg(test)]
mod tests;
