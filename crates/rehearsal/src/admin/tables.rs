//! Tables by hand: created, described, listed and dropped.

use std::time::Duration;

use backfill_core::pace::retry::Until;
use backfill_core::{Error, ErrorKind, Result};
use backfill_dynamodb::calls::{
    CreateTable, DescribeAlarms, DescribeTable, DescribeTimeToLive, EventSourceMapping,
    UpdateTimeToLive, list_event_source_mappings, list_tags,
};
use backfill_dynamodb::failure;
use backfill_dynamodb::send::{
    AsJson, CLOUDWATCH, LAMBDA, ProvideErrorMetadata as _, ReadSender, Sender,
};
use serde_json::{Map, Value as Json, json};

use super::access::Admin;
use crate::calls::{DeleteTable, ListTables};

/// Wait between two looks at a table that is being created or dropped.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Longest wait for that.
const LONGEST_CHANGE: Duration = Duration::from_secs(600);

impl Admin {
    /// Creates a table from a definition: the input of CreateTable, and `TimeToLiveSpecification` beside it, which is a
    /// call of its own. Returns when the table is ACTIVE.
    ///
    /// Errors: `InvalidInput` if there is a table of that name; `TableNotActive` after ten minutes.
    pub async fn create_table(&self, definition: &Json) -> Result<()> {
        let mut input = definition.clone();
        let time_to_live = input
            .as_object_mut()
            .and_then(|input| input.remove("TimeToLiveSpecification"));
        let table = input["TableName"].as_str().unwrap_or_default().to_owned();
        let doing = format!("creating table {table}");
        if let Err(error) = self.sender.call(&CreateTable(&input)).await {
            if error.code() == Some("ResourceInUseException") {
                let why = format!("table {table} exists already {}", self.connection.place());
                return Err(Error::invalid("table", why));
            }
            return Err(self.failed(&doing, error));
        }
        wait(&doing, async || {
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
            let update = UpdateTimeToLive {
                table_name: &table,
                time_to_live_specification: &specification,
            };
            let doing = format!("setting the TTL of table {table}");
            self.once(&doing, &update).await?;
        }
        Ok(())
    }

    /// Every field of DescribeTable's `Table`.
    ///
    /// Errors: `TableNotFound`; those of DescribeTable.
    pub async fn describe_table(&self, table: &str) -> Result<Json> {
        let doing = format!("describing table {table}");
        let describe = AsJson(DescribeTable { table_name: table });
        let mut answer = self.read(&doing, &describe).await?;
        Ok(answer["Table"].take())
    }

    /// The definition of a table, with tags and TTL, which [`Admin::create_table`] takes; and beside it what
    /// DescribeTable says.
    ///
    /// Errors: `TableNotFound`; those of DescribeTable, DescribeTimeToLive and ListTagsOfResource.
    pub async fn definition(&self, table: &str) -> Result<(Json, Json)> {
        let described = self.describe_table(table).await?;
        let mut definition = definition_of(&described);
        let doing = format!("describing the TTL of table {table}");
        let time_to_live = DescribeTimeToLive { table_name: table };
        let time_to_live = self.read(&doing, &time_to_live).await?;
        if let Some(attribute) = time_to_live.attribute() {
            definition.insert(
                "TimeToLiveSpecification".into(),
                json!({"AttributeName": attribute, "Enabled": true}),
            );
        }
        let doing = format!("listing the tags of table {table}");
        let arn = described["TableArn"].as_str().unwrap_or_default();
        let sender = ReadSender::from(&self.sender);
        let tags = self
            .patiently(async || {
                let tags = list_tags(&sender, arn).await;
                tags.map_err(|error| self.failed(&doing, error))
            })
            .await?;
        if !tags.is_empty() {
            definition.insert("Tags".into(), json!(tags));
        }
        Ok((definition.into(), described))
    }

    /// The alarms of these names as CloudWatch describes them, in no particular order. Those that do not exist are left out.
    ///
    /// Errors: `InvalidInput` if it is not known where CloudWatch is; what CloudWatch answers.
    pub async fn alarms(&self, names: &[&str]) -> Result<Vec<Json>> {
        let cloudwatch = Sender::to(&self.connection, CLOUDWATCH)
            .await?
            .ok_or_else(|| {
                let why = "the tables are on this machine, and nothing says where CloudWatch is";
                Error::invalid("Alarms", why)
            })?;
        let mut alarms = Vec::new();
        for names in names.chunks(DescribeAlarms::MOST) {
            let describe = DescribeAlarms {
                alarm_names: names,
                alarm_types: &[],
                max_records: DescribeAlarms::MOST,
            };
            let mut answer = cloudwatch
                .call(&AsJson(describe))
                .await
                .map_err(|error| failure("asking CloudWatch for alarms", error))?;
            if let Json::Array(found) = answer["MetricAlarms"].take() {
                alarms.extend(found);
            }
        }
        Ok(alarms)
    }

    /// The event source mappings of the stream with this ARN: what connects it to functions.
    ///
    /// Errors: `InvalidInput` if it is not known where Lambda is; what Lambda answers.
    pub async fn event_source_mappings(&self, stream_arn: &str) -> Result<Vec<EventSourceMapping>> {
        let lambda = Sender::to(&self.connection, LAMBDA).await?.ok_or_else(|| {
            let why = "the tables are on this machine, and nothing says where Lambda is";
            Error::invalid("EventSourceMappings", why)
        })?;
        let lambda = ReadSender::from(&lambda);
        let doing = format!("asking Lambda for the event source mappings of {stream_arn}");
        self.patiently(async || {
            let listed = list_event_source_mappings(&lambda, stream_arn).await;
            listed.map_err(|error| failure(&doing, error))
        })
        .await
    }

    /// Drops a table and returns when it is gone.
    ///
    /// Errors: `TableNotFound`; `TableNotActive` if it is still there after ten minutes.
    pub async fn drop_table(&self, table: &str) -> Result<()> {
        let doing = format!("dropping table {table}");
        self.once(&doing, &DeleteTable { table_name: table })
            .await?;
        wait(&doing, async || match self.describe_table(table).await {
            Ok(_) => Ok(false),
            Err(error) if error.kind() == ErrorKind::TableNotFound => Ok(true),
            Err(error) => Err(error),
        })
        .await
    }

    /// The names of all tables.
    ///
    /// Errors: those of ListTables.
    pub async fn table_names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let list = ListTables {
                exclusive_start_table_name: after.as_deref(),
            };
            let page = self.read("listing the tables", &list).await?;
            names.extend(page.table_names);
            after = page.last_evaluated_table_name;
            if after.is_none() {
                return Ok(names);
            }
        }
    }
}

async fn wait(doing: &str, done: impl AsyncFn() -> Result<bool>) -> Result<()> {
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

/// Keeps the fields that CreateTable accepts.
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
