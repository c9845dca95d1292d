//! What an operator sees and types: help, tables and runs on the screen, the view, the report.

mod completions;
mod follow;
mod help;
mod hostile;
mod kept;
mod output;
mod progress;
mod report;
mod runs;
mod screens;
mod watch;
