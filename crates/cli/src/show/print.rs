//! What is printed, and where: lines for people on stderr, results on stdout. A view that has the terminal holds the lines back.
//! Nothing else in this command writes to either (`crates/cli/clippy.toml`).
//!
//! What is said never keeps the work waiting and never ends it: a thread writes it, and if nobody reads it, it is lost
//! (`print/stream.rs`). What people see has no character that a terminal would obey, or that would show a text as another: colours
//! of ours aside, all of them are escaped here.

mod heirs;
mod stream;

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anstream::adapter::strip_str;
use backfill_core::survey::Warning;
use backfill_core::text::{printable, visible, visible_json};
use backfill_core::value::PlainItem;
use backfill_core::{Error, ErrorKind, Item, Result};
use serde::Serialize;

use self::heirs::Output;
use self::stream::{Matter, Stream};
use crate::show::advice::Advised;
use crate::typed;

/// How long the end of this process waits for a terminal or a pipe that takes nothing more.
const IDLE: Duration = Duration::from_secs(2);

/// How long it waits for one that takes a little now and then.
const MOST: Duration = Duration::from_secs(10);

static STDERR: LazyLock<Stream> =
    LazyLock::new(|| Stream::to(Output::new(stderr(), is_stopping), width));

/// A handle of its own: whoever waits in it holds no lock that anybody else needs.
#[expect(clippy::disallowed_methods, reason = "this is where it is written to")]
fn stderr() -> Box<dyn Write + Send> {
    match io::stderr().as_fd().try_clone_to_owned() {
        Ok(handle) => Box::new(std::fs::File::from(handle)),
        Err(_) => Box::new(io::stderr()),
    }
}

fn width() -> Option<usize> {
    let columns = || crossterm::terminal::size().map_or(80, |(columns, _)| columns.into());
    is_terminal().then(columns)
}

/// Prints an error with its causes, once.
pub fn error(error: &Error) {
    say(&format!("error: {}", report(error)));
}

/// An error with its causes as the command says it.
pub fn report(error: &Error) -> String {
    typed::in_flags(&error.report())
}

/// Prints a line on stderr, or several; a view that has the terminal holds them back ([`hold_stderr`]).
pub fn say(text: &str) {
    STDERR.say(Matter::Lasting, visible(text).into_owned());
}

/// Prints warnings on stderr, each with its advice, to somebody who has seen no plan.
pub fn warnings(warnings: &[Warning]) {
    for warning in warnings {
        let Advised { what, advice, .. } = Advised::from(warning);
        say(&format!("warning: {what}; {advice}"));
    }
}

/// Prints text with colours on stderr, without them if that is no terminal.
pub fn say_coloured(text: &str) {
    STDERR.say(Matter::Lasting, coloured(text, is_terminal()));
}

/// Prints a line on stderr that the next one makes old: left out rather than others if nobody takes them.
pub fn say_in_passing(text: &str) {
    STDERR.say(Matter::Passing, visible(text).into_owned());
}

/// Prints a question on stderr; the answer is typed behind it.
pub fn ask(question: &str) {
    STDERR.ask(visible(question).into_owned());
}

/// Shows a line under all others in place of the one before, cut at the terminal's width; `None` takes it away. Nothing without a
/// terminal.
pub fn status(line: Option<&str>) {
    if is_terminal() {
        STDERR.status(line.map(printable));
    }
}

/// Whether stderr is a terminal.
#[expect(clippy::disallowed_methods, reason = "this is where it is asked")]
pub fn is_terminal() -> bool {
    static IS: LazyLock<bool> = LazyLock::new(|| io::stderr().is_terminal());
    *IS
}

/// Whether colours are wanted: <https://no-color.org>.
pub fn has_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether nobody reads any more what is said.
pub fn is_lost() -> bool {
    STDERR.is_lost()
}

/// Stderr, for the view that has the terminal. It takes everything at once; whoever draws asks [`is_behind`] first.
pub struct Terminal;

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        STDERR.draw(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether the terminal has not taken yet what was drawn last.
pub fn is_behind() -> bool {
    STDERR.is_behind()
}

/// From now on lines are held back, because a view has the whole terminal.
pub fn hold_stderr() {
    STDERR.hold(true);
}

/// Prints what was held back, behind what the view has drawn. Nothing is held back from now on.
pub fn release_stderr() {
    STDERR.hold(false);
}

/// The latest line that is held back, without colours.
pub fn last_held() -> Option<String> {
    Some(strip_str(&STDERR.last_held()?).to_string())
}

/// Waits until what was said is written, if the other end takes it: the last thing before this process ends.
pub fn finish() {
    STDERR.status(None);
    STDERR.drain(IDLE, MOST);
}

/// As [`finish`], for a process that was told to end at once.
pub fn finish_at_once() {
    STDERR.status(None);
    STDERR.drain(IDLE / 10, IDLE / 10);
}

/// Takes the log to stderr as [`say_in_passing`] does, an event at a time, with its colours.
pub struct Log;

impl Write for Log {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        STDERR.say(Matter::Passing, coloured(text.trim_end(), is_terminal()));
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The text with its colours if there is a terminal to show them, and with every other thing that a terminal obeys escaped.
fn coloured(text: &str, on_terminal: bool) -> String {
    let with_colour = on_terminal && has_colour();
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\x1b') {
        let (before, escape) = rest.split_at(at);
        shown += &visible(before);
        let parameters = |c: char| !(c.is_ascii_digit() || c == ';');
        let end = (escape.strip_prefix("\x1b["))
            .and_then(|rest| rest.find(parameters))
            .map(|length| length + 2)
            .filter(|end| escape[*end..].starts_with('m'));
        let taken = end.map_or(1, |end| end + 1);
        match end {
            Some(_) if with_colour => shown += &escape[..taken],
            Some(_) => {}
            None => shown += &visible(&escape[..taken]),
        }
        rest = &escape[taken..];
    }
    shown + &visible(rest)
}

/// Why a result could not be printed: [`unprinted`].
static UNPRINTED: Mutex<Option<Error>> = Mutex::new(None);

/// Somebody wants this process to end: a result is not waited for any more.
static IS_STOPPING: AtomicBool = AtomicBool::new(false);

/// From now on nobody waits long for stdout to take a result.
pub fn stop_waiting() {
    IS_STOPPING.store(true, Ordering::SeqCst);
}

fn is_stopping() -> bool {
    IS_STOPPING.load(Ordering::SeqCst)
}

/// Prints one JSON object on stdout. If that fails, the command goes on to its end, and then [`unprinted`] says so. A pipe that
/// nobody empties is waited for until somebody stops this process.
pub fn json<T: Serialize>(object: &T) {
    let text = serde_json::to_string(object).expect("results are plain data");
    let (tell, told) = channel();
    // If there is no thread to be had, `tell` is dropped.
    let _ = std::thread::Builder::new().spawn(move || {
        // Whoever has given up does not listen.
        let _ = tell.send(json_line(&text));
    });
    let mut deadline = None;
    let failed = loop {
        match told.recv_timeout(IDLE / 20) {
            Ok(printed) => break printed.err(),
            Err(RecvTimeoutError::Disconnected) => {
                break Some(Error::new(ErrorKind::Internal, "cannot print on stdout"));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if is_stopping() {
            let until = *deadline.get_or_insert_with(|| Instant::now() + IDLE);
            if Instant::now() >= until {
                let why = "cannot print the result: nobody takes it from stdout";
                break Some(Error::new(ErrorKind::Internal, why));
            }
        }
    };
    if let Some(error) = failed {
        *UNPRINTED.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

/// Why a result of this command could not be printed, if so. Nobody to read it is no such reason.
pub fn unprinted() -> Option<Error> {
    UNPRINTED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take()
}

/// Prints an item on stdout: in plain JSON, or in DynamoDB's if `typed`; on one line, or on many if `pretty`. False if nobody reads
/// on (`| head`).
pub fn item(item: &Item, typed: bool, pretty: bool) -> Result<bool> {
    let json = match (typed, pretty) {
        (false, false) => serde_json::to_string(&PlainItem(item)),
        (false, true) => serde_json::to_string_pretty(&PlainItem(item)),
        (true, false) => serde_json::to_string(item),
        (true, true) => serde_json::to_string_pretty(item),
    };
    json_line(&json.expect("items are plain data"))
}

/// Prints a line, or several, on stdout. False if nobody reads on.
pub fn line(text: &str) -> Result<bool> {
    self::text(format!("{}\n", visible(text)).as_bytes())
}

/// Prints JSON on stdout: on a terminal with escapes in place of what it would obey, to a program as it is.
pub fn json_line(json: &str) -> Result<bool> {
    let json = match stdout_is_terminal() {
        true => visible_json(json),
        false => Cow::Borrowed(json),
    };
    text(format!("{json}\n").as_bytes())
}

/// Prints a line with colours on stdout, without them if that is no terminal. False if nobody reads on.
pub fn coloured_line(text: &str) -> Result<bool> {
    self::text(format!("{}\n", coloured(text, stdout_is_terminal())).as_bytes())
}

/// Whether stdout is a terminal.
#[expect(clippy::disallowed_methods, reason = "this is where it is asked")]
pub fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Prints a text of this program on stdout, as it is, behind what was said before. False if nobody reads on.
#[expect(clippy::disallowed_methods, reason = "this is where it is written to")]
pub fn text(bytes: &[u8]) -> Result<bool> {
    // Both may be the same terminal. One that has stopped is not waited for again and again.
    static IN_ORDER: AtomicBool = AtomicBool::new(true);
    if IN_ORDER.load(Ordering::Relaxed) && !STDERR.drain(IDLE / 4, IDLE / 4) {
        IN_ORDER.store(false, Ordering::Relaxed);
    }
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => {
            Err(Error::new(ErrorKind::Internal, "cannot print on stdout").with_source(error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::coloured;

    #[test]
    fn colours_are_all_that_a_terminal_is_told() {
        let text = "\x1b[1;33mnote\x1b[0m \x1b]0;title\x07\x1b[2J\x1b[31 m\u{9b}31m\u{202e}\x1b";
        let escaped = "\\u{1b}]0;title\\u{7}\\u{1b}[2J\\u{1b}[31 m\\u{9b}31m\\u{202e}\\u{1b}";
        assert_eq!(coloured(text, false), format!("note {escaped}"));
        let shown = coloured(text, true);
        assert!(shown.ends_with(&format!(" {escaped}")), "{shown:?}");
    }
}
