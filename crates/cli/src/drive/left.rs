//! The items that a verb leaves alone although it has to do with them: a rename where both names are taken.

use backfill_core::table::TableDescription;
use backfill_core::{Request, Result, Spec};
use backfill_dynamodb::Connection;

use crate::drive::look::Looked;
use crate::show::{print, words};

/// Says how many of the items that are looked at the request leaves alone, if it is a verb that may leave some alone and there
/// are any. Reads only.
///
/// Errors: those of a scan.
pub async fn tell(
    request: &Request,
    connection: &Connection,
    description: &TableDescription,
) -> Result<()> {
    let Some(left) = request.spec.left_alone() else {
        return Ok(());
    };
    let used = |placeholder: &String| left.condition.contains(placeholder.as_str());
    let which = Spec {
        table: request.spec.table.clone(),
        pending: left.condition.clone(),
        update: String::new(),
        names: request.spec.names.clone(),
        values: (request.spec.values.clone().into_iter())
            .filter(|(placeholder, _)| used(placeholder))
            .collect(),
    };
    let looked = Looked::at(&which, request, connection, description, usize::MAX).await?;
    let count = looked.keys.len();
    let Some(example) = looked.keys.first() else {
        return Ok(());
    };
    let of = match looked.is_all {
        true => format!("all {}", looked.items),
        false => format!("{} that were looked at", looked.items),
    };
    print::say(&format!(
        "note: {} of {of} {}, such as {example}: they are left as they are",
        words::plural(count as u32, "item", "items"),
        left.because
    ));
    Ok(())
}
