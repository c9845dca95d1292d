//! A guard that reads the stream itself, against a small stream, the model table and its store. All in virtual time. A whole model of a
//! stream is with the promises.

mod another;
mod follow;
mod function;
mod losses;
mod stream;
mod switch_on;
mod unseeing;
mod world;
