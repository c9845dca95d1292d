//! GetEventSourceMapping of Lambda.

use super::event_source_mapping::EventSourceMapping;
use super::list_event_source_mappings::PATH;
use crate::send::{ProvideErrorMetadata as _, ReadSender, SdkError};

/// The event source mapping of this id
/// ([API_GetEventSourceMapping](https://docs.aws.amazon.com/lambda/latest/api/API_GetEventSourceMapping.html)); `None` if there is
/// none. The sender is one to [`LAMBDA`](crate::send::LAMBDA).
///
/// Errors: those of GetEventSourceMapping, but for ResourceNotFoundException.
pub async fn get_event_source_mapping(
    sender: &ReadSender,
    uuid: &str,
) -> Result<Option<EventSourceMapping>, SdkError> {
    match sender.get(&format!("{PATH}/{uuid}"), &[]).await {
        Ok(mapping) => Ok(Some(mapping)),
        Err(error) if error.code() == Some("ResourceNotFoundException") => Ok(None),
        Err(error) => Err(error),
    }
}
