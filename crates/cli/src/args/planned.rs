//! A plan that was kept in a file, and the run of exactly that.

use std::path::{Path, PathBuf};

use backfill_core::request::{RequestedSettings, Settings};
use backfill_core::survey::{Difference, KeptPlan, refuse_differences};
use backfill_core::table::TableDescription;
use backfill_core::{Error, ErrorKind, Request, Result, Spec};
use clap::Args;

use super::given::read_file;
use super::settings::SettingsArgs;
use super::spec::SpecArgs;
use crate::typed;

/// What `run` and `start` are to keep to.
#[derive(Args)]
#[command(next_help_heading = "Spec")]
pub struct PlannedArgs {
    /// File of `backfill plan --out`: do exactly that, and refuse if table, spec or settings are others now.
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
}

/// A plan that a run is to keep to.
pub struct Planned {
    kept: KeptPlan,
    file: String,
}

impl PlannedArgs {
    /// The request that flags and spec file make, or that of the plan. What is given beside a plan must be as planned.
    ///
    /// Errors: `InvalidInput` for a file that is no plan, or with every difference.
    pub fn request(
        &self,
        spec: &SpecArgs,
        settings: &SettingsArgs,
    ) -> Result<(Request, Option<Planned>)> {
        let Some(path) = &self.plan else {
            return Ok((spec.request(settings)?, None));
        };
        let kept = KeptPlan::from_json(&read_file("plan", path)?);
        let file = path.display().to_string();
        let kept = kept.map_err(|error| error.context(&file))?;
        let (asked, given) = match (spec.says_what(), spec.table()) {
            (true, _) => {
                let asked = spec.request_on(&kept.spec.table, settings)?;
                (Some(asked.spec), asked.settings)
            }
            (false, Some(table)) => {
                let asked = Spec {
                    table: table.to_owned(),
                    ..kept.spec.clone()
                };
                (Some(asked), settings.read()?)
            }
            (false, None) => (None, settings.read()?),
        };
        let planned = Planned { kept, file };
        planned.refuse(&planned.kept.differences_of_request(asked.as_ref(), &given))?;
        let of_plan = planned.kept.request();
        let request = Request {
            settings: RequestedSettings {
                // These are for one start alone.
                fresh: given.fresh,
                take_over: given.take_over,
                take_over_from: given.take_over_from,
                dry_run: given.dry_run || of_plan.settings.dry_run,
                ..of_plan.settings
            },
            spec: of_plan.spec,
        };
        Ok((request, Some(planned)))
    }
}

impl Planned {
    /// Refuses a table that is not as it was planned.
    pub fn refuse_another_table(&self, now: &TableDescription) -> Result<()> {
        self.refuse(&self.kept.differences_of_table(now))
    }

    /// Refuses settings of the run as it is stored that are not as they were planned.
    pub fn refuse_other_settings(&self, stored: &Settings) -> Result<()> {
        self.refuse(&self.kept.differences_of_run(stored))
    }

    fn refuse(&self, found: &[Difference]) -> Result<()> {
        let in_flags = |it: &Difference| Difference {
            what: match it.what.as_str() {
                "spec.table" => typed::of_field("table"),
                // What the table is like, which no flag says.
                "table" => "table".to_owned(),
                field => typed::of_field(field),
            },
            ..it.clone()
        };
        let found: Vec<Difference> = found.iter().map(in_flags).collect();
        refuse_differences(&self.kept, &self.file, &found)
    }
}

/// Writes a plan to a file, in place of what is there.
///
/// Errors: `InvalidInput`, naming `out`, if it cannot be written.
pub fn keep(kept: &KeptPlan, path: &Path) -> Result<()> {
    let json = serde_json::to_string_pretty(kept);
    let cannot = |why: &str| {
        let why = format!("cannot write {}: {why}; name another file", path.display());
        Error::new(ErrorKind::InvalidInput, format!("out: {why}"))
    };
    let json = json.map_err(|error| cannot(&error.to_string()))?;
    std::fs::write(path, json + "\n").map_err(|error| cannot(&error.to_string()))
}
