//! What is known of the run on the screen. The view is pure, so that tests see every state of it: `keys.rs` is what a key means,
//! `draw.rs` what is drawn; the terminal around it is `screen.rs`.

use std::time::Duration;

use backfill_core::clock::now_ms;
use backfill_core::view::progress::Snapshot;

use super::lately::Lately;
use super::segments::{Overview, Segments};
use crate::show::meter::Meter;

/// Now, by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Since the view was opened.
    pub since: Duration,
    /// Milliseconds since 1970, for what the records date.
    pub ms: u64,
}

impl Now {
    /// By the clocks of this machine.
    pub fn after(since: Duration) -> Now {
        Now {
            since,
            ms: now_ms(),
        }
    }
}

/// What the process that shows the view is to the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It only looks on (`watch`).
    Watcher,
    /// It follows an execution to its end (`start`).
    Follower,
    /// The run goes on in it (`run`).
    Runner,
}

/// What stands over the view and takes the next keys.
#[derive(Debug, Clone, PartialEq)]
pub enum Dialog {
    Help,
    Cancel,
    /// Asks a runner whether to stop.
    Stop,
    Rate {
        /// The budget of reads, or of writes.
        reads: bool,
        typed: String,
        error: Option<String>,
    },
}

/// A line about what was done or went wrong.
#[derive(Debug)]
pub struct Message {
    pub at: Duration,
    pub text: String,
    pub is_error: bool,
}

/// A run, as it is shown.
pub struct View {
    pub(super) role: Role,
    pub(super) run_id: String,
    /// Where its table is.
    pub(super) place: String,
    pub(super) has_colour: bool,
    pub(super) snapshot: Option<Snapshot>,
    pub(super) meter: Meter,
    pub(super) segments: Segments,
    /// How the segments stood when the records were read last: what was not read since has not stood still.
    pub(super) overview: Overview,
    pub(super) lately: Option<Lately>,
    /// When the records were read last.
    pub(super) read: Duration,
    pub(super) trouble: Option<String>,
    pub(super) message: Option<Message>,
    pub(super) dialog: Option<Dialog>,
    pub(super) stopping: bool,
}

impl View {
    /// A view of a run of which nothing is known yet.
    pub fn new(role: Role, run_id: &str, place: &str, has_colour: bool) -> View {
        View {
            role,
            run_id: run_id.into(),
            place: place.into(),
            has_colour,
            snapshot: None,
            meter: Meter::default(),
            segments: Segments::default(),
            overview: Overview::default(),
            lately: None,
            read: Duration::ZERO,
            trouble: None,
            message: None,
            dialog: None,
            stopping: false,
        }
    }

    /// Takes in what was read.
    pub fn note(&mut self, now: Now, snapshot: Snapshot) {
        let anew = self.meter.note(now.since, &snapshot);
        self.segments.note(now.since, &snapshot, anew);
        self.overview = self.segments.overview(now.since, &snapshot);
        self.snapshot = Some(snapshot);
        self.read = now.since;
        self.trouble = None;
    }

    /// Takes in what was read of the history.
    pub fn note_history(&mut self, lately: Lately) {
        self.lately = Some(lately);
    }

    /// The records could not be read. What was read before stays.
    pub fn failed(&mut self, trouble: String) {
        self.trouble = Some(trouble);
    }

    /// Says what was done, or what went wrong with it.
    pub fn say(&mut self, now: Now, text: String, is_error: bool) {
        self.message = Some(Message {
            at: now.since,
            text,
            is_error,
        });
    }

    /// The run as it was read last.
    pub fn into_snapshot(self) -> Option<Snapshot> {
        self.snapshot
    }
}
