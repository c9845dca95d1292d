//! What the flags say that several commands share: one file a group.

mod connection;
mod prices;
mod settings;
mod spec;
mod which_run;

use std::path::Path;

use backfill_core::{Error, Result};

pub use self::connection::{ConnectionArgs, SANDBOX_HELP, SANDBOX_PORT};
pub use self::prices::PriceArgs;
pub use self::settings::SettingsArgs;
pub use self::spec::{PlaceholderArgs, SpecArgs, attribute, item};
pub use self::which_run::{OneRunArgs, WhichRunArgs};

fn over<T: Clone>(field: &mut Option<T>, flag: &Option<T>) {
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
