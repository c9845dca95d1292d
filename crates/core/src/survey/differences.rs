//! What is not as it was planned: the table, the run and what is asked for, held against a plan that was kept.

use std::collections::{BTreeMap, BTreeSet};

use super::kept::{KeptIndex, KeptPlan, KeptTable};
use crate::request::{RequestedSettings, Settings};
use crate::table::{Billing, KeySchema, Projection, TableDescription};
use crate::{Error, ErrorKind, Result, Spec, printable};

/// The part by which items and bytes of the table may differ from the plan, up or down. DynamoDB's own count is up to six hours old.
const TOLERANCE: f64 = 0.25;

/// Items and bytes by which a table may differ in any case: of a small table a part says little.
const SMALL_ITEMS: u64 = 1_000;
/// See [`SMALL_ITEMS`].
const SMALL_BYTES: u64 = 1024 * 1024;

/// Something that is not as it was planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What it is: a field of the plan's file.
    pub what: String,
    /// What it was.
    pub planned: String,
    /// What it is now.
    pub now: String,
}

impl KeptPlan {
    /// What is asked for besides the plan, and is not what was planned. What is not asked for is as planned.
    pub fn differences_of_request(
        &self,
        spec: Option<&Spec>,
        asked: &RequestedSettings,
    ) -> Vec<Difference> {
        let mut found = Vec::new();
        if let Some(spec) = spec.filter(|spec| **spec != self.spec) {
            compare(&mut found, "spec.table", &self.spec.table, &spec.table);
            compare(&mut found, "spec", &self.spec.describe(), &spec.describe());
        }
        if let Some(run_id) = &asked.run_id {
            compare(&mut found, "run_id", &self.run_id, run_id);
        }
        let mut asked = asked.clone();
        asked.keep(&self.settings);
        asked.dry_run = self.settings.dry_run;
        if asked.only_segments.is_none() && !self.settings.only_segments.is_empty() {
            asked.only_segments = Some(self.settings.only_segments.clone());
        }
        asked.pause_after = asked.pause_after.or(self.settings.pause_after);
        found.extend(self.changed_settings(&asked.choose(self.table.size_bytes)));
        found
    }

    /// What the stored run of this id has otherwise: what was chosen for it since, by a start or while it went on.
    pub fn differences_of_run(&self, stored: &Settings) -> Vec<Difference> {
        // As it was found when it was planned: the plan says what becomes of that.
        if self.settings_before.as_ref() == Some(stored) {
            return Vec::new();
        }
        let mut found = self.changed_settings(stored);
        // For one start alone: a run does not keep them.
        found.retain(|it| !["only_segments", "pause_after"].contains(&it.what.as_str()));
        found
    }

    fn changed_settings(&self, now: &Settings) -> Vec<Difference> {
        let changes = now.changes_since(&self.settings).into_iter();
        changes
            .map(|(name, planned, now)| Difference {
                what: name.to_owned(),
                planned,
                now,
            })
            .collect()
    }

    /// What the table has otherwise. Its items and bytes may differ by a quarter, and provisioned units may fall by a quarter, or be
    /// more.
    pub fn differences_of_table(&self, now: &TableDescription) -> Vec<Difference> {
        let (was, now) = (&self.table, &KeptTable::from(now));
        let mut found = Vec::new();
        let other =
            "another table of this name: created anew since, or in another account or region";
        if was.identity != now.identity {
            found.push(Difference {
                what: "table".into(),
                planned: was.identity.clone(),
                now: format!("{} ({other})", now.identity),
            });
        }
        compare(
            &mut found,
            "table.keys",
            &shown_keys(&was.keys),
            &shown_keys(&now.keys),
        );
        let (old, new) = (by_name(&was.indexes), by_name(&now.indexes));
        let names: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
        for name in names {
            let shown = |indexes: &BTreeMap<&str, &KeptIndex>| {
                indexes
                    .get(name)
                    .map_or_else(|| "none".into(), |index| shown_index(index))
            };
            let what = format!("table.indexes.{name}");
            compare(&mut found, &what, &shown(&old), &shown(&new));
        }
        if !is_enough(&was.billing, &now.billing) {
            let (planned, now) = (shown_billing(&was.billing), shown_billing(&now.billing));
            compare(&mut found, "table.billing", &planned, &now);
        }
        let regions = |table: &KeptTable| match table.replicas.is_empty() {
            true => "none".to_owned(),
            false => table.replicas.join(", "),
        };
        compare(&mut found, "table.replicas", &regions(was), &regions(now));
        for (what, planned, now, small) in [
            ("table.items", was.items, now.items, SMALL_ITEMS),
            (
                "table.size_bytes",
                was.size_bytes,
                now.size_bytes,
                SMALL_BYTES,
            ),
        ] {
            let most = ((planned as f64 * TOLERANCE) as u64).max(small);
            if planned.abs_diff(now) > most {
                compare(&mut found, what, &planned.to_string(), &now.to_string());
            }
        }
        found
    }
}

/// Refuses to go on if something is not as it was planned. `file` is where the plan is.
///
/// Errors: `InvalidInput`, naming `plan`, with every difference.
pub fn refuse_differences(kept: &KeptPlan, file: &str, found: &[Difference]) -> Result<()> {
    if found.is_empty() {
        return Ok(());
    }
    let mut why = format!("plan: not as in {file}, which was made at {}:", kept.made);
    for Difference { what, planned, now } in found {
        let line = format!("{what}: planned {planned}, now {now}");
        why.push_str(&format!("\n  {}", printable(&line)));
    }
    why.push_str("\nnothing was touched; make a new plan, or go back to what was planned");
    Err(Error::new(ErrorKind::InvalidInput, why))
}

fn compare(found: &mut Vec<Difference>, what: &str, planned: &str, now: &str) {
    if planned != now {
        found.push(Difference {
            what: what.to_owned(),
            planned: planned.to_owned(),
            now: now.to_owned(),
        });
    }
}

fn by_name(indexes: &[KeptIndex]) -> BTreeMap<&str, &KeptIndex> {
    indexes
        .iter()
        .map(|index| (index.name.as_str(), index))
        .collect()
}

fn shown_keys(keys: &KeySchema) -> String {
    let keys = std::iter::once(&keys.hash).chain(&keys.range);
    let keys: Vec<String> = keys
        .map(|key| format!("{} ({:?})", key.name, key.kind))
        .collect();
    keys.join(", ")
}

fn shown_index(index: &KeptIndex) -> String {
    let kind = if index.local { "local" } else { "global" };
    let projection = match &index.projection {
        Projection::All => "all attributes".to_owned(),
        Projection::KeysOnly => "keys only".to_owned(),
        Projection::Include(names) => names.join(", "),
    };
    format!("{kind} on {} with {projection}", index.keys.join(", "))
}

fn shown_billing(billing: &Billing) -> String {
    match billing {
        Billing::Provisioned {
            write_units,
            read_units,
        } => format!("provisioned, {write_units} write and {read_units} read units/s"),
        Billing::OnDemand {
            max_write_units,
            max_read_units,
        } => {
            let most = |units: &Option<u64>| units.map_or("any".into(), |units| units.to_string());
            let (writes, reads) = (most(max_write_units), most(max_read_units));
            format!("on demand, at most {writes} write and {reads} read units/s")
        }
    }
}

/// True if the table takes about what it did, or more. What scales by itself moves all the time.
fn is_enough(was: &Billing, now: &Billing) -> bool {
    match (was, now) {
        (
            Billing::Provisioned {
                write_units: writes,
                read_units: reads,
            },
            Billing::Provisioned {
                write_units,
                read_units,
            },
        ) => {
            let is_less = |was: u64, now: u64| (now as f64) < was as f64 * (1.0 - TOLERANCE);
            !is_less(*writes, *write_units) && !is_less(*reads, *read_units)
        }
        (was, now) => was == now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Request;
    use crate::survey::kept::tests::{description, kept};
    use crate::table::{IndexFacts, KeyAttribute, KeyType};

    #[test]
    fn settings_and_spec_are_compared_if_they_are_given() {
        let kept = kept();
        let other = Request::from_json(
            r#"{"table":"stuff","set":{"test":2},"max_wcu":700,"max_passes":3}"#,
        );
        let other = other.unwrap();
        let found = kept.differences_of_request(Some(&other.spec), &other.settings);
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.what.as_str(), it.now.as_str()))
            .collect();
        let spec = r#"SET test = {"N":"2"} where attribute_not_exists(test)"#;
        assert_eq!(found, [("spec", spec), ("max_wcu", "700")]);
        let refused = kept.differences_of_request(Some(&other.spec), &other.settings);
        let refused = refuse_differences(&kept, "plan.json", &refused).unwrap_err();
        let line = "\n  max_wcu: planned 500, now 700\n";
        assert!(refused.to_string().contains(line), "{refused}");
    }

    /// Predicate and update do not hold a template, and still a changed one is said.
    #[test]
    fn another_template_is_another_spec() {
        let spec = |template: &str, mode: &str| {
            let json =
                format!(r#"{{"table":"stuff","compute":{{"a":"{template}"}},"mode":"{mode}"}}"#);
            Request::from_json(&json).unwrap().spec
        };
        let mut kept = kept();
        kept.spec = spec("${b}", "converge");
        let found = |asked: &Spec| -> Vec<(String, String, String)> {
            let found = kept.differences_of_request(Some(asked), &RequestedSettings::default());
            found
                .into_iter()
                .map(|it| (it.what, it.planned, it.now))
                .collect()
        };
        assert_eq!(found(&kept.spec), []);
        let planned = r#"SET a = "${b}" where attribute_exists(b) AND a <> "${b}""#;
        for (other, now) in [
            (
                spec("${b}!", "converge"),
                r#"SET a = "${b}!" where attribute_exists(b) AND a <> "${b}!""#,
            ),
            (
                spec("${b}", "missing"),
                r#"SET a = "${b}" where attribute_not_exists(a) AND attribute_exists(b)"#,
            ),
        ] {
            let expected = ("spec".to_owned(), planned.to_owned(), now.to_owned());
            assert_eq!(found(&other), [expected]);
        }
    }

    #[test]
    fn a_run_may_be_as_it_was_when_it_was_planned_anew() {
        let before = Request::from_json(r#"{"table":"stuff","set":{"test":1},"max_wcu":300}"#);
        let before = before.unwrap().settings.choose(0);
        let mut kept = kept();
        assert_eq!(kept.differences_of_run(&before).len(), 1);
        kept.settings_before = Some(before.clone());
        assert_eq!(kept.differences_of_run(&before), []);
        assert_eq!(kept.differences_of_run(&kept.settings), []);
        let since = Settings {
            max_wcu: Some(400),
            ..before
        };
        assert_eq!(kept.differences_of_run(&since).len(), 1);
    }

    #[test]
    fn a_table_may_grow_by_a_quarter_and_not_be_another() {
        let differs = |change: fn(&mut TableDescription)| -> Vec<String> {
            let mut now = description();
            change(&mut now);
            let found = kept().differences_of_table(&now);
            found.into_iter().map(|it| it.what).collect()
        };
        let none: [&str; 0] = [];
        assert_eq!(differs(|now| now.item_count = 1_250_000), none);
        assert_eq!(differs(|now| now.item_count = 1_250_001), ["table.items"]);
        assert_eq!(
            differs(|now| now.size_bytes = 200_000_000),
            ["table.size_bytes"]
        );
        assert_eq!(differs(|now| now.identity = "2".into()), ["table"]);
        assert_eq!(
            differs(|now| now.keys.hash.kind = KeyType::N),
            ["table.keys"]
        );
        assert_eq!(
            differs(|now| now.replicas.push("eu-west-1".into())),
            ["table.replicas"]
        );
    }

    #[test]
    fn capacity_may_fall_by_a_quarter_and_indexes_stay_what_they_are() {
        let units = |units| Billing::Provisioned {
            write_units: units,
            read_units: 1_000,
        };
        let kept = kept();
        for (billing, is_other) in [
            (units(750), false),
            (units(749), true),
            (units(9_000), false),
            (
                Billing::OnDemand {
                    max_write_units: None,
                    max_read_units: None,
                },
                true,
            ),
        ] {
            let now = TableDescription {
                billing,
                ..description()
            };
            assert_eq!(
                !kept.differences_of_table(&now).is_empty(),
                is_other,
                "{now:?}"
            );
        }
        let index = IndexFacts {
            name: "ByTest".into(),
            local: false,
            keys: vec![KeyAttribute::new("test", KeyType::S)],
            partition_keys: 1,
            projection: Projection::All,
            status: None,
            items: 0,
            size_bytes: 0,
            write_units: None,
            warm: None,
        };
        let now = TableDescription {
            indexes: vec![index],
            ..description()
        };
        let found = kept.differences_of_table(&now);
        let [found] = &found[..] else {
            panic!("{found:?}")
        };
        assert_eq!(
            (found.what.as_str(), found.planned.as_str()),
            ("table.indexes.ByTest", "none")
        );
        assert_eq!(found.now, "global on test with all attributes");
    }
}
