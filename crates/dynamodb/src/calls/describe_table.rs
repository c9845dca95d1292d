//! DescribeTable: what is asked and what is answered.

use backfill_core::table::KeyType;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::send::{Call, ReadCall};

/// What a table is like
/// ([API_DescribeTable](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeTable.html)).
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeTable<'a> {
    /// The table.
    pub table_name: &'a str,
}

impl Call for DescribeTable<'_> {
    const OPERATION: &'static str = "DescribeTable";
    type Answer = Described;
}

impl ReadCall for DescribeTable<'_> {}

/// What DescribeTable says, as far as this crate reads it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Described {
    pub(crate) table: Description,
}

/// API reference, TableDescription. Endpoints other than AWS's leave out what they do not know.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Description {
    pub(crate) table_arn: Option<String>,
    /// Another table of the same name has another one.
    pub(crate) table_id: Option<String>,
    /// The state, such as `ACTIVE`.
    pub(crate) table_status: Option<String>,
    #[serde(default, deserialize_with = "or_none")]
    pub(crate) key_schema: Vec<KeyElement>,
    #[serde(default, deserialize_with = "or_none")]
    pub(crate) attribute_definitions: Vec<AttributeDefinition>,
    /// Updated about every six hours.
    pub(crate) item_count: Option<i64>,
    /// Updated about every six hours.
    pub(crate) table_size_bytes: Option<i64>,
    /// Seconds since 1970.
    pub(crate) creation_date_time: Option<f64>,
    pub(crate) billing_mode_summary: Option<BillingModeSummary>,
    pub(crate) provisioned_throughput: Option<Throughput>,
    pub(crate) on_demand_throughput: Option<OnDemandThroughput>,
    pub(crate) warm_throughput: Option<Warm>,
    pub(crate) table_class_summary: Option<TableClassSummary>,
    #[serde(default, deserialize_with = "or_none")]
    pub(crate) global_secondary_indexes: Vec<Index>,
    #[serde(default, deserialize_with = "or_none")]
    pub(crate) local_secondary_indexes: Vec<Index>,
    pub(crate) stream_specification: Option<StreamSpecification>,
    pub(crate) latest_stream_arn: Option<String>,
    #[serde(default, deserialize_with = "or_none")]
    pub(crate) replicas: Vec<ReplicaDescription>,
    /// `EVENTUAL` or `STRONG`, of a global table.
    pub(crate) multi_region_consistency: Option<String>,
    pub(crate) deletion_protection_enabled: Option<bool>,
}

impl Description {
    /// Items, as of a few hours ago.
    pub(crate) fn items(&self) -> u64 {
        self.item_count.unwrap_or(0).max(0) as u64
    }

    /// Bytes, as of a few hours ago.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.table_size_bytes.unwrap_or(0).max(0) as u64
    }

    /// What tells the table from others that had or will have its name: its id, or else when it was created.
    pub(crate) fn identity(&self) -> String {
        let created = self.creation_date_time.map(|time| time.to_string());
        self.table_id.clone().or(created).unwrap_or_default()
    }

    /// The replicas in other regions than the table's own, which is that of its ARN, or else `here`. Whether the own one is in
    /// the list depends on whom one asks.
    pub(crate) fn replicas_besides(&self, here: &str) -> impl Iterator<Item = &ReplicaDescription> {
        let arn = self.table_arn.as_deref().unwrap_or_default();
        // arn:aws:dynamodb:REGION:ACCOUNT:table/NAME
        let own = arn.split(':').nth(3).filter(|region| !region.is_empty());
        let own = own.unwrap_or(here).to_owned();
        self.replicas
            .iter()
            .filter(move |replica| replica.region_name != own)
    }

    /// The type of a key attribute of the table or of an index.
    pub(crate) fn kind_of(&self, attribute: &str) -> Option<KeyType> {
        self.attribute_definitions
            .iter()
            .find(|definition| definition.attribute_name == attribute)
            .and_then(|definition| definition.attribute_type)
    }
}

/// A field that may also be null.
fn or_none<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The type of a key attribute; `None` if it is one that this version does not know. Whoever needs it says so.
fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<KeyType>, D::Error> {
    let kind = serde_json::Value::deserialize(deserializer)?;
    Ok(KeyType::deserialize(kind).ok())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BillingModeSummary {
    pub(crate) billing_mode: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Throughput {
    #[serde(default, deserialize_with = "or_none")]
    pub(crate) read_capacity_units: u64,
    #[serde(default, deserialize_with = "or_none")]
    pub(crate) write_capacity_units: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct OnDemandThroughput {
    /// -1: no limit.
    pub(crate) max_read_request_units: Option<i64>,
    /// -1: no limit.
    pub(crate) max_write_request_units: Option<i64>,
}

/// What a table or index takes at once.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Warm {
    pub(crate) read_units_per_second: Option<u64>,
    pub(crate) write_units_per_second: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TableClassSummary {
    pub(crate) table_class: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Index {
    #[serde(default, deserialize_with = "or_none")]
    pub(crate) index_name: String,
    pub(crate) index_status: Option<String>,
    #[serde(default, deserialize_with = "or_none")]
    pub(crate) key_schema: Vec<KeyElement>,
    pub(crate) projection: Option<IndexProjection>,
    #[serde(default, deserialize_with = "or_none")]
    pub(crate) item_count: i64,
    #[serde(default, deserialize_with = "or_none")]
    pub(crate) index_size_bytes: i64,
    pub(crate) provisioned_throughput: Option<Throughput>,
    pub(crate) warm_throughput: Option<Warm>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AttributeDefinition {
    pub(crate) attribute_name: String,
    #[serde(default, deserialize_with = "known")]
    pub(crate) attribute_type: Option<KeyType>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct KeyElement {
    pub(crate) attribute_name: String,
    /// `HASH` or `RANGE`.
    pub(crate) key_type: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct IndexProjection {
    pub(crate) projection_type: Option<String>,
    pub(crate) non_key_attributes: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StreamSpecification {
    #[serde(default, deserialize_with = "or_none")]
    pub(crate) stream_enabled: bool,
    pub(crate) stream_view_type: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ReplicaDescription {
    #[serde(default, deserialize_with = "or_none")]
    pub(crate) region_name: String,
    pub(crate) replica_status: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The own region is told by the ARN, of whatever partition, and else by the connection.
    #[test]
    fn the_own_region_is_no_replica() {
        let (east, west) = ("us-east-1", "eu-west-1");
        for (arn, others) in [
            (r#""arn:aws:dynamodb:eu-west-1:1:table/stuff""#, vec![east]),
            (
                r#""arn:aws-us-gov:dynamodb:us-east-1:1:table/stuff""#,
                vec![west],
            ),
            // What DynamoDB Local calls its region.
            (
                r#""arn:aws:dynamodb:ddblocal:0:table/stuff""#,
                vec![east, west],
            ),
            ("null", vec![west]),
        ] {
            let replicas = format!(r#"[{{"RegionName":"{east}"}},{{"RegionName":"{west}"}}]"#);
            let described = format!(r#"{{"Table":{{"TableArn":{arn},"Replicas":{replicas}}}}}"#);
            let table = serde_json::from_str::<Described>(&described).unwrap().table;
            let found = table.replicas_besides(east);
            let found: Vec<&str> = found.map(|replica| replica.region_name.as_str()).collect();
            assert_eq!(found, others, "{arn}");
        }
    }

    #[test]
    fn a_table_is_told_by_its_id() {
        for (fields, identity) in [
            (r#"{"TableId":"id-1","CreationDateTime":7.5}"#, "id-1"),
            (r#"{"CreationDateTime":7.5}"#, "7.5"),
            ("{}", ""),
        ] {
            let described = format!(r#"{{"Table":{fields}}}"#);
            let table = serde_json::from_str::<Described>(&described).unwrap().table;
            assert_eq!(table.identity(), identity);
        }
    }

    /// What no run needs does not keep one from beginning, however odd an endpoint writes it.
    #[test]
    fn odd_fields_that_no_run_needs_are_read_as_nothing() {
        let described = r#"{"Table":{"TableStatus":"ACTIVE","KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],
            "AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"},{"AttributeName":"odd","AttributeType":"BOOL"},
                {"AttributeName":"none"}],
            "ProvisionedThroughput":{"ReadCapacityUnits":null},"LocalSecondaryIndexes":null,
            "GlobalSecondaryIndexes":[{"IndexName":"by","ItemCount":null,"IndexSizeBytes":null}],
            "StreamSpecification":{"StreamEnabled":null},"Replicas":[{"RegionName":null}]}}"#;
        let table = serde_json::from_str::<Described>(described).unwrap().table;
        assert_eq!(table.kind_of("id"), Some(KeyType::S));
        assert_eq!((table.kind_of("odd"), table.kind_of("none")), (None, None));
        let index = &table.global_secondary_indexes[0];
        assert!(index.key_schema.is_empty() && index.item_count == 0);
    }
}
