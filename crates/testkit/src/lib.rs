//! A model of the world around the engine, for tests: a table and a checkpoint store in memory that obey
//! DynamoDB's rules, fail on demand, and know the right answer. Everything random comes from a seed, and
//! every wait is virtual under `tokio::time::pause`.

mod faults;
mod model_store;
mod model_table;
pub mod simulation;

pub use faults::Faults;
pub use model_store::ModelStore;
pub use model_table::{LiveWriter, ModelTable};
