//! Who holds a run: what `run` writes into its record, and whether a former holder is known to have ended.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use backfill_core::clock::now_ms;
use backfill_core::records::{Owner, Process, RunRecord, RunStatus};
use backfill_core::{Request, Result};
use backfill_dynamodb::{CheckpointTable, Connection};

use crate::drive::executions::Executions;
use crate::drive::records;
use crate::show::runs::Holder;

/// This process, as the owner of a run.
pub fn this_process() -> Owner {
    Owner::Process(Process {
        id: std::process::id(),
        user: user().map(|user| user.replace(char::is_whitespace, "-")),
        host: host(),
        since_ms: now_ms(),
    })
}

/// Host name, boot, and space of process numbers: hosts may share a name, and containers of one host have numbers of their
/// own.
fn host() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let boot = boot.map_or_else(
        |_| "unknown".into(),
        |id| id.chars().take(8).collect::<String>(),
    );
    let space = std::fs::read_link("/proc/self/ns/pid");
    let space = space.map_or_else(
        |_| "pid:unknown".into(),
        |space| space.display().to_string(),
    );
    format!("{} boot {boot} {space}", host_name())
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map_or_else(|| "local".into(), |host| host.trim().to_owned())
}

/// Whose process this is, by the environment or else by the system's list of users; `None` if neither says.
fn user() -> Option<String> {
    let named = |name| std::env::var(name).ok().filter(|user| !user.is_empty());
    named("USER").or_else(|| named("LOGNAME")).or_else(|| {
        let id = std::fs::metadata("/proc/self").ok()?.uid().to_string();
        let users = std::fs::read_to_string("/etc/passwd").ok()?;
        let mut of_line = users
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>());
        let found = of_line.find(|fields| fields.get(2) == Some(&id.as_str()))?;
        found.first().map(|user| user.to_string())
    })
}

/// Who gives a command, for the events of a run.
pub fn caller() -> String {
    let user = user().unwrap_or_else(|| "somebody".into());
    format!("{user}@{}", host_name())
}

/// Asks for the run to be taken over if whoever holds it has certainly ended: a process of this host that is gone,
/// or an execution that Step Functions says has ended. In every other case it is left to the operator to say so, and the
/// record of the run that is held is returned.
pub async fn take_over_from_the_dead(
    request: &mut Request,
    connection: &Connection,
    checkpoints: &CheckpointTable,
    executions: &Executions,
) -> Result<Option<RunRecord>> {
    if request.settings.take_over || request.settings.take_over_from.is_some() {
        return Ok(None);
    }
    let run_id = request.run_id();
    let Some(run) = records::stored(request, checkpoints).await? else {
        return Ok(None);
    };
    match patient_holder(&run, executions).await {
        None => return Ok(None),
        Some(Holder::Gone) => {}
        Some(_) => return Ok(Some(run)),
    }
    say!(
        "{} held run {run_id} {} and has ended without saying so; taking over",
        run.owner.brief(),
        connection.place()
    );
    // From this one: somebody else may be quicker, and is alive.
    request.settings.take_over_from = Some(run.owner.to_string());
    Ok(None)
}

/// How long Step Functions may take to say how an execution stands.
const ASKING: Duration = Duration::from_secs(3);

/// What is known of whoever holds this run, without waiting for long; `None` if it is not running, so that nobody does.
pub async fn holder(run: &RunRecord, executions: &Executions) -> Option<Holder> {
    let asked = tokio::time::timeout(ASKING, patient_holder(run, executions));
    asked.await.unwrap_or(Some(Holder::Unknown))
}

/// [`holder`], for whoever waits as long as the answer takes.
async fn patient_holder(run: &RunRecord, executions: &Executions) -> Option<Holder> {
    if run.status != RunStatus::Running {
        return None;
    }
    Some(match &run.owner {
        // The execution of a stand-in is asked for at the stand-in.
        Owner::Execution(arn) => match executions.is_ended(arn).await {
            Some(true) => Holder::Gone,
            Some(false) => Holder::Alive,
            None => Holder::Unknown,
        },
        Owner::Process(process) if process_has_ended(process) => Holder::Gone,
        Owner::Process(process) if is_here(process) => Holder::Alive,
        Owner::Process(_) | Owner::Other(_) => Holder::Unknown,
    })
}

/// True if the process is one of this host, whose processes can be seen.
fn is_here(process: &Process) -> bool {
    process.host == host() && Path::new("/proc/1").exists()
}

/// True for a process of this host that is no more. A number that another process has now leaves it open.
fn process_has_ended(process: &Process) -> bool {
    // Or this /proc shows no processes of others.
    is_here(process) && !Path::new("/proc").join(process.id.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_of_this_host_that_is_gone_has_ended() {
        let host = host();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let gone = child.id();
        child.wait().unwrap();
        let has_ended = |owner: &str| match Owner::from(owner) {
            Owner::Process(process) => process_has_ended(&process),
            _ => false,
        };
        assert!(has_ended(&format!("process {gone} on {host} since 1")));
        assert!(!has_ended(&this_process().to_string()));
        for other in [
            format!("process {gone} on another-{host} since 1"),
            format!("process {gone}/.. on {host} since 1"),
            format!("process {gone} on {host}"),
            "somebody".into(),
        ] {
            assert!(!has_ended(&other), "{other}");
        }
    }
}
