//! A stream in memory, whose shards a test fills, closes, trims and takes away.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use backfill_core::ports::stream::{
    Begin, Brought, Iterator, Read, RecordKind, Shard, StreamDescription, StreamReader,
    StreamRecord, StreamView, Unreadable, sequence_of,
};
use backfill_core::{Error, ErrorKind, Item, Result};
use backfill_testkit::ModelTable;

#[derive(Clone, Default)]
pub struct Stream(Arc<Mutex<State>>);

#[derive(Default)]
pub struct State {
    pub shards: Vec<OneShard>,
    pub is_off: bool,
    pub is_gone: bool,
    /// Iterators given so far, and those that have expired.
    iterators: Vec<(String, usize)>,
    expired: BTreeSet<usize>,
    /// Calls of GetRecords that are throttled yet.
    pub throttled: u32,
    /// Shards in the order in which something was read of them.
    pub read: Vec<String>,
    at_work: usize,
    pub most_at_work: usize,
    pub reads: usize,
}

pub struct OneShard {
    pub id: String,
    pub parent: Option<String>,
    pub records: Vec<Brought>,
    pub is_closed: bool,
    /// So many of the first records are gone.
    pub trimmed: usize,
}

/// A record that cannot be understood, and may not even tell where it stands.
pub fn odd(sequence: Option<u64>) -> Brought {
    let sequence = sequence.map(|id| format!("{id:021}"));
    Err(Unreadable {
        why: format!("stream record {sequence:?} is odd"),
        sequence,
    })
}

/// The record of an old writer that has put an item without the attribute.
pub fn old_write(id: u64) -> StreamRecord {
    let mut image: Item = ModelTable::key(id).0;
    image.insert("payload".into(), backfill_core::Value::S("old".into()));
    StreamRecord {
        sequence: format!("{id:021}"),
        kind: RecordKind::Insert,
        key: ModelTable::key(id),
        image: Some(image),
        at_ms: crate::world::NOW,
    }
}

impl Stream {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Adds a shard with an old write of each of these items.
    pub fn add(
        &self,
        id: &str,
        parent: Option<&str>,
        items: std::ops::Range<u64>,
        is_closed: bool,
    ) {
        self.state().shards.push(OneShard {
            id: id.into(),
            parent: parent.map(str::to_owned),
            records: items.map(|id| Ok(old_write(id))).collect(),
            is_closed,
            trimmed: 0,
        });
    }

    /// From now on all iterators that were given are too old.
    pub fn expire(&self) {
        let mut state = self.state();
        state.expired = (0..state.iterators.len()).collect();
    }

    pub fn forget(&self, id: &str) {
        self.state().shards.retain(|shard| shard.id != id);
    }
}

impl State {
    pub fn shard(&mut self, id: &str) -> Option<&mut OneShard> {
        self.shards.iter_mut().find(|shard| shard.id == id)
    }

    fn give(&mut self, shard: &str, from: usize) -> String {
        self.iterators.push((shard.to_owned(), from));
        (self.iterators.len() - 1).to_string()
    }

    fn page(&mut self, iterator: &str, limit: usize) -> Result<Read> {
        if self.throttled > 0 {
            self.throttled -= 1;
            return Err(Error::new(ErrorKind::Throttled, "throttled"));
        }
        let iterator: usize = iterator.parse().unwrap();
        if self.expired.contains(&iterator) {
            return Ok(Read::Expired);
        }
        let (id, from) = self.iterators[iterator].clone();
        let Some(shard) = self.shard(&id) else {
            return Err(Error::new(ErrorKind::TableNotFound, "no such shard"));
        };
        if from < shard.trimmed {
            return Ok(Read::Trimmed);
        }
        // Small pages, so that a shard has several.
        let to = shard.records.len().min(from + limit.min(3));
        let records = shard.records[from..to].to_vec();
        let is_end = shard.is_closed && to == shard.records.len();
        if !records.is_empty() {
            self.read.push(id.clone());
        }
        let next = (!is_end).then(|| self.give(&id, to));
        Ok(Read::Records(records, next))
    }
}

impl StreamReader for Stream {
    async fn describe_stream(&self, _: &str) -> Result<StreamDescription> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let state = self.state();
        if state.is_gone {
            return Err(Error::new(ErrorKind::TableNotFound, "no such stream"));
        }
        let shards = state.shards.iter().map(|shard| Shard {
            id: shard.id.clone(),
            parent: shard.parent.clone(),
        });
        Ok(StreamDescription {
            view: StreamView::NewImage,
            is_enabled: !state.is_off,
            shards: shards.collect(),
        })
    }

    async fn iterator(&self, _: &str, shard: &str, begin: Begin<'_>) -> Result<Iterator> {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let mut state = self.state();
        let Some(found) = state.shard(shard) else {
            return Ok(Iterator::Gone);
        };
        let at = |sequence: &str| {
            let mut records = found.records.iter();
            records
                .position(|record| sequence_of(record) == Some(sequence))
                .unwrap()
        };
        let from = match begin {
            Begin::Oldest => found.trimmed,
            Begin::At(sequence) => at(sequence),
            Begin::After(sequence) => at(sequence) + 1,
        };
        if from < found.trimmed {
            return Ok(Iterator::Trimmed);
        }
        Ok(Iterator::At(state.give(shard, from)))
    }

    async fn read(&self, iterator: &str, limit: u32) -> Result<Read> {
        {
            let mut state = self.state();
            state.reads += 1;
            state.at_work += 1;
            state.most_at_work = state.most_at_work.max(state.at_work);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        let mut state = self.state();
        state.at_work -= 1;
        state.page(iterator, limit as usize)
    }
}
