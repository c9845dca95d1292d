//! A run to look at, during and after: progress, cost, and the history as a series, all from durable records alone.

pub mod cost;
pub mod glance;
pub mod latency;
pub mod progress;
pub mod series;
