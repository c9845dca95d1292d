//! GetItem: what is asked and what is answered.

use backfill_core::{Item, Key};
use serde::{Deserialize, Serialize};

use crate::send::{Call, ReadCall};

/// The item of one key
/// ([API_GetItem](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_GetItem.html)).
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetItem<'a> {
    pub(crate) table_name: &'a str,
    pub(crate) key: &'a Key,
    /// Strongly consistent, at twice the read units.
    pub(crate) consistent_read: bool,
}

impl Call for GetItem<'_> {
    const OPERATION: &'static str = "GetItem";
    type Answer = Got;
}

impl ReadCall for GetItem<'_> {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Got {
    /// `None` if there is none.
    pub(crate) item: Option<Item>,
}
