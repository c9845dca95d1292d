//! What people see: texts, the bar, the view on the whole terminal, documents. Nothing here starts, stops or changes a run.

pub mod advice;
pub mod guard;
pub mod lines;
pub mod meter;
pub mod plan;
pub mod print;
pub mod progress;
pub mod report;
pub mod runs;
#[cfg(test)]
pub mod samples;
pub mod settings;
pub mod simulation;
pub mod status;
pub mod summary;
pub mod watch;
pub mod words;
