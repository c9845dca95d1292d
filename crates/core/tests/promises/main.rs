//! The promises of SEMANTICS.md, each under its name, held by the real planner, worker and verifier against a
//! model table: random pages, random faults, live writers, and a crash at every step. All in virtual time.

mod accounting;
mod computed;
mod guarded;
mod held;
mod honest_end;
mod no_gap;
mod one_owner;
mod pace;
mod plans;
mod proof;
mod properties;
mod resume;
mod scale;
mod seeds;
mod simulation;
mod start;
mod world;
