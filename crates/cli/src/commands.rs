//! The commands, one thin file each: its flags, the wiring, its ending.

pub mod completions;
pub mod demo;
pub mod examples;
pub mod guard;
pub mod help;
pub mod init;
pub mod item;
pub mod plan;
pub mod rate;
pub mod rejected;
pub mod report;
pub mod resume;
pub mod run;
pub mod runs;
pub mod sandbox;
pub mod simulate;
pub mod start;
pub mod status;
pub mod steer;
pub mod table;
pub mod verify;
pub mod watch;
