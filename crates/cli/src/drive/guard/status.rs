//! What is seen of a table's guard: its records, its event source mapping in Lambda, the table's stream. It changes nothing.

use backfill_core::clock::now_ms;
use backfill_core::guard::{Claim, FoundMapping, Looked, oldest_unseen_ms};
use backfill_core::pace::retry::{PATIENCE, Until, retry};
use backfill_core::ports::guard::GuardReader as _;
use backfill_core::records::{GuardFailed, GuardRecord, Proof, RunRecord, Watcher};
use backfill_core::{Error, ErrorKind, Result, Spec};
use backfill_dynamodb::calls::EventSourceMapping;
use backfill_dynamodb::{CheckpointTable, Connection, Streams};

use crate::drive::guard::{lag, mapping};
use crate::show::guard::status::{Guarded, Unseen};
use crate::show::print;

/// Hours of which a status tells who has written the old shape: as long as their records are kept.
const HOURS_KEPT_MS: u64 = 30 * 24 * 3_600_000;

/// Failed items that are shown.
pub const MOST_FAILED: u32 = 20;

/// The guard of a table, and what its claim is worth for the change with this fingerprint (without one, for its own) by this count.
/// `None` if the table has none. `stack` is the one that is meant, if the guard's record names none. What cannot be looked at is said,
/// and withdraws nothing.
///
/// Errors: those of the checkpoint table.
pub async fn look(
    table: &str,
    stack: Option<&str>,
    fingerprint: Option<&str>,
    proof: Option<&Proof>,
    checkpoints: &CheckpointTable,
    connection: &Connection,
) -> Result<Option<Guarded>> {
    let until = Until::after(PATIENCE);
    let Some(guard) = retry(&until, || checkpoints.guard(table)).await? else {
        return Ok(None);
    };
    let own = guard.spec.fingerprint();
    let fingerprint = fingerprint.unwrap_or(&own);
    let mut blind = Vec::new();
    let mut proof = proof.cloned();
    if own == fingerprint {
        // Of whoever has counted beside the runs, and of all runs.
        let of_runs = last_count(&guard, checkpoints, &mut blind).await;
        let of_runs = found(of_runs, &mut blind).flatten();
        proof = Proof::later(Proof::later(proof, guard.proof.clone()), of_runs);
    }
    let seen = match guard.watcher {
        Watcher::Process => of_process(&guard, checkpoints, connection, &mut blind).await,
        Watcher::Function => {
            let counted_ms = proof.as_ref().and_then(|proof| proof.began_ms);
            let mut seen = of_function(&guard, stack, counted_ms, connection, &mut blind).await;
            if let (None, Some(mapping)) = (&seen.trouble, &seen.mapping) {
                let tables = (table, checkpoints.name());
                let other = mapping::other_tables(mapping, tables, connection).await;
                let other = found(other, &mut blind).flatten();
                seen.trouble = other.map(|other| other.why);
            }
            seen
        }
    };
    // What was noted meanwhile, before it left the queue or the stream, counts.
    let guard = retry(&until, || checkpoints.guard(table)).await?;
    let Some(guard) = guard else {
        return Ok(None);
    };
    let now_ms = now_ms();
    let from_ms = guard.since_ms.max(now_ms.saturating_sub(HOURS_KEPT_MS));
    let hours = retry(&until, || checkpoints.guard_hours(table, from_ms)).await?;
    let looked = Looked {
        now_ms,
        trouble: seen.trouble,
    };
    let claim = Claim::of(Some(&guard), fingerprint, proof.as_ref(), &looked);
    Ok(Some(Guarded {
        guard,
        claim,
        proof,
        hours,
        unseen: seen.unseen,
        blind,
    }))
}

/// The same for a run and its last count. Whatever keeps it from being seen is no reason not to show the run.
pub async fn of_run(
    run: &RunRecord,
    checkpoints: &CheckpointTable,
    connection: &Connection,
) -> Option<Guarded> {
    of_count(&run.spec, run.proof.clone(), checkpoints, connection).await
}

/// The same for a change and a count of what is pending, if that came to its end.
pub async fn of_count(
    spec: &Spec,
    proof: Option<Proof>,
    checkpoints: &CheckpointTable,
    connection: &Connection,
) -> Option<Guarded> {
    let (fingerprint, table) = (spec.fingerprint(), &spec.table);
    let looked = look(
        table,
        None,
        Some(&fingerprint),
        proof.as_ref(),
        checkpoints,
        connection,
    )
    .await;
    looked.unwrap_or_else(|error| {
        match error.kind() {
            // Who has no records has no guard; and who may not read them asks for a count, and gets it.
            ErrorKind::TableNotFound | ErrorKind::AccessDenied => {
                tracing::debug!("{}", error.report())
            }
            _ => tracing::warn!("cannot see the guard of table {table}: {}", error.report()),
        }
        None
    })
}

/// Items that it could not repair, some of them. Those that failed before a count of zero began are repaired since, or gone.
pub async fn failed(
    table: &str,
    proof: Option<&Proof>,
    checkpoints: &CheckpointTable,
) -> Result<Vec<GuardFailed>> {
    let zero = proof.filter(|proof| proof.remaining == 0);
    let from_ms = zero.and_then(|zero| zero.began_ms).unwrap_or_default();
    let read = || checkpoints.guard_failed(table, from_ms, MOST_FAILED);
    retry(&Until::after(PATIENCE), read).await
}

/// Keeps a count that was no run's with the guard of its table, so that the claim goes by it from now on. What keeps it from being kept
/// is said, and nothing else comes of it: who may only read counts as well.
pub async fn keep_count(spec: &Spec, proof: &Proof, checkpoints: &CheckpointTable) {
    let table = &spec.table;
    let wants = |guard: &GuardRecord| guard.wants(&spec.fingerprint(), proof);
    let kept = match retry(&Until::after(PATIENCE), || checkpoints.guard(table)).await {
        Ok(guard) if guard.as_ref().is_some_and(wants) => {
            backfill_core::guard::keep_count(checkpoints, spec, proof).await
        }
        Ok(_) => Ok(()),
        // Who has no records has no guard, and who may not read them asks for a count alone.
        Err(error) => match error.kind() {
            ErrorKind::TableNotFound | ErrorKind::AccessDenied => Ok(()),
            _ => Err(error),
        },
    };
    if let Err(error) = kept {
        say!(
            "warning: this count is not kept with the guard of table {table}, so `backfill guard status` does not know of it: {}",
            print::report(&error)
        );
    }
}

/// The last count of what is pending for the guard's change, of all runs that made it. What a record says that cannot be read is not known.
async fn last_count(
    guard: &GuardRecord,
    checkpoints: &CheckpointTable,
    blind: &mut Vec<String>,
) -> Result<Option<Proof>> {
    let table = guard.table();
    let read = || checkpoints.runs_of(table);
    let found = retry(&Until::after(PATIENCE), read).await?;
    blind.extend(found.unreadable.iter().map(Error::report));
    let own = guard.spec.fingerprint();
    let of_change = found
        .runs
        .into_iter()
        .filter(|run| run.spec.fingerprint() == own)
        .filter_map(|run| run.last_count());
    Ok(of_change.fold(None, |last, proof| Proof::later(last, Some(proof))))
}

/// What was seen beside the records of a guard.
struct Seen {
    /// Why the stream is not watched at this moment.
    trouble: Option<String>,
    unseen: Unseen,
    /// What brings a function its records.
    mapping: Option<EventSourceMapping>,
}

/// What was found; what could not be looked at is noted.
fn found<T>(looked: Result<T>, blind: &mut Vec<String>) -> Option<T> {
    looked.map_err(|error| blind.push(error.report())).ok()
}

/// Of a guard that `backfill guard run` is.
async fn of_process(
    guard: &GuardRecord,
    checkpoints: &CheckpointTable,
    connection: &Connection,
    blind: &mut Vec<String>,
) -> Seen {
    let trouble = trouble_of_stream(guard, connection).await;
    let trouble = found(trouble, blind).flatten();
    let age = age_seconds(guard, checkpoints, connection).await;
    Seen {
        trouble,
        unseen: Unseen::of_shards(found(age, blind)),
        mapping: None,
    }
}

/// Of a guard that the function of a stack is: one that is off has nothing to see. `counted_ms` is when the last count began.
async fn of_function(
    guard: &GuardRecord,
    stack: Option<&str>,
    counted_ms: Option<u64>,
    connection: &Connection,
    blind: &mut Vec<String>,
) -> Seen {
    let trouble = trouble_of_stream(guard, connection).await;
    let trouble = found(trouble, blind).flatten();
    let mut seen = Seen {
        trouble,
        unseen: Unseen::default(),
        mapping: None,
    };
    if !guard.is_on() || seen.trouble.is_some() {
        return seen;
    }
    let mapping = mapping::find(
        &guard.stream_arn,
        guard.stack.as_deref().or(stack),
        connection,
    )
    .await;
    let Some(mapping) = found(mapping, blind) else {
        return seen;
    };
    let found_now = match &mapping {
        Some(mapping) => found(mapping::found(mapping, connection).await, blind),
        None => None,
    };
    // Without what only another question tells, there is what Lambda has said of the mapping itself.
    let found_now = found_now.or_else(|| mapping.as_ref().map(EventSourceMapping::found));
    seen.trouble = trouble_of_mapping(guard, found_now.as_ref());
    if let Some(mapping) = mapping {
        seen.unseen = lag::unseen(&mapping, connection, blind).await;
        // What was written before the count was counted.
        if let (Some(counted_ms), None) = (counted_ms, &seen.trouble) {
            let dropped = lag::dropped(&mapping, counted_ms, connection).await;
            seen.trouble = found(dropped, blind).flatten();
        }
        seen.mapping = Some(mapping);
    }
    // What Lambda has given up may be gone from the stream before it is settled, and its age is known from below alone.
    if seen.trouble.is_none() {
        seen.trouble.clone_from(&seen.unseen.given_up);
    }
    seen
}

/// Why the stream is not watched at this moment, by what the table says.
async fn trouble_of_stream(guard: &GuardRecord, connection: &Connection) -> Result<Option<String>> {
    let (table, watched) = (guard.table(), &guard.stream_arn);
    let streams = Streams::open(connection).await?;
    let now = retry(&Until::after(PATIENCE), || streams.of_table(table)).await?;
    Ok(match now {
        None => Some(format!("the stream of table {table} is off")),
        Some(now) if now.arn != *watched => Some(format!(
            "the stream of table {table} is {} now, and the guard watches {watched}",
            now.arn
        )),
        Some(_) => None,
    })
}

/// Why nobody is handed the stream's records at this moment, by what Lambda says.
fn trouble_of_mapping(guard: &GuardRecord, mapping: Option<&FoundMapping>) -> Option<String> {
    match mapping {
        None => {
            let function = guard.stack.as_ref();
            let function = function.map_or("a guard function".to_owned(), |stack| {
                format!("function {stack}-guard")
            });
            Some(format!(
                "no event source mapping connects {function} to stream {}",
                guard.stream_arn
            ))
        }
        Some(mapping) if mapping.is_on => {
            // What the next look will note, in its words.
            let losses = mapping.losses(guard);
            let loss = losses.into_iter().next().map(|(_, what)| what);
            loss.or_else(|| mapping.problem.clone())
        }
        Some(mapping) => Some(format!(
            "its event source mapping {} is {}",
            mapping.uuid, mapping.state
        )),
    }
}

/// The age of the oldest record that a guard in a process has not seen, in seconds: 0 if there is none.
async fn age_seconds(
    guard: &GuardRecord,
    checkpoints: &CheckpointTable,
    connection: &Connection,
) -> Result<f64> {
    let until = Until::after(PATIENCE);
    let positions = retry(&until, || checkpoints.positions(guard.table())).await?;
    let streams = Streams::open(connection).await?;
    let oldest_ms = match oldest_unseen_ms(&streams, guard, &positions).await {
        // What is gone is no longer waiting; the trouble tells of it.
        Err(error) if error.kind() == ErrorKind::TableNotFound => None,
        oldest => oldest?,
    };
    let age = |oldest_ms| now_ms().saturating_sub(oldest_ms) as f64 / 1_000.0;
    Ok(oldest_ms.map_or(0.0, age))
}
