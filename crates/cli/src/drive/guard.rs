//! A guard: the stream that it watches, and one that watches it in this process.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use backfill_core::clock::now_ms;
use backfill_core::guard::{Follower, FoundMapping, Guard, SwitchOn, Told};
use backfill_core::pace::retry::{PATIENCE, Until, retry};
use backfill_core::ports::guard::GuardReader as _;
use backfill_core::records::{GuardHour, GuardRecord, Proof, Watcher};
use backfill_core::table::KeySchema;
use backfill_core::{Error, ErrorKind, Result, Spec};
use backfill_dynamodb::{CheckpointTable, Connection, ReadWrite, Streams, TableStream};

use crate::drive::{mapping, owner, signals};
use crate::ending::Ending;
use crate::place;
use crate::show::guard::{begun, done, minute, repaired, summary};
use crate::show::print;

/// The ARN of the stream of a table, which a guard can watch.
///
/// Errors: `InvalidInput`, naming the table, if its stream is off or carries no new images, with what to type; those of DescribeTable.
pub async fn stream_of(streams: &Streams, table: &str) -> Result<String> {
    let read = || streams.of_table(table);
    let on = format!(
        "aws dynamodb update-table --table-name {table} --stream-specification \
         StreamEnabled=true,StreamViewType=NEW_IMAGE"
    );
    match retry(&Until::after(PATIENCE), read).await? {
        Some(TableStream { arn, view }) if view.has_new_image() => Ok(arn),
        Some(TableStream { view, .. }) => Err(Error::invalid(
            "table",
            format!(
                "the stream of table {table} carries {}, and a guard needs items as they are after a change; a stream cannot be changed, \
                 so switch it off, if nobody else reads it: aws dynamodb update-table --table-name {table} --stream-specification \
                 StreamEnabled=false; and on again: {on}",
                view.name()
            ),
        )),
        None => Err(Error::invalid(
            "table",
            format!("table {table} has no stream that a guard could watch; switch it on: {on}"),
        )),
    }
}

/// A guard that is to be on from now on, at the word of this process.
///
/// `stack` is the one whose function is to watch, and `mapping` what brings it the records; without them a process does.
pub fn switch_on(
    spec: Spec,
    keys: KeySchema,
    stream_arn: String,
    stack: Option<String>,
    mapping: Option<FoundMapping>,
) -> SwitchOn {
    let watcher = match stack {
        Some(_) => Watcher::Function,
        None => Watcher::Process,
    };
    SwitchOn {
        stack,
        mapping,
        spec,
        keys,
        stream_arn,
        watcher,
        by: match watcher {
            Watcher::Process => owner::this_process().brief(),
            // This process ends, and the function watches.
            Watcher::Function => owner::caller(),
        },
    }
}

/// Refuses to switch a function on if that of another stack watches the same stream for the table already, by the records of that
/// stack. Who may not read these is told so.
///
/// Errors: `InvalidInput`, naming `guard`; those of Lambda.
pub async fn refuse_beside_others(
    on: &SwitchOn,
    checkpoints: &CheckpointTable,
    connection: &Connection,
) -> Result<()> {
    let own = on.stack.as_deref().unwrap_or_default();
    for stack in mapping::other_stacks(&on.stream_arn, own, connection).await? {
        let theirs = CheckpointTable::new(connection, format!("{stack}-checkpoints"));
        if theirs.name() == checkpoints.name() {
            continue;
        }
        match retry(&Until::after(PATIENCE), || theirs.guard(&on.spec.table)).await {
            Ok(Some(guard)) => on.refuse_beside(&guard)?,
            // A function of something else whose name ends alike.
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::TableNotFound => {}
            Err(error) => say!(
                "warning: function {stack}-guard is connected to the same stream, and whether it guards the table cannot be seen: {}",
                print::report(&error)
            ),
        }
    }
    Ok(())
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

/// What was done so far.
#[derive(Default)]
struct SoFar {
    total: GuardHour,
    /// When it was said last that something does not go well.
    complained: Option<Instant>,
}

/// Watches in this process until the operator stops it, and says what is done. Returns how it ended; an error means that no item was
/// touched.
pub async fn watch(
    on: &SwitchOn,
    connection: &Connection,
    checkpoints: &CheckpointTable,
    streams: Streams,
    json: bool,
) -> Result<Ending> {
    let stop = signals::stop_on_signal(
        "stopping after what is in flight; press ctrl-C again to stop at once",
    );
    let guard = on.begin(checkpoints, now_ms).await?;
    // From here on there is something to lose.
    connection.stay_patient();
    say!("{}", begun(&guard));
    let begin = Instant::now();
    let so_far = Mutex::new(SoFar::default());
    let tell = |told: Told<'_>| {
        let mut so_far = so_far.lock().unwrap_or_else(PoisonError::into_inner);
        so_far.hear(&told, begin);
    };
    let follower = Follower {
        guard: Guard {
            access: ReadWrite::new(connection.clone()),
            store: checkpoints.clone(),
        },
        stream: streams,
    };
    let followed = follower.follow(&guard, &stop, &tell).await;
    let total = so_far.into_inner().unwrap_or_else(PoisonError::into_inner);
    let stored = checkpoints.guard(guard.table()).await;
    Ok(end(&guard, followed, stored, &total.total, begin, json))
}

impl SoFar {
    /// Says what is worth a line.
    fn hear(&mut self, told: &Told<'_>, begin: Instant) {
        match told {
            Told::Settled(settled) => {
                let page = settled.total();
                if let Some(line) = repaired(&page) {
                    say!("{line}");
                }
                self.total.add(&page);
            }
            Told::Later(shard, error) => {
                // The same trouble comes again and again.
                let is_new = self
                    .complained
                    .is_none_or(|at| at.elapsed().as_secs() >= 60);
                if is_new {
                    self.complained = Some(Instant::now());
                    let which = shard.map_or(String::new(), |shard| format!("shard {shard}: "));
                    say!("trying again: {which}{}", print::report(error));
                }
            }
            Told::Watching(oldest_ms) => {
                let line = minute(&self.total, begin.elapsed(), *oldest_ms, now_ms());
                print::say_in_passing(&line);
            }
        }
    }
}

/// Says how it came out.
fn end(
    guard: &GuardRecord,
    followed: Result<()>,
    stored: Result<Option<GuardRecord>>,
    total: &GuardHour,
    begin: Instant,
    json: bool,
) -> Ending {
    let stored = stored.unwrap_or_else(|error| {
        print::error(&error);
        None
    });
    let is_whole = stored.as_ref().is_some_and(|stored| {
        stored.losses == guard.losses && stored.generation == guard.generation
    });
    say!(
        "{}",
        summary(guard, stored.as_ref(), total, begin.elapsed())
    );
    let ending = match &followed {
        Ok(()) if is_whole && total.failed == 0 => Ending::Succeeded,
        Ok(()) => Ending::Differs,
        Err(error) if error.kind() == ErrorKind::NotRunning => Ending::Stopped,
        Err(_) => Ending::Failed,
    };
    if let Err(error) = &followed {
        print::error(error);
    }
    if json {
        let mut done = done(guard, stored.as_ref(), total, begin.elapsed());
        done.error = followed.err().map(|error| error.kind().name());
        print::json(&place::with(&done));
    }
    ending
}
