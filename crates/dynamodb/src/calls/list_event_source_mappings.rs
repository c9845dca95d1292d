//! ListEventSourceMappings of Lambda: what is asked and what is answered.

use backfill_core::{Error, ErrorKind};
use serde::Deserialize;

use super::event_source_mapping::EventSourceMapping;
use crate::send::{ReadSender, SdkError};

/// Where Lambda keeps event source mappings.
pub(super) const PATH: &str = "2015-03-31/event-source-mappings";

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
