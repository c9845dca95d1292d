//! A guard that watches in this process.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use backfill_core::clock::now_ms;
use backfill_core::guard::{Follower, Guard, SwitchOn, Told};
use backfill_core::ports::guard::GuardReader as _;
use backfill_core::records::{GuardHour, GuardRecord};
use backfill_core::{ErrorKind, Result};
use backfill_dynamodb::{CheckpointTable, Connection, ReadWrite, Streams};

use crate::drive::signals;
use crate::ending::Ending;
use crate::place;
use crate::show::guard::run::{begun, done, minute, repaired, summary};
use crate::show::print;

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
