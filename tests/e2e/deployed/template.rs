//! What `template.yaml` promises of a deployment, read from it: names, permissions, keys, and what happens to what is there
//! already. No stand-in refuses what AWS would, so this is held by the text.

mod access;
mod evaluate;
mod guard;
mod lives;
mod messages;
mod network;
mod schedule;
