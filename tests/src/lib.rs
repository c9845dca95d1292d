//! What the end-to-end tests share: the `backfill` command as a process, and tables through the AWS API.

pub mod command;
pub mod tables;
