//! ListTagsOfResource: what is asked and what is answered.

use serde::{Deserialize, Serialize};

use crate::send::{Call, ReadCall, ReadSender, SdkError};

/// One page of a table's tags
/// ([API_ListTagsOfResource](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_ListTagsOfResource.html)).
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListTagsOfResource<'a> {
    resource_arn: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<&'a str>,
}

impl Call for ListTagsOfResource<'_> {
    const OPERATION: &'static str = "ListTagsOfResource";
    type Answer = Tags;
}

impl ReadCall for ListTagsOfResource<'_> {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tags {
    #[serde(default)]
    tags: Vec<Tag>,
    next_token: Option<String>,
}

/// A tag of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    /// Its name.
    pub key: String,
    /// Its text.
    pub value: String,
}

/// All tags of the table with this ARN, page by page.
///
/// Errors: those of ListTagsOfResource.
pub async fn list_tags(sender: &ReadSender, arn: &str) -> Result<Vec<Tag>, SdkError> {
    let mut tags = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let call = ListTagsOfResource {
            resource_arn: arn,
            next_token: next.as_deref(),
        };
        let page = sender.call(&call).await?;
        tags.extend(page.tags);
        next = page.next_token;
        if next.is_none() {
            return Ok(tags);
        }
    }
}
