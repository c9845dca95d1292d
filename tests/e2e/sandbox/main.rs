//! `backfill sandbox`, `table` and `item`, and the examples from creation to proof.

mod examples;
mod items;
mod rehearsal;
mod tables;
