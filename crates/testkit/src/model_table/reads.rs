//! How a table of the model is described and read: pages of random size, of which some are stale.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Mutex;

use backfill_core::change::SharedChange;
use backfill_core::clock::now_ms;
use backfill_core::ports::{Alarm, Asks, LackingPage, Page, PageRequest, ReadAccess, TableReader};
use backfill_core::table::{KeyAttribute, KeySchema, KeyType, TableDescription};
use backfill_core::{Error, ErrorKind, Item, Key, Result};
use tokio::time::Instant;

use super::expressions::{Asked, Written};
use super::state::{Position, STALE, position, segment_of};
use super::table::ModelTable;

/// The model table as seen through one change.
pub struct ModelAccess {
    pub(super) table: ModelTable,
    pub(super) change: SharedChange,
    /// What the change's sweep asks, its proof, and the sweep for what items lack.
    pub(super) sweep: Asked,
    pub(super) proof: Asked,
    pub(super) lacks: Option<Asked>,
    /// What was written last: most changes write the same to every item.
    pub(super) written: Mutex<Option<Written>>,
}

impl ReadAccess for ModelTable {
    type Reader = ModelAccess;

    async fn describe(&self, _table: &str) -> Result<TableDescription> {
        self.faults.before().await?;
        let state = self.state.lock().unwrap();
        let count = state.items.len() as u64;
        let now = Instant::now();
        if state
            .forgotten
            .is_some_and(|(from, to)| from <= now && now < to)
        {
            return Err(Error::new(
                ErrorKind::TableNotFound,
                "there is no table stuff",
            ));
        }
        Ok(TableDescription {
            status: match &state.status {
                Some((status, None)) => status.clone(),
                Some((status, Some(until))) if Instant::now() < *until => status.clone(),
                _ => "ACTIVE".into(),
            },
            replicas: state.replicas.clone(),
            is_strong_everywhere: state.is_strong_everywhere,
            identity: format!("model {}", state.recreated),
            keys: KeySchema {
                hash: KeyAttribute::new("id", KeyType::S),
                range: Some(KeyAttribute::new("created", KeyType::N)),
            },
            item_count: count,
            size_bytes: count * 300,
            billing: backfill_core::table::Billing::OnDemand {
                max_write_units: None,
                max_read_units: None,
            },
            indexes: Vec::new(),
        })
    }

    async fn alarm(&self, _name: &str) -> Result<Option<Alarm>> {
        let mut state = self.state.lock().unwrap();
        state.alarm_asked += 1;
        let found = |state| Alarm {
            state,
            since_ms: None,
        };
        match state.alarm {
            None => Ok(None),
            Some(Ok(state)) => Ok(Some(found(state))),
            Some(Err(kind)) => Err(Error::new(kind, "no word of the alarm")),
        }
    }

    fn now_ms(&self) -> u64 {
        match self.state.lock().unwrap().clock {
            Some((ms, at)) => ms + at.elapsed().as_millis() as u64,
            None => now_ms(),
        }
    }

    fn reader(&self, change: SharedChange) -> ModelAccess {
        ModelAccess {
            table: self.clone(),
            sweep: Asked::new(change.sweep()),
            proof: Asked::new(change.proof()),
            lacks: change.lacks().map(|lacks| Asked::new(&lacks.sweep)),
            written: Mutex::default(),
            change,
        }
    }
}

impl TableReader for ModelAccess {
    async fn page(&self, request: PageRequest<'_>) -> Result<Page> {
        let (found, next) = self.evaluated(request).await?;
        let mut page = Page {
            scanned: found.len() as u64,
            pending: Vec::new(),
            passed_over: 0,
            different: Vec::new(),
            next,
            consumed_rcu: if request.consistent { 1.0 } else { 0.5 },
        };
        let items = found.into_iter().map(|(_, item)| item);
        match request.asks {
            Asks::Sweep => {
                let seen = items.filter(|item| self.sweep.finds(item));
                let seen = seen.map(|item| self.change.seen(self.sweep.brings(&item).into()));
                page.pending = seen.filter(|item| self.change.is_pending(item)).collect();
            }
            Asks::Proof => {
                let found = items.filter(|item| self.proof.finds(item));
                let found = found.map(|item| self.proof.brings(&item));
                page.weigh(&*self.change, found.collect());
            }
        }
        self.table.faults.after().await?;
        Ok(page)
    }

    async fn lacking(&self, request: PageRequest<'_>) -> Result<LackingPage> {
        if self.table.state.lock().unwrap().refuses_lacking {
            return Err(Error::new(ErrorKind::InvalidSpec, "the filter is too long"));
        }
        let lacks = self
            .change
            .lacks()
            .expect("what the update sets is asked for");
        let (found, next) = self.evaluated(request).await?;
        let scanned = found.len() as u64;
        let asked = self.lacks.as_ref();
        let brought = |(_, item): &(Key, Item)| {
            let asked = asked.filter(|asked| asked.finds(item))?;
            Some(asked.brings(item))
        };
        let found: Vec<Item> = found.iter().filter_map(brought).collect();
        let lacking = |name| {
            let lack = found.iter().filter(|item| !item.contains_key(name));
            lack.count()
        };
        let page = LackingPage {
            lacking: lacks
                .attributes
                .iter()
                .map(|name| lacking(name) as u64)
                .collect(),
            scanned,
            next,
            consumed_rcu: if request.consistent { 1.0 } else { 0.5 },
        };
        self.table.faults.after().await?;
        Ok(page)
    }
}

impl ModelAccess {
    /// The items of a page, and its LastEvaluatedKey. Pages hold up to four items, so that many are empty and all are many.
    async fn evaluated(&self, request: PageRequest<'_>) -> Result<(Vec<(Key, Item)>, Option<Key>)> {
        self.table.faults.before().await?;
        self.table.faults.check_access()?;
        let empty = request.after.is_some() && self.table.faults.empty_page();
        let size = 1 + self.table.faults.pick(4).min(u64::from(request.limit) - 1);
        let mut state = self.table.state.lock().unwrap();
        let after = request.after.map(position);
        let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        // An eventually consistent page sees some items as they were before their last change.
        let mut stale: BTreeMap<&Position, Option<&Item>> = BTreeMap::new();
        if !request.consistent {
            for (at, (changed, before)) in state.before.range((from, Bound::Unbounded)) {
                if changed.elapsed() < STALE && self.table.faults.pick(4) == 0 {
                    stale.insert(at, before.as_ref());
                }
            }
        }
        let current = state.items.range((from, Bound::Unbounded));
        let current = current.filter(|(at, _)| !stale.contains_key(at));
        let old = stale.iter().filter_map(|(at, item)| Some((*at, (*item)?)));
        let in_segment = |at: &Position| segment_of(at, request.total_segments) == request.segment;
        let mut in_segment: Vec<(&Position, &Item)> = current
            .filter(|(at, _)| in_segment(at))
            // Each stale item may come before one of these.
            .take(size as usize)
            .chain(old.filter(|(at, _)| in_segment(at)))
            .collect();
        in_segment.sort_by_key(|(at, _)| *at);
        in_segment.truncate(if empty { 0 } else { size as usize });
        let found: Vec<(Key, Item)> = in_segment
            .into_iter()
            .map(|((_, key), item)| (key.clone(), item.clone()))
            .collect();
        state.evaluated += found.len() as u64;
        state.sweep_pages += u64::from(!request.consistent);
        // As in DynamoDB, a full page has a LastEvaluatedKey even if it is the last.
        let next = match empty {
            true => request.after.cloned(),
            false if found.len() as u64 == size => found.last().map(|(key, _)| key.clone()),
            false => None,
        };
        Ok((found, next))
    }
}
