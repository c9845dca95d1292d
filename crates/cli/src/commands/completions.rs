//! `backfill completions`, and what its scripts ask at the press of the tab key.
//!
//! A script starts this program with the words that were typed so far behind `--`, and the shell's name in a variable. What is
//! not known before, which is names of runs, tables and indexes, is looked up where the words say that the tables are. That is
//! done within two seconds, reads only, and says nothing but names: what cannot be found is not offered.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::time::Duration;

use backfill_core::Result;
use backfill_core::change::check_table_name;
use backfill_core::request::check_run_id;
use backfill_dynamodb::{CheckpointTable, Connection};
use backfill_rehearsal::admin::Admin;
use clap::{Args, Command};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, complete};
use clap_complete::env::{EnvCompleter, Shells};
use clap_complete::{Shell, env};

use crate::args::ConnectionArgs;
use crate::ending::Ending;
use crate::hint::CHECKPOINT_TABLE;
use crate::show::print;

/// What a script says its shell by.
const VARIABLE: &str = "BACKFILL_COMPLETE";

/// Where a script of bash says which of the words is to be completed, and what it wants between those that it is given.
const INDEX: &str = "_CLAP_COMPLETE_INDEX";
const BETWEEN: &str = "_CLAP_IFS";

/// Names that have not come by then are not waited for: somebody has pressed a key.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Args)]
pub struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Prints the script for a shell.
pub fn completions(args: &CompletionsArgs) -> Result<Ending> {
    let shell: &dyn EnvCompleter = match args.shell {
        Shell::Elvish => &env::Elvish,
        Shell::Fish => &env::Fish,
        Shell::PowerShell => &env::Powershell,
        Shell::Zsh => &env::Zsh,
        _ => &env::Bash,
    };
    let mut script = Vec::new();
    // Nothing but memory is written to.
    let written =
        shell.write_registration(VARIABLE, "backfill", "backfill", "backfill", &mut script);
    debug_assert!(written.is_ok(), "{written:?}");
    print::text(&script)?;
    Ok(Ending::Succeeded)
}

/// What a script asks.
pub struct Asked {
    shell: String,
    /// The words so far; the first is the program's name.
    words: Vec<OsString>,
}

impl Asked {
    /// `None` if this process was started by anything but a script of ours.
    pub fn by_a_script() -> Option<Asked> {
        let shell = std::env::var(VARIABLE).ok()?;
        let mut arguments = std::env::args_os().skip(1);
        let words = (arguments.next()? == "--").then(|| arguments.collect())?;
        Some(Asked { shell, words })
    }

    /// Prints what can follow; nothing if that cannot be said.
    pub fn answer(self, command: Command) -> Result<Ending> {
        let mut answer = Vec::new();
        let is_known = match self.shell.as_str() {
            "bash" => self.answer_bash(command, &mut answer),
            _ => self.answer_other(command, &mut answer),
        };
        if is_known.is_some() {
            print::text(&answer)?;
        }
        Ok(Ending::Succeeded)
    }

    fn answer_bash(self, command: Command, answer: &mut Vec<u8>) -> Option<()> {
        let index = std::env::var(INDEX).ok()?.parse().ok()?;
        let (words, index) = whole(&self.words, index)?;
        let mut command = knowing(command, &Arc::new(Typed::of(&words, index)));
        let folder = std::env::current_dir().ok();
        let found = complete(&mut command, words, index, folder.as_deref()).ok()?;
        let between = std::env::var(BETWEEN).unwrap_or("\n".into());
        let values = found
            .iter()
            .map(|found| found.get_value().to_string_lossy());
        let values: Vec<_> = values.collect();
        answer.extend_from_slice(values.join(&between).as_bytes());
        Some(())
    }

    fn answer_other(self, command: Command, answer: &mut Vec<u8>) -> Option<()> {
        let shells = Shells::builtins();
        let shell = shells.completer(&self.shell)?;
        // Zsh leaves an empty word at the end out, and the others ask for the last one.
        let last = self.words.len().checked_sub(1)?;
        let index = std::env::var(INDEX)
            .ok()
            .and_then(|index| index.parse().ok());
        let typed = Typed::of(&self.words, index.unwrap_or(last));
        let mut command = knowing(command, &Arc::new(typed));
        let folder = std::env::current_dir().ok();
        shell
            .write_complete(&mut command, self.words, folder.as_deref(), answer)
            .ok()
    }
}

/// The words as they were typed, and which of them is to be completed: bash takes each `=` and `:` for a word of its own. A flag
/// and its value stay two words. `None` if it is a part of a word that is to be completed: nothing of ours has these.
fn whole(words: &[OsString], index: usize) -> Option<(Vec<OsString>, usize)> {
    let mut whole: Vec<OsString> = Vec::new();
    let mut at = None;
    let mut goes_on = false;
    for (number, word) in words.iter().enumerate() {
        let word = word.to_string_lossy();
        let is_between = !word.is_empty() && word.chars().all(|c| c == '=' || c == ':');
        if number == index && (is_between || goes_on) {
            return None;
        }
        match whole.last_mut() {
            Some(flag) if word == "=" && flag.to_string_lossy().starts_with("--") => {}
            Some(last) if is_between || goes_on => {
                last.push(&*word);
                goes_on = is_between;
            }
            _ => whole.push(word.into_owned().into()),
        }
        if number == index {
            at = Some(whole.len() - 1);
        }
    }
    Some((whole, at?))
}

/// The words beside the one that is to be completed.
struct Typed(Vec<String>);

impl Typed {
    fn of(words: &[OsString], index: usize) -> Typed {
        let others = words
            .iter()
            .enumerate()
            .filter(|(number, _)| *number != index);
        Typed(
            others
                .map(|(_, word)| word.to_string_lossy().into_owned())
                .collect(),
        )
    }

    /// The value of a flag; of the last one, as if it was given in another place before.
    fn flag(&self, name: &str) -> Option<String> {
        let flag = format!("--{name}");
        let mut words = self.0.iter();
        let mut value = None;
        while let Some(word) = words.next() {
            match word.strip_prefix(&flag) {
                Some("") => value = words.next().map(String::as_str),
                Some(rest) if rest.starts_with('=') => value = rest.strip_prefix('='),
                _ => {}
            }
        }
        Some(value?.trim_matches(['"', '\'']).to_owned())
    }

    /// The flags of this group, such as `from-`.
    fn connection(&self, group: &str) -> ConnectionArgs {
        let flag = |name: &str| self.flag(&format!("{group}{name}"));
        ConnectionArgs::of(flag("endpoint-url"), flag("region"), flag("profile"))
    }

    /// Where the command looks for its tables.
    async fn open(&self) -> Result<Connection> {
        let connection = self.connection("");
        match self.0.get(1).map(String::as_str) {
            Some("table" | "item") => connection.connect_or_sandbox().await,
            _ => connection.open().await,
        }
    }
}

/// Names that can follow a flag.
#[derive(Clone, Copy)]
enum Names {
    Runs,
    Tables,
    /// Tables of which items are copied.
    Sources,
    Indexes,
}

impl Names {
    /// By the id of the flag.
    fn behind(flag: &str) -> Option<Names> {
        match flag {
            "run_id" => Some(Names::Runs),
            "table" | "checkpoint_table" => Some(Names::Tables),
            "from" => Some(Names::Sources),
            "index" => Some(Names::Indexes),
            _ => None,
        }
    }

    /// All of them, each with a word about it if there is one.
    async fn read(self, typed: &Typed) -> Result<Vec<(String, Option<String>)>> {
        let alone = |names: Vec<String>| names.into_iter().map(|name| (name, None)).collect();
        match self {
            Names::Runs => {
                let connection = typed.open().await?;
                let checkpoints = typed.flag("checkpoint-table");
                let checkpoints = checkpoints.as_deref().unwrap_or(CHECKPOINT_TABLE);
                let table = typed.flag("table");
                let mut runs = CheckpointTable::new(&connection, checkpoints)
                    .listed()
                    .await?;
                runs.retain(|run| table.as_ref().is_none_or(|table| run.table == *table));
                let of = |table: String| {
                    check_table_name(&table)
                        .is_ok()
                        .then(|| format!("of table {table}"))
                };
                let runs = runs.into_iter();
                Ok(runs.map(|run| (run.run_id, of(run.table))).collect())
            }
            Names::Tables => {
                let tables = Admin::new(typed.open().await?).table_names().await?;
                Ok(alone(tables))
            }
            Names::Sources => {
                let elsewhere = ["from-endpoint-url", "from-region", "from-profile"];
                let connection = match elsewhere.iter().any(|flag| typed.flag(flag).is_some()) {
                    true => typed.connection("from-").open().await?,
                    false => typed.open().await?,
                };
                Ok(alone(Admin::new(connection).table_names().await?))
            }
            Names::Indexes => {
                let Some(table) = typed.flag("table") else {
                    return Ok(Vec::new());
                };
                let table = Admin::new(typed.open().await?)
                    .describe_table(&table)
                    .await?;
                let of_kind = |kind: &str| table[kind].as_array().cloned().unwrap_or_default();
                let kinds = ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"];
                let names = kinds.into_iter().flat_map(of_kind);
                let names = names.filter_map(|index| Some(index["IndexName"].as_str()?.to_owned()));
                Ok(alone(names.collect()))
            }
        }
    }

    /// Those that begin like this, if they come in time.
    fn candidates(self, typed: &Typed, begin: &OsStr) -> Vec<CompletionCandidate> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let Ok(runtime) = runtime else {
            return Vec::new();
        };
        let read =
            runtime.block_on(async { tokio::time::timeout(PATIENCE, self.read(typed)).await });
        // A name server that does not answer is not waited for either.
        runtime.shutdown_background();
        let begin = begin.to_string_lossy();
        let names = read.ok().and_then(Result::ok).unwrap_or_default();
        let names = names.into_iter();
        names
            .filter(|(name, _)| name.starts_with(&*begin) && self.is_one(name))
            .map(|(name, about)| CompletionCandidate::new(name).help(about.map(Into::into)))
            .collect()
    }

    /// A shell gets nothing that is no such name, whoever has put it there.
    fn is_one(self, name: &str) -> bool {
        match self {
            Names::Runs => check_run_id(name).is_ok(),
            Names::Tables | Names::Sources | Names::Indexes => check_table_name(name).is_ok(),
        }
    }
}

/// The command, with what its flags can be followed by.
fn knowing(command: Command, typed: &Arc<Typed>) -> Command {
    command
        .mut_args(|arg| match Names::behind(arg.get_id().as_str()) {
            Some(names) => {
                let typed = typed.clone();
                let look_up = move |begin: &OsStr| names.candidates(&typed, begin);
                arg.add(ArgValueCompleter::new(look_up))
            }
            None => arg,
        })
        .mut_subcommands(|command| knowing(command, typed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(typed: &[&str]) -> Vec<OsString> {
        typed.iter().map(OsString::from).collect()
    }

    #[test]
    fn words_that_bash_has_taken_apart_are_whole_again() {
        let apart = [
            "backfill",
            "status",
            "--endpoint-url",
            "http",
            ":",
            "//127.0.0.1",
            ":",
            "8000",
            "--profile",
            "=",
            "dev",
            "--run-id",
            "=",
            "st",
        ];
        let (joined, index) = whole(&words(&apart), 13).unwrap();
        let expected = [
            "backfill",
            "status",
            "--endpoint-url",
            "http://127.0.0.1:8000",
            "--profile",
            "dev",
            "--run-id",
            "st",
        ];
        assert_eq!((joined.clone(), index), (words(&expected), 7));
        let typed = Typed::of(&joined, index);
        assert_eq!(
            typed.flag("endpoint-url").as_deref(),
            Some("http://127.0.0.1:8000")
        );
        assert_eq!(typed.flag("profile").as_deref(), Some("dev"));
        assert_eq!(typed.flag("run-id"), None);
        // Within a word that has been taken apart there is nothing to complete.
        assert_eq!(whole(&words(&apart), 7), None);
    }

    #[test]
    fn nothing_but_names_gets_to_a_shell() {
        for name in ["orders", "my.table_1-x"] {
            assert!(Names::Tables.is_one(name), "{name}");
        }
        for name in [
            "",
            "ab",
            "$(id)",
            "a b c",
            "a\nbc",
            "`id`",
            "a;bc",
            "\u{1b}[2J",
        ] {
            assert!(!Names::Tables.is_one(name), "{name}");
            assert!(!Names::Runs.is_one(name) || name == "ab", "{name}");
        }
    }
}
