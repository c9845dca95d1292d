//! The description of a target table.

use backfill_core::table::{
    Billing, IndexFacts, KeyAttribute, KeySchema, KeyType, Projection, TableDescription,
    WarmThroughput,
};
use backfill_core::{Error, ErrorKind, Result};

use crate::calls::{DescribeTable, Description, Index, Warm};
use crate::connection::Connection;
use crate::failure::failure;
use crate::send::{ProvideErrorMetadata as _, ReadSender};

/// What DescribeTable says of this table.
///
/// Errors: `TableNotFound`; those of DescribeTable.
pub(crate) async fn describe(connection: &Connection, table: &str) -> Result<TableDescription> {
    let described = ReadSender::new(connection)
        .call(&DescribeTable { table_name: table })
        .await
        .map_err(|error| {
            if error.code() == Some("ResourceNotFoundException") {
                return Error::new(
                    ErrorKind::TableNotFound,
                    format!(
                        "table: there is no table {table} {}; check the name, the region and the account",
                        connection.place()
                    ),
                );
            }
            failure(
                &format!("describing table {table} {}", connection.place()),
                error,
            )
        })?;
    let described = described.table;
    let keys = described.keys(table)?;
    let replicas = described.replicas_besides(connection.region());
    Ok(TableDescription {
        replicas: replicas
            .map(|replica| replica.region_name.clone())
            .collect(),
        is_strong_everywhere: described.multi_region_consistency.as_deref() == Some("STRONG"),
        item_count: described.items(),
        size_bytes: described.size_bytes(),
        identity: described.identity(),
        billing: billing(&described),
        indexes: indexes(&described),
        status: described
            .table_status
            .unwrap_or_else(|| "in an unknown state".into()),
        keys,
    })
}

impl Description {
    /// The primary key of this table.
    ///
    /// Errors: `Internal` if the description has none.
    pub(crate) fn keys(&self, table: &str) -> Result<KeySchema> {
        let odd = |what: &str| {
            Error::new(
                ErrorKind::Internal,
                format!("the description of table {table} has no {what}"),
            )
        };
        let attribute = |role: &str| -> Result<Option<KeyAttribute>> {
            let mut keys = self.key_schema.iter();
            let Some(key) = keys.find(|key| key.key_type.as_deref() == Some(role)) else {
                return Ok(None);
            };
            let kind = self.kind_of(&key.attribute_name);
            let kind = kind.ok_or_else(|| odd("type for a key attribute"))?;
            Ok(Some(KeyAttribute::new(&key.attribute_name, kind)))
        };
        Ok(KeySchema {
            hash: attribute("HASH")?.ok_or_else(|| odd("partition key"))?,
            range: attribute("RANGE")?,
        })
    }
}

/// The indexes of a table, global ones first.
pub(crate) fn indexes(described: &Description) -> Vec<IndexFacts> {
    let global = described.global_secondary_indexes.iter();
    let local = described.local_secondary_indexes.iter();
    global
        .map(|index| (index, false))
        .chain(local.map(|index| (index, true)))
        .map(|(index, local)| index_facts(described, index, local))
        .collect()
}

pub(crate) fn billing(described: &Description) -> Billing {
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

pub(crate) fn warm(described: &Warm) -> Option<WarmThroughput> {
    Some(WarmThroughput {
        write_units: described.write_units_per_second?,
        read_units: described.read_units_per_second?,
    })
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
