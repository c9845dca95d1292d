//! The operations by which tables are made, filled, looked at and changed by hand (`backfill table`, `backfill item`), in
//! DynamoDB's own JSON. Nothing of a run goes through here: its only write is the guarded update.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use backfill_core::pace::retry::{PATIENCE, Until, retry};
use backfill_core::{Error, ErrorKind, Item, Key, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json, json};

use crate::connection::Connection;
use crate::direct::SdkError;
use crate::failure::failure;

/// Items of one BatchWriteItem ("as many as 25 item put or delete operations").
const PUTS: usize = 25;
/// Keys of one BatchGetItem ("as many as 100 items").
const GETS: usize = 100;
/// Wait between two looks at a table that is being made or dropped.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Longest wait for that.
const LONGEST_CHANGE: Duration = Duration::from_secs(600);

/// A connection and what can be done through it. Reads, and puts in batches, are tried again while the service is
/// throttled or unavailable (not on this machine, where a database that does not answer is not there); all else is sent
/// once, since a second conditional write would meet with the first.
#[derive(Debug, Clone)]
pub struct Admin(Connection);

/// What a call answers, by its fields.
type Answer = Map<String, Json>;

/// Placeholders of expressions.
#[derive(Debug, Clone, Default)]
pub struct Placeholders {
    /// `#name` → attribute.
    pub names: BTreeMap<String, String>,
    /// `:value` → value.
    pub values: Item,
}

/// A scan, or a query where there is a key condition.
#[derive(Debug, Clone, Default)]
pub struct Read {
    pub table: String,
    pub index: Option<String>,
    pub key_condition: Option<String>,
    pub filter: Option<String>,
    pub projection: Option<String>,
    pub placeholders: Placeholders,
    pub consistent: bool,
    /// Of a query: from the greatest sort key down.
    pub descending: bool,
    /// Of a scan: segment and number of segments.
    pub segment: Option<(u32, u32)>,
    /// Most items that are looked at for a page.
    pub page_size: Option<u32>,
    /// Without the items.
    pub count_only: bool,
}

/// What one call of a [`Read`] has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub items: Vec<Item>,
    pub count: u64,
    /// Where to go on; `None` at the end.
    pub next: Option<Key>,
}

/// The condition of a write, and the placeholders that the condition and, if it is an update, the update name.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    pub condition: Option<String>,
    pub placeholders: Placeholders,
}

impl Admin {
    /// Administration through this connection.
    pub fn new(connection: Connection) -> Admin {
        Admin(connection)
    }

    /// Where this is.
    pub fn connection(&self) -> &Connection {
        &self.0
    }

    /// Creates a table from a definition: the input of CreateTable, and `TimeToLiveSpecification` beside it, which is a
    /// call of its own. Returns when the table is ACTIVE.
    ///
    /// Errors: `InvalidInput` where there is a table of that name.
    pub async fn create_table(&self, definition: &Json) -> Result<()> {
        let mut input = definition.clone();
        let time_to_live = input
            .as_object_mut()
            .and_then(|input| input.remove("TimeToLiveSpecification"));
        let table = input["TableName"].as_str().unwrap_or_default().to_owned();
        let doing = format!("creating table {table}");
        let created: std::result::Result<Json, _> = self.0.direct.send("CreateTable", &input).await;
        if let Err(error) = created {
            if error.code() == Some("ResourceInUseException") {
                let why = format!("table {table} exists already {}", self.0.place());
                return Err(Error::invalid("table", why));
            }
            return Err(self.failed(&doing, error));
        }
        self.wait(&doing, async || {
            let description = self.describe_table(&table).await?;
            let indexes = description["GlobalSecondaryIndexes"].as_array();
            let indexes = indexes.map(Vec::as_slice).unwrap_or_default();
            let status = |of: &Json, name: &str| of[name].as_str().is_none_or(|s| s == "ACTIVE");
            Ok(status(&description, "TableStatus")
                && indexes.iter().all(|index| status(index, "IndexStatus")))
        })
        .await?;
        if let Some(specification) = time_to_live
            && specification["Enabled"] != Json::Bool(false)
        {
            let input = json!({"TableName": table, "TimeToLiveSpecification": specification});
            let doing = format!("setting the TTL of table {table}");
            self.once::<Json>(&doing, "UpdateTimeToLive", &input)
                .await?;
        }
        Ok(())
    }

    /// DescribeTable's answer, without the envelope.
    pub async fn describe_table(&self, table: &str) -> Result<Json> {
        let doing = format!("describing table {table}");
        let input = json!({"TableName": table});
        let mut answer: Answer = self.patiently(&doing, "DescribeTable", &input).await?;
        Ok(answer.remove("Table").unwrap_or_default())
    }

    /// The definition of a table, as [`Admin::create_table`] takes it, with tags and TTL; and beside it what
    /// DescribeTable says.
    pub async fn definition(&self, table: &str) -> Result<(Json, Json)> {
        let described = self.describe_table(table).await?;
        let mut definition = definition_of(&described);
        let doing = format!("describing the TTL of table {table}");
        let input = json!({"TableName": table});
        let mut answer: Answer = self.patiently(&doing, "DescribeTimeToLive", &input).await?;
        let time_to_live = answer.remove("TimeToLiveDescription").unwrap_or_default();
        if let Some("ENABLED" | "ENABLING") = time_to_live["TimeToLiveStatus"].as_str() {
            definition.insert(
                "TimeToLiveSpecification".into(),
                json!({"AttributeName": time_to_live["AttributeName"], "Enabled": true}),
            );
        }
        let tags = self.tags(table, &described["TableArn"]).await?;
        if !tags.is_empty() {
            definition.insert("Tags".into(), tags.into());
        }
        Ok((definition.into(), described))
    }

    async fn tags(&self, table: &str, arn: &Json) -> Result<Vec<Json>> {
        let doing = format!("listing the tags of table {table}");
        let mut tags = Vec::new();
        let mut next = Json::Null;
        loop {
            let mut input = json!({"ResourceArn": arn});
            if !next.is_null() {
                input["NextToken"] = next;
            }
            let mut answer: Answer = self.patiently(&doing, "ListTagsOfResource", &input).await?;
            if let Some(Json::Array(more)) = answer.remove("Tags") {
                tags.extend(more);
            }
            next = answer.remove("NextToken").unwrap_or_default();
            if next.is_null() {
                return Ok(tags);
            }
        }
    }

    /// The alarms of these names as CloudWatch describes them (API reference, DescribeAlarms: at most 100 names), in no particular
    /// order. Those that do not exist are left out.
    ///
    /// Errors: `InvalidInput` where it is not known where CloudWatch is; what CloudWatch answers.
    pub async fn alarms(&self, names: &[&str]) -> Result<Vec<Json>> {
        let cloudwatch = self.0.cloudwatch().ok_or_else(|| {
            let why = "the tables are on this machine, and nothing says where CloudWatch is";
            Error::invalid("Alarms", why)
        })?;
        let mut alarms = Vec::new();
        for names in names.chunks(100) {
            let input = json!({"AlarmNames": names, "MaxRecords": 100});
            let mut answer: Answer = cloudwatch
                .send("DescribeAlarms", &input)
                .await
                .map_err(|error| failure("asking CloudWatch for alarms", error))?;
            if let Some(Json::Array(found)) = answer.remove("MetricAlarms") {
                alarms.extend(found);
            }
        }
        Ok(alarms)
    }

    /// Drops a table and returns when it is gone.
    pub async fn drop_table(&self, table: &str) -> Result<()> {
        let doing = format!("dropping table {table}");
        let input = json!({"TableName": table});
        self.once::<Json>(&doing, "DeleteTable", &input).await?;
        self.wait(&doing, async || match self.describe_table(table).await {
            Ok(_) => Ok(false),
            Err(error) if error.kind() == ErrorKind::TableNotFound => Ok(true),
            Err(error) => Err(error),
        })
        .await
    }

    /// The names of all tables.
    pub async fn table_names(&self) -> Result<Vec<String>> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Names {
            table_names: Vec<String>,
            last_evaluated_table_name: Option<String>,
        }
        let mut names = Vec::new();
        let mut input = json!({});
        loop {
            let answer: Names = self
                .patiently("listing the tables", "ListTables", &input)
                .await?;
            names.extend(answer.table_names);
            match answer.last_evaluated_table_name {
                Some(last) => input = json!({"ExclusiveStartTableName": last}),
                None => return Ok(names),
            }
        }
    }

    /// One call of a scan or query, from its beginning or after a key.
    pub async fn page(&self, read: &Read, after: Option<&Key>) -> Result<Found> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Input<'a> {
            table_name: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            index_name: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            key_condition_expression: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            filter_expression: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            projection_expression: Option<&'a str>,
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            expression_attribute_names: &'a BTreeMap<String, String>,
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            expression_attribute_values: &'a Item,
            consistent_read: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            scan_index_forward: Option<bool>,
            #[serde(skip_serializing_if = "Option::is_none")]
            segment: Option<u32>,
            #[serde(skip_serializing_if = "Option::is_none")]
            total_segments: Option<u32>,
            #[serde(skip_serializing_if = "Option::is_none")]
            limit: Option<u32>,
            #[serde(skip_serializing_if = "Option::is_none")]
            select: Option<&'static str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            exclusive_start_key: Option<&'a Key>,
        }
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Output {
            #[serde(default)]
            items: Vec<Item>,
            count: u64,
            last_evaluated_key: Option<Key>,
        }
        let operation = match read.key_condition {
            Some(_) => "Query",
            None => "Scan",
        };
        let input = Input {
            table_name: &read.table,
            index_name: read.index.as_deref(),
            key_condition_expression: read.key_condition.as_deref(),
            filter_expression: read.filter.as_deref(),
            projection_expression: read.projection.as_deref(),
            expression_attribute_names: &read.placeholders.names,
            expression_attribute_values: &read.placeholders.values,
            consistent_read: read.consistent,
            scan_index_forward: read.descending.then_some(false),
            segment: read.segment.map(|(segment, _)| segment),
            total_segments: read.segment.map(|(_, total)| total),
            limit: read.page_size,
            select: read.count_only.then_some("COUNT"),
            exclusive_start_key: after,
        };
        let doing = format!("reading table {}", read.table);
        let answer: Output = self.patiently(&doing, operation, &input).await?;
        Ok(Found {
            items: answer.items,
            count: answer.count,
            next: answer.last_evaluated_key,
        })
    }

    /// Puts items, with nothing asked of what was there. No two may have the same key within 25 in a row.
    pub async fn put_all(&self, table: &str, items: &[Item]) -> Result<()> {
        let doing = format!("putting items into table {table}");
        for batch in items.chunks(PUTS) {
            let puts: Vec<Json> = batch
                .iter()
                .map(|item| json!({"PutRequest": {"Item": item}}))
                .collect();
            self.batch(&doing, "BatchWriteItem", json!({table: puts}), |_| Ok(()))
                .await?;
        }
        Ok(())
    }

    /// The items of these keys, each of which may be given once; the missing are left out.
    pub async fn get(&self, table: &str, keys: &[Key], consistent: bool) -> Result<Vec<Item>> {
        let doing = format!("reading items of table {table}");
        let mut items = Vec::new();
        for batch in keys.chunks(GETS) {
            let asked = json!({table: {"Keys": batch, "ConsistentRead": consistent}});
            self.batch(&doing, "BatchGetItem", asked, |answer| {
                let found = answer
                    .get_mut("Responses")
                    .and_then(|all| all.get_mut(table));
                if let Some(found) = found.map(Json::take) {
                    let found: Vec<Item> = serde_json::from_value(found).map_err(|error| {
                        Error::new(ErrorKind::Internal, doing.clone()).with_source(error)
                    })?;
                    items.extend(found);
                }
                Ok(())
            })
            .await?;
        }
        Ok(items)
    }

    /// Sends a batch, and what the table has left undone of it, until nothing is left.
    async fn batch(
        &self,
        doing: &str,
        operation: &'static str,
        mut asked: Json,
        mut take: impl FnMut(&mut Answer) -> Result<()>,
    ) -> Result<()> {
        let until = Until::after(PATIENCE);
        let mut wait = Duration::from_millis(50);
        loop {
            let input = json!({"RequestItems": asked});
            let mut answer: Answer = self.patiently(doing, operation, &input).await?;
            take(&mut answer)?;
            let left = match operation {
                "BatchGetItem" => "UnprocessedKeys",
                _ => "UnprocessedItems",
            };
            asked = answer.remove(left).unwrap_or_default();
            if asked.as_object().is_none_or(Map::is_empty) {
                return Ok(());
            }
            if until.is_over() {
                let why = format!("{doing}: the table throttles, try again later");
                return Err(Error::new(ErrorKind::Throttled, why));
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(5));
        }
    }

    /// Puts an item, in place of the one with its key. False where the condition does not hold.
    pub async fn put(&self, table: &str, item: &Item, guard: &Guard) -> Result<bool> {
        let input = json!({"TableName": table, "Item": item});
        let doing = format!("putting an item into table {table}");
        self.guarded(&doing, "PutItem", input, guard).await
    }

    /// Updates an item, or makes it where the condition does not forbid that. False where the condition does not hold.
    pub async fn update(
        &self,
        table: &str,
        key: &Key,
        update: &str,
        guard: &Guard,
    ) -> Result<bool> {
        let input = json!({"TableName": table, "Key": key, "UpdateExpression": update});
        let doing = format!("updating an item of table {table}");
        self.guarded(&doing, "UpdateItem", input, guard).await
    }

    /// Deletes an item. False where the condition does not hold; an item that is not there is no error.
    pub async fn delete(&self, table: &str, key: &Key, guard: &Guard) -> Result<bool> {
        let input = json!({"TableName": table, "Key": key});
        let doing = format!("deleting an item of table {table}");
        self.guarded(&doing, "DeleteItem", input, guard).await
    }

    async fn guarded(
        &self,
        doing: &str,
        operation: &'static str,
        mut input: Json,
        guard: &Guard,
    ) -> Result<bool> {
        if let Some(condition) = &guard.condition {
            input["ConditionExpression"] = condition.as_str().into();
        }
        let Placeholders { names, values } = &guard.placeholders;
        if !names.is_empty() {
            input["ExpressionAttributeNames"] = json!(names);
        }
        if !values.is_empty() {
            input["ExpressionAttributeValues"] = json!(values);
        }
        let answer: std::result::Result<Json, _> = self.0.direct.send(operation, &input).await;
        match answer {
            Ok(_) => Ok(true),
            Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
            Err(error) => Err(self.failed(doing, error)),
        }
    }

    async fn once<A: DeserializeOwned>(
        &self,
        doing: &str,
        operation: &'static str,
        input: &impl Serialize,
    ) -> Result<A> {
        let answer = self.0.direct.send(operation, input).await;
        answer.map_err(|error| self.failed(doing, error))
    }

    async fn patiently<A: DeserializeOwned>(
        &self,
        doing: &str,
        operation: &'static str,
        input: &impl Serialize,
    ) -> Result<A> {
        let patience = if self.0.is_local() {
            Duration::ZERO
        } else {
            PATIENCE
        };
        retry(&Until::after(patience), || {
            self.once(doing, operation, input)
        })
        .await
    }

    async fn wait(&self, doing: &str, done: impl AsyncFn() -> Result<bool>) -> Result<()> {
        let until = Until::after(LONGEST_CHANGE);
        while !done().await? {
            if until.is_over() {
                let why = format!("{doing} goes on after {} s", LONGEST_CHANGE.as_secs());
                return Err(Error::new(ErrorKind::TableNotActive, why));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    fn failed(&self, doing: &str, error: SdkError) -> Error {
        let place = self.0.place();
        match &error {
            SdkError::DispatchFailure(dispatch) if self.0.is_local() && dispatch.is_io() => {
                let why = format!(
                    "{doing} failed: no database answers {place}; start one with backfill sandbox"
                );
                Error::new(ErrorKind::Unavailable, why)
            }
            _ => failure(&format!("{doing} {place}"), error),
        }
    }
}

/// Of what DescribeTable says that which CreateTable takes.
fn definition_of(described: &Json) -> Map<String, Json> {
    let mut definition = Map::new();
    let mut keep = |name: &str, value: &Json| {
        if !value.is_null() {
            definition.insert(name.into(), value.clone());
        }
    };
    for name in ["TableName", "AttributeDefinitions", "KeySchema"] {
        keep(name, &described[name]);
    }
    let billing = described["BillingModeSummary"]["BillingMode"].as_str();
    // A table that was always provisioned has no summary.
    let billing = billing.unwrap_or("PROVISIONED");
    keep("BillingMode", &billing.into());
    let throughput = |of: &Json| match billing {
        "PROVISIONED" => {
            let of = &of["ProvisionedThroughput"];
            json!({"ReadCapacityUnits": of["ReadCapacityUnits"], "WriteCapacityUnits": of["WriteCapacityUnits"]})
        }
        _ => Json::Null,
    };
    keep("ProvisionedThroughput", &throughput(described));
    for (list, is_global) in [
        ("GlobalSecondaryIndexes", true),
        ("LocalSecondaryIndexes", false),
    ] {
        let Some(indexes) = described[list].as_array().filter(|list| !list.is_empty()) else {
            continue;
        };
        let indexes: Vec<Json> = indexes
            .iter()
            .map(|index| {
                let mut kept = Map::new();
                for name in ["IndexName", "KeySchema", "Projection"] {
                    kept.insert(name.into(), index[name].clone());
                }
                if is_global && !throughput(index).is_null() {
                    kept.insert("ProvisionedThroughput".into(), throughput(index));
                }
                kept.into()
            })
            .collect();
        keep(list, &indexes.into());
    }
    if described["StreamSpecification"]["StreamEnabled"] == Json::Bool(true) {
        keep("StreamSpecification", &described["StreamSpecification"]);
    }
    if described["DeletionProtectionEnabled"] == Json::Bool(true) {
        keep("DeletionProtectionEnabled", &Json::Bool(true));
    }
    keep("TableClass", &described["TableClassSummary"]["TableClass"]);
    keep("OnDemandThroughput", &described["OnDemandThroughput"]);
    definition
}
