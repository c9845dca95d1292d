//! A terminal in which a command is at work: a pseudo-terminal, and what stands on its screen.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::wire::signal;

/// How long a screen may take to show what is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the reader of a screen looks whether it was closed.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

/// A command in a terminal of its own. It is killed if nobody waits for its end.
pub struct Terminal {
    child: Child,
    master: Option<File>,
    is_closed: Arc<AtomicBool>,
    /// Open as long as the test looks, so that the terminal outlives the command.
    line: OwnedFd,
    screen: Arc<Mutex<vt100::Parser>>,
    printed: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Starts a command in a terminal of so many columns and rows. Its stdin and stderr are the terminal; stdout stays what
    /// it is.
    pub fn start(command: &Command, columns: u16, rows: u16) -> Terminal {
        Terminal::open(command, columns, rows, false)
    }

    /// Starts a command in a terminal of so many columns and rows, with stdout on it as well.
    pub fn start_with_stdout(command: &Command, columns: u16, rows: u16) -> Terminal {
        Terminal::open(command, columns, rows, true)
    }

    fn open(command: &Command, columns: u16, rows: u16, with_stdout: bool) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
            .expect("a terminal");
        grantpt(&master).expect("a terminal");
        unlockpt(&master).expect("a terminal");
        tcsetwinsize(&master, size(columns, rows)).expect("a terminal has a size");
        let name = ptsname(&master, Vec::new()).expect("a terminal has a name");
        let line = File::options()
            .read(true)
            .write(true)
            .open(name.to_str().expect("a path of text"))
            .expect("the terminal opens");
        // In a session of its own, whose terminal this is: the command asks /dev/tty for its size.
        let mut wrapped = Command::new("setsid");
        wrapped
            .arg("--ctty")
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear();
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                wrapped.env(name, value);
            }
        }
        let end = || Stdio::from(line.try_clone().expect("a second handle"));
        let child = wrapped
            .env("TERM", "xterm-256color")
            .stdin(end())
            .stdout(match with_stdout {
                true => end(),
                false => Stdio::piped(),
            })
            .stderr(end())
            .spawn()
            .expect("setsid starts");
        let master = File::from(master);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0)));
        let printed = Arc::<Mutex<Vec<u8>>>::default();
        let all = printed.clone();
        let is_closed = Arc::new(AtomicBool::new(false));
        let closed = is_closed.clone();
        let (mut output, shown) = (master.try_clone().expect("a second handle"), screen.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while !closed.load(Ordering::SeqCst) {
                let mut there = [PollFd::new(&output, PollFlags::IN)];
                if poll(&mut there, Some(&LOOK)) == Ok(0) {
                    continue;
                }
                let Ok(n @ 1..) = output.read(&mut bytes) else {
                    return;
                };
                let mut all = all.lock().expect("nobody panics with it");
                all.extend(&bytes[..n]);
                let mut screen = shown.lock().expect("nobody panics with it");
                screen.process(&bytes[..n]);
            }
        });
        Terminal {
            child,
            master: Some(master),
            is_closed,
            line: line.into(),
            screen,
            printed,
        }
    }

    fn screen(&self) -> MutexGuard<'_, vt100::Parser> {
        self.screen.lock().expect("nobody panics with it")
    }

    /// What stands on it.
    pub fn contents(&self) -> String {
        self.screen().screen().contents()
    }

    /// All that was ever printed on it, as it came.
    pub fn printed(&self) -> String {
        let printed = self.printed.lock().expect("nobody panics with it");
        String::from_utf8_lossy(&printed).into_owned()
    }

    /// Whether any cell has a colour.
    pub fn has_colours(&self) -> bool {
        let parser = self.screen();
        let screen = parser.screen();
        let (rows, columns) = screen.size();
        (0..rows).any(|row| {
            (0..columns).any(|column| {
                let cell = screen.cell(row, column).expect("within its size");
                cell.fgcolor() != vt100::Color::Default || cell.bgcolor() != vt100::Color::Default
            })
        })
    }

    /// Changes its size, of which the command gets a signal.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.screen().screen_mut().set_size(rows, columns);
        tcsetwinsize(&self.line, size(columns, rows)).expect("a terminal has a size");
    }

    /// Waits until its contents are as asked for, and returns them.
    pub async fn until(&self, what: &str, is_there: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let contents = self.contents();
            if is_there(&contents) {
                return contents;
            }
            assert!(
                Instant::now() < deadline,
                "{what} is not shown:\n{contents}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until this text stands on it.
    pub async fn shows(&self, text: &str) -> String {
        self.until(text, |contents| contents.contains(text)).await
    }

    /// Types this.
    pub fn types(&mut self, keys: &str) {
        let master = self.master.as_mut();
        (master.expect("it was not closed"))
            .write_all(keys.as_bytes())
            .expect("it takes keys");
    }

    /// Whether a command has it for itself: the alternate screen, or no cursor, or keys that are not echoed and are no
    /// signals.
    pub fn is_taken(&self) -> bool {
        let parser = self.screen();
        let modes = tcgetattr(&self.line).expect("it is a terminal").local_modes;
        let usual = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        parser.screen().alternate_screen()
            || parser.screen().hide_cursor()
            || !modes.contains(usual)
    }

    /// Waits until the command has given it back. What a command has printed is read a moment after its end.
    pub async fn is_given_back(&self) {
        self.until("the terminal as it was", |_| !self.is_taken())
            .await;
    }

    /// Closes it, as a connection does that is dropped. What the system makes of it is its own.
    pub fn hang_up(&mut self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.master = None;
    }

    /// Sends the command a signal.
    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits for the command's end. Returns its exit code, and what it has printed on stdout if that is not the terminal.
    pub async fn end(&mut self) -> (i32, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "it goes on:\n{}",
                self.contents()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let mut stdout = String::new();
        if let Some(mut pipe) = self.child.stdout.take() {
            pipe.read_to_string(&mut stdout).expect("stdout is text");
        }
        (status.code().unwrap_or(-1), stdout)
    }
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
