//! DescribeAlarms: what is asked and what is answered.

use backfill_dynamodb::send::{Call, ReadCall};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Alarms by their names
/// ([API_DescribeAlarms](https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html)).
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeAlarms<'a> {
    pub(crate) alarm_names: &'a [&'a str],
    pub(crate) max_records: usize,
}

impl DescribeAlarms<'_> {
    /// Most names of one call, and most alarms of one answer.
    pub(crate) const MOST: usize = 100;
}

impl Call for DescribeAlarms<'_> {
    const OPERATION: &'static str = "DescribeAlarms";
    type Answer = DescribedAlarms;
}

impl ReadCall for DescribeAlarms<'_> {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribedAlarms {
    pub(crate) metric_alarms: Option<Vec<Json>>,
}
