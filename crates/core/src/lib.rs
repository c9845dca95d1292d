//! Every decision of a backfill, without a line of AWS code.
//!
//! A backfill is a *pending predicate* and the *update that extinguishes it* ([`Spec`]). The
//! [`planner::Planner`] turns an operator's [`Request`] into a durable run, the [`worker::Worker`]
//! migrates one segment for one time box, the [`verifier::Verifier`] proves that nothing is
//! pending any more. The three are driven by Step Functions in AWS and by [`drive`] in process; they are
//! the same code. The database and the checkpoint store are reached through the traits in [`ports`].

pub mod change;
pub mod clock;
pub mod engine;
mod error;
pub mod pace;
pub mod ports;
pub mod records;
pub mod request;
pub mod step_functions;
pub mod survey;
pub mod table;
pub mod value;
pub mod view;

pub use change::Spec;
pub use error::{Error, ErrorKind, Result, printable};
pub use request::Request;
pub use value::{Item, Key, Value};
