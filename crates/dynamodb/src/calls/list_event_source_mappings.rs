//! ListEventSourceMappings of Lambda: what is asked and what is answered.

use backfill_core::{Error, ErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::send::{ReadSender, SdkError};

/// Where Lambda keeps event source mappings.
pub(super) const PATH: &str = "2015-03-31/event-source-mappings";

/// What takes records from a stream to a function
/// ([API_EventSourceMappingConfiguration](https://docs.aws.amazon.com/lambda/latest/api/API_EventSourceMappingConfiguration.html)).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EventSourceMapping {
    /// Its id.
    #[serde(rename = "UUID")]
    pub uuid: String,
    /// Creating, Enabling, Enabled, Disabling, Disabled, Updating or Deleting.
    pub state: String,
    /// Whose records it takes: the ARN of a table's stream.
    #[serde(default)]
    pub event_source_arn: String,
    /// The function, with version or alias if it is of one.
    #[serde(default)]
    pub function_arn: String,
    /// Whatever else Lambda says of it, by Lambda's names, such as `BatchSize` and `StartingPosition`.
    #[serde(flatten)]
    pub settings: Map<String, Json>,
}

impl EventSourceMapping {
    /// True if it takes records. One in any other state is about to begin or to end, or does not say.
    pub fn is_enabled(&self) -> bool {
        self.state == "Enabled"
    }

    /// A setting that is text, such as `StartingPosition`, `LastProcessingResult` and `StateTransitionReason`.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.settings.get(name)?.as_str()
    }

    /// Why its last records could not be read or handed over, such as `PROBLEM: Function call failed`; `None` if they were.
    pub fn problem(&self) -> Option<&str> {
        let result = self.text("LastProcessingResult")?;
        result.starts_with("PROBLEM").then_some(result)
    }

    /// A setting that is a whole number, such as `BatchSize` and `MaximumRecordAgeInSeconds`.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.settings.get(name)?.as_i64()
    }

    /// The ARN of what gets word of records that Lambda has given up, such as a queue; `None` if nothing does.
    pub fn on_failure(&self) -> Option<&str> {
        let destination = self.settings.get("DestinationConfig")?.get("OnFailure")?;
        destination.get("Destination")?.as_str()
    }

    /// When it, or its state, was changed last, in milliseconds since 1970. JSON over REST has times in seconds, with a fraction.
    pub fn last_modified_ms(&self) -> Option<u64> {
        let seconds = self.settings.get("LastModified")?.as_f64()?;
        (seconds > 0.0).then_some((seconds * 1_000.0) as u64)
    }
}

/// One page.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    event_source_mappings: Option<Vec<EventSourceMapping>>,
    next_marker: Option<String>,
}

/// All event source mappings of the stream with this ARN, page by page
/// ([API_ListEventSourceMappings](https://docs.aws.amazon.com/lambda/latest/api/API_ListEventSourceMappings.html)). The sender is one
/// to [`LAMBDA`](crate::send::LAMBDA).
///
/// Errors: those of ListEventSourceMappings; `Internal` if the pages do not go on.
pub async fn list_event_source_mappings(
    sender: &ReadSender,
    stream_arn: &str,
) -> Result<Vec<EventSourceMapping>, SdkError> {
    let mut mappings = Vec::new();
    let mut marker: Option<String> = None;
    loop {
        let mut query = vec![("EventSourceArn", stream_arn)];
        query.extend(marker.as_deref().map(|marker| ("Marker", marker)));
        let page: Page = sender.get(PATH, &query).await?;
        mappings.extend(page.event_source_mappings.into_iter().flatten());
        let next = page.next_marker.filter(|marker| !marker.is_empty());
        if next.is_none() {
            return Ok(mappings);
        }
        if next == marker {
            let why = "the pages of the event source mappings do not go on";
            return Err(SdkError::construction_failure(Error::new(
                ErrorKind::Internal,
                why,
            )));
        }
        marker = next;
    }
}
