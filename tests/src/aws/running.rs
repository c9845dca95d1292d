//! `backfill` at work beside an execution.

use std::process::{Child, Command};

use super::machine::eventually;

use crate::command::Ended;
use crate::wire::signal;

/// Runs a command to its end.
#[track_caller]
pub fn run_to_end(mut command: Command) -> impl Future<Output = Ended> {
    Running::start(&mut command).end()
}

/// A `backfill` command at work; killed if nobody waits for it to the end.
pub struct Running(Option<Child>);

impl Running {
    /// Starts a command.
    pub fn start(command: &mut Command) -> Running {
        Running(Some(command.spawn().expect("the command starts")))
    }

    /// Sends SIGINT, as ctrl-C does.
    pub fn interrupt(&self) {
        let child = self.0.as_ref().expect("it has not ended");
        signal(child.id(), "INT");
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(mut self) -> impl Future<Output = Ended> {
        eventually("the end of a command", async move || {
            let child = self.0.as_mut()?;
            let ended = child.try_wait().expect("it is our child").is_some();
            ended.then(|| Ended::of(self.0.take().expect("just seen")))
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
