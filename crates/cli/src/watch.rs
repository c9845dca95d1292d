//! `backfill watch`: a run on the whole terminal, from its durable records, wherever it goes on, with keys that steer it.
//! `run`, `start` and `resume` show it as well. Without a terminal all of them print plain lines.

#[cfg(test)]
mod picture;
#[cfg(test)]
pub mod samples;
mod screen;
mod segments;
#[cfg(test)]
mod snapshots;
mod view;

use std::time::{Duration, Instant};

use backfill_core::engine::planner::Planner;
use backfill_core::pace::retry::{PATIENCE, Until, retry};
use backfill_core::ports::CheckpointReader as _;
use backfill_core::records::{Owner, RunStatus};
use backfill_core::view::cost::Prices;
use backfill_core::view::progress::{Snapshot, snapshot};
use backfill_core::{Error, Result};
use backfill_dynamodb::{CheckpointTable, Connection, ReadOnly};
use clap::Args;
use ratatui::crossterm::event::Event;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::screen::Screen;
pub use self::view::Role;
use self::view::{Action, Now, View};
use crate::args::{CHECKPOINT_TABLE, ConnectionArgs, WhichRunArgs, no_such_run};
use crate::{Ending, display, owner, rate, run, start, steer};

/// How often the records are read on this machine, and elsewhere.
const POLL_LOCAL: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_secs(2);

/// How often the view is drawn where nothing happens: its times go on.
const REDRAW: Duration = Duration::from_secs(1);

#[derive(Args)]
pub struct WatchArgs {
    #[command(flatten)]
    run: WhichRunArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Runs the command. Where the run has ended, it ends as the run did.
pub async fn watch(args: WatchArgs) -> Result<Ending> {
    let connection = args.connection.open().await?;
    let checkpoints = CheckpointTable::new(&connection, &args.run.checkpoint_table);
    let run_id = args.run.find(&checkpoints, &connection).await?;
    let first = snapshot(&checkpoints, &run_id).await?;
    let first =
        first.ok_or_else(|| no_such_run(&run_id, &args.run.checkpoint_table, &connection))?;
    let stop = run::stop_on_signal("stopped watching");
    let every = match connection.is_local() {
        true => POLL_LOCAL,
        false => POLL,
    };
    let watched = Watched {
        connection,
        checkpoints,
        run_id,
        owner: None,
        role: Role::Watcher,
        stop: stop.clone(),
    };
    let mut show = Show::open(true, watched, every);
    show.take(first);
    // On a terminal the end is there to be looked at; and somebody may resume the run.
    while show.is_screen() || show.status() == Some(RunStatus::Running) {
        tokio::select! {
            () = show.poll() => {}
            () = stop.cancelled() => break,
        }
    }
    let was_screen = show.is_screen();
    let last = show.finish().expect("the first was taken");
    if last.run.status == RunStatus::Running {
        eprintln!(
            "run {} goes on; see it again with: backfill watch --run-id {0}",
            last.run.run_id
        );
        // Whoever leaves the view has seen what there was to see; lines were to go on to the end.
        return Ok(match was_screen {
            true => Ending::Succeeded,
            false => Ending::Stopped,
        });
    }
    let prices = Prices::default();
    display::summary(&last.run, &last.summary(&prices), &prices);
    Ok(Ending::of(&last))
}

/// Ends the process as a second ctrl-C does.
pub fn stop_at_once() -> ! {
    screen::restore();
    std::process::exit(130);
}

/// The run to show.
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

/// A run as it is shown: the view, or a bar or plain lines.
pub struct Show {
    of: Watched,
    on: On,
    begin: Instant,
    last: Option<RunStatus>,
    every: Duration,
    pause: Duration,
}

enum On {
    Screen(Box<OnScreen>),
    Plain(Box<OnPlain>),
}

struct OnPlain {
    progress: display::Progress,
    last: Option<Snapshot>,
}

struct OnScreen {
    screen: Screen,
    view: View,
    /// A command that a key has given.
    doing: Option<JoinHandle<Result<String>>>,
}

impl Show {
    /// Takes the terminal over where `whole` asks for it and there is one. The records are read every so often.
    pub fn open(whole: bool, of: Watched, every: Duration) -> Show {
        let screen = if whole { Screen::open() } else { None };
        let on = match screen {
            Some(screen) => On::Screen(Box::new(OnScreen {
                view: View::new(of.role, &of.run_id, of.connection.place(), has_colour()),
                screen,
                doing: None,
            })),
            None => On::Plain(Box::new(OnPlain {
                progress: display::Progress::new(),
                last: None,
            })),
        };
        let mut show = Show {
            of,
            on,
            begin: Instant::now(),
            last: None,
            every,
            pause: every,
        };
        show.draw();
        show
    }

    /// Whether it has the terminal.
    pub fn is_screen(&self) -> bool {
        matches!(self.on, On::Screen(_))
    }

    /// The state of the run as it was read last.
    pub fn status(&self) -> Option<RunStatus> {
        self.last
    }

    /// Waits a while, then reads the records of the run and shows them. Keys are followed meanwhile. A failure to read is no
    /// failure of the run. May be dropped at any time.
    pub async fn poll(&mut self) {
        let records = self.of.checkpoints.clone();
        let run_id = self.of.run_id.clone();
        let pause = self.pause;
        let read = async move {
            tokio::time::sleep(pause).await;
            let begin = Instant::now();
            (snapshot(&records, &run_id).await, begin.elapsed())
        };
        tokio::pin!(read);
        let (read, took) = loop {
            match &mut self.on {
                On::Plain(_) => break read.await,
                On::Screen(on) => {
                    let happened = tokio::select! {
                        read = &mut read => break read,
                        event = on.screen.event() => Happened::Event(event),
                        done = done(&mut on.doing) => Happened::Done(done),
                        () = tokio::time::sleep(REDRAW) => Happened::Nothing,
                    };
                    self.happened(happened);
                    self.draw();
                }
            }
        };
        // A run of 100,000 segments has as many records: reading them must not become a load of its own.
        self.pause = self.every.max(took * 10);
        match read {
            Ok(Some(snapshot)) => {
                let is_ours = self.of.owner.as_ref();
                if is_ours.is_none_or(|owner| *owner == snapshot.run.owner) {
                    self.take(snapshot);
                }
            }
            Ok(None) => {}
            Err(error) => match &mut self.on {
                On::Screen(on) => on.view.failed(error.report()),
                On::Plain(on) => on.progress.failed(&error),
            },
        }
        self.draw();
    }

    /// Shows this.
    pub fn take(&mut self, snapshot: Snapshot) {
        self.last = Some(snapshot.run.status);
        let now = Now::after(self.begin.elapsed());
        match &mut self.on {
            On::Screen(on) => on.view.note(now, snapshot),
            On::Plain(on) => {
                on.progress.show(&snapshot);
                on.last = Some(snapshot);
            }
        }
    }

    /// Gives the terminal back, or clears the bar; returns what was shown last.
    pub fn finish(self) -> Option<Snapshot> {
        match self.on {
            On::Screen(on) => {
                let OnScreen { screen, view, .. } = *on;
                drop(screen);
                view.into_snapshot()
            }
            On::Plain(on) => {
                on.progress.finish();
                on.last
            }
        }
    }

    fn draw(&mut self) {
        let now = Now::after(self.begin.elapsed());
        if let On::Screen(on) = &mut self.on {
            let warning = display::last_held();
            on.screen
                .draw(|frame| on.view.draw(frame, now, warning.as_deref()));
        }
    }

    fn happened(&mut self, happened: Happened) {
        let now = Now::after(self.begin.elapsed());
        let On::Screen(on) = &mut self.on else {
            return;
        };
        match happened {
            Happened::Event(Event::Key(key)) => match on.view.key(key) {
                None => {}
                Some(Action::StopAtOnce) => stop_at_once(),
                Some(Action::Leave) => {
                    if self.of.role == Role::Runner {
                        let text = "stopping at the next checkpoint; ctrl-C stops at once";
                        on.view.say(now, text.into(), false);
                    }
                    self.of.stop.cancel();
                }
                Some(_) if on.doing.is_some() => {
                    on.view
                        .say(now, "the last command is still being given".into(), true);
                }
                Some(Action::Steer(status)) => on.doing = Some(self.of.steer(status)),
                Some(Action::SetRate(rate)) => on.doing = Some(self.of.set_rate(rate)),
                Some(Action::Resume) => on.doing = Some(self.of.resume()),
            },
            Happened::Done(Ok(Ok(text))) => on.view.say(now, text, false),
            Happened::Done(Ok(Err(error))) => on.view.say(now, error.report(), true),
            Happened::Done(Err(error)) => on.view.say(now, error.to_string(), true),
            Happened::Event(_) | Happened::Nothing => {}
        }
    }
}

/// What happened while the view waited.
enum Happened {
    Event(Event),
    Done(std::result::Result<Result<String>, tokio::task::JoinError>),
    Nothing,
}

/// The end of a command. Never, where there is none.
async fn done(
    doing: &mut Option<JoinHandle<Result<String>>>,
) -> std::result::Result<Result<String>, tokio::task::JoinError> {
    match doing {
        Some(at_work) => {
            let done = at_work.await;
            *doing = None;
            done
        }
        None => std::future::pending().await,
    }
}

impl Watched {
    fn planner(&self) -> Planner<ReadOnly, CheckpointTable> {
        Planner::new(ReadOnly(self.connection.clone()), self.checkpoints.clone())
    }

    fn steer(&self, status: RunStatus) -> JoinHandle<Result<String>> {
        let (planner, run_id) = (self.planner(), self.run_id.clone());
        tokio::spawn(async move {
            let before = planner
                .runs
                .steer(&run_id, status, &owner::caller())
                .await?;
            Ok(steer::change_text(before, status))
        })
    }

    fn set_rate(&self, rate: backfill_core::engine::runs::Rate) -> JoinHandle<Result<String>> {
        let (planner, run_id) = (self.planner(), self.run_id.clone());
        tokio::spawn(async move {
            let (before, after) = planner
                .runs
                .set_rate(&run_id, rate, &owner::caller())
                .await?;
            Ok(rate::change_text(&before, &after))
        })
    }

    /// A run of AWS goes on by another execution; one of a process would have to go on in a process of its own.
    fn resume(&self) -> JoinHandle<Result<String>> {
        let (connection, checkpoints) = (self.connection.clone(), self.checkpoints.clone());
        let run_id = self.run_id.clone();
        tokio::spawn(async move {
            let record = retry(&Until::after(PATIENCE), || checkpoints.run(&run_id)).await?;
            let record =
                record.ok_or_else(|| no_such_run(&run_id, checkpoints.name(), &connection))?;
            let request = steer::request_to_resume(&record)?;
            let Some(machine) = steer::state_machine_of(&record) else {
                let table = match checkpoints.name() {
                    CHECKPOINT_TABLE => String::new(),
                    other => format!(" --checkpoint-table {other}"),
                };
                return Err(Error::invalid(
                    "run_id",
                    format!("it ran in a process; type: backfill resume --run-id {run_id}{table}"),
                ));
            };
            let sfn = start::client(&connection);
            steer::drained(&sfn, &record).await;
            let execution = start::start_execution(&sfn, &machine, &request).await?;
            Ok(format!("started execution {execution}"))
        })
    }
}

/// Whether colours are wanted: <https://no-color.org>.
fn has_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
