//! The runs of a checkpoint table, each at a glance.

use std::collections::HashMap;

use backfill_core::Result;
use backfill_core::records::RunRecord;
use backfill_core::view::glance::Glance;
use backfill_dynamodb::{CheckpointTable, Connection};
use futures_util::{StreamExt as _, stream};

use crate::drive::executions::Executions;
use crate::drive::owner;
use crate::drive::tables::Tables;
use crate::show::runs::RunLine;

/// Runs that are looked at together.
const AT_ONCE: usize = 8;

/// Where runs are looked for.
pub struct Lookout {
    checkpoints: CheckpointTable,
    executions: Executions,
    /// All of the checkpoint table is read, and not the list of runs alone.
    all: bool,
    /// What was read of runs that nobody holds, by id and revision: it does not change.
    known: HashMap<(String, u64), Glance>,
    tables: Tables,
}

impl Lookout {
    /// Looks for runs in this table; in all of it if so asked.
    pub fn new(connection: &Connection, checkpoints: &CheckpointTable, all: bool) -> Lookout {
        Lookout {
            checkpoints: checkpoints.clone(),
            executions: Executions::new(connection),
            all,
            known: HashMap::new(),
            tables: Tables::new(connection),
        }
    }

    /// Every run, the latest started first.
    ///
    /// Errors: `TableNotFound`; those of reading records.
    pub async fn look(&mut self) -> Result<Vec<RunLine>> {
        let runs = match self.all {
            true => self.checkpoints.all_runs().await?,
            false => self.checkpoints.runs().await?,
        };
        let tables = runs.iter().map(|run| run.spec.table.as_str());
        self.tables.look_at(tables).await;
        let lines = stream::iter(runs).map(|run| self.line(run));
        let lines: Vec<Result<RunLine>> = lines.buffered(AT_ONCE).collect().await;
        let lines: Vec<RunLine> = lines.into_iter().collect::<Result<_>>()?;
        let ended = lines.iter().filter(|line| line.holder.is_none());
        self.known = ended
            .map(|line| ((line.run.run_id.clone(), line.run.revision), line.glance))
            .collect();
        Ok(lines)
    }

    async fn line(&self, run: RunRecord) -> Result<RunLine> {
        let known = self.known.get(&(run.run_id.clone(), run.revision));
        let glance = match known {
            Some(glance) => *glance,
            None => Glance::at(&self.checkpoints, &run).await?,
        };
        let holder = owner::holder(&run, &self.executions).await;
        let table_now = self.tables.now(&run);
        Ok(RunLine {
            run,
            glance,
            holder,
            table_now,
        })
    }
}
