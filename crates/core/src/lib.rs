//! Every decision of a backfill, without a line of AWS code.
//!
//! A backfill is a *pending predicate* and the *update that extinguishes it* ([`Spec`]). The
//! [`planner::Planner`] turns an operator's [`Request`] into a durable run, the [`worker::Worker`]
//! migrates one segment for one time box, the [`verifier::Verifier`] proves that nothing is
//! pending any more. The three are driven by Step Functions in AWS and by [`drive`] in process; they are
//! the same code. The database and the checkpoint store are reached through the traits in [`ports`].

pub mod ask;
pub mod budget;
pub mod checkpoint;
pub mod cost;
pub mod drive;
mod error;
pub mod expression;
pub mod history;
pub mod metrics;
pub mod pace;
pub mod partiql;
pub mod planner;
pub mod ports;
pub mod progress;
pub mod rejected;
pub mod request;
pub mod retry;
pub mod spec;
pub mod survey;
pub mod table;
pub mod value;
pub mod verifier;
pub mod worker;

pub use error::{Error, ErrorKind, Result, printable};
pub use request::Request;
pub use spec::Spec;
pub use value::{Item, Key, Value};
