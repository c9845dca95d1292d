//! UpdateEventSourceMapping of Lambda, as far as it switches one on and off.

use serde::Serialize;

use super::event_source_mapping::EventSourceMapping;
use super::list_event_source_mappings::PATH;
use crate::send::{SdkError, Sender};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    enabled: bool,
}

/// Enables or disables the event source mapping of this id
/// ([API_UpdateEventSourceMapping](https://docs.aws.amazon.com/lambda/latest/api/API_UpdateEventSourceMapping.html)). The answer comes
/// before that is done: its state is Enabling, Disabling or Updating. The sender is one to [`LAMBDA`](crate::send::LAMBDA).
///
/// Errors: those of UpdateEventSourceMapping, such as ResourceInUseException while another change of it is under way.
pub async fn switch_event_source_mapping(
    sender: &Sender,
    uuid: &str,
    enabled: bool,
) -> Result<EventSourceMapping, SdkError> {
    let path = format!("{PATH}/{uuid}");
    sender.put(&path, &Change { enabled }).await
}
