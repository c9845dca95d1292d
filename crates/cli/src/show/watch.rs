//! A run on the whole terminal, from its durable records, with keys that steer it. Without a terminal it is a bar or plain lines.
//!
//! Nothing is read here and no key is obeyed here: whoever drives the run hands snapshots in, and gets back what a key asks for.

mod charts;
mod dialog;
mod draw;
mod keys;
mod lately;
mod list;
#[cfg(test)]
mod picture;
#[cfg(test)]
mod samples;
mod screen;
mod segments;
#[cfg(test)]
mod snapshots;
mod strip;
mod typeset;
mod view;

use std::time::{Duration, Instant};

use backfill_core::Error;
use backfill_core::view::progress::Snapshot;
use crossterm::event::Event;

pub use self::keys::{Action, Command};
pub use self::lately::Lately;
pub use self::list::{Choice, RunList};
use self::screen::Screen;
pub use self::screen::restore as restore_terminal;
pub use self::view::Role;
use self::view::{Now, View};
use crate::show::print;
use crate::show::progress::Progress;

/// How often the view is drawn if nothing happens: its times go on.
const REDRAW: Duration = Duration::from_secs(1);

/// A run as it is shown: the view, or a bar or plain lines.
pub struct Show {
    on: On,
    begin: Instant,
}

enum On {
    Screen(Box<OnScreen>),
    Plain(Box<OnPlain>),
}

struct OnPlain {
    progress: Progress,
    last: Option<Snapshot>,
}

struct OnScreen {
    screen: Screen,
    view: View,
}

impl Show {
    /// Takes the terminal over if `whole` asks for it and there is one. `place` is where the run's table is. `hint` says how to
    /// watch the run from elsewhere, to whoever sees lines.
    pub fn open(whole: bool, role: Role, run_id: &str, place: &str, hint: Option<String>) -> Show {
        let screen = if whole { Screen::open() } else { None };
        let on = match screen {
            Some(screen) => On::Screen(Box::new(OnScreen {
                view: View::new(role, run_id, place, print::has_colour()),
                screen,
            })),
            None => On::Plain(Box::new(OnPlain {
                progress: Progress::new(hint),
                last: None,
            })),
        };
        let mut show = Show {
            on,
            begin: Instant::now(),
        };
        show.draw();
        show
    }

    /// Whether it has the terminal.
    pub fn is_screen(&self) -> bool {
        matches!(self.on, On::Screen(_))
    }

    /// What the next key asks for that asks for something; the view is kept up to date meanwhile. Never, without the terminal.
    /// May be dropped at any time.
    pub async fn action(&mut self) -> Action {
        loop {
            let On::Screen(on) = &mut self.on else {
                std::future::pending().await
            };
            let event = tokio::select! {
                event = on.screen.event() => Some(event),
                () = tokio::time::sleep(REDRAW) => None,
            };
            let action = match event {
                Some(Event::Key(key)) => on.view.key(key),
                _ => None,
            };
            self.draw();
            if let Some(action) = action {
                return action;
            }
        }
    }

    /// Shows how the run stands.
    pub fn take(&mut self, snapshot: Snapshot) {
        let now = self.now();
        match &mut self.on {
            On::Screen(on) => on.view.note(now, snapshot),
            On::Plain(on) => {
                on.progress.show(&snapshot);
                on.last = Some(snapshot);
            }
        }
        self.draw();
    }

    /// Whether there is room to show what the run has done lately.
    pub fn shows_history(&self) -> bool {
        match &self.on {
            On::Screen(on) => on.screen.width() >= charts::LEAST_WIDTH,
            On::Plain(_) => false,
        }
    }

    /// Shows what the run has done lately.
    pub fn take_history(&mut self, lately: Lately) {
        if let On::Screen(on) = &mut self.on {
            on.view.note_history(lately);
        }
        self.draw();
    }

    /// Says that the records cannot be read at present.
    pub fn failed(&mut self, error: &Error) {
        match &mut self.on {
            On::Screen(on) => on.view.failed(error.report()),
            On::Plain(on) => on.progress.failed(error),
        }
        self.draw();
    }

    /// Says what came of a key.
    pub fn say(&mut self, text: String, is_error: bool) {
        let now = self.now();
        if let On::Screen(on) = &mut self.on {
            on.view.say(now, text, is_error);
        }
        self.draw();
    }

    /// Gives the terminal back, or clears the bar; returns what was shown last.
    pub fn finish(self) -> Option<Snapshot> {
        match self.on {
            On::Screen(on) => {
                let OnScreen { screen, view } = *on;
                drop(screen);
                view.into_snapshot()
            }
            On::Plain(on) => {
                on.progress.finish();
                on.last
            }
        }
    }

    fn now(&self) -> Now {
        Now::after(self.begin.elapsed())
    }

    fn draw(&mut self) {
        let now = self.now();
        if let On::Screen(on) = &mut self.on {
            let warning = print::last_held();
            on.screen
                .draw(|frame| on.view.draw(frame, now, warning.as_deref()));
        }
    }
}
