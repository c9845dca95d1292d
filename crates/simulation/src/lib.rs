//! How long a run would take: the real planner, worker and verifier against a model of a large table, in virtual time, in
//! which hours pass in seconds. The figures come from the scenario, its seed and the engine, never from the machine.
//!
//! Nothing is called and nothing is stored: the table is a bitmap, and the records lie in memory ([`MemoryStore`]). The
//! table itself is a [`model`] that knows nothing of engine and clock, so that a server can stand in front of it as well.

mod driver;
pub mod matrix;
pub mod model;
mod report;
mod scenario;
mod store;
mod table;

use std::future::Future;

pub use driver::{Driver, simulate};
pub use model::Second;
pub use report::Report;
pub use scenario::Scenario;
pub use store::{Latency, MemoryStore, Meter, Transit, Units};

/// Runs a future to its end in virtual time: a wait passes at once if nothing else is to be done. The waits between
/// retries, which are random, come from `seed` as well.
///
/// It needs a thread without a runtime of its own, such as one of `spawn_blocking`.
pub fn in_virtual_time<F: Future>(seed: u64, future: F) -> F::Output {
    fastrand::seed(seed);
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing of the system")
        .block_on(future)
}
