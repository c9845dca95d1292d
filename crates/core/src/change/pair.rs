//! The pair of a spec as a change: predicate and update stay as the operator wrote them, and every write stands under the
//! guard `attribute_exists(<partition key>) AND (P)`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::evaluate::Parsed;
use super::expression::{Guard, OURS, not_pending, placeholders};
use super::partiql::{BoundStatement, Statement};
use super::seam::{Change, Condition, GuardedUpdate, Lacks, Made, Seen, Sweep};
use super::spec::Spec;
use crate::Item;
use crate::table::KeySchema;

/// A pending predicate and the update that extinguishes it, on one table.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    table: String,
    keys: KeySchema,
    fingerprint: String,
    pending: Condition,
    /// The same, to be evaluated here. An error says why that cannot be.
    predicate: Result<Parsed, String>,
    not_pending: Condition,
    sweep: Sweep,
    lacks: Option<Lacks>,
    update: String,
    /// The condition of every write.
    guard: Guard,
    /// Names that update and guard use.
    write_names: BTreeMap<String, String>,
    /// Values that update and guard use.
    write_values: Item,
    partiql: Result<Statement, String>,
}

/// Names and values of a spec that some expressions use.
fn used_by(spec: &Spec, expressions: &[&str]) -> (BTreeMap<String, String>, Item) {
    let used: BTreeSet<&str> = expressions.iter().flat_map(|e| placeholders(e)).collect();
    let (mut names, mut values) = (spec.names.clone(), spec.values.clone());
    names.retain(|name, _| used.contains(name.as_str()));
    values.retain(|name, _| used.contains(name.as_str()));
    (names, values)
}

impl Condition {
    /// A condition by the placeholders of a spec.
    pub(super) fn of(expression: &str, spec: &Spec) -> Condition {
        let (names, values) = used_by(spec, &[expression]);
        Condition {
            expression: expression.to_owned(),
            names,
            values,
        }
    }
}

impl Pair {
    /// The pair of `spec` on a table with these keys.
    pub fn new(spec: &Spec, keys: &KeySchema) -> Pair {
        let pending = Condition::of(&spec.pending, spec);
        let key_names: BTreeMap<String, String> = keys
            .names()
            .enumerate()
            .map(|(i, attribute)| (format!("#{OURS}key{i}"), attribute.to_owned()))
            .collect();
        let partition_key = format!("#{OURS}key0");
        let with_partition_key = |mut names: BTreeMap<String, String>| {
            names.insert(partition_key.clone(), keys.hash.name.clone());
            names
        };
        let (write_names, write_values) = used_by(spec, &[&spec.pending, &spec.update]);
        Pair {
            table: spec.table.clone(),
            keys: keys.clone(),
            fingerprint: spec.fingerprint(),
            not_pending: Condition {
                expression: not_pending(&partition_key, &spec.pending),
                names: with_partition_key(pending.names.clone()),
                values: pending.values.clone(),
            },
            sweep: Sweep {
                filter: spec.pending.clone(),
                projection: key_names.keys().cloned().collect::<Vec<_>>().join(", "),
                names: pending.names.clone().into_iter().chain(key_names).collect(),
                values: pending.values.clone(),
            },
            lacks: Lacks::of(spec, keys),
            update: spec.update.clone(),
            guard: Guard::new(&partition_key, &spec.pending),
            write_names: with_partition_key(write_names),
            write_values,
            partiql: Statement::new(spec, keys),
            predicate: Parsed::new(&pending.expression, &pending.names, &pending.values),
            pending,
        }
    }
}

impl Pair {
    /// What stands for `spec` under another predicate than it says, on a table with these keys.
    pub(super) fn guarding(spec: &Spec, pending: &Condition, keys: &KeySchema) -> Pair {
        let guarding = Pair::spec_of(spec, pending);
        Pair {
            fingerprint: spec.fingerprint(),
            ..Pair::new(&guarding, keys)
        }
    }

    /// A spec with another predicate than it has, and all else as it is.
    pub(super) fn spec_of(spec: &Spec, pending: &Condition) -> Spec {
        let mut names = spec.names.clone();
        names.extend(pending.names.clone());
        Spec {
            table: spec.table.clone(),
            pending: pending.expression.clone(),
            update: spec.update.clone(),
            names,
            values: pending.values.clone(),
            compute: None,
            code: None,
        }
    }

    /// The condition of every write.
    pub(super) fn guard(&self) -> &Guard {
        &self.guard
    }

    /// `#name` → attribute, of the guard.
    pub(super) fn guard_names(&self) -> BTreeMap<String, String> {
        let mut names = self.pending.names.clone();
        names.insert(format!("#{OURS}key0"), self.keys.hash.name.clone());
        names
    }
}

impl Change for Pair {
    fn table(&self) -> &str {
        &self.table
    }

    fn keys(&self) -> &KeySchema {
        &self.keys
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn pending(&self) -> &Condition {
        &self.pending
    }

    fn not_pending(&self) -> &Condition {
        &self.not_pending
    }

    fn sweep(&self) -> &Sweep {
        &self.sweep
    }

    fn is_still_pending(&self, item: &Item) -> bool {
        let predicate = self.predicate.as_ref();
        predicate.map_or(true, |predicate| predicate.holds(item))
    }

    fn why_not_evaluated(&self) -> Option<&str> {
        self.predicate.as_ref().err().map(String::as_str)
    }

    fn lacks(&self) -> Option<&Lacks> {
        self.lacks.as_ref()
    }

    fn reads(&self) -> &[String] {
        &[]
    }

    fn writes_same_to_all(&self) -> bool {
        true
    }

    fn update<'a>(&'a self, _item: &'a Seen, _made: &'a Made) -> GuardedUpdate<'a> {
        GuardedUpdate {
            update: Cow::Borrowed(&self.update),
            condition: Cow::Borrowed(&self.guard),
            names: Cow::Borrowed(&self.write_names),
            values: Cow::Borrowed(&self.write_values),
        }
    }

    fn statement<'a>(
        &'a self,
        item: &'a Seen,
        _made: &'a Made,
    ) -> Result<BoundStatement<'a>, &'a str> {
        match &self.partiql {
            Ok(statement) => Ok(statement.bind(&item.key)),
            Err(why) => Err(why),
        }
    }

    fn why_no_statement(&self) -> Option<&str> {
        self.partiql.as_ref().err().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{KeyAttribute, KeyType};
    use crate::value::few::Attributes as _;
    use crate::{Key, Value};

    fn keys() -> KeySchema {
        KeySchema {
            hash: KeyAttribute::new("id", KeyType::S),
            range: Some(KeyAttribute::new("created", KeyType::N)),
        }
    }

    fn pair(pending: &str, update: &str) -> Pair {
        let spec = Spec {
            table: "stuff".into(),
            pending: pending.into(),
            update: update.into(),
            names: BTreeMap::new(),
            values: BTreeMap::new(),
            compute: None,
            code: None,
        };
        Pair::new(&spec, &keys())
    }

    #[test]
    fn each_expression_has_the_placeholders_that_it_uses() {
        let one = Value::N("1".into());
        let spec = Spec::set_missing("stuff", [("status".to_string(), one)].into());
        let change = Pair::new(&spec, &keys());
        assert_eq!(change.sweep.filter, "attribute_not_exists(#s0)");
        assert_eq!(change.sweep.projection, "#backfill_key0, #backfill_key1");
        assert_eq!(change.sweep.names["#backfill_key1"], "created");
        assert!(change.sweep.values.is_empty(), "the filter names no value");
        let seen = Seen::from(Key(Item::new()));
        let made = Made::default();
        let update = change.update(&seen, &made);
        assert_eq!(update.update, "SET #s0 = :s0");
        assert_eq!(
            update.condition.as_str(),
            "attribute_exists(#backfill_key0) AND (attribute_not_exists(#s0))"
        );
        assert_eq!(update.names["#s0"], "status");
        assert!(!update.names.contains_key("#backfill_key1"));
    }

    #[test]
    fn the_condition_has_no_redundant_parentheses() {
        for (pending, inside) in [
            ("(a = :x)", "a = :x"),
            (" ( (a = :x OR b = :x) ) ", "a = :x OR b = :x"),
            ("(a = :x) OR (b = :x)", "(a = :x) OR (b = :x)"),
        ] {
            let change = pair(pending, "SET c = d");
            let expected = format!("attribute_exists(#backfill_key0) AND ({inside})");
            assert_eq!(change.guard.as_str(), expected);
        }
    }

    #[test]
    fn what_a_sweep_brings_along_is_the_key_and_the_rest() {
        let text = |text: &str| Value::S(text.into());
        let item: Item = [("id", "a"), ("status", "new")]
            .map(|(name, value)| (name.to_owned(), text(value)))
            .into();
        let seen = Seen::new(&keys(), item.into());
        assert_eq!(seen.key.to_key().0, [("id".to_owned(), text("a"))].into());
        assert_eq!(seen.read.len(), 1);
        assert_eq!(seen.read.attribute("status"), Some(&text("new")));
    }
}
