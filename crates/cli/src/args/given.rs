//! What a flag gives: a file to read, or a value in place of another.

use std::path::Path;

use backfill_core::{Error, Result};

/// Puts what a flag gives over what a file says.
pub fn over<T: Clone>(field: &mut Option<T>, flag: &Option<T>) {
    if flag.is_some() {
        field.clone_from(flag);
    }
}

/// The text of a file that was given by this flag.
///
/// Errors: `InvalidInput` naming flag and file.
pub fn read_file(flag: &str, path: &Path) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| Error::invalid(flag, format!("cannot read {}: {error}", path.display())))
}
