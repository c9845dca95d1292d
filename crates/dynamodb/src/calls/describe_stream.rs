//! DescribeStream: what is asked and what is answered.

use serde::{Deserialize, Serialize};

use crate::send::{Call, ReadCall};

/// One page of what a stream is like
/// ([API_streams_DescribeStream](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_DescribeStream.html)).
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeStream<'a> {
    pub(crate) stream_arn: &'a str,
    /// The `LastEvaluatedShardId` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exclusive_start_shard_id: Option<&'a str>,
}

impl Call for DescribeStream<'_> {
    const OPERATION: &'static str = "DescribeStream";
    type Answer = DescribedStream;
}

impl ReadCall for DescribeStream<'_> {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribedStream {
    pub(crate) stream_description: StreamOfPage,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StreamOfPage {
    /// `ENABLING`, `ENABLED`, `DISABLING` or `DISABLED`.
    pub(crate) stream_status: Option<String>,
    pub(crate) stream_view_type: Option<String>,
    /// Up to 100.
    pub(crate) shards: Option<Vec<DescribedShard>>,
    /// Where to go on; `None` at the end.
    pub(crate) last_evaluated_shard_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribedShard {
    pub(crate) shard_id: String,
    pub(crate) parent_shard_id: Option<String>,
}
