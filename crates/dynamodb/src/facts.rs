//! The facts of a table for a plan, and pages of whole items as its sample. Everything here is a [`ReadCall`].

use std::collections::BTreeMap;

use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use backfill_core::ports::PageRequest;
use backfill_core::survey::{
    Billing, Fact, IndexFacts, Projection, Replica, SampledPage, TableFacts, WarmThroughput,
    item_bytes,
};
use backfill_core::table::{KeyAttribute, KeySchema, KeyType};
use backfill_core::{Item, Key, Result, Spec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::direct::{Call, DirectReads, ReadCall, SdkError};
use crate::failure::failure;
use crate::target_table::{Capacity, ReadOnly};

impl ReadOnly {
    /// The facts of a table whose keys are known. What the credentials may not ask, or the endpoint does not tell, is
    /// [`Fact::Unknown`].
    ///
    /// Errors: those of DescribeTable.
    pub async fn facts(&self, table: &str, keys: &KeySchema) -> Result<TableFacts> {
        let direct = DirectReads(self.0.direct.clone());
        let described: Described = direct
            .call(&DescribeTable { table_name: table })
            .await
            .map_err(|error| failure(&format!("describing table {table}"), error))?;
        let described = described.table;
        let kinesis = direct.call(&DescribeKinesis { table_name: table }).await;
        let time_to_live = direct.call(&DescribeTimeToLive { table_name: table }).await;
        let backups = direct.call(&DescribeBackups { table_name: table }).await;
        let tags = match &described.table_arn {
            Some(arn) => tags(&direct, arn).await,
            None => Fact::Unknown("the table has no ARN".into()),
        };
        let provisioned = described.provisioned_throughput.unwrap_or_default();
        let mode = described.billing_mode_summary.and_then(|s| s.billing_mode);
        // "When switching from provisioned to on demand … BillingModeSummary"; a table that was always provisioned has none.
        let is_on_demand = match mode.as_deref() {
            Some(mode) => mode == "PAY_PER_REQUEST",
            None => provisioned.write_capacity_units == 0,
        };
        let limits = described.on_demand_throughput.unwrap_or_default();
        let limit = |units: Option<i64>| units.and_then(|units| u64::try_from(units).ok());
        let global = described.global_secondary_indexes.into_iter();
        let local = described.local_secondary_indexes.into_iter();
        let indexes = global
            .map(|index| (index, false))
            .chain(local.map(|index| (index, true)));
        let stream = described.stream_specification;
        let kinds: BTreeMap<&str, KeyType> = described
            .attribute_definitions
            .iter()
            .map(|definition| {
                (
                    definition.attribute_name.as_str(),
                    definition.attribute_type,
                )
            })
            .collect();
        let indexes = indexes
            .map(|(index, local)| index.facts(local, &kinds))
            .collect();
        Ok(TableFacts {
            name: table.to_owned(),
            status: described.table_status.unwrap_or_default(),
            keys: keys.clone(),
            items: described.item_count.max(0) as u64,
            size_bytes: described.table_size_bytes.max(0) as u64,
            created: described.creation_date_time,
            billing: match is_on_demand {
                true => Billing::OnDemand {
                    max_write_units: limit(limits.max_write_request_units),
                    max_read_units: limit(limits.max_read_request_units),
                },
                false => Billing::Provisioned {
                    write_units: provisioned.write_capacity_units,
                    read_units: provisioned.read_capacity_units,
                },
            },
            warm: described.warm_throughput.and_then(Warm::known),
            class: described
                .table_class_summary
                .and_then(|summary| summary.table_class)
                .unwrap_or_else(|| "STANDARD".into()),
            indexes,
            stream: stream
                .filter(|stream| stream.stream_enabled)
                .and_then(|stream| stream.stream_view_type),
            stream_arn: described.latest_stream_arn,
            kinesis: fact(kinesis, |answer: Kinesis| {
                let active = |destination: &Destination| {
                    destination.destination_status.as_deref() == Some("ACTIVE")
                };
                let streams = answer.kinesis_data_stream_destinations.into_iter();
                streams
                    .filter(active)
                    .filter_map(|destination| destination.stream_arn)
                    .collect()
            }),
            time_to_live: fact(time_to_live, |answer: TimeToLive| {
                answer
                    .time_to_live_description
                    .filter(|ttl| {
                        matches!(
                            ttl.time_to_live_status.as_deref(),
                            Some("ENABLED" | "ENABLING")
                        )
                    })
                    .and_then(|ttl| ttl.attribute_name)
            }),
            replicas: described
                .replicas
                .into_iter()
                .map(|replica| Replica {
                    region: replica.region_name,
                    status: replica.replica_status,
                })
                .collect(),
            point_in_time_recovery: fact(backups, |answer: Backups| {
                let recovery = answer.continuous_backups_description;
                let status = recovery.point_in_time_recovery_description;
                status.is_some_and(|status| {
                    status.point_in_time_recovery_status.as_deref() == Some("ENABLED")
                })
            }),
            deletion_protection: described.deletion_protection_enabled.unwrap_or(false),
            tags,
            arn: described.table_arn,
        })
    }

    /// One page of a sample by eventually consistent reads: the sizes of the pending items, and so many of them whole.
    ///
    /// Errors: those of a scan; retryable ones are for the caller to retry.
    pub async fn sample_page(
        &self,
        spec: &Spec,
        keys: &KeySchema,
        request: PageRequest<'_>,
        examples: usize,
    ) -> Result<SampledPage> {
        let change = spec.change(keys);
        let pending = change.pending();
        let scan = SampleScan {
            table_name: &spec.table,
            segment: request.segment,
            total_segments: request.total_segments,
            exclusive_start_key: request.after,
            limit: request.limit,
            filter_expression: &pending.expression,
            expression_attribute_names: pending
                .names
                .iter()
                .map(|(name, attribute)| (name.as_str(), attribute.as_str()))
                .collect(),
            expression_attribute_values: &pending.values,
            return_consumed_capacity: "TOTAL",
        };
        let direct = DirectReads(self.0.direct.clone());
        let scanned = direct
            .call(&scan)
            .await
            .map_err(|error| failure(&format!("sampling table {}", spec.table), error))?;
        Ok(SampledPage {
            scanned: scanned.scanned_count,
            pending: scanned.items.iter().map(item_bytes).collect(),
            examples: scanned.items.into_iter().take(examples).collect(),
            consumed_rcu: scanned.consumed_capacity.map_or(0.0, |c| c.capacity_units),
            is_whole_segment: scanned.last_evaluated_key.is_none(),
        })
    }
}

async fn tags(direct: &DirectReads, arn: &str) -> Fact<Vec<(String, String)>> {
    let mut tags = Vec::new();
    let mut next = None;
    loop {
        let call = ListTags {
            resource_arn: arn,
            next_token: next.as_deref(),
        };
        let page = match direct.call(&call).await {
            Ok(page) => page,
            Err(error) => return Fact::Unknown(why_unknown(&error)),
        };
        tags.extend(page.tags.into_iter().map(|tag| (tag.key, tag.value)));
        next = page.next_token;
        if next.is_none() {
            return Fact::Known(tags);
        }
    }
}

fn fact<A, T>(answer: std::result::Result<A, SdkError>, read: impl FnOnce(A) -> T) -> Fact<T> {
    match answer {
        Ok(answer) => Fact::Known(read(answer)),
        Err(error) => Fact::Unknown(why_unknown(&error)),
    }
}

fn why_unknown(error: &SdkError) -> String {
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => error.to_string(),
    }
}

/// Implements [`ReadCall`] for an input.
macro_rules! read_call {
    ($input:ident, $operation:literal, $answer:ty) => {
        impl Call for $input<'_> {
            const OPERATION: &'static str = $operation;
            type Answer = $answer;
        }
        impl ReadCall for $input<'_> {}
    };
}

/// A call that names a table and nothing else.
macro_rules! of_table {
    ($input:ident, $operation:literal, $answer:ty) => {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct $input<'a> {
            table_name: &'a str,
        }
        read_call!($input, $operation, $answer);
    };
}

of_table!(DescribeTable, "DescribeTable", Described);
of_table!(
    DescribeKinesis,
    "DescribeKinesisStreamingDestination",
    Kinesis
);
of_table!(DescribeTimeToLive, "DescribeTimeToLive", TimeToLive);
of_table!(DescribeBackups, "DescribeContinuousBackups", Backups);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListTags<'a> {
    resource_arn: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<&'a str>,
}
read_call!(ListTags, "ListTagsOfResource", Tags);

/// API reference, Scan.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SampleScan<'a> {
    table_name: &'a str,
    segment: u32,
    total_segments: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    exclusive_start_key: Option<&'a Key>,
    limit: u32,
    filter_expression: &'a str,
    // DynamoDB refuses empty maps.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    expression_attribute_names: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Item::is_empty")]
    expression_attribute_values: &'a Item,
    return_consumed_capacity: &'static str,
}
read_call!(SampleScan, "Scan", SampleScanned);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SampleScanned {
    items: Vec<Item>,
    scanned_count: u64,
    last_evaluated_key: Option<Key>,
    consumed_capacity: Option<Capacity>,
}

/// API reference, TableDescription.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    table: Description,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Description {
    table_arn: Option<String>,
    table_status: Option<String>,
    #[serde(default)]
    item_count: i64,
    #[serde(default)]
    table_size_bytes: i64,
    creation_date_time: Option<f64>,
    billing_mode_summary: Option<BillingModeSummary>,
    provisioned_throughput: Option<Throughput>,
    on_demand_throughput: Option<OnDemandThroughput>,
    warm_throughput: Option<Warm>,
    #[serde(default)]
    attribute_definitions: Vec<AttributeDefinition>,
    table_class_summary: Option<TableClassSummary>,
    #[serde(default, deserialize_with = "or_none")]
    global_secondary_indexes: Vec<Index>,
    #[serde(default, deserialize_with = "or_none")]
    local_secondary_indexes: Vec<Index>,
    stream_specification: Option<StreamSpecification>,
    latest_stream_arn: Option<String>,
    #[serde(default, deserialize_with = "or_none")]
    replicas: Vec<ReplicaDescription>,
    deletion_protection_enabled: Option<bool>,
}

/// A list that may also be null.
fn or_none<'de, D, T>(deserializer: D) -> std::result::Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: DeserializeOwned,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BillingModeSummary {
    billing_mode: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Throughput {
    #[serde(default)]
    read_capacity_units: u64,
    #[serde(default)]
    write_capacity_units: u64,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OnDemandThroughput {
    /// -1: no limit.
    max_read_request_units: Option<i64>,
    max_write_request_units: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Warm {
    read_units_per_second: Option<u64>,
    write_units_per_second: Option<u64>,
}

impl Warm {
    fn known(self) -> Option<WarmThroughput> {
        Some(WarmThroughput {
            write_units: self.write_units_per_second?,
            read_units: self.read_units_per_second?,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TableClassSummary {
    table_class: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Index {
    index_name: String,
    index_status: Option<String>,
    key_schema: Vec<KeyElement>,
    projection: Option<IndexProjection>,
    #[serde(default)]
    item_count: i64,
    #[serde(default)]
    index_size_bytes: i64,
    provisioned_throughput: Option<Throughput>,
    warm_throughput: Option<Warm>,
}

impl Index {
    fn facts(self, local: bool, kinds: &BTreeMap<&str, KeyType>) -> IndexFacts {
        let projection = self.projection.unwrap_or_default();
        IndexFacts {
            name: self.index_name,
            local,
            keys: self
                .key_schema
                .into_iter()
                .map(|element| {
                    let name = element.attribute_name;
                    // DynamoDB defines every attribute that is a key.
                    let kind = kinds.get(name.as_str()).copied().unwrap_or(KeyType::S);
                    KeyAttribute::new(name, kind)
                })
                .collect(),
            projection: match projection.projection_type.as_deref() {
                Some("KEYS_ONLY") => Projection::KeysOnly,
                Some("INCLUDE") => {
                    Projection::Include(projection.non_key_attributes.unwrap_or_default())
                }
                _ => Projection::All,
            },
            status: self.index_status,
            items: self.item_count.max(0) as u64,
            size_bytes: self.index_size_bytes.max(0) as u64,
            write_units: self
                .provisioned_throughput
                .map(|throughput| throughput.write_capacity_units)
                .filter(|units| *units > 0),
            warm: self.warm_throughput.and_then(Warm::known),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AttributeDefinition {
    attribute_name: String,
    attribute_type: KeyType,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct KeyElement {
    attribute_name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IndexProjection {
    projection_type: Option<String>,
    non_key_attributes: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StreamSpecification {
    #[serde(default)]
    stream_enabled: bool,
    stream_view_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ReplicaDescription {
    region_name: String,
    replica_status: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Kinesis {
    #[serde(default)]
    kinesis_data_stream_destinations: Vec<Destination>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Destination {
    stream_arn: Option<String>,
    destination_status: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TimeToLive {
    time_to_live_description: Option<TimeToLiveDescription>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TimeToLiveDescription {
    attribute_name: Option<String>,
    time_to_live_status: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Backups {
    continuous_backups_description: BackupsDescription,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BackupsDescription {
    point_in_time_recovery_description: Option<RecoveryDescription>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RecoveryDescription {
    point_in_time_recovery_status: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tags {
    #[serde(default)]
    tags: Vec<Tag>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    value: String,
}
