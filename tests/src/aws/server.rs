//! Servers that end with the tests, and the folders of their logs.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::machine::PATIENCE;

use crate::command;

/// A server and every process that it starts, functions included. They end when this is dropped, and also if the
/// tests' process ends without dropping anything (it is killed, or holds this in a static).
pub struct Server {
    pub shell: Child,
}

impl Server {
    /// Starts a server and waits until it is ready; `None` if it ends before.
    pub fn start(command: &Command, log: &str, mut ready: impl FnMut() -> bool) -> Option<Server> {
        let file = File::options().create(true).append(true).open(log);
        let file = file.expect("a log file");
        let mut shell = Command::new("sh");
        // A process group of its own, killed as a whole as soon as the server ends or the pipe does on which the shell
        // waits: the other end is ours, and the system closes it when we are no more.
        shell
            .args([
                "-c",
                "{ \"$@\"; kill -KILL 0; } & read -r _; kill -KILL 0",
                "sh",
            ])
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear()
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(file.try_clone().expect("one log for both"))
            .stderr(file);
        let shell = shell.spawn().expect("sh starts");
        let mut server = Server { shell };
        let deadline = Instant::now() + PATIENCE;
        while !ready() {
            if server.shell.try_wait().expect("it is our child").is_some() {
                return None;
            }
            assert!(
                Instant::now() < deadline,
                "a server is not ready: {}",
                end_of(log)
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(server)
    }

    /// Its process group.
    pub fn group(&self) -> i32 {
        i32::try_from(self.shell.id()).expect("a PID")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// A folder under the target directory for the data and the logs of the servers. It is emptied at the next start, not
/// at the end, so that the logs of a failure can be read.
pub struct Folder {
    pub path: PathBuf,
    /// Held as long as this process lives: a second one waits for its turn.
    pub _lock: File,
}

impl Folder {
    pub fn new(name: &str) -> Folder {
        let binary = command::binary();
        let target = binary.ancestors().nth(2).expect("a target directory");
        let base = target.join("e2e");
        let path = base.join(name);
        std::fs::create_dir_all(&path).expect("a folder for the servers");
        let lock = File::create(base.join(format!("{name}.lock"))).expect("a lock file");
        lock.lock().expect("the lock of the folder");
        std::fs::remove_dir_all(&path).expect("the folder is emptied");
        std::fs::create_dir_all(&path).expect("a folder for the servers");
        Folder { path, _lock: lock }
    }

    /// A folder in it.
    pub fn path(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path).expect("a folder for a server");
        path
    }

    /// The path of a log in it.
    pub fn log(&self, name: &str) -> String {
        let path = self.path.join(format!("{name}.log"));
        path.display().to_string()
    }
}

/// The end of a log, for the message of a failure: the next start empties the folder, and CI keeps no files.
pub fn end_of(log: &str) -> String {
    const LINES: usize = 60;
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    format!("the end of {log}:\n{}", last.join("\n"))
}

/// Says where the logs are when a case fails.
pub struct ShowLogs<'a>(pub &'a Folder);

impl Drop for ShowLogs<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the logs of the servers are in {}", self.0.path.display());
        }
    }
}
