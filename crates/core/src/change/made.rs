//! A condition, and what is made of an item: the vocabulary of whoever says what a change is.

use std::collections::BTreeMap;

use crate::Item;

/// An expression with the placeholders that it uses, and no others: DynamoDB refuses a request that defines one
/// without using it ("Value provided in ExpressionAttributeNames unused in expressions").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    /// A condition or filter expression.
    pub expression: String,
    /// Each `#name` that the expression uses → attribute.
    pub names: BTreeMap<String, String>,
    /// Each `:value` that the expression uses → value.
    pub values: Item,
}

/// An expression without placeholders.
impl From<&str> for Condition {
    fn from(expression: &str) -> Self {
        Condition {
            expression: expression.to_owned(),
            ..Condition::default()
        }
    }
}

/// What was made of one item. A change that writes the same to all items makes nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Made {
    /// Attribute → the value that it gets.
    pub set: Item,
    /// The attributes that are removed.
    pub remove: Vec<String>,
}
