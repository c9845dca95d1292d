//! The `backfill` command against the embedded database, over HTTP as against AWS. Tests that hold a promise bear
//! its name.

mod checkpoint_table;
mod computed;
mod connection;
mod credentials;
mod custom;
mod damaged;
mod gone;
mod guard;
mod guard_on_off;
mod held;
mod honest_end;
mod lacking;
mod lambda;
mod large;
mod lost;
mod never;
mod one_owner;
mod only_u;
mod read_only;
mod reads;
mod recipes;
mod refusals;
mod rehearsals;
mod rejected;
mod resume;
mod sampled;
mod specs;
mod stuff;
