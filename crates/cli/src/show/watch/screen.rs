//! The terminal while the view has it: raw mode, the alternate screen, keys. It is given back whatever happens: at the end,
//! at a panic, and at signals, which each command obeys.

use std::io::{self, BufWriter};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossterm::cursor::{Hide, Show};
use crossterm::event::{Event, poll, read};
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::backend::CrosstermBackend;
use ratatui::{Frame, Terminal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::show::print;

/// Whether a screen has the terminal.
static HAS_TERMINAL: AtomicBool = AtomicBool::new(false);

/// How often the thread that reads keys looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// The terminal, taken over. On stderr, as all that is for people: stdout is for JSON.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<print::Terminal>>>,
    events: UnboundedReceiver<Event>,
    /// The thread that reads keys.
    reader: Option<JoinHandle<()>>,
}

impl Screen {
    /// Takes the terminal over; `None` if there is none, or none that can be drawn on. What would be printed on stderr is
    /// held back from now on. Needs a runtime.
    pub fn open() -> Option<Screen> {
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if !print::is_terminal() || is_dumb || enable_raw_mode().is_err() {
            return None;
        }
        restore_at_panics();
        HAS_TERMINAL.store(true, Ordering::SeqCst);
        print::hold_stderr();
        let opened = execute!(print::Terminal, EnterAlternateScreen, Hide)
            .and_then(|()| Terminal::new(CrosstermBackend::new(BufWriter::new(print::Terminal))));
        let Ok(terminal) = opened else {
            restore();
            return None;
        };
        let (to, events) = unbounded_channel();
        let reader = Some(std::thread::spawn(move || read_events(&to)));
        Some(Screen {
            terminal,
            events,
            reader,
        })
    }

    /// Draws. What fails here has failed with the terminal, and there is nobody to tell.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame)) {
        // A task may have panicked, which has given the terminal back. A terminal that has stopped is not drawn on.
        if HAS_TERMINAL.load(Ordering::SeqCst) && !print::is_behind() {
            let _ = self.terminal.draw(draw);
        }
    }

    /// Its columns; none if it does not say.
    pub fn width(&self) -> u16 {
        self.terminal.size().map_or(0, |size| size.width)
    }

    /// The next key, or change of the terminal's size. Never, once no more can be read.
    pub async fn event(&mut self) -> Event {
        match self.events.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Its next keys are those of whatever comes next: another screen, or the shell.
        self.events.close();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        restore();
    }
}

/// Gives the terminal back, if a screen has it, and prints what was held back.
pub fn restore() {
    if HAS_TERMINAL.swap(false, Ordering::SeqCst) {
        let _ = execute!(print::Terminal, LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
        print::release_stderr();
    }
}

/// Keys come in blocking calls, which would hold up the run.
fn read_events(to: &UnboundedSender<Event>) {
    let next = || -> io::Result<Option<Event>> {
        match poll(LOOK)? {
            true => Ok(Some(read()?)),
            false => Ok(None),
        }
    };
    while !to.is_closed() {
        match next() {
            Ok(None) => {}
            Ok(Some(event)) => {
                let _ = to.send(event);
            }
            Err(error) => {
                tracing::warn!("keys cannot be read any more: {error}");
                return;
            }
        }
    }
}

/// Before the panic is told.
fn restore_at_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            print::finish_at_once();
            tell(panic);
        }));
    });
}
