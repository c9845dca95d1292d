//! What a sample says of values that are computed: which sources items lack, what cannot be computed and why, how the values are
//! spread where an index has them in its key, and how items and indexes grow.

use std::collections::BTreeMap;

use serde::Serialize;

use super::facts::IndexFacts;
use super::interval::Interval;
use super::misfits::{Misfit, misfits, type_of};
use super::sizes::{holds, index_entry};
use crate::change::compute::Mode;
use crate::change::expression::shown_name;
use crate::change::{Change, Computing, Unmade};
use crate::compute::Path;
use crate::table::KeySchema;
use crate::text::sha256;
use crate::value::Plain;
use crate::value::size::{item_bytes, value_bytes};
use crate::{Error, Item, Key, Result, Value, printable};

/// Most kinds of failures that are told: words of code may differ for each item.
const MOST_KINDS: usize = 20;

/// Longest value of a key that is shown, in characters.
const LONGEST_SHOWN: usize = 60;

/// True if an item that a sample has brought along is pending.
pub(super) fn is_pending(change: &dyn Change, item: &Item) -> bool {
    match change.computing() {
        Some(computing) => computing.is_pending_whole(item),
        // The sample has asked for these alone.
        None => true,
    }
}

/// Refuses to converge to values that are others each time.
///
/// Errors: `InvalidInput`, naming `mode`, with one of these items.
pub(super) fn refuse_unsettled(change: &dyn Change, items: &[Item]) -> Result<()> {
    let converging = change.computing();
    let converging = converging.filter(|computing| computing.mode() == Mode::Converge);
    let Some(converging) = converging else {
        return Ok(());
    };
    let mut unsettled = items
        .iter()
        .filter_map(|item| Some((item, converging.unsettled(item)?)));
    let Some((item, unsettled)) = unsettled.next() else {
        return Ok(());
    };
    let then = match &unsettled.then {
        Some(then) => shown(then),
        None => "nothing, since it cannot be computed".to_owned(),
    };
    Err(Error::invalid(
        "mode",
        format!(
            "to converge, a value must stay what it is once it is written, and {} does not: item {} would get {}, and from that {then}; \
             change the template, or give mode replace with a predicate that the value makes false; nothing was written",
            shown_name(&unsettled.target),
            change.keys().key_of(item),
            shown(&unsettled.first),
        ),
    ))
}

/// A value as plain JSON on one line, shortened.
fn shown(value: &Value) -> String {
    cut(&serde_json::to_string(&Plain(value)).unwrap_or_default())
}

fn cut(text: &str) -> String {
    let text = printable(text);
    match text.chars().count() > LONGEST_SHOWN {
        true => text.chars().take(LONGEST_SHOWN).chain(['…']).collect(),
        false => text,
    }
}

/// What is kept of a page of a sample.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ComputedPage {
    /// Items that were looked at.
    items: u64,
    /// How many of them lack each source, in the order of [`Computing::sources`].
    sourceless: Vec<u64>,
    /// Pending items of which nothing can be made, by [`Unmade::kind`].
    failures: BTreeMap<String, Failing>,
    /// Items whose value is another than their sources give.
    different: u64,
    /// Pending items of which something can be made, and the bytes by which they grow.
    made: u64,
    bytes_more: f64,
    /// What becomes of each index that the targets touch, in the order of the indexes.
    indexes: Vec<IndexPage>,
}

/// Items of which nothing can be made.
#[derive(Debug, Clone, PartialEq)]
struct Failing {
    items: u64,
    /// Why, of the first one.
    why: Unmade,
    /// Its key.
    example: Key,
}

/// What becomes of an index, by the items of a page.
#[derive(Debug, Clone, PartialEq)]
struct IndexPage {
    entries: u64,
    bytes: u64,
    /// For partition and sort key of the index: how many entries have each value, by its digest or itself. `None` if no target is
    /// in that key.
    partition: Option<BTreeMap<String, Counted>>,
    sort: Option<BTreeMap<String, Counted>>,
}

/// How many entries have a value.
#[derive(Debug, Clone, PartialEq)]
struct Counted {
    shown: String,
    entries: u64,
}

/// The indexes of which a target is in the key or in what they hold.
fn touched<'a>(
    computing: &dyn Computing,
    keys: &KeySchema,
    indexes: &'a [IndexFacts],
) -> Vec<&'a IndexFacts> {
    let targets = computing.targets();
    let is_touched = |index: &&IndexFacts| targets.iter().any(|target| holds(keys, index, target));
    indexes.iter().filter(is_touched).collect()
}

/// The attributes of partition and sort key of an index.
fn key_parts(index: &IndexFacts) -> [Vec<&str>; 2] {
    let (partition, sort) = index
        .keys
        .split_at(index.partition_keys.min(index.keys.len()));
    [partition, sort].map(|part| part.iter().map(|key| key.name.as_str()).collect())
}

impl ComputedPage {
    /// What is to be kept of these items, which a sample of the change has brought along, and how those that are pending would not fit
    /// an index by what they get.
    pub(super) fn new(
        computing: &dyn Computing,
        keys: &KeySchema,
        indexes: &[IndexFacts],
        items: &[Item],
    ) -> (ComputedPage, Vec<Misfit>) {
        let (sources, targets) = (computing.sources(), computing.targets());
        let is_target = |name: &str| targets.contains(&name);
        let touched = touched(computing, keys, indexes);
        let counting = |attributes: &[&str]| {
            let has_target = attributes.iter().any(|name| is_target(name));
            has_target.then(BTreeMap::new)
        };
        let of_index = |index: &&IndexFacts| {
            let [partition, sort] = key_parts(index);
            IndexPage {
                entries: 0,
                bytes: 0,
                partition: counting(&partition),
                sort: counting(&sort),
            }
        };
        let mut page = ComputedPage {
            items: items.len() as u64,
            sourceless: vec![0; sources.len()],
            indexes: touched.iter().map(of_index).collect(),
            ..ComputedPage::default()
        };
        let mut unfit = Vec::new();
        for item in items {
            for (source, sourceless) in sources.iter().zip(&mut page.sourceless) {
                *sourceless += u64::from(source.path.get(item).is_none());
            }
            let after = page.look_at(computing, keys, item);
            let after = after.as_ref().unwrap_or(item);
            if !std::ptr::eq(after, item) {
                let found = misfits(keys, indexes, after);
                unfit.extend(found.into_iter().filter(|it| is_target(&it.attribute)));
            }
            for (index, of_page) in touched.iter().zip(&mut page.indexes) {
                of_page.add(keys, index, after);
            }
        }
        (page, unfit)
    }

    /// Counts an item; gives it as it would be afterwards, if it would be another.
    fn look_at(
        &mut self,
        computing: &dyn Computing,
        keys: &KeySchema,
        item: &Item,
    ) -> Option<Item> {
        if !computing.is_pending_whole(item) {
            let is_different = computing.mode() == Mode::Missing && computing.is_different(item);
            self.different += u64::from(is_different);
            return None;
        }
        match computing.after(item) {
            Ok(after) => {
                self.made += 1;
                self.different += u64::from(computing.mode() == Mode::Converge);
                self.bytes_more += item_bytes(&after) as f64 - item_bytes(item) as f64;
                Some(after)
            }
            Err(why) => {
                let kind = why.kind();
                let failing = self.failures.entry(kind).or_insert_with(|| Failing {
                    items: 0,
                    why,
                    example: keys.key_of(item),
                });
                failing.items += 1;
                None
            }
        }
    }

    fn failed(&self) -> u64 {
        self.failures.values().map(|failing| failing.items).sum()
    }
}

impl IndexPage {
    fn add(&mut self, keys: &KeySchema, index: &IndexFacts, item: &Item) {
        if !misfits(keys, std::slice::from_ref(index), item).is_empty() {
            return;
        }
        let Some(entry) = index_entry(keys, index, item) else {
            return;
        };
        self.entries += 1;
        self.bytes += item_bytes(&entry);
        let parts = [&mut self.partition, &mut self.sort];
        for (counted, attributes) in parts.into_iter().zip(key_parts(index)) {
            let Some(counted) = counted else { continue };
            let values = attributes.iter().filter_map(|name| entry.get(*name));
            let values: Vec<Plain<'_>> = values.map(Plain).collect();
            let text = serde_json::to_string(&values).unwrap_or_default();
            // Without the brackets of the list.
            let listed = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
            let shown = cut(listed.unwrap_or(&text));
            let value = match text.len() <= LONGEST_SHOWN {
                true => text,
                false => sha256(&text),
            };
            let first = || Counted { shown, entries: 0 };
            counted.entry(value).or_insert_with(first).entries += 1;
        }
    }
}

/// What a sample says of values that are computed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComputedSample {
    /// Which items are pending.
    pub mode: Mode,
    /// Sampled items that were looked at: all of them, or in mode replace those that are pending.
    pub items: u64,
    /// What is read of an item.
    pub sources: Vec<SourceSample>,
    /// Pending items of which nothing can be computed.
    pub failed: Part,
    /// The same by attribute, function and reason, the most frequent first: at most 20 of them.
    pub failures: Vec<Failures>,
    /// Items whose value is another than their sources give: in mode converge they are pending, and in mode missing they stay as they
    /// are. Null in mode replace.
    pub different: Option<Part>,
    /// Bytes by which a migrated item grows on average; null if nothing was computed.
    pub bytes_more: Option<f64>,
    /// What becomes of each index that the targets touch.
    pub indexes: Vec<IndexAfter>,
}

/// Items of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Part {
    /// How many items of the sample these are.
    pub items: u64,
    /// The part of all items that they are, 0 to 1.
    pub share: Interval,
}

/// What is read of an item.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceSample {
    /// Where it stands, such as `address.city`.
    pub source: String,
    /// The same.
    #[serde(skip)]
    pub path: Path,
    /// True if no value can be computed without it.
    pub required: bool,
    /// Items of the sample that lack it.
    pub missing: Part,
}

/// Items for which an attribute cannot be computed, for one reason.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failures {
    /// The attribute; null if code makes all of them at once.
    pub attribute: Option<String>,
    /// The function that fails; null if a source is missing, or if the whole is no value.
    pub function: Option<String>,
    /// The reason, for the item that is named.
    pub reason: String,
    /// How many items these are.
    pub of: Part,
    /// The key of one of them.
    pub example: Key,
}

/// What becomes of an index.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IndexAfter {
    /// The index's name.
    pub index: String,
    /// Items that are in it afterwards.
    pub entries: Part,
    /// Bytes of an entry on average; null if there is none.
    pub entry_bytes: Option<f64>,
    /// How the values of its keys are spread; those of a key that the targets are not part of are left out.
    pub keys: Vec<KeyValues>,
}

/// How the values of a key of an index are spread.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeyValues {
    /// Its attributes.
    pub attributes: Vec<String>,
    /// True for the partition key.
    pub is_partition: bool,
    /// How many values there are in the sample.
    pub distinct: u64,
    /// The most frequent one, shortened.
    pub most_frequent: String,
    /// How many entries have it.
    pub items: u64,
    /// The part of the entries that have it, 0 to 1.
    pub share: Interval,
}

/// How a part is drawn on: of these items of each page, among those of each page.
pub(super) type Drawn<'a> = &'a dyn Fn(&[u64], &[u64]) -> Interval;

impl ComputedSample {
    /// What these pages of a table with these keys and indexes say, each of which has scanned so many items.
    pub(super) fn new(
        computing: &dyn Computing,
        (keys, indexes): (&KeySchema, &[IndexFacts]),
        pages: &[&ComputedPage],
        scanned: &[u64],
        drawn: Drawn<'_>,
    ) -> ComputedSample {
        let part = |count: &dyn Fn(&ComputedPage) -> u64| {
            let counts: Vec<u64> = pages.iter().map(|page| count(page)).collect();
            Part {
                items: counts.iter().sum(),
                share: drawn(&counts, scanned),
            }
        };
        let sources = computing.sources().into_iter().enumerate();
        let made: u64 = pages.iter().map(|page| page.made).sum();
        let bytes_more: f64 = pages.iter().map(|page| page.bytes_more).sum();
        ComputedSample {
            mode: computing.mode(),
            items: pages.iter().map(|page| page.items).sum(),
            sources: sources
                .map(|(nth, source)| SourceSample {
                    source: source.path.to_string(),
                    path: source.path,
                    required: source.required,
                    missing: part(&|page| page.sourceless[nth]),
                })
                .collect(),
            failed: part(&ComputedPage::failed),
            failures: failures(pages, &part),
            different: (computing.mode() != Mode::Replace).then(|| part(&|page| page.different)),
            bytes_more: (made > 0).then(|| bytes_more / made as f64),
            indexes: touched(computing, keys, indexes)
                .into_iter()
                .enumerate()
                .map(|(nth, index)| IndexAfter::new(index, nth, pages, &part, drawn))
                .collect(),
        }
    }
}

impl ComputedSample {
    /// Where the sources stand.
    pub(super) fn paths(&self) -> Vec<Path> {
        let sources = self.sources.iter();
        sources.map(|source| source.path.clone()).collect()
    }
}

type PartOf<'a> = &'a dyn Fn(&dyn Fn(&ComputedPage) -> u64) -> Part;

fn failures(pages: &[&ComputedPage], part: PartOf<'_>) -> Vec<Failures> {
    let mut kinds: BTreeMap<&str, &Failing> = BTreeMap::new();
    for (kind, failing) in pages.iter().flat_map(|page| &page.failures) {
        kinds.entry(kind).or_insert(failing);
    }
    let kinds = kinds.into_iter().map(|(kind, failing)| {
        let items = |page: &ComputedPage| page.failures.get(kind).map_or(0, |it| it.items);
        let Unmade { target, why } = &failing.why;
        // Code makes all attributes at once, and says in its reason what it is about.
        let (function, reason) = match target {
            Some(_) => (why.function.clone(), printable(&why.reason)),
            None => (None, failing.why.to_string()),
        };
        Failures {
            attribute: target.clone(),
            function,
            reason,
            of: part(&items),
            example: failing.example.clone(),
        }
    });
    let mut failures: Vec<Failures> = kinds.collect();
    failures.sort_by_key(|failures| std::cmp::Reverse(failures.of.items));
    failures.truncate(MOST_KINDS);
    failures
}

impl IndexAfter {
    /// What becomes of this index, the one in this place of each page.
    fn new(
        index: &IndexFacts,
        nth: usize,
        pages: &[&ComputedPage],
        part: PartOf<'_>,
        drawn: Drawn<'_>,
    ) -> IndexAfter {
        let of_pages: Vec<&IndexPage> = pages.iter().map(|page| &page.indexes[nth]).collect();
        let entries = part(&|page| page.indexes[nth].entries);
        let bytes: u64 = of_pages.iter().map(|page| page.bytes).sum();
        let all: Vec<u64> = of_pages.iter().map(|page| page.entries).collect();
        let [partition, sort] = key_parts(index);
        let values = |attributes: Vec<&str>, is_partition| {
            let of_page = |page: &&IndexPage| match is_partition {
                true => page.partition.clone(),
                false => page.sort.clone(),
            };
            let counted: Option<Vec<_>> = of_pages.iter().map(of_page).collect();
            KeyValues::new(attributes, is_partition, &counted?, &all, drawn)
        };
        let keys = [values(partition, true), values(sort, false)];
        IndexAfter {
            index: index.name.clone(),
            entries,
            entry_bytes: (entries.items > 0).then(|| bytes as f64 / entries.items as f64),
            keys: keys.into_iter().flatten().collect(),
        }
    }
}

impl KeyValues {
    /// The values of a key, by the counts of each page; `None` if there are none.
    fn new(
        attributes: Vec<&str>,
        is_partition: bool,
        pages: &[BTreeMap<String, Counted>],
        entries: &[u64],
        drawn: Drawn<'_>,
    ) -> Option<KeyValues> {
        let mut all: BTreeMap<&str, (&str, u64)> = BTreeMap::new();
        for (value, counted) in pages.iter().flatten() {
            let first = (counted.shown.as_str(), 0);
            all.entry(value).or_insert(first).1 += counted.entries;
        }
        // Of equally frequent ones always the same.
        let most = all.iter().rev().max_by_key(|(_, (_, items))| *items);
        let (value, (shown, items)) = most?;
        let of_page =
            |page: &BTreeMap<String, Counted>| page.get(*value).map_or(0, |it| it.entries);
        let counts: Vec<u64> = pages.iter().map(of_page).collect();
        Some(KeyValues {
            attributes: attributes.into_iter().map(str::to_owned).collect(),
            is_partition,
            distinct: all.len() as u64,
            most_frequent: (*shown).to_owned(),
            items: *items,
            share: drawn(&counts, entries),
        })
    }
}

/// What tells an item from others as far as its sources go: whether each is there, and of which type.
pub(super) fn shape(sources: &[Path], item: &Item) -> Vec<String> {
    let of_source = |path: &Path| match path.get(item) {
        None => "missing".to_owned(),
        Some(value) => type_of(value).to_owned(),
    };
    sources.iter().map(of_source).collect()
}

/// How unlike the sources of two items are, 0 to 1: another type counts in full, another length of the same type by half.
pub(super) fn distance(sources: &[Path], a: &Item, b: &Item) -> f64 {
    let of_source = |path: &Path| match (path.get(a), path.get(b)) {
        (None, None) => 0.0,
        (Some(a), Some(b)) if type_of(a) == type_of(b) => {
            let bytes = |value: &Value| value_bytes(value) as f64;
            let (a, b) = (bytes(a), bytes(b));
            0.5 * (a - b).abs() / a.max(b).max(1.0)
        }
        _ => 1.0,
    };
    sources.iter().map(of_source).sum::<f64>() / sources.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Request;
    use crate::survey::sample::{ReadPage, Sample, SampledPage};
    use crate::survey::tests::{index, item, table};
    use crate::survey::warnings::{Known, warnings};
    use crate::survey::{Forecast, Limit, Projection, TableFacts, Tried};
    use crate::table::{KeyAttribute, KeyType};
    use crate::view::cost::Prices;

    const KEY: &str = r#"{"gsi1pk":"${tenant}#${status|lower}"}"#;

    fn change(compute: &str, more: &str) -> crate::change::SharedChange {
        let json = format!(r#"{{"table":"stuff","compute":{compute}{more}}}"#);
        Request::from_json(&json)
            .unwrap()
            .spec
            .change(&table().keys)
    }

    /// A table with a global index on `gsi1pk` that holds nothing else, and one on `sk1` that is local.
    fn facts() -> TableFacts {
        let local = IndexFacts {
            name: "local".into(),
            local: true,
            keys: vec![
                KeyAttribute::new("id", KeyType::S),
                KeyAttribute::new("sk1", KeyType::S),
            ],
            ..index(&[], Projection::KeysOnly)
        };
        TableFacts {
            indexes: vec![index(&["gsi1pk"], Projection::KeysOnly), local],
            ..table()
        }
    }

    fn sample(change: &dyn Change, facts: &TableFacts, items: Vec<Item>, whole: bool) -> Sample {
        let computed = change.computing().unwrap();
        let targets: Vec<String> = computed.targets().into_iter().map(str::to_owned).collect();
        let half = items.len() / 2;
        let pages = [&items[..half], &items[half..]].map(|items| {
            let page = ReadPage {
                scanned: items.len() as u64,
                items: items.to_vec(),
                consumed_rcu: 1.0,
                is_whole_segment: whole,
            };
            SampledPage::new(page, change, &facts.indexes, &targets, 5)
        });
        let segments = if whole { 2 } else { 10_000 };
        Sample::of(change, &facts.indexes, &pages, segments)
    }

    /// Warnings of what this sample says, as code and text.
    fn warned(change: &dyn Change, facts: &TableFacts, sample: &Sample) -> Vec<(String, String)> {
        let computed = change.computing().unwrap();
        let targets: Vec<String> = computed.targets().into_iter().map(str::to_owned).collect();
        let settings = crate::request::RequestedSettings {
            max_wcu: Some(1_000),
            ..Default::default()
        };
        let settings = settings.choose(0);
        let forecast = Forecast::new(facts, sample, &[], &settings, &[], &Prices::default());
        let known = Known {
            facts,
            sample,
            tried: &[],
            also_tried: &[],
            forecast: &forecast,
            settings: &settings,
            targets: &targets,
            computing: Some(computed),
            what_to_change: "compute",
            held: &[],
            others: &[],
            concurrency: None,
        };
        let found = warnings(&known).into_iter();
        found.map(|it| (it.code.to_owned(), it.what)).collect()
    }

    fn orders(count: u32, status: impl Fn(u32) -> &'static str) -> Vec<Item> {
        let order = |n| {
            item(&format!(
                r#"{{"id":"{n}","tenant":"a{}","status":"{}"}}"#,
                n % 2,
                status(n)
            ))
        };
        (0..count).map(order).collect()
    }

    #[test]
    fn a_sample_says_what_is_missing_what_fails_what_differs_and_what_becomes_of_indexes() {
        let change = change(
            r#"{"gsi1pk":"${tenant}#${status|lower}","total":"${price|number}"}"#,
            "",
        );
        let mut items = orders(20, |_| "OPEN");
        for (n, item) in items.iter_mut().enumerate() {
            let price = if n < 3 {
                format!("about {n}")
            } else {
                n.to_string()
            };
            item.insert("price".into(), Value::S(price));
        }
        // It is not pending, whatever it has.
        items[18].remove("tenant");
        items[19].insert("gsi1pk".into(), Value::S("other".into()));
        items[19].insert("total".into(), Value::N("19".into()));
        let facts = facts();
        let sample = sample(&*change, &facts, items, true);
        assert_eq!((sample.items, sample.pending), (20, 18));
        let computed = sample.computed.clone().unwrap();
        let missing: Vec<_> = computed
            .sources
            .iter()
            .map(|it| (&*it.source, it.missing.items))
            .collect();
        assert_eq!(missing, [("tenant", 1), ("status", 0), ("price", 0)]);
        assert_eq!(computed.sources[0].missing.share, Interval::exactly(0.05));
        // Three texts that are no numbers fail in one way.
        assert_eq!(computed.failed.items, 3);
        let [failures] = &computed.failures[..] else {
            panic!("{computed:?}")
        };
        let of_total = (failures.attribute.as_deref(), failures.of.items);
        assert_eq!(of_total, (Some("total"), 3));
        assert_eq!(failures.function.as_deref(), Some("number"));
        assert!(failures.reason.contains("about 0"), "{failures:?}");
        assert_eq!(failures.example, Key(item(r#"{"id":"0"}"#)));
        assert_eq!(computed.different.unwrap().items, 1);
        // A name of 6 and a text of 7 bytes, and a name of 5 and a number of up to two digits, which has 2 bytes.
        assert_eq!(computed.bytes_more, Some(20.0));
        let [of_index] = &computed.indexes[..] else {
            panic!("{computed:?}")
        };
        // What cannot be computed is not in it: 15 that are computed, and one that was.
        assert_eq!((&*of_index.index, of_index.entries.items), ("by", 16));
        let [key] = &of_index.keys[..] else {
            panic!("{of_index:?}")
        };
        assert!(key.is_partition);
        assert_eq!((key.distinct, key.items), (3, 8));
        assert_eq!(key.most_frequent, r#""a1#open""#);
        assert_eq!(key.share, Interval::exactly(0.5));
        let warned = warned(&*change, &facts, &sample);
        let codes: Vec<&str> = warned.iter().map(|(code, _)| code.as_str()).collect();
        assert_eq!(
            codes,
            ["cannot_be_computed", "sources_are_missing"],
            "{warned:?}"
        );
        assert!(warned[0].1.starts_with(
            "nothing can be computed for 3 of 18 pending sampled items: total by number: "
        ));
        assert!(
            warned[1]
                .1
                .starts_with("tenant is missing in 1 of 20 sampled items: such items get no value")
        );
    }

    #[test]
    fn a_value_that_most_entries_of_an_index_share_is_warned_of_and_bounds_the_run() {
        let change = change(KEY, "");
        let facts = facts();
        let hot = |n: u32| if n.is_multiple_of(10) { "NEW" } else { "OPEN" };
        let spread = sample(
            &*change,
            &facts,
            orders(100, |n| ["A", "B", "C"][n as usize % 3]),
            false,
        );
        assert!(warned(&*change, &facts, &spread).is_empty());
        let few = sample(&*change, &facts, orders(20, hot), false);
        assert!(warned(&*change, &facts, &few).is_empty());
        let most = sample(&*change, &facts, orders(100, hot), false);
        let warned = warned(&*change, &facts, &most);
        let [(code, what)] = &warned[..] else {
            panic!("{warned:?}")
        };
        assert_eq!(code, "index_would_be_hot");
        assert!(what.starts_with("50 % ("), "{what}");
        assert!(
            what.contains("index by would have the partition key \"a1#open\" (gsi1pk)"),
            "{what}"
        );
        // Five million items, half of them under one key.
        let settings = crate::request::RequestedSettings::default().choose(0);
        let before = item(r#"{"id":"1","tenant":"a1","status":"OPEN"}"#);
        let tried = [Tried {
            after: Ok(change.computing().unwrap().after(&before).unwrap()),
            before,
            is_extinguished: true,
        }];
        let forecast = Forecast::new(&facts, &most, &tried, &settings, &[], &Prices::default());
        let of_key =
            |bound: &&crate::survey::Bound| bound.limit == Limit::IndexPartition("by".into());
        let bound = forecast.bounds.iter().find(of_key).unwrap();
        assert_eq!(bound.seconds, 2_500.0);
        assert_eq!(forecast.sweep_seconds, 2_500.0);
    }

    #[test]
    fn values_that_do_not_fit_an_index_are_misfits_and_those_that_they_replace_are_none() {
        let facts = facts();
        let items = || {
            let order = |n| item(&format!(r#"{{"id":"{n}","qty":{n},"gsi1pk":7}}"#));
            (0..10).map(order).collect::<Vec<_>>()
        };
        let wrong = change(r#"{"gsi1pk":"${qty}"}"#, r#","mode":"converge""#);
        let found = sample(&*wrong, &facts, items(), true);
        let [misfits] = &found.misfits[..] else {
            panic!("{:?}", found.misfits)
        };
        // One has the value already, and is not pending.
        assert_eq!((&*misfits.attribute, misfits.items), ("gsi1pk", 9));
        assert_eq!(misfits.why, "is of type N and must be S");
        assert_eq!(found.computed.unwrap().indexes[0].entries.items, 0);
        let right = change(r#"{"gsi1pk":"${qty|text}"}"#, r#","mode":"converge""#);
        let found = sample(&*right, &facts, items(), true);
        assert!(found.misfits.is_empty(), "{:?}", found.misfits);
        assert_eq!(found.pending, 10);
        assert_eq!(found.computed.unwrap().different.unwrap().items, 10);
    }

    #[test]
    fn a_key_that_only_joins_attributes_need_not_be_written() {
        let facts = facts();
        let codes = |compute: &str| -> Vec<(String, String)> {
            let change = change(compute, "");
            let sample = sample(&*change, &facts, orders(10, |_| "OPEN"), true);
            warned(&*change, &facts, &sample)
        };
        for (compute, words) in [
            (
                r#"{"gsi1pk":"${tenant}#${status}"}"#,
                "gsi1pk only joins tenant, status and is in the key of index by: partition and sort key of a global index can have up to 4",
            ),
            (
                r#"{"other":"${tenant}#${status}"}"#,
                "other only joins tenant, status and may be meant for the key of an index",
            ),
        ] {
            let found = codes(compute);
            let [(code, what)] = &found[..] else {
                panic!("{compute}: {found:?}")
            };
            assert_eq!(code, "index_can_have_the_sources");
            assert!(what.starts_with(words), "{what}");
        }
        for compute in [
            KEY,
            r#"{"gsi1pk":"${tenant}"}"#,
            r#"{"name":"${tenant} ${status}"}"#,
            r#"{"gsi1pk":"ORDER#${tenant}#${status}"}"#,
            r#"{"sk1":"${tenant}#${status}"}"#,
        ] {
            assert_eq!(codes(compute), [], "{compute}");
        }
    }

    #[test]
    fn converging_to_what_changes_each_time_is_refused() {
        let items = [
            item(r#"{"id":"1","name":"x"}"#),
            item(r#"{"id":"2","name":"aé"}"#),
        ];
        let of = |template: &str, mode: &str| {
            let compute = format!(r#"{{"name":"{template}"}}"#);
            refuse_unsettled(&*change(&compute, mode), &items)
        };
        let converge = r#","mode":"converge""#;
        of("${name|upper}", converge).unwrap();
        let refused = of("${name}y", converge).unwrap_err();
        assert_eq!(refused.kind(), crate::ErrorKind::InvalidInput);
        let why = "mode: to converge, a value must stay what it is once it is written, and name does not: item {\"id\":{\"S\":\"1\"}} \
                   would get \"xy\", and from that \"xyy\"";
        assert!(refused.to_string().starts_with(why), "{refused}");
        let replace = r#","mode":"replace","pending":"size(name) < :two","values":{":two":2}"#;
        of("${name}y", replace).unwrap();
    }

    #[test]
    fn examples_differ_in_what_they_are_computed_from() {
        let paths = [Path::attribute("a"), Path::attribute("b")];
        let tried = |json: &str| Tried {
            after: Ok(item(json)),
            before: item(json),
            is_extinguished: true,
        };
        let mut all: Vec<Tried> = (0..20)
            .map(|n| {
                tried(&format!(
                    r#"{{"id":"{n}","a":"xx","b":"y","c":"{}"}}"#,
                    "z".repeat(n)
                ))
            })
            .collect();
        all.insert(5, tried(r#"{"id":"number","a":1,"b":"y","c":"zzzz"}"#));
        all.insert(9, tried(r#"{"id":"without","a":1,"c":"zzzz"}"#));
        let ids = |all: &[Tried]| -> Vec<Value> {
            let chosen = crate::survey::examples::diverse_in(&paths, all.iter());
            chosen.iter().map(|it| it.before["id"].clone()).collect()
        };
        let expected = ["0", "without", "number"].map(|id| Value::S(id.into()));
        assert_eq!(ids(&all), expected);
        assert_eq!(ids(&all[..1]).len(), 1);
        assert!(ids(&[]).is_empty());
    }
}
