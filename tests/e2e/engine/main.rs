//! The engine as DynamoDB sees it: `backfill run` against the embedded database, with a proxy in between that counts
//! requests and capacity, and throttles or refuses them.

mod accounting;
mod budget;
mod computed;
mod global;
mod line;
mod memory;
mod planned;
mod polite;
mod simulated;
