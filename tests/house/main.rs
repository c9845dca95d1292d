//! The house in order: imports go down, nothing imports in a circle, a release does not know the tests, and what the
//! documents name is there. The rules are in `rules.rs`.

mod crates;
mod documents;
mod imports;
mod layers;
mod rules;
mod tree;
