//! A plan that is kept: what a run by it is to do, and what the table was like. It holds no item and no key of one; of values it has
//! those that the update writes.

use serde::{Deserialize, Serialize};

use super::plan::Plan;
use crate::clock::{now_ms, rfc3339};
use crate::request::{RequestedSettings, Settings, parse_strictly};
use crate::table::{Billing, IndexFacts, KeySchema, Projection, TableDescription};
use crate::text::sha256;
use crate::{Error, Request, Result, Spec};

/// The layout of the file. Any other is refused: a plan is soon made anew. The first had no digest.
pub const KEPT_VERSION: u32 = 2;

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
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::table::{KeyAttribute, KeyType};

    pub(in crate::survey) fn description() -> TableDescription {
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

    pub(in crate::survey) fn kept() -> KeptPlan {
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

    #[test]
    fn what_is_computed_is_kept_and_cannot_be_edited() {
        let asked = r#"{"table":"stuff","compute":{"key":"${a}#${b}"}}"#;
        let kept = KeptPlan {
            spec: Request::from_json(asked).unwrap().spec,
            ..kept()
        };
        let kept = kept.sealed();
        let json = serde_json::to_string(&kept).unwrap();
        assert_eq!(KeptPlan::from_json(&json).unwrap(), kept);
        let edited = refused(&json.replace("${a}#${b}", "${a}-${b}"));
        assert!(edited.contains("somebody has edited it"), "{edited}");
        let mut other = kept;
        other.spec.update = "REMOVE #t0".into();
        let other = refused(&serde_json::to_string(&other.sealed()).unwrap());
        let why = "compute: predicate and update are not those that follow from it";
        assert!(other.starts_with(why), "{other}");
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
}
