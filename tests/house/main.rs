//! The house in order: imports go down, nothing imports in a circle, a release does not know the tests, what the documents
//! name is there, and no function is long without a reason. The rules are in `rules.rs`.

mod crates;
mod documents;
mod functions;
mod imports;
mod layers;
mod programs;
mod rules;
mod tree;
mod workflows;
