//! Every decision of a backfill, without a line of AWS code.
//!
//! A backfill is a *pending predicate* and the *update that extinguishes it* ([`Spec`]). The
//! [`Planner`](engine::planner::Planner) turns an operator's [`Request`] into a durable run. The
//! [`Worker`](engine::worker::Worker) migrates one segment for one time box. The
//! [`Verifier`](engine::verifier::Verifier) proves that nothing is pending any more. Step Functions drives the three in
//! AWS, and [`Engine::drive`](engine::drive::Engine::drive) drives the same code in one process. The database and the
//! checkpoint store are reached through the traits in [`ports`].

#![deny(missing_docs)]

pub mod change;
pub mod clock;
pub mod compute;
pub mod engine;
mod error;
pub mod guard;
pub mod pace;
pub mod ports;
pub mod records;
pub mod request;
pub mod step_functions;
pub mod survey;
pub mod table;
pub mod text;
pub mod value;
pub mod view;

pub use change::Spec;
pub use error::{Error, ErrorKind, Result};
pub use request::Request;
pub use text::printable;
pub use value::{Item, Key, Value};
