//! How an item that was updated is looked at: by a check, by a Query, or by the page read again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use backfill_core::change::Change;
use backfill_core::ports::{Look, LookBy};
use backfill_core::value::size::{check_units, item_bytes};
use backfill_core::{Error, ErrorKind, Key, Result};

use crate::calls::{
    ALL_OLD, Cancellation, ConditionCheck, Query, TOTAL, TransactWriteItems, cancellation,
};
use crate::failure::{failure, failure_of_code, items_of};
use crate::outcome::STATEMENT_CONDITION_FAILED;
use crate::send::{ProvideErrorMetadata as _, ReadSender, SdkError};

/// How the updated items of each spec, by its fingerprint, are looked at. Shared by all writers of a process, so that it is
/// said once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Looks(Arc<Mutex<BTreeMap<String, Way>>>);

/// A way of looking, and whether it has worked.
#[derive(Debug, Clone, Copy)]
struct Way {
    by: LookBy,
    has_worked: bool,
}

impl Default for Way {
    fn default() -> Self {
        Way {
            by: LookBy::Check,
            has_worked: false,
        }
    }
}

impl Looks {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Way>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn by(&self, fingerprint: &str) -> LookBy {
        let ways = self.lock();
        ways.get(fingerprint).copied().unwrap_or_default().by
    }

    pub(crate) fn worked(&self, table: &str, fingerprint: &str, by: LookBy) {
        let mut ways = self.lock();
        let way = ways.entry(fingerprint.to_owned()).or_default();
        if way.by == by && !way.has_worked {
            way.has_worked = true;
            tracing::info!(table, "updated items are looked at by {}", by.name());
        }
    }

    /// Goes on to the next way, if there is one and this one never worked: what worked once is not refused as such.
    pub(crate) fn refused(&self, table: &str, fingerprint: &str, by: LookBy, error: &Error) {
        let mut ways = self.lock();
        let way = ways.entry(fingerprint.to_owned()).or_default();
        let next = match by {
            LookBy::Check => LookBy::Query,
            LookBy::Query => LookBy::Page,
            LookBy::Page => return,
        };
        if way.by == by && !way.has_worked {
            way.by = next;
            tracing::warn!(
                table,
                "looking at updated items by {} instead of {}: {error}",
                next.name(),
                by.name()
            );
        }
    }
}

/// A transaction of nothing but a ConditionCheck, which writes nothing: GetItem knows no condition, and the
/// filter of a Query may not name a key attribute, as `P` may. The check is that `P` does not hold, so that
/// its failure brings the item along.
pub(crate) async fn check(sender: &ReadSender, change: &dyn Change, key: &Key) -> Result<Look> {
    let check = change.not_pending();
    let table = change.table();
    let doing = format!("checking the item with key {key} of table {table}");
    let check = ConditionCheck {
        table_name: table,
        key,
        condition_expression: &check.expression,
        expression_attribute_names: Some(&check.names),
        expression_attribute_values: Some(&check.values),
        return_values_on_condition_check_failure: ALL_OLD,
    };
    let error = match sender.call(&TransactWriteItems::of(check)).await {
        Ok(held) => {
            let tables = held.consumed_capacity.filter(|tables| !tables.is_empty());
            return Ok(Look {
                item: None,
                consumed: tables.map(|all| all.iter().map(|c| c.capacity_units).sum()),
            });
        }
        Err(error) => error,
    };
    match cancellation(&error) {
        Some(Cancellation {
            code: Some(code),
            message,
            item,
        }) => match item {
            // An error reports no capacity.
            Some(item) if code == STATEMENT_CONDITION_FAILED => Ok(Look {
                consumed: Some(check_units(item_bytes(&item))),
                item: Some(item),
            }),
            _ => Err(failure_of_code(&doing, &code, message.as_deref())),
        },
        _ => Err(refused_look(&doing, error)),
    }
}

/// A strongly consistent Query of one key.
pub(crate) async fn query(
    sender: &ReadSender,
    change: &dyn Change,
    key: &Key,
    filter: Option<&str>,
) -> Result<Look> {
    let table = change.table();
    let doing = || format!("looking at the item with key {key} of table {table}");
    let mut condition = Vec::new();
    let (mut names, mut values) = match filter {
        Some(_) => (
            change.pending().names.clone(),
            change.pending().values.clone(),
        ),
        None => Default::default(),
    };
    for (i, name) in change.keys().names().enumerate() {
        // Placeholders of ours, as no spec may have them.
        let placeholder = format!("backfill_key{i}");
        condition.push(format!("#{placeholder} = :{placeholder}"));
        names.insert(format!("#{placeholder}"), name.to_owned());
        let value = key.0.get(name).cloned();
        values.extend(value.map(|value| (format!(":{placeholder}"), value)));
    }
    let query = Query {
        table_name: table,
        key_condition_expression: &condition.join(" AND "),
        filter_expression: filter,
        expression_attribute_names: Some(&names),
        expression_attribute_values: Some(&values),
        consistent_read: true,
        return_consumed_capacity: TOTAL,
        ..Query::default()
    };
    let queried = sender.call(&query).await;
    let queried = queried.map_err(|error| refused_look(&doing(), error))?;
    Ok(Look {
        item: items_of(doing, queried.items)?.pop(),
        consumed: queried.consumed_capacity.map(|c| c.capacity_units),
    })
}

/// Why an item could not be looked at. A code that nobody knows is a refusal of this way of looking: with which one a table
/// without transactions refuses them is documented nowhere.
fn refused_look(doing: &str, error: SdkError) -> Error {
    let is_refusal = error.code().is_some();
    let error = failure(doing, error);
    match error.kind() {
        ErrorKind::Internal if is_refusal => Error::new(ErrorKind::InvalidSpec, error.to_string()),
        _ => error,
    }
}
