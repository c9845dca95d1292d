//! A run's budget as people type and read it.

use backfill_core::engine::steering::RateChange;
use backfill_core::request::{NONE, Settings};
use backfill_core::{Error, Result};

/// A number of units per second, or none for no limit.
///
/// Errors: `InvalidInput` naming the flag.
pub fn parse(flag: &str, text: &str) -> Result<Option<u32>> {
    if text == "none" {
        return Ok(None);
    }
    match text.parse() {
        Ok(units) if units > 0 => Ok(Some(units)),
        _ => Err(Error::invalid(
            flag,
            format!("{text:?} is not a rate; expected a number from 1 on, or none"),
        )),
    }
}

/// The rate that these values of `--max-wcu` and `--max-rcu` ask for.
///
/// Errors: `InvalidInput` naming the flag.
pub fn rate(max_wcu: Option<&str>, max_rcu: Option<&str>) -> Result<RateChange> {
    let given = |flag, text: Option<&str>| text.map(|text| parse(flag, text)).transpose();
    Ok(RateChange {
        max_wcu: given("max-wcu", max_wcu)?,
        max_rcu: given("max-rcu", max_rcu)?,
        ..RateChange::default()
    })
}

/// "at most 500 write and 100 read units/s".
pub fn text(max_wcu: Option<u32>, max_rcu: Option<u32>) -> String {
    match (max_wcu, max_rcu) {
        (None, None) => "no limit".into(),
        (Some(wcu), None) => format!("at most {wcu} write units/s"),
        (None, Some(rcu)) => format!("at most {rcu} read units/s"),
        (Some(wcu), Some(rcu)) => format!("at most {wcu} write and {rcu} read units/s"),
    }
}

/// "at most 500 write units/s -> no limit; hours none -> 22:00-06:00 UTC".
pub fn change_text(before: &Settings, after: &Settings) -> String {
    let mut changes = Vec::new();
    let budget = |settings: &Settings| text(settings.max_wcu, settings.max_rcu);
    for (what, old, new) in [
        ("pause when ", &before.pause_when, &after.pause_when),
        ("hours ", &before.hours, &after.hours),
    ] {
        if old != new {
            let shown = |holder: &Option<String>| holder.clone().unwrap_or_else(|| NONE.into());
            changes.push(format!("{what}{} -> {}", shown(old), shown(new)));
        }
    }
    if changes.is_empty() || budget(before) != budget(after) {
        changes.insert(0, format!("{} -> {}", budget(before), budget(after)));
    }
    changes.join("; ")
}
