//! `backfill guard`: what repairs items that somebody writes in the old shape.

mod run;

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
}

/// Runs the command.
pub async fn guard(args: GuardArgs) -> Result<Ending> {
    match args.command {
        GuardCommand::Run(args) => run::run(args).await,
    }
}
