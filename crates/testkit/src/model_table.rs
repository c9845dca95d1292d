//! The model of a table: items in hash order, segments as slices of the hash space, pages of random size.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Bound;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backfill_core::change::grammar::Update;
use backfill_core::change::partiql::BATCH_SIZE;
use backfill_core::change::{GuardedUpdate, Made, Parsed, Seen, SharedChange, Sweep};
use backfill_core::clock::now_ms;
use backfill_core::ports::{
    Alarm, AlarmState, Asks, Batch, LackingPage, Look, LookBy, Outcome, Page, PageRequest,
    ReadAccess, TableReader, TableWriter, Write, WriteAccess,
};
use backfill_core::records::Cursor;
use backfill_core::request::WriterKind;
use backfill_core::table::{KeyAttribute, KeySchema, KeyType, TableDescription};
use backfill_core::value::size::item_bytes;
use backfill_core::{Error, ErrorKind, Item, Key, Result, Spec, Value};

use tokio::time::Instant;

use crate::faults::Faults;
use crate::update::apply;

/// For how long an eventually consistent read may miss a change: "usually within one second or less" (developer
/// guide, Read consistency).
const STALE: Duration = Duration::from_secs(1);

/// Changes that are kept for stale reads, about.
const STALE_AT_MOST: usize = 200;

/// What a live writer does to an item at a certain moment; to `None` if there is none, or is to be none.
type Strike = Box<dyn FnMut(&mut Option<Item>) + Send>;

/// Where an item lies: by the hash of its partition key, as in DynamoDB.
type Position = (u64, Key);

/// A table whose items are migrated: conditions and updates mean in it what they mean in DynamoDB.
#[derive(Clone)]
pub struct ModelTable {
    state: Arc<Mutex<State>>,
    faults: Faults,
}

#[derive(Default)]
struct State {
    items: BTreeMap<Position, Item>,
    /// When an item last changed, and what was there before: what an eventually consistent read may still see.
    before: BTreeMap<Position, (Instant, Option<Item>)>,
    /// Items whose update is refused for good.
    poison: BTreeSet<Key>,
    /// Items that were refused until they were mended: a checkpoint has passed them, and another try finds them.
    mended: BTreeSet<Key>,
    /// Items whose update is refused in words that nobody knows.
    misfits: BTreeSet<Key>,
    /// Items that somebody else has in a transaction, until then.
    busy: BTreeMap<Key, Instant>,
    /// Our writes that took effect, by key.
    updates: BTreeMap<Key, u64>,
    /// Of a change that is made from the item: each item before and after a write of ours that took effect.
    made_over: Vec<(Item, Item)>,
    /// Items that pages have evaluated.
    evaluated: u64,
    /// Pages that were not read strongly consistent.
    sweep_pages: u64,
    /// The update does not do what it should: it leaves the predicate true.
    useless_update: bool,
    /// What lacks something is not to be counted.
    refuses_lacking: bool,
    /// Batches find the predicate false of every item.
    blind_batches: bool,
    /// Batches that were carried out while they were believed.
    batches: u64,
    /// Batches are not to be sent any more.
    distrusted: bool,
    /// What live writers left behind, by key: the item, or `None` if they deleted it.
    history: BTreeMap<Key, Option<Item>>,
    /// What live writers do to items right before writes of ours, and how often still.
    strikes: BTreeMap<Key, (u32, Strike)>,
    /// Updates of ours that have arrived, by key, whether they took effect or not.
    arrived: BTreeMap<Key, u64>,
    /// Items that somebody else has in a transaction whenever the trial checks them.
    busy_at_checks: BTreeSet<Key>,
    /// Until then every check of the trial is throttled.
    checks_throttle_until: Option<Instant>,
    /// The first way of looking at an item that is allowed, and the one that writers know of; `None` is a check.
    allows_look: Option<LookBy>,
    looks_by: Option<LookBy>,
    /// Table status other than ACTIVE, and until when, if it does not stay.
    status: Option<(String, Option<Instant>)>,
    /// From when to when DescribeTable knows of no table.
    forgotten: Option<(Instant, Instant)>,
    /// Other regions that have the table.
    replicas: Vec<String>,
    /// They are strongly consistent.
    is_strong_everywhere: bool,
    /// How often the table was dropped and created anew.
    recreated: u32,
    /// What an alarm says when it is asked for; `None` if there is none.
    alarm: Option<std::result::Result<AlarmState, ErrorKind>>,
    /// How often it was asked for.
    alarm_asked: u64,
    /// The wall clock at a moment.
    clock: Option<(u64, Instant)>,
}

/// The model table as seen through one change.
pub struct ModelAccess {
    table: ModelTable,
    change: SharedChange,
    /// The filter of the change's sweep, of its proof, and of the sweep for what items lack.
    filter: Parsed,
    proof: Parsed,
    lacks: Option<Parsed>,
    /// What was written last: most changes write the same to every item.
    written: Mutex<Option<Written>>,
}

/// A guarded update, read.
struct Written {
    of: GuardedUpdate<'static>,
    guard: Parsed,
    update: Update,
}

impl Written {
    fn new(of: &GuardedUpdate<'_>) -> Written {
        let guard = Parsed::new(of.condition.as_str(), &of.names, &of.values);
        let update = Update::new(&of.update, &of.names, &of.values);
        Written {
            of: GuardedUpdate {
                update: Cow::Owned(of.update.clone().into_owned()),
                condition: Cow::Owned(of.condition.clone().into_owned()),
                names: Cow::Owned(of.names.clone().into_owned()),
                values: Cow::Owned(of.values.clone().into_owned()),
            },
            guard: guard.unwrap_or_else(|why| panic!("the guard is no condition: {why}")),
            update: update.unwrap_or_else(|why| panic!("it is no update: {why}")),
        }
    }
}

fn filter_of(sweep: &Sweep) -> Parsed {
    let filter = Parsed::new(&sweep.filter, &sweep.names, &sweep.values);
    filter.unwrap_or_else(|why| panic!("the filter is no condition: {why}"))
}

fn pending_of(spec: &Spec) -> Parsed {
    let pending = Parsed::new(&spec.pending, &spec.names, &spec.values);
    pending.unwrap_or_else(|why| panic!("the predicate is no condition: {why}"))
}

impl State {
    /// Whether our update of this item would end without effect, though it is pending.
    fn is_refused(&self, key: &Key) -> bool {
        self.poison.contains(key) || self.misfits.contains(key) || self.busy.contains_key(key)
    }

    /// Whether somebody else has this item in a transaction now.
    fn is_contended(&self, key: &Key) -> bool {
        let until = self.busy.get(key);
        until.is_some_and(|&until| Instant::now() < until)
    }

    /// Why the update of a pending item is refused, if it is.
    fn refusal(&self, key: &Key) -> Option<Result<Outcome>> {
        if self.poison.contains(key) {
            Some(Ok(Outcome::Rejected("poisoned".into())))
        } else if self.misfits.contains(key) {
            Some(Ok(Outcome::Unclear("it does not fit".into())))
        } else if self.is_contended(key) {
            Some(Err(Error::new(ErrorKind::ItemBusy, "in a transaction")))
        } else {
            None
        }
    }

    /// A write of ours arrives: whoever waits for it strikes first.
    fn arrives(&mut self, key: &Key, at: &Position) {
        *self.arrived.entry(key.clone()).or_default() += 1;
        let Some((times @ 1.., strike)) = self.strikes.get_mut(key) else {
            return;
        };
        *times -= 1;
        let mut item = self.items.get(at).cloned();
        strike(&mut item);
        if let Some(item) = &mut item {
            item.extend(key.0.clone());
        }
        self.set(at, item.clone());
        self.history.insert(key.clone(), item);
    }

    /// Puts or removes an item.
    fn set(&mut self, at: &Position, item: Option<Item>) {
        let before = match item {
            Some(item) => self.items.insert(at.clone(), item),
            None => self.items.remove(at),
        };
        self.before.insert(at.clone(), (Instant::now(), before));
        if self.before.len() > 2 * STALE_AT_MOST {
            self.before
                .retain(|_, (changed, _)| changed.elapsed() < STALE);
        }
    }
}

fn key_of(id: u64) -> Key {
    Key(Item::from([
        ("id".into(), Value::S(format!("item-{id:06}"))),
        ("created".into(), Value::N((1_600_000_000 + id).to_string())),
    ]))
}

fn key_of_item(item: &Item) -> Key {
    let of_key = ["id", "created"].map(|name| (name.to_owned(), item[name].clone()));
    Key(of_key.into())
}

fn position(key: &Key) -> Position {
    let mut hasher = DefaultHasher::new();
    key.0.get("id").hash(&mut hasher);
    (hasher.finish(), key.clone())
}

fn segment_of(position: &Position, total: u32) -> u32 {
    ((u128::from(position.0) * u128::from(total)) >> 64) as u32
}

impl ModelTable {
    /// A table `stuff` with the items 0 to `count`; of each ten, two have a value for `test`.
    pub fn new(faults: Faults, count: u64) -> Self {
        let item = |id| {
            let mut item = key_of(id).0;
            item.insert("payload".into(), Value::S(format!("original {id}")));
            item.insert("tags".into(), Value::Ss(vec!["a".into(), "b".into()]));
            if id % 10 >= 8 {
                item.insert("test".into(), Value::S("set before".into()));
            }
            item
        };
        ModelTable::of(faults, (0..count).map(item))
    }

    /// A table `stuff` with these items, each with a key of [`ModelTable::key`].
    pub fn of(faults: Faults, items: impl IntoIterator<Item = Item>) -> Self {
        let items = items.into_iter();
        let items = items.map(|item| (position(&key_of_item(&item)), item));
        let items = items.collect();
        ModelTable {
            state: Arc::new(Mutex::new(State {
                items,
                ..State::default()
            })),
            faults,
        }
    }

    /// The key of the item of this number: `id` and `created`.
    pub fn key(id: u64) -> Key {
        key_of(id)
    }

    /// The update of these items is refused for good.
    pub fn poison(&self, ids: impl IntoIterator<Item = u64>) {
        self.state.lock().unwrap().poison = ids.into_iter().map(key_of).collect();
    }

    /// The update of poisoned items is refused no more; they may be pending behind a checkpoint, to be tried again.
    pub fn mend(&self) {
        let mut state = self.state.lock().unwrap();
        let poison = std::mem::take(&mut state.poison);
        state.mended.extend(poison);
    }

    /// From now on DynamoDB refuses the update of these items, as of those that do not fit the key of an index, in words
    /// that nobody knows.
    pub fn misfit(&self, ids: impl IntoIterator<Item = u64>) {
        self.state.lock().unwrap().misfits = ids.into_iter().map(key_of).collect();
    }

    /// For so long somebody else has these items in transactions.
    pub fn keep_busy(&self, ids: impl IntoIterator<Item = u64>, time: Duration) {
        let until = Instant::now() + time;
        self.state.lock().unwrap().busy = ids.into_iter().map(|id| (key_of(id), until)).collect();
    }

    /// From now on somebody else has these items in transactions whenever the trial checks them.
    pub fn keep_busy_at_checks(&self, ids: impl IntoIterator<Item = u64>) {
        self.state.lock().unwrap().busy_at_checks = ids.into_iter().map(key_of).collect();
    }

    /// A live writer deletes this item.
    pub fn delete(&self, id: u64) {
        let at = position(&key_of(id));
        self.state.lock().unwrap().set(&at, None);
    }

    /// A live writer does this to an item right before each of our next writes of it, so many times.
    pub fn strike_before_writes(
        &self,
        id: u64,
        times: u32,
        strike: impl FnMut(&mut Option<Item>) + Send + 'static,
    ) {
        let strike: Strike = Box::new(strike);
        let mut state = self.state.lock().unwrap();
        state.strikes.insert(key_of(id), (times, strike));
    }

    /// Our updates that have arrived, by key, whether they took effect or not.
    pub fn arrived(&self) -> BTreeMap<Key, u64> {
        self.state.lock().unwrap().arrived.clone()
    }

    /// From now on updates leave the predicate true.
    pub fn make_updates_useless(&self) {
        self.state.lock().unwrap().useless_update = true;
    }

    /// From now on the scan for items that lack something is refused.
    pub fn refuse_lacking(&self) {
        self.state.lock().unwrap().refuses_lacking = true;
    }

    /// From now on a batch finds the predicate false of every item, as if PartiQL meant something else by it.
    pub fn make_batches_blind(&self) {
        self.state.lock().unwrap().blind_batches = true;
    }

    /// Batches that were carried out while they were believed.
    pub fn batches(&self) -> u64 {
        self.state.lock().unwrap().batches
    }

    /// True if batches are not to be sent any more.
    pub fn has_no_batches(&self) -> bool {
        self.state.lock().unwrap().distrusted
    }

    /// For so long every check of the trial is throttled, and no write.
    pub fn throttle_checks_for(&self, time: Duration) {
        self.state.lock().unwrap().checks_throttle_until = Some(Instant::now() + time);
    }

    /// No item can be looked at in a way before this one.
    pub fn allow_looks_from(&self, by: LookBy) {
        self.state.lock().unwrap().allows_look = Some(by);
    }

    /// DescribeTable says this instead of ACTIVE.
    pub fn set_status(&self, status: &str) {
        self.state.lock().unwrap().status = Some((status.to_owned(), None));
    }

    /// For so long DescribeTable says this instead of ACTIVE.
    pub fn set_status_for(&self, status: &str, time: Duration) {
        let until = Instant::now() + time;
        self.state.lock().unwrap().status = Some((status.to_owned(), Some(until)));
    }

    /// From so long on DescribeTable knows of no table, until so long from now.
    pub fn forget_for(&self, from: Duration, to: Duration) {
        let now = Instant::now();
        self.state.lock().unwrap().forgotten = Some((now + from, now + to));
    }

    /// The table is in these regions, too; strongly consistent or not.
    pub fn replicate_to(&self, regions: &[&str], is_strong_everywhere: bool) {
        let mut state = self.state.lock().unwrap();
        state.replicas = regions.iter().map(|&region| region.to_owned()).collect();
        state.is_strong_everywhere = is_strong_everywhere;
    }

    /// From now on the alarm is in this state, or cannot be had for this reason.
    pub fn set_alarm(&self, alarm: std::result::Result<AlarmState, ErrorKind>) {
        self.state.lock().unwrap().alarm = Some(alarm);
    }

    /// From now on there is no alarm.
    pub fn delete_alarm(&self) {
        self.state.lock().unwrap().alarm = None;
    }

    /// How often the alarm was asked for.
    pub fn alarm_asked(&self) -> u64 {
        self.state.lock().unwrap().alarm_asked
    }

    /// The wall clock shows this time now, in milliseconds since 1970, and goes on from there.
    pub fn set_clock(&self, now_ms: u64) {
        self.state.lock().unwrap().clock = Some((now_ms, Instant::now()));
    }

    /// The table is dropped and created anew under its name, with the same items.
    pub fn recreate(&self) {
        self.state.lock().unwrap().recreated += 1;
    }

    /// All items by key.
    pub fn items(&self) -> BTreeMap<Key, Item> {
        let state = self.state.lock().unwrap();
        state
            .items
            .iter()
            .map(|((_, key), item)| (key.clone(), item.clone()))
            .collect()
    }

    /// Number of items that the spec still has to migrate.
    pub fn count_pending(&self, spec: &Spec) -> u64 {
        let (state, pending) = (self.state.lock().unwrap(), pending_of(spec));
        let items = state.items.values();
        items.filter(|item| pending.holds(item)).count() as u64
    }

    /// Our writes that took effect, by key.
    pub fn updates(&self) -> BTreeMap<Key, u64> {
        self.state.lock().unwrap().updates.clone()
    }

    /// Each item before and after a write of ours that took effect, of changes that are made from the item.
    pub fn made_over(&self) -> Vec<(Item, Item)> {
        self.state.lock().unwrap().made_over.clone()
    }

    /// Pages so far that were not read strongly consistent.
    pub fn sweep_pages(&self) -> u64 {
        self.state.lock().unwrap().sweep_pages
    }

    /// Items evaluated by all pages so far.
    pub fn evaluated(&self) -> u64 {
        self.state.lock().unwrap().evaluated
    }

    /// Keys of pending items that a cursor claims to have passed.
    pub fn pending_behind(
        &self,
        spec: &Spec,
        segment: u32,
        total: u32,
        cursor: &Cursor,
    ) -> Vec<Key> {
        let (state, pending) = (self.state.lock().unwrap(), pending_of(spec));
        state
            .items
            .iter()
            .filter(|(at, _)| segment_of(at, total) == segment)
            .filter(|(at, _)| match cursor {
                Cursor::NotStarted => false,
                Cursor::After(key) => **at <= position(key),
                Cursor::Exhausted => true,
            })
            .filter(|(_, item)| pending.holds(item))
            .filter(|((_, key), _)| !state.is_refused(key) && !state.mended.contains(key))
            .map(|((_, key), _)| key.clone())
            .collect()
    }

    /// What live writers left behind, by key; `None` if they deleted the item.
    pub fn history(&self) -> BTreeMap<Key, Option<Item>> {
        self.state.lock().unwrap().history.clone()
    }
}

/// A live application on the same table: it sets `test` to values of its own, changes other attributes,
/// deletes and creates items, and keeps the history.
pub struct LiveWriter {
    pub table: ModelTable,
    pub seed: u64,
    /// Ids that it works on.
    pub ids: u64,
    /// Whether it creates items without `test`, as old application code does.
    pub creates_pending: bool,
}

impl LiveWriter {
    /// Does this many operations, each after a random virtual time of up to `every`.
    pub async fn work(self, operations: u64, every: Duration) {
        let creates_pending = self.creates_pending;
        let operation = |random: &mut fastrand::Rng, n: u64, item: &mut Option<Item>| {
            match (random.u8(..5), &mut *item) {
                (0, Some(item)) => {
                    item.insert("test".into(), Value::S(format!("live {n}")));
                }
                (1, Some(item)) => {
                    item.insert("payload".into(), Value::S(format!("live {n}")));
                }
                (2, item) => *item = None,
                (3, item) => {
                    let mut new = Item::new();
                    new.insert("payload".into(), Value::S(format!("new {n}")));
                    if !creates_pending || random.bool() {
                        new.insert("test".into(), Value::S(format!("new {n}")));
                    }
                    *item = Some(new);
                }
                _ => return false,
            }
            true
        };
        self.write(operations, every, operation).await;
    }

    /// As [`LiveWriter::work`], but an operation is what this function does to an item: it gets the random numbers of the writer,
    /// the number of the operation, and the item; `None` if there is none, or if there is to be none. What it leaves as it was is
    /// not written. An item that it creates gets its key.
    pub async fn work_by(
        self,
        operations: u64,
        every: Duration,
        operation: impl Fn(&mut fastrand::Rng, u64, &mut Option<Item>),
    ) {
        let operation = |random: &mut fastrand::Rng, n: u64, item: &mut Option<Item>| {
            let before = item.clone();
            operation(random, n, item);
            *item != before
        };
        self.write(operations, every, operation).await;
    }

    /// Does operations that say whether they write what they leave.
    async fn write(
        self,
        operations: u64,
        every: Duration,
        operation: impl Fn(&mut fastrand::Rng, u64, &mut Option<Item>) -> bool,
    ) {
        let mut random = fastrand::Rng::with_seed(self.seed);
        for n in 0..operations {
            tokio::time::sleep(every.mul_f64(random.f64())).await;
            let key = key_of(random.u64(..self.ids));
            let at = position(&key);
            let mut state = self.table.state.lock().unwrap();
            let mut item = state.items.get(&at).cloned();
            if !operation(&mut random, n, &mut item) {
                continue;
            }
            if let Some(item) = &mut item {
                item.extend(key.0.clone());
            }
            state.set(&at, item.clone());
            state.history.insert(key, item);
        }
    }
}

impl ReadAccess for ModelTable {
    type Reader = ModelAccess;

    async fn describe(&self, _table: &str) -> Result<TableDescription> {
        self.faults.before().await?;
        let state = self.state.lock().unwrap();
        let count = state.items.len() as u64;
        let now = Instant::now();
        if state
            .forgotten
            .is_some_and(|(from, to)| from <= now && now < to)
        {
            return Err(Error::new(
                ErrorKind::TableNotFound,
                "there is no table stuff",
            ));
        }
        Ok(TableDescription {
            status: match &state.status {
                Some((status, None)) => status.clone(),
                Some((status, Some(until))) if Instant::now() < *until => status.clone(),
                _ => "ACTIVE".into(),
            },
            replicas: state.replicas.clone(),
            is_strong_everywhere: state.is_strong_everywhere,
            identity: format!("model {}", state.recreated),
            keys: KeySchema {
                hash: KeyAttribute::new("id", KeyType::S),
                range: Some(KeyAttribute::new("created", KeyType::N)),
            },
            item_count: count,
            size_bytes: count * 300,
            billing: backfill_core::table::Billing::OnDemand {
                max_write_units: None,
                max_read_units: None,
            },
            indexes: Vec::new(),
        })
    }

    async fn alarm(&self, _name: &str) -> Result<Option<Alarm>> {
        let mut state = self.state.lock().unwrap();
        state.alarm_asked += 1;
        let found = |state| Alarm {
            state,
            since_ms: None,
        };
        match state.alarm {
            None => Ok(None),
            Some(Ok(state)) => Ok(Some(found(state))),
            Some(Err(kind)) => Err(Error::new(kind, "no word of the alarm")),
        }
    }

    fn now_ms(&self) -> u64 {
        match self.state.lock().unwrap().clock {
            Some((ms, at)) => ms + at.elapsed().as_millis() as u64,
            None => now_ms(),
        }
    }

    fn reader(&self, change: SharedChange) -> ModelAccess {
        ModelAccess {
            table: self.clone(),
            filter: filter_of(change.sweep()),
            proof: filter_of(change.proof()),
            lacks: change.lacks().map(|lacks| filter_of(&lacks.sweep)),
            written: Mutex::default(),
            change,
        }
    }
}

impl WriteAccess for ModelTable {
    type Writer = ModelAccess;

    fn writer(&self, change: SharedChange, _kind: WriterKind) -> ModelAccess {
        self.reader(change)
    }
}

impl TableReader for ModelAccess {
    async fn page(&self, request: PageRequest<'_>) -> Result<Page> {
        let (found, next) = self.evaluated(request).await?;
        let mut page = Page {
            scanned: found.len() as u64,
            pending: Vec::new(),
            different: Vec::new(),
            next,
            consumed_rcu: if request.consistent { 1.0 } else { 0.5 },
        };
        let items = found.into_iter().map(|(_, item)| item);
        match request.asks {
            Asks::Sweep => {
                let seen = items.filter(|item| self.filter.holds(item));
                let seen = seen.map(|item| self.change.seen(item.into()));
                page.pending = seen.filter(|item| self.change.is_pending(item)).collect();
            }
            Asks::Proof => {
                let found = items.filter(|item| self.proof.holds(item));
                page.weigh(&*self.change, found.collect());
            }
        }
        self.table.faults.after().await?;
        Ok(page)
    }

    async fn lacking(&self, request: PageRequest<'_>) -> Result<LackingPage> {
        if self.table.state.lock().unwrap().refuses_lacking {
            return Err(Error::new(ErrorKind::InvalidSpec, "the filter is too long"));
        }
        let lacks = self
            .change
            .lacks()
            .expect("what the update sets is asked for");
        let (found, next) = self.evaluated(request).await?;
        let filter = self.lacks.as_ref();
        let is_found = |item: &Item| filter.is_some_and(|filter| filter.holds(item));
        let lacking = |name| {
            let lack = |item: &Item| is_found(item) && !item.contains_key(name);
            found.iter().filter(|(_, item)| lack(item)).count()
        };
        let page = LackingPage {
            lacking: lacks
                .attributes
                .iter()
                .map(|name| lacking(name) as u64)
                .collect(),
            scanned: found.len() as u64,
            next,
            consumed_rcu: if request.consistent { 1.0 } else { 0.5 },
        };
        self.table.faults.after().await?;
        Ok(page)
    }
}

impl ModelAccess {
    /// The items of a page, and its LastEvaluatedKey. Pages hold up to four items, so that many are empty and all are many.
    async fn evaluated(&self, request: PageRequest<'_>) -> Result<(Vec<(Key, Item)>, Option<Key>)> {
        self.table.faults.before().await?;
        self.table.faults.check_access()?;
        let empty = request.after.is_some() && self.table.faults.empty_page();
        let size = 1 + self.table.faults.pick(4).min(u64::from(request.limit) - 1);
        let mut state = self.table.state.lock().unwrap();
        let after = request.after.map(position);
        let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        // An eventually consistent page sees some items as they were before their last change.
        let mut stale: BTreeMap<&Position, Option<&Item>> = BTreeMap::new();
        if !request.consistent {
            for (at, (changed, before)) in state.before.range((from, Bound::Unbounded)) {
                if changed.elapsed() < STALE && self.table.faults.pick(4) == 0 {
                    stale.insert(at, before.as_ref());
                }
            }
        }
        let current = state.items.range((from, Bound::Unbounded));
        let current = current.filter(|(at, _)| !stale.contains_key(at));
        let old = stale.iter().filter_map(|(at, item)| Some((*at, (*item)?)));
        let in_segment = |at: &Position| segment_of(at, request.total_segments) == request.segment;
        let mut in_segment: Vec<(&Position, &Item)> = current
            .filter(|(at, _)| in_segment(at))
            // Each stale item may come before one of these.
            .take(size as usize)
            .chain(old.filter(|(at, _)| in_segment(at)))
            .collect();
        in_segment.sort_by_key(|(at, _)| *at);
        in_segment.truncate(if empty { 0 } else { size as usize });
        let found: Vec<(Key, Item)> = in_segment
            .into_iter()
            .map(|((_, key), item)| (key.clone(), item.clone()))
            .collect();
        state.evaluated += found.len() as u64;
        state.sweep_pages += u64::from(!request.consistent);
        // As in DynamoDB, a full page has a LastEvaluatedKey even if it is the last.
        let next = match empty {
            true => request.after.cloned(),
            false if found.len() as u64 == size => found.last().map(|(key, _)| key.clone()),
            false => None,
        };
        Ok((found, next))
    }

    /// The guarded update, with what was made of the item, on the state itself, and the item after it.
    fn apply(&self, seen: &Seen, made: &Made) -> Result<(Outcome, Option<Item>)> {
        let key = &seen.key.to_key();
        let mut state = self.table.state.lock().unwrap();
        let at = position(key);
        state.arrives(key, &at);
        let found = state.items.get(&at);
        let is_there = found.is_some();
        let before = found.cloned();
        let mut item = before.clone().unwrap_or_default();
        let mut written = self.written.lock().unwrap();
        let update = self.change.update(seen, made);
        let written = match &mut *written {
            Some(written) if written.of == update => written,
            other => other.insert(Written::new(&update)),
        };
        // As in DynamoDB it is the condition alone that keeps an update from making an item that is gone.
        match (written.guard.holds(&item), is_there) {
            (true, _) => item.extend(key.0.clone()),
            (false, is_there) => {
                let now = is_there.then_some(item);
                return Ok((Outcome::of_failed_guard(&*self.change, seen, now), None));
            }
        }
        if let Some(refusal) = state.refusal(key) {
            return Ok((refusal?, None));
        }
        if !state.useless_update
            && let Err(why) = apply(&written.update, &mut item)
        {
            return Ok((Outcome::Rejected(why), None));
        }
        if !self.change.reads().is_empty() {
            state
                .made_over
                .extend(before.map(|before| (before, item.clone())));
        }
        state.set(&at, Some(item.clone()));
        *state.updates.entry(key.clone()).or_default() += 1;
        Ok((Outcome::Updated, Some(item)))
    }
}

impl TableWriter for ModelAccess {
    fn batch_size(&self) -> usize {
        match self.table.state.lock().unwrap().distrusted {
            true => 1,
            false => BATCH_SIZE,
        }
    }

    fn distrust_batches(&self, _reason: &str) {
        self.table.state.lock().unwrap().distrusted = true;
    }

    /// Single statements fail as single requests do: before they take effect, or with their answer lost.
    async fn update_batch(&self, items: &[Seen]) -> Result<Batch> {
        let distinct: BTreeSet<Key> = items.iter().map(|item| item.key.to_key()).collect();
        assert!(items.len() <= BATCH_SIZE && distinct.len() == items.len());
        let made: Vec<_> = items.iter().map(|item| self.change.make(item)).collect();
        if made.iter().all(|made| made.is_err()) {
            // Nothing is left to send.
            let rejected = made.into_iter().filter_map(|made| made.err());
            return Ok(Batch {
                outcomes: rejected.map(|why| Ok(Outcome::Unmade(why))).collect(),
                consumed_wcu: 0.0,
            });
        }
        let faults = &self.table.faults;
        faults.before().await?;
        faults.check_access()?;
        let (blind, distrusted) = {
            let mut state = self.table.state.lock().unwrap();
            state.batches += u64::from(!state.distrusted);
            (state.blind_batches && !state.distrusted, state.distrusted)
        };
        let mut batch = Batch {
            outcomes: Vec::new(),
            consumed_wcu: 0.0,
        };
        for (item, made) in items.iter().zip(made) {
            let made = match made {
                Ok(made) => made,
                Err(why) => {
                    batch.outcomes.push(Ok(Outcome::Unmade(why)));
                    continue;
                }
            };
            // A crash may come between two statements: a batch is not atomic.
            if let Err(error) = faults.statement().await {
                batch.outcomes.push(Err(error));
                continue;
            }
            let applied = match blind {
                true => Ok((Outcome::Raced, None)),
                false => self.apply(item, &made),
            };
            batch.outcomes.push(match applied {
                // What a statement is refused for in unknown words, it is refused for as invalid.
                Ok((Outcome::Unclear(words), _)) if !distrusted => {
                    Err(Error::new(ErrorKind::InvalidSpec, words))
                }
                applied => applied.map(|(outcome, _)| outcome),
            });
            batch.consumed_wcu += 1.0;
        }
        faults.after().await?;
        Ok(batch)
    }

    async fn update(&self, item: &Seen) -> Result<Write> {
        Ok(self.update_and_show(item).await?.0)
    }

    async fn update_and_show(&self, item: &Seen) -> Result<(Write, Option<Item>)> {
        let made = match self.change.make(item) {
            Ok(made) => made,
            Err(why) => {
                let write = Write {
                    outcome: Outcome::Unmade(why),
                    consumed_wcu: 0.0,
                };
                return Ok((write, None));
            }
        };
        self.table.faults.before().await?;
        self.table.faults.check_access()?;
        let (outcome, shown) = self.apply(item, &made)?;
        self.table.faults.after().await?;
        let write = Write {
            outcome,
            consumed_wcu: 1.0,
        };
        Ok((write, shown))
    }

    fn look_by(&self) -> LookBy {
        let state = self.table.state.lock().unwrap();
        state.looks_by.unwrap_or(LookBy::Check)
    }

    async fn look(&self, key: &Key, by: LookBy) -> Result<Look> {
        self.table.faults.before().await?;
        let mut state = self.table.state.lock().unwrap();
        if state
            .checks_throttle_until
            .is_some_and(|until| Instant::now() < until)
        {
            return Err(Error::new(ErrorKind::Throttled, "checks are throttled"));
        }
        if state.is_contended(key) || state.busy_at_checks.contains(key) {
            return Err(Error::new(ErrorKind::ItemBusy, "in a transaction"));
        }
        if state.allows_look.is_some_and(|allowed| by < allowed) {
            state.looks_by = Some(match by {
                LookBy::Check => LookBy::Query,
                LookBy::Query | LookBy::Page => LookBy::Page,
            });
            return Err(Error::new(
                ErrorKind::InvalidSpec,
                "it cannot be looked at so",
            ));
        }
        let item = state.items.get(&position(key));
        let consumed = by.units(item.map_or(0, item_bytes));
        let pending = |item: &&Item| self.filter.holds(item);
        Ok(Look {
            item: item
                .filter(|item| by == LookBy::Page || pending(item))
                .cloned(),
            consumed: Some(consumed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::in_virtual_time;

    /// The pending items of the table, by its pages.
    async fn pending(access: &ModelAccess) -> Vec<Seen> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let request = PageRequest {
                segment: 0,
                total_segments: 1,
                after: after.as_ref(),
                limit: 100,
                consistent: true,
                asks: Asks::Sweep,
            };
            let page = access.page(request).await.unwrap();
            found.extend(page.pending);
            after = page.next;
            if after.is_none() {
                return found;
            }
        }
    }

    #[test]
    fn conditions_and_updates_mean_what_they_say() {
        let total = |id, total: &str| {
            let mut item = ModelTable::key(id).0;
            item.insert("total".into(), Value::N(total.into()));
            item
        };
        let spec = |update: &str| Spec {
            table: "stuff".into(),
            pending: "total < :ten".into(),
            update: update.into(),
            names: BTreeMap::new(),
            values: Item::from([(":ten".into(), Value::N("10".into()))]),
            compute: None,
            code: None,
        };
        in_virtual_time(1, async {
            let items = [
                total(0, "9.0"),
                total(1, "1e1"),
                total(2, "-3"),
                total(3, "5"),
            ];
            let table = ModelTable::of(Faults::none(1), items);
            let keys = table.describe("stuff").await.unwrap().keys;
            let access = |update| table.writer(spec(update).change(&keys), WriterKind::default());
            let adds = access("SET total = total + :ten");
            let seen = pending(&adds).await;
            assert_eq!(seen.len(), 3);
            table.delete(2);
            let writer = LiveWriter {
                table: table.clone(),
                seed: 1,
                ids: 1,
                creates_pending: true,
            };
            let live = |_: &mut fastrand::Rng, n: u64, item: &mut Option<Item>| {
                let item = item.get_or_insert_default();
                item.insert("total".into(), Value::N((n + 20).to_string()));
            };
            writer.work_by(2, Duration::ZERO, live).await;
            let mut outcomes = BTreeMap::new();
            for item in &seen {
                let outcome = adds.update(item).await.unwrap().outcome;
                outcomes.insert(item.key.to_key(), outcome);
            }
            let by_id = [0, 2, 3].map(|id| outcomes[&key_of(id)].clone());
            assert_eq!(by_id, [Outcome::Raced, Outcome::Vanished, Outcome::Updated]);
            let left = [total(0, "21"), total(1, "1e1"), total(3, "15")];
            let expected = left.map(|item| (key_of_item(&item), item));
            assert_eq!(table.items(), BTreeMap::from(expected));
            assert_eq!(table.history()[&key_of(0)], Some(total(0, "21")));

            let refused = ModelTable::of(Faults::none(1), [total(0, "1")]);
            let change = spec("SET total = missing").change(&keys);
            let refused = refused.writer(change, WriterKind::default());
            let outcome = refused.update(&key_of(0).into()).await.unwrap().outcome;
            assert!(matches!(outcome, Outcome::Rejected(_)), "{outcome:?}");
        });
    }
}
