//! What would hold a run that began now.

use super::warning::{Advice, Known, Warning, warn};

/// Names each reason for which the run would be held now.
pub(super) fn held_now(known: &Known<'_>) -> Vec<Warning> {
    let named = known.held.iter().flat_map(|why| {
        warn(
            "held_now",
            format!("the run would be held now: {why}"),
            [Advice::Do(
                "start it all the same: it goes on by itself when that is over".into(),
            )],
        )
    });
    named.collect()
}
