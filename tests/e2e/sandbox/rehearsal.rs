//! An example from its table to its proof.

use std::path::PathBuf;

use backfill_e2e::command::root;
use serde_json::Value as Json;

pub fn example(name: &str, file: &str) -> PathBuf {
    root().join("examples").join(name).join(file)
}

/// Path of an example's file as an argument.
pub fn path(name: &str, file: &str) -> String {
    let path = example(name, file);
    path.to_str().expect("a path of text").to_owned()
}

pub fn fields(lines: &[String], name: &str) -> Vec<Json> {
    lines
        .iter()
        .map(|line| {
            let object: Json = serde_json::from_str(line).expect("an object on a line");
            object[name].clone()
        })
        .collect()
}
