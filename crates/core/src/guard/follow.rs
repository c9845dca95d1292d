//! Reading the shards of a table's stream in a process, and settling their records.
//!
//! A shard is read when its parent has been read to its end, from the stored position, or else from its oldest record. Its position is
//! stored after everything that it covers is settled, and never before: after a crash some records are seen twice, and none is missed.
//! What is gone before it was seen is noted as a loss, before anything behind it is read. A later process has a greater generation, and
//! fences this one off. A position that was stored for another change says nothing of this one, whenever it was stored: then a shard is read
//! from its oldest record.

mod shards;
mod turn;

use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::guard::settle::{Guard, ITSELF, Settled};
use crate::ports::WriteAccess;
use crate::ports::guard::GuardStore;
use crate::ports::stream::{StreamDescription, StreamReader};
use crate::records::{GuardRecord, Loss, LossKind, ShardPosition};
use crate::{Error, ErrorKind, Result};

use shards::{Place, Shards, Turned};

/// Shards that have their turns at once at most: each holds a page of 1 MB at most.
const AT_ONCE: usize = 8;

/// Between two looks at the stream and at the guard's record.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Between two notes that the guard watches.
const NOTE_EVERY: Duration = Duration::from_secs(60);

/// What a guard in a process tells whoever has begun it.
#[derive(Debug)]
pub enum Told<'a> {
    /// A page is settled, or a part of it.
    Settled(&'a Settled),
    /// Something does not go well, and is tried again: what, if it is known which shard, and why.
    Later(Option<&'a str>, &'a Error),
    /// It watches: told once a minute, with the time of the oldest record behind which there may be others that are not seen yet, in
    /// milliseconds since 1970; `None` if there are none.
    Watching(Option<u64>),
}

/// Who is told.
pub type Tell<'a> = dyn Fn(Told<'_>) + Sync + 'a;

/// What reads a stream and settles its records.
#[derive(Debug, Clone)]
pub struct Follower<A, S, R> {
    /// What settles them.
    pub guard: Guard<A, S>,
    /// Where they are read.
    pub stream: R,
}

/// What is at work.
enum Done {
    /// A shard has had its turn.
    Turn(Box<Place>, Turned),
    /// Stream and record were looked at.
    Look(Result<StreamDescription>),
}

type Work<'a> = FuturesUnordered<Pin<Box<dyn Future<Output = Done> + 'a>>>;

/// What goes on, beside the work itself.
struct Course {
    shards: Shards,
    /// When the next look is due; `None` while one is at work, and when there is nothing to look for any more.
    look_at: Option<Instant>,
    note_at: Instant,
    /// Turns at work.
    turns: usize,
    /// Whether the last look has seen the stream.
    sees: bool,
    /// Why the guard ends when what is in the stream is settled.
    last: Option<Error>,
    /// Why it ends at once.
    end: Option<Error>,
}

impl<A: WriteAccess, S: GuardStore, R: StreamReader> Follower<A, S, R> {
    /// Reads the stream of `guard`, which [`SwitchOn::begin`](crate::guard::SwitchOn::begin) has stored, until `stop`: then what is in
    /// flight is settled, and its positions are stored. Outages and throttling are waited out.
    ///
    /// Errors: `Fenced` if another process watches since; `NotRunning` if the guard was switched off; `UpdateDoesNotExtinguish` if an
    /// item is pending after its update; `TableNotFound` if the stream is gone, or was switched off and is settled to its end; those of
    /// ports that trying again does not mend.
    pub async fn follow(
        &self,
        guard: &GuardRecord,
        stop: &CancellationToken,
        tell: &Tell<'_>,
    ) -> Result<()> {
        let stop = stop.child_token();
        let now = Instant::now();
        let positions = self.positions(guard, &stop, tell).await?;
        let mut course = Course {
            shards: Shards::new(positions, guard),
            look_at: Some(now),
            note_at: now + NOTE_EVERY,
            turns: 0,
            sees: false,
            last: None,
            end: None,
        };
        let mut work = Work::new();
        while !stop.is_cancelled() {
            self.begin_what_is_due(guard, &mut course, &mut work, &stop, tell);
            let look_at = course.look_at.unwrap_or(Instant::now() + LOOK_EVERY);
            let free = course.turns < AT_ONCE;
            let due = course.shards.next_due().filter(|_| free);
            let next = due.map_or(look_at, |due| due.min(look_at));
            tokio::select! {
                () = stop.cancelled() => {}
                Some(done) = work.next(), if !work.is_empty() => {
                    course.take(done, &guard.stream_arn, self.guard.access.now_ms(), tell);
                }
                () = sleep_until(next) => {}
            }
            if course.is_over() {
                stop.cancel();
            }
        }
        // What is in flight.
        while let Some(done) = work.next().await {
            course.take(done, &guard.stream_arn, self.guard.access.now_ms(), tell);
        }
        drop(work);
        match course.end.or(course.last) {
            Some(error) => Err(error),
            // Who cannot see the stream does not watch it.
            None if !course.sees => Ok(()),
            // It is for the next process, and the last note is a minute old at most.
            None => match self.note(guard).await {
                Err(error) if error.kind().is_retryable() => Ok(()),
                noted => noted,
            },
        }
    }

    /// What is stored of the shards.
    async fn positions(
        &self,
        guard: &GuardRecord,
        stop: &CancellationToken,
        tell: &Tell<'_>,
    ) -> Result<Vec<ShardPosition>> {
        loop {
            match self.guard.store.positions(guard.table()).await {
                Err(error) if error.kind().is_retryable() && !stop.is_cancelled() => {
                    tell(Told::Later(None, &error));
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(LOOK_EVERY) => {}
                    }
                }
                read => return read,
            }
        }
    }

    /// Begins a look, and as many turns as there is room for.
    fn begin_what_is_due<'a>(
        &'a self,
        guard: &'a GuardRecord,
        course: &mut Course,
        work: &mut Work<'a>,
        stop: &CancellationToken,
        tell: &'a Tell<'a>,
    ) {
        let now = Instant::now();
        if course.look_at.is_some_and(|at| at <= now) {
            course.look_at = None;
            let is_note = course.note_at <= now;
            if is_note {
                course.note_at = now + NOTE_EVERY;
                let waiting = course.shards.waiting();
                tell(Told::Watching(
                    waiting.filter_map(|place| place.seen_ms).min(),
                ));
            }
            work.push(Box::pin(async move {
                Done::Look(self.look(guard, is_note).await)
            }));
        }
        while course.turns < AT_ONCE
            && let Some(mut place) = course.shards.take().map(Box::new)
        {
            course.turns += 1;
            let stop = stop.clone();
            work.push(Box::pin(async move {
                let turned = self.turn(guard, &mut place, &stop, tell).await;
                Done::Turn(place, turned)
            }));
        }
    }

    /// Looks whether this process is still the one that watches, and which shards there are.
    async fn look(&self, guard: &GuardRecord, is_note: bool) -> Result<StreamDescription> {
        self.refuse_successor(guard).await?;
        let described = self.stream.describe_stream(&guard.stream_arn).await;
        let why = match &described {
            Ok(enabled) if enabled.is_enabled => {
                // Who cannot see the stream does not watch it.
                if is_note {
                    self.note(guard).await?;
                }
                return described;
            }
            Ok(_) => "was switched off",
            Err(error) if error.kind() == ErrorKind::TableNotFound => "is gone",
            Err(_) => return described,
        };
        // Whatever is written from now on is not seen. The stream may be switched on again, and then is another one.
        let at_ms = self.guard.access.now_ms();
        let change = |record: &mut GuardRecord| {
            if record.generation == guard.generation && record.is_on() {
                record.switch_off(at_ms, ITSELF);
                record.lose(Loss {
                    at_ms,
                    kind: LossKind::OtherStream,
                    what: format!("the stream {} {why}", guard.stream_arn),
                });
            }
        };
        self.guard.change(guard.table(), change).await?;
        described
    }

    /// Refuses to go on if another process watches, or none is to.
    async fn refuse_successor(&self, guard: &GuardRecord) -> Result<()> {
        let stored = self.guard.store.guard(guard.table()).await?;
        refuse(guard, stored.as_ref())
    }

    /// Notes that this process watches.
    ///
    /// Errors: as of a look.
    async fn note(&self, guard: &GuardRecord) -> Result<()> {
        self.refuse_successor(guard).await?;
        let looked_ms = self.guard.access.now_ms();
        let note = |record: &mut GuardRecord| {
            if record.generation == guard.generation {
                // A machine that sleeps stops the process without an end.
                if let Some(unwatched) = record.unwatched(looked_ms) {
                    record.lose(unwatched);
                }
                record.looked_ms = looked_ms;
            }
        };
        self.guard.change(guard.table(), note).await
    }
}

/// Refuses to go on if this is stored in the place of the guard that was begun.
fn refuse(guard: &GuardRecord, stored: Option<&GuardRecord>) -> Result<()> {
    let table = guard.table();
    let not_running = |why: String| Err(Error::new(ErrorKind::NotRunning, why));
    match stored {
        None => not_running(format!("the record of the guard of table {table} is gone")),
        Some(stored) if stored.generation != guard.generation => Err(Error::new(
            ErrorKind::Fenced,
            format!(
                "the guard of table {table} was begun elsewhere, by {}; this one stops",
                stored.by
            ),
        )),
        Some(stored) if !stored.is_on() => not_running(format!(
            "the guard of table {table} was switched off by {}",
            stored.last_by()
        )),
        Some(_) => Ok(()),
    }
}

impl Course {
    /// Whether nothing new is to be begun.
    fn is_over(&self) -> bool {
        self.end.is_some() || (self.last.is_some() && self.turns == 0 && self.shards.are_quiet())
    }

    /// Takes what was done.
    fn take(&mut self, done: Done, stream_arn: &str, now_ms: u64, tell: &Tell<'_>) {
        match done {
            Done::Turn(place, turned) => {
                self.turns -= 1;
                match turned {
                    Turned::Well => {}
                    Turned::Later(error) => tell(Told::Later(Some(&place.shard.id), &error)),
                    Turned::Never(error) => {
                        self.end.get_or_insert(error);
                    }
                }
                if place.is_done && self.look_at.is_some() {
                    // Its children may not be described yet.
                    self.look_at = Some(Instant::now());
                }
                self.shards.put_back(*place);
            }
            Done::Look(Ok(described)) => {
                self.sees = true;
                self.shards.describe(described.shards, now_ms);
                if described.is_enabled {
                    self.look_at = Some(Instant::now() + LOOK_EVERY);
                } else {
                    let why = format!(
                        "the stream {stream_arn} was switched off, and what was in it is settled"
                    );
                    self.last = Some(Error::new(ErrorKind::TableNotFound, why));
                }
            }
            Done::Look(Err(error)) if error.kind().is_retryable() => {
                self.sees = false;
                self.look_at = Some(Instant::now() + LOOK_EVERY);
                tell(Told::Later(None, &error));
            }
            Done::Look(Err(error)) => {
                self.end.get_or_insert(error);
            }
        }
    }
}
