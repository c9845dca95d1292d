//! The line of the testkit, and the processes at its end: which one has sent a call, and the signals that end it, stop
//! it and let it go on.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

pub use backfill_testkit::wire::{Call, Faults, Seen, Tap, Verdict, Wire};

/// A process of a deployed function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    pid: u32,
}

impl Process {
    /// The function's process that has sent a call.
    pub fn of(call: &Call) -> Process {
        let pid = owner_of(call.sender, call.receiver).expect("the sender of a call is alive");
        let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        assert!(
            program.file_name() == Some("bootstrap".as_ref()),
            "process {pid} is not a function but {}",
            program.display()
        );
        Process { pid }
    }

    /// Ends it at once, in the middle of what it does.
    pub fn kill(self) {
        signal(self.pid, "KILL");
    }

    /// Stops it where it is, as a machine does that is out of breath: it does not know that time passes.
    pub fn freeze(self) {
        signal(self.pid, "STOP");
    }

    /// Lets it go on.
    pub fn thaw(self) {
        signal(self.pid, "CONT");
    }
}

/// Sends a signal to one process.
pub fn signal(pid: u32, name: &str) {
    // The shell's own `kill`: not every system has a program of that name.
    let mut command = Command::new("sh");
    let status = command
        .args(["-c", &format!("kill -{name} {pid}")])
        .status();
    assert!(status.expect("sh runs").success(), "kill -{name} {pid}");
}

/// The process that holds the connection from `sender` to `receiver`, as Linux tells it.
fn owner_of(sender: SocketAddr, receiver: SocketAddr) -> Option<u32> {
    let connections = std::fs::read_to_string("/proc/net/tcp").expect("Linux's list of sockets");
    let [from, to] = [sender, receiver].map(|address| format!(":{:04X}", address.port()));
    let socket = connections.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, local, remote, _, _, _, _, _, _, inode, ..] = fields[..] else {
            return None;
        };
        (local.ends_with(&from) && remote.ends_with(&to)).then(|| format!("socket:[{inode}]"))
    })?;
    let processes = std::fs::read_dir("/proc").expect("Linux's list of processes");
    processes.flatten().find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let files = std::fs::read_dir(process.path().join("fd")).ok()?;
        let holds = |file: std::fs::DirEntry| {
            std::fs::read_link(file.path()).is_ok_and(|target| target == Path::new(&socket))
        };
        files.flatten().any(holds).then_some(pid)
    })
}
