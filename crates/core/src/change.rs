//! What is done to an item: what makes it pending, what is written, under which guard.

pub mod expression;
pub mod partiql;
mod spec;

pub use spec::{Spec, Statements, check_table_name};
