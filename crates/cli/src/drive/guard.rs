//! The guard of a table: what switches it on, what watches in this process, and what is seen of it.

mod lag;
pub mod mapping;
pub mod on;
pub mod run;
pub mod status;
