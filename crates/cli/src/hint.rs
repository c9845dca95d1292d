//! What the texts of this command tell people to type next.

/// Name of the checkpoint table if none is given; the one of a stack with the default name.
pub const CHECKPOINT_TABLE: &str = "backfill-checkpoints";

/// A command on a run, such as `backfill resume --run-id stuff-0b4b8a0e`.
pub fn on_run(command: &str, run_id: &str, checkpoint_table: &str) -> String {
    let mut typed = format!("backfill {command} --run-id {run_id}");
    if checkpoint_table != CHECKPOINT_TABLE {
        typed += &format!(" --checkpoint-table {checkpoint_table}");
    }
    typed
}
