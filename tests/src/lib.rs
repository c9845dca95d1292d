//! What the end-to-end tests share: the `backfill` command as a process, and tables through the AWS API.

pub mod aws;
pub mod bench_stub;
pub mod command;
pub mod convert;
pub mod database;
pub mod functions;
pub mod live;
pub mod observe;
pub mod poller;
pub mod roles;
pub mod sandbox;
pub mod screen;
pub mod signals;
pub mod stub;
pub mod tables;
pub mod terminal;
pub mod tls;
pub mod visits;
pub mod wire;
