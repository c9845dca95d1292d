//! computed: a value of ours was computed from the sources that stood beside it when it was written; and what the other promises
//! say of changes that read items.

use std::collections::BTreeMap;
use std::time::Duration;

use backfill_core::ErrorKind;
use backfill_core::engine::verifier::VerifyRequest;
use backfill_core::ports::{CheckpointReader as _, LookBy};
use backfill_core::records::{Counters, Different, Owner, RunStatus};
use backfill_core::view::cost::Prices;
use backfill_core::view::progress::{Summary, snapshot};
use backfill_core::{Item, Key, Request, Value};
use backfill_testkit::{Faults, LiveWriter, ModelStore, ModelTable, StoreTransit};
use tokio_util::sync::CancellationToken;

use crate::world::{World, assert_accounted, in_virtual_time};

fn text(text: impl Into<String>) -> Value {
    Value::S(text.into())
}

fn number(number: u64) -> Value {
    Value::N(number.to_string())
}

/// A change that computes values, and what it means, told without the language of templates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Case {
    /// One target that is missing, of two sources.
    Missing,
    /// Two targets of which one is missing, of a source that may be missing and one within a map.
    Several,
    /// A text that becomes a number in its place.
    Replace,
    /// A target that is to be what its sources give, whatever it was.
    Converge,
    /// Two such targets.
    ConvergeSeveral,
}

impl Case {
    pub const ALL: [Case; 5] = [
        Case::Missing,
        Case::Several,
        Case::Replace,
        Case::Converge,
        Case::ConvergeSeveral,
    ];

    /// True if it replaces what others have set.
    fn converges(self) -> bool {
        matches!(self, Case::Converge | Case::ConvergeSeveral)
    }

    pub fn request(self, settings: &str) -> Request {
        let one = r#""t":"${s|lower}#${nick|default(\"-\")}""#;
        let several = format!(r#"{one},"u":"${{m.x|size}}""#);
        let change = match self {
            Case::Missing => r#""compute":{"t":"${s|lower}#${n}"}"#.to_owned(),
            Case::Several => format!(r#""compute":{{{several}}}"#),
            Case::Replace => r#""compute":{"n":"${n|number}"},"pending":"attribute_type(n, :s)","values":{":s":"S"}"#.to_owned(),
            Case::Converge => format!(r#""compute":{{{one}}},"mode":"converge""#),
            Case::ConvergeSeveral => format!(r#""compute":{{{several}}},"mode":"converge""#),
        };
        Request::from_json(&format!(r#"{{"table":"stuff",{change}{settings}}}"#)).unwrap()
    }

    /// What the targets of an item are to be; `None` if a source is missing that must be there.
    fn values(self, item: &Item) -> Option<Item> {
        let of_text = |name: &str| match item.get(name) {
            Some(Value::S(text)) => Some(text.clone()),
            _ => None,
        };
        let nick = of_text("nick").unwrap_or_else(|| "-".into());
        let t = |behind: String| Some(text(format!("{}#{behind}", of_text("s")?.to_lowercase())));
        let u = || match item.get("m") {
            Some(Value::M(inside)) => match inside.get("x") {
                Some(Value::S(text)) => Some(number(text.len() as u64)),
                _ => None,
            },
            _ => None,
        };
        let (t_name, u_name) = ("t".to_owned(), "u".to_owned());
        match self {
            Case::Missing => match item.get("n") {
                Some(Value::N(n)) => Some(Item::from([(t_name, t(n.clone())?)])),
                _ => None,
            },
            Case::Several | Case::ConvergeSeveral => {
                Some(Item::from([(t_name, t(nick)?), (u_name, u()?)]))
            }
            Case::Converge => Some(Item::from([(t_name, t(nick)?)])),
            Case::Replace => of_text("n").map(|n| Item::from([("n".to_owned(), Value::N(n))])),
        }
    }

    /// An item when it is migrated.
    pub fn migrated(self, item: &Item) -> Item {
        let mut migrated = item.clone();
        for (name, value) in self.values(item).unwrap_or_default() {
            if self.converges() || self == Case::Replace || !item.contains_key(&name) {
                migrated.insert(name, value);
            }
        }
        migrated
    }

    pub fn is_pending(self, item: &Item) -> bool {
        self.migrated(item) != *item
    }

    /// Items of which most are pending, and others are so by no mode, or by one.
    fn item(self, id: u64) -> Item {
        let mut item = ModelTable::key(id).0;
        let mut insert = |name: &str, value| item.insert(name.to_owned(), value);
        insert("payload", text(format!("original {id}")));
        if id % 10 != 7 {
            insert("s", text(format!("State {id}")));
        }
        insert(
            "n",
            match self == Case::Replace && !id.is_multiple_of(5) {
                true => text(id.to_string()),
                false => number(id),
            },
        );
        if id % 11 != 5 {
            let inside = text("x".repeat(id as usize % 7));
            insert("m", Value::M([("x".to_owned(), inside)].into()));
        }
        if id % 2 == 1 {
            insert("nick", text(format!("nick {id}")));
        }
        if id.is_multiple_of(4) {
            insert("u", text("old"));
        }
        match id % 10 {
            8 | 9 => _ = insert("t", text("set before")),
            // That is what it should be.
            6 => _ = insert("t", text(format!("state {id}#-"))),
            _ => {}
        }
        item
    }

    /// Makes of an item one of which nothing can be computed, though the sources are there.
    pub fn spoil(self, item: &mut Item) {
        match self {
            Case::Replace => item.insert("n".into(), text("no number")),
            _ => item.insert("s".into(), Value::Bool(true)),
        };
    }

    /// Makes it one again of which something can.
    pub fn mend(self, item: &mut Item) {
        match self {
            Case::Replace if item.get("n") == Some(&text("no number")) => {
                item.insert("n".into(), text("77"));
            }
            Case::Replace => {}
            _ if item.get("s") == Some(&Value::Bool(true)) => {
                item.insert("s".into(), text("Mended"));
            }
            _ => {}
        }
    }

    /// Whether an item is found pending, and something is computed, or would be if it were not spoilt.
    pub fn is_found(self, item: &Item) -> bool {
        let mut mended = item.clone();
        self.mend(&mut mended);
        self.is_pending(&mended)
    }

    /// A table with so many items, and a run that no live writer disturbs. A crash leaves no gap: the store holds each checkpoint
    /// against the table.
    pub fn world(self, faults: Faults, items: u64, settings: &str) -> World {
        self.world_with_spoilt(faults, items, &[], settings)
    }

    /// As [`Case::world`], and these items are spoilt.
    pub fn world_with_spoilt(
        self,
        faults: Faults,
        items: u64,
        spoilt: &[u64],
        settings: &str,
    ) -> World {
        let item = |id| {
            let mut item = self.item(id);
            if spoilt.contains(&id) {
                self.spoil(&mut item);
            }
            item
        };
        let table = ModelTable::of(faults.clone(), (0..items).map(item));
        let store = ModelStore::new(StoreTransit::with_witness(faults.clone(), &table));
        World::of(faults, table, store, self.request(settings))
    }

    /// As [`Case::world`], with live writers.
    pub fn live_world(self, faults: Faults, items: u64, settings: &str) -> World {
        let table = ModelTable::of(faults.clone(), (0..items).map(|id| self.item(id)));
        let store = ModelStore::new(faults.clone());
        World::of(faults, table, store, self.request(settings))
    }

    /// A live writer that works on these ids of a table: it changes sources, sets and removes targets, deletes and creates.
    pub async fn work(
        self,
        table: ModelTable,
        seed: u64,
        ids: u64,
        operations: u64,
        every: Duration,
    ) {
        let writer = LiveWriter {
            table,
            seed,
            ids,
            creates_pending: true,
        };
        let operation = |random: &mut fastrand::Rng, n: u64, item: &mut Option<Item>| {
            self.operate(random, n, item);
        };
        writer.work_by(operations, every, operation).await;
    }

    fn operate(self, random: &mut fastrand::Rng, n: u64, item: &mut Option<Item>) {
        let what = random.u8(..10);
        if item.is_none() && what != 0 {
            return;
        }
        let live = text(format!("Live {n}"));
        let of_n = match self == Case::Replace && random.u8(..3) != 0 {
            true => text(n.to_string()),
            false => number(n),
        };
        let of_m = Value::M([("x".to_owned(), text("y".repeat(n as usize % 9)))].into());
        let there = item.get_or_insert_default();
        let mut insert = |name: &str, value| _ = there.insert(name.to_owned(), value);
        match what {
            0 => {
                *item = Some(self.item(random.u64(..1_000)));
                // It gets a key of its own.
                item.get_or_insert_default()
                    .retain(|name, _| name != "id" && name != "created");
            }
            1 => *item = None,
            2 | 3 => insert("s", live),
            4 => insert("n", of_n),
            5 => insert("m", of_m),
            6 if n.is_multiple_of(2) => insert("nick", live),
            6 => _ = there.remove("nick"),
            7 => insert("t", live),
            8 => _ = there.remove("t"),
            _ => insert("payload", live),
        }
    }

    /// computed, only-U: each write of ours met an item that was pending, and left what its sources gave at that moment, and
    /// nothing else, as it was.
    #[track_caller]
    pub fn assert_computed(self, world: &World) {
        for (before, after) in world.table.made_over() {
            assert!(self.is_pending(&before), "{self:?}: {before:?} was touched");
            assert_eq!(after, self.migrated(&before), "{self:?}: of {before:?}");
        }
    }

    /// never-overwrite, never-resurrect: each item is what was there `before`, or what a live writer left of it, migrated.
    #[track_caller]
    pub fn assert_migrated(self, world: &World, before: &BTreeMap<Key, Item>) {
        self.assert_computed(world);
        let mut expected = before.clone();
        for (key, left) in world.table.history() {
            match left {
                Some(item) => _ = expected.insert(key, item),
                None => _ = expected.remove(&key),
            }
        }
        for item in expected.values_mut() {
            *item = self.migrated(item);
        }
        assert_eq!(world.table.items(), expected, "{self:?}");
    }

    /// Keys of items that have another value than their sources give; `None` if that is not told.
    fn different(self, world: &World) -> Option<Vec<Key>> {
        if self == Case::Replace {
            return None;
        }
        let items = world.table.items().into_iter();
        let differs = |item: &Item| {
            let mut mended = item.clone();
            self.mend(&mut mended);
            // No value is that of sources that give none.
            let is_spoilt = mended != *item;
            let values = self.values(&mended).unwrap_or_default();
            let mut values = values.iter();
            values.any(|(name, value)| is_spoilt || item.get(name).is_some_and(|now| now != value))
        };
        let different = items.filter(|(_, item)| !self.is_found(item) && differs(item));
        Some(different.map(|(key, _)| key).collect())
    }

    /// proof: nothing remains, and so many values are others than their sources give.
    pub async fn assert_proven(self, world: &World) {
        let summary = summary(world).await;
        assert_eq!(summary.remaining, Some(0), "{self:?}");
        let different = self.different(world);
        let items = different.as_ref().map(|keys| keys.len() as u64);
        assert_eq!(summary.different, items, "{self:?}");
        let different = different.unwrap_or_default();
        let samples = &summary.different_samples;
        assert_eq!(
            samples.len(),
            different.len().min(Different::MOST_SAMPLES),
            "{self:?}"
        );
        assert!(samples.iter().all(|key| different.contains(key)));
    }
}

async fn summary(world: &World) -> Summary {
    let snapshot = snapshot(&world.store, &world.request.run_id()).await;
    snapshot.unwrap().unwrap().summary(&Prices::default())
}

/// The counters of each segment of each pass, summed up.
async fn of_segments(world: &World) -> Counters {
    let run = world.record().await;
    let mut sum = Counters::default();
    for pass in 1..=run.pass {
        for shard in 0..run.shards {
            for segment in world.store.segments(&run, pass, shard).await.unwrap() {
                assert_accounted(&segment.counters);
                sum += segment.counters;
            }
        }
    }
    sum
}

/// computed, never-overwrite, never-resurrect, only-U, proof: live writers change the sources, set and remove the targets, delete and
/// create items while the run goes on, in every mode.
#[test]
fn computed_from_what_stood_beside_it_with_live_writers() {
    let mut sum = Counters::default();
    for seed in 0..16 {
        for case in Case::ALL {
            in_virtual_time(async {
                let mut random = fastrand::Rng::with_seed(seed);
                let settings = format!(
                    r#","total_segments":{},"max_passes":50,"writer":"{}""#,
                    random.u32(1..9),
                    if seed % 3 == 0 {
                        "update-item"
                    } else {
                        "batch"
                    }
                );
                let faults = Faults::random(seed, 0.2 * random.f64(), 0.1 * random.f64());
                let world = case.live_world(faults, 80, &settings);
                let before = world.table.items();
                let every = Duration::from_millis(4);
                let live = case.work(world.table.clone(), !seed, 120, 1_000, every);
                let (ended, ()) = tokio::join!(world.run(), live);
                ended.unwrap();
                // The writers may have outlived the first run; this one meets a quiet table.
                tokio::time::sleep(Duration::from_secs(2)).await;
                world.faults.calm_down();
                assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
                case.assert_migrated(&world, &before);
                case.assert_proven(&world).await;
                assert_accounted(&of_segments(&world).await);
                let counters = world.counters().await;
                assert_accounted(&counters);
                sum += counters;
            });
        }
    }
    assert!(sum.raced > 0 && sum.vanished > 0, "{sum:?}");
}

/// computed, no-gap, resume: the process dies at every step of a run, and is started again.
#[test]
fn computed_after_a_crash_at_every_step() {
    const ITEMS: u64 = 12;
    const SETTINGS: &str = r#","total_segments":2"#;
    for case in Case::ALL {
        let undisturbed = in_virtual_time(async {
            let world = case.world(Faults::none(7), ITEMS, SETTINGS);
            world.run().await.unwrap();
            world.faults.steps()
        });
        assert!(undisturbed > 50, "a run has many steps: {undisturbed}");
        for step in 1..=undisturbed {
            in_virtual_time(async {
                let world = case.world(Faults::none(7), ITEMS, SETTINGS);
                let before = world.table.items();
                world.faults.crash_at(step);
                tokio::select! {
                    result = world.run() => panic!("did not crash at step {step}: {result:?}"),
                    () = world.faults.crashed() => {}
                }
                world.faults.restart();
                assert_eq!(
                    world.run().await.unwrap(),
                    RunStatus::Succeeded,
                    "step {step}"
                );
                case.assert_migrated(&world, &before);
                case.assert_proven(&world).await;
                let updates = world.table.updates();
                assert!(updates.values().all(|&count| count == 1), "step {step}");
                let counters = world.counters().await;
                assert_accounted(&counters);
                assert!(counters.updated <= updates.len() as u64);
            });
        }
    }
}

/// What a live writer does to an item right before our write of it.
fn strike(case: Case, world: &World, id: u64, times: u32) {
    let mut n = 0;
    world.table.strike_before_writes(id, times, move |item| {
        n += 1;
        let item = item.as_mut().expect("it is there");
        match case {
            Case::Replace => item.insert("n".into(), text((7_000 + n).to_string())),
            _ => item.insert("s".into(), text(format!("Struck {n}"))),
        };
    });
}

/// Ids that are pending in every case.
const PENDING: [u64; 4] = [1, 2, 3, 13];

/// computed, proof: of a map and a value inside it, a sweep brings along the map, and the guard compares it, since DynamoDB takes no two
/// paths of which one leads into the other.
#[test]
fn computed_from_a_map_and_a_value_inside_it() {
    let expected = |item: &Item| match &item["m"] {
        Value::M(inside) => match &inside["x"] {
            Value::S(x) => text(format!("{x}/{}", inside.len())),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    for mode in ["missing", "converge"] {
        for times in [0, 1] {
            in_virtual_time(async {
                let faults = Faults::none(5);
                let item = |id| {
                    let mut item = ModelTable::key(id).0;
                    let inside = [("x", text("x".repeat(id as usize % 5))), ("y", number(id))];
                    let inside = inside.map(|(name, value)| (name.to_owned(), value));
                    item.insert("m".into(), Value::M(inside.into()));
                    item
                };
                let table = ModelTable::of(faults.clone(), (0..30).map(item));
                let json = format!(
                    r#"{{"table":"stuff","compute":{{"t":"${{m.x}}/${{m|size}}"}},"mode":"{mode}","total_segments":2,"max_passes":1}}"#
                );
                let request = Request::from_json(&json).unwrap();
                let world = World::of(faults.clone(), table, ModelStore::new(faults), request);
                for id in PENDING {
                    // The value inside stays as it was.
                    world.table.strike_before_writes(id, times, |item| {
                        if let Some(Value::M(inside)) = item.as_mut().unwrap().get_mut("m") {
                            inside.insert("z".into(), number(1));
                        }
                    });
                }
                assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded, "{mode}");
                let items = world.table.items();
                let wrong = items.values().find(|item| item["t"] != expected(item));
                assert_eq!(wrong, None, "{mode} {times}");
                let seen = summary(&world).await;
                assert_eq!((seen.remaining, seen.different), (Some(0), Some(0)));
                assert_eq!(world.counters().await.updated, 30, "{mode} {times}");
            });
        }
    }
}

/// computed, accounting: what has moved is computed again from what is there, three times, in the same pass, wherever in its segment
/// the item is and however it is written. What moves a fourth time is contended in segments, sums and run, and the next pass
/// migrates it.
#[test]
fn computed_again_three_times_and_contended_behind_that() {
    for case in Case::ALL {
        for writer in ["batch", "update-item"] {
            for segments in [1, 3, 80] {
                for (times, contended) in [(1, 0), (3, 0), (4, PENDING.len() as u64)] {
                    in_virtual_time(async {
                        let what = format!("{case:?} {writer} {segments} {times}");
                        let settings = format!(
                            r#","total_segments":{segments},"max_passes":2,"writer":"{writer}""#
                        );
                        let world = case.live_world(Faults::none(3), 40, &settings);
                        let before = world.table.items();
                        let pending = before.values().filter(|item| case.is_pending(item)).count();
                        for id in PENDING {
                            strike(case, &world, id, times);
                        }
                        assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded, "{what}");
                        case.assert_migrated(&world, &before);
                        assert_eq!(world.table.updates().len(), pending, "{what}");
                        let counters = world.counters().await;
                        assert_accounted(&counters);
                        assert_eq!(
                            (counters.contended, counters.updated),
                            (contended, pending as u64),
                            "{what}"
                        );
                        // The second pass may find what the first has just written as it was before.
                        assert!(counters.raced == 0 || contended > 0, "{what}");
                        let of_segments = of_segments(&world).await;
                        assert_eq!(of_segments.contended, contended, "{what}");
                        let summary = summary(&world).await;
                        assert_eq!(
                            (summary.contended, summary.passes),
                            (contended, 1 + u32::from(contended > 0)),
                            "{what}"
                        );
                    });
                }
            }
        }
    }
}

/// honest-end: contended items that no pass is left for remain, and the run says so.
#[test]
fn honest_end_with_items_that_stay_contended() {
    in_virtual_time(async {
        let case = Case::Missing;
        let settings = r#","total_segments":2,"max_passes":2"#;
        let world = case.live_world(Faults::none(3), 40, settings);
        for id in PENDING {
            strike(case, &world, id, 1_000);
        }
        assert_eq!(world.run().await.unwrap(), RunStatus::Incomplete);
        case.assert_computed(&world);
        let summary = summary(&world).await;
        assert_eq!(
            (summary.contended, summary.remaining),
            (2 * PENDING.len() as u64, Some(PENDING.len() as u64))
        );
        assert_accounted(&world.counters().await);
        let arrived = world.table.arrived();
        // Four times in each pass.
        assert_eq!(arrived[&ModelTable::key(1)], 8);
    });
}

/// never-overwrite, never-resurrect, accounting: what a live writer has set or deleted between our read and our write stays so. In
/// converge a target that was set to something else is computed again, since what is there is what was decided on.
#[test]
fn computed_values_give_way_to_live_writers() {
    type Strike = fn(&mut Option<Item>);
    type Count = fn(&Counters) -> u64;
    let set: Strike = |item| _ = item.as_mut().unwrap().insert("t".into(), text("live"));
    let made: Strike = |item| {
        let item = item.as_mut().unwrap();
        let right = Case::Converge.migrated(item);
        *item = right;
    };
    let delete: Strike = |item| *item = None;
    let lose: Strike = |item| _ = item.as_mut().unwrap().remove("s");
    let cases: [(Case, Strike, Count); 7] = [
        (Case::Missing, set, |counters| counters.raced),
        (Case::Missing, lose, |counters| counters.raced),
        (Case::Missing, delete, |counters| counters.vanished),
        (Case::Converge, made, |counters| counters.raced),
        (Case::Converge, lose, |counters| counters.raced),
        (Case::Converge, delete, |counters| counters.vanished),
        (Case::Replace, delete, |counters| counters.vanished),
    ];
    for (nth, (case, strike, count)) in cases.into_iter().enumerate() {
        for writer in ["batch", "update-item"] {
            in_virtual_time(async {
                let settings = format!(r#","total_segments":2,"writer":"{writer}""#);
                let world = case.live_world(Faults::none(3), 40, &settings);
                let before = world.table.items();
                for id in PENDING {
                    world.table.strike_before_writes(id, 1, strike);
                }
                assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
                case.assert_migrated(&world, &before);
                let counters = world.counters().await;
                assert_accounted(&counters);
                let what = format!("{nth} {case:?} {writer} {counters:?}");
                assert_eq!((count(&counters), counters.contended), (4, 0), "{what}");
                for id in PENDING {
                    let updates = world.table.updates();
                    assert!(!updates.contains_key(&ModelTable::key(id)), "{what}");
                }
            });
        }
    }
}

/// Items of which some cannot be computed: a truth value has no lower case.
fn with_items_that_cannot_be_computed(
    items: u64,
    is_wrong: fn(u64) -> bool,
    settings: &str,
) -> World {
    let faults = Faults::none(4);
    let item = |id| {
        let mut item = ModelTable::key(id).0;
        item.insert(
            "s".into(),
            if is_wrong(id) {
                Value::Bool(true)
            } else {
                text("A")
            },
        );
        item
    };
    let table = ModelTable::of(faults.clone(), (0..items).map(item));
    let store = ModelStore::new(faults.clone());
    let json = format!(r#"{{"table":"stuff","compute":{{"t":"${{s|lower}}"}}{settings}}}"#);
    World::of(faults, table, store, Request::from_json(&json).unwrap())
}

/// accounting: what cannot be computed is rejected before any write, with function and reason, and costs nothing. When its source is
/// mended, it can be tried again.
#[test]
fn accounting_of_items_that_cannot_be_computed() {
    for writer in ["batch", "update-item"] {
        in_virtual_time(async {
            let settings = format!(r#","total_segments":3,"max_passes":1,"writer":"{writer}""#);
            let world = with_items_that_cannot_be_computed(200, |id| id % 8 == 3, &settings);
            assert_eq!(world.run().await.unwrap(), RunStatus::Incomplete);
            let counters = world.counters().await;
            assert_accounted(&counters);
            assert_eq!((counters.updated, counters.rejected), (175, 25));
            // Two units for the look at the first item of each segment.
            assert_eq!(counters.consumed_wcu, 175.0 + 3.0 * 2.0);
            let run = world.record().await;
            let rejected = world.rejected(&run).await;
            assert_eq!(rejected.len(), 25);
            let arrived = world.table.arrived();
            assert_eq!(arrived.len(), 175);
            for item in &rejected {
                for words in ["t cannot be computed", "lower", "BOOL"] {
                    assert!(item.reason.contains(words), "{}", item.reason);
                }
                assert!(!arrived.contains_key(&item.key), "{}", item.key);
            }
            let seen = summary(&world).await;
            assert_eq!((seen.remaining, seen.different), (Some(25), Some(0)));

            let mender = LiveWriter {
                table: world.table.clone(),
                seed: 5,
                ids: 200,
                creates_pending: true,
            };
            let mend = |_: &mut fastrand::Rng, _: u64, item: &mut Option<Item>| {
                if let Some(item) = item
                    && item["s"] == Value::Bool(true)
                {
                    item.insert("s".into(), text("Mended"));
                }
            };
            mender.work_by(3_000, Duration::ZERO, mend).await;
            let again = world.retry_rejected().await.unwrap();
            assert_eq!((again.updated, again.rejected.len()), (25, 0));
            assert_eq!(world.record().await.status, RunStatus::Succeeded);
            assert_accounted(&world.counters().await);
            let values = world.table.items().into_values();
            let mended = values.filter(|item| item["t"] == text("mended"));
            assert_eq!(mended.count(), 25);
        });
    }
}

/// accounting: what is recorded of a rejected item is its key and the reason, of which nothing is the item's own, whatever its function
/// quotes of it. Nor does the error of a run that ends for such items say it.
#[test]
fn accounting_of_rejected_items_without_what_is_in_them() {
    const OWN: &str = "ada@example.org";
    for (template, expected) in [
        (
            "${s|number}",
            r#"t cannot be computed: number: "…" is not a number"#,
        ),
        (
            "${s|split(\"@\", 7)}",
            r#"t cannot be computed: split: there is no part at "…"; the text has "…""#,
        ),
    ] {
        for all in [false, true] {
            in_virtual_time(async {
                let faults = Faults::none(4);
                let item = |id| {
                    let mut item = ModelTable::key(id).0;
                    let is_wrong = all || id % 8 == 3;
                    let s = match (is_wrong, template.contains("number")) {
                        (true, _) => text(OWN),
                        (false, true) => text("7"),
                        (false, false) => text("@@@@@@@x"),
                    };
                    item.insert("s".into(), s);
                    item
                };
                let table = ModelTable::of(faults.clone(), (0..80).map(item));
                let store = ModelStore::new(faults.clone());
                let compute = serde_json::json!({
                    "table": "stuff", "compute": {"t": template}, "total_segments": 2, "max_passes": 1,
                });
                let request = Request::from_json(&compute.to_string()).unwrap();
                let world = World::of(faults, table, store, request);
                match (world.run().await, all) {
                    (Ok(RunStatus::Incomplete), false) => {}
                    (Err(error), true) => {
                        let error = error.to_string();
                        assert!(error.contains(expected) && !error.contains(OWN), "{error}");
                    }
                    (ended, _) => panic!("{ended:?}"),
                }
                let rejected = world.rejected(&world.record().await).await;
                assert!(rejected.len() >= 10, "{}", rejected.len());
                for item in rejected {
                    assert_eq!(item.reason, expected);
                }
            });
        }
    }
}

/// honest-end: if the first 25 items cannot be computed, the run ends and says that it is what is computed that is wrong.
#[test]
fn honest_end_if_nothing_can_be_computed() {
    in_virtual_time(async {
        let settings = r#","total_segments":3"#;
        let world = with_items_that_cannot_be_computed(200, |_| true, settings);
        let error = world.run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooManyRejected, "{error}");
        for words in [
            "first 25 items",
            "t cannot be computed: lower",
            "change compute",
            "item-",
        ] {
            assert!(error.to_string().contains(words), "{error}");
        }
        assert_eq!(world.table.arrived().len(), 0);
        assert_eq!(world.record().await.status, RunStatus::Failed);
        assert_accounted(&world.counters().await);
    });
}

/// proof: a verification that its time box interrupts again and again comes to the same numbers: what remains, and how many values
/// are others than their sources give, with sample keys.
#[test]
fn proof_of_values_after_many_time_boxes() {
    for case in Case::ALL {
        in_virtual_time(async {
            let settings = r#","total_segments":20,"time_box_seconds":1"#;
            let world = case.world(Faults::random(9, 0.1, 0.05), 2_000, settings);
            let plan = world.begin("first").await;
            let mut verification = plan.verification;
            let mut rounds = 0;
            while !verification.done {
                assert_eq!(verification.told_different(), None, "it is not whole yet");
                let request = VerifyRequest {
                    run_id: plan.run_id.clone(),
                    pass: 1,
                    owner: Owner::from("first"),
                    // Its state goes through JSON, as in Step Functions.
                    verification: serde_json::from_str(
                        &serde_json::to_string(&verification).unwrap(),
                    )
                    .unwrap(),
                };
                let verifier = world.verifier();
                let never = CancellationToken::new();
                verification = verifier.verify(request, None, &never).await.unwrap();
                rounds += 1;
                assert!(rounds < 1_000);
            }
            assert!(rounds > 2, "{case:?}");
            let items = world.table.items();
            let pending: Vec<_> = items
                .iter()
                .filter(|(_, item)| case.is_pending(item))
                .collect();
            assert_eq!(
                (verification.scanned, verification.remaining),
                (2_000, pending.len() as u64),
                "{case:?}"
            );
            let different = case.different(&world);
            let told = verification.told_different();
            assert_eq!(
                told.map(|told| told.items),
                different.as_ref().map(|keys| keys.len() as u64),
                "{case:?}"
            );
            if let (Some(told), Some(keys)) = (told, different) {
                let is_told = matches!(case, Case::Missing | Case::Several);
                let samples = if is_told { Different::MOST_SAMPLES } else { 0 };
                assert_eq!(told.samples.len(), samples, "{case:?}");
                assert!(told.samples.iter().all(|key| keys.contains(key)));
            }
        });
    }
}

/// proof, honest-end: other values than the sources give are information in a run that sets what is missing: it succeeds and says so.
/// One that converges migrates them, and one that replaces does not count them.
#[test]
fn proof_tells_other_values_by_mode() {
    for case in Case::ALL {
        in_virtual_time(async {
            let world = case.world(Faults::none(2), 100, r#","total_segments":3"#);
            let before = world.table.items();
            let different = case.different(&world).map(|keys| keys.len());
            assert_eq!(world.run().await.unwrap(), RunStatus::Succeeded);
            case.assert_migrated(&world, &before);
            case.assert_proven(&world).await;
            let message = world.record().await.message;
            let seen = summary(&world).await;
            let says = "another value than";
            match case {
                Case::Missing | Case::Several => {
                    assert!(different > Some(5), "{different:?}");
                    // A target that was there beside one that was missing is another value, too.
                    assert!(seen.different.map(|items| items as usize) >= different);
                    assert!(message.contains(says), "{message}");
                    let first = seen.different_samples[0].to_string();
                    assert!(message.contains(&first), "{message}");
                }
                Case::Replace => {
                    assert_eq!((seen.different, different), (None, None));
                    assert!(!message.contains(says), "{message}");
                }
                Case::Converge | Case::ConvergeSeveral => {
                    assert_eq!(seen.different, Some(0));
                    assert!(seen.different_samples.is_empty());
                }
            }
        });
    }
}

/// only-U, honest-end: a computed change whose result leaves the item pending is found on the first item, in whichever way a table
/// allows it to be looked at, and no second one is touched.
#[test]
fn computed_values_that_stay_pending_touch_one_item() {
    let cases = [
        // A text stays a text.
        r#""compute":{"n":"${n|text}"},"pending":"attribute_exists(n)""#,
        // What converges to something else each time.
        r#""compute":{"n":"${n|add(1)}"},"mode":"converge""#,
    ];
    for change in cases {
        for by in [LookBy::Check, LookBy::Query, LookBy::Page] {
            in_virtual_time(async {
                let faults = Faults::none(1);
                let item = |id| {
                    let mut item = ModelTable::key(id).0;
                    item.insert("n".into(), number(id));
                    item
                };
                let table = ModelTable::of(faults.clone(), (0..100).map(item));
                let json = format!(r#"{{"table":"stuff",{change},"total_segments":8}}"#);
                let request = Request::from_json(&json).unwrap();
                let world = World::of(faults.clone(), table, ModelStore::new(faults), request);
                world.table.allow_looks_from(by);
                let error = world.run().await.unwrap_err();
                assert_eq!(
                    error.kind(),
                    ErrorKind::UpdateDoesNotExtinguish,
                    "{change} {by:?}: {error}"
                );
                assert_eq!(world.table.updates().len(), 1, "{change} {by:?}");
                assert_eq!(world.record().await.status, RunStatus::Failed);
            });
        }
    }
}
