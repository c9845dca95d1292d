//! What a plan asks of a table: its facts, and pages of whole items as a sample. Everything here is a
//! [`ReadCall`](crate::send::ReadCall).

use backfill_core::Result;
use backfill_core::change::Change;
use backfill_core::ports::PageRequest;
use backfill_core::survey::{Fact, ReadPage, Replica, SurveyAccess, TableFacts};
use backfill_core::table::KeySchema;

use crate::calls::{
    DescribeContinuousBackups, DescribeKinesisStreamingDestination, DescribeTable,
    DescribeTimeToLive, DescribedBackups, DescribedKinesis, DescribedTimeToLive, Scan, TOTAL, Tag,
    list_tags,
};
use crate::description::{billing, indexes, warm};
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
        let replicas = described.replicas_besides(self.0.region());
        let replicas = replicas
            .map(|replica| Replica {
                region: replica.region_name.clone(),
                status: replica.replica_status.clone(),
            })
            .collect();
        let indexes = indexes(&described);
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
        // Without a filter a page takes the same read units.
        let asked = change.sample();
        let scan = Scan {
            table_name: change.table(),
            segment: Some(request.segment),
            total_segments: Some(request.total_segments),
            exclusive_start_key: request.after,
            limit: Some(request.limit),
            filter_expression: asked.map(|asked| asked.expression.as_str()),
            expression_attribute_names: asked.map(|asked| &asked.names),
            expression_attribute_values: asked.map(|asked| &asked.values),
            return_consumed_capacity: TOTAL,
            ..Scan::default()
        };
        let doing = || format!("sampling table {}", change.table());
        let scanned = ReadSender::new(&self.0).call(&scan).await;
        let scanned = scanned.map_err(|error| failure(&doing(), error))?;
        Ok(ReadPage {
            scanned: scanned.scanned_count,
            items: items_of(doing, scanned.items)?,
            consumed_rcu: scanned.consumed_capacity.map_or(0.0, |c| c.capacity_units),
            is_whole_segment: scanned.last_evaluated_key.is_none(),
        })
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
        // What stands in for DynamoDB need not have every operation.
        (Some("UnknownOperationException"), _) => "this endpoint does not tell it".to_owned(),
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => error.to_string(),
    }
}
