//! Who imports whom: the modules of one crate as files, and every path in them that leads to another file. A path is
//! followed through re-exports to the file that defines the item. Modules that are for tests (`#[cfg(test)]`) are left out.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree};

/// A module path without `crate`, such as `["engine", "worker"]`; the root is empty.
type Module = Vec<String>;

/// One file that needs another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    pub from: String,
    pub to: String,
    /// The path in the code, with `crate`, `self` and `super` resolved.
    pub path: String,
}

/// The imports of a crate.
#[derive(Debug, Default)]
pub struct Imports {
    /// The file of each module.
    pub files: BTreeMap<String, Module>,
    /// One import for each pair of files.
    pub all: Vec<Import>,
}

#[derive(Default)]
struct Parsed {
    file: String,
    /// Names of what is defined here, modules aside.
    items: BTreeSet<String>,
    children: BTreeSet<String>,
    /// What a name that was imported stands for.
    aliases: BTreeMap<String, Vec<String>>,
    /// Modules of which everything was imported.
    globs: Vec<Vec<String>>,
    /// Every path that may lead to another file.
    paths: BTreeSet<Vec<String>>,
}

impl Imports {
    /// Reads the files of a crate: their paths below `src` with their texts. `lib.rs`, `main.rs` and the programs in `bin/`
    /// are roots.
    pub fn of(sources: &[(String, String)]) -> Imports {
        let mut modules: BTreeMap<Module, Parsed> = BTreeMap::new();
        for (file, text) in sources {
            let syntax = syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
            parse_module(file, module_of(file), &syntax.items, &mut modules);
        }
        let unit_tests = modules_for_tests(sources);
        modules.retain(|module, _| !unit_tests.iter().any(|test| module.starts_with(test)));
        let mut first: BTreeMap<(String, String), String> = BTreeMap::new();
        for (module, parsed) in &modules {
            for path in &parsed.paths {
                let Some(to) = resolve(&modules, module, path, 0) else {
                    continue;
                };
                if modules[&to].file == parsed.file {
                    continue;
                }
                first
                    .entry((parsed.file.clone(), modules[&to].file.clone()))
                    .or_insert_with(|| path.join("::"));
            }
        }
        let mut files = BTreeMap::new();
        for (module, parsed) in &modules {
            // The shortest of several modules in one file is the file's own.
            files
                .entry(parsed.file.clone())
                .or_insert_with(|| module.clone());
        }
        Imports {
            files,
            all: first
                .into_iter()
                .map(|((from, to), path)| Import { from, to, path })
                .collect(),
        }
    }

    /// The top module of a file; `crate` for the root.
    pub fn top(&self, file: &str) -> &str {
        self.files[file].first().map_or("crate", String::as_str)
    }

    /// Every circle of imports: its files, and the shortest way around, which begins and ends at the first of them.
    pub fn circles(&self) -> Vec<Circle> {
        let reach: BTreeMap<&str, BTreeSet<&str>> = self
            .files
            .keys()
            .map(|file| (file.as_str(), self.reachable(file)))
            .collect();
        let mut seen = BTreeSet::new();
        let mut circles = Vec::new();
        for (&file, reached) in &reach {
            if seen.contains(file) || !reached.contains(file) {
                continue;
            }
            let back = |other: &&str| reach[other].contains(file);
            let files: BTreeSet<&str> = reached.iter().copied().filter(back).collect();
            seen.extend(files.iter().copied());
            circles.push(Circle {
                files: files.iter().map(|&file| file.to_owned()).collect(),
                way: self.way_around(file, &files),
            });
        }
        circles
    }

    fn targets(&self, file: &str) -> impl Iterator<Item = &Import> {
        self.all.iter().filter(move |import| import.from == file)
    }

    fn reachable(&self, file: &str) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&Import> = self.targets(file).collect();
        while let Some(import) = open.pop() {
            if reached.insert(import.to.as_str()) {
                open.extend(self.targets(&import.to));
            }
        }
        reached
    }

    /// The imports of a shortest way from a file back to itself.
    fn way_around(&self, start: &str, within: &BTreeSet<&str>) -> Vec<Import> {
        let mut ways: Vec<Vec<&Import>> = self.targets(start).map(|import| vec![import]).collect();
        let mut seen = BTreeSet::new();
        loop {
            let mut longer = Vec::new();
            for way in &ways {
                let last = way.last().expect("never empty").to.as_str();
                if last == start {
                    return way.iter().map(|&import| import.clone()).collect();
                }
                if within.contains(last) && seen.insert(last) {
                    longer.extend(self.targets(last).map(|import| {
                        let mut way = way.clone();
                        way.push(import);
                        way
                    }));
                }
            }
            ways = longer;
        }
    }
}

/// Files that import each other.
#[derive(Debug)]
pub struct Circle {
    pub files: Vec<String>,
    pub way: Vec<Import>,
}

/// The imports one by one: `a.rs → b.rs (b::Name) → a.rs (a::Name)`.
pub fn shown(way: &[Import]) -> String {
    let begin = way.first().map_or("", |import| import.from.as_str());
    let steps = way
        .iter()
        .map(|import| format!(" → {} ({})", import.to, import.path));
    std::iter::once(begin.to_owned()).chain(steps).collect()
}

/// `engine/worker.rs` is the module `engine::worker`, and so is `engine/worker/mod.rs`.
fn module_of(file: &str) -> Module {
    let path = file.strip_suffix(".rs").unwrap_or(file);
    let mut module: Module = path.split('/').map(str::to_owned).collect();
    match module.last().map(String::as_str) {
        Some("lib" | "main") if module.len() == 1 => module.clear(),
        Some("mod") => {
            module.pop();
        }
        _ => {}
    }
    module
}

/// True for `#[cfg(test)]` and whatever else names `test` in a `cfg`.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .meta
                .require_list()
                .is_ok_and(|list| mentions(list.tokens.clone(), "test"))
    })
}

fn mentions(tokens: TokenStream, name: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == name,
        TokenTree::Group(group) => mentions(group.stream(), name),
        _ => false,
    })
}

/// Modules in files of their own that are declared under `#[cfg(test)]`.
fn modules_for_tests(sources: &[(String, String)]) -> Vec<Module> {
    let mut found = Vec::new();
    for (file, text) in sources {
        let syntax = syn::parse_file(text).expect("parsed before");
        for item in syntax.items {
            if let Item::Mod(module) = item
                && is_for_tests(&module.attrs)
            {
                let mut path = module_of(file);
                path.push(module.ident.to_string());
                found.push(path);
            }
        }
    }
    found
}

fn parse_module(
    file: &str,
    module: Module,
    items: &[Item],
    modules: &mut BTreeMap<Module, Parsed>,
) {
    let mut parsed = Parsed {
        file: file.to_owned(),
        ..Parsed::default()
    };
    for item in items {
        if is_for_tests(attributes(item)) {
            continue;
        }
        match item {
            Item::Mod(child) => {
                parsed.children.insert(child.ident.to_string());
                if let Some((_, items)) = &child.content {
                    let mut path = module.clone();
                    path.push(child.ident.to_string());
                    parse_module(file, path, items, modules);
                }
                continue;
            }
            Item::Const(item) => parsed.items.insert(item.ident.to_string()),
            Item::Enum(item) => parsed.items.insert(item.ident.to_string()),
            Item::Fn(item) => parsed.items.insert(item.sig.ident.to_string()),
            Item::Static(item) => parsed.items.insert(item.ident.to_string()),
            Item::Struct(item) => parsed.items.insert(item.ident.to_string()),
            Item::Trait(item) => parsed.items.insert(item.ident.to_string()),
            Item::Type(item) => parsed.items.insert(item.ident.to_string()),
            _ => false,
        };
        Paths {
            module: &module,
            parsed: &mut parsed,
        }
        .visit_item(item);
    }
    modules.insert(module, parsed);
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Collects the paths of one module.
struct Paths<'a> {
    module: &'a Module,
    parsed: &'a mut Parsed,
}

impl Paths<'_> {
    /// With `crate`, `self` and `super` resolved to a path from the root, which begins with `crate`; others stay.
    fn absolute(&self, path: &[String]) -> Option<Vec<String>> {
        let mut from = match path.first()?.as_str() {
            "crate" | "$crate" => Vec::new(),
            "self" => self.module.clone(),
            "super" => {
                let mut module = self.module.clone();
                module.pop()?;
                module
            }
            _ => return Some(path.to_vec()),
        };
        for segment in &path[1..] {
            match segment.as_str() {
                "super" => {
                    from.pop()?;
                }
                _ => from.push(segment.clone()),
            }
        }
        from.insert(0, "crate".to_owned());
        Some(from)
    }

    /// A path in code. A name alone is a variable, or was imported by a `use`, which counts.
    fn named(&mut self, path: &[String]) {
        if path.len() > 1 {
            self.add(path);
        }
    }

    fn add(&mut self, path: &[String]) {
        if let Some(path) = self.absolute(path) {
            self.parsed.paths.insert(path);
        }
    }

    fn import(&mut self, before: &[String], tree: &UseTree) {
        match tree {
            UseTree::Path(path) => {
                let mut longer = before.to_vec();
                longer.push(path.ident.to_string());
                self.import(&longer, &path.tree);
            }
            UseTree::Name(name) => self.imported(before, &name.ident, &name.ident),
            UseTree::Rename(rename) => self.imported(before, &rename.ident, &rename.rename),
            UseTree::Glob(_) => {
                self.add(before);
                let glob = self.absolute(before);
                self.parsed.globs.extend(glob);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(before, tree);
                }
            }
        }
    }

    fn imported(&mut self, before: &[String], name: &syn::Ident, known_as: &syn::Ident) {
        let mut path = before.to_vec();
        let mut known_as = known_as.to_string();
        if name == "self" {
            known_as = before.last().cloned().unwrap_or_default();
        } else {
            path.push(name.to_string());
        }
        self.add(&path);
        if let Some(path) = self.absolute(&path) {
            self.parsed.aliases.insert(known_as, path);
        }
    }

    /// Paths in the text of a macro, which is no syntax yet.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.named(&std::mem::take(&mut path));
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                other => {
                    self.named(&std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.named(&path);
    }
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path.segments.iter();
        self.named(&segments.map(|s| s.ident.to_string()).collect::<Vec<_>>());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        self.tokens(mac.tokens.clone());
        visit::visit_macro(self, mac);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {
        // `pub(super)` names a module and imports nothing.
    }
}

/// The module in which a path ends, if it is one of this crate: that of the item itself, whoever exports it again.
fn resolve(
    modules: &BTreeMap<Module, Parsed>,
    from: &Module,
    path: &[String],
    depth: usize,
) -> Option<Module> {
    // Re-exports that go in circles, and globs of globs.
    if depth > 8 {
        return None;
    }
    let (mut at, segments) = match path.first()?.as_str() {
        "crate" => (Module::new(), &path[1..]),
        _ => (from.clone(), path),
    };
    for (n, segment) in segments.iter().enumerate() {
        let parsed = modules.get(&at)?;
        let mut child = at.clone();
        child.push(segment.clone());
        if parsed.children.contains(segment) && modules.contains_key(&child) {
            at = child;
            continue;
        }
        if parsed.items.contains(segment) {
            return Some(at);
        }
        let rest = &segments[n + 1..];
        if let Some(alias) = parsed.aliases.get(segment) {
            // A name that stands for itself is another crate's.
            if alias.first() == Some(segment) {
                return None;
            }
            let longer: Vec<String> = alias.iter().chain(rest).cloned().collect();
            return resolve(modules, &at, &longer, depth + 1);
        }
        for glob in &parsed.globs {
            let longer: Vec<String> = glob.iter().chain(&segments[n..]).cloned().collect();
            let glob = resolve(modules, &at, glob, depth + 1);
            let found = resolve(modules, &at, &longer, depth + 1);
            if found.is_some() && (found != glob || defines(modules, &found, segment)) {
                return found;
            }
        }
        // A macro's name, a method, a crate: what is written here from the root is of this module.
        return (n > 0 || path[0] == "crate").then_some(at);
    }
    Some(at)
}

fn defines(modules: &BTreeMap<Module, Parsed>, module: &Option<Module>, name: &str) -> bool {
    let parsed = module.as_ref().and_then(|module| modules.get(module));
    parsed.is_some_and(|parsed| parsed.items.contains(name))
}
