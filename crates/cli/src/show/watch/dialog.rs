//! The dialogs of the view.

use ratatui::Frame;
use ratatui::layout::Constraint;
use ratatui::text::Line;
use ratatui::widgets::{Block, Clear, Padding, Paragraph};

use super::typeset::wrap;
use super::view::{Dialog, Role, View};

impl View {
    /// Draws a dialog over the view.
    pub(super) fn draw_dialog(&self, frame: &mut Frame, dialog: &Dialog) {
        let (title, text) = match dialog {
            Dialog::Help => ("help", self.help()),
            Dialog::Cancel => (
                "cancel",
                format!(
                    "Cancel run {} for good?\nIts workers end at their checkpoints, and resume does not take it up \
                     again.\n\ny cancels it, any other key goes back",
                    self.run_id
                ),
            ),
            Dialog::Stop => (
                "stop",
                "The run goes on in this process. Stop it at the next checkpoint?\n\ny stops it, any other key goes back"
                    .into(),
            ),
            Dialog::Rate {
                reads,
                typed,
                error,
            } => {
                let settings = self.snapshot.as_ref().map(|snapshot| &snapshot.run.settings);
                let (what, present) = match reads {
                    true => ("read", settings.and_then(|settings| settings.max_rcu)),
                    false => ("write", settings.and_then(|settings| settings.max_wcu)),
                };
                let present = present.map_or("no limit".into(), |units| units.to_string());
                let error = error.as_deref().unwrap_or_default();
                (
                    "rate",
                    format!(
                        "At most so many {what} units a second, for the whole run (now: {present}):\n\n> {typed}_\n{error}\n\
                         a number or none, then Enter; Esc goes back"
                    ),
                )
            }
        };
        let area = frame.area();
        let width = 70.min(area.width - 4);
        let lines = wrap(&text, usize::from(width - 4));
        let height = (lines.len() as u16 + 2).min(area.height);
        let area = area.centered(Constraint::Length(width), Constraint::Length(height));
        frame.render_widget(Clear, area);
        let block = Block::bordered()
            .title(format!(" {title} "))
            .padding(Padding::horizontal(1));
        let lines: Vec<Line> = lines.into_iter().map(Line::from).collect();
        frame.render_widget(Paragraph::new(lines).block(block), area);
    }

    fn help(&self) -> String {
        let leave = match self.role {
            Role::Watcher => "q  leaves. The run goes on.",
            Role::Follower => "q  stops following. The run goes on in AWS.",
            Role::Runner => {
                "q  stops the run of this process at the next checkpoint, after a question, as p does; so does ctrl-C. The same \
                 command goes on with it."
            }
        };
        let pause = match self.role {
            Role::Watcher => {
                "p  pauses: workers save their checkpoints and end within ten seconds."
            }
            Role::Follower | Role::Runner => {
                "p  pauses: workers save their checkpoints and end within ten seconds, and so does this view. backfill resume \
                 goes on."
            }
        };
        format!(
            "{pause}\nr  resumes a paused or failed run of AWS by another execution; of one of a process it says what to type.\n\
             w  the write budget, e the read budget: a number or none.\n\
             c  cancels for good, after a question.\n{leave}\n\n\
             slow: no checkpoint for 30 s and for 5 times the usual pause, or a quarter of the median of items per second of \
             work.\nbound by: budget (yours), throttled (the table), latency (of writes), reading (of pages), starting (it speeds up), \
             no limit (none of these takes half of the time)."
        )
    }
}
