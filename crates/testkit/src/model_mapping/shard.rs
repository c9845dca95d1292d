//! How a mapping works on one shard.

use std::collections::VecDeque;
use std::time::Duration;

use backfill_core::ports::stream::{Begin, Iterator, Read, StreamReader as _, StreamRecord};
use tokio::time::{Instant, sleep, sleep_until};

use super::{DeadLetter, ModelMapping, StreamFunction, Switch};

/// Between two tries of what has failed: at first, and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(300));

/// What an invocation has left.
enum Left {
    /// Nothing.
    Nothing,
    /// The records from here on.
    From(usize),
    /// All of them: the function has failed.
    All,
}

/// What reading has brought.
enum Batch {
    /// These records, at least one.
    Of(Vec<StreamRecord>),
    /// Nothing, and more may come.
    Empty,
    /// The shard has ended.
    End,
}

fn number(record: &StreamRecord) -> u64 {
    record
        .sequence
        .parse()
        .expect("the stream of the model has numbered it")
}

impl ModelMapping {
    /// Works on a shard to its end, or to that of the mapping; returns its name.
    pub(super) async fn work_on(&self, shard: String, function: &impl StreamFunction) -> String {
        let mut appended = self.stream.appended();
        let mut switch = self.switch.subscribe();
        let made = switch.borrow().made;
        let mut iterator = None;
        loop {
            match switch.wait_for(Switch::hands_over).await {
                Ok(now) if now.made == made => {}
                _ => return shard,
            }
            appended.borrow_and_update();
            match self.batch(&shard, &mut iterator).await {
                Batch::Of(batch) => {
                    if !self.bring(made, &shard, batch, function).await {
                        iterator = None;
                    }
                }
                Batch::Empty => {
                    let is_well = self.is_at_work(made);
                    self.state().has_problem &= !is_well;
                    self.stream.changed(&mut appended).await;
                    let polled = self.random().u64(..250);
                    sleep(Duration::from_millis(polled)).await;
                }
                Batch::End => {
                    if self.is_at_work(made) {
                        let mut state = self.state();
                        state.delivered.ended += 1;
                        state.done.insert(shard.clone());
                    }
                    return shard;
                }
            }
        }
    }

    /// Whether it is this mapping still that there is, and it hands over what it reads.
    fn is_at_work(&self, made: u32) -> bool {
        self.is_there(made) && self.switch.borrow().hands_over()
    }

    /// Whether it is this mapping still that there is.
    fn is_there(&self, made: u32) -> bool {
        let now = *self.switch.borrow();
        now.made == made && now.is_there
    }

    /// Where to read on in this shard.
    async fn place(&self, shard: &str) -> Option<String> {
        let next = self.state().next.get(shard).copied();
        let sequence = next.map(|next| next.to_string());
        let begin = sequence.as_deref().map_or(Begin::Oldest, Begin::At);
        match self.stream.iterator(self.stream.arn(), shard, begin).await {
            Ok(Iterator::At(iterator)) => Some(iterator),
            Ok(Iterator::Trimmed) => {
                // It goes on with what there is, and says nothing.
                let mut state = self.state();
                state.delivered.too_late += 1;
                state.next.remove(shard);
                None
            }
            Ok(Iterator::Gone) => {
                self.state().done.insert(shard.to_owned());
                None
            }
            Err(_) => {
                sleep(Duration::from_millis(250)).await;
                None
            }
        }
    }

    /// The next batch of this shard, filled for as long as the window lasts.
    async fn batch(&self, shard: &str, place: &mut Option<String>) -> Batch {
        let mut batch: Vec<StreamRecord> = Vec::new();
        let mut until = None;
        loop {
            if self.state().done.contains(shard) {
                return Batch::End;
            }
            if place.is_none() {
                *place = self.place(shard).await;
            }
            let Some(iterator) = place.clone() else {
                continue;
            };
            let room = (self.settings.batch_size - batch.len()) as u32;
            match self.stream.read(&iterator, room).await {
                Ok(Read::Records(records, next)) => {
                    // Those of the model can be read.
                    batch.extend(records.into_iter().flatten());
                    let is_end = next.is_none();
                    *place = next;
                    if is_end && batch.is_empty() {
                        return Batch::End;
                    }
                    let until = *until.get_or_insert(Instant::now() + self.settings.window);
                    let is_full = batch.len() >= self.settings.batch_size;
                    if is_end || is_full || Instant::now() >= until {
                        break;
                    }
                }
                Ok(Read::Expired) => {
                    self.state().delivered.expired += 1;
                    // What was read and not brought is read again.
                    *place = None;
                    batch.clear();
                }
                Ok(Read::Trimmed) => {
                    *place = None;
                    batch.clear();
                }
                Err(_) => {}
            }
            sleep(Duration::from_millis(250)).await;
        }
        match batch.is_empty() {
            true => Batch::Empty,
            false => Batch::Of(batch),
        }
    }

    /// Brings a batch to the function until all of it is handled or given up. False if the shard is to be read again from where the
    /// mapping knows it to be.
    async fn bring(
        &self,
        made: u32,
        shard: &str,
        batch: Vec<StreamRecord>,
        function: &impl StreamFunction,
    ) -> bool {
        let mut backoff = BACKOFF.0;
        let mut parts = VecDeque::from([batch]);
        while let Some(part) = parts.pop_front() {
            if !self.is_at_work(made) {
                return false;
            }
            let Some(part) = self.give_up(shard, part) else {
                continue;
            };
            let left = self.invoke(&part, function).await;
            if !self.is_there(made) {
                return false;
            }
            match left {
                Left::Nothing => {
                    // Whoever reads the shard next may not know of it.
                    if self.happens(self.settings.repeats) {
                        return false;
                    }
                    self.reach(shard, &part);
                    backoff = BACKOFF.0;
                    continue;
                }
                Left::From(index) => {
                    self.reach(shard, &part[..index]);
                    parts.push_front(part[index..].to_vec());
                }
                Left::All if self.settings.bisects && part.len() > 1 => {
                    self.state().delivered.bisected += 1;
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.push_front(second.to_vec());
                    parts.push_front(first.to_vec());
                }
                Left::All => parts.push_front(part),
            }
            let part = self.random().f64();
            sleep(backoff.mul_f64(part)).await;
            backoff = (backoff * 2).min(BACKOFF.1);
        }
        true
    }

    /// Everything up to the last of these is done with.
    fn reach(&self, shard: &str, records: &[StreamRecord]) {
        if let Some(last) = records.last() {
            let mut state = self.state();
            state.next.insert(shard.to_owned(), number(last) + 1);
            state.has_problem = false;
        }
    }

    /// Gives up the records that are too old, and returns the others, if there are any.
    fn give_up(&self, shard: &str, part: Vec<StreamRecord>) -> Option<Vec<StreamRecord>> {
        let old = |record: &StreamRecord| self.stream.age(record) > self.settings.max_age;
        let young = part
            .iter()
            .position(|record| !old(record))
            .unwrap_or(part.len());
        let (given_up, rest) = part.split_at(young);
        if let [first, ..] = given_up {
            let last = &given_up[given_up.len() - 1];
            let mut state = self.state();
            state.delivered.given_up += given_up.len() as u64;
            state.dead_letters.push_back(DeadLetter {
                shard: shard.to_owned(),
                first: first.sequence.clone(),
                last: last.sequence.clone(),
                first_ms: first.at_ms,
                last_ms: last.at_ms,
                at_ms: first.at_ms + self.stream.age(first).as_millis() as u64,
            });
            drop(state);
            self.reach(shard, given_up);
        }
        (!rest.is_empty()).then(|| rest.to_vec())
    }

    /// Invokes the function once.
    async fn invoke(&self, part: &[StreamRecord], function: &impl StreamFunction) -> Left {
        {
            let mut state = self.state();
            state.delivered.batches += 1;
            state.delivered.records += part.len() as u64;
            for record in part {
                let is_new = state.brought.insert(number(record));
                state.delivered.again += u64::from(!is_new);
            }
        }
        let deadline = Instant::now() + self.settings.timeout;
        let dies = match self.happens(self.settings.kills) {
            true => Instant::now() + Duration::from_millis(self.random().u64(..200)),
            false => deadline,
        };
        let answer = tokio::select! {
            // A seed is to do the same again.
            biased;
            answer = function.handle(part.to_vec(), deadline) => answer,
            () = sleep_until(dies) => {
                self.state().delivered.killed += 1;
                Err("killed".to_owned())
            }
        };
        let Ok(failed) = answer else { return Left::All };
        if failed.is_empty() || !self.settings.reports {
            return Left::Nothing;
        }
        self.state().delivered.reported += 1;
        let index = |id: &String| part.iter().position(|record| record.sequence == *id);
        // The lowest one counts; a word that means no record of the batch fails all of it.
        let indexes: Option<Vec<usize>> = failed.iter().map(index).collect();
        match indexes.and_then(|indexes| indexes.into_iter().min()) {
            Some(index) => Left::From(index),
            None => Left::All,
        }
    }
}
