//! `backfill sandbox` as a process of its own, and commands that find it by their environment.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use aws_sdk_dynamodb::Client;

use crate::command::{Ended, backfill, script};
use crate::tables;
use crate::wire::signal;

/// A sandbox. Its process is ended with it, also if the test has failed.
pub struct Sandbox {
    child: Child,
    stdout: BufReader<ChildStdout>,
    pub endpoint: String,
    pub client: Client,
}

impl Sandbox {
    /// Starts one in memory.
    pub fn start() -> Sandbox {
        Sandbox::with(&[])
    }

    /// Starts one that keeps its tables in this file.
    pub fn with_file(path: &Path) -> Sandbox {
        Sandbox::with(&["--file", path.to_str().expect("a path of text")])
    }

    /// Starts one with these flags beside its port.
    pub fn with(arguments: &[&str]) -> Sandbox {
        let mut command = backfill(["sandbox", "--port", "0"].iter().chain(arguments));
        // Nobody reads it, and a full pipe would hold the process up.
        command.stderr(Stdio::null());
        let mut child = command.spawn().expect("the sandbox starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        let mut line = String::new();
        stdout
            .read_line(&mut line)
            .expect("the sandbox says where it is");
        let endpoint = line.trim_end().strip_prefix("sandbox at ");
        let endpoint = endpoint.unwrap_or_else(|| panic!("not an endpoint: {line:?}"));
        Sandbox {
            client: tables::client(endpoint),
            endpoint: endpoint.to_owned(),
            child,
            stdout,
        }
    }

    /// Stops it as an operator does, and waits for its end.
    pub fn stop(mut self) {
        signal(self.child.id(), "TERM");
        let status = self.child.wait().expect("it is waited for");
        assert!(status.success(), "{status}");
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("text");
        assert_eq!(rest, "", "only the first line is printed on stdout");
    }

    /// Runs `backfill` with these arguments, which finds this sandbox by its environment.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        Ended::run(&mut self.at_home(backfill(arguments)))
    }

    /// Runs a script that calls `backfill`.
    pub fn script(&self, path: &Path) -> Ended {
        let command = script(path, []);
        Ended::run(&mut self.at_home(command))
    }

    /// The command with this sandbox in its environment.
    fn at_home(&self, mut command: Command) -> Command {
        command.env("AWS_ENDPOINT_URL_DYNAMODB", &self.endpoint);
        command
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // One that was stopped has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
