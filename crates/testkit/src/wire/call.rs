//! A call on the line, and what is to become of it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use backfill_core::{Item, Key};
use hyper::body::Bytes;
use serde_json::Value as Json;

/// How long a slow table takes for an update, or for four of a batch.
const SLOW: Duration = Duration::from_millis(100);

/// A call to DynamoDB.
#[derive(Debug, Clone)]
pub struct Call {
    /// `Scan`, `UpdateItem`, …
    pub operation: String,
    pub body: Json,
    /// The id of the access key by which it is signed; empty if it is not.
    pub access_key: String,
    /// The two ends of the connection on which it came.
    pub sender: SocketAddr,
    pub receiver: SocketAddr,
}

impl Call {
    /// The table that it names, in a transaction or a batch the one of its first part; empty if it names none.
    pub fn table(&self) -> &str {
        if let Some(statement) = self.statements().first() {
            // UPDATE "stuff" SET …
            let text = statement["Statement"].as_str().unwrap_or_default();
            return text.split('"').nth(1).unwrap_or_default();
        }
        let action = self.body["TransactItems"][0].as_object();
        let action = action.and_then(|action| action.values().next());
        let named = action.unwrap_or(&self.body);
        named["TableName"].as_str().unwrap_or_default()
    }

    /// True for a transaction that only looks at items.
    pub fn is_check(&self) -> bool {
        let actions = self.body["TransactItems"].as_array();
        let only_checks = |action: &Json| {
            action
                .as_object()
                .is_some_and(|action| action.keys().eq(["ConditionCheck"]))
        };
        self.operation == "TransactWriteItems"
            && actions.is_some_and(|actions| actions.iter().all(only_checks))
    }

    fn statements(&self) -> &[Json] {
        self.body["Statements"]
            .as_array()
            .map_or(&[], Vec::as_slice)
    }

    /// True for guarded updates, of one item or of several.
    pub fn is_update(&self) -> bool {
        self.updates() > 0
    }

    /// How many items it is to update.
    pub fn updates(&self) -> u64 {
        match self.operation.as_str() {
            "UpdateItem" => 1,
            "BatchExecuteStatement" => self.statements().len() as u64,
            _ => 0,
        }
    }

    /// Whether every update in it is guarded: it names a condition, and cannot create an item.
    pub fn is_guarded(&self) -> bool {
        let condition = self.body["ConditionExpression"].as_str();
        match self.operation.as_str() {
            "UpdateItem" => condition.is_some_and(|guard| guard.starts_with("attribute_exists(")),
            _ => self.statements().iter().all(|statement| {
                let text = statement["Statement"].as_str().unwrap_or_default();
                text.starts_with("UPDATE ") && text.contains("= ? AND (")
            }),
        }
    }

    /// True for a page of a sweep, as workers read it; not for the one item of a single segment by which `run` has the
    /// predicate judged.
    pub fn is_sweep(&self) -> bool {
        let is_judged = self.body["Limit"] == 1 && self.body["TotalSegments"] == 1;
        self.operation == "Scan" && !self.is_count() && !is_judged
    }

    /// True for a page of a verification: a strongly consistent scan.
    pub fn is_count(&self) -> bool {
        self.operation == "Scan" && self.body["ConsistentRead"] == true
    }

    /// Waits as long as its updates would take a slow table.
    pub async fn dawdle(&self) {
        tokio::time::sleep(SLOW * self.updates().div_ceil(4) as u32).await;
    }

    /// The segment of a scan.
    pub fn segment(&self) -> Option<u64> {
        self.body["Segment"].as_u64()
    }

    /// The key after which a page of a scan begins; none at the beginning of a segment.
    pub fn start_key(&self) -> Option<Key> {
        serde_json::from_value(self.body["ExclusiveStartKey"].clone()).ok()
    }

    /// The keys of the items that it is to update.
    pub fn keys(&self) -> Vec<Key> {
        if self.operation == "UpdateItem" {
            let key: Item = serde_json::from_value(self.body["Key"].clone()).expect("a key");
            return vec![Key(key)];
        }
        let key = |statement: &Json| {
            // UPDATE "stuff" SET "test" = ? WHERE "id" = ? AND "created" = ? AND (…)
            let text = statement["Statement"].as_str().expect("a statement");
            let (set, condition) = text.split_once(" WHERE ").expect("a condition");
            let (key, _) = condition.split_once(" AND (").expect("a predicate");
            let parameters = &statement["Parameters"].as_array().expect("parameters")
                [set.matches('?').count()..];
            let names = key.split('"').skip(1).step_by(2).map(str::to_owned);
            let value = |json: &Json| serde_json::from_value(json.clone()).expect("a value");
            Key(names.zip(parameters.iter().map(value)).collect())
        };
        self.statements().iter().map(key).collect()
    }
}

/// What is to become of a call.
#[derive(Debug, Clone)]
pub enum Verdict {
    Forward,
    /// Passed on, and the answer is held back for so long. Whoever does not wait for it has a call that was carried out.
    Delay(Duration),
    /// Passed on, and the fields of this object are put into the answer, in the place of those that it has.
    Amend(Json),
    /// Passed on with this Limit: a page of so many items, of which a small table then has several.
    ShortPage(u32),
    /// A page of a scan on which nothing was found and from which it goes on where it has begun. Passed on if it begins
    /// at the beginning, since no key could say so.
    EmptyPage,
    /// DynamoDB's answer would be this error.
    Refuse {
        code: &'static str,
        message: &'static str,
    },
    /// Every n-th statement of a batch fails like this, and the others are passed on.
    FailStatements {
        every: usize,
        code: &'static str,
        message: &'static str,
    },
    /// DynamoDB refuses the update of the items with these keys as invalid, in these words: that of one item by an error, that
    /// of a statement by an error in its place. Other items are updated.
    RefuseItems {
        keys: Arc<BTreeSet<Key>>,
        message: &'static str,
    },
    /// The transaction was cancelled, for this reason in its first part.
    CancelTransaction {
        code: &'static str,
    },
    /// DynamoDB throttles the call as that of a table on demand, and says why.
    Throttle {
        reason: &'static str,
        resource: &'static str,
    },
    /// DynamoDB throttles the call by this error, and says why.
    ThrottleAs {
        code: &'static str,
        reason: &'static str,
        resource: &'static str,
    },
    /// The service has a bad moment: this HTTP status (500 and above). With 500 it says so itself; behind others stands
    /// something in between, which knows nothing of DynamoDB's errors.
    Unavailable(u16),
    /// Something in between answers, with this status and body.
    Say(u16, Bytes),
    /// The connection ends without an answer.
    Break,
    /// The connection is reset without an answer.
    Reset,
    /// The call is carried out, and the connection ends without an answer.
    LoseReply,
    /// The connection is reset, and the call is carried out this much later, when nobody waits for it any more.
    Stray(Duration),
    /// The call is carried out, and the connection ends in the middle of the answer.
    Truncate,
    /// The call is carried out, and half of the answer arrives as if it were the whole.
    Garble,
}
