//! The items that a verb leaves alone although it has to do with them: a rename where both names are taken.

use backfill_core::table::TableDescription;
use backfill_core::{Key, Request, Result, Spec};
use backfill_dynamodb::Connection;
use serde::Serialize;

use crate::drive::look::Looked;
use crate::show::{print, words};

/// Items that a verb leaves alone.
#[derive(Debug, Serialize)]
pub struct Left {
    /// How many of the items that were looked at.
    items: u32,
    /// The items that were looked at.
    of: u64,
    /// True if these are all that there are.
    of_all: bool,
    /// Goes on behind "items": "have both a and b".
    because: String,
    /// The key of one.
    example: Key,
}

/// Says how many of the items that are looked at the request leaves alone, if it is a verb that may leave some alone and there
/// are any. Reads only.
///
/// Errors: those of a scan.
pub async fn tell(
    request: &Request,
    connection: &Connection,
    description: &TableDescription,
) -> Result<()> {
    if let Some(left) = find(request, connection, description).await? {
        print::say(&left.note());
    }
    Ok(())
}

/// What the request leaves alone of the items that are looked at; `None` if that is none. Reads only.
///
/// Errors: those of a scan.
pub async fn find(
    request: &Request,
    connection: &Connection,
    description: &TableDescription,
) -> Result<Option<Left>> {
    let Some(left) = request.spec.left_alone() else {
        return Ok(None);
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
        compute: None,
        code: None,
    };
    let looked = Looked::at(&which, request, connection, description, usize::MAX).await?;
    let items = looked.keys.len() as u32;
    Ok(looked.keys.into_iter().next().map(|example| Left {
        items,
        of: looked.items,
        of_all: looked.is_all,
        because: left.because,
        example,
    }))
}

impl Left {
    /// The same for people.
    fn note(&self) -> String {
        let of = match self.of_all {
            true => format!("all {}", self.of),
            false => format!("{} that were looked at", self.of),
        };
        format!(
            "note: {} of {of} {}, such as {}: they are left as they are",
            words::plural(self.items, "item", "items"),
            self.because,
            self.example
        )
    }
}
