//! The flags by which a table's description is read from a file.

use std::path::Path;

use backfill_core::Result;
use backfill_rehearsal::definition::{self, Choice};
use clap::Args;
use serde_json::{Map, Value as Json};

use crate::args::read_file;

/// What a template needs besides itself.
#[derive(Args)]
pub struct DefinitionArgs {
    /// Which AWS::DynamoDB::Table of a template, by its logical name.
    #[arg(long, value_name = "NAME")]
    resource: Option<String>,
    /// Value of a template's parameter; repeatable; default: the template's own.
    #[arg(long, value_name = "NAME=VALUE")]
    parameter: Vec<String>,
}

impl DefinitionArgs {
    /// Reads the file that this flag gives, and says what of it is not used. `table` is the table's name in place of the
    /// file's.
    ///
    /// Errors: `InvalidInput` naming the part of the file that cannot be used.
    pub fn read(&self, flag: &str, path: &Path, table: Option<&str>) -> Result<Map<String, Json>> {
        let text = read_file(flag, path)?;
        let choice = Choice {
            resource: self.resource.as_deref(),
            parameters: &self.parameter,
        };
        let definition = definition::read(&text, table, &choice)
            .map_err(|error| error.context(path.display()))?;
        for note in definition.notes {
            say!("note: {note}");
        }
        Ok(definition.fields)
    }
}
