//! GetRecords: what is asked and what is answered.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::send::{Call, ReadCall};

/// The records behind a place in a shard
/// ([API_streams_GetRecords](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetRecords.html)).
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetRecords<'a> {
    pub(crate) shard_iterator: &'a str,
    /// Most records, up to 1,000; there are 1 MB of them at most in any case.
    pub(crate) limit: u32,
}

impl Call for GetRecords<'_> {
    const OPERATION: &'static str = "GetRecords";
    type Answer = GotRecords;
}

impl ReadCall for GetRecords<'_> {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GotRecords {
    /// As they came, so that one that cannot be understood can be named.
    pub(crate) records: Option<Vec<Box<RawValue>>>,
    /// Where to read on; `None` at the end of a closed shard.
    pub(crate) next_shard_iterator: Option<String>,
}
