//! What is asked of the table, taken from the wire: only what the answer depends on.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use backfill_core::Value;
use backfill_simulation::model::PageOf;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::expressions::{
    Filter, Names, Statement, check, filter, guard, projection, set, statement,
};
use crate::items::{Form, SOURCES, index_of};

/// Distinct statements that are remembered at most.
const MOST_STATEMENTS: usize = 1_000;

/// A request that the model answers. An item that is not there has no index.
#[derive(Debug)]
pub enum Asked {
    Describe,
    Scan(Scan),
    Get {
        item: Option<u64>,
        consistent: bool,
        capacity: bool,
    },
    Update(Update),
    Check {
        item: Option<u64>,
        old: bool,
        capacity: bool,
    },
    Batch {
        items: Vec<Option<u64>>,
        old: bool,
        capacity: bool,
    },
}

#[derive(Debug)]
pub struct Scan {
    pub page: PageOf,
    pub filter: Filter,
    pub count: bool,
    pub shown: Shown,
    pub capacity: bool,
}

/// What is shown of an item.
#[derive(Debug)]
pub enum Shown {
    Key,
    Whole,
    Only(Vec<String>),
}

#[derive(Debug)]
pub struct Update {
    pub item: Option<u64>,
    pub guarded: bool,
    /// `ReturnValues`: the item as it is then.
    pub new: bool,
    /// `ReturnValuesOnConditionCheckFailure`: the item that failed.
    pub old: bool,
    pub capacity: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfTable<'a> {
    #[serde(borrow)]
    table_name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct KeyText<'a> {
    #[serde(borrow)]
    id: S<'a>,
    #[serde(borrow)]
    created: N<'a>,
}

#[derive(Deserialize)]
struct S<'a> {
    #[serde(rename = "S", borrow)]
    text: Cow<'a, str>,
}

#[derive(Deserialize)]
struct N<'a> {
    #[serde(rename = "N", borrow)]
    text: Cow<'a, str>,
}

/// The fields of Scan, GetItem, UpdateItem and of the check of TransactWriteItems.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Fields<'a> {
    #[serde(borrow)]
    table_name: Cow<'a, str>,
    index_name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    key: Option<KeyText<'a>>,
    #[serde(borrow)]
    exclusive_start_key: Option<KeyText<'a>>,
    segment: Option<u32>,
    total_segments: Option<u32>,
    limit: Option<u32>,
    #[serde(default)]
    consistent_read: bool,
    #[serde(borrow)]
    filter_expression: Option<Cow<'a, str>>,
    #[serde(borrow)]
    condition_expression: Option<Cow<'a, str>>,
    #[serde(borrow)]
    update_expression: Option<Cow<'a, str>>,
    #[serde(borrow)]
    projection_expression: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    expression_attribute_names: Names<'a>,
    #[serde(borrow, default)]
    expression_attribute_values: HashMap<Cow<'a, str>, &'a RawValue>,
    select: Option<Cow<'a, str>>,
    return_values: Option<Cow<'a, str>>,
    return_values_on_condition_check_failure: Option<Cow<'a, str>>,
    return_consumed_capacity: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BatchFields<'a> {
    #[serde(borrow)]
    statements: Vec<StatementFields<'a>>,
    return_consumed_capacity: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StatementFields<'a> {
    #[serde(borrow)]
    statement: &'a RawValue,
    #[serde(borrow, default)]
    parameters: Vec<&'a RawValue>,
    return_values_on_condition_check_failure: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Transaction<'a> {
    #[serde(borrow)]
    transact_items: Vec<HashMap<Cow<'a, str>, &'a RawValue>>,
    return_consumed_capacity: Option<Cow<'a, str>>,
}

fn is(field: &Option<Cow<'_, str>>, wanted: &str) -> bool {
    field.as_deref() == Some(wanted)
}

/// `TOTAL` or `INDEXES`.
fn wants_capacity(field: &Option<Cow<'_, str>>) -> bool {
    field.as_deref().is_some_and(|kind| kind != "NONE")
}

/// Reads requests for one table.
pub struct Reader {
    pub table: String,
    pub form: Form,
    pub items: u64,
    /// Statements by their text as it stands in JSON.
    statements: RwLock<HashMap<Box<str>, Option<Statement>>>,
}

type Read<T> = Result<Option<T>, String>;

fn parsed<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| format!("bench-stub: {error}"))
}

impl Reader {
    pub fn new(table: String, form: Form, items: u64) -> Reader {
        Reader {
            table,
            form,
            items,
            statements: RwLock::default(),
        }
    }

    /// What is asked; `None` if it is not for the model. An error is what the stub cannot answer.
    pub fn read(&self, operation: &str, body: &[u8]) -> Read<Asked> {
        match operation {
            "BatchExecuteStatement" => self.batch(body),
            "TransactWriteItems" => self.transaction(body),
            "DescribeTable" => {
                let of: OfTable = parsed(body)?;
                Ok((of.table_name == self.table).then_some(Asked::Describe))
            }
            "Scan" | "GetItem" | "UpdateItem" => {
                let of: OfTable = parsed(body)?;
                if of.table_name != self.table {
                    return Ok(None);
                }
                let fields: Fields = parsed(body)?;
                let asked = match operation {
                    "Scan" if fields.index_name.is_some() => return Ok(None),
                    "Scan" => Asked::Scan(self.scan(&fields)?),
                    "UpdateItem" => Asked::Update(self.update(&fields)?),
                    _ => Asked::Get {
                        item: self.item(&fields)?,
                        consistent: fields.consistent_read,
                        capacity: wants_capacity(&fields.return_consumed_capacity),
                    },
                };
                Ok(Some(asked))
            }
            _ => Ok(None),
        }
    }

    fn index(&self, key: &KeyText) -> Option<u64> {
        index_of(&key.id.text, &key.created.text, self.items)
    }

    fn item(&self, fields: &Fields) -> Result<Option<u64>, String> {
        let key = fields.key.as_ref().ok_or("bench-stub: no Key")?;
        Ok(self.index(key))
    }

    fn scan(&self, fields: &Fields) -> Result<Scan, String> {
        let names = &fields.expression_attribute_names;
        let after = match &fields.exclusive_start_key {
            Some(key) => {
                let gone = "bench-stub: the exclusive start key is no item's";
                Some(self.index(key).ok_or(gone)?)
            }
            None => None,
        };
        Ok(Scan {
            page: PageOf {
                segment: fields.segment.unwrap_or(0),
                total_segments: fields.total_segments.unwrap_or(1).max(1),
                after,
                limit: fields.limit.unwrap_or(u32::MAX).max(1),
                consistent: fields.consistent_read,
            },
            filter: match &fields.filter_expression {
                Some(text) => filter(text, names, &self.form)?,
                None => Filter::All,
            },
            count: is(&fields.select, "COUNT"),
            shown: match &fields.projection_expression {
                None => Shown::Whole,
                Some(text) => projection(text, names).map_or(Shown::Key, Shown::Only),
            },
            capacity: wants_capacity(&fields.return_consumed_capacity),
        })
    }

    /// Makes sure that what is set follows from what the item has, and that this is what its sources are compared with.
    fn follows(&self, index: u64, set: &str, compared: [Option<&str>; 2]) -> Result<(), String> {
        let set: Value = parsed(set.as_bytes())?;
        if self.form.value(index).as_ref() != Some(&set) {
            let attribute = &self.form.attribute;
            return Err(format!(
                "bench-stub: {attribute} of item {index} does not follow from its sources"
            ));
        }
        let sources = self.form.sources(index).into_iter().flatten();
        for ((name, has), said) in SOURCES.iter().zip(sources).zip(compared) {
            let Some(said) = said else { continue };
            let said: S = parsed(said.as_bytes())?;
            if said.text != has {
                return Err(format!("bench-stub: item {index} has another {name}"));
            }
        }
        Ok(())
    }

    fn update(&self, fields: &Fields) -> Result<Update, String> {
        let (names, values) = (
            &fields.expression_attribute_names,
            &fields.expression_attribute_values,
        );
        let compared = match &fields.condition_expression {
            Some(text) => guard(text, names, &self.form)?,
            None => Vec::new(),
        };
        let item = self.item(fields)?;
        if let (Some(index), true) = (item, self.form.has_sources()) {
            let text = fields.update_expression.as_deref().unwrap_or_default();
            let set = set(text, names, &self.form)?;
            let value = |name: &str| values.get(name).map_or("null", |raw| raw.get());
            let of = |at: usize| compared.iter().find(|(source, _)| *source == at);
            let of = |at: usize| of(at).map(|(_, name)| value(name));
            self.follows(index, value(&set), [of(0), of(1)])?;
        }
        Ok(Update {
            item,
            guarded: fields.condition_expression.is_some(),
            new: is(&fields.return_values, "ALL_NEW"),
            old: is(&fields.return_values_on_condition_check_failure, "ALL_OLD"),
            capacity: wants_capacity(&fields.return_consumed_capacity),
        })
    }

    /// A transaction of one check.
    fn transaction(&self, body: &[u8]) -> Read<Asked> {
        let transaction: Transaction = parsed(body)?;
        let [item] = transaction.transact_items.as_slice() else {
            return Ok(None);
        };
        let Some(raw) = item.get("ConditionCheck") else {
            return Ok(None);
        };
        let fields: Fields = parsed(raw.get().as_bytes())?;
        if fields.table_name != self.table {
            return Ok(None);
        }
        let text = fields.condition_expression.as_deref().unwrap_or_default();
        check(text, &fields.expression_attribute_names, &self.form)?;
        Ok(Some(Asked::Check {
            item: self.item(&fields)?,
            old: is(&fields.return_values_on_condition_check_failure, "ALL_OLD"),
            capacity: wants_capacity(&transaction.return_consumed_capacity),
        }))
    }

    fn batch(&self, body: &[u8]) -> Read<Asked> {
        let batch: BatchFields = parsed(body)?;
        let Some(first) = batch.statements.first() else {
            return Ok(None);
        };
        let Some(mut of) = self.statement(first.statement)? else {
            return Ok(None);
        };
        let mut text = first.statement.get();
        let mut items = Vec::with_capacity(batch.statements.len());
        for one in &batch.statements {
            if one.statement.get() != text {
                text = one.statement.get();
                of = match self.statement(one.statement)? {
                    Some(of) => of,
                    None => return Err("bench-stub: a batch of several tables".into()),
                };
            }
            let parameter = |n: usize| one.parameters.get(n).map_or("null", |raw| raw.get());
            let id: S = parsed(parameter(of.id).as_bytes())?;
            let created: N = parsed(parameter(of.created).as_bytes())?;
            let item = index_of(&id.text, &created.text, self.items);
            if let (Some(index), true) = (item, self.form.has_sources()) {
                let compared = of.sources.map(|source| source.map(parameter));
                self.follows(index, parameter(of.value), compared)?;
            }
            items.push(item);
        }
        let mut seen: Vec<u64> = items.iter().copied().flatten().collect();
        seen.sort_unstable();
        if items.len() > 25 || seen.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("a batch of more than 25 statements, or two of them for one item".into());
        }
        let old = &first.return_values_on_condition_check_failure;
        Ok(Some(Asked::Batch {
            items,
            old: is(old, "ALL_OLD"),
            capacity: wants_capacity(&batch.return_consumed_capacity),
        }))
    }

    fn statement(&self, raw: &RawValue) -> Read<Statement> {
        let known = self
            .statements
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(raw.get()) {
            return Ok(*known);
        }
        drop(known);
        let text: Cow<str> = parsed(raw.get().as_bytes())?;
        let new = statement(&text, &self.table, &self.form)?;
        let mut known = self
            .statements
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if known.len() < MOST_STATEMENTS {
            known.insert(raw.get().into(), new);
        }
        Ok(new)
    }
}
