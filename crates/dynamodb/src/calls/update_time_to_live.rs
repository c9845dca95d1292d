//! UpdateTimeToLive: what is asked and what is answered.

use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::Value as Json;

use crate::send::Call;

/// Switches a table's time to live on or off
/// ([API_UpdateTimeToLive](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateTimeToLive.html)).
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateTimeToLive<'a> {
    /// The table.
    pub table_name: &'a str,
    /// API reference, TimeToLiveSpecification: `{"AttributeName":"expires_at","Enabled":true}`.
    pub time_to_live_specification: &'a Json,
}

impl Call for UpdateTimeToLive<'_> {
    const OPERATION: &'static str = "UpdateTimeToLive";
    type Answer = IgnoredAny;
}
