//! What cannot be taken back.

use super::warning::{Advice, Known, Warning, warn};
use crate::change::expression::shown_name;

pub(super) fn no_point_in_time_recovery(known: &Known<'_>) -> Vec<Warning> {
    if known.facts.point_in_time_recovery.known() != Some(&false) {
        return Vec::new();
    }
    let table = &known.facts.name;
    warn(
        "no_point_in_time_recovery",
        format!(
            "table {table} has no point-in-time recovery: what goes wrong cannot be taken back"
        ),
        [Advice::Aws(format!(
            "aws dynamodb update-continuous-backups --table-name {table} --point-in-time-recovery-specification \
             PointInTimeRecoveryEnabled=true"
        ))],
    )
}

pub(super) fn no_deletion_protection(known: &Known<'_>) -> Vec<Warning> {
    if known.facts.deletion_protection {
        return Vec::new();
    }
    let table = &known.facts.name;
    warn(
        "no_deletion_protection",
        format!("table {table} has no deletion protection"),
        [Advice::Aws(format!(
            "aws dynamodb update-table --table-name {table} --deletion-protection-enabled"
        ))],
    )
}

pub(super) fn writes_time_to_live(known: &Known<'_>) -> Vec<Warning> {
    let attribute = known.facts.time_to_live.known().and_then(Option::as_ref);
    let Some(attribute) = attribute.filter(|attribute| known.targets.contains(attribute)) else {
        return Vec::new();
    };
    warn(
        "writes_time_to_live",
        format!(
            "the update writes {}, by which DynamoDB deletes expired items",
            shown_name(attribute)
        ),
        [Advice::Do(
            "see the example: a time in the past, in seconds since 1970, deletes the item within days".into(),
        )],
    )
}
