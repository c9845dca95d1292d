//! Values that are computed from the item itself. A write of one says under which sources it was computed: its guard is that of
//! the pair, and that every source is what was read.
//!
//! So a value of ours always was that of the sources which stood beside it at the moment of the write (promise: computed). What has
//! moved meanwhile fails the guard, and is computed again from the item that the failure brings along.

mod told;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::compute::Mode;
use super::evaluate::Parsed;
use super::expression::{OURS, lacks_any_of};
use super::maker::Maker;
use super::pair::Pair;
use super::partiql::{BoundStatement, Watching};
use super::seam::{Change, Computing, Condition, GuardedUpdate, Lacks, Made, Seen, Sweep, Weighed};
use super::spec::Spec;
use crate::compute::{Path, is_same};
use crate::table::KeySchema;
use crate::value::few::{Attributes, Few};
use crate::value::packed::{PackedKey, ValueRef};
use crate::{Item, Value};

/// Targets that get what their templates give, on one table.
#[derive(Debug)]
pub struct Computed {
    /// Predicate, keys and guard. In [`Mode::Converge`] its predicate says that there is something to compute from, and no more.
    pair: Pair,
    mode: Mode,
    maker: Maker,
    targets: Vec<Target>,
    /// What an item must have for anything to be computed.
    required: Vec<Path>,
    /// What the guard compares with what was read.
    watched: Vec<Watched>,
    /// The top-level attributes that a sweep brings along.
    reads: Vec<String>,
    sweep: Sweep,
    proof: Sweep,
    /// `#name` → attribute, of the guard.
    guard_names: BTreeMap<String, String>,
    partiql: Result<Watching, String>,
    /// An operator's predicate, or that of code; `None` if it cannot be read here.
    predicate: Option<Parsed>,
}

/// An attribute that is set or removed.
#[derive(Debug)]
struct Target {
    attribute: String,
    /// Its placeholder, and that of its value.
    name: String,
    value: String,
}

/// What the guard compares.
#[derive(Debug)]
struct Watched {
    path: Path,
    /// The path in an expression.
    expression: String,
    /// The placeholder of what was read.
    value: String,
}

/// The placeholders of a path: its expression, and each `#name` → attribute.
fn placed(kind: &str, nth: usize, path: &Path) -> (String, Vec<(String, String)>) {
    let names = path.names().iter().enumerate();
    let names: Vec<(String, String)> = names
        .map(|(depth, name)| (format!("#{OURS}{kind}{nth}_{depth}"), name.clone()))
        .collect();
    let expression: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
    (expression.join("."), names)
}

/// The paths of which none lies within another, in order: DynamoDB takes no two that overlap.
fn outermost(paths: impl IntoIterator<Item = Path>) -> Vec<Path> {
    let all: BTreeSet<Path> = paths.into_iter().collect();
    let is_within = |path: &Path| all.iter().any(|other| other != path && other.covers(path));
    all.iter()
        .filter(|path| !is_within(path))
        .cloned()
        .collect()
}

/// The sweep that brings the key and these paths along.
fn sweep(filter: &Condition, keys: &KeySchema, paths: &[Path]) -> Sweep {
    let mut names = filter.names.clone();
    let mut projection = Vec::new();
    for (i, key) in keys.names().enumerate() {
        let name = format!("#{OURS}key{i}");
        projection.push(name.clone());
        names.insert(name, key.to_owned());
    }
    for (i, path) in paths.iter().enumerate() {
        let (expression, of_path) = placed("of", i, path);
        projection.push(expression);
        names.extend(of_path);
    }
    Sweep {
        filter: filter.expression.clone(),
        projection: projection.join(", "),
        names,
        values: filter.values.clone(),
    }
}

impl Computed {
    /// The change that `spec`, whose values this makes, is on a table with these keys.
    pub(super) fn new(spec: &Spec, mode: Mode, maker: Maker, keys: &KeySchema) -> Computed {
        let targets = targets(&maker);
        let all_sources = maker.sources();
        let sources = || all_sources.iter();
        let is_key = |path: &Path| keys.names().any(|key| key == path.names()[0]);
        let required = sources().filter(|source| source.required && !is_key(&source.path));
        let required: BTreeSet<Path> = required.map(|source| source.path.clone()).collect();
        let required: Vec<Path> = required.into_iter().collect();
        let of_targets = || {
            targets
                .iter()
                .map(|target| Path::attribute(&target.attribute))
        };
        let read = sources().map(|source| source.path.clone());
        // A value that is there is a live writer's as long as nobody says otherwise: what is replaced is what was seen.
        let read = read.chain(of_targets().filter(|_| mode != Mode::Missing));
        let read = outermost(read.filter(|path| !is_key(path)));
        let all = outermost(read.iter().cloned().chain(of_targets()));
        let there = exist(&required, keys);
        let pending = match mode {
            Mode::Missing => missing(&targets, &there, &required),
            Mode::Converge => there.clone(),
            Mode::Replace => Condition::of(&spec.pending, spec),
        };
        let pair = Pair::guarding(spec, &pending, keys);
        let mut guard_names = pair.guard_names();
        let mut watched = Vec::new();
        for (i, path) in read.iter().enumerate() {
            let (expression, names) = placed("of", i, path);
            guard_names.extend(names);
            watched.push(Watched {
                path: path.clone(),
                expression,
                value: format!(":{OURS}of{i}"),
            });
        }
        let attributes: BTreeSet<&String> = sources()
            .map(|source| &source.path.names()[0])
            .chain(read.iter().map(|path| &path.names()[0]))
            .collect();
        Computed {
            mode,
            reads: attributes.into_iter().cloned().collect(),
            sweep: sweep(&pending, keys, &read),
            proof: match mode {
                Mode::Replace => sweep(&pending, keys, &[]),
                Mode::Missing | Mode::Converge => sweep(&there, keys, &all),
            },
            partiql: partiql(spec, mode, &pending, keys, &targets, &watched),
            predicate: match mode {
                Mode::Replace => {
                    Parsed::new(&pending.expression, &pending.names, &pending.values).ok()
                }
                Mode::Missing | Mode::Converge => None,
            },
            pair,
            maker,
            targets,
            required,
            watched,
            guard_names,
        }
    }

    /// Bytes of the longest expression that any of its requests may have.
    pub(super) fn longest_expression(&self) -> usize {
        // That something is missing takes more words than what it is like.
        let absent = self.watched.iter();
        let absent = absent.map(|watched| format!("attribute_not_exists({})", watched.expression));
        let absent: Vec<String> = absent.collect();
        let mut made = Made::default();
        for target in &self.targets {
            made.set.insert(target.attribute.clone(), Value::Null(true));
        }
        let expressions = [
            self.pair.guard().and(&absent).as_str().len(),
            self.update_of(&made).0.len(),
            self.pair.not_pending().expression.len(),
            self.sweep.projection.len(),
            self.proof.projection.len(),
        ];
        expressions.into_iter().max().unwrap_or_default()
    }

    /// Whether everything is there that is needed.
    fn has_sources(&self, item: &dyn Attributes) -> bool {
        self.required.iter().all(|path| path.get(item).is_some())
    }

    fn lacks_target(&self, item: &dyn Attributes) -> bool {
        let mut targets = self.targets.iter();
        targets.any(|target| item.attribute(&target.attribute).is_none())
    }

    /// The update of what was made, with the names that it uses and no others.
    fn update_of(&self, made: &Made) -> (String, Vec<(String, String)>) {
        let mut names = Vec::new();
        let mut set = Vec::new();
        let mut remove = Vec::new();
        for target in &self.targets {
            let (name, value) = (&target.name, &target.value);
            if made.set.contains_key(&target.attribute) {
                set.push(match (self.mode, self.targets.len()) {
                    // Of several that one is missing says nothing of the others.
                    (Mode::Missing, 2..) => format!("{name} = if_not_exists({name}, {value})"),
                    _ => format!("{name} = {value}"),
                });
            } else if made.remove.contains(&target.attribute) {
                remove.push(name.as_str());
            } else {
                continue;
            }
            names.push((name.clone(), target.attribute.clone()));
        }
        let mut update = String::new();
        for (section, parts) in [("SET ", set.join(", ")), ("REMOVE ", remove.join(", "))] {
            if !parts.is_empty() {
                let space = if update.is_empty() { "" } else { " " };
                update.push_str(&format!("{space}{section}{parts}"));
            }
        }
        (update, names)
    }
}

/// What is set, with placeholders.
fn targets(maker: &Maker) -> Vec<Target> {
    let targets = maker.targets().into_iter().enumerate();
    let targets = targets.map(|(i, attribute)| Target {
        attribute,
        name: format!("#{OURS}t{i}"),
        value: format!(":{OURS}t{i}"),
    });
    targets.collect()
}

/// That each of these is there. If none is asked for, that the item is.
fn exist(paths: &[Path], keys: &KeySchema) -> Condition {
    let mut condition = Condition::default();
    let mut parts = Vec::new();
    for (i, path) in paths.iter().enumerate() {
        let (expression, names) = placed("in", i, path);
        parts.push(format!("attribute_exists({expression})"));
        condition.names.extend(names);
    }
    if parts.is_empty() {
        let key = format!("#{OURS}key0");
        parts.push(format!("attribute_exists({key})"));
        condition.names.insert(key, keys.hash.name.clone());
    }
    condition.expression = parts.join(" AND ");
    condition
}

/// That one of the targets is missing, and everything is there that is needed.
fn missing(targets: &[Target], there: &Condition, required: &[Path]) -> Condition {
    let mut condition = lacking(targets);
    if !required.is_empty() {
        condition.names.extend(there.names.clone());
        condition.expression += &format!(" AND {}", there.expression);
    }
    condition
}

/// That one of the targets is missing.
fn lacking(targets: &[Target]) -> Condition {
    let mut condition = Condition::default();
    let named = |target: &Target| (target.name.clone(), target.attribute.clone());
    condition.names.extend(targets.iter().map(named));
    condition.expression = lacks_any_of(targets.iter().map(|target| target.name.as_str()));
    condition
}

/// The statement by which batches set the targets. That a source is there which must be, it need not ask beside the predicate of the
/// sweep: it asks whether the source is what was read, and of an item that was read without it nothing is sent.
fn partiql(
    spec: &Spec,
    mode: Mode,
    pending: &Condition,
    keys: &KeySchema,
    targets: &[Target],
    watched: &[Watched],
) -> Result<Watching, String> {
    if mode == Mode::Missing && targets.len() > 1 {
        return Err("if_not_exists in the update".into());
    }
    let of_watched = watched.iter().map(|watched| match watched.path.names() {
        [name] => Ok(name.as_str()),
        _ => Err(format!("the value inside a map at {}", watched.path)),
    });
    let watched = of_watched.collect::<Result<Vec<&str>, String>>()?;
    let asked = match mode {
        Mode::Missing => &lacking(targets),
        Mode::Converge => &Condition::default(),
        Mode::Replace => pending,
    };
    let targets: Vec<&str> = targets
        .iter()
        .map(|target| target.attribute.as_str())
        .collect();
    Watching::new(&Pair::spec_of(spec, asked), keys, &targets, &watched)
}

impl Change for Computed {
    fn table(&self) -> &str {
        self.pair.table()
    }

    fn keys(&self) -> &KeySchema {
        self.pair.keys()
    }

    fn fingerprint(&self) -> &str {
        self.pair.fingerprint()
    }

    fn pending(&self) -> &Condition {
        self.pair.pending()
    }

    fn not_pending(&self) -> &Condition {
        self.pair.not_pending()
    }

    fn sweep(&self) -> &Sweep {
        &self.sweep
    }

    fn is_pending(&self, item: &Seen) -> bool {
        match self.mode {
            Mode::Missing | Mode::Replace => true,
            // What cannot be computed stays pending, and is rejected.
            Mode::Converge => self.maker.differs(&item.read),
        }
    }

    fn proof(&self) -> &Sweep {
        &self.proof
    }

    fn sample(&self) -> Option<&Condition> {
        match self.mode {
            Mode::Replace => Some(self.pair.pending()),
            // What is not pending for want of a source has something to say of the templates, too.
            Mode::Missing | Mode::Converge => None,
        }
    }

    fn computing(&self) -> Option<&dyn Computing> {
        Some(self)
    }

    fn weigh(&self, item: &dyn Attributes) -> Weighed {
        if self.mode == Mode::Replace {
            return Weighed::Pending;
        }
        if !self.has_sources(item) {
            return Weighed::Done;
        }
        if self.mode == Mode::Missing && self.lacks_target(item) {
            return Weighed::Pending;
        }
        match (self.maker.differs(item), self.mode) {
            (false, _) => Weighed::Done,
            (true, Mode::Converge) => Weighed::Pending,
            (true, _) => Weighed::Different,
        }
    }

    fn tells_different(&self) -> bool {
        self.mode != Mode::Replace
    }

    fn lacks(&self) -> Option<&Lacks> {
        match self.mode {
            // Items without a source are not pending, and lack the target all the same.
            Mode::Missing => self.pair.lacks(),
            Mode::Replace | Mode::Converge => None,
        }
    }

    fn reads(&self) -> &[String] {
        &self.reads
    }

    fn writes_same_to_all(&self) -> bool {
        false
    }

    fn seen(&self, item: Few) -> Seen {
        let key = PackedKey::of_item(self.keys().names(), &item);
        let read = item.only(|name| self.reads.iter().any(|read| read == name));
        Seen { key, read }
    }

    fn make(&self, item: &Seen) -> Result<Made, String> {
        let made = self.maker.make(&item.read);
        // What is recorded has nothing of the item but its key.
        made.map_err(|why| why.recorded(&item.read))
    }

    fn update<'a>(&'a self, item: &'a Seen, made: &'a Made) -> GuardedUpdate<'a> {
        let mut values = self.pair.pending().values.clone();
        let mut conditions = Vec::with_capacity(self.watched.len());
        for watched in &self.watched {
            let Watched {
                expression, value, ..
            } = watched;
            conditions.push(match watched.path.get(&item.read) {
                Some(read) => {
                    values.insert(value.clone(), read.clone());
                    format!("{expression} = {value}")
                }
                None => format!("attribute_not_exists({expression})"),
            });
        }
        let (update, of_targets) = self.update_of(made);
        let mut names = self.guard_names.clone();
        names.extend(of_targets);
        for target in &self.targets {
            if let Some(made) = made.set.get(&target.attribute) {
                values.insert(target.value.clone(), made.clone());
            }
        }
        GuardedUpdate {
            update: Cow::Owned(update),
            condition: Cow::Owned(self.pair.guard().and(&conditions)),
            names: Cow::Owned(names),
            values: Cow::Owned(values),
        }
    }

    fn statement<'a>(
        &'a self,
        item: &'a Seen,
        made: &'a Made,
    ) -> Result<BoundStatement<'a>, &'a str> {
        let statement = self.partiql.as_ref().map_err(String::as_str)?;
        if made.set.len() < self.targets.len() {
            return Err("an attribute that is left as it is");
        }
        let of_targets = self
            .targets
            .iter()
            .filter_map(|target| made.set.get(&target.attribute));
        let watched = self
            .watched
            .iter()
            .map(|watched| watched.path.get(&item.read));
        statement.bind(&item.key, of_targets.map(ValueRef::from), watched)
    }

    fn why_no_statement(&self) -> Option<&str> {
        self.partiql.as_ref().err().map(String::as_str)
    }

    fn is_still_pending(&self, item: &Item) -> bool {
        match (self.mode, &self.predicate) {
            (Mode::Replace, Some(predicate)) => predicate.holds(item),
            (Mode::Replace, None) => true,
            (Mode::Missing | Mode::Converge, _) => self.weigh(item) == Weighed::Pending,
        }
    }

    fn why_not_evaluated(&self) -> Option<&str> {
        let is_unknown = self.mode == Mode::Replace && self.predicate.is_none();
        is_unknown.then_some("its predicate cannot be evaluated here")
    }

    fn moved(&self, item: &Seen, now: Item) -> Option<Seen> {
        let is_left =
            |watched: &Watched| match (watched.path.get(&item.read), watched.path.get(&now)) {
                (Some(read), Some(now)) => is_same(read, now),
                (read, now) => read.is_none() && now.is_none(),
            };
        // What was compared is as it was read, so it is the predicate that failed.
        if self.watched.iter().all(is_left) || !self.has_sources(&now) {
            return None;
        }
        let is_done = match self.mode {
            Mode::Missing => !self.lacks_target(&now),
            Mode::Converge => !self.is_pending(&self.seen(now.clone().into())),
            // A predicate that cannot be read here DynamoDB says once more, of what can be made.
            Mode::Replace => match &self.predicate {
                Some(predicate) => !predicate.holds(&now),
                None => self
                    .maker
                    .make(&self.seen(now.clone().into()).read)
                    .is_err(),
            },
        };
        (!is_done).then(|| self.seen(now.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Compute;
    use crate::table::{KeyAttribute, KeyType};

    /// Attributes of an item, beside its key.
    type Attributes<'a> = &'a [(&'a str, Value)];

    fn keys() -> KeySchema {
        KeySchema {
            hash: KeyAttribute::new("id", KeyType::S),
            range: Some(KeyAttribute::new("created", KeyType::N)),
        }
    }

    fn computed(mode: Mode, targets: &[(&str, &str)]) -> Computed {
        let targets = targets
            .iter()
            .map(|(name, text)| (name.to_string(), text.to_string()));
        let compute = Compute::new(mode, targets.collect());
        let replaces = mode == Mode::Replace;
        let spec = compute.clone().pair(
            "stuff",
            replaces.then(|| "attribute_type(ttl, :s)".to_owned()),
            BTreeMap::new(),
            match replaces {
                true => Item::from([(":s".to_owned(), text("S"))]),
                false => Item::new(),
            },
        );
        Computed::new(&spec.unwrap(), mode, Maker::of_templates(&compute), &keys())
    }

    fn text(text: &str) -> Value {
        Value::S(text.into())
    }

    /// An item with this key and these attributes besides.
    fn item(attributes: &[(&str, Value)]) -> Item {
        let mut item = Item::from([
            ("id".to_owned(), text("a")),
            ("created".to_owned(), Value::N("1".into())),
        ]);
        item.extend(
            attributes
                .iter()
                .map(|(name, value)| (name.to_string(), value.clone())),
        );
        item
    }

    fn swept(change: &Computed, item: Item) -> Seen {
        change.seen(item.into())
    }

    /// computed: the guard of a write compares each source with what it was computed from.
    #[test]
    fn computed_under_the_guard_of_what_was_read() {
        let change = computed(Mode::Missing, &[("gsi", "${tenant}#${status|lower}")]);
        assert_eq!(
            change.sweep.filter,
            "attribute_not_exists(#backfill_t0) AND attribute_exists(#backfill_in0_0) AND attribute_exists(#backfill_in1_0)"
        );
        assert_eq!(
            change.sweep.projection,
            "#backfill_key0, #backfill_key1, #backfill_of0_0, #backfill_of1_0"
        );
        let seen = swept(
            &change,
            item(&[
                ("tenant", text("t1")),
                ("status", text("NEW")),
                ("payload", text("large")),
            ]),
        );
        assert_eq!(seen.read.len(), 2, "the sources alone: {seen:?}");
        let made = change.make(&seen).unwrap();
        let update = change.update(&seen, &made);
        assert_eq!(update.update, "SET #backfill_t0 = :backfill_t0");
        assert_eq!(
            update.condition.as_str(),
            "attribute_exists(#backfill_key0) AND (attribute_not_exists(#backfill_t0) AND \
             attribute_exists(#backfill_in0_0) AND attribute_exists(#backfill_in1_0)) AND \
             (#backfill_of0_0 = :backfill_of0) AND (#backfill_of1_0 = :backfill_of1)"
        );
        assert_eq!(
            *update.values,
            Item::from([
                (":backfill_of0".to_owned(), text("NEW")),
                (":backfill_of1".to_owned(), text("t1")),
                (":backfill_t0".to_owned(), text("t1#new")),
            ])
        );
        let used = format!("{} {}", update.update, update.condition.as_str());
        let used: BTreeSet<&str> = super::super::expression::placeholders(&used)
            .into_iter()
            .collect();
        let defined = update.names.keys().chain(update.values.keys());
        assert_eq!(used, defined.map(String::as_str).collect::<BTreeSet<_>>());
        let statement = change.statement(&seen, &made).unwrap();
        assert_eq!(
            statement.text,
            r#"UPDATE "stuff" SET "gsi" = ? WHERE "id" = ? AND "created" = ? AND ("gsi" IS MISSING) AND "status" = ? AND "tenant" = ?"#
        );
        assert_eq!(statement.parameters.len(), 5);
    }

    /// computed: a source that need not be there is compared, too: that it is still missing.
    #[test]
    fn computed_under_the_guard_of_what_was_missing() {
        let change = computed(Mode::Missing, &[("name", r#"${nick|default("nobody")}"#)]);
        let seen = swept(&change, item(&[]));
        let made = change.make(&seen).unwrap();
        assert_eq!(made.set["name"], text("nobody"));
        let update = change.update(&seen, &made);
        let guard = update.condition.as_str();
        assert!(
            guard.ends_with("AND (attribute_not_exists(#backfill_of0_0))"),
            "{guard}"
        );
        let statement = change.statement(&seen, &made).unwrap();
        assert!(
            statement.text.ends_with(r#" AND "nick" IS MISSING"#),
            "{}",
            statement.text
        );
    }

    /// only-U: of several targets those that are there stay, and what PartiQL cannot say of an item is for UpdateItem.
    #[test]
    fn several_targets_and_sources_of_every_kind() {
        let change = computed(Mode::Missing, &[("a", "${id}"), ("b", "${m.x|size}")]);
        assert_eq!(change.reads, ["id", "m"]);
        let inside = Value::M(BTreeMap::from([("x".to_owned(), text("abc"))]));
        let seen = swept(&change, item(&[("m", inside)]));
        assert_eq!(seen.key.to_key().0.len(), 2);
        let made = change.make(&seen).unwrap();
        assert_eq!(made.set["a"], text("a"));
        let update = change.update(&seen, &made);
        assert_eq!(
            update.update,
            "SET #backfill_t0 = if_not_exists(#backfill_t0, :backfill_t0), \
             #backfill_t1 = if_not_exists(#backfill_t1, :backfill_t1)"
        );
        let guard = update.condition.as_str();
        assert!(
            guard.ends_with(" AND (#backfill_of0_0.#backfill_of0_1 = :backfill_of0)"),
            "{guard}"
        );
        assert!(!guard.contains("created"), "a key cannot change: {guard}");
        assert!(change.why_no_statement().is_some());
        let change = computed(Mode::Missing, &[("n", "${list|size}")]);
        let seen = swept(&change, item(&[("list", Value::L(vec![text("x")]))]));
        let made = change.make(&seen).unwrap();
        change.statement(&seen, &made).unwrap_err();
    }

    /// What a failed guard means, by the item that it brings along.
    #[test]
    fn what_has_moved_is_made_again_and_what_is_done_is_not() {
        let was = [("s", text("a"))];
        let cases: [(&str, Attributes<'_>, Option<&str>); 5] = [
            (
                "as it was: the predicate has failed",
                &[("s", text("a"))],
                None,
            ),
            ("another source", &[("s", text("B"))], Some("b")),
            (
                "another writer was first",
                &[("s", text("B")), ("x", text("live"))],
                None,
            ),
            ("nothing to compute from", &[], None),
            ("another type", &[("s", Value::Bool(true))], Some("")),
        ];
        let change = computed(Mode::Missing, &[("x", "${s|lower}")]);
        let seen = swept(&change, item(&was));
        for (what, now, made) in cases {
            let moved = change.moved(&seen, item(now));
            let again = moved.map(|seen| match change.make(&seen) {
                Ok(made) => made.set["x"].clone(),
                Err(_) => text(""),
            });
            assert_eq!(again, made.map(text), "{what}");
        }
        let change = computed(Mode::Converge, &[("x", "${s|lower}")]);
        let seen = swept(&change, item(&[("s", text("A")), ("x", text("old"))]));
        let moved = |now: &[(&str, Value)]| change.moved(&seen, item(now)).is_some();
        assert!(!moved(&[("s", text("A")), ("x", text("old"))]));
        assert!(
            moved(&[("s", text("A")), ("x", text("other"))]),
            "the target moved"
        );
        assert!(
            !moved(&[("s", text("A")), ("x", text("a"))]),
            "it is what it should be"
        );
        assert!(moved(&[("s", text("C")), ("x", text("a"))]));
    }

    /// accounting: what no longer is what an operator's predicate says was somebody else's, also if nothing can be made of it any more.
    #[test]
    fn what_was_replaced_by_another_has_not_moved() {
        let change = computed(Mode::Replace, &[("ttl", "${ttl|epoch}")]);
        let seen = change.seen(item(&[("ttl", text("2026-01-31"))]).into());
        let done = item(&[("ttl", Value::N("1769817600".into()))]);
        assert!(change.make(&change.seen(done.clone().into())).is_err());
        assert!(!change.is_still_pending(&done));
        assert_eq!(change.moved(&seen, done), None);
        let moved = item(&[("ttl", text("2026-02-01"))]);
        assert!(change.is_still_pending(&moved));
        assert!(change.moved(&seen, moved).is_some());
    }

    /// never-overwrite: of what is replaced, a target that is no source is what was seen, too.
    #[test]
    fn never_overwrite_a_target_that_a_predicate_does_not_name() {
        let change = computed(
            Mode::Replace,
            &[("old", "${ttl}"), ("ttl", "${ttl|number}")],
        );
        let seen = change.seen(item(&[("ttl", text("17"))]).into());
        let made = change.make(&seen).unwrap();
        let update = change.update(&seen, &made);
        let guard = update.condition.as_str();
        assert!(
            guard.contains("(attribute_not_exists(#backfill_of0_0))"),
            "{guard}"
        );
        assert!(
            change
                .moved(&seen, item(&[("ttl", text("17")), ("old", text("live"))]))
                .is_some()
        );
    }

    /// proof: what an item counts as, in each mode.
    #[test]
    fn proof_of_values_by_mode() {
        use Weighed::{Different, Done, Pending};
        let cases: [(Attributes<'_>, [Weighed; 2]); 6] = [
            (&[("s", text("A"))], [Pending, Pending]),
            (&[("s", text("A")), ("x", text("a"))], [Done, Done]),
            (&[("s", text("A")), ("x", text("b"))], [Different, Pending]),
            (&[("x", text("b"))], [Done, Done]),
            (&[], [Done, Done]),
            (
                &[("s", Value::Null(true)), ("x", text("b"))],
                [Different, Pending],
            ),
        ];
        for (attributes, expected) in cases {
            for (mode, expected) in [Mode::Missing, Mode::Converge].into_iter().zip(expected) {
                let change = computed(mode, &[("x", "${s|lower}")]);
                assert_eq!(
                    change.weigh(&item(attributes)),
                    expected,
                    "{mode:?} {attributes:?}"
                );
                assert!(change.tells_different());
            }
        }
        let change = computed(Mode::Replace, &[("ttl", "${ttl|number}")]);
        assert_eq!(change.sweep.filter, "attribute_type(ttl, :s)");
        assert!(!change.tells_different());
        let seen = swept(&change, item(&[("ttl", text("17"))]));
        let made = change.make(&seen).unwrap();
        let update = change.update(&seen, &made);
        assert_eq!(update.values[":backfill_t0"], Value::N("17".into()));
        assert_eq!(update.values[":backfill_of0"], text("17"));
        assert_eq!(update.values[":s"], text("S"));
        let why = change
            .make(&swept(&change, item(&[("ttl", text("soon"))])))
            .unwrap_err();
        assert_eq!(
            why,
            r#"ttl cannot be computed: number: "…" is not a number"#
        );
    }

    /// computed: a converge change is pending for what differs alone, and its guard holds the target, too.
    #[test]
    fn converging_watches_the_target() {
        let change = computed(Mode::Converge, &[("x", "${s|lower}")]);
        assert_eq!(change.sweep.filter, "attribute_exists(#backfill_in0_0)");
        let is_pending =
            |attributes: &[(&str, Value)]| change.is_pending(&swept(&change, item(attributes)));
        assert!(is_pending(&[("s", text("A"))]));
        assert!(is_pending(&[("s", text("A")), ("x", text("b"))]));
        assert!(!is_pending(&[("s", text("A")), ("x", text("a"))]));
        let seen = swept(&change, item(&[("s", text("A")), ("x", text("b"))]));
        let made = change.make(&seen).unwrap();
        let update = change.update(&seen, &made);
        let guard = update.condition.as_str();
        assert!(
            guard.ends_with(
                "(#backfill_of0_0 = :backfill_of0) AND (#backfill_of1_0 = :backfill_of1)"
            ),
            "{guard}"
        );
        assert_eq!(update.values[":backfill_of1"], text("b"));
        // One whose target is its own source is compared once.
        let own = computed(Mode::Converge, &[("s", "${s|lower}")]);
        assert_eq!(own.watched.len(), 1);
    }
}
