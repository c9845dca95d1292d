//! The four functions. They decide nothing: the core does. A program that has code of its own for `code` is all four of them
//! ([`main_with`]).

pub mod emf;
mod functions;
mod guard;
mod log;
mod panics;
mod serve;

pub use crate::functions::{Ended, guard, main_with, planner, verifier, worker};
pub use crate::serve::{Event, Invocation, Setup, serve};
