//! The operator's command, as it is released: without code of anybody.

use std::process::ExitCode;

fn main() -> ExitCode {
    backfill_cli::main_with(|| Ok(()))
}
