//! What carries a command out: the engine in this process, or an execution of the deployed state machine; and what both need.
//! It may show how it goes on, and knows no flag.

pub mod before;
pub mod concurrency;
pub mod confirm;
pub mod count;
pub mod deployed;
pub mod described;
pub mod executions;
pub mod follow;
pub mod guard;
pub mod here;
pub mod left;
mod look;
pub mod others;
pub mod owner;
pub mod paths;
pub mod progress;
pub mod records;
pub mod runs;
pub mod sampled;
pub mod signals;
pub mod steer;
pub mod survey;
pub mod tables;
pub mod watch;
