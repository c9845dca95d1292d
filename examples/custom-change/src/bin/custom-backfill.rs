//! The command with this code: `custom-backfill run --table visits --code user-agent`.

fn main() -> std::process::ExitCode {
    backfill_cli::main_with(custom_change::register)
}
