//! What an operator asks for: a spec, and the settings of its run.

mod document;
mod settings;

pub use document::{Parts, Request, parse_strictly};
pub(crate) use settings::default_max_rejected;
pub use settings::{
    CONCURRENCY, MAX_ONLY_SEGMENTS, PASSES, RequestedSettings, Settings, TIME_BOX_SECONDS,
    WriterKind, check_run_id,
};
