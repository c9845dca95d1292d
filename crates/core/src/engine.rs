//! The engine: planner, worker and verifier, and what drives them in one process. The engine works on tables and records
//! through the ports alone, in AWS and at home alike.

pub(crate) mod canary;
pub mod conclusion;
pub mod drive;
pub mod holds;
pub mod metrics;
pub mod own_records;
pub(crate) mod ownership;
pub mod planner;
pub mod rejected;
pub mod runs;
pub mod steering;
pub mod sums;
pub mod verifier;
pub mod worker;
