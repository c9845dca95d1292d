//! What is printed, and where: lines for people on stderr, results on stdout. A view that has the terminal holds the lines back.
//! Nothing else in this command writes to either (`crates/cli/clippy.toml`).

use std::collections::VecDeque;
use std::io::{IsTerminal as _, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anstream::adapter::strip_str;
use backfill_core::value::PlainItem;
use backfill_core::{Error, ErrorKind, Item, Result};
use serde::Serialize;

use crate::hint;

/// Prints an error with its causes, once.
pub fn error(error: &Error) {
    say(&format!("error: {}", report(error)));
}

/// An error with its causes as the command says it.
pub fn report(error: &Error) -> String {
    hint::in_flags(&error.report())
}

/// Lines for stderr while something else has the terminal; `None` while nothing has.
static HELD: Mutex<Option<VecDeque<String>>> = Mutex::new(None);

/// Lines that are held at most, the latest.
const MAX_HELD: usize = 200;

fn held() -> MutexGuard<'static, Option<VecDeque<String>>> {
    // Whole lines are put in and taken out, so a panic in between has broken nothing.
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints a line on stderr, or holds it back until [`release_stderr`].
pub fn say(line: &str) {
    let mut held = held();
    match &mut *held {
        None => print_on_stderr(line),
        Some(lines) => {
            lines.push_back(line.to_owned());
            if lines.len() > MAX_HELD {
                lines.pop_front();
            }
        }
    }
}

/// Prints text with colours on stderr, without them if that is no terminal.
pub fn say_coloured(text: &str) {
    if is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        say(text);
    } else {
        say(&strip_str(text).to_string());
    }
}

/// Prints a question on stderr; the answer is typed behind it.
pub fn ask(question: &str) {
    let _ = Terminal
        .write_all(question.as_bytes())
        .and_then(|()| Terminal.flush());
}

/// Whether stderr is a terminal.
#[expect(clippy::disallowed_methods, reason = "this is where it is asked")]
pub fn is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Stderr, for the view that has the terminal.
pub struct Terminal;

#[expect(clippy::disallowed_methods, reason = "this is where it is written to")]
impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::io::stderr().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// From now on lines are held back, because a view has the whole terminal.
pub fn hold_stderr() {
    held().get_or_insert_default();
}

/// Prints what was held back. Nothing is from now on.
pub fn release_stderr() {
    let lines = held().take();
    for line in lines.into_iter().flatten() {
        print_on_stderr(&line);
    }
}

/// A run goes on even if nobody reads stderr any more.
fn print_on_stderr(line: &str) {
    let _ = writeln!(Terminal, "{line}");
}

/// The latest line that is held back, without colours.
pub fn last_held() -> Option<String> {
    let held = held();
    let line = held.as_ref()?.back()?;
    Some(strip_str(line).to_string())
}

/// Takes the log to stderr as [`say`] does, an event at a time.
pub struct Log;

impl Write for Log {
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        say(String::from_utf8_lossy(event).trim_end());
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Why a result could not be printed: [`unprinted`].
static UNPRINTED: Mutex<Option<Error>> = Mutex::new(None);

/// Prints one JSON object on stdout. If that fails, the command goes on to its end, and then [`unprinted`] says so.
pub fn json<T: Serialize>(object: &T) {
    let text = serde_json::to_string(object).expect("results are plain data");
    if let Err(error) = line(&text) {
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
    line(&json.expect("items are plain data"))
}

/// Prints a line, or several, on stdout. False if nobody reads on.
pub fn line(text: &str) -> Result<bool> {
    self::text(format!("{text}\n").as_bytes())
}

/// Prints a line with colours on stdout, without them if that is no terminal. False if nobody reads on.
#[expect(clippy::disallowed_methods, reason = "this is where it is written to")]
pub fn coloured_line(text: &str) -> Result<bool> {
    print(anstream::stdout(), format!("{text}\n").as_bytes())
}

/// Prints a text of this program on stdout, as it is. False if nobody reads on.
#[expect(clippy::disallowed_methods, reason = "this is where it is written to")]
pub fn text(bytes: &[u8]) -> Result<bool> {
    print(std::io::stdout(), bytes)
}

fn print(mut out: impl Write, bytes: &[u8]) -> Result<bool> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => {
            Err(Error::new(ErrorKind::Internal, "cannot print on stdout").with_source(error))
        }
    }
}
