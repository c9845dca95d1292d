//! What updates and statements that DynamoDB refuses mean, and what they cost.

use backfill_core::change::{Change, Seen};
use backfill_core::ports::{Outcome, Write};
use backfill_core::value::measured::ItemBytes;
use backfill_core::value::size::{item_bytes, write_units};
use backfill_core::{Error, ErrorKind, Item, Result};
use serde::de::DeserializeOwned;

use crate::calls::{CONDITION_FAILED, ConditionFailed, StatementError};
use crate::failure::failure;
use crate::refusal::Refusal;
use crate::send::{ProvideErrorMetadata as _, SdkError, details};

/// The code of a statement or a check whose condition failed (API reference, BatchStatementError and CancellationReason).
pub(crate) const STATEMENT_CONDITION_FAILED: &str = "ConditionalCheckFailed";

/// Write units of a statement or an update that DynamoDB carried out and that it has not charged more for.
pub(crate) const LEAST_UNITS: f64 = 1.0;

/// What is kept of an item that a failed condition brings along.
pub(crate) trait Found: DeserializeOwned + Send {
    /// Bytes of the item.
    fn bytes(&self) -> u64;

    /// What became of the update that was to be made from `item`.
    fn outcome(self, change: &dyn Change, item: &Seen) -> Outcome;
}

/// Of a change that is made from nothing of the item. That the item is there, and how large it is, is all that matters of it.
impl Found for ItemBytes {
    fn bytes(&self) -> u64 {
        self.0
    }

    fn outcome(self, _change: &dyn Change, _item: &Seen) -> Outcome {
        Outcome::Raced
    }
}

/// Of a change that is made from the item.
impl Found for Item {
    fn bytes(&self) -> u64 {
        item_bytes(self)
    }

    fn outcome(self, change: &dyn Change, item: &Seen) -> Outcome {
        Outcome::of_failed_guard(change, item, Some(self))
    }
}

/// What the failed guard of an update means, by the item that is there.
pub(crate) fn of_failed_guard<I: Found>(
    change: &dyn Change,
    item: &Seen,
    found: Option<I>,
) -> Outcome {
    match found {
        Some(found) => found.outcome(change, item),
        None => Outcome::Vanished,
    }
}

/// Write units of a condition that failed on this item, or on none.
pub(crate) fn failed_condition_units(item: Option<&impl Found>) -> f64 {
    item.map_or(LEAST_UNITS, |item| write_units(item.bytes()))
}

/// Write units of a statement that failed, if the batch reports none: a failed condition costs what writing the item that is
/// there would; what DynamoDB refuses for the item's sake costs as much, but does not bring it along. Others were not carried
/// out.
pub(crate) fn units_of_error(error: &StatementError<impl Found>) -> f64 {
    match error.code.as_str() {
        STATEMENT_CONDITION_FAILED => failed_condition_units(error.item.as_ref()),
        "ItemCollectionSizeLimitExceeded" | "ValidationError" => LEAST_UNITS,
        _ => 0.0,
    }
}

/// The codes with which an update is refused because of somebody else's write to the very item: a transaction's, or
/// another region's (service model, UpdateItem).
const OTHERS_AT_WORK: [&str; 3] = [
    "TransactionConflictException",
    "TransactionInProgressException",
    "ReplicatedWriteConflictException",
];

/// What a refused update means. DynamoDB reports no capacity with an error: see [`failed_condition_units`].
pub(crate) fn refused<I: Found>(
    change: &dyn Change,
    item: &Seen,
    error: SdkError,
) -> Result<Write> {
    let table = change.table();
    let message = error.message().unwrap_or_default();
    let mut consumed_wcu = LEAST_UNITS;
    let outcome = match error.code() {
        Some(CONDITION_FAILED) => {
            let failed = details::<ConditionFailed<I>>(&error);
            let found = failed.and_then(|failed| failed.item);
            consumed_wcu = failed_condition_units(found.as_ref());
            of_failed_guard(change, item, found)
        }
        Some(code @ "ItemCollectionSizeLimitExceededException") => {
            Outcome::Rejected(match error.message() {
                Some(message) => format!("{code}: {message}"),
                None => code.to_owned(),
            })
        }
        Some("ValidationException") if Refusal::by(message) == Refusal::OfTheItem => {
            Outcome::Rejected(message.to_owned())
        }
        Some("ValidationException") if Refusal::by(message) == Refusal::Unclear => {
            Outcome::Unclear(message.to_owned())
        }
        code => {
            let is_busy = code.is_some_and(|code| OTHERS_AT_WORK.contains(&code));
            let error = failure(&format!("updating table {table}"), error);
            return Err(match is_busy {
                true => Error::new(ErrorKind::ItemBusy, error.to_string()),
                false => error,
            });
        }
    };
    Ok(Write {
        outcome,
        consumed_wcu,
    })
}

#[cfg(test)]
mod tests {
    use backfill_core::table::{KeyAttribute, KeySchema, KeyType};
    use backfill_core::{Key, Request};

    use super::*;
    use crate::calls::UpdateItem;
    use crate::send::tests::answered;

    /// What becomes of an update that DynamoDB answers with status 400 and this error.
    async fn refused_with(code: &str, message: &str) -> Result<Outcome> {
        let key = Key(Item::new());
        let update = UpdateItem::of("stuff", &key, "SET a = b");
        let body = format!(
            r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{code}","message":"{message}"}}"#
        );
        let sender = answered(400, None, body.leak()).await;
        let error = sender.call(&update).await.unwrap_err();
        let change = Request::from_json(r#"{"table":"stuff","set":{"test":1}}"#);
        let change = change.unwrap().spec.change(&KeySchema {
            hash: KeyAttribute::new("id", KeyType::S),
            range: None,
        });
        let seen = Seen::from(key.clone());
        Ok(refused::<ItemBytes>(&*change, &seen, error)?.outcome)
    }

    #[tokio::test]
    async fn a_refused_update_is_told_by_code_and_words() {
        for code in OTHERS_AT_WORK {
            let error = refused_with(code, "others").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ItemBusy, "{code}");
            assert!(error.to_string().contains(code), "{error}");
        }
        for (message, outcome) in [
            (
                "The update expression attempted to update the secondary index key to unsupported type",
                Some(Outcome::Rejected as fn(String) -> Outcome),
            ),
            ("It is odd", Some(Outcome::Unclear)),
            ("Invalid UpdateExpression: Syntax error", None),
        ] {
            let refused = refused_with("ValidationException", message).await;
            match outcome {
                Some(outcome) => assert_eq!(refused.unwrap(), outcome(message.into())),
                None => assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidSpec),
            }
        }
    }

    /// A throttled statement was not carried out. A failed condition costs what writing the item that is there would, or one unit.
    #[test]
    fn a_throttled_statement_costs_nothing() {
        for (code, bytes, units) in [
            ("ThrottlingError", None, 0.0),
            ("ProvisionedThroughputExceeded", None, 0.0),
            ("ConditionalCheckFailed", None, 1.0),
            ("ConditionalCheckFailed", Some(4_097), 5.0),
            ("ValidationError", None, 1.0),
        ] {
            let error = StatementError {
                code: code.into(),
                message: String::new(),
                item: bytes.map(ItemBytes),
            };
            assert_eq!(units_of_error(&error), units, "{code}, {bytes:?}");
        }
    }
}
