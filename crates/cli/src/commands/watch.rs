//! `backfill watch`: a run on the whole terminal, from its durable records, wherever it goes on, with keys that steer it.

use backfill_core::Result;
use backfill_core::records::RunStatus;
use backfill_core::view::cost::Prices;
use backfill_dynamodb::CheckpointTable;
use clap::Args;

use crate::args::{ConnectionArgs, WhichRunArgs};
use crate::drive::watch::look_on;
use crate::drive::{records, signals};
use crate::ending::Ending;
use crate::hint;
use crate::show::{print, summary};

#[derive(Args)]
pub struct WatchArgs {
    #[command(flatten)]
    run: WhichRunArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Runs the command. It ends as the run did, if that has ended.
pub async fn watch(args: WatchArgs) -> Result<Ending> {
    let connection = args.connection.open().await?;
    let checkpoints = CheckpointTable::new(&connection, &args.run.checkpoint_table);
    let run_id = records::find(args.run.run_id.as_deref(), &checkpoints, &connection).await?;
    let stop = signals::stop_on_signal("stopped watching");
    let (last, was_screen) = look_on(&connection, &checkpoints, &run_id, stop).await?;
    if last.run.status == RunStatus::Running {
        say!(
            "run {run_id} goes on; see it again with: {}",
            hint::on_run("watch", &run_id, checkpoints.name())
        );
        // Whoever leaves the view has seen what there was to see; lines were to go on to the end.
        return Ok(
            match was_screen && !signals::has_hung_up() && !print::is_lost() {
                true => Ending::Succeeded,
                false => Ending::Stopped,
            },
        );
    }
    let prices = Prices::default();
    let summary = summary::text(
        &last.run,
        &last.summary(&prices),
        &prices,
        checkpoints.name(),
    );
    say!("{summary}");
    Ok(Ending::of(&last))
}
