//! The three functions. They decide nothing: the core does. A program that has code of its own for `code` is all three of them
//! ([`main_with`]).

pub mod emf;
mod functions;
mod log;
mod panics;
mod serve;

pub use crate::functions::{Ended, main_with, planner, verifier, worker};
pub use crate::serve::{Event, Setup, serve};
