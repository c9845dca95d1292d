//! What teaches the command: man pages, and the JSON schemas of what goes in and comes out.

use std::path::{Path, PathBuf};

use backfill_core::{Error, ErrorKind, Result};
use clap::{Args, Command, ValueEnum};

use crate::ending::Ending;
use crate::show::{print, settings};

#[derive(Args)]
pub struct ManArgs {
    /// Folder for the pages, one for each command; without it the main page goes to stdout.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

#[derive(Args)]
pub struct SchemaArgs {
    /// Which JSON: a spec file (and the input of an execution), the result of a run, a plan, a list of runs, or a verification.
    #[arg(value_enum)]
    what: Schema,
}

#[derive(Clone, Copy, ValueEnum)]
enum Schema {
    Spec,
    Result,
    Plan,
    Runs,
    KeptPlan,
    Verify,
}

const SPEC: &str = include_str!("../../schema/spec.json");
const RESULT: &str = include_str!("../../schema/result.json");
const PLAN: &str = include_str!("../../schema/plan.json");
const KEPT_PLAN: &str = include_str!("../../schema/kept-plan.json");
const RUNS: &str = include_str!("../../schema/runs.json");
const VERIFY: &str = include_str!("../../schema/verify.json");

/// Prints the man page, or writes all of them.
pub fn man(args: &ManArgs, command: Command) -> Result<Ending> {
    let failed = |path: &Path, error: std::io::Error| {
        Error::invalid(
            "out",
            format!("cannot write to {}: {error}", path.display()),
        )
    };
    match &args.out {
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
            clap_mangen::generate_to(command, folder).map_err(|error| failed(folder, error))?;
            Ok(Ending::Succeeded)
        }
        None => {
            let mut page = Vec::new();
            let rendered = clap_mangen::Man::new(command).render(&mut page);
            rendered.map_err(|error| {
                Error::new(ErrorKind::Internal, "the man page").with_source(error)
            })?;
            text(&page)
        }
    }
}

/// Prints a JSON schema.
pub fn schema(args: &SchemaArgs) -> Result<Ending> {
    match args.what {
        Schema::Spec => text(settings::into_schema(SPEC).as_bytes()),
        Schema::Result => text(RESULT.as_bytes()),
        Schema::Plan => text(PLAN.as_bytes()),
        Schema::KeptPlan => text(KEPT_PLAN.as_bytes()),
        Schema::Runs => text(RUNS.as_bytes()),
        Schema::Verify => text(VERIFY.as_bytes()),
    }
}

/// A text of this program to stdout, as it is.
fn text(bytes: &[u8]) -> Result<Ending> {
    print::text(bytes)?;
    Ok(Ending::Succeeded)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use backfill_core::Request;
    use backfill_core::records::RunStatus;
    use backfill_core::view::progress::Summary;
    use serde_json::{Value, json};

    use super::*;

    fn schema(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    fn names(object: &Value) -> BTreeSet<&str> {
        object
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect()
    }

    /// What the schema of a spec names is read, and nothing else.
    #[test]
    fn the_schema_of_a_spec_has_its_fields() {
        let schema = schema(&settings::into_schema(SPEC));
        let fields = names(&schema["properties"]);
        for field in &fields {
            let json = json!({*field: {"no": "such value"}}).to_string();
            let refused = Request::from_json(&json).unwrap_err().to_string();
            assert!(!refused.contains("unknown field"), "{field}: {refused}");
        }
        let refused = Request::from_json(r#"{"no_such_field":1}"#)
            .unwrap_err()
            .to_string();
        let (_, expected) = refused
            .split_once("expected one of ")
            .expect("the fields that there are");
        let known: BTreeSet<&str> = expected.split('`').skip(1).step_by(2).collect();
        assert_eq!(fields, known);
    }

    /// Limits in the schema are those that are checked.
    #[test]
    fn the_schema_of_a_spec_has_its_limits() {
        let schema = schema(&settings::into_schema(SPEC));
        for (field, property) in schema["properties"].as_object().unwrap() {
            if property["type"] != "integer" {
                continue;
            }
            let request = |number: i64| {
                let json = json!({"table": "stuff", "set": {"test": 1}, field: number});
                Request::from_json(&json.to_string())
            };
            let limit = |name| property[name].as_i64().unwrap();
            let (least, most) = (limit("minimum"), limit("maximum"));
            for (number, good) in [
                (least, true),
                (most, true),
                (least - 1, false),
                (most + 1, false),
            ] {
                assert_eq!(request(number).is_ok(), good, "{field}: {number}");
            }
        }
    }

    #[test]
    fn the_schema_of_a_result_has_its_fields() {
        let schema = schema(RESULT);
        let request = Request::from_json(r#"{"table":"stuff","set":{"test":1}}"#).unwrap();
        let summary = Summary::without_records(&request, RunStatus::Succeeded);
        let summary = serde_json::to_value(crate::place::with(&summary)).unwrap();
        assert_eq!(names(&schema["properties"]), names(&summary));
        let cost = &schema["properties"]["cost_usd"]["properties"];
        assert_eq!(names(cost), names(&summary["cost_usd"]));
    }
}
