//! Stderr, written to by a thread of its own: whoever has something to say never waits for a terminal that is stopped or a pipe that
//! nobody empties, and loses nothing but the lines.

use std::collections::VecDeque;
use std::io::{ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::show::lines::{LEAST, shaped};
use crate::show::words::fit;

/// How much a line matters if they come faster than they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matter {
    /// What the next one makes old: progress, the log.
    Passing,
    /// What must not be missed: errors, results.
    Lasting,
}

/// Lines of each sort that wait at most; the oldest one goes.
const MOST_WAITING: usize = 2_000;

/// How long the thread waits before it tries again what the other end did not take, though it is there.
const AGAIN: Duration = Duration::from_millis(20);

/// What waits to be written, and the thread that writes it.
pub struct Stream {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Something has changed, for the thread and for those who wait for it.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: VecDeque<(Matter, String)>,
    left_out: u64,
    /// A question, behind which the answer is typed.
    question: Option<String>,
    /// Bytes of a view that has the terminal. They come before all lines.
    view: Vec<u8>,
    /// A view has the terminal: lines wait.
    held: bool,
    /// The line at the bottom that is always replaced, and what of it stands there now.
    status: Option<String>,
    drawn: Option<String>,
    /// The thread is at work on what it has taken out.
    busy: bool,
    /// Bytes that were taken by the other end so far.
    taken: u64,
    /// Nobody reads any more.
    lost: bool,
}

impl State {
    fn waits(&self) -> bool {
        let lines = !self.held && (!self.lines.is_empty() || self.question.is_some());
        let status = !self.held && self.status != self.drawn;
        !self.view.is_empty() || lines || status
    }

    /// What is to be written next.
    fn next(&mut self, width: &dyn Fn() -> Option<usize>) -> Vec<u8> {
        let mut next = std::mem::take(&mut self.view);
        if self.held {
            return next;
        }
        if self.drawn.take().is_some() {
            next.extend(b"\r\x1b[K");
        }
        if self.left_out > 0 {
            let n = std::mem::take(&mut self.left_out);
            let s = if n == 1 { "" } else { "s" };
            next.extend(format!("({n} line{s} left out: nobody took them)\n").bytes());
        }
        // One line at a time: the others can still be left out.
        if let Some((matter, line)) = self.lines.pop_front() {
            let line = match matter {
                Matter::Lasting => shaped(&line, width().map(|columns| columns.max(LEAST))),
                Matter::Passing => line,
            };
            next.extend(line.bytes());
            next.push(b'\n');
        } else if let Some(question) = self.question.take() {
            next.extend(question.bytes());
        }
        if self.lines.is_empty()
            && let Some(status) = &self.status
        {
            next.extend(fit(status, width().unwrap_or(80).saturating_sub(1)).bytes());
            self.drawn = Some(status.clone());
        }
        next
    }
}

impl Stream {
    /// What is said goes to `out` from now on. `width` is that of the terminal; `None` if it is none, where lines stay whole.
    pub fn to(
        out: impl Write + Send + 'static,
        width: impl Fn() -> Option<usize> + Send + 'static,
    ) -> Stream {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let at_work = shared.clone();
        let thread = std::thread::Builder::new().name("stderr".into());
        // A machine that has no thread to give has no words from us: the work matters more.
        let started = thread.spawn(move || at_work.write_all(out, &width));
        shared.state().lost = started.is_err();
        Stream { shared }
    }

    /// Says a line, or several.
    pub fn say(&self, matter: Matter, line: String) {
        self.shared.change(|state| {
            if state.lost {
                return;
            }
            let same = |(of, _): &&(Matter, String)| *of == matter;
            if state.lines.len() >= MOST_WAITING
                && state.lines.iter().filter(same).count() >= MOST_WAITING
            {
                let oldest = state.lines.iter().position(|line| same(&line));
                oldest.and_then(|oldest| state.lines.remove(oldest));
                state.left_out += 1;
            }
            state.lines.push_back((matter, line));
        });
    }

    /// Asks, behind all that was said.
    pub fn ask(&self, question: String) {
        self.shared.change(|state| state.question = Some(question));
    }

    /// Shows this line at the bottom, under all that is said, in place of the one before.
    pub fn status(&self, line: Option<String>) {
        self.shared.change(|state| state.status = line);
    }

    /// Writes what a view draws.
    pub fn draw(&self, bytes: &[u8]) {
        self.shared.change(|state| {
            if !state.lost {
                state.view.extend(bytes);
            }
        });
    }

    /// Whether what a view has drawn waits to be written: it should not draw more.
    pub fn is_behind(&self) -> bool {
        let state = self.shared.state();
        !state.view.is_empty() || (state.held && state.busy)
    }

    /// Lines wait from now on, or no more.
    pub fn hold(&self, held: bool) {
        self.shared.change(|state| state.held = held);
    }

    /// The latest line that waits for a view to end.
    pub fn last_held(&self) -> Option<String> {
        let state = self.shared.state();
        let (_, line) = state.lines.back().filter(|_| state.held)?;
        Some(line.clone())
    }

    /// Whether nobody reads any more.
    pub fn is_lost(&self) -> bool {
        self.shared.state().lost
    }

    /// Waits until all that was said is written, as long as the other end goes on taking it: at most `idle` in which it takes
    /// nothing, and `most` altogether. False if something is left.
    pub fn drain(&self, idle: Duration, most: Duration) -> bool {
        let begin = Instant::now();
        let mut state = self.shared.state();
        let (mut taken, mut last) = (state.taken, begin);
        loop {
            if state.lost || !(state.busy || state.waits()) {
                return !state.lost;
            }
            if state.taken != taken {
                (taken, last) = (state.taken, Instant::now());
            }
            let left =
                (most.saturating_sub(begin.elapsed())).min(idle.saturating_sub(last.elapsed()));
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Whole lines are put in and taken out, so a panic in between has broken nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// The thread: writes what is said, as fast as it is taken, until nobody reads any more.
    fn write_all(&self, mut out: impl Write, width: &dyn Fn() -> Option<usize>) {
        loop {
            let mut state = self.state();
            while !state.waits() {
                let waited = self.changed.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
            }
            let next = state.next(width);
            state.busy = true;
            drop(state);
            let written = self.write(&mut out, &next);
            self.change(|state| {
                state.busy = false;
                if !written {
                    state.lost = true;
                    state.lines.clear();
                    state.view.clear();
                }
            });
            if !written {
                return;
            }
        }
    }

    /// Writes these bytes. False if nobody reads any more. What cannot be stored (a full disk) is left out.
    fn write(&self, out: &mut impl Write, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            match out.write(bytes) {
                Ok(0) => return true,
                Ok(n) => {
                    bytes = &bytes[n..];
                    self.change(|state| state.taken += n as u64);
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    // Somebody has made it so that writing does not wait.
                    ErrorKind::WouldBlock => std::thread::sleep(AGAIN),
                    ErrorKind::StorageFull | ErrorKind::QuotaExceeded => return true,
                    _ => return false,
                },
            }
        }
        // It has no buffer of its own.
        true
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// The other end: it takes a write when it is told how that comes out.
    struct End {
        told: Receiver<io::Result<()>>,
        shown: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for End {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.told.recv().unwrap_or(Ok(()))?;
            self.shown.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A stream whose other end has stopped, what makes it go on, and what stands there.
    fn stopped() -> (Stream, Sender<io::Result<()>>, impl Fn() -> String) {
        let (tell, told) = channel();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let read = shown.clone();
        let stream = Stream::to(End { told, shown }, || Some(20));
        let read = move || String::from_utf8(read.lock().unwrap().clone()).unwrap();
        (stream, tell, read)
    }

    const SOON: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn nobody_waits_for_an_end_that_has_stopped_and_lasting_lines_are_there_when_it_goes_on() {
        let (stream, tell, shown) = stopped();
        stream.say(Matter::Lasting, "first".into());
        while !stream.shared.state().busy {
            std::thread::yield_now();
        }
        for n in 0..3 * MOST_WAITING {
            stream.say(Matter::Passing, format!("progress {n}"));
        }
        stream.say(Matter::Lasting, "summary".into());
        assert!(!stream.drain(SOON, LONG), "it has stopped");
        assert_eq!(shown(), "");
        drop(tell);
        assert!(stream.drain(LONG, LONG));
        let shown = shown();
        assert!(shown.starts_with("first\n"), "{shown}");
        assert!(shown.ends_with(&format!("progress {}\nsummary\n", 3 * MOST_WAITING - 1)));
        let lines = shown.lines().filter(|line| line.starts_with("progress"));
        assert_eq!(lines.count(), MOST_WAITING);
        let left_out = format!("({} lines left out: nobody took them)", 2 * MOST_WAITING);
        assert_eq!(shown.matches(&left_out).count(), 1, "{shown}");
    }

    #[test]
    fn an_end_that_is_gone_takes_the_lines_with_it_and_a_full_one_only_those_that_do_not_fit() {
        let (stream, tell, shown) = stopped();
        tell.send(Err(ErrorKind::StorageFull.into())).unwrap();
        tell.send(Err(ErrorKind::Interrupted.into())).unwrap();
        tell.send(Err(ErrorKind::WouldBlock.into())).unwrap();
        tell.send(Ok(())).unwrap();
        stream.say(Matter::Lasting, "too much".into());
        stream.say(Matter::Lasting, "shown".into());
        assert!(stream.drain(LONG, LONG));
        assert_eq!(shown(), "shown\n");
        tell.send(Err(ErrorKind::BrokenPipe.into())).unwrap();
        stream.say(Matter::Lasting, "lost".into());
        assert!(!stream.drain(LONG, LONG));
        assert!(stream.is_lost());
        stream.say(Matter::Lasting, "lost, too".into());
        stream.draw(b"lost, too");
        assert!(!stream.is_behind());
        assert_eq!(shown(), "shown\n");
    }

    #[test]
    fn the_status_stands_under_all_lines_and_is_replaced() {
        let (stream, tell, shown) = stopped();
        drop(tell);
        let written = |text: &str| {
            assert!(stream.drain(LONG, LONG));
            assert!(shown().ends_with(text), "{:?}", shown());
        };
        stream.status(Some("10 of 20".into()));
        written("10 of 20");
        stream.say(Matter::Lasting, "warning".into());
        written("\r\x1b[Kwarning\n10 of 20");
        stream.status(Some("a line that is far too long".into()));
        written("\r\x1b[Ka line that is far…");
        let long = "error: a sentence goes on in the next line of a terminal";
        stream.say(Matter::Lasting, long.into());
        written("error: a sentence goes on in the next\n  line of a terminal\na line that is far…");
        stream.status(None);
        written("…\r\x1b[K");
    }

    #[test]
    fn lines_wait_for_a_view_and_come_behind_it() {
        let (stream, tell, shown) = stopped();
        stream.hold(true);
        stream.draw(b"<view>");
        stream.say(Matter::Passing, "meanwhile".into());
        assert!(stream.is_behind());
        drop(tell);
        assert!(stream.drain(LONG, LONG));
        assert!(!stream.is_behind());
        assert_eq!(shown(), "<view>");
        assert_eq!(stream.last_held().as_deref(), Some("meanwhile"));
        stream.draw(b"</view>");
        stream.hold(false);
        stream.ask("sure? ".into());
        assert!(stream.drain(LONG, LONG));
        assert_eq!(shown(), "<view></view>meanwhile\nsure? ");
    }
}
