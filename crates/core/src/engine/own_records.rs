//! A run keeps away from the records of runs: a table that holds any is no table to migrate.

use std::time::Duration;

use crate::pace::retry::{Until, retry};
use crate::ports::{Asks, CheckpointReader, PageRequest, ReadAccess, TableReader as _};
use crate::records::{is_key_of_records, places};
use crate::table::TableDescription;
use crate::{Error, ErrorKind, Item, Request, Result, Spec, Value};

/// How long the look at a table is tried: an operator is waiting.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);

/// Items that are looked at: in a checkpoint table any of them is a record.
const LOOK_AT: u32 = 100;

/// Refuses a request on the very table that holds the records of runs.
///
/// Errors: `InvalidInput`, naming the table.
pub fn refuse_own_table<S: CheckpointReader>(request: &Request, store: &S) -> Result<()> {
    let table = &request.spec.table;
    if !store.lies_in(table) {
        return Ok(());
    }
    Err(Error::invalid(
        "table",
        format!("{table} is the checkpoint table of this run, too; name another checkpoint table"),
    ))
}

/// Refuses a table that holds records of runs, which a change would destroy: it has the keys of a checkpoint table, and at least
/// one of its items is such a record. Reads only, and nothing of any other table.
///
/// Errors: `InvalidInput`, naming the table, also if nobody may read it; those of a scan.
pub(super) async fn refuse_records<A: ReadAccess>(
    access: &A,
    request: &Request,
    description: &TableDescription,
) -> Result<()> {
    if !is_key_of_records(&description.keys) {
        return Ok(());
    }
    let table = &request.spec.table;
    let change = records_of(table).change(&description.keys);
    let reader = access.reader(change);
    let first = PageRequest {
        segment: 0,
        total_segments: 1,
        after: None,
        limit: LOOK_AT,
        consistent: false,
        asks: Asks::Sweep,
    };
    let page = retry(&Until::after(LOOK_PATIENCE), || reader.page(first)).await;
    let has_records = match page {
        Ok(page) => !page.pending.is_empty(),
        // The planner of a stack may read no table: its keys say enough then.
        Err(error) if error.kind() == ErrorKind::AccessDenied => true,
        Err(error) => return Err(error),
    };
    match has_records {
        false => Ok(()),
        true => Err(Error::invalid(
            "table",
            format!(
                "{table} is a checkpoint table, by its keys and its records; a change of them would destroy runs"
            ),
        )),
    }
}

/// The spec whose pending items are records of runs. Nobody writes by it.
fn records_of(table: &str) -> Spec {
    let names = [("#record", places::NAME), ("#expires", places::EXPIRES)];
    let mut values = Item::new();
    let mut placeholders = |kind: &str, texts: &[&str]| -> Vec<String> {
        let numbered = texts.iter().enumerate();
        let each = numbered.map(|(nth, text)| {
            let placeholder = format!(":{kind}{nth}");
            values.insert(placeholder.clone(), Value::S((*text).to_owned()));
            placeholder
        });
        each.collect()
    };
    let whole = placeholders("name", &places::NAMES).join(", ");
    let begun = placeholders("prefix", &places::PREFIXES);
    let begun = begun
        .iter()
        .map(|prefix| format!(" OR begins_with(#record, {prefix})"));
    let begun: String = begun.collect();
    Spec {
        table: table.to_owned(),
        pending: format!("attribute_exists(#expires) AND (#record IN ({whole}){begun})"),
        update: "REMOVE #expires".into(),
        names: names
            .into_iter()
            .map(|(name, attribute)| (name.to_owned(), attribute.to_owned()))
            .collect(),
        values,
        compute: None,
        code: None,
    }
}
