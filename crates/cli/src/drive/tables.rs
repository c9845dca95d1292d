//! What has become of the tables that runs worked on. A look at a table is one DescribeTable; where that is not allowed or gives no
//! answer, nothing is said.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use backfill_core::ports::ReadAccess as _;
use backfill_core::records::RunRecord;
use backfill_core::table::TableDescription;
use backfill_core::{ErrorKind, Request};
use backfill_dynamodb::{Connection, ReadOnly};
use futures_util::{StreamExt as _, stream};

use crate::show::runs::{TableNow, gone_run};

/// Tables that are looked at together: DescribeTable has a quota that all of an account share.
const AT_ONCE: usize = 4;

/// How long an answer is waited for, by somebody who asked for the records.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long what was seen of a table is taken for what it is.
const FRESH: Duration = Duration::from_secs(60);

/// What was seen of a table.
#[derive(Clone)]
enum Seen {
    /// It is there, with this identity.
    There(String),
    /// There is none of this name.
    Missing,
    /// That could not be found out.
    Unknown,
}

/// Tables by their names, as they were seen last.
pub struct Tables {
    access: ReadOnly,
    seen: HashMap<String, (Instant, Seen)>,
}

impl Tables {
    /// The tables that this connection leads to; nothing is called yet.
    pub fn new(connection: &Connection) -> Tables {
        Tables {
            access: ReadOnly(connection.clone()),
            seen: HashMap::new(),
        }
    }

    /// Looks at each of these tables that was not looked at for a minute.
    pub async fn look_at(&mut self, names: impl Iterator<Item = &str>) {
        let is_stale = |name: &&str| {
            let seen = self.seen.get(*name);
            seen.is_none_or(|(at, _)| at.elapsed() > FRESH)
        };
        let stale: BTreeSet<String> = names.filter(is_stale).map(str::to_owned).collect();
        let access = &self.access;
        let look = |name: String| async move {
            let seen = look(access, &name).await;
            (name, (Instant::now(), seen))
        };
        let seen: Vec<_> = stream::iter(stale)
            .map(look)
            .buffered(AT_ONCE)
            .collect()
            .await;
        self.seen.extend(seen);
    }

    /// What has become of a run's table, by what was seen last; `None` if that cannot be told.
    pub fn now(&self, run: &RunRecord) -> Option<TableNow> {
        match &self.seen.get(&run.spec.table)?.1 {
            Seen::There(identity) => Some(match run.is_of_another(identity)? {
                true => TableNow::Another,
                false => TableNow::Same,
            }),
            Seen::Missing => Some(TableNow::Missing),
            Seen::Unknown => None,
        }
    }
}

/// What has become of one run's table; `None` if that cannot be told.
pub async fn table_now(run: &RunRecord, connection: &Connection) -> Option<TableNow> {
    let mut tables = Tables::new(connection);
    tables
        .look_at(std::iter::once(run.spec.table.as_str()))
        .await;
    tables.now(run)
}

/// Says on stderr if the run that a request would go on with is that of a table that is gone, to somebody who has seen no plan.
pub fn tell_if_gone(stored: Option<&RunRecord>, request: &Request, description: &TableDescription) {
    let is_fresh = request.settings.fresh;
    let gone = stored.filter(|run| run.is_of_another(&description.identity) == Some(true));
    if let Some(run) = gone.filter(|_| !is_fresh) {
        say!(
            "note: {}",
            gone_run(&run.run_id, run.status.name(), run.pass, &run.spec.table)
        );
    }
}

async fn look(access: &ReadOnly, table: &str) -> Seen {
    match tokio::time::timeout(PATIENCE, access.describe(table)).await {
        Ok(Ok(description)) => Seen::There(description.identity),
        Ok(Err(error)) if error.kind() == ErrorKind::TableNotFound => Seen::Missing,
        Ok(Err(error)) => {
            tracing::debug!(error = error.report(), "table {table} cannot be looked at");
            Seen::Unknown
        }
        Err(_) => Seen::Unknown,
    }
}
