//! GetShardIterator: what is asked and what is answered.

use serde::{Deserialize, Serialize};

use crate::send::{Call, ReadCall};

/// A place in a shard to read from
/// ([API_streams_GetShardIterator](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetShardIterator.html)).
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetShardIterator<'a> {
    pub(crate) stream_arn: &'a str,
    pub(crate) shard_id: &'a str,
    /// `TRIM_HORIZON`, `AT_SEQUENCE_NUMBER` or `AFTER_SEQUENCE_NUMBER`.
    pub(crate) shard_iterator_type: &'a str,
    /// Of the last two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sequence_number: Option<&'a str>,
}

impl Call for GetShardIterator<'_> {
    const OPERATION: &'static str = "GetShardIterator";
    type Answer = GotIterator;
}

impl ReadCall for GetShardIterator<'_> {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GotIterator {
    /// It expires 15 minutes after it was given.
    pub(crate) shard_iterator: Option<String>,
}
