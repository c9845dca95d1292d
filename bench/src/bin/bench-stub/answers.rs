//! The answers to what is asked of the table: the model's, in DynamoDB's words.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use backfill_core::value::size::{read_units, write_units};
use backfill_simulation::Scenario;
use backfill_simulation::model::{Limit, Table, Updated};
use serde_json::{Map, Value as Json, json};

use crate::expressions::Filter;
use crate::items::push_key;
use crate::requests::{Asked, Reader, Scan, Shown, Update};

/// How the table is billed, which decides by which error it throttles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Billing {
    OnDemand,
    Provisioned,
}

/// The table: its model, and the time since it was first asked.
pub struct Stub {
    pub reader: Reader,
    pub scenario: Scenario,
    billing: Billing,
    model: Mutex<Table>,
    begin: OnceLock<Instant>,
}

/// Status and body.
pub type Answer = (u16, Vec<u8>);

/// A request that is refused as invalid.
pub fn invalid(message: &str) -> Answer {
    let error = "com.amazon.coral.validate#ValidationException";
    refusal(error, "message", message)
}

fn refusal(error: &str, field: &str, message: &str) -> Answer {
    (
        400,
        json!({"__type": error, field: message})
            .to_string()
            .into_bytes(),
    )
}

/// What a throttled request was for.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Read,
    Write,
}

const TOO_FAST: &str = "Throughput exceeds the current capacity of your table or index";

impl Stub {
    pub fn new(reader: Reader, scenario: Scenario, billing: Billing) -> Stub {
        Stub {
            reader,
            model: Mutex::new(Table::new(scenario.clone())),
            scenario,
            billing,
            begin: OnceLock::new(),
        }
    }

    /// Seconds since the table was first asked: so it is as fresh for whoever works on it as it is in a simulation.
    fn now(&self) -> f64 {
        let begin = self.begin.get_or_init(Instant::now);
        begin.elapsed().as_secs_f64()
    }

    fn model(&self) -> MutexGuard<'_, Table> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Statements whose time a request takes: a page takes the longer, the more it may hold, as in the simulation.
    pub fn statements(&self, asked: &Asked) -> u32 {
        match asked {
            Asked::Scan(scan) => 1 + self.scenario.page_items(scan.page.limit) as u32 / 50,
            Asked::Batch { items, .. } => items.len() as u32,
            _ => 1,
        }
    }

    /// The time that a request of so many statements takes.
    pub fn latency(&self, statements: u32) -> Duration {
        let is_none = self.scenario.latency.is_zero() && self.scenario.statement_latency.is_zero();
        match is_none {
            true => Duration::ZERO,
            false => self.model().latency(statements),
        }
    }

    pub fn pending(&self) -> u64 {
        self.model().count_pending(0..self.scenario.items)
    }

    /// What has happened, second by second.
    pub fn report(&self) -> Json {
        let mut model = self.model();
        if self.begin.get().is_some() {
            let now = self.now();
            model.catch_up(now);
        }
        let seconds: Vec<Json> = model
            .seconds()
            .iter()
            .map(|second| {
                json!({
                    "wcu": second.wcu,
                    "wcu_by_tenth": second.wcu_by_tenth,
                    "rcu": second.rcu,
                    "throttles": second.throttles,
                    "live": second.live,
                    "live_throttled": second.live_throttled,
                })
            })
            .collect();
        json!({
            "items": self.scenario.items,
            "pending": model.count_pending(0..self.scenario.items),
            "write_seconds": model.write_seconds(),
            "seconds": seconds,
        })
    }

    /// What the inner database says of its empty table becomes what there is to say of this one.
    pub fn described(&self, body: &[u8]) -> Option<Vec<u8>> {
        let mut answer: Json = serde_json::from_slice(body).ok()?;
        let table = answer.get_mut("Table")?;
        table["ItemCount"] = self.scenario.items.into();
        table["TableSizeBytes"] = (self.scenario.items * self.scenario.item_bytes).into();
        Some(answer.to_string().into_bytes())
    }

    /// The answer of the model; `None` to what the inner database describes.
    pub fn answer(&self, asked: &Asked) -> Option<Answer> {
        Some(match asked {
            Asked::Describe => {
                self.now();
                return None;
            }
            Asked::Scan(scan) => self.scan(scan),
            Asked::Get {
                item,
                consistent,
                capacity,
            } => self.get(*item, *consistent, *capacity),
            Asked::Update(update) => self.update(update),
            Asked::Check {
                item,
                old,
                capacity,
            } => self.check(*item, *old, *capacity),
            Asked::Batch {
                items,
                old,
                capacity,
            } => self.batch(items, *old, *capacity),
        })
    }

    fn consumed(&self, units: f64) -> Json {
        json!({"TableName": self.reader.table, "CapacityUnits": units})
    }

    /// The item as it is: `pending`, or with the attribute.
    fn item(&self, index: u64, pending: bool) -> Map<String, Json> {
        let form = &self.reader.form;
        form.whole(index, self.scenario.item_bytes, pending)
    }

    /// A request that is throttled. The names of the reasons are those of ThrottlingReason (API reference).
    fn throttled(&self, limit: Limit, kind: Kind) -> Answer {
        let limit = match (limit, self.billing) {
            (Limit::Partition, _) => "KeyRangeThroughputExceeded",
            (Limit::Table, Billing::Provisioned) => "ProvisionedThroughputExceeded",
            (Limit::Table, Billing::OnDemand) => "AccountLimitExceeded",
        };
        let reason = format!("Table{kind:?}{limit}");
        let resource = format!(
            "arn:aws:dynamodb:us-east-1:000000000000:table/{}",
            self.reader.table
        );
        let (error, field) = match self.billing {
            Billing::OnDemand => (
                "com.amazon.coral.availability#ThrottlingException",
                "throttlingReasons",
            ),
            Billing::Provisioned => (
                "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
                "ThrottlingReasons",
            ),
        };
        let body = json!({
            "__type": error,
            "message": TOO_FAST,
            field: [{"reason": reason, "resource": resource}],
        });
        (400, body.to_string().into_bytes())
    }

    /// The code of a throttled statement.
    fn throttled_statement(&self) -> &'static str {
        match self.billing {
            Billing::OnDemand => "ThrottlingError",
            Billing::Provisioned => "ProvisionedThroughputExceeded",
        }
    }

    fn scan(&self, scan: &Scan) -> Answer {
        let read = {
            let mut model = self.model();
            let now = self.now();
            match model.page(scan.page, now) {
                Ok(read) => read,
                Err(limit) => return self.throttled(limit, Kind::Read),
            }
        };
        let scanned = read.scanned.end - read.scanned.start;
        let pending = read.pending.len() as u64;
        let count = match scan.filter {
            Filter::All => scanned,
            Filter::Pending => pending,
            Filter::Done => scanned - pending,
        };
        let mut json = Vec::with_capacity(200 + 100 * count as usize);
        json.push(b'{');
        if !scan.count {
            json.extend_from_slice(br#""Items":["#);
            let mut is_first = true;
            let mut push = |index: u64, is_pending: bool| {
                if !std::mem::take(&mut is_first) {
                    json.push(b',');
                }
                self.push_shown(&mut json, index, is_pending, &scan.shown);
            };
            if scan.filter == Filter::Pending {
                read.pending.iter().for_each(|&index| push(index, true));
            } else {
                let mut pending = read.pending.iter().copied().peekable();
                for index in read.scanned.clone() {
                    let is_pending = pending.next_if_eq(&index).is_some();
                    if scan.filter == Filter::All || !is_pending {
                        push(index, is_pending);
                    }
                }
            }
            json.extend_from_slice(b"],");
        }
        json.extend_from_slice(format!(r#""Count":{count},"ScannedCount":{scanned}"#).as_bytes());
        if read.goes_on {
            json.extend_from_slice(br#","LastEvaluatedKey":"#);
            push_key(&mut json, read.scanned.end - 1);
        }
        if scan.capacity {
            let consumed = self.consumed(read.units);
            json.extend_from_slice(format!(r#","ConsumedCapacity":{consumed}"#).as_bytes());
        }
        json.push(b'}');
        (200, json)
    }

    fn push_shown(&self, json: &mut Vec<u8>, index: u64, is_pending: bool, shown: &Shown) {
        match shown {
            Shown::Key => push_key(json, index),
            Shown::Only(names) => self.reader.form.push_only(json, names, index, is_pending),
            Shown::Whole => {
                let item = Json::from(self.item(index, is_pending));
                json.extend_from_slice(item.to_string().as_bytes());
            }
        }
    }

    fn get(&self, item: Option<u64>, consistent: bool, capacity: bool) -> Answer {
        let bytes = item.map_or(0, |_| self.scenario.item_bytes);
        let units = read_units(bytes).max(1.0) * if consistent { 1.0 } else { 0.5 };
        let mut answer = json!({});
        if let Some(index) = item {
            let is_pending = {
                let mut model = self.model();
                let now = self.now();
                if let Err(limit) = model.take_read(index, units, now) {
                    return self.throttled(limit, Kind::Read);
                }
                model.is_pending(index)
            };
            answer["Item"] = self.item(index, is_pending).into();
        }
        if capacity {
            answer["ConsumedCapacity"] = self.consumed(units);
        }
        (200, answer.to_string().into_bytes())
    }

    fn update(&self, update: &Update) -> Answer {
        let failed = |item: Option<Map<String, Json>>| {
            let mut body = json!({
                "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
                "message": "The conditional request failed",
            });
            if let (Some(item), true) = (item, update.old) {
                body["Item"] = item.into();
            }
            (400, body.to_string().into_bytes())
        };
        let Some(index) = update.item else {
            return match update.guarded {
                true => failed(None),
                false => invalid("bench-stub makes no new items"),
            };
        };
        let updated = {
            let mut model = self.model();
            let now = self.now();
            model.update(index, now)
        };
        let Updated { was_pending, units } = match updated {
            Ok(updated) => updated,
            Err(limit) => return self.throttled(limit, Kind::Write),
        };
        if update.guarded && !was_pending {
            return failed(Some(self.item(index, false)));
        }
        let mut answer = json!({});
        if update.new {
            answer["Attributes"] = self.item(index, false).into();
        }
        if update.capacity {
            answer["ConsumedCapacity"] = self.consumed(units);
        }
        (200, answer.to_string().into_bytes())
    }

    fn check(&self, item: Option<u64>, old: bool, capacity: bool) -> Answer {
        let mut units = 2.0 * write_units(0);
        if let Some(index) = item {
            let (taken, is_pending) = {
                let mut model = self.model();
                let now = self.now();
                (model.check(index, now), model.is_pending(index))
            };
            units = match taken {
                Ok(units) => units,
                Err(_) => {
                    let code = self.throttled_statement();
                    return canceled(json!({"Code": code, "Message": TOO_FAST}));
                }
            };
            if is_pending {
                let mut reason = json!({
                    "Code": "ConditionalCheckFailed",
                    "Message": "The conditional request failed",
                });
                if old {
                    reason["Item"] = self.item(index, true).into();
                }
                return canceled(reason);
            }
        }
        let mut answer = json!({});
        if capacity {
            let mut consumed = self.consumed(units);
            consumed["WriteCapacityUnits"] = units.into();
            answer["ConsumedCapacity"] = json!([consumed]);
        }
        (200, answer.to_string().into_bytes())
    }

    /// Each statement by itself. Nothing is locked twice, and nothing written while it is locked.
    fn batch(&self, items: &[Option<u64>], old: bool, capacity: bool) -> Answer {
        let updated: Vec<Option<Result<Updated, Limit>>> = {
            let mut model = self.model();
            let now = self.now();
            let update = |item: &Option<u64>| item.map(|index| model.update(index, now));
            items.iter().map(update).collect()
        };
        let table = &self.reader.table;
        let mut json = String::with_capacity(100 + items.len() * (20 + table.len()));
        let (mut units, mut succeeded) = (0.0, false);
        json.push_str(r#"{"Responses":["#);
        for (n, (item, updated)) in items.iter().zip(updated).enumerate() {
            json.push_str(if n == 0 { "{" } else { ",{" });
            let error = match updated {
                Some(Ok(updated)) if updated.was_pending => {
                    (units, succeeded) = (units + updated.units, true);
                    None
                }
                Some(Ok(updated)) => {
                    units += updated.units;
                    let shown = item.filter(|_| old).map(|index| self.item(index, false));
                    Some((
                        "ConditionalCheckFailed",
                        "The conditional request failed",
                        shown,
                    ))
                }
                None => {
                    units += write_units(0);
                    Some((
                        "ConditionalCheckFailed",
                        "The conditional request failed",
                        None,
                    ))
                }
                Some(Err(_)) => Some((self.throttled_statement(), TOO_FAST, None)),
            };
            if let Some((code, message, item)) = error {
                let mut error = json!({"Code": code, "Message": message});
                if let Some(item) = item {
                    error["Item"] = item.into();
                }
                json.push_str(&format!(r#""Error":{error},"#));
            }
            json.push_str(r#""TableName":""#);
            json.push_str(table);
            json.push_str("\"}");
        }
        json.push(']');
        // A batch of which no statement succeeded reports no capacity.
        if capacity && succeeded {
            let consumed = self.consumed(units);
            json.push_str(&format!(r#","ConsumedCapacity":[{consumed}]"#));
        }
        json.push('}');
        (200, json.into_bytes())
    }
}

/// A transaction that is cancelled for this reason.
fn canceled(reason: Json) -> Answer {
    let code = reason["Code"].as_str().unwrap_or_default();
    let body = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": format!("Transaction cancelled, please refer cancellation reasons for specific reasons [{code}]"),
        "CancellationReasons": [reason],
    });
    (400, body.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::items::Form;

    const ITEMS: u64 = 100;

    fn stub(scenario: Scenario, billing: Billing) -> Stub {
        stub_of(scenario, billing, None)
    }

    fn stub_of(scenario: Scenario, billing: Billing, computed: Option<&str>) -> Stub {
        let form = Form::new("test".into(), computed).unwrap();
        let reader = Reader::new("stuff".into(), form, scenario.items);
        Stub::new(reader, scenario, billing)
    }

    /// A table that takes so many writes at once and, as the test goes, no more.
    fn short(billing: Billing, writes: f64) -> Stub {
        let scenario = Scenario {
            items: ITEMS,
            partition_wcu: 1e-3,
            partition_rcu: 1e-3,
            // As long as anything is left, one more passes.
            burst_seconds: (writes - 0.5) * 1e3,
            rested: true,
            table_wcu: 1e9,
            table_rcu: 1e9,
            ..Scenario::default()
        };
        let stub = stub(scenario, billing);
        // The table's own limit begins with nothing.
        stub.now();
        std::thread::sleep(Duration::from_millis(2));
        stub
    }

    /// A table that takes whatever comes.
    fn ample(computed: Option<&str>) -> Stub {
        let scenario = Scenario {
            items: ITEMS,
            partition_rcu: 1e9,
            partition_wcu: 1e9,
            table_rcu: 1e9,
            table_wcu: 1e9,
            ..Scenario::default()
        };
        let stub = stub_of(scenario, Billing::OnDemand, computed);
        stub.now();
        std::thread::sleep(Duration::from_millis(2));
        stub
    }

    fn asked(stub: &Stub, operation: &str, body: &Json) -> (u16, Json) {
        let body = body.to_string();
        let asked = stub.reader.read(operation, body.as_bytes());
        let asked = asked.unwrap().expect("it is for the model");
        let (status, body) = stub.answer(&asked).expect("the model answers");
        (status, serde_json::from_slice(&body).unwrap())
    }

    fn key(index: u64) -> Json {
        let mut json = Vec::new();
        push_key(&mut json, index);
        serde_json::from_slice(&json).unwrap()
    }

    fn batch(indexes: &[u64]) -> Json {
        let statements = indexes.iter().map(|&index| {
            let key = key(index);
            json!({
                "Statement": "UPDATE \"stuff\" SET \"test\" = ? WHERE \"id\" = ? AND \"created\" = ? AND (\"test\" IS MISSING)",
                "Parameters": [{"N": "1"}, key["id"], key["created"]],
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            })
        });
        let statements: Vec<Json> = statements.collect();
        json!({"Statements": statements, "ReturnConsumedCapacity": "TOTAL"})
    }

    fn update(index: u64) -> Json {
        json!({
            "TableName": "stuff",
            "Key": key(index),
            "UpdateExpression": "SET #a = :a",
            "ConditionExpression": "attribute_exists(id) AND (attribute_not_exists(#a))",
            "ExpressionAttributeNames": {"#a": "test"},
            "ExpressionAttributeValues": {":a": {"N": "1"}},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            "ReturnConsumedCapacity": "TOTAL",
        })
    }

    #[test]
    fn each_statement_of_a_batch_succeeds_fails_or_is_throttled_by_itself() {
        for (billing, code) in [
            (Billing::OnDemand, "ThrottlingError"),
            (Billing::Provisioned, "ProvisionedThroughputExceeded"),
        ] {
            let stub = short(billing, 3.0);
            let gone = ITEMS + 7;
            let (status, answer) = asked(&stub, "BatchExecuteStatement", &batch(&[1, gone, 2]));
            assert_eq!(status, 200);
            let [first, second, third] = answer["Responses"].as_array().unwrap().as_slice() else {
                panic!("{answer}");
            };
            let success = json!({"TableName": "stuff"});
            assert_eq!((first, third), (&success, &success));
            assert_eq!(second["Error"]["Code"], "ConditionalCheckFailed");
            assert_eq!(second["Error"].get("Item"), None);
            assert_eq!(answer["ConsumedCapacity"][0]["CapacityUnits"], 3.0);

            let (status, answer) = asked(&stub, "BatchExecuteStatement", &batch(&[2, 3, 4]));
            assert_eq!(status, 200);
            let error = |n: usize| &answer["Responses"][n]["Error"];
            assert_eq!(error(0)["Code"], "ConditionalCheckFailed");
            assert_eq!(error(0)["Item"]["id"], key(2)["id"]);
            assert_eq!(error(1)["Code"], code);
            assert_eq!(error(2)["Code"], code);
            assert_eq!(answer.get("ConsumedCapacity"), None);
            assert_eq!(stub.pending(), ITEMS - 2);
        }
    }

    #[test]
    fn a_throttled_request_names_its_reason() {
        for (billing, error, reasons) in [
            (
                Billing::OnDemand,
                "ThrottlingException",
                "throttlingReasons",
            ),
            (
                Billing::Provisioned,
                "ProvisionedThroughputExceededException",
                "ThrottlingReasons",
            ),
        ] {
            let stub = short(billing, 2.0);
            assert_eq!(asked(&stub, "UpdateItem", &update(1)).0, 200);
            assert_eq!(asked(&stub, "UpdateItem", &update(2)).0, 200);
            let (status, failed) = asked(&stub, "UpdateItem", &update(3));
            assert_eq!(status, 400);
            assert!(failed["__type"].as_str().unwrap().ends_with(error));
            let reason = &failed[reasons][0];
            assert_eq!(reason["reason"], "TableWriteKeyRangeThroughputExceeded");
            assert!(
                reason["resource"]
                    .as_str()
                    .unwrap()
                    .ends_with(":table/stuff")
            );
        }
    }

    #[test]
    fn a_table_is_swept_and_counted() {
        let stub = ample(None);
        let mut request = json!({
            "TableName": "stuff",
            "FilterExpression": "attribute_not_exists(test)",
            "ProjectionExpression": "id, created",
            "Limit": 30,
        });
        let mut seen = 0;
        loop {
            let (_, page) = asked(&stub, "Scan", &request);
            for item in page["Items"].as_array().unwrap() {
                assert_eq!(*item, key(seen));
                let (status, _) = asked(&stub, "UpdateItem", &update(seen));
                assert_eq!(status, 200);
                seen += 1;
            }
            match page.get("LastEvaluatedKey") {
                Some(last) => request["ExclusiveStartKey"] = last.clone(),
                None => break,
            }
        }
        assert_eq!(seen, ITEMS);
        let (status, raced) = asked(&stub, "UpdateItem", &update(5));
        assert_eq!(status, 400);
        assert_eq!(raced["Item"]["test"]["N"], "1");
        let mut count = json!({"TableName": "stuff", "Select": "COUNT", "ConsistentRead": true});
        assert_eq!(asked(&stub, "Scan", &count).1["Count"], ITEMS);
        count["FilterExpression"] = "attribute_not_exists(test)".into();
        let (_, counted) = asked(&stub, "Scan", &count);
        assert_eq!(counted["Count"], 0);
        assert_eq!(counted["ScannedCount"], ITEMS);
        assert_eq!(counted.get("Items"), None);
    }

    /// A write whose value does not follow from its item, or whose guard is of another, is refused.
    #[test]
    fn a_computed_value_is_shown_and_has_to_follow_from_its_item() {
        let stub = ample(Some("${tenant}#${status|lower}"));
        let mut request = json!({
            "TableName": "stuff",
            "FilterExpression": "attribute_not_exists(#t) AND attribute_exists(#s)",
            "ProjectionExpression": "id, created, #s, tenant",
            "ExpressionAttributeNames": {"#t": "test", "#s": "status"},
        });
        let (_, page) = asked(&stub, "Scan", &request);
        let items = page["Items"].as_array().unwrap();
        assert_eq!(items.len() as u64, ITEMS);
        let statement = |item: &Json, value: &Json| {
            json!({
                "Statement": "UPDATE \"stuff\" SET \"test\" = ? WHERE \"id\" = ? AND \"created\" = ? AND (\"test\" IS MISSING AND \"status\" IS NOT MISSING) AND \"status\" = ? AND \"tenant\" = ?",
                "Parameters": [value, item["id"], item["created"], item["status"], item["tenant"]],
            })
        };
        let value = |item: &Json| {
            let text = |name: &str| item[name]["S"].as_str().unwrap();
            json!({"S": format!("{}#{}", text("tenant"), text("status").to_lowercase())})
        };
        let written: Vec<Json> = items
            .iter()
            .map(|item| statement(item, &value(item)))
            .collect();
        let read = |body: &Json| {
            let body = body.to_string();
            stub.reader.read("BatchExecuteStatement", body.as_bytes())
        };
        assert!(read(&json!({"Statements": [statement(&items[0], &value(&items[1]))]})).is_err());
        let mut moved = items[0].clone();
        moved["status"] = json!({"S": "lost"});
        assert!(read(&json!({"Statements": [statement(&moved, &value(&items[0]))]})).is_err());
        for batch in written.chunks(25) {
            let (status, answer) = asked(
                &stub,
                "BatchExecuteStatement",
                &json!({"Statements": batch}),
            );
            assert_eq!((status, answer["Responses"][0].get("Error")), (200, None));
        }
        assert_eq!(stub.pending(), 0);
        let unguarded = |value: Json| {
            let body = json!({
                "TableName": "stuff",
                "Key": key(3),
                "UpdateExpression": "SET test = :t",
                "ExpressionAttributeValues": {":t": value},
            });
            stub.reader.read("UpdateItem", body.to_string().as_bytes())
        };
        assert!(unguarded(value(&items[3])).is_ok());
        assert!(unguarded(json!({"N": "1"})).is_err());
        request["FilterExpression"] = "attribute_exists(#s)".into();
        request["ProjectionExpression"] = "id, #s, tenant, #t".into();
        let (_, page) = asked(&stub, "Scan", &request);
        for (item, before) in page["Items"].as_array().unwrap().iter().zip(items) {
            assert_eq!(item["test"], value(before));
        }
        assert_eq!(page["Count"], ITEMS);
    }

    #[test]
    fn what_the_stub_cannot_answer_is_refused_and_what_is_not_for_it_handed_on() {
        let stub = short(Billing::OnDemand, 1.0);
        let read = |operation: &str, body: Json| {
            let body = body.to_string();
            stub.reader.read(operation, body.as_bytes())
        };
        let scan = json!({"TableName": "stuff", "FilterExpression": "size(id) > :n"});
        assert!(read("Scan", scan).is_err());
        assert!(read("BatchExecuteStatement", batch(&[1, 1])).is_err());
        assert!(
            read("Scan", json!({"TableName": "other"}))
                .unwrap()
                .is_none()
        );
        assert!(
            read("Query", json!({"TableName": "stuff"}))
                .unwrap()
                .is_none()
        );
    }
}
