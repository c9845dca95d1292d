//! A model of the world around the engine, for tests: a table and a checkpoint store in memory that obey
//! DynamoDB's rules, fail on demand, and know the right answer. Everything random comes from a seed, and
//! every wait is virtual under `tokio::time::pause`. With the feature `wire` also the line between real processes and a real
//! database, where the same goes wrong in real time.

mod faults;
mod model_store;
mod model_table;
pub mod simulation;
#[cfg(feature = "wire")]
pub mod wire;

use std::future::Future;

pub use faults::Faults;
pub use model_store::ModelStore;
pub use model_table::{LiveWriter, ModelTable};

/// Runs a future to its end in virtual time: a wait passes at once where nothing else is to be done. The waits between
/// retries, which are random, come from `seed` as well.
pub fn in_virtual_time<F: Future>(seed: u64, future: F) -> F::Output {
    fastrand::seed(seed);
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without I/O needs nothing of the system")
        .block_on(future)
}
