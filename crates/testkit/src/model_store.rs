//! The model of the checkpoint table, with its conditions: revisions of runs, generations of segments.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use backfill_core::checkpoint::{Counters, Cursor, RunRecord, SegmentRecord};
use backfill_core::pace::BoundBy;
use backfill_core::ports::{CheckpointReader, RunStore, SegmentStore};
use backfill_core::{Error, ErrorKind, Result};

use crate::faults::Faults;
use crate::model_table::ModelTable;

/// Durable records in memory.
#[derive(Clone)]
pub struct ModelStore {
    state: Arc<Mutex<State>>,
    faults: Faults,
    /// Where given, every checkpoint is held against the table: nothing pending may lie behind it.
    witness: Option<ModelTable>,
}

#[derive(Default)]
struct State {
    runs: BTreeMap<String, RunRecord>,
    segments: BTreeMap<(String, u32, u32), SegmentRecord>,
}

impl ModelStore {
    /// An empty store.
    pub fn new(faults: Faults) -> Self {
        ModelStore {
            state: Arc::default(),
            faults,
            witness: None,
        }
    }

    /// An empty store that panics at a checkpoint which has passed a pending item. For tables without live
    /// writers, which may put one there.
    pub fn with_witness(faults: Faults, table: &ModelTable) -> Self {
        ModelStore {
            witness: Some(table.clone()),
            ..ModelStore::new(faults)
        }
    }
}

impl CheckpointReader for ModelStore {
    async fn run(&self, run_id: &str) -> Result<Option<RunRecord>> {
        self.faults.before().await?;
        Ok(self.state.lock().unwrap().runs.get(run_id).cloned())
    }

    async fn segments(&self, run_id: &str, pass: u32) -> Result<Vec<SegmentRecord>> {
        self.faults.before().await?;
        let state = self.state.lock().unwrap();
        Ok(state
            .segments
            .values()
            .filter(|segment| segment.run_id == run_id && segment.pass == pass)
            .cloned()
            .collect())
    }

    async fn exhausted(&self, run_id: &str, pass: u32) -> Result<u32> {
        let segments = self.segments(run_id, pass).await?;
        let exhausted = |segment: &&SegmentRecord| segment.cursor == Cursor::Exhausted;
        Ok(segments.iter().filter(exhausted).count() as u32)
    }
}

impl RunStore for ModelStore {
    async fn save_run(&self, record: &RunRecord) -> Result<()> {
        self.faults.before().await?;
        {
            let mut state = self.state.lock().unwrap();
            let stored = state.runs.get(&record.run_id);
            let revision = stored.map_or(0, |stored| stored.revision);
            if stored == Some(record) {
                // Our own write, whose answer was lost.
            } else if revision + 1 != record.revision {
                return Err(Error::new(ErrorKind::Conflict, "changed meanwhile"));
            } else {
                state.runs.insert(record.run_id.clone(), record.clone());
            }
        }
        self.faults.after().await
    }
}

impl SegmentStore for ModelStore {
    async fn claim(&self, run: &RunRecord, segment: u32) -> Result<SegmentRecord> {
        self.faults.before().await?;
        let record = {
            let mut state = self.state.lock().unwrap();
            let record = state
                .segments
                .entry((run.run_id.clone(), run.pass, segment))
                .or_insert_with(|| SegmentRecord {
                    run_id: run.run_id.clone(),
                    pass: run.pass,
                    segment,
                    run_revision: run.revision,
                    generation: 0,
                    cursor: Cursor::NotStarted,
                    trial_passed: false,
                    bound_by: BoundBy::default(),
                    throttled_by: None,
                    counters: Counters::default(),
                });
            if record.run_revision > run.revision {
                return Err(Error::new(ErrorKind::Fenced, "claimed for a later owner"));
            }
            record.run_revision = run.revision;
            record.generation += 1;
            record.clone()
        };
        self.faults.after().await?;
        Ok(record)
    }

    async fn checkpoint(&self, record: &SegmentRecord) -> Result<()> {
        self.faults.before().await?;
        {
            let mut state = self.state.lock().unwrap();
            let run = state.runs[&record.run_id].clone();
            let key = (record.run_id.clone(), record.pass, record.segment);
            let stored = state.segments.get_mut(&key).expect("claimed before");
            if stored.generation != record.generation {
                return Err(Error::new(ErrorKind::Fenced, "claimed by another worker"));
            }
            *stored = record.clone();
            if let Some(table) = &self.witness {
                let total = run.settings.total_segments;
                let passed = table.pending_behind(&run.spec, record.segment, total, &record.cursor);
                assert!(passed.is_empty(), "the checkpoint has passed {passed:?}");
            }
        }
        self.faults.after().await
    }
}
