//! What is said of a guard: of one that watches in this process, and of any that is looked at.

pub mod run;
pub mod status;
