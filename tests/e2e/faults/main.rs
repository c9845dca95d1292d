//! What goes wrong around a live table, to real processes on a real database: faults of the service and of the network,
//! processes that are killed, stopped and frozen. Everything random follows from a seed, which is printed if a test
//! fails; `FAULT_SEED=7` replays that one alone, and `FAULT_SEED=100..200` tries others.

mod computed;
mod execution;
mod guard;
mod guard_function;
mod honest_end;
mod kills;
mod model;
mod outages;
mod seeds;
mod torture;
mod trial;
