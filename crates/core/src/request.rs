//! What an operator asks for: a spec, and the settings of its run, both checked before anything is written.

mod document;
mod execution_input;
mod hours;
mod settings;
mod written_by;

pub use document::{Parts, Request, parse_strictly};
pub(crate) use hours::Hours;
pub(crate) use settings::Shown;
pub use settings::{
    Form, MAX_ONLY_SEGMENTS, MAX_PASSES, NO_LIMIT, NONE, RequestedSettings, SETTINGS, Setting,
    Settings, WriterKind, check_run_id,
};
pub use written_by::WrittenBy;
