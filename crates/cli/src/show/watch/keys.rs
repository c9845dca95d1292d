//! What a key of the view means.

use backfill_core::engine::steering::RateChange;
use backfill_core::records::RunStatus;
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::view::{Dialog, Role, View};
use crate::budget;

/// What a key asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Command(Command),
    /// Close the view; of a runner: stop at the next checkpoint.
    Leave,
    /// Stop without waiting for the checkpoint; only a runner that is stopping already asks for it.
    StopAtOnce,
}

/// What steers the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Pause or cancel it.
    Steer(RunStatus),
    Resume,
    SetRate(RateChange),
}

impl View {
    /// What a key asks for. Cancelling, and stopping the run of this process, are asked for again first.
    pub fn key(&mut self, key: KeyEvent) -> Option<Action> {
        if key.kind != KeyEventKind::Press {
            return None;
        }
        let is_ctrl_c =
            key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
        if is_ctrl_c {
            if self.stopping {
                return Some(Action::StopAtOnce);
            }
            // Pressed again, it is meant.
            return match self.dialog == Some(Dialog::Stop) {
                true => self.leave(),
                false => self.ask_to_leave(),
            };
        }
        match &mut self.dialog {
            None => self.plain_key(key.code),
            Some(Dialog::Help) => {
                self.dialog = None;
                None
            }
            Some(Dialog::Cancel) => {
                self.dialog = None;
                (key.code == KeyCode::Char('y'))
                    .then_some(Action::Command(Command::Steer(RunStatus::Cancelled)))
            }
            Some(Dialog::Stop) => {
                self.dialog = None;
                (key.code == KeyCode::Char('y')).then(|| self.leave())?
            }
            Some(Dialog::Rate {
                reads,
                typed,
                error,
            }) => {
                *error = None;
                match key.code {
                    KeyCode::Esc => self.dialog = None,
                    KeyCode::Backspace => {
                        typed.pop();
                    }
                    KeyCode::Char(c) if c.is_ascii_alphanumeric() && typed.len() < 10 => {
                        typed.push(c);
                    }
                    KeyCode::Enter => match budget::parse("rate", typed) {
                        Ok(units) => {
                            let rate = match reads {
                                true => RateChange {
                                    max_wcu: None,
                                    max_rcu: Some(units),
                                    ..RateChange::default()
                                },
                                false => RateChange {
                                    max_wcu: Some(units),
                                    max_rcu: None,
                                    ..RateChange::default()
                                },
                            };
                            self.dialog = None;
                            return Some(Action::Command(Command::SetRate(rate)));
                        }
                        Err(refused) => *error = Some(refused.to_string()),
                    },
                    _ => {}
                }
                None
            }
        }
    }

    fn plain_key(&mut self, code: KeyCode) -> Option<Action> {
        match code {
            KeyCode::Char('p') => return Some(Action::Command(Command::Steer(RunStatus::Paused))),
            KeyCode::Char('r') => return Some(Action::Command(Command::Resume)),
            KeyCode::Char('w' | 'e') => {
                self.dialog = Some(Dialog::Rate {
                    reads: code == KeyCode::Char('e'),
                    typed: String::new(),
                    error: None,
                });
            }
            KeyCode::Char('c') => self.dialog = Some(Dialog::Cancel),
            KeyCode::Char('?' | 'h') => self.dialog = Some(Dialog::Help),
            KeyCode::Char('q') => return self.ask_to_leave(),
            _ => {}
        }
        None
    }

    fn ask_to_leave(&mut self) -> Option<Action> {
        if self.role != Role::Runner {
            return Some(Action::Leave);
        }
        if !self.stopping {
            self.dialog = Some(Dialog::Stop);
        }
        None
    }

    fn leave(&mut self) -> Option<Action> {
        self.stopping = true;
        self.dialog = None;
        Some(Action::Leave)
    }
}
