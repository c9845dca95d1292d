//! `backfill guard`: what repairs items that somebody writes in the old shape.

mod given;
mod off;
mod on;
mod run;
mod status;

use backfill_core::Result;
use clap::{Args, Subcommand};

use crate::commands::examples;
use crate::ending::Ending;

#[derive(Args)]
pub struct GuardArgs {
    #[command(subcommand)]
    command: GuardCommand,
}

#[derive(Subcommand)]
enum GuardCommand {
    /// Watch a table's stream in this process, and repair what somebody writes in the old shape, until ctrl-C.
    #[command(after_help = examples::GUARD_RUN)]
    Run(run::RunArgs),
    /// Switch the guard of a stack on: its function repairs what somebody writes in the old shape.
    #[command(after_help = examples::GUARD_ON)]
    On(on::OnArgs),
    /// Switch a table's guard off, whoever watches.
    Off(off::OffArgs),
    /// Since when a table is watched without a gap, what was repaired, and who writes the old shape.
    #[command(after_help = examples::GUARD_STATUS)]
    Status(status::StatusArgs),
}

/// Runs the command.
pub async fn guard(args: GuardArgs) -> Result<Ending> {
    match args.command {
        GuardCommand::Run(args) => run::run(args).await,
        GuardCommand::On(args) => on::on(args).await,
        GuardCommand::Off(args) => off::off(args).await,
        GuardCommand::Status(args) => status::status(args).await,
    }
}
