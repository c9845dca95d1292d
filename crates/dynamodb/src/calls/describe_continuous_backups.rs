//! DescribeContinuousBackups: what is asked and what is answered.

use serde::{Deserialize, Serialize};

use crate::send::{Call, ReadCall};

/// A table's backups
/// ([API_DescribeContinuousBackups](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DescribeContinuousBackups.html)).
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribeContinuousBackups<'a> {
    pub(crate) table_name: &'a str,
}

impl Call for DescribeContinuousBackups<'_> {
    const OPERATION: &'static str = "DescribeContinuousBackups";
    type Answer = DescribedBackups;
}

impl ReadCall for DescribeContinuousBackups<'_> {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DescribedBackups {
    continuous_backups_description: BackupsDescription,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct BackupsDescription {
    point_in_time_recovery_description: Option<RecoveryDescription>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RecoveryDescription {
    point_in_time_recovery_status: Option<String>,
}

impl DescribedBackups {
    /// True if the table can be restored to any second of the last days.
    pub(crate) fn has_point_in_time_recovery(&self) -> bool {
        let backups = &self.continuous_backups_description;
        let recovery = &backups.point_in_time_recovery_description;
        recovery.as_ref().is_some_and(|recovery| {
            recovery.point_in_time_recovery_status.as_deref() == Some("ENABLED")
        })
    }
}
