//! What rehearses: an embedded database as a server, tables and items by hand, definitions, made-up items, the demo, and the trial of an
//! update on copies.
//!
//! What may fill and drop a target table is here and nowhere else, and the Lambda functions do not depend on this crate: they cannot
//! see it. Nothing here prints; the command does.

#![deny(missing_docs)]

pub mod admin;
mod calls;
pub mod check;
pub mod definition;
pub mod demo;
mod made_up;
pub mod sandbox;
pub mod seed;
pub mod text;
pub mod trial;
