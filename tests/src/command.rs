//! The `backfill` command as a process of its own.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;

use serde_json::Value;

use crate::signals;
use crate::wire::signal;

/// Root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests is a folder of the repository")
        .to_owned()
}

/// The command's binary.
pub fn binary() -> PathBuf {
    program("backfill")
}

/// A binary of the workspace, beside the test's own (`cargo build` has put it there).
pub fn program(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().expect("this process has a binary");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    let binary = path.join(name);
    assert!(
        binary.exists(),
        "{} is missing: run cargo build",
        binary.display()
    );
    binary
}

/// The command with these arguments, as a script gives it: with `--yes` if it would ask.
pub fn backfill<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    backfill_of(&binary(), arguments)
}

/// The same of another build of the command.
pub fn backfill_of<S: AsRef<OsStr>>(
    program: &Path,
    arguments: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = as_typed(program, arguments);
    let asks = command
        .get_args()
        .next()
        .is_some_and(|name| name == "run" || name == "start");
    if asks {
        command.arg("--yes");
    }
    command
}

/// The command with these arguments and nothing of this machine's AWS settings, nor of the signals that the tests ignore.
pub fn backfill_as_typed<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    as_typed(&binary(), arguments)
}

/// A script that finds the command, and the programs of these folders, by its PATH; with nothing of this machine's AWS settings.
pub fn script(path: &Path, folders: impl IntoIterator<Item = PathBuf>) -> Command {
    let mut command = Command::new("sh");
    command.arg(path).env_clear().stdin(Stdio::null());
    let like = backfill::<&str>([]);
    let variables = like.get_envs();
    command.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    let own = binary()
        .parent()
        .expect("a binary is in a folder")
        .to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [own].into_iter().chain(folders);
    let path = std::env::join_paths(folders.chain(std::env::split_paths(&path)));
    command.env("PATH", path.expect("folders without colons"));
    command
}

fn as_typed<S: AsRef<OsStr>>(program: &Path, arguments: impl IntoIterator<Item = S>) -> Command {
    signals::default_in_children();
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Waits for a started command.
    pub fn of(child: Child) -> Ended {
        child.wait_with_output().expect("the command ends").into()
    }

    /// Runs a command to its end.
    pub fn run(command: &mut Command) -> Ended {
        command.output().expect("the command starts").into()
    }

    /// The one JSON object on stdout; nothing else may stand there.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("stdout is not one JSON object: {error}\n{self:?}"))
    }

    /// Panics with everything that was printed if the exit code is another.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Ended {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}

/// A command at work beside the test. It is killed if nobody waits for its end: one that was frozen would stay for good.
pub struct AtWork(tokio::process::Child);

impl AtWork {
    /// Starts a command.
    pub fn start(command: Command) -> AtWork {
        let mut command = tokio::process::Command::from(command);
        let child = command.kill_on_drop(true).spawn();
        AtWork(child.expect("the command starts"))
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.0.id().expect("nobody has waited for it")
    }

    /// Sends it a signal; one that has ended by itself takes no notice.
    pub fn signal(&self, name: &str) {
        // Nobody has waited for it yet, so the number is still its own.
        signal(self.pid(), name);
    }

    /// Waits for its end.
    pub async fn end(self) -> Ended {
        let output = self.0.wait_with_output().await;
        output.expect("the command ends").into()
    }
}

impl From<Output> for Ended {
    /// Whatever a command says that does not succeed is plain: so every test of one adds to what is looked at.
    #[track_caller]
    fn from(output: Output) -> Ended {
        let ended = Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        // The program of the acceptance run is written in Python, and tells whoever is to mend it where it broke.
        if ended.code != 0 && !ended.stderr.contains("Traceback (most recent call last)") {
            assert_plain(&ended.stderr);
        }
        ended
    }
}

/// Panics if a message for people shows values of the program as Rust prints them for programmers: paths, variants, structures. What
/// else looks so is named here, with its reason.
#[track_caller]
pub fn assert_plain(text: &str) {
    if let Some(found) = debug_text(text) {
        panic!("debug text, {found:?}, in: {text}");
    }
}

/// What looks like Rust, with what is around it.
fn debug_text(text: &str) -> Option<&str> {
    let around = |at: usize| {
        let begin = text[..at]
            .char_indices()
            .rev()
            .nth(20)
            .map_or(0, |(i, _)| i);
        let end = text[at..]
            .char_indices()
            .nth(20)
            .map_or(text.len(), |(i, _)| at + i);
        &text[begin..end]
    };
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let word_before = |at: usize| {
        let before = &text[..at];
        before.rsplit(|c| !is_word(c)).next().unwrap_or_default()
    };
    for (at, c) in text.char_indices() {
        let (before, after) = (&text[..at], &text[at + c.len_utf8()..]);
        let is_rust = match c {
            // JSON begins with a quoted name, or is empty: values, keys, and the records of a table.
            // `\u{1b}` is how a foreign text is escaped, and `${AWS::StackName}` how a template names what it is given.
            '{' => {
                !after.trim_start().starts_with(['"', '}'])
                    && !before.ends_with("\\u")
                    && !before.ends_with('$')
            }
            // "Some(3)", "InvalidInput(..)". DynamoDB's functions have no capitals, and people leave a space.
            '(' => {
                let word = word_before(at);
                word.starts_with(char::is_uppercase) && word.contains(char::is_lowercase)
            }
            // IPv6 (`[::1]`), ARNs of services without regions (`arn:aws:iam::1111`), types of templates (`AWS::DynamoDB::Table`).
            ':' if after.starts_with(':') => {
                let is_arn = before
                    .rfind("arn:")
                    .is_some_and(|arn| !before[arn..].contains(char::is_whitespace));
                let is_address = before.ends_with('[');
                let is_type = before.ends_with("AWS")
                    || before
                        .rfind("AWS::")
                        .is_some_and(|aws| !before[aws..].contains(|c| !is_word(c) && c != ':'));
                !is_arn && !is_address && !is_type
            }
            _ => false,
        };
        if is_rust {
            return Some(around(at));
        }
    }
    None
}

/// A port of 127.0.0.1 that is free, and that no other test is given, of this process or another. The system's own choice
/// would not do: it may give the same port twice, and two tests would then share the server that was first.
pub fn free_port() -> u16 {
    // As long as this process lives.
    static OURS: Mutex<Vec<File>> = Mutex::new(Vec::new());
    // Below the ports that systems give to connections by themselves (Linux: 32768, RFC 6335: 49152).
    const PORTS: std::ops::Range<u16> = 20_000..32_000;
    let folder = std::env::temp_dir().join("backfill-test-ports");
    std::fs::create_dir_all(&folder).expect("a folder for the locks of ports");
    let mut ours = OURS.lock().expect("the locks of ports");
    for port in PORTS {
        let lock = File::create(folder.join(port.to_string())).expect("the lock of a port");
        if lock.try_lock().is_ok() && std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            ours.push(lock);
            return port;
        }
    }
    panic!("no port is free from {} to {}", PORTS.start, PORTS.end);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn what_rust_prints_for_programmers_is_found() {
        for plain in [
            "error: region: expected an AWS region (give --region)",
            r#"the item {"id":"a"} is too large; DynamoDB (region x) said so"#,
            "attribute_not_exists(#a) AND begins_with(sk, :s)",
            "arn:aws:iam::111122223333:role/x, http://[::1]:8000, AWS::DynamoDB::Table",
            "no items: {}",
            r"a table \u{1b}[31m, TableName: ${AWS::StackName}",
        ] {
            assert_eq!(super::debug_text(plain), None, "{plain}");
        }
        for rust in [
            "expected Some(3)",
            "Err(x)",
            "DispatchFailure(DispatchFailure { source: x })",
            "Error { kind: x }",
            "backfill_core::Error",
            "the field {name}",
        ] {
            assert!(super::debug_text(rust).is_some(), "{rust}");
        }
    }

    /// Also those that nobody listens on yet.
    #[test]
    fn a_port_is_given_once() {
        let ports: BTreeSet<_> = (0..300).map(|_| super::free_port()).collect();
        assert_eq!(ports.len(), 300);
    }
}
