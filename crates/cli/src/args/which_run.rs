//! Which run is meant, and where its records are.

use backfill_core::Result;
use backfill_core::request::check_run_id;
use backfill_dynamodb::{CheckpointTable, Connection};
use clap::Args;

use super::connection::ConnectionArgs;
use super::settings::as_typed;
use crate::hint::CHECKPOINT_TABLE;

/// A run to look at.
#[derive(Args)]
pub struct WhichRunArgs {
    /// Which run; default: the one started last.
    #[arg(long, value_name = "ID")]
    pub run_id: Option<String>,
    /// Table that holds the checkpoints.
    #[arg(long, value_name = "NAME", default_value = CHECKPOINT_TABLE)]
    pub checkpoint_table: String,
}

/// One run, by its record.
#[derive(Args)]
pub struct OneRunArgs {
    /// Which run.
    #[arg(long, value_name = "ID")]
    pub run_id: String,
    /// Table that holds the checkpoints.
    #[arg(long, value_name = "NAME", default_value = CHECKPOINT_TABLE)]
    pub checkpoint_table: String,
    /// Print the result as one JSON object on stdout.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl OneRunArgs {
    /// Connects to where the record is.
    ///
    /// Errors: `InvalidInput` if it is not the id of any run.
    pub async fn open(&self) -> Result<(Connection, CheckpointTable)> {
        check_run_id(&self.run_id).map_err(as_typed)?;
        let connection = self.connection.open().await?;
        let checkpoints = CheckpointTable::new(&connection, &self.checkpoint_table);
        Ok((connection, checkpoints))
    }
}
