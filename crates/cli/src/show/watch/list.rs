//! The list of runs on the whole terminal: arrows choose one, enter watches it.

use backfill_core::Error;
use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::Frame;
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;

use super::screen::Screen;
use super::typeset::fit;
use crate::show::runs::{Lines, RunLine};

/// What a key asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Watch this run.
    Watch(String),
    /// Close the list.
    Leave,
}

/// The list of runs, with the terminal.
pub struct RunList {
    screen: Screen,
    list: List,
}

impl RunList {
    /// Takes the terminal over; `None` if there is none. `place` is where the runs are, and the run `chosen` is chosen.
    pub fn open(place: &str, runs: &[RunLine], chosen: Option<&str>) -> Option<RunList> {
        let mut list = List::new(place);
        list.take(runs.to_vec());
        list.chosen = list.position(chosen);
        let mut opened = RunList {
            screen: Screen::open()?,
            list,
        };
        opened.draw();
        Some(opened)
    }

    /// Shows these.
    pub fn take(&mut self, runs: Vec<RunLine>) {
        self.list.take(runs);
        self.draw();
    }

    /// Says that they cannot be read at present.
    pub fn failed(&mut self, error: &Error) {
        self.list.trouble = Some(error.report());
        self.draw();
    }

    /// What the next key asks for that asks for something. May be dropped at any time.
    pub async fn choice(&mut self) -> Choice {
        loop {
            let choice = match self.screen.event().await {
                Event::Key(key) => self.list.key(key),
                _ => None,
            };
            self.draw();
            if let Some(choice) = choice {
                return choice;
            }
        }
    }

    fn draw(&mut self) {
        self.screen.draw(|frame| self.list.draw(frame));
    }
}

/// What is known of the list.
struct List {
    place: String,
    runs: Vec<RunLine>,
    chosen: usize,
    trouble: Option<String>,
}

impl List {
    fn new(place: &str) -> List {
        List {
            place: place.to_owned(),
            runs: Vec::new(),
            chosen: 0,
            trouble: None,
        }
    }

    /// Takes in what was read. The run that was chosen stays chosen.
    fn take(&mut self, runs: Vec<RunLine>) {
        let chosen = self.chosen_id();
        self.runs = runs;
        self.chosen = self.position(chosen.as_deref());
        self.trouble = None;
    }

    fn chosen_id(&self) -> Option<String> {
        let chosen = self.runs.get(self.chosen)?;
        Some(chosen.run.run_id.clone())
    }

    fn position(&self, run_id: Option<&str>) -> usize {
        let mut ids = self.runs.iter().map(|line| line.run.run_id.as_str());
        ids.position(|id| Some(id) == run_id).unwrap_or(0)
    }

    fn key(&mut self, key: KeyEvent) -> Option<Choice> {
        if key.kind != KeyEventKind::Press {
            return None;
        }
        let last = self.runs.len().saturating_sub(1);
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                return Some(Choice::Leave);
            }
            KeyCode::Char('q') | KeyCode::Esc => return Some(Choice::Leave),
            KeyCode::Enter => return self.chosen_id().map(Choice::Watch),
            KeyCode::Up | KeyCode::Char('k') => self.chosen = self.chosen.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.chosen = (self.chosen + 1).min(last),
            KeyCode::Home | KeyCode::Char('g') => self.chosen = 0,
            KeyCode::End | KeyCode::Char('G') => self.chosen = last,
            _ => {}
        }
        None
    }

    fn draw(&self, frame: &mut Frame) {
        let area = frame.area();
        let (width, height) = (usize::from(area.width), usize::from(area.height));
        let lines = Lines::of(&self.runs);
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let reversed = Style::new().add_modifier(Modifier::REVERSED);
        let title = format!(" runs {}", self.place);
        let mut drawn = vec![
            Line::styled(fit(&title, width), bold),
            Line::default(),
            Line::styled(fit(&format!(" {}", lines.head), width), bold),
        ];
        let room = height.saturating_sub(drawn.len() + 2);
        let mut rows = Vec::new();
        let mut end_of_chosen = 0;
        for (n, of_run) in lines.runs.iter().enumerate() {
            let style = match n == self.chosen {
                true => reversed,
                false => Style::new(),
            };
            rows.extend(of_run.iter().map(|line| {
                let text = fit(&format!(" {line}"), width);
                Line::styled(format!("{text:<width$}"), style)
            }));
            if n == self.chosen {
                end_of_chosen = rows.len();
            }
        }
        if rows.is_empty() {
            rows.push(Line::from(" no run yet"));
        }
        let first = end_of_chosen.saturating_sub(room);
        drawn.extend(rows.into_iter().skip(first).take(room));
        drawn.resize_with(height.saturating_sub(2), Line::default);
        let trouble = self.trouble.as_deref().unwrap_or_default();
        drawn.push(Line::styled(fit(&format!(" {trouble}"), width), bold));
        drawn.push(Line::from(fit(
            " up and down choose   enter watches   q quits",
            width,
        )));
        frame.render_widget(Paragraph::new(drawn), area);
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::show::samples::{pass, run, segment};

    fn list(ids: &[&str]) -> List {
        let mut list = List::new("here");
        list.take(lines(ids));
        list
    }

    fn lines(ids: &[&str]) -> Vec<RunLine> {
        let line = |id: &&str| {
            let mut run = run();
            run.run_id = (*id).to_owned();
            RunLine {
                glance: pass(run.clone(), vec![segment(0, 500)]).glance(),
                run,
                holder: None,
                table_now: None,
            }
        };
        ids.iter().map(line).collect()
    }

    fn press(list: &mut List, code: KeyCode) -> Option<Choice> {
        list.key(KeyEvent::from(code))
    }

    #[test]
    fn a_run_is_chosen_and_stays_chosen_when_others_come() {
        let mut list = list(&["a", "b", "c"]);
        let watch = |id: &str| Some(Choice::Watch(id.to_owned()));
        assert_eq!(press(&mut list, KeyCode::Enter), watch("a"));
        assert_eq!(press(&mut list, KeyCode::Down), None);
        assert_eq!(press(&mut list, KeyCode::Enter), watch("b"));
        list.take(lines(&["new", "a", "b", "c"]));
        assert_eq!(press(&mut list, KeyCode::Enter), watch("b"));
        assert_eq!(press(&mut list, KeyCode::End), None);
        assert_eq!(press(&mut list, KeyCode::Down), None);
        assert_eq!(press(&mut list, KeyCode::Enter), watch("c"));
        list.take(lines(&[]));
        assert_eq!(press(&mut list, KeyCode::Enter), None);
        assert_eq!(press(&mut list, KeyCode::Char('q')), Some(Choice::Leave));
        let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(list.key(ctrl_c), Some(Choice::Leave));
    }

    /// No size makes it panic, and the chosen run is seen in each.
    #[test]
    fn every_size_can_be_drawn() {
        let ids: Vec<String> = (0..50).map(|n| format!("run-{n:02}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let mut list = list(&ids);
        press(&mut list, KeyCode::End);
        for (width, height) in [(0, 0), (1, 1), (5, 40), (80, 6), (80, 24), (200, 60)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal.draw(|frame| list.draw(frame)).unwrap();
            if width == 80 {
                let shown = terminal.backend().to_string();
                assert!(shown.contains("run-49"), "{width}x{height}:\n{shown}");
            }
        }
    }
}
