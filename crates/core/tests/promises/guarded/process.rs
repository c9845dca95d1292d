//! A guard in a process: it dies, stands still, is begun elsewhere and switched off, and is begun again.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use backfill_core::ErrorKind;
use backfill_core::guard::{Follower, Told, oldest_unseen_ms};
use backfill_core::ports::guard::GuardReader as _;
use backfill_core::records::{GuardHour, Watcher};
use backfill_testkit::{Faults, ModelStore, ModelStream, ModelTable};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Event, Frost, HOUR, Watched, idle_change};
use crate::seeds::run_to_the_end;

/// After a process has ended the next one is begun within this.
const PAUSE: Duration = Duration::from_secs(5);

/// The same while processes end with errors for long.
const LONG_PAUSE: Duration = Duration::from_secs(1_800);

/// A seed of processes.
pub struct ByProcess {
    pub watched: Watched,
    /// No process is begun.
    is_down: Cell<bool>,
    /// Stops the process that watches.
    frost: Frost,
    /// Whoever begins a process again after an error waits for so long at most.
    pause: Cell<Duration>,
    /// What they have done, in all.
    pub done: Mutex<GuardHour>,
    pub lives: Cell<Lives>,
}

/// How processes have ended.
#[derive(Debug, Default, Clone, Copy)]
pub struct Lives {
    pub killed: u64,
    pub frozen: u64,
    pub fenced: u64,
    pub switched_off: u64,
    pub failed: u64,
    pub stopped: u64,
}

impl ByProcess {
    pub fn new(seed: u64, random: &mut fastrand::Rng) -> ByProcess {
        ByProcess {
            watched: Watched::new(seed, random),
            is_down: Cell::new(false),
            frost: Frost::default(),
            pause: Cell::new(PAUSE),
            done: Mutex::default(),
            lives: Cell::default(),
        }
    }

    fn count(&self, add: impl FnOnce(&mut Lives)) {
        let mut lives = self.lives.get();
        add(&mut lives);
        self.lives.set(lives);
    }

    /// The creation of the oldest record that is not covered by a stored position.
    pub async fn oldest_unseen_ms(&self) -> Option<u64> {
        let positions = self.watched.still.positions("stuff").await.unwrap();
        let record = self.watched.record().await?;
        let positions = positions.into_iter();
        let positions = positions.filter(|position| record.counts(position));
        let next = |settled: String| (settled.parse::<u64>().unwrap() + 1).to_string();
        let places: BTreeMap<String, Option<String>> = positions
            .map(|position| {
                let next = position.settled.map_or_else(|| "0".to_owned(), next);
                (position.shard, (!position.is_exhausted).then_some(next))
            })
            .collect();
        self.watched.stream.oldest_unseen_ms(&places)
    }

    /// The same, as `status` finds it out.
    async fn as_status_looks(&self) -> Option<u64> {
        let watched = &self.watched;
        let positions = watched.still.positions("stuff").await.unwrap();
        let stream = watched.stream.by(Faults::none(1));
        let record = watched.record().await?;
        oldest_unseen_ms(&stream, &record, &positions)
            .await
            .unwrap()
    }

    /// One process after the other watches, for ever.
    pub async fn work(&self, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed ^ 0x960c);
        loop {
            let record = self.watched.record().await;
            if self.is_down.get() || record.is_some_and(|record| !record.is_on()) {
                sleep(Duration::from_secs(1)).await;
                continue;
            }
            self.frost.lets(self.live(&mut random)).await;
            let pause = self.pause.get().as_millis() as u64;
            sleep(Duration::from_millis(random.u64(..pause))).await;
        }
    }

    fn follower(&self) -> Follower<ModelTable, ModelStore, ModelStream> {
        Follower {
            guard: self.watched.guard.clone(),
            stream: self.watched.stream.by(self.watched.faults.clone()),
        }
    }

    /// Another change is on for a while, and then this one again, before the process of the other notices.
    async fn switch_to_another_and_back(&self, event: Event, random: &mut fastrand::Rng) {
        let watched = &self.watched;
        let another = loop {
            let another = watched.switch_on_with(idle_change(), Watcher::Process);
            match another.await {
                // A process that was begun before has switched its change on again.
                Err(error) if error.kind() == ErrorKind::InvalidInput => watched.switch_off().await,
                another => break another.unwrap(),
            }
        };
        let (follower, stop) = (self.follower(), CancellationToken::new());
        let follow = follower.follow(&another, &stop, &|_: Told<'_>| {});
        let back = async {
            sleep(Duration::from_millis(random.u64(..30_000))).await;
            run_to_the_end(&watched.world, random).await;
            watched.switch_off().await;
            // Whoever switches it on again dies at once, and the process of the other change lives on until it notices.
            let mut of_next = random.fork();
            let begin_the_next = async {
                sleep(Duration::from_millis(of_next.u64(..12_000))).await;
                self.is_down.set(false);
            };
            let switch_on = watched.switch_on_beside_counts(event, Watcher::Process, random);
            tokio::join!(biased; switch_on, begin_the_next);
        };
        // It has noticed, or its outage was too long.
        let (_, ()) = tokio::join!(biased; follow, back);
    }

    /// The life of one process.
    async fn live(&self, random: &mut fastrand::Rng) {
        let watched = &self.watched;
        let spec = watched.world.request.spec.clone();
        let on = watched.switch(spec, Watcher::Process).await;
        // It has the rights of the process: its records may be away. Another change may be on since.
        let begun = on.begin(&watched.guard.store, || watched.now_ms()).await;
        let Ok(guard) = begun else {
            return self.count(|lives| lives.failed += 1);
        };
        let follower = self.follower();
        let stop = CancellationToken::new();
        let done = &self.done;
        let tell = |told: Told<'_>| {
            if let Told::Settled(settled) = told {
                done.lock().unwrap().add(&settled.total());
            }
        };
        let mut followed = pin!(follower.follow(&guard, &stop, &tell));
        let ended = loop {
            let most = if random.u8(..3) == 0 {
                20_000
            } else {
                1_800_000
            };
            tokio::select! {
                // A seed is to do the same again.
                biased;
                ended = &mut followed => break Some(ended),
                () = sleep(Duration::from_millis(random.u64(..most))) => {}
            }
            if self.is_down.get() {
                break None;
            }
            match random.u8(..4) {
                0 => break None,
                1 => {
                    self.count(|lives| lives.frozen += 1);
                    sleep(Duration::from_secs(random.u64(..2_000))).await;
                }
                2 => {
                    // Somebody begins another, and gives it up.
                    self.watched.switch_on(Watcher::Process).await;
                }
                _ => stop.cancel(),
            }
        };
        self.count(|lives| match ended {
            None => lives.killed += 1,
            Some(Ok(())) => lives.stopped += 1,
            Some(Err(error)) => match error.kind() {
                ErrorKind::Fenced => lives.fenced += 1,
                ErrorKind::NotRunning => lives.switched_off += 1,
                _ => lives.failed += 1,
            },
        });
    }

    /// Holds the claim against the table now and then, for ever.
    pub async fn check(&self, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed ^ 0xc4ec);
        loop {
            let most = if random.u8(..3) > 0 { 2_000 } else { 900_000 };
            sleep(Duration::from_millis(random.u64(..most))).await;
            let now_ms = self.watched.now_ms();
            let unseen = match random.bool() {
                true => self.oldest_unseen_ms().await,
                false => self.as_status_looks().await,
            };
            self.watched.check(None, now_ms, unseen).await;
        }
    }

    async fn happen(&self, event: Event, time: Duration, random: &mut fastrand::Rng) {
        let watched = &self.watched;
        match event {
            Event::Off | Event::OffAndMended => watched.switch_off().await,
            Event::MappingOff | Event::MappingDeleted | Event::NoLook => self.is_down.set(true),
            Event::Frozen => self.frost.set(true),
            Event::Stuck => watched.strike(Event::NoStream, random),
            event => watched.strike(event, random),
        }
        if time > LONG_PAUSE {
            self.pause.set(LONG_PAUSE);
        }
        watched.write_beside(event, time, random).await;
        watched.relent();
        self.frost.set(false);
        self.pause.set(PAUSE);
        if let Event::OffAndMended = event {
            run_to_the_end(&watched.world, random).await;
            if random.bool() {
                self.is_down.set(true);
                return self.switch_to_another_and_back(event, random).await;
            }
        }
        self.is_down.set(false);
        watched
            .switch_on_beside_counts(event, Watcher::Process, random)
            .await;
    }

    /// Waits until every record is seen.
    async fn drain(&self) {
        let begin = tokio::time::Instant::now();
        loop {
            sleep(Duration::from_secs(2)).await;
            if self.oldest_unseen_ms().await.is_none() {
                return;
            }
            assert!(begin.elapsed() < 4 * HOUR, "records are not seen");
        }
    }

    /// All of it.
    pub async fn script(&self, is_harmless: bool, random: &mut fastrand::Rng) {
        let watched = &self.watched;
        watched.switch_on(Watcher::Process).await;
        watched.prove(random).await;
        for _ in 0..random.u32(2..6) {
            let (event, mut time) = Event::any(is_harmless, random);
            // While a process watches, it reads every second: that is what takes long here.
            let is_quiet = matches!(
                event,
                Event::Off
                    | Event::MappingOff
                    | Event::MappingDeleted
                    | Event::NoLook
                    | Event::Frozen
            );
            let is_patient = matches!(
                event,
                Event::Refused | Event::NoRecords | Event::NoStream | Event::Stuck
            ) && random.u8(..4) == 0;
            if !is_quiet && !is_patient {
                time = time.min(Duration::from_secs(60));
            }
            self.happen(event, time, random).await;
            if random.bool() {
                sleep(Duration::from_secs(random.u64(..100))).await;
                watched.verify(random).await;
            }
        }
        watched.faults.calm_down();
        watched.world.faults.calm_down();
        self.drain().await;
        watched.assert_claim_stands(is_harmless).await;
        watched.prove(random).await;
        let writer = watched.write(random.u64(..), 30, Duration::from_secs(60));
        writer.await;
        self.drain().await;
        watched.assert_holds().await;
    }
}

impl Lives {
    pub fn add(&mut self, other: Lives) {
        self.killed += other.killed;
        self.frozen += other.frozen;
        self.fenced += other.fenced;
        self.switched_off += other.switched_off;
        self.failed += other.failed;
        self.stopped += other.stopped;
    }
}
