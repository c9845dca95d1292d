//! The command at one end of the line, a table at the other.

use backfill_e2e::command::{Ended, backfill};
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{STUFF_KEYS, read_all};
use backfill_e2e::wire::{Seen, Tap, Wire};
use serde_json::Value as Json;

pub const RUN: &str = "run --table stuff --set test=1 --json";

/// A database with the table `stuff`, and a line to it.
pub struct Line {
    pub database: Embedded,
    pub wire: Wire,
}

impl Line {
    pub async fn with_items(items: u64) -> Line {
        Line::to(Embedded::with_stuff(items).await).await
    }

    pub async fn to(database: Embedded) -> Line {
        Line {
            wire: database.line().await,
            database,
        }
    }

    /// The command on this line.
    pub async fn run(&self, arguments: &str) -> Ended {
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        self.run_with(&arguments).await
    }

    /// The command on this line with these arguments, which may have spaces in them.
    pub async fn run_with(&self, arguments: &[&str]) -> Ended {
        let mut command = backfill(arguments);
        command.args(["--endpoint-url", &self.wire.endpoint]);
        tokio::task::spawn_blocking(move || Ended::run(&mut command))
            .await
            .unwrap()
    }

    pub async fn items(
        &self,
    ) -> std::collections::BTreeMap<backfill_core::Key, backfill_core::Item> {
        read_all(&self.database.client, "stuff", STUFF_KEYS).await
    }
}

pub fn operations(tap: &Tap, operation: &str) -> Vec<Seen> {
    let mut seen = tap.seen();
    seen.retain(|seen| seen.call.operation == operation);
    seen
}

#[track_caller]
pub fn assert_counts(result: &Json, expected: Json) {
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&result[field], value, "{field}: {result}");
    }
}
