//! The way to the records of a test: faults, and a witness of the checkpoints.

use backfill_core::Result;
use backfill_core::records::{RunRecord, SegmentRecord};
use backfill_simulation::{MemoryStore, Transit};

use crate::faults::Faults;
use crate::model_table::ModelTable;

/// The records of a test: those of the simulation behind a transit that fails.
pub type ModelStore = MemoryStore<StoreTransit>;

/// Faults, and a witness: no checkpoint has matched more items than it has scanned, and if a table is given, every one is held
/// against that table.
#[derive(Clone)]
pub struct StoreTransit {
    faults: Faults,
    witness: Option<ModelTable>,
}

/// A way on which nothing takes time and nothing fails: what a test knows of the records at a moment.
#[derive(Clone)]
pub struct Still;

impl Transit for Still {
    async fn before(&self) -> Result<()> {
        Ok(())
    }
}

impl From<Faults> for StoreTransit {
    fn from(faults: Faults) -> Self {
        StoreTransit {
            faults,
            witness: None,
        }
    }
}

impl StoreTransit {
    /// A transit that panics at a checkpoint which has passed a pending item. For tables without live writers, which may put
    /// one there.
    pub fn with_witness(faults: Faults, table: &ModelTable) -> Self {
        StoreTransit {
            faults,
            witness: Some(table.clone()),
        }
    }
}

impl Transit for StoreTransit {
    async fn before(&self) -> Result<()> {
        self.faults.before_records().await
    }

    async fn after(&self) -> Result<()> {
        self.faults.after().await
    }

    fn stored(&self, run: &RunRecord, checkpoint: &SegmentRecord) {
        let counters = &checkpoint.counters;
        assert!(counters.matched <= counters.scanned, "{checkpoint:?}");
        let Some(table) = &self.witness else { return };
        let SegmentRecord {
            segment, cursor, ..
        } = checkpoint;
        let total = run.settings.total_segments;
        let change = run.change().expect("this process has begun the run");
        let passed = table.pending_behind(&*change, *segment, total, cursor);
        assert!(passed.is_empty(), "the checkpoint has passed {passed:?}");
    }

    fn copied(&self, run: &RunRecord, copy: &RunRecord) {
        assert!(copy.revision >= run.revision, "the copy is old: {copy:?}");
    }
}
