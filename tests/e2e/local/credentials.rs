//! Credentials that end, and clocks that are wrong, while a run goes on.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use backfill_e2e::command::{Ended, backfill};
use backfill_e2e::database::Embedded;
use backfill_e2e::wire::{Call, Verdict, Wire};
use serde_json::Value as Json;

use crate::stuff::{RUN, all, assert_accounted};

const EXPIRED: Verdict = Verdict::Refuse {
    code: "ExpiredTokenException",
    message: "The security token included in the request is expired",
};

/// A command whose calls go through this line.
fn through(line: &Wire, arguments: &str) -> Command {
    let mut command = backfill(arguments.split_whitespace());
    command.args(["--endpoint-url", &line.endpoint]);
    command
}

/// `run` through this line, with the credentials of a file.
fn run_by_file(line: &Wire, file: &Path) -> Command {
    let mut command = through(line, RUN);
    command
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .env("AWS_SHARED_CREDENTIALS_FILE", file);
    command
}

fn write_credentials(file: &Path, key: &str) {
    let profile = format!(
        "[default]\naws_access_key_id = {key}\naws_secret_access_key = test\naws_session_token = test\n"
    );
    std::fs::write(file, profile).expect("the credentials are written");
}

/// Whoever signs in anew writes the file of credentials anew: a run whose token ends reads it, and goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_with_the_credentials_that_took_the_place_of_expired_ones() {
    let database = Embedded::with_stuff(400).await;
    let line = database.line().await;
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join("credentials");
    write_credentials(&file, "FIRST");
    let seen = Arc::<Mutex<Vec<(String, String)>>>::default();
    let (log, written) = (seen.clone(), file.clone());
    let tap = line.tap("stuff", move |call: Call| {
        let (log, written) = (log.clone(), written.clone());
        async move {
            let mut log = log.lock().unwrap();
            log.push((call.operation.clone(), call.access_key.clone()));
            let updates = log
                .iter()
                .filter(|(name, _)| name == "BatchExecuteStatement");
            if call.access_key == "FIRST" && updates.count() > 2 {
                // The token has ended, and somebody has signed in again.
                write_credentials(&written, "SECOND");
                return EXPIRED;
            }
            Verdict::Forward
        }
    });
    let ended = Ended::run(&mut run_by_file(&line, &file)).expect_code(0);
    let result: Json = ended.json();
    assert_accounted(&result);
    assert_eq!(result["updated"], result["matched"], "{result}");
    drop(tap);
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    assert!(seen.iter().any(|(_, key)| key == "FIRST"), "{seen:?}");
    let last = seen.last().expect("calls were seen");
    assert_eq!(last.1, "SECOND");
    let items = all(&database).await;
    assert!(items.values().all(|item| item.contains_key("test")));
}

/// If nobody has signed in, the run ends and says so. Nothing is lost: it goes on after that.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_stay_expired_end_a_run_which_can_be_resumed() {
    let database = Embedded::with_stuff(400).await;
    let line = database.line().await;
    let seen = Arc::new(Mutex::new(0));
    let count = seen.clone();
    let tap = line.tap("stuff", move |call: Call| {
        let mut updates = count.lock().unwrap();
        *updates += u32::from(call.is_update());
        let verdict = match *updates > 2 {
            true => EXPIRED,
            false => Verdict::Forward,
        };
        async move { verdict }
    });
    let mut run = through(&line, &format!("{RUN} --run-id expired"));
    let ended = Ended::run(&mut run).expect_code(1);
    assert!(
        ended.stderr.contains("ExpiredTokenException") && ended.stderr.contains("sign in again"),
        "{}",
        ended.stderr
    );
    drop(tap);
    let resumed = Ended::run(&mut database.backfill("resume --run-id expired --json"));
    assert_accounted(&resumed.expect_code(0).json());
    let items = all(&database).await;
    assert!(items.values().all(|item| item.contains_key("test")));
}

/// The sentence names the clock, not the credentials.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_is_called_that() {
    let database = Embedded::with_stuff(20).await;
    let line = database.line().await;
    let _tap = line.tap("stuff", async |_| Verdict::Refuse {
        code: "InvalidSignatureException",
        message: "Signature expired: 20180920T174101Z is now earlier than 20180920T174504Z (20180920T175004Z - 5 min.)",
    });
    let ended = Ended::run(&mut through(&line, RUN)).expect_code(2);
    assert!(
        ended.stderr.contains("check the clock of this machine"),
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains("sign in"), "{}", ended.stderr);
}
