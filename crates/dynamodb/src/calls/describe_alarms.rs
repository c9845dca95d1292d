//! DescribeAlarms of CloudWatch: what is asked and what is answered.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::send::{Call, ReadCall};

/// Alarms by their names
/// ([API_DescribeAlarms](https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html)).
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeAlarms<'a> {
    /// The names, up to [`DescribeAlarms::MOST`].
    pub alarm_names: &'a [&'a str],
    /// The kinds of alarms that are looked for. Empty: metric alarms alone.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub alarm_types: &'a [&'a str],
    /// Most alarms of one answer.
    pub max_records: usize,
}

impl DescribeAlarms<'_> {
    /// Most names of one call, and most alarms of one answer.
    pub const MOST: usize = 100;
    /// The kinds of alarms: of a metric, and of other alarms.
    pub const METRIC_AND_COMPOSITE: &'static [&'static str] = &["MetricAlarm", "CompositeAlarm"];
}

impl Call for DescribeAlarms<'_> {
    const OPERATION: &'static str = "DescribeAlarms";
    type Answer = DescribedAlarms;
}

impl ReadCall for DescribeAlarms<'_> {}

/// What DescribeAlarms says. A list is left out or empty if there is nothing in it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribedAlarms {
    metric_alarms: Option<Vec<DescribedAlarm>>,
    composite_alarms: Option<Vec<DescribedAlarm>>,
}

impl DescribedAlarms {
    /// All alarms.
    pub(crate) fn all(self) -> impl Iterator<Item = DescribedAlarm> {
        let lists = [self.metric_alarms, self.composite_alarms];
        lists.into_iter().flatten().flatten()
    }
}

/// One alarm.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribedAlarm {
    pub(crate) alarm_name: String,
    pub(crate) state_value: String,
    /// When the state has changed.
    state_transitioned_timestamp: Option<Json>,
    /// When the state was looked at and something about it has changed.
    state_updated_timestamp: Option<Json>,
}

impl DescribedAlarm {
    /// Since when it is in its state, in milliseconds since 1970. AWS JSON 1.0 has times in seconds.
    pub(crate) fn since_ms(&self) -> Option<u64> {
        let since = [
            &self.state_transitioned_timestamp,
            &self.state_updated_timestamp,
        ];
        let seconds = since.into_iter().find_map(|time| time.as_ref()?.as_f64())?;
        (seconds > 0.0).then_some((seconds * 1_000.0) as u64)
    }
}
