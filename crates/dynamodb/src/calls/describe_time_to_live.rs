//! DescribeTimeToLive: what is asked and what is answered.

use serde::{Deserialize, Serialize};

use crate::send::{Call, ReadCall};

/// A table's time to live
/// ([API_DescribeTimeToLive](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTimeToLive.html)).
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeTimeToLive<'a> {
    /// The table.
    pub table_name: &'a str,
}

impl Call for DescribeTimeToLive<'_> {
    const OPERATION: &'static str = "DescribeTimeToLive";
    type Answer = DescribedTimeToLive;
}

impl ReadCall for DescribeTimeToLive<'_> {}

/// What DescribeTimeToLive says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribedTimeToLive {
    time_to_live_description: Option<TimeToLiveDescription>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TimeToLiveDescription {
    attribute_name: Option<String>,
    time_to_live_status: Option<String>,
}

impl DescribedTimeToLive {
    /// The attribute by which items expire; `None` if time to live is off.
    pub fn attribute(self) -> Option<String> {
        let described = self.time_to_live_description?;
        let is_on = matches!(
            described.time_to_live_status.as_deref(),
            Some("ENABLED" | "ENABLING")
        );
        described.attribute_name.filter(|_| is_on)
    }
}
