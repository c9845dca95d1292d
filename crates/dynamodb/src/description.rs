//! The description of a target table.

use backfill_core::table::{KeyAttribute, KeySchema, TableDescription};
use backfill_core::{Error, ErrorKind, Result};

use crate::calls::{DescribeTable, Description};
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
