//! The files of the checkout.

use std::path::{Path, PathBuf};

/// Folders that are built or installed, and Git's own.
const NOT_OURS: [&str; 6] = [
    ".git",
    ".tools",
    ".aws-sam",
    "dist",
    "node_modules",
    "target",
];

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All files and folders of the checkout below `folder`, relative to the root, in order.
pub fn paths(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    collect(&root(), folder, &mut found);
    found.sort();
    found
}

fn collect(root: &Path, folder: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(root.join(folder)).expect("a folder of the checkout") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a plain name");
        if NOT_OURS.contains(&name.as_str()) {
            continue;
        }
        let path = match folder {
            "" => name,
            _ => format!("{folder}/{name}"),
        };
        if entry.file_type().expect("a type").is_dir() {
            collect(root, &path, found);
        }
        found.push(path);
    }
}

/// The text of a file of the checkout.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The Rust files below a folder with their texts.
pub fn sources(folder: &str) -> Vec<(String, String)> {
    let is_rust = |path: &String| path.ends_with(".rs");
    let paths = paths(folder).into_iter().filter(is_rust);
    paths.map(|path| (path.clone(), read(&path))).collect()
}
