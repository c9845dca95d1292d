//! BatchExecuteStatement: what is asked and what is answered.

use std::marker::PhantomData;

use backfill_core::text;
use backfill_core::value::packed::ValueRef;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::quick::Quick;
use super::shapes::Capacity;
use crate::send::Call;

/// Up to 25 PartiQL statements, each of which succeeds or fails by itself
/// ([API_BatchExecuteStatement](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchExecuteStatement.html)).
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BatchExecuteStatement<'a, I> {
    pub(crate) statements: Vec<BatchStatement<'a>>,
    pub(crate) return_consumed_capacity: Option<&'a str>,
    /// What is kept of items that conditions were held against.
    #[serde(skip)]
    pub(crate) found: PhantomData<fn() -> I>,
}

impl<I: DeserializeOwned + Send> Call for BatchExecuteStatement<'_, I> {
    const OPERATION: &'static str = "BatchExecuteStatement";
    type Answer = BatchExecuted<I>;

    /// The statements of a batch differ in their parameters. What they have in common is written as JSON once.
    fn body(&self) -> serde_json::Result<Vec<u8>> {
        let Some(first) = self.statements.first() else {
            return serde_json::to_vec(self);
        };
        let (before, after) = first.around_parameters()?;
        let mut body = Vec::with_capacity(self.statements.len() * 2 * (before.len() + after.len()));
        body.extend_from_slice(b"{\"Statements\":[");
        for (i, statement) in self.statements.iter().enumerate() {
            if i > 0 {
                body.push(b',');
            }
            if !statement.is_like(first) {
                serde_json::to_writer(&mut body, statement)?;
                continue;
            }
            body.extend_from_slice(&before);
            for (j, parameter) in statement.parameters.iter().enumerate() {
                if j > 0 {
                    body.push(b',');
                }
                add(&mut body, parameter)?;
            }
            body.extend_from_slice(&after);
        }
        body.extend_from_slice(b"],\"ReturnConsumedCapacity\":");
        serde_json::to_writer(&mut body, &self.return_consumed_capacity)?;
        body.push(b'}');
        Ok(body)
    }

    fn read_quickly(json: &str) -> Option<BatchExecuted<I>> {
        let mut json = Quick::new(json);
        let (mut responses, mut consumed) = (None, None);
        json.object(|json, name| {
            match name {
                "Responses" if responses.is_none() => responses = Some(read_responses(json)?),
                "ConsumedCapacity" if consumed.is_none() => consumed = Some(json.value()?),
                _ => return None,
            }
            Some(())
        })?;
        json.end()?;
        Some(BatchExecuted {
            responses: responses?,
            consumed_capacity: consumed.flatten(),
        })
    }
}

/// Most statements succeed, and are all told by the same few bytes: they are read but once.
fn read_responses<I: DeserializeOwned>(json: &mut Quick<'_>) -> Option<Vec<StatementResponse<I>>> {
    let mut success = None;
    json.array(|json| {
        if success.is_some_and(|success| json.takes(success)) {
            return Some(StatementResponse { error: None });
        }
        let (response, text) = json.value_and_text::<StatementResponse<I>>()?;
        // Nothing but an object ends for sure where this one has ended.
        if response.error.is_none() && text.starts_with('{') {
            success = Some(text);
        }
        Some(response)
    })
}

/// Adds a parameter as JSON. A text in which nothing is to be escaped, which most have, is added as it is.
fn add(body: &mut Vec<u8>, parameter: &ValueRef<'_>) -> serde_json::Result<()> {
    let (before, text) = match parameter {
        ValueRef::S(text) => (br#"{"S":""#, *text),
        ValueRef::N(number) => (br#"{"N":""#, *number),
        _ => return serde_json::to_writer(body, parameter),
    };
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    // Without a branch for each byte.
    if !text
        .bytes()
        .fold(true, |plain, byte| plain & is_plain(byte))
    {
        return serde_json::to_writer(body, parameter);
    }
    body.extend_from_slice(before);
    body.extend_from_slice(text.as_bytes());
    body.extend_from_slice(br#""}"#);
    Ok(())
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BatchStatement<'a> {
    pub(crate) statement: &'a str,
    /// The values of its question marks, in their order.
    pub(crate) parameters: Vec<ValueRef<'a>>,
    pub(crate) return_values_on_condition_check_failure: &'a str,
}

impl BatchStatement<'_> {
    /// True if nothing but the parameters is different.
    fn is_like(&self, other: &Self) -> bool {
        let told = |statement: &Self| statement.return_values_on_condition_check_failure;
        self.statement == other.statement && told(self) == told(other)
    }

    /// Its JSON before and after the parameters.
    fn around_parameters(&self) -> serde_json::Result<(Vec<u8>, Vec<u8>)> {
        let mut before = b"{\"Statement\":".to_vec();
        serde_json::to_writer(&mut before, self.statement)?;
        before.extend_from_slice(b",\"Parameters\":[");
        let mut after = b"],\"ReturnValuesOnConditionCheckFailure\":".to_vec();
        serde_json::to_writer(&mut after, self.return_values_on_condition_check_failure)?;
        after.push(b'}');
        Ok((before, after))
    }
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[serde(bound(deserialize = "I: DeserializeOwned"))]
pub(crate) struct BatchExecuted<I> {
    /// One for each statement, in their order.
    pub(crate) responses: Vec<StatementResponse<I>>,
    /// Write units by table, those of failed statements included. Missing if no statement succeeded.
    pub(crate) consumed_capacity: Option<Vec<Capacity>>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[serde(bound(deserialize = "I: DeserializeOwned"))]
pub(crate) struct StatementResponse<I> {
    pub(crate) error: Option<StatementError<I>>,
}

/// API reference, BatchStatementError.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[serde(bound(deserialize = "I: DeserializeOwned"))]
pub(crate) struct StatementError<I> {
    #[serde(default, deserialize_with = "text::deserialize")]
    pub(crate) code: String,
    #[serde(default, deserialize_with = "text::deserialize")]
    pub(crate) message: String,
    /// What is kept of the item that the condition was held against.
    pub(crate) item: Option<I>,
}

#[cfg(test)]
mod tests {
    use backfill_core::{Item, Value};

    use super::*;

    #[test]
    fn a_batch_is_the_json_of_its_fields() {
        let (text, odd) = (ValueRef::S("a \"quoted\" \\ value\n"), ValueRef::N("7"));
        let (plain, control) = (ValueRef::S("plain ü\u{7f}"), ValueRef::S("\u{1f}"));
        let (list, binary) = (Value::L(vec![Value::Bool(true)]), ValueRef::B(b"\x00\xff"));
        let statement = |statement: &'static str, parameters| BatchStatement {
            statement,
            parameters,
            return_values_on_condition_check_failure: "ALL_OLD",
        };
        let update = r#"UPDATE "t\u{e9}" SET "a" = ? WHERE "id" = ?"#;
        let mut batch = BatchExecuteStatement {
            statements: Vec::new(),
            return_consumed_capacity: Some("TOTAL"),
            found: PhantomData::<fn() -> Item>,
        };
        let others = [
            statement(update, vec![text, odd]),
            statement(update, vec![odd, text]),
            statement("another \"one\"", vec![odd]),
            statement(update, vec![]),
            statement(update, vec![plain, control, binary, ValueRef::from(&list)]),
        ];
        for statement in others {
            assert_eq!(batch.body().unwrap(), serde_json::to_vec(&batch).unwrap());
            batch.statements.push(statement);
        }
        batch.return_consumed_capacity = None;
        assert_eq!(batch.body().unwrap(), serde_json::to_vec(&batch).unwrap());
    }
}
