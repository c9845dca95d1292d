//! GetMetricStatistics of CloudWatch: what is asked and what is answered.

use serde::{Deserialize, Serialize};

use crate::send::{Call, ReadCall};

/// The highest values of a metric, period by period
/// ([API_GetMetricStatistics](https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricStatistics.html)). AWS JSON
/// 1.0 has times in seconds. The sender is one to [`CLOUDWATCH`](crate::send::CLOUDWATCH).
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetMetricStatistics<'a> {
    /// Such as `AWS/Lambda`.
    pub namespace: &'a str,
    /// Such as `IteratorAge`.
    pub metric_name: &'a str,
    /// Of what: a metric is another one with each set of dimensions.
    pub dimensions: &'a [Dimension<'a>],
    /// From when on, in seconds since 1970.
    pub start_time: u64,
    /// Until when, in seconds since 1970.
    pub end_time: u64,
    /// Seconds of a period, a multiple of 60.
    pub period: u32,
    /// [`GetMetricStatistics::MAXIMUM`]: nothing else is read of the answer.
    pub statistics: &'a [&'a str],
}

impl GetMetricStatistics<'_> {
    /// The highest value of each period.
    pub const MAXIMUM: &'static [&'static str] = &["Maximum"];
}

/// A dimension of a metric.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Dimension<'a> {
    /// Such as `FunctionName`.
    pub name: &'a str,
    /// Such as the name of a function.
    pub value: &'a str,
}

impl Call for GetMetricStatistics<'_> {
    const OPERATION: &'static str = "GetMetricStatistics";
    type Answer = MetricStatistics;
}

impl ReadCall for GetMetricStatistics<'_> {}

/// What GetMetricStatistics says: a point for each period in which the metric had a value, in no particular order.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MetricStatistics {
    datapoints: Option<Vec<Datapoint>>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Datapoint {
    timestamp: f64,
    maximum: Option<f64>,
}

impl MetricStatistics {
    fn points(&self) -> impl Iterator<Item = &Datapoint> {
        self.datapoints.iter().flatten()
    }

    /// The highest value of all periods, in the metric's unit; `None` if it had none.
    pub fn highest(&self) -> Option<f64> {
        self.points()
            .filter_map(|point| point.maximum)
            .max_by(f64::total_cmp)
    }

    /// The highest value of the last period that has one, in the metric's unit; `None` if it had none.
    pub fn latest(&self) -> Option<f64> {
        let last = self
            .points()
            .max_by(|one, other| one.timestamp.total_cmp(&other.timestamp));
        last?.maximum
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_metric_is_asked_for_and_told_by_cloudwatchs_names() {
        let asked = GetMetricStatistics {
            namespace: "AWS/Lambda",
            metric_name: "IteratorAge",
            dimensions: &[Dimension {
                name: "FunctionName",
                value: "orders-guard",
            }],
            start_time: 1_800_000_000,
            end_time: 1_800_000_900,
            period: 60,
            statistics: GetMetricStatistics::MAXIMUM,
        };
        let expected = json!({"Namespace": "AWS/Lambda", "MetricName": "IteratorAge",
            "Dimensions": [{"Name": "FunctionName", "Value": "orders-guard"}],
            "StartTime": 1_800_000_000, "EndTime": 1_800_000_900, "Period": 60, "Statistics": ["Maximum"]});
        assert_eq!(serde_json::to_value(asked).unwrap(), expected);

        let read = |text: &str| serde_json::from_str::<MetricStatistics>(text).unwrap();
        let told = read(
            r#"{"Label": "IteratorAge", "Datapoints": [
                {"Timestamp": 1.80000006E9, "Maximum": 700.0, "Unit": "Milliseconds"},
                {"Timestamp": 1.80000012E9, "Maximum": 500.0, "Unit": "Milliseconds"},
                {"Timestamp": 1800000000, "Maximum": 600.0, "Unit": "Milliseconds"}]}"#,
        );
        assert_eq!((told.highest(), told.latest()), (Some(700.0), Some(500.0)));
        for none in [
            r#"{"Label": "IteratorAge", "Datapoints": []}"#,
            r#"{"Label": "x"}"#,
        ] {
            assert_eq!((read(none).highest(), read(none).latest()), (None, None));
        }
    }
}
