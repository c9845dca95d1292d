//! GetQueueUrl of SQS: what is asked and what is answered.

use serde::{Deserialize, Serialize};

use crate::send::{Call, ReadCall};

/// The URL of a queue, which is not to be made up from its parts (SQS developer guide, Queue and message identifiers;
/// [API_GetQueueUrl](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueUrl.html)). The sender is one to
/// [`SQS`](crate::send::SQS).
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetQueueUrl<'a> {
    /// The name of the queue.
    pub queue_name: &'a str,
    /// The account that the queue is of.
    #[serde(rename = "QueueOwnerAWSAccountId")]
    pub account: &'a str,
}

impl Call for GetQueueUrl<'_> {
    const OPERATION: &'static str = "GetQueueUrl";
    type Answer = QueueUrl;
}

impl ReadCall for GetQueueUrl<'_> {}

/// Where a queue is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct QueueUrl {
    /// Its URL, by which other calls name it.
    pub queue_url: String,
}
