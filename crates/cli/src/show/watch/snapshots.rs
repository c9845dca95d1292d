//! The view in every state, as text at three sizes, and what its keys do. After an intended change
//! `INSTA_UPDATE=always cargo test -p backfill-cli watch` writes snapshots and picture anew, for you to read in the diff.

use backfill_core::engine::steering::RateChange;
use backfill_core::records::RunStatus;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::Color;

use super::keys::{Action, Command};
use super::samples::{all, at, mid_run};
use super::view::{Now, Role, View};
use crate::show::samples::{pass, run, segment};

/// The view, drawn.
pub fn drawn(view: &View, now: Now, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view.draw(frame, now, None)).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let row = |y| -> String {
        let cells = (0..buffer.area.width).map(|x| buffer[(x, y)].symbol());
        cells.collect::<String>().trim_end().to_owned()
    };
    let rows: Vec<String> = (0..buffer.area.height).map(row).collect();
    rows.join("\n")
}

fn press(view: &mut View, keys: &str) -> Option<Action> {
    let mut action = None;
    for key in keys.chars() {
        assert_eq!(action, None, "{key} comes after the action");
        let code = match key {
            '\n' => KeyCode::Enter,
            '\x1b' => KeyCode::Esc,
            '\x08' => KeyCode::Backspace,
            key => KeyCode::Char(key),
        };
        action = view.key(KeyEvent::from(code));
    }
    action
}

fn ctrl_c(view: &mut View) -> Option<Action> {
    view.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL))
}

fn runner() -> View {
    let mut view = View::new(Role::Runner, "r", "here", true);
    view.note(at(0), pass(run(), vec![segment(0, 500)]));
    view
}

/// A canary leaves segments open, so that nothing is counted at its end: neither before it pauses nor then.
#[test]
fn a_swept_canary_is_not_said_to_verify() {
    for (status, expected) in [
        (
            RunStatus::Running,
            "100 %  time left: none, the canary is swept",
        ),
        (RunStatus::Paused, "100 %  paused"),
    ] {
        let mut canary = run();
        canary.status = status;
        canary.settings.only_segments = vec![3];
        let mut segment = segment(3, 100);
        segment.exhausted = true;
        let mut view = View::new(Role::Watcher, "r", "here", false);
        view.note(at(0), pass(canary, vec![segment]));
        let text = text(&drawn(&view, at(1), 80, 24));
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains("verifying"), "{text}");
        assert!(!text.contains("count"), "{text}");
    }
}

#[test]
fn every_state_at_three_sizes() {
    for (name, view, now) in all() {
        for (width, height) in [(80, 24), (120, 40), (200, 50)] {
            let drawn = text(&drawn(&view, now, width, height));
            insta::assert_snapshot!(format!("{name}-{width}x{height}"), drawn);
        }
    }
}

#[test]
fn every_dialog() {
    for (name, keys) in [("help", "?"), ("cancel", "c"), ("rate", "w15x\n")] {
        let (mut view, now) = mid_run();
        assert_eq!(press(&mut view, keys), None);
        let drawn = text(&drawn(&view, now, 80, 24));
        insta::assert_snapshot!(format!("dialog-{name}-80x24"), drawn);
    }
    let mut view = runner();
    press(&mut view, "q");
    insta::assert_snapshot!("dialog-stop-80x24", text(&drawn(&view, at(1), 80, 24)));
}

/// No size makes it panic, and if it is too small it says so.
#[test]
fn every_size_can_be_drawn() {
    for (name, mut view, now) in all() {
        let step = if name == "many-segments" { 37 } else { 7 };
        for keys in ["", "?"] {
            press(&mut view, keys);
            for width in (1..=210).step_by(step) {
                for height in (1..=60).step_by(step) {
                    drawn(&view, now, width, height);
                }
            }
        }
        for (width, height) in [
            (0, 0),
            (1, 1),
            (59, 20),
            (60, 19),
            (60, 20),
            (500, 1),
            (1, 200),
        ] {
            let text = text(&drawn(&view, now, width, height));
            let is_small = width < 60 || height < 20;
            if width > 20 && height > 3 {
                assert_eq!(
                    text.contains("too small"),
                    is_small,
                    "{width}x{height}: {text}"
                );
            }
        }
    }
}

/// Everything that matters is there at the smallest size of a terminal.
#[test]
fn what_matters_fits_into_80_by_24() {
    let (view, now) = mid_run();
    let text = text(&drawn(&view, now, 80, 24));
    for part in [
        "orders-0b4b8a0e",
        "running",
        "of about 5,000,000",
        "items/s",
        "left",
        "of 500 units/s",
        "no limit",
        "budget (",
        "throttled (",
        "in the last",
        "! slow (2)",
        "rejected items (2)",
        "--max-wcu 2000 -> 500, by ana@night-watch",
        "p pause",
        "? help",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
}

/// Latencies are whole in the narrowest terminal that has room for charts, and in none that has less.
#[test]
fn latencies_are_there_from_160_columns_on() {
    let (view, now) = mid_run();
    let wide = text(&drawn(&view, now, 160, 30));
    let line = "latency    last 30 s: writes 11/15/61 ms, reads 5.3/6.1/6.3 ms (p50/90/99)";
    assert!(wide.contains(line), "{wide}");
    assert!(
        wide.contains("writes ms: p50     p90     p99    reads ms: p50"),
        "{wide}"
    );
    let narrow = text(&drawn(&view, now, 159, 30));
    assert!(!narrow.contains("p50"), "{narrow}");
}

/// NO_COLOR: not one colour, and every state still has a glyph of its own.
#[test]
fn without_colours_nothing_is_lost() {
    let (coloured, now) = mid_run();
    let mut plain = View::new(
        Role::Watcher,
        "orders-0b4b8a0e",
        "in region eu-west-1",
        false,
    );
    for (at_, snapshot) in super::samples::mid_run_readings() {
        plain.note(at(at_), snapshot);
    }
    let (coloured, plain) = (drawn(&coloured, now, 80, 24), drawn(&plain, now, 80, 24));
    assert_eq!(text(&coloured), text(&plain));
    let colours = |buffer: &Buffer| {
        let cells = buffer.content.iter();
        cells
            .filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
            .count()
    };
    assert!(colours(&coloured) > 100);
    assert_eq!(colours(&plain), 0);
    let mut glyphs: Vec<char> = super::segments::State::ALL
        .map(|state| state.glyph())
        .into();
    glyphs.sort_unstable();
    glyphs.dedup();
    assert_eq!(glyphs.len(), super::segments::State::ALL.len());
}

/// What others have written into a table is shown, not obeyed.
#[test]
fn text_of_others_cannot_steer_the_terminal() {
    let mut run = run();
    run.message = "\x1b[2J\x07 hello\r\n".into();
    run.status = RunStatus::Failed;
    let mut view = View::new(Role::Watcher, "r\x1b[31m", "here", true);
    view.note(at(0), pass(run, vec![]));
    view.say(at(0), "\x1b]0;title\x07".into(), true);
    let buffer = drawn(&view, at(0), 80, 24);
    assert!(text(&buffer).contains("hello"));
    let mut symbols = buffer.content.iter().flat_map(|cell| cell.symbol().chars());
    assert!(!symbols.any(char::is_control));
}

#[test]
fn keys_steer_and_what_cannot_be_taken_back_is_asked_for_again() {
    let pause = Some(Action::Command(Command::Steer(RunStatus::Paused)));
    let cancel = Some(Action::Command(Command::Steer(RunStatus::Cancelled)));
    let (mut view, _) = mid_run();
    assert_eq!(press(&mut view, "p"), pause);
    assert_eq!(
        press(&mut view, "r"),
        Some(Action::Command(Command::Resume))
    );
    assert_eq!(press(&mut view, "cy"), cancel);
    for other in ["cc", "cn", "c\n", "c\x1b"] {
        assert_eq!(press(&mut view, other), None, "{other:?}");
        // The dialog is closed.
        assert_eq!(press(&mut view, "p"), pause, "{other:?}");
    }
    assert_eq!(press(&mut view, "??p"), pause);
    assert_eq!(press(&mut view, "q"), Some(Action::Leave));
    assert_eq!(ctrl_c(&mut view), Some(Action::Leave));
}

#[test]
fn the_rate_is_typed() {
    let set = |max_wcu, max_rcu| {
        Some(Action::Command(Command::SetRate(RateChange {
            max_wcu,
            max_rcu,
            ..RateChange::default()
        })))
    };
    let (mut view, _) = mid_run();
    assert_eq!(press(&mut view, "w1500\n"), set(Some(Some(1500)), None));
    assert_eq!(press(&mut view, "wnone\n"), set(Some(None), None));
    assert_eq!(press(&mut view, "e30\x080\n"), set(None, Some(Some(30))));
    assert_eq!(press(&mut view, "w15\x1b"), None);
    // What is no rate is refused, and can be mended.
    for bad in ["w\n", "w0\n", "wfast\n", "w99999999999999\n"] {
        assert_eq!(press(&mut view, bad), None, "{bad}");
        let erased = "\x08".repeat(10) + "7\n";
        assert_eq!(press(&mut view, &erased), set(Some(Some(7)), None));
    }
}

/// Whoever leaves `run --watch` stops the run, so that is asked first; and it may be stopped at once.
#[test]
fn a_runner_is_stopped_only_when_it_is_meant() {
    let mut view = runner();
    for keys in ["q", "qn", "qq"] {
        assert_eq!(press(&mut view, keys), None);
        assert_eq!(press(&mut view, "\x1b"), None);
    }
    assert_eq!(press(&mut view, "qy"), Some(Action::Leave));
    assert_eq!(press(&mut view, "q"), None, "it is stopping already");
    assert_eq!(ctrl_c(&mut view), Some(Action::StopAtOnce));
    let mut view = runner();
    assert_eq!(ctrl_c(&mut view), None);
    assert_eq!(ctrl_c(&mut view), Some(Action::Leave));
    assert_eq!(ctrl_c(&mut view), Some(Action::StopAtOnce));
}
