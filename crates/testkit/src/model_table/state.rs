//! What a table of the model holds, and where its items lie.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use backfill_core::ports::{AlarmState, LookBy, Outcome};
use backfill_core::{Error, ErrorKind, Item, Key, Result, Value};
use tokio::time::Instant;

/// For how long an eventually consistent read may miss a change: "usually within one second or less" (developer
/// guide, Read consistency).
pub(super) const STALE: Duration = Duration::from_secs(1);

/// Changes that are kept for stale reads, about.
const STALE_AT_MOST: usize = 200;

/// What a live writer does to an item at a certain moment; to `None` if there is none, or is to be none.
pub(super) type Strike = Box<dyn FnMut(&mut Option<Item>) + Send>;

/// Where an item lies: by the hash of its partition key, as in DynamoDB.
pub(super) type Position = (u64, Key);

/// Who is told of each change of an item: where it lies, and the item before and after.
pub(super) type Listener = Box<dyn FnMut(&Position, Option<&Item>, Option<&Item>) + Send>;

/// What a table holds, what has become of it, and what a test has told it to do.
#[derive(Default)]
pub(super) struct State {
    pub(super) items: BTreeMap<Position, Item>,
    /// When an item last changed, and what was there before: what an eventually consistent read may still see.
    pub(super) before: BTreeMap<Position, (Instant, Option<Item>)>,
    /// Items whose update is refused for good.
    pub(super) poison: BTreeSet<Key>,
    /// Items that were refused until they were mended: a checkpoint has passed them, and another try finds them.
    pub(super) mended: BTreeSet<Key>,
    /// Items whose update is refused in words that nobody knows.
    pub(super) misfits: BTreeSet<Key>,
    /// Items that somebody else has in a transaction, until then.
    pub(super) busy: BTreeMap<Key, Instant>,
    /// Our writes that took effect, by key.
    pub(super) updates: BTreeMap<Key, u64>,
    /// Of a change that is made from the item: each item before and after a write of ours that took effect.
    pub(super) made_over: Vec<(Item, Item)>,
    /// Items that pages have evaluated.
    pub(super) evaluated: u64,
    /// Pages that were not read strongly consistent.
    pub(super) sweep_pages: u64,
    /// The update does not do what it should: it leaves the predicate true.
    pub(super) useless_update: bool,
    /// What lacks something is not to be counted.
    pub(super) refuses_lacking: bool,
    /// Batches find the predicate false of every item.
    pub(super) blind_batches: bool,
    /// Batches that were carried out while they were believed.
    pub(super) batches: u64,
    /// Batches are not to be sent any more.
    pub(super) distrusted: bool,
    /// What live writers left behind, by key: the item, or `None` if they deleted it.
    pub(super) history: BTreeMap<Key, Option<Item>>,
    /// What live writers do to items right before writes of ours, and how often still.
    pub(super) strikes: BTreeMap<Key, (u32, Strike)>,
    /// Updates of ours that have arrived, by key, whether they took effect or not.
    pub(super) arrived: BTreeMap<Key, u64>,
    /// Items that somebody else has in a transaction whenever the trial checks them.
    pub(super) busy_at_checks: BTreeSet<Key>,
    /// Until then every check of the trial is throttled.
    pub(super) checks_throttle_until: Option<Instant>,
    /// The first way of looking at an item that is allowed, and the one that writers know of; `None` is a check.
    pub(super) allows_look: Option<LookBy>,
    pub(super) looks_by: Option<LookBy>,
    /// Table status other than ACTIVE, and until when, if it does not stay.
    pub(super) status: Option<(String, Option<Instant>)>,
    /// From when to when DescribeTable knows of no table.
    pub(super) forgotten: Option<(Instant, Instant)>,
    /// Other regions that have the table.
    pub(super) replicas: Vec<String>,
    /// They are strongly consistent.
    pub(super) is_strong_everywhere: bool,
    /// How often the table was dropped and created anew.
    pub(super) recreated: u32,
    /// What an alarm says when it is asked for; `None` if there is none.
    pub(super) alarm: Option<std::result::Result<AlarmState, ErrorKind>>,
    /// How often it was asked for.
    pub(super) alarm_asked: u64,
    /// The wall clock at a moment.
    pub(super) clock: Option<(u64, Instant)>,
    /// Who is told of changes; nobody else is.
    pub(super) listener: Option<Listener>,
}

impl State {
    /// Whether our update of this item would end without effect, though it is pending.
    pub(super) fn is_refused(&self, key: &Key) -> bool {
        self.poison.contains(key) || self.misfits.contains(key) || self.busy.contains_key(key)
    }

    /// Whether somebody else has this item in a transaction now.
    pub(super) fn is_contended(&self, key: &Key) -> bool {
        let until = self.busy.get(key);
        until.is_some_and(|&until| Instant::now() < until)
    }

    /// Why the update of a pending item is refused, if it is.
    pub(super) fn refusal(&self, key: &Key) -> Option<Result<Outcome>> {
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
    pub(super) fn arrives(&mut self, key: &Key, at: &Position) {
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
    pub(super) fn set(&mut self, at: &Position, item: Option<Item>) {
        if let Some(listener) = &mut self.listener {
            listener(at, self.items.get(at), item.as_ref());
        }
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

pub(super) fn key_of(id: u64) -> Key {
    Key(Item::from([
        ("id".into(), Value::S(format!("item-{id:06}"))),
        ("created".into(), Value::N((1_600_000_000 + id).to_string())),
    ]))
}

pub(super) fn key_of_item(item: &Item) -> Key {
    let of_key = ["id", "created"].map(|name| (name.to_owned(), item[name].clone()));
    Key(of_key.into())
}

pub(super) fn position(key: &Key) -> Position {
    let mut hasher = DefaultHasher::new();
    key.0.get("id").hash(&mut hasher);
    (hasher.finish(), key.clone())
}

pub(super) fn segment_of(position: &Position, total: u32) -> u32 {
    ((u128::from(position.0) * u128::from(total)) >> 64) as u32
}
