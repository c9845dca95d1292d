//! ListEventSourceMappings of Lambda: what is asked and what is answered.

use backfill_core::guard::FoundMapping;
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

/// What a guard has to know of the mapping that brings it its records, and of what brings it word of those that Lambda has given up.
///
/// Errors: those of [`list_event_source_mappings`].
pub async fn found_mapping(
    sender: &ReadSender,
    mapping: &EventSourceMapping,
) -> Result<FoundMapping, SdkError> {
    let mut found = mapping.found();
    if found.problem.is_none() {
        found.problem = unread(sender, mapping).await?;
    }
    Ok(found)
}

/// Why the function of this mapping does not get word of all records that Lambda has given up, with what to do; `None` if it does, or if
/// nobody is told of them.
///
/// Errors: those of [`list_event_source_mappings`].
pub async fn unread(
    sender: &ReadSender,
    mapping: &EventSourceMapping,
) -> Result<Option<String>, SdkError> {
    let Some(queue) = mapping.on_failure() else {
        return Ok(None);
    };
    let of_queue = match queue.split(':').nth(2) {
        Some("sqs") => list_event_source_mappings(sender, queue).await?,
        // A function takes messages of nothing else.
        _ => Vec::new(),
    };
    Ok(mapping.unread(&of_queue))
}

/// All event source mappings of the stream or queue with this ARN, page by page
/// ([API_ListEventSourceMappings](https://docs.aws.amazon.com/lambda/latest/api/API_ListEventSourceMappings.html)). The sender is one
/// to [`LAMBDA`](crate::send::LAMBDA).
///
/// Errors: those of ListEventSourceMappings; `Internal` if the pages do not go on.
pub async fn list_event_source_mappings(
    sender: &ReadSender,
    source_arn: &str,
) -> Result<Vec<EventSourceMapping>, SdkError> {
    let mut mappings = Vec::new();
    let mut marker: Option<String> = None;
    loop {
        let mut query = vec![("EventSourceArn", source_arn)];
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
