//! What a plan asks of a table: its facts, and pages of whole items as a sample. Everything here is a
//! [`ReadCall`](crate::send::ReadCall).

use backfill_core::Result;
use backfill_core::change::Change;
use backfill_core::ports::PageRequest;
use backfill_core::survey::{
    Billing, Fact, IndexFacts, Projection, ReadPage, Replica, SurveyAccess, TableFacts,
    WarmThroughput,
};
use backfill_core::table::{KeyAttribute, KeySchema, KeyType};

use crate::calls::{
    DescribeContinuousBackups, DescribeKinesisStreamingDestination, DescribeTable,
    DescribeTimeToLive, DescribedBackups, DescribedKinesis, DescribedTimeToLive, Description,
    Index, Scan, TOTAL, Tag, Warm, list_tags,
};
use crate::failure::{failure, items_of};
use crate::send::{ProvideErrorMetadata as _, ReadSender, SdkError};
use crate::target::ReadOnly;

impl SurveyAccess for ReadOnly {
    async fn facts(&self, table: &str, keys: &KeySchema) -> Result<TableFacts> {
        let sender = ReadSender::new(&self.0);
        let described = sender
            .call(&DescribeTable { table_name: table })
            .await
            .map_err(|error| failure(&format!("describing table {table}"), error))?;
        let described = described.table;
        let kinesis = DescribeKinesisStreamingDestination { table_name: table };
        let kinesis = sender.call(&kinesis).await;
        let time_to_live = sender.call(&DescribeTimeToLive { table_name: table }).await;
        let backups = DescribeContinuousBackups { table_name: table };
        let backups = sender.call(&backups).await;
        let tags = match &described.table_arn {
            Some(arn) => fact(list_tags(&sender, arn).await, |tags: Vec<Tag>| {
                tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
            }),
            None => Fact::Unknown("the table has no ARN".into()),
        };
        let (global, local) = (
            &described.global_secondary_indexes,
            &described.local_secondary_indexes,
        );
        let replicas = described.replicas_besides(self.0.region());
        let replicas = replicas
            .map(|replica| Replica {
                region: replica.region_name.clone(),
                status: replica.replica_status.clone(),
            })
            .collect();
        let indexes = global
            .iter()
            .map(|index| (index, false))
            .chain(local.iter().map(|index| (index, true)))
            .map(|(index, local)| index_facts(&described, index, local))
            .collect();
        Ok(TableFacts {
            name: table.to_owned(),
            keys: keys.clone(),
            items: described.items(),
            size_bytes: described.size_bytes(),
            created: described.creation_date_time,
            billing: billing(&described),
            indexes,
            status: described.table_status.unwrap_or_default(),
            warm: described.warm_throughput.as_ref().and_then(warm),
            class: described
                .table_class_summary
                .and_then(|summary| summary.table_class)
                .unwrap_or_else(|| "STANDARD".into()),
            stream: described
                .stream_specification
                .filter(|stream| stream.stream_enabled)
                .and_then(|stream| stream.stream_view_type),
            stream_arn: described.latest_stream_arn,
            kinesis: fact(kinesis, DescribedKinesis::active_streams),
            time_to_live: fact(time_to_live, DescribedTimeToLive::attribute),
            replicas,
            multi_region_consistency: described.multi_region_consistency,
            point_in_time_recovery: fact(backups, |backups: DescribedBackups| {
                backups.has_point_in_time_recovery()
            }),
            deletion_protection: described.deletion_protection_enabled.unwrap_or(false),
            tags,
            arn: described.table_arn,
        })
    }

    async fn sample_page(&self, change: &dyn Change, request: PageRequest<'_>) -> Result<ReadPage> {
        let pending = change.pending();
        let scan = Scan {
            table_name: change.table(),
            segment: Some(request.segment),
            total_segments: Some(request.total_segments),
            exclusive_start_key: request.after,
            limit: Some(request.limit),
            filter_expression: Some(&pending.expression),
            expression_attribute_names: Some(&pending.names),
            expression_attribute_values: Some(&pending.values),
            return_consumed_capacity: TOTAL,
            ..Scan::default()
        };
        let doing = || format!("sampling table {}", change.table());
        let scanned = ReadSender::new(&self.0).call(&scan).await;
        let scanned = scanned.map_err(|error| failure(&doing(), error))?;
        Ok(ReadPage {
            scanned: scanned.scanned_count,
            pending: items_of(doing, scanned.items)?,
            consumed_rcu: scanned.consumed_capacity.map_or(0.0, |c| c.capacity_units),
            is_whole_segment: scanned.last_evaluated_key.is_none(),
        })
    }
}

fn billing(described: &Description) -> Billing {
    let provisioned = described.provisioned_throughput.as_ref();
    let write_units = provisioned.map_or(0, |units| units.write_capacity_units);
    let summary = described.billing_mode_summary.as_ref();
    // "When switching from provisioned to on demand … BillingModeSummary"; a table that was always provisioned has none.
    let is_on_demand = match summary.and_then(|summary| summary.billing_mode.as_deref()) {
        Some(mode) => mode == "PAY_PER_REQUEST",
        None => write_units == 0,
    };
    let limits = described.on_demand_throughput.as_ref();
    let limit = |units: Option<i64>| units.and_then(|units| u64::try_from(units).ok());
    match is_on_demand {
        true => Billing::OnDemand {
            max_write_units: limit(limits.and_then(|limits| limits.max_write_request_units)),
            max_read_units: limit(limits.and_then(|limits| limits.max_read_request_units)),
        },
        false => Billing::Provisioned {
            write_units,
            read_units: provisioned.map_or(0, |units| units.read_capacity_units),
        },
    }
}

fn index_facts(described: &Description, index: &Index, local: bool) -> IndexFacts {
    let key = |name: &String| {
        // DynamoDB defines every attribute that is a key.
        let kind = described.kind_of(name).unwrap_or(KeyType::S);
        KeyAttribute::new(name, kind)
    };
    let projection = index.projection.as_ref();
    let kind = projection.and_then(|projection| projection.projection_type.as_deref());
    let attributes = projection.and_then(|projection| projection.non_key_attributes.clone());
    IndexFacts {
        name: index.index_name.clone(),
        local,
        keys: index
            .key_schema
            .iter()
            .map(|element| key(&element.attribute_name))
            .collect(),
        partition_keys: index
            .key_schema
            .iter()
            .filter(|element| element.key_type.as_deref() == Some("HASH"))
            .count(),
        projection: match kind {
            Some("KEYS_ONLY") => Projection::KeysOnly,
            Some("INCLUDE") => Projection::Include(attributes.unwrap_or_default()),
            _ => Projection::All,
        },
        status: index.index_status.clone(),
        items: index.item_count.max(0) as u64,
        size_bytes: index.index_size_bytes.max(0) as u64,
        write_units: index
            .provisioned_throughput
            .as_ref()
            .map(|throughput| throughput.write_capacity_units)
            .filter(|units| *units > 0),
        warm: index.warm_throughput.as_ref().and_then(warm),
    }
}

fn warm(described: &Warm) -> Option<WarmThroughput> {
    Some(WarmThroughput {
        write_units: described.write_units_per_second?,
        read_units: described.read_units_per_second?,
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::Described;

    #[test]
    fn a_table_without_a_billing_mode_has_the_capacity_that_it_names() {
        let of = |fields: &str| {
            let described = format!(r#"{{"Table":{{{fields}}}}}"#);
            billing(&serde_json::from_str::<Described>(&described).unwrap().table)
        };
        let units = |units: u64| {
            format!(
                r#""ProvisionedThroughput":{{"WriteCapacityUnits":{units},"ReadCapacityUnits":9}}"#
            )
        };
        let mode = |mode: &str| format!(r#""BillingModeSummary":{{"BillingMode":"{mode}"}}"#);
        let provisioned = Billing::Provisioned {
            write_units: 5,
            read_units: 9,
        };
        let on_demand = Billing::OnDemand {
            max_write_units: None,
            max_read_units: None,
        };
        for (fields, expected) in [
            (units(5), &provisioned),
            (
                format!("{},{}", units(5), mode("PROVISIONED")),
                &provisioned,
            ),
            (
                format!("{},{}", units(0), mode("PAY_PER_REQUEST")),
                &on_demand,
            ),
            (units(0), &on_demand),
            (String::new(), &on_demand),
        ] {
            assert_eq!(&of(&fields), expected, "{fields}");
        }
    }
}
