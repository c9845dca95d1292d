//! The deployed system: the stack that `sam deploy` puts into the stand-in for AWS, its functions as processes, and the
//! state machine in two interpreters. Tests that hold a promise bear its name.
//!
//! Each case has a table of its own and reads it through the AWS API, past the code under test. The cases share one
//! deployment, and hold the line between the functions and DynamoDB in their hands (`backfill_e2e::wire`): what has to
//! happen at a certain moment happens then, not by chance.

mod acceptance;
mod accounting;
mod budget;
mod computed;
mod custom;
mod deployments;
mod guard;
mod held;
mod honest_end;
mod never;
mod observed;
mod one_owner;
mod orders;
mod proof;
mod resume;
mod roles;
mod runs;
mod stack;
mod template;
