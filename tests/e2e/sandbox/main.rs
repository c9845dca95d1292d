//! `backfill sandbox`, `table` and `item`, and the examples from creation to proof.

mod examples;
mod items;
mod recorded;
mod rehearsal;
mod tables;
mod visitors;
