//! A plan that is kept: what a run by it is to do, what the table was like, and what of that is different now. It holds no item and
//! no key of one; of values it has those that the update writes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::plan::Plan;
use crate::clock::{now_ms, rfc3339};
use crate::request::{RequestedSettings, Settings, parse_strictly};
use crate::table::{Billing, IndexFacts, KeySchema, Projection, TableDescription};
use crate::text::sha256;
use crate::{Error, ErrorKind, Request, Result, Spec, printable};

/// The layout of the file. Any other is refused: a plan is soon made anew. The first had no digest.
pub const KEPT_VERSION: u32 = 2;

/// The part by which items and bytes of the table may differ from the plan, up or down. DynamoDB's own count is up to six hours old.
const TOLERANCE: f64 = 0.25;

/// Items and bytes by which a table may differ in any case: of a small table a part says little.
const SMALL_ITEMS: u64 = 1_000;
/// See [`SMALL_ITEMS`].
const SMALL_BYTES: u64 = 1024 * 1024;

/// A plan as it is kept in a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptPlan {
    /// [`KEPT_VERSION`].
    pub version: u32,
    /// When it was made, in UTC.
    pub made: String,
    /// The run that it is a plan of.
    pub run_id: String,
    /// What is to be done.
    pub spec: Spec,
    /// How it is to be run, with everything chosen.
    pub settings: Settings,
    /// What the run that was there already had then; null if there was none.
    #[serde(default)]
    pub settings_before: Option<Settings>,
    /// What the table was like.
    pub table: KeptTable,
    /// What the run was to do, by the sample; for people.
    pub forecast: KeptForecast,
    /// The digest of all that a run takes from this file, which is all but the forecast. It tells a file that was edited, and nobody
    /// who means to deceive: whoever can write the file can write another digest.
    pub digest: String,
}

/// What a table is like, as far as a plan depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptTable {
    /// Tells it from a later one of the same name, and from one elsewhere.
    pub identity: String,
    /// Its primary key.
    pub keys: KeySchema,
    /// How its capacity is paid.
    pub billing: Billing,
    /// Its secondary indexes.
    pub indexes: Vec<KeptIndex>,
    /// The regions of its replicas, without its own.
    pub replicas: Vec<String>,
    /// Items, by DynamoDB's count.
    pub items: u64,
    /// Bytes, by a count as old.
    pub size_bytes: u64,
}

/// An index, as far as a plan depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptIndex {
    /// Its name.
    pub name: String,
    /// True for a local one.
    pub local: bool,
    /// The names of its key attributes.
    pub keys: Vec<String>,
    /// What else it holds.
    pub projection: Projection,
}

/// The figures of a forecast that somebody who reads the file wants to see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptForecast {
    /// Pending items.
    pub pending: f64,
    /// Write units of table and indexes.
    pub write_units: f64,
    /// Seconds of the sweep at least.
    pub sweep_seconds: f64,
    /// What it costs, in USD.
    pub cost_usd: f64,
}

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

impl From<&IndexFacts> for KeptIndex {
    fn from(index: &IndexFacts) -> Self {
        let mut projection = index.projection.clone();
        if let Projection::Include(names) = &mut projection {
            names.sort();
        }
        KeptIndex {
            name: index.name.clone(),
            local: index.local,
            keys: index.keys.iter().map(|key| key.name.clone()).collect(),
            projection,
        }
    }
}

impl From<&TableDescription> for KeptTable {
    fn from(table: &TableDescription) -> Self {
        KeptTable {
            identity: table.identity.clone(),
            keys: table.keys.clone(),
            billing: table.billing.clone(),
            indexes: table.indexes.iter().map(KeptIndex::from).collect(),
            replicas: table.replicas.clone(),
            items: table.item_count,
            size_bytes: table.size_bytes,
        }
    }
}

impl KeptPlan {
    /// What is to be kept of a plan of this spec, on a table that was described so.
    pub fn new(plan: &Plan, spec: &Spec, description: &TableDescription) -> KeptPlan {
        let kept = KeptPlan {
            version: KEPT_VERSION,
            made: rfc3339(now_ms()),
            run_id: plan.run_id.clone(),
            spec: spec.clone(),
            settings: plan.settings.clone(),
            settings_before: plan.run.as_ref().map(|run| run.settings.clone()),
            table: KeptTable::from(description),
            forecast: KeptForecast {
                pending: plan.forecast.pending.value,
                write_units: plan.forecast.write_units.value,
                sweep_seconds: plan.forecast.sweep_seconds,
                cost_usd: plan.forecast.cost_usd.total,
            },
            digest: String::new(),
        };
        kept.sealed()
    }

    /// The same with its digest.
    fn sealed(self) -> KeptPlan {
        KeptPlan {
            digest: self.digest_now(),
            ..self
        }
    }

    /// The digest of what a run takes from it. How the file is set out makes no difference.
    fn digest_now(&self) -> String {
        // Whoever adds a field is told to decide on it here.
        let KeptPlan {
            version,
            made,
            run_id,
            spec,
            settings,
            settings_before,
            table,
            forecast: _,
            digest: _,
        } = self;
        let taken = (
            version,
            made,
            run_id,
            spec,
            settings,
            settings_before,
            table,
        );
        sha256(&serde_json::to_string(&taken).expect("a plan is plain data"))
    }

    /// Reads what was kept.
    ///
    /// Errors: `InvalidInput`, naming `plan`, for what is no plan, is one of another version, was changed since, or could not be run.
    pub fn from_json(json: &str) -> Result<KeptPlan> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        if let Ok(Versioned { version }) = serde_json::from_str(json)
            && version != KEPT_VERSION
        {
            let why = format!(
                "it is of version {version}, and this program reads version {KEPT_VERSION}; make it anew with backfill plan --out"
            );
            return Err(Error::invalid("plan", why));
        }
        let kept: KeptPlan = parse_strictly(json, "plan")?;
        if kept.digest != kept.digest_now() {
            let why = "it is not as backfill plan has written it: somebody has edited it; make it anew with backfill plan --out, with the \
                       flags for what is to be otherwise";
            return Err(Error::invalid("plan", why));
        }
        kept.spec.check()?;
        kept.request().settings.check()?;
        Ok(kept)
    }

    /// The request for exactly this run.
    pub fn request(&self) -> Request {
        Request {
            spec: self.spec.clone(),
            settings: RequestedSettings {
                run_id: Some(self.run_id.clone()),
                ..self.settings.request()
            },
        }
    }

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
    use crate::table::{KeyAttribute, KeyType};

    fn description() -> TableDescription {
        TableDescription {
            status: "ACTIVE".into(),
            replicas: Vec::new(),
            is_strong_everywhere: false,
            identity: "1".into(),
            keys: KeySchema {
                hash: KeyAttribute::new("id", KeyType::S),
                range: None,
            },
            item_count: 1_000_000,
            size_bytes: 300_000_000,
            billing: Billing::Provisioned {
                write_units: 1_000,
                read_units: 1_000,
            },
            indexes: Vec::new(),
        }
    }

    fn kept() -> KeptPlan {
        let asked = r#"{"table":"stuff","set":{"test":1},"max_wcu":500}"#;
        let request = Request::from_json(asked).unwrap();
        let kept = KeptPlan {
            version: KEPT_VERSION,
            made: "2026-11-21T22:00:00Z".into(),
            run_id: request.run_id(),
            settings: request.settings.choose(0),
            settings_before: None,
            spec: request.spec,
            table: KeptTable::from(&description()),
            forecast: KeptForecast {
                pending: 1.0,
                write_units: 1.0,
                sweep_seconds: 1.0,
                cost_usd: 1.0,
            },
            digest: String::new(),
        };
        kept.sealed()
    }

    #[test]
    fn what_was_kept_is_read_again_and_runs_as_it_was_chosen() {
        let kept = kept();
        let json = serde_json::to_string(&kept).unwrap();
        let read = KeptPlan::from_json(&json).unwrap();
        assert_eq!(read, kept);
        let request = read.request();
        assert_eq!(request.run_id(), kept.run_id);
        assert_eq!(
            request.settings.choose(1 << 40),
            kept.settings,
            "also the segments"
        );
        assert!(
            read.differences_of_request(Some(&kept.spec), &request.settings)
                .is_empty()
        );
        assert!(read.differences_of_table(&description()).is_empty());
        assert!(read.differences_of_run(&kept.settings).is_empty());
        for (from, to, why) in [
            (
                r#""version":2"#,
                r#""version":1"#,
                "plan: it is of version 1, and this program reads version 2; make it anew",
            ),
            (r#""made""#, r#""mode""#, "unknown field `mode`"),
        ] {
            assert!(json.contains(from), "{from}");
            let refused = refused(&json.replace(from, to));
            assert!(refused.contains(why), "{refused}");
        }
        let mut no_run = kept;
        no_run.settings.max_wcu = Some(0);
        let no_run = serde_json::to_string(&no_run.sealed()).unwrap();
        assert!(refused(&no_run).starts_with("max_wcu: expected 1"));
    }

    fn refused(json: &str) -> String {
        KeptPlan::from_json(json).unwrap_err().to_string()
    }

    /// Whatever a run takes from it. What is for people, and how the file is set out, may be otherwise.
    #[test]
    fn a_plan_that_was_edited_is_refused() {
        let mut kept = kept();
        kept.settings_before = Some(kept.settings.clone());
        let kept = kept.sealed();
        let json = serde_json::to_value(&kept).unwrap();
        for field in [
            "/made",
            "/run_id",
            "/spec/table",
            "/spec/update",
            "/spec/values/:s0/N",
            "/settings/max_wcu",
            "/settings_before/max_wcu",
            "/table/identity",
            "/table/items",
            "/digest",
        ] {
            let mut edited = json.clone();
            let Some(value) = edited.pointer_mut(field) else {
                panic!("no {field} in {json}")
            };
            *value = match value.as_u64() {
                Some(number) => (number + 1).into(),
                None => format!("{}1", value.as_str().unwrap()).into(),
            };
            let why = "plan: it is not as backfill plan has written it: somebody has edited it; make it anew with backfill plan --out";
            let refused = refused(&edited.to_string());
            assert!(refused.starts_with(why), "{field}: {refused}");
        }
        let mut other = json;
        other["forecast"]["pending"] = 2.into();
        let pretty = serde_json::to_string_pretty(&other).unwrap();
        assert_eq!(KeptPlan::from_json(&pretty).unwrap().spec, kept.spec);
    }

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
