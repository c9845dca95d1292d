//! DescribeKinesisStreamingDestination: what is asked and what is answered.

use serde::{Deserialize, Serialize};

use crate::send::{Call, ReadCall};

/// The Kinesis data streams that a table's changes go to
/// ([API_DescribeKinesisStreamingDestination](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeKinesisStreamingDestination.html)).
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeKinesisStreamingDestination<'a> {
    pub(crate) table_name: &'a str,
}

impl Call for DescribeKinesisStreamingDestination<'_> {
    const OPERATION: &'static str = "DescribeKinesisStreamingDestination";
    type Answer = DescribedKinesis;
}

impl ReadCall for DescribeKinesisStreamingDestination<'_> {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribedKinesis {
    #[serde(default)]
    kinesis_data_stream_destinations: Vec<Destination>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Destination {
    stream_arn: Option<String>,
    destination_status: Option<String>,
}

impl DescribedKinesis {
    /// The ARNs of the streams that changes go to now.
    pub(crate) fn active_streams(self) -> Vec<String> {
        let active =
            |destination: &Destination| destination.destination_status.as_deref() == Some("ACTIVE");
        let destinations = self.kinesis_data_stream_destinations.into_iter();
        destinations
            .filter(active)
            .filter_map(|destination| destination.stream_arn)
            .collect()
    }
}
