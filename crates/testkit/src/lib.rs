//! A model of the world around the engine, for tests: a table and a checkpoint store in memory that obey
//! DynamoDB's rules, fail on demand, and know the right answer. Everything random comes from a seed, and
//! every wait is virtual under `tokio::time::pause`. With the feature `wire` also the line between real processes and a real
//! database, where the same goes wrong in real time.

pub mod code;
mod faults;
mod model_mapping;
mod model_stream;
mod model_table;
mod store_transit;
mod update;
#[cfg(feature = "wire")]
pub mod wire;

pub use backfill_simulation::in_virtual_time;
pub use faults::Faults;
pub use model_mapping::{
    DeadLetter, Delivered, Described, MappingSettings, ModelMapping, StreamFunction,
};
pub use model_stream::{ModelStream, StreamSeen};
pub use model_table::{LiveWriter, ModelTable};
pub use store_transit::{ModelStore, Still, StoreTransit};
pub use update::apply as apply_update;
