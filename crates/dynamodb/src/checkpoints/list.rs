//! Which runs there are: a list of them under one key, so that nobody has to read the records of all segments to find them.
//!
//! | `run_id` | `record`        | holds |
//! |---|---|---|
//! | `#runs`  | `run#stuff-1`   | the run's table |
//!
//! A run is put there before its record is saved as running. So each run that was begun or resumed by this version is listed;
//! and what is listed and has no record is no run.

use std::ops::ControlFlow;
use std::time::Duration;

use backfill_core::pace::retry::{PATIENCE, Until, retry, retry_each};
use backfill_core::ports::CheckpointReader as _;
use backfill_core::records::RunRecord;
use backfill_core::records::places::LISTED;
use backfill_core::{Item, Key, Result, Value};

use super::CheckpointTable;
use super::form::{FoundRuns, ListedRun, Part, RUN, expires_at, key, names, read_run, values};
use crate::calls::{CONDITION_FAILED, PutItem, Queried, Scan};
use crate::onward::Onward;
use crate::send::ProvideErrorMetadata as _;

/// The partition key of the list. No run id has a `#`, and every shard's place begins with one.
const LIST: &str = "#runs";

/// Run records that are read at once.
const AT_ONCE: usize = 32;

/// Between two pages of the whole table: a page is 1 MB, which is 128 read units, and workers need the table as well.
const BETWEEN_PAGES: Duration = Duration::from_millis(250);

/// Pages of the whole table that are read to look for the runs of one table, if nothing is listed.
const PAGES_FOR_ONE_TABLE: usize = 16;

impl CheckpointTable {
    /// Every run of the list, the latest started first. If nothing is listed, the whole table is read: its runs are those of an
    /// earlier version. A record that cannot be read is left out, and named in the log.
    ///
    /// Errors: `TableNotFound`; those of Query and GetItem.
    pub async fn runs(&self) -> Result<Vec<RunRecord>> {
        let listed = self.listed().await?;
        if listed.is_empty() {
            return self.all_runs().await;
        }
        Ok(self.records_of(&listed).await?.readable())
    }

    /// The runs of one table, the latest started first. Reads a bounded part of the checkpoint table if nothing is listed there.
    ///
    /// Errors: those of [`CheckpointTable::runs`].
    pub async fn runs_of(&self, table: &str) -> Result<FoundRuns> {
        let mut listed = self.listed().await?;
        if listed.is_empty() {
            let mut found = self.scanned(Some(PAGES_FOR_ONE_TABLE)).await?;
            found.runs.retain(|run| run.spec.table == table);
            return Ok(found);
        }
        listed.retain(|run| run.table == table);
        self.records_of(&listed).await
    }

    /// Every run, the latest started first, by reading the whole table, slowly: runs of an earlier version that were not resumed
    /// since are in no list.
    ///
    /// Errors: `TableNotFound`; those of Scan.
    pub async fn all_runs(&self) -> Result<Vec<RunRecord>> {
        Ok(self.scanned(None).await?.readable())
    }

    /// The list, in the order of the ids.
    ///
    /// Errors: `TableNotFound`; those of Query; `Internal` if its pages do not go on.
    pub async fn listed(&self) -> Result<Vec<ListedRun>> {
        let until = Until::after(PATIENCE);
        let mut listed = Vec::new();
        let mut keep = |page: Queried| {
            for item in page.items.unwrap_or_default() {
                if let (Some(Value::S(name)), Some(Value::S(table))) =
                    (item.get("record"), item.get("table"))
                    && let Some(run_id) = name.strip_prefix(LISTED)
                {
                    listed.push(ListedRun {
                        run_id: run_id.to_owned(),
                        table: table.clone(),
                    });
                }
            }
            Ok(ControlFlow::Continue(()))
        };
        let list = Part::of(LIST.to_owned(), LISTED);
        self.pages(&list, None, Some(&until), &mut keep).await?;
        Ok(listed)
    }

    async fn records_of(&self, listed: &[ListedRun]) -> Result<FoundRuns> {
        let mut found = FoundRuns::default();
        for some in listed.chunks(AT_ONCE) {
            let ids = some.iter().map(|run| run.run_id.as_str());
            let read = |run_id| async move {
                match self.run(run_id).await {
                    Err(error) if error.kind().is_retryable() => Err(error),
                    read => Ok(read),
                }
            };
            for read in retry_each(&Until::after(PATIENCE), ids, read).await? {
                found.keep(read);
            }
        }
        Ok(found.latest_first())
    }

    async fn scanned(&self, most_pages: Option<usize>) -> Result<FoundRuns> {
        let (names, values) = (names(["record"]), values([("run", Value::S(RUN.into()))]));
        let until = Until::after(PATIENCE);
        let mut found = FoundRuns::default();
        let mut onward = Onward::default();
        let mut after: Option<Key> = None;
        for page in 1.. {
            let scan = Scan {
                table_name: &self.name,
                filter_expression: Some("#record = :run"),
                expression_attribute_names: Some(&names),
                expression_attribute_values: Some(&values),
                exclusive_start_key: after.as_ref(),
                ..Scan::default()
            };
            let read = retry(&until, || self.call("reading", &scan)).await?;
            for attributes in read.items.unwrap_or_default() {
                found.keep(read_run(&self.name, attributes).map(Some));
            }
            let next = read.last_evaluated_key;
            onward.check(&self.reading(), after.as_ref(), next.as_ref())?;
            after = next;
            if after.is_none() || most_pages == Some(page) {
                break;
            }
            tokio::time::sleep(BETWEEN_PAGES).await;
        }
        Ok(found.latest_first())
    }

    /// Puts a run on the list.
    pub(super) async fn list(&self, run: &RunRecord) -> Result<()> {
        let mut item = Item::from([
            ("table".to_owned(), Value::S(run.spec.table.clone())),
            ("expires_at".to_owned(), expires_at()),
        ]);
        let name = format!("{LISTED}{}", run.run_id);
        item.extend(key(LIST, &name).0);
        let put = PutItem {
            table_name: &self.name,
            item: &item,
            // A put that comes late does not shorten the life of its successor.
            condition_expression: "attribute_not_exists(run_id) OR expires_at <= :expires_at",
            expression_attribute_values: Some(&values([("expires_at", expires_at())])),
            return_values_on_condition_check_failure: "NONE",
        };
        match self.sender.call(&put).await {
            Err(error) if error.code() != Some(CONDITION_FAILED) => {
                Err(self.failed("writing", error))
            }
            _ => Ok(()),
        }
    }
}
