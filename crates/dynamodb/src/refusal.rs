//! What DynamoDB's words say of an update that it refuses as invalid. There is no code but the one ValidationException for
//! what is wrong with a request, with an item, and with the two together.

/// Whose fault it is that an update is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The content of this one item.
    OfTheItem,
    /// The request, which is the same for every item.
    OfTheRequest,
    /// The words do not say.
    Unclear,
}

/// How messages about a request begin (recorded by dynamodb-conformance and dynalite).
const OF_THE_REQUEST: [&str; 17] = [
    "Invalid UpdateExpression",
    "Invalid ConditionExpression",
    "ExpressionAttributeNames ",
    "ExpressionAttributeValues ",
    "Value provided in ExpressionAttribute",
    "Can not use both expression and non-expression parameters",
    "The provided key element does not match the schema",
    "The expression can not be empty",
    "One or more parameter values were invalid: Cannot update attribute",
    "One or more parameter values were invalid: Missing the key",
    "One or more parameter values were invalid: Type mismatch for key",
    "One or more parameter values are not valid. The AttributeValue for a key attribute",
    "Supplied AttributeValue ",
    "The parameter cannot be converted to a numeric value",
    "The parameter '",
    "Key attributes must be scalars",
    "TableName must be",
];

/// Parts of messages about an item (API reference, TransactionCanceledException, Validation Error; recorded by
/// dynamodb-conformance, dynalite and the Alternator tests of ScyllaDB).
const OF_THE_ITEM: [&str; 17] = [
    "Item size to update has exceeded the maximum allowed size",
    "Item size has exceeded the maximum allowed size",
    "An operand in the update expression has an incorrect data type",
    "The provided expression refers to an attribute that does not exist in the item",
    "The document path provided in the update expression is invalid for update",
    "Number overflow",
    "Number underflow",
    "Attempting to store more than 38 significant digits",
    "Nesting Levels have exceeded supported limits",
    "Type mismatch for attribute to update",
    // The rest is said of an attribute that does not fit the key of an index.
    "Type mismatch for Index Key",
    "update the secondary index key to unsupported type",
    "update the secondary index key beyond allowed size limits",
    "update a secondary index key to a value that is not supported",
    "A value specified for a secondary index key is not supported",
    "Size of hashkey has exceeded the maximum size limit",
    "Aggregated size of all range keys has exceeded the size limit",
];

impl Refusal {
    /// What the message of a ValidationException, or of a statement's ValidationError, says.
    pub(crate) fn by(message: &str) -> Refusal {
        let is_of_the_request = is_counted(message)
            || OF_THE_REQUEST
                .iter()
                .any(|start| message.starts_with(start));
        if is_of_the_request {
            Refusal::OfTheRequest
        } else if OF_THE_ITEM.iter().any(|part| message.contains(part)) {
            Refusal::OfTheItem
        } else {
            Refusal::Unclear
        }
    }
}

/// True for "2 validation errors detected: …", which is about the form of a request.
fn is_counted(message: &str) -> bool {
    let rest = message.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.len() < message.len() && rest.starts_with(" validation error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn all_are(refusal: Refusal, messages: &[&str]) {
        for message in messages {
            assert_eq!(Refusal::by(message), refusal, "{message}");
        }
    }

    /// Recorded by dynamodb-conformance and dynalite, the reserved word by AWS's documentation.
    #[test]
    fn what_is_said_of_a_request_is_of_the_request() {
        all_are(
            Refusal::OfTheRequest,
            &[
                "Invalid UpdateExpression: Syntax error; token: \"INVALID\", near: \"INVALID SYNTAX\"",
                "Invalid UpdateExpression: An expression attribute value used in expression is not defined; attribute value: :v",
                "Invalid UpdateExpression: Incorrect operand type for operator or function; operator: +, operand type: S",
                "Invalid ConditionExpression: Attribute name is a reserved keyword; reserved keyword: name",
                "Value provided in ExpressionAttributeValues unused in expressions: keys: {:unused}",
                "ExpressionAttributeValues contains invalid value: Number overflow. Attempting to store a number with magnitude \
                 larger than supported range for key :v",
                "The provided key element does not match the schema",
                "One or more parameter values were invalid: Cannot update attribute pk. This attribute is part of the key",
                "2 validation errors detected: Value '' at 'tableName' failed to satisfy constraint",
                "The parameter cannot be converted to a numeric value: b",
            ],
        );
    }

    /// From the API reference, TransactionCanceledException, and recorded by dynamodb-conformance and the Alternator tests.
    #[test]
    fn what_is_said_of_an_item_is_of_the_item() {
        all_are(
            Refusal::OfTheItem,
            &[
                "The update expression attempted to update the secondary index key to unsupported type",
                "The update expression attempted to update the secondary index key beyond allowed size limits.",
                "One or more parameter values are not valid. The update expression attempted to update a secondary index key \
                 to a value that is not supported. The AttributeValue for a key attribute cannot contain an empty string value.",
                "One or more parameter values were invalid: Type mismatch for Index Key GSI1PK Expected: S Actual: N \
                 IndexName: GSI1",
                "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 bytes",
                "One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size limit of \
                 1024 bytes",
                "Type mismatch for attribute to update",
                "An operand in the update expression has an incorrect data type",
                "Item size to update has exceeded the maximum allowed size",
                "Number overflow. Attempting to store a number with magnitude larger than supported range",
            ],
        );
    }

    #[test]
    fn what_else_is_said_is_unclear() {
        all_are(
            Refusal::Unclear,
            &[
                "One or more parameter values were invalid.",
                "Unexpected path component at 1:8:7",
                "7 is no validation error",
                "",
            ],
        );
    }
}
