//! guarded: while the guard watches without a loss after a verification has found nothing, nothing is pending but what was written too
//! lately for it to be seen. Old and new writers are at work, and a backfill; the guard dies, is held up and switched off. By a thousand
//! seeds; `FAULT_SEED=<seed>` runs one of them alone.

mod function;
mod process;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use backfill_core::guard::{Claim, Guard, Looked, SwitchOn};
use backfill_core::ports::guard::{GuardReader as _, GuardStore as _};
use backfill_core::ports::{Asks, PageRequest, ReadAccess as _, TableReader as _};
use backfill_core::records::{GuardHour, GuardRecord, Loss, LossKind, Proof, Watcher};
use backfill_core::{ErrorKind, Item, Key, Request, Result, Spec, Value};
use backfill_simulation::MemoryStore;
use backfill_testkit::{
    Delivered, Faults, LiveWriter, MappingSettings, ModelMapping, ModelStore, ModelStream,
    ModelTable, Still, StreamSeen,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::seeds::{for_each_seed, run_to_the_end};
use crate::world::{World, in_virtual_time};
use function::Function;
use process::{ByProcess, Lives};

/// Seeds of streams.
const SEEDS: u64 = 1_000;

/// Items that are there at the beginning, and ids that writers work on.
const ITEMS: u64 = 30;
const IDS: u64 = 45;

/// When it all begins: 2026-01-01, in milliseconds since 1970.
const BEGIN_MS: u64 = 1_767_225_600_000;

const HOUR: Duration = Duration::from_secs(3_600);

/// What is written within this is not in the stream yet.
const LAG_MS: u64 = 1_000;

/// A table with a stream, a backfill of it, and what is durable of its guard.
struct Watched {
    world: World,
    stream: ModelStream,
    /// The faults of whoever guards.
    faults: Faults,
    guard: Guard<ModelTable, ModelStore>,
    /// The records as they are.
    still: MemoryStore<Still>,
    /// The records by the way of whoever switches the guard.
    operator: ModelStore,
    /// What brings a function its records.
    mapping: Option<ModelMapping>,
    /// When the last count began that has found nothing pending; in milliseconds since 1970.
    proof_ms: Cell<Option<u64>>,
    seen: RefCell<Seen>,
    /// What has happened: since when, in seconds since 1970, and for how long.
    story: RefCell<Vec<(u64, Event, Duration)>>,
}

/// What the claim was seen to be.
#[derive(Debug, Default)]
struct Seen {
    looks: u64,
    held: u64,
    /// Times that it did not hold any more, and that it held again.
    withdrawn: u64,
    regained: u64,
    held_before: bool,
    /// Looks at which it held while something was pending that was not seen yet.
    behind: u64,
}

impl Watched {
    fn new(seed: u64, random: &mut fastrand::Rng) -> Watched {
        let of_run = Faults::worst(seed, 0.1 * random.f64(), 0.05 * random.f64());
        let faults = Faults::worst(!seed, 0.1 * random.f64(), 0.05 * random.f64());
        let settings = format!(
            r#","total_segments":{},"max_passes":3,"time_box_seconds":{}"#,
            random.u32(1..5),
            random.u64(5..60)
        );
        let world = World::with_live_writers(of_run, ITEMS, &settings);
        world.table.set_clock(BEGIN_MS);
        let stream = ModelStream::of(&world.table, Faults::random(seed, 0.05, 0.05), seed);
        let guard = Guard {
            access: world.table.by(faults.clone()),
            store: world.store.by(faults.clone()),
        };
        Watched {
            still: world.store.by(Still),
            operator: world.store.by(Faults::worst(seed ^ 0x0be7, 0.1, 0.05)),
            stream,
            faults,
            guard,
            world,
            mapping: None,
            proof_ms: Cell::new(None),
            seen: RefCell::default(),
            story: RefCell::default(),
        }
    }

    fn now_ms(&self) -> u64 {
        self.world.table.now_ms()
    }

    /// Switches the guard on, for the first time or again, or takes it over.
    async fn switch_on(&self, watcher: Watcher) -> GuardRecord {
        let spec = self.world.request.spec.clone();
        self.switch_on_with(spec, watcher).await.unwrap()
    }

    /// The same with this change.
    async fn switch_on_with(&self, spec: Spec, watcher: Watcher) -> Result<GuardRecord> {
        let on = self.switch(spec, watcher).await;
        on.begin(&self.operator, || self.now_ms()).await
    }

    /// A guard that is to be on with this change.
    async fn switch(&self, spec: Spec, watcher: Watcher) -> SwitchOn {
        let table = self.world.table.by(Faults::none(1));
        SwitchOn {
            spec,
            keys: table.describe("stuff").await.unwrap().keys,
            stream_arn: self.stream.arn().into(),
            watcher,
            mapping: self.mapping.as_ref().and_then(function::found),
            stack: None,
            by: "a test".into(),
        }
    }

    /// Switches the guard on after an event. After one that counts, others count at that moment, beside writers.
    async fn switch_on_beside_counts(
        &self,
        event: Event,
        watcher: Watcher,
        random: &mut fastrand::Rng,
    ) {
        match event {
            Event::OffAndMended => {
                let counts = self.verify_beside_writers(random);
                tokio::join!(biased; self.switch_on(watcher), counts);
            }
            _ => drop(self.switch_on(watcher).await),
        }
    }

    async fn switch_off(&self) {
        let now_ms = self.now_ms();
        let mut record = self.record().await.expect("it was switched on");
        record.revision += 1;
        record.off_ms.get_or_insert(now_ms);
        self.still.save_guard(&record).await.unwrap();
    }

    async fn record(&self) -> Option<GuardRecord> {
        self.still.guard("stuff").await.unwrap()
    }

    async fn losses(&self) -> Vec<Loss> {
        self.record()
            .await
            .map_or(Vec::new(), |record| record.losses)
    }

    fn pending(&self) -> BTreeMap<Key, Item> {
        let mut items = self.world.table.items();
        items.retain(|_, item| is_pending(item));
        items
    }

    /// Counts the pending items page by page, while others write, and notes the begin of a count that has found none.
    async fn verify(&self, random: &mut fastrand::Rng) {
        sleep(Duration::from_millis(random.u64(..1_000))).await;
        let begin_ms = self.now_ms();
        let most_ms = if random.bool() { 20 } else { 2_000 };
        let table = self.world.table.by(Faults::none(random.u64(..)));
        let keys = table.describe("stuff").await.unwrap().keys;
        let reader = table.reader(self.world.request.spec.change(&keys));
        let (mut after, mut found) = (None, 0);
        loop {
            let request = PageRequest {
                segment: 0,
                total_segments: 1,
                after: after.as_ref(),
                limit: 5,
                consistent: true,
                asks: Asks::Sweep,
            };
            let page = reader.page(request).await.unwrap();
            found += page.pending.len();
            after = page.next;
            if after.is_none() {
                break;
            }
            sleep(Duration::from_millis(random.u64(..most_ms))).await;
        }
        if found == 0 {
            self.proof_ms.set(Some(begin_ms));
        }
    }

    /// What goes wrong with the items or the access to them.
    fn strike(&self, event: Event, random: &mut fastrand::Rng) {
        match event {
            Event::Refused => {
                let now = self.faults.steps();
                self.faults.fail_after(now, refused(random));
            }
            Event::NoRecords => self.faults.lose_records(refused(random)),
            Event::NoStream => self.faults.lose_stream(refused(random)),
            Event::Poisoned => {
                let poison = (0..IDS).filter(|_| random.u8(..4) == 0);
                self.world.table.poison(poison);
            }
            _ => {}
        }
    }

    /// Nothing goes wrong any more.
    fn relent(&self) {
        self.world.table.poison([]);
        self.faults.restart();
    }

    /// Writers are at work for about this time, and a backfill beside them.
    async fn write_beside(&self, event: Event, time: Duration, random: &mut fastrand::Rng) {
        let now_s = self.now_ms() / 1_000;
        self.story.borrow_mut().push((now_s, event, time));
        let operations = random.u64(3..25);
        let writer = self.write(random.u64(..), operations, time);
        match event {
            Event::Backfill => {
                let mut of_run = random.fork();
                tokio::join!(writer, run_to_the_end(&self.world, &mut of_run));
            }
            _ => writer.await,
        }
    }

    /// The claim holds, once somebody has looked again, without a count.
    async fn assert_holds(&self) {
        for _ in 0..90 {
            if self.holds(None).await {
                return;
            }
            sleep(Duration::from_secs(60)).await;
        }
        panic!("nothing has withdrawn the claim: {:?}", self.record().await);
    }

    /// Nothing was lost if nothing has happened that loses anything, and a loss is gone only after a count.
    async fn assert_claim_stands(&self, is_harmless: bool) {
        let losses = self.losses().await;
        if is_harmless {
            assert!(losses.is_empty(), "{losses:?}");
            self.assert_holds().await;
        }
        if let (Some(loss), Some(proof_ms)) = (losses.last(), self.proof_ms.get()) {
            let is_proven_since = proof_ms > loss.at_ms;
            assert!(is_proven_since || !self.holds(None).await, "{loss:?}");
        }
    }

    /// Verifies until nothing is found.
    async fn prove(&self, random: &mut fastrand::Rng) {
        for wait in 0..100 {
            if self.holds(None).await {
                return;
            }
            // If nobody has looked for long, that takes up to an hour.
            sleep(Duration::from_secs(wait.min(1) * 60)).await;
            run_to_the_end(&self.world, random).await;
            self.verify(random).await;
        }
        let (record, proof) = (self.record().await, self.proof_ms.get());
        panic!(
            "it cannot be proven: {record:?}, {proof:?}, {:?}",
            self.pending()
        );
    }

    /// Counts again and again while old writers are at work: what lies between a switch and a write is short.
    async fn verify_beside_writers(&self, random: &mut fastrand::Rng) {
        let writer = self.write(random.u64(..), 10, Duration::from_secs(20));
        let counts = async {
            for _ in 0..5 {
                self.verify(random).await;
            }
        };
        tokio::join!(writer, counts);
    }

    /// Whether the claim holds now, if somebody sees this trouble with what brings the records.
    async fn holds(&self, trouble: Option<String>) -> bool {
        let record = self.record().await;
        let proof = self.proof_ms.get().map(|began_ms| Proof {
            remaining: 0,
            scanned: 0,
            samples: Vec::new(),
            lacking: BTreeMap::new(),
            different: None,
            began_ms: Some(began_ms),
            at_ms: began_ms,
        });
        let looked = Looked {
            now_ms: self.now_ms(),
            trouble,
        };
        let fingerprint = self.world.request.spec.fingerprint();
        let claim = Claim::of(record.as_ref(), &fingerprint, proof.as_ref(), &looked);
        matches!(claim, Claim::Holds { .. })
    }

    /// Holds the claim against the table: whatever is pending was written after the oldest record that was not seen at that time, or
    /// too lately to be in the stream then.
    async fn check(&self, trouble: Option<String>, at_ms: u64, oldest_unseen_ms: Option<u64>) {
        let holds = self.holds(trouble).await;
        let record = self.record().await;
        let mut seen = self.seen.borrow_mut();
        seen.looks += 1;
        seen.held += u64::from(holds);
        seen.withdrawn += u64::from(seen.held_before && !holds);
        seen.regained += u64::from(!seen.held_before && holds && seen.withdrawn > 0);
        seen.held_before = holds;
        if !holds {
            return;
        }
        let now_ms = self.now_ms();
        let told_ms = oldest_unseen_ms.unwrap_or(at_ms).min(at_ms - LAG_MS);
        let changed_ms = self.stream.changed_ms();
        let pending = self.pending();
        seen.behind += u64::from(!pending.is_empty());
        for key in pending.keys() {
            let changed = changed_ms.get(key).copied().unwrap_or(0);
            assert!(
                changed >= told_ms - told_ms % 1_000,
                "the claim holds, and what was written until {} ms ago is said to be seen; {key} is pending since {} ms; now it is {} s, \
                 and this has happened: {:?}; {record:?}",
                now_ms - told_ms,
                now_ms - changed,
                now_ms / 1_000,
                self.story.borrow(),
            );
        }
    }

    /// Old and new writers do so many operations within about this time.
    fn write(&self, seed: u64, operations: u64, within: Duration) -> impl Future<Output = ()> {
        let writer = LiveWriter {
            table: self.world.table.clone(),
            seed,
            ids: IDS,
            creates_pending: true,
        };
        let every = within * 2 / u32::try_from(operations).unwrap();
        writer.work_by(operations, every, live)
    }

    /// After all writers have stopped, nothing seen is left: nothing is pending, what others have left is there and nothing else, and
    /// we have written no more often than somebody has left an item pending.
    fn assert_repaired(&self, before: &BTreeMap<Key, Item>) {
        let history = self.world.table.history();
        let mut expected = before.clone();
        for (key, left) in history {
            match left {
                Some(item) => expected.insert(key, item),
                None => expected.remove(&key),
            };
        }
        for item in expected.values_mut() {
            item.entry("test".into()).or_insert(Value::N("1".into()));
        }
        assert_eq!(self.world.table.items(), expected);
        let at_first = before.values().filter(|item| is_pending(item)).count() as u64;
        let left_pending = at_first + self.stream.count_left(is_pending);
        let ours: u64 = self.world.table.updates().values().sum();
        assert!(
            ours <= left_pending,
            "{ours} updates for {left_pending} pending items"
        );
    }
}

/// Stops what it is asked about in the middle of whatever it does, and lets it go on.
struct Frost(watch::Sender<bool>);

impl Default for Frost {
    fn default() -> Frost {
        Frost(watch::channel(false).0)
    }
}

impl Frost {
    /// It is frozen from now on, or no more.
    fn set(&self, is_frozen: bool) {
        self.0.send_replace(is_frozen);
    }

    /// Does this, but while it is frozen.
    async fn lets<T>(&self, go_on: impl Future<Output = T>) -> T {
        let mut go_on = pin!(go_on);
        let mut frozen = self.0.subscribe();
        loop {
            tokio::select! {
                // A seed is to do the same again.
                biased;
                _ = frozen.wait_for(|is_frozen| *is_frozen) => {}
                done = &mut go_on => return done,
            }
            let _ = frozen.wait_for(|is_frozen| !is_frozen).await;
        }
    }
}

/// How a call is refused for as long as it lasts: it may be tried again, or not.
fn refused(random: &mut fastrand::Rng) -> ErrorKind {
    let kinds = [
        ErrorKind::AccessDenied,
        ErrorKind::Unavailable,
        ErrorKind::Throttled,
    ];
    kinds[random.usize(..kinds.len())]
}

/// Another change, which finds nothing to do: what it has settled is as it was.
fn idle_change() -> Spec {
    let request = r#"{"table":"stuff","pending":"attribute_exists(never)",
        "update":"SET test = if_not_exists(test, :one)","values":{":one":1}}"#;
    Request::from_json(request).unwrap().spec
}

fn is_pending(item: &Item) -> bool {
    !item.contains_key("test")
}

/// What a live writer of old or new code does to an item.
fn live(random: &mut fastrand::Rng, n: u64, item: &mut Option<Item>) {
    let text = |what: &str| Value::S(format!("{what} {n}"));
    match (random.u8(..8), &mut *item) {
        (0, Some(item)) => drop(item.insert("test".into(), text("live"))),
        (1, Some(item)) => drop(item.insert("payload".into(), text("live"))),
        (2, item) => *item = None,
        // Old code replaces the item, as it knows it, or makes it anew.
        (3 | 4, item) => *item = Some(Item::from([("payload".into(), text("old"))])),
        (5, Some(item)) => drop(item.remove("test")),
        (6, item) => {
            *item = Some(Item::from([
                ("payload".into(), text("new")),
                ("test".into(), text("new")),
            ]));
        }
        _ => {}
    }
}

/// What happens to the guard for a time.
#[derive(Debug, Clone, Copy)]
enum Event {
    Nothing,
    /// The operator switches it off, and on again.
    Off,
    /// The same, and what was written meanwhile is mended before it is on, so that a count finds nothing at once.
    OffAndMended,
    /// Somebody switches the mapping off, and on again.
    MappingOff,
    /// Somebody deletes the mapping, and makes another.
    MappingDeleted,
    /// The mapping is on, and brings nothing.
    Stuck,
    /// Whoever guards stands still in the middle of it, and goes on.
    Frozen,
    /// The table refuses its writes; then it does not.
    Refused,
    /// The checkpoint table refuses its calls.
    NoRecords,
    /// The stream does.
    NoStream,
    /// The updates of some items are refused for good; then they are not.
    Poisoned,
    /// Nobody looks.
    NoLook,
    /// A backfill runs.
    Backfill,
}

impl Event {
    const ALL: [Event; 13] = [
        Event::Nothing,
        Event::Off,
        Event::OffAndMended,
        Event::MappingOff,
        Event::MappingDeleted,
        Event::Stuck,
        Event::Frozen,
        Event::Refused,
        Event::NoRecords,
        Event::NoStream,
        Event::Poisoned,
        Event::NoLook,
        Event::Backfill,
    ];

    /// Those after which nothing need be verified again, if they are short.
    const HARMLESS: [Event; 8] = [
        Event::Nothing,
        Event::Stuck,
        Event::Frozen,
        Event::Refused,
        Event::NoRecords,
        Event::NoStream,
        Event::NoLook,
        Event::Backfill,
    ];

    /// One of them, and how long it lasts.
    fn any(is_harmless: bool, random: &mut fastrand::Rng) -> (Event, Duration) {
        let event = match is_harmless {
            true => Event::HARMLESS[random.usize(..Event::HARMLESS.len())],
            false => Event::ALL[random.usize(..Event::ALL.len())],
        };
        let can_lose = !matches!(
            event,
            Event::Nothing | Event::OffAndMended | Event::Poisoned | Event::Backfill
        );
        let time = match random.u8(..4) {
            // Records are given up, and still there; then they are gone.
            0 if can_lose && !is_harmless => HOUR * random.u32(1..40),
            1 => Duration::from_secs(random.u64(1..3_600)),
            _ => Duration::from_secs(random.u64(1..60)),
        };
        (event, time)
    }
}

/// A seed of functions: Lambda brings the records.
struct ByFunctions {
    watched: Watched,
    mapping: ModelMapping,
    function: Function,
    /// Dead letters that were handled, and those that were lost.
    letters: RefCell<[u64; 2]>,
    /// Nobody looks.
    is_blind: Cell<bool>,
}

impl ByFunctions {
    fn new(seed: u64, random: &mut fastrand::Rng) -> ByFunctions {
        let mut watched = Watched::new(seed, random);
        let settings = MappingSettings {
            batch_size: random.usize(1..20),
            window: Duration::from_secs(1),
            bisects: random.bool(),
            reports: true,
            max_age: 12 * HOUR,
            timeout: function::TIMEOUT,
            kills: 50,
            repeats: 50,
        };
        let stream = watched.stream.by(watched.faults.clone());
        let function = Function::new(watched.guard.clone(), stream);
        let mapping = ModelMapping::new(watched.stream.clone(), settings, seed);
        watched.mapping = Some(mapping.clone());
        ByFunctions {
            mapping,
            watched,
            function,
            letters: RefCell::default(),
            is_blind: Cell::new(false),
        }
    }

    /// Looks once an hour, for ever.
    async fn look(&self) {
        loop {
            sleep(HOUR).await;
            if !self.is_blind.get() {
                self.function.look(&self.mapping).await;
            }
        }
    }

    /// What `status` sees of the mapping. It goes by the age of what is unseen as well, so the claim is true though nothing is brought, for
    /// as long as nobody need have looked.
    fn trouble(&self, sees_problems: bool) -> Option<String> {
        match self.mapping.described() {
            Some(one) if one.state == "Enabled" => {
                one.problem.filter(|_| sees_problems).map(Into::into)
            }
            _ => Some("the mapping is off".into()),
        }
    }

    /// Holds the claim against the table now and then, for ever.
    async fn check(&self, seed: u64) {
        let mut random = fastrand::Rng::with_seed(seed ^ 0xc4ec);
        loop {
            let most = if random.u8(..3) > 0 { 2_000 } else { 900_000 };
            sleep(Duration::from_millis(random.u64(..most))).await;
            let unseen = self.mapping.oldest_unseen_ms();
            let now_ms = self.watched.now_ms();
            let trouble = self.trouble(random.bool());
            self.watched.check(trouble, now_ms, unseen).await;
        }
    }

    /// One thing after the other happens, while writers are at work.
    async fn happen(&self, event: Event, time: Duration, random: &mut fastrand::Rng) {
        let watched = &self.watched;
        match event {
            Event::Off | Event::OffAndMended => {
                watched.switch_off().await;
                // Whoever is quick does not wait for the mapping.
                self.mapping.enable(random.bool());
            }
            Event::MappingOff => self.mapping.enable(false),
            Event::MappingDeleted => self.mapping.delete(),
            Event::Stuck => self.mapping.stick(true),
            Event::Frozen => self.function.frost.set(true),
            Event::NoLook => self.is_blind.set(true),
            event => watched.strike(event, random),
        }
        watched.write_beside(event, time, random).await;
        watched.relent();
        self.mapping.make_anew();
        self.mapping.enable(true);
        self.mapping.stick(false);
        self.function.frost.set(false);
        self.is_blind.set(false);
        if let Event::OffAndMended = event {
            let is_another = random.bool();
            if is_another {
                let another = watched.switch_on_with(idle_change(), Watcher::Function);
                another.await.unwrap();
                watched
                    .write(random.u64(..), 10, Duration::from_secs(20))
                    .await;
            }
            run_to_the_end(&watched.world, random).await;
            if is_another {
                watched.switch_off().await;
            }
        }
        watched
            .switch_on_beside_counts(event, Watcher::Function, random)
            .await;
    }

    /// Waits until every record is seen.
    async fn drain(&self) {
        let begin = Instant::now();
        loop {
            sleep(Duration::from_secs(2)).await;
            if self.mapping.oldest_unseen_ms().is_none() {
                return;
            }
            assert!(begin.elapsed() < HOUR, "records are not seen");
        }
    }

    /// All of it.
    async fn live(&self, is_harmless: bool, random: &mut fastrand::Rng) {
        let watched = &self.watched;
        watched.switch_on(Watcher::Function).await;
        watched.prove(random).await;
        for _ in 0..random.u32(3..8) {
            let (event, time) = Event::any(is_harmless, random);
            self.happen(event, time, random).await;
            if random.bool() {
                sleep(Duration::from_secs(random.u64(..600))).await;
                watched.verify(random).await;
            }
        }
        watched.faults.calm_down();
        watched.world.faults.calm_down();
        self.drain().await;
        watched.assert_claim_stands(is_harmless).await;
        watched.prove(random).await;
        // From here on nothing but the guard repairs.
        watched
            .write(random.u64(..), 30, Duration::from_secs(60))
            .await;
        self.drain().await;
        watched.assert_holds().await;
    }
}

/// guarded, never-overwrite, never-resurrect, only-U: by functions to which Lambda brings the records.
#[test]
fn guarded_by_functions_in_1000_seeds() {
    let tally = RefCell::new(Tally::default());
    for_each_seed(SEEDS, |seed| {
        backfill_testkit::in_virtual_time(seed, async {
            let mut random = fastrand::Rng::with_seed(seed);
            let by = ByFunctions::new(seed, &mut random);
            let before = by.watched.world.table.items();
            tokio::select! {
                // A seed is to do the same again.
                biased;
                () = by.live(seed % 3 == 0, &mut random) => {}
                () = by.mapping.work(&by.function) => {}
                () = by.function.handle_dead_letters(&by.mapping, &by.letters) => {}
                () = by.look() => {}
                () = by.check(seed) => {}
            }
            by.watched.assert_repaired(&before);
            let losses = by.watched.losses().await;
            let mut tally = tally.borrow_mut();
            tally.add_watched(&by.watched, losses);
            tally.done.add(&by.function.done.borrow());
            tally.delivered.add(by.mapping.delivered());
            let letters = by.letters.borrow();
            tally.letters[0] += letters[0];
            tally.letters[1] += letters[1];
        });
    });
    let tally = tally.into_inner();
    tally.assert_covered();
    let delivered = [
        tally.delivered.again / 100,
        tally.delivered.bisected,
        tally.delivered.reported / 100,
        tally.delivered.killed,
        tally.delivered.given_up,
        tally.delivered.too_late * 10,
        tally.delivered.expired,
        // Dead letters that were handled, and that came again.
        tally.letters[0],
        tally.letters[1],
    ];
    let lost = ["Dropped", "Failed", "Off", "Unwatched"];
    tally.assert_often(&delivered, &lost);
}

/// guarded, never-overwrite, never-resurrect, only-U: by processes that read the stream themselves.
#[test]
fn guarded_by_a_process_in_1000_seeds() {
    let tally = RefCell::new(Tally::default());
    let lives = RefCell::new(Lives::default());
    for_each_seed(SEEDS, |seed| {
        backfill_testkit::in_virtual_time(seed, async {
            let mut random = fastrand::Rng::with_seed(seed);
            let by = ByProcess::new(seed, &mut random);
            let before = by.watched.world.table.items();
            tokio::select! {
                // A seed is to do the same again.
                biased;
                () = by.script(seed % 3 == 0, &mut random) => {}
                () = by.work(seed) => {}
                () = by.check(seed) => {}
            }
            by.watched.assert_repaired(&before);
            let losses = by.watched.losses().await;
            let mut tally = tally.borrow_mut();
            tally.add_watched(&by.watched, losses);
            tally.done.add(&by.done.lock().unwrap());
            lives.borrow_mut().add(by.lives.get());
        });
    });
    let (tally, lives) = (tally.into_inner(), lives.into_inner());
    tally.assert_covered();
    let ended = [
        lives.killed,
        lives.frozen,
        lives.fenced,
        lives.switched_off,
        lives.failed,
        lives.stopped,
    ];
    let lost = ["Trimmed", "Failed", "Off", "Unwatched"];
    tally.assert_often(&ended, &lost);
}

/// An update that leaves its item pending would be sent for ever, since each one has a record of its own.
#[test]
fn guarded_ends_after_one_write_that_leaves_an_item_pending() {
    in_virtual_time(async {
        let mut by = ByFunctions::new(1, &mut fastrand::Rng::with_seed(1));
        by.watched.faults.calm_down();
        by.watched.world.request = Request::from_json(
            r#"{"table":"stuff","pending":"attribute_exists(payload)",
                "update":"SET touched = if_not_exists(touched, :zero) + :one","values":{":zero":0,":one":1}}"#,
        )
        .unwrap();
        let watched = &by.watched;
        let script = async {
            watched.switch_on(Watcher::Function).await;
            watched.write(1, 20, Duration::from_millis(20)).await;
            sleep(HOUR).await;
        };
        tokio::select! {
            // A seed is to do the same again.
            biased;
            () = script => {}
            () = by.mapping.work(&by.function) => {}
        }
        assert!(by.mapping.delivered().records >= 10);
        let record = watched.record().await.unwrap();
        assert!(!record.is_on(), "{record:?}");
        let kinds: Vec<LossKind> = record.losses.iter().map(|loss| loss.kind).collect();
        assert_eq!(kinds, [LossKind::Off]);
        assert_eq!(watched.world.table.updates().values().sum::<u64>(), 1);
    });
}

/// How often each thing has happened, in all seeds.
#[derive(Debug, Default)]
struct Tally {
    seen: Seen,
    stream: StreamSeen,
    delivered: Delivered,
    done: GuardHour,
    losses: BTreeMap<String, u64>,
    letters: [u64; 2],
}

impl Tally {
    /// Whatever can happen to streams, items and claims has happened many times.
    fn assert_covered(&self) {
        let often = [
            self.seen.held / 100,
            self.seen.withdrawn,
            self.seen.regained,
            self.seen.behind / 10,
            self.stream.removed / 100,
            self.stream.splits / 10,
            self.stream.rollovers / 10,
            self.stream.trimmed / 10,
            self.stream.expired,
            self.stream.too_late,
            self.stream.empty_pages / 100,
            self.done.repaired / 100,
            self.done.raced / 10,
            self.done.vanished,
            self.done.failed,
        ];
        self.assert_often(&often, &[]);
    }

    /// Each of these, and of these kinds of losses, was there; not asked of a single seed.
    fn assert_often(&self, counts: &[u64], losses: &[&str]) {
        if std::env::var("FAULT_SEED").is_ok() {
            return;
        }
        let is_often = counts.iter().all(|count| *count >= 10);
        let are_all = losses.iter().all(|kind| self.losses.contains_key(*kind));
        assert!(is_often && are_all, "{counts:?}: {self:#?}");
    }

    fn add_watched(&mut self, watched: &Watched, losses: Vec<Loss>) {
        for loss in losses {
            *self.losses.entry(format!("{:?}", loss.kind)).or_default() += 1;
        }
        let seen = watched.seen.borrow();
        self.seen.looks += seen.looks;
        self.seen.held += seen.held;
        self.seen.withdrawn += seen.withdrawn;
        self.seen.regained += seen.regained;
        self.seen.behind += seen.behind;
        self.stream.add(watched.stream.seen());
    }
}
