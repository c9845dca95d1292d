//! A run that is watched: its records are read and shown every so often, and the keys of the view steer it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backfill_core::records::{Owner, RunStatus};
use backfill_core::view::progress::{Looker, Snapshot};
use backfill_core::{Error, Result};
use backfill_dynamodb::{CheckpointTable, Connection};
use tokio::sync::Mutex;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::drive::executions::{Executions, machine_of};
use crate::drive::{records, signals, steer};
use crate::show::print;
use crate::show::watch::{Action, Command, Role, Show};
use crate::{budget, hint};

/// How often the records of a run are read whose tables are on this machine, or that goes on in this process.
pub const HERE: Duration = Duration::from_millis(500);

/// How often those of a run in AWS are read.
pub const IN_AWS: Duration = Duration::from_secs(2);

/// How long to wait at least before the records of a large run are read again. A look takes some twenty reads, which should be a
/// fiftieth of what the run itself reads.
const OF_LARGE: Duration = Duration::from_secs(2);
/// The same of a run with more segments than [`MANY`]: it is long, and each of its segments says little.
const OF_MANY: Duration = Duration::from_secs(5);
const MANY: u32 = 4_096;

/// How often the history is read: it grows no faster.
const HISTORY: Duration = Duration::from_secs(10);

/// The run to watch.
pub struct Watched {
    pub connection: Connection,
    pub checkpoints: CheckpointTable,
    pub run_id: String,
    /// Records of somebody else's are not shown.
    pub owner: Option<Owner>,
    pub role: Role,
    /// Cancelled by whoever leaves the view.
    pub stop: CancellationToken,
}

/// Watches a run on the whole terminal until `stop` is cancelled, or without a terminal in lines to its end. Returns the run as it
/// was shown last, and whether it had the terminal.
///
/// Errors: `InvalidInput` if there is no such run; those of reading its records.
pub async fn look_on(
    connection: &Connection,
    checkpoints: &CheckpointTable,
    run_id: &str,
    stop: CancellationToken,
) -> Result<(Snapshot, bool)> {
    let first = records::snapshot(run_id, checkpoints, connection).await?;
    let watched = Watched {
        connection: connection.clone(),
        checkpoints: checkpoints.clone(),
        run_id: run_id.to_owned(),
        owner: None,
        role: Role::Watcher,
        stop: stop.clone(),
    };
    let mut watch = Watch::open(true, watched, poll_every(connection));
    watch.take(first.clone());
    // On a terminal the end is there to be looked at; and somebody may resume the run.
    while (watch.is_screen() || watch.status() == Some(RunStatus::Running)) && !print::is_lost() {
        tokio::select! {
            () = watch.poll() => {}
            () = stop.cancelled() => break,
        }
    }
    let was_screen = watch.is_screen();
    Ok((watch.finish().unwrap_or(first), was_screen))
}

/// How often records are read by whoever looks on.
pub fn poll_every(connection: &Connection) -> Duration {
    match connection.is_local() {
        true => HERE,
        false => IN_AWS,
    }
}

/// How long to wait before records are read again that are to be read so often, given how long that took last: reading those of a
/// large run must not become a load of its own.
pub fn until_next(every: Duration, took: Duration) -> Duration {
    every.max(took * 10)
}

/// A run that is being watched.
pub struct Watch {
    of: Watched,
    show: Show,
    status: Option<RunStatus>,
    /// A command that a key has given.
    doing: Option<JoinHandle<Result<String>>>,
    every: Duration,
    pause: Duration,
    /// When the history was read last, for whoever shows it.
    history: Option<Instant>,
    /// What reads the records.
    looker: Arc<Mutex<Looker>>,
}

impl Watch {
    /// Takes the terminal over if `whole` asks for it and there is one. The records are read every so often.
    pub fn open(whole: bool, of: Watched, every: Duration) -> Watch {
        let watching = hint::on_run("watch", &of.run_id, of.checkpoints.name());
        let hint = (of.role != Role::Watcher).then(|| format!("see it anywhere with: {watching}"));
        let place = of.connection.place();
        Watch {
            show: Show::open(whole, of.role, &of.run_id, place, hint),
            of,
            status: None,
            doing: None,
            every,
            pause: every,
            history: None,
            looker: Arc::default(),
        }
    }

    /// Whether it has the terminal.
    pub fn is_screen(&self) -> bool {
        self.show.is_screen()
    }

    /// The state of the run as it was read last.
    pub fn status(&self) -> Option<RunStatus> {
        self.status
    }

    /// Waits a while, then reads the records of the run and shows them. Keys are followed meanwhile. A failure to read is no
    /// failure of the run. May be dropped at any time.
    pub async fn poll(&mut self) {
        let checkpoints = self.of.checkpoints.clone();
        let run_id = self.of.run_id.clone();
        let pause = self.pause;
        let looker = self.looker.clone();
        let is_old = self.history.is_none_or(|at| at.elapsed() >= HISTORY);
        let with_history = is_old && self.show.shows_history();
        let read = async move {
            tokio::time::sleep(pause).await;
            let begin = Instant::now();
            let mut looker = looker.lock().await;
            let read = looker.snapshot(&checkpoints, &run_id).await;
            let lately = match &read {
                // Charts are not worth a word about why they are missing.
                Ok(Some(read)) if with_history => records::lately(read, &checkpoints).await.ok(),
                _ => None,
            };
            (read, lately, begin.elapsed())
        };
        tokio::pin!(read);
        let (read, lately, took) = loop {
            tokio::select! {
                read = &mut read => break read,
                action = self.show.action() => self.act(action),
                done = done(&mut self.doing) => self.told(done),
            }
        };
        let least = match &read {
            Ok(Some(read)) if read.run.settings.total_segments > MANY => OF_MANY,
            Ok(Some(read)) if read.run.shards > 1 => OF_LARGE,
            _ => self.every,
        };
        self.pause = until_next(self.every.max(least), took);
        if with_history {
            self.history = Some(Instant::now());
        }
        if let Some(lately) = lately {
            self.show.take_history(lately);
        }
        match read {
            Ok(Some(snapshot)) => {
                let owner = self.of.owner.as_ref();
                if owner.is_none_or(|owner| *owner == snapshot.run.owner) {
                    self.take(snapshot);
                }
            }
            Ok(None) => {}
            Err(error) => self.show.failed(&error),
        }
    }

    /// Shows this.
    pub fn take(&mut self, snapshot: Snapshot) {
        self.status = Some(snapshot.run.status);
        self.show.take(snapshot);
    }

    /// Gives the terminal back, or clears the bar; returns what was shown last.
    pub fn finish(self) -> Option<Snapshot> {
        self.show.finish()
    }

    /// Does what a key asks for.
    fn act(&mut self, action: Action) {
        match action {
            Action::StopAtOnce => signals::stop_at_once(),
            Action::Leave => {
                if self.of.role == Role::Runner {
                    let text = "stopping at the next checkpoint; ctrl-C stops at once";
                    self.show.say(text.into(), false);
                }
                self.of.stop.cancel();
            }
            Action::Command(_) if self.doing.is_some() => {
                let text = "the last command is still being given";
                self.show.say(text.into(), true);
            }
            Action::Command(command) => {
                let (connection, checkpoints) =
                    (self.of.connection.clone(), self.of.checkpoints.clone());
                let run_id = self.of.run_id.clone();
                self.doing = Some(tokio::spawn(async move {
                    carry_out(command, &connection, &checkpoints, &run_id).await
                }));
            }
        }
    }

    /// Says what came of a command.
    fn told(&mut self, done: std::result::Result<Result<String>, JoinError>) {
        match done {
            Ok(Ok(text)) => self.show.say(text, false),
            Ok(Err(error)) => self.show.say(print::report(&error), true),
            Err(error) => self.show.say(error.to_string(), true),
        }
    }
}

/// Carries out a command that steers the run; says what came of it.
async fn carry_out(
    command: Command,
    connection: &Connection,
    checkpoints: &CheckpointTable,
    run_id: &str,
) -> Result<String> {
    match command {
        Command::Steer(status) => {
            let before = steer::steer(run_id, checkpoints, status).await?;
            Ok(steer::change_text(before, status))
        }
        Command::SetRate(rate) => {
            let (before, after) = steer::set_rate(run_id, checkpoints, rate).await?;
            Ok(budget::change_text(&before, &after))
        }
        Command::Resume => resume(connection, checkpoints, run_id).await,
    }
}

/// Goes on with a run of AWS by another execution. One of a process would have to go on in a process of its own.
async fn resume(
    connection: &Connection,
    checkpoints: &CheckpointTable,
    run_id: &str,
) -> Result<String> {
    let record = records::record(run_id, checkpoints, connection).await?;
    let request = steer::request_to_resume(&record, checkpoints).await?;
    let Some(machine) = machine_of(&record.owner) else {
        let typed = hint::on_run("resume", run_id, checkpoints.name());
        return Err(Error::invalid(
            "run-id",
            format!("it ran in a process; type: {typed}"),
        ));
    };
    let executions = Executions::new(connection);
    executions.drained(&record.owner).await;
    let execution = executions.start(&machine, &request).await?;
    Ok(format!("started execution {execution}"))
}

/// The end of a command. Never, if there is none.
async fn done(
    doing: &mut Option<JoinHandle<Result<String>>>,
) -> std::result::Result<Result<String>, JoinError> {
    match doing {
        Some(at_work) => {
            let done = at_work.await;
            *doing = None;
            done
        }
        None => std::future::pending().await,
    }
}
