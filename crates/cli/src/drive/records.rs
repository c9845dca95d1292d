//! What the durable records tell of one run.

use std::cmp::Reverse;

use backfill_core::clock::now_ms;
use backfill_core::pace::retry::{PATIENCE, Until, retry, retry_each};
use backfill_core::ports::CheckpointReader as _;
use backfill_core::records::{HistoryBucket, Rejected, RunRecord};
use backfill_core::view::cost::Prices;
use backfill_core::view::progress::{self, Looker, SegmentProgress, Snapshot};
use backfill_core::{Error, ErrorKind, Request, Result};
use backfill_dynamodb::{CheckpointTable, Connection};
use futures_util::future::try_join_all;

use crate::drive::guard;
use crate::drive::tables::table_now;
use crate::show::guard::status::claim_text;
use crate::show::report::{HOTTEST, MOST_REJECTED, Report};
use crate::show::watch::Lately;

/// A run by its id or, if none is given, the one that was started last.
///
/// Errors: `InvalidInput` if there is no such run, or none at all.
pub async fn find(
    run_id: Option<&str>,
    checkpoints: &CheckpointTable,
    connection: &Connection,
) -> Result<String> {
    if let Some(run_id) = run_id {
        return Ok(run_id.to_owned());
    }
    let runs = checkpoints.runs().await?;
    let latest = runs.first().ok_or_else(|| {
        Error::invalid(
            "run-id",
            format!(
                "checkpoint table {} {} has no run yet",
                checkpoints.name(),
                connection.place()
            ),
        )
    })?;
    Ok(latest.run_id.clone())
}

/// The record of a run.
///
/// Errors: `InvalidInput` if there is no such run.
pub async fn record(
    run_id: &str,
    checkpoints: &CheckpointTable,
    connection: &Connection,
) -> Result<RunRecord> {
    let record = retry(&Until::after(PATIENCE), || checkpoints.run(run_id)).await?;
    record.ok_or_else(|| no_such_run(run_id, checkpoints, connection))
}

/// The record of the run that a request is about; `None` if that was never begun, as also if there is no checkpoint table yet.
///
/// Errors: those of the store, after a minute of trying if they are retryable.
pub async fn stored(request: &Request, checkpoints: &CheckpointTable) -> Result<Option<RunRecord>> {
    let run_id = request.run_id();
    match retry(&Until::after(PATIENCE), || checkpoints.run(&run_id)).await {
        Err(error) if error.kind() == ErrorKind::TableNotFound => Ok(None),
        stored => stored,
    }
}

/// How a run stands, by its records.
///
/// Errors: `InvalidInput` if there is no such run.
pub async fn snapshot(
    run_id: &str,
    checkpoints: &CheckpointTable,
    connection: &Connection,
) -> Result<Snapshot> {
    let snapshot = progress::snapshot(checkpoints, run_id).await?;
    snapshot.ok_or_else(|| no_such_run(run_id, checkpoints, connection))
}

/// The same for whoever looks again and again.
///
/// Errors: `InvalidInput` if there is no such run.
pub async fn snapshot_again(
    looker: &mut Looker,
    run_id: &str,
    checkpoints: &CheckpointTable,
    connection: &Connection,
) -> Result<Snapshot> {
    let snapshot = looker.snapshot(checkpoints, run_id).await?;
    snapshot.ok_or_else(|| no_such_run(run_id, checkpoints, connection))
}

/// Says that there is no such run.
fn no_such_run(run_id: &str, checkpoints: &CheckpointTable, connection: &Connection) -> Error {
    let table = checkpoints.name();
    Error::invalid(
        "run-id",
        format!(
            "checkpoint table {table} {} has no run {run_id}; see which there are with: backfill runs \
             --checkpoint-table {table}",
            connection.place()
        ),
    )
}

/// The items that cannot be updated in the current pass of a run, in no particular order.
pub async fn rejected(run: &RunRecord, checkpoints: &CheckpointTable) -> Result<Vec<Rejected>> {
    let under = |shard| checkpoints.rejected(run, run.pass, shard);
    let rejected = retry_each(&Until::after(PATIENCE), 0..run.shards, under).await?;
    Ok(rejected.concat())
}

/// All that a report of a run says.
///
/// Errors: `InvalidInput` if there is no such run.
pub async fn report(
    run_id: &str,
    checkpoints: &CheckpointTable,
    connection: &Connection,
    prices: Prices,
) -> Result<Report> {
    let snapshot = snapshot(run_id, checkpoints, connection).await?;
    let table_now = table_now(&snapshot.run, connection).await;
    let guarded = guard::status::of_run(&snapshot.run, checkpoints, connection).await;
    let report = report_of(snapshot, checkpoints, prices).await?;
    Ok(Report {
        table_now,
        claim: guarded.as_ref().and_then(claim_text),
        ..report
    })
}

/// What its current pass has done lately, for the charts of a view; as much of it as a look now and then may cost.
///
/// Errors: those of the store.
pub async fn lately(snapshot: &Snapshot, checkpoints: &CheckpointTable) -> Result<Lately> {
    let run = &snapshot.run;
    let (from_ms, to_ms) = Lately::span_ms(run, now_ms());
    let pass = snapshot.current().map_or(run.pass, |pass| pass.pass);
    let under = |shard| checkpoints.history_since(run, pass, shard, from_ms);
    let buckets = try_join_all((0..run.shards.max(1)).map(under)).await?;
    Ok(Lately {
        from_ms,
        to_ms,
        buckets: HistoryBucket::merged(buckets.concat()),
    })
}

/// The records of the segments with most items of each pass, out of those that are summed up.
async fn largest(
    snapshot: &Snapshot,
    checkpoints: &CheckpointTable,
) -> Result<Vec<SegmentProgress>> {
    let mut largest = Vec::new();
    for pass in &snapshot.passes {
        let mut swept: Vec<(Reverse<u64>, u32)> = (pass.swept.iter())
            .map(|swept| (Reverse(swept.scanned), swept.segment))
            .collect();
        if swept.len() > HOTTEST {
            swept.select_nth_unstable(HOTTEST);
            swept.truncate(HOTTEST);
        }
        let segments = swept.into_iter().map(|(_, segment)| segment);
        let read = |segment| checkpoints.segment(&snapshot.run, pass.pass, segment);
        let records = retry_each(&Until::after(PATIENCE), segments, read).await?;
        largest.extend(records.into_iter().flatten().map(SegmentProgress::from));
    }
    Ok(largest)
}

/// All that a report of a run says that stands like this, by its records alone: what has become of its table is not looked at.
///
/// Errors: those of the store, after a minute of trying if they are retryable.
pub async fn report_of(
    snapshot: Snapshot,
    checkpoints: &CheckpointTable,
    prices: Prices,
) -> Result<Report> {
    let summary = snapshot.summary(&prices);
    let run = &snapshot.run;
    let mut history = Vec::new();
    for pass in &snapshot.passes {
        let under = |shard| checkpoints.history(run, pass.pass, shard);
        let of_pass = retry_each(&Until::after(PATIENCE), 0..run.shards, under).await?;
        history.extend(HistoryBucket::merged(of_pass.concat()));
    }
    let largest = largest(&snapshot, checkpoints).await?;
    let mut rejected = rejected(run, checkpoints).await?;
    rejected.sort_by(|a, b| (a.segment, a.at_ms, &a.key).cmp(&(b.segment, b.at_ms, &b.key)));
    let rejected_count = rejected.len();
    rejected.truncate(MOST_REJECTED);
    Ok(Report {
        made_ms: now_ms(),
        version: env!("CARGO_PKG_VERSION"),
        checkpoint_table: checkpoints.name().to_owned(),
        run: snapshot.run,
        table_now: None,
        claim: None,
        passes: snapshot.passes,
        largest,
        summary,
        prices,
        history,
        rejected,
        rejected_count,
    })
}
