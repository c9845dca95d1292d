//! GetQueueAttributes of SQS: what is asked and what is answered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::send::{Call, ReadCall};

/// How many messages a queue has
/// ([API_GetQueueAttributes](https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html)). The
/// sender is one to [`SQS`](crate::send::SQS).
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetQueueAttributes<'a> {
    /// Of [`GetQueueUrl`](super::GetQueueUrl).
    pub queue_url: &'a str,
    /// [`GetQueueAttributes::MESSAGES`]: nothing else is read of the answer.
    pub attribute_names: &'a [&'a str],
}

impl GetQueueAttributes<'_> {
    /// Messages that can be received, and messages that somebody has received and not deleted yet.
    pub const MESSAGES: &'static [&'static str] = &[
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesNotVisible",
    ];
}

impl Call for GetQueueAttributes<'_> {
    const OPERATION: &'static str = "GetQueueAttributes";
    type Answer = QueueAttributes;
}

impl ReadCall for GetQueueAttributes<'_> {}

/// What GetQueueAttributes says: every attribute is a text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct QueueAttributes {
    attributes: Option<BTreeMap<String, String>>,
}

impl QueueAttributes {
    /// The messages that are in the queue, about; `None` if the answer does not say.
    pub fn messages(&self) -> Option<u64> {
        let attributes = self.attributes.as_ref()?;
        let counts = GetQueueAttributes::MESSAGES
            .iter()
            .map(|name| attributes.get(*name)?.parse::<u64>().ok());
        counts.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_that_wait_and_those_that_somebody_has() {
        let read = |text: &str| serde_json::from_str::<QueueAttributes>(text).unwrap();
        let both = r#"{"Attributes": {"ApproximateNumberOfMessages": "2", "ApproximateNumberOfMessagesNotVisible": "1"}}"#;
        assert_eq!(read(both).messages(), Some(3));
        let none = both.replace("\"2\"", "\"0\"").replace("\"1\"", "\"0\"");
        assert_eq!(read(&none).messages(), Some(0));
        for unsaid in [
            "{}",
            r#"{"Attributes": {"ApproximateNumberOfMessages": "2"}}"#,
            &both.replace("\"1\"", "\"many\""),
        ] {
            assert_eq!(read(unsaid).messages(), None, "{unsaid}");
        }
    }
}
