//! What would hold a run that began now.

use super::warning::{Advice, Warning, warn};

/// Names each of these reasons for which the run would be held now.
pub fn held_now(reasons: &[String]) -> Vec<Warning> {
    let named = reasons.iter().flat_map(|why| {
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
