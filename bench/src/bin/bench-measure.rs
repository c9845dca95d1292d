//! Runs a command and writes down what it took: `bench-measure OUTPUT PROGRAM [ARGUMENT…]`.
//!
//! A program of its own because the kernel counts the memory of whoever starts a process as if the process had
//! used it: started from Python, no contender could be seen to use less than Python does.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Instant;

use serde_json::json;

fn main() -> ExitCode {
    match measure() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench-measure: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<ExitCode, String> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(output), Some(program)) = (arguments.next(), arguments.next()) else {
        return Err("expected OUTPUT PROGRAM [ARGUMENT…]".into());
    };
    let begin = Instant::now();
    let child = Command::new(&program)
        .args(arguments)
        .spawn()
        .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    let (status, usage) = backfill_bench::wait_for(child.id())
        .map_err(|error| format!("cannot wait for {}: {error}", program.display()))?;
    let wall_seconds = begin.elapsed().as_secs_f64();
    let status = ExitStatus::from_raw(status);
    let measured = json!({
        "exit_code": status.code(),
        "wall_seconds": wall_seconds,
        "cpu_seconds": usage.cpu_seconds,
        "peak_bytes": usage.peak_bytes,
    });
    std::fs::write(&output, format!("{measured}\n"))
        .map_err(|error| format!("cannot write {}: {error}", output.display()))?;
    if status.success() {
        Ok(ExitCode::SUCCESS)
    } else {
        Err(format!("{} ended with {status}", program.display()))
    }
}
