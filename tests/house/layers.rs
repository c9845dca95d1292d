//! Imports go down, and never in a circle.

use std::collections::BTreeSet;

use crate::imports::{Circle, Import, Imports, shown};
use crate::rules::{CRATES, Crate};
use crate::tree::sources;

/// The files of a crate, by their paths below its `src`.
fn files_of(name: &str) -> Vec<(String, String)> {
    let src = format!("crates/{name}/src");
    let below = |path: String| path[src.len() + 1..].to_owned();
    let sources = sources(&src).into_iter();
    sources.map(|(path, text)| (below(path), text)).collect()
}

/// The layer of a top module, from below.
fn layer(rules: &Crate, module: &str) -> Option<usize> {
    let mut rows = rules.layers.iter();
    rows.position(|row| row.contains(&module))
}

/// What is wrong with the imports of a crate by its layers, a sentence each.
fn upward(rules: &Crate, imports: &Imports) -> Vec<String> {
    let mut wrong = Vec::new();
    let is_main = |file: &str| file == "main.rs";
    for Import { from, to, path } in &imports.all {
        let (lower, upper) = (imports.top(from), imports.top(to));
        if rules.never.contains(&(lower, upper)) {
            let never = format!("{lower} never imports {upper}: {from} → {to} ({path})");
            wrong.push(never);
        }
        // The root of a library only gathers; the root of a program is the topmost layer.
        if lower == "crate" || lower == upper {
            continue;
        }
        let above = match layer(rules, upper) {
            _ if is_main(to) => usize::MAX,
            Some(layer) => layer,
            None if upper == "crate" => usize::MAX,
            None => continue,
        };
        if layer(rules, lower).is_some_and(|layer| layer < above) {
            wrong.push(format!(
                "{upper} lies above {lower}: {from} → {to} ({path})"
            ));
        }
    }
    wrong
}

/// Modules without a place, and places without a module.
fn misplaced(rules: &Crate, imports: &Imports) -> Vec<String> {
    let there: BTreeSet<&str> = imports
        .files
        .keys()
        .map(|file| imports.top(file))
        .filter(|&module| module != "crate")
        .collect();
    let placed: BTreeSet<&str> = rules.layers.iter().copied().flatten().copied().collect();
    let homeless = there.difference(&placed);
    let empty = placed.difference(&there);
    homeless
        .map(|module| format!("{module} has no layer; give it one in tests/house/rules.rs"))
        .chain(empty.map(|module| format!("{module} has a layer and is not there")))
        .collect()
}

/// Circles, but for those that the known imports close; and known imports that close none.
fn in_a_circle(mut imports: Imports, known: &[(&str, &str)]) -> Vec<String> {
    let is = |import: &Import, &(from, to): &(&str, &str)| {
        import.to == to && (import.from == from || from == "*")
    };
    let circles = imports.circles();
    let is_within = |circle: &Circle, import: &Import| {
        circle.files.contains(&import.from) && circle.files.contains(&import.to)
    };
    let closes = |pair: &&(&str, &str)| {
        let mut named = imports.all.iter().filter(|import| is(import, pair));
        named.any(|import| circles.iter().any(|circle| is_within(circle, import)))
    };
    let gone = known.iter().filter(|pair| !closes(pair)).map(|(from, to)| {
        format!("{from} → {to} closes no circle any more; take it out of tests/house/rules.rs")
    });
    let mut wrong: Vec<String> = gone.collect();
    imports
        .all
        .retain(|import| !known.iter().any(|pair| is(import, pair)));
    wrong.extend(imports.circles().iter().map(|circle| {
        let files = circle.files.join(", ");
        format!("a circle of {files}: {}", shown(&circle.way))
    }));
    wrong
}

#[test]
fn imports_go_down() {
    let mut wrong = Vec::new();
    for rules in CRATES.iter().filter(|rules| !rules.layers.is_empty()) {
        let imports = Imports::of(&files_of(rules.name));
        let mut found = upward(rules, &imports);
        found.extend(misplaced(rules, &imports));
        wrong.extend(found.iter().map(|line| format!("{}: {line}", rules.name)));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_imports_in_a_circle() {
    let mut wrong = Vec::new();
    for rules in CRATES {
        let imports = Imports::of(&files_of(rules.name));
        let found = in_a_circle(imports, rules.known_circles);
        wrong.extend(found.iter().map(|line| format!("{}: {line}", rules.name)));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The checker itself, on made-up crates.
mod checker {
    use super::*;

    const RULES: Crate = Crate {
        name: "made-up",
        may_depend_on: &[],
        is_released: true,
        layers: &[&["low"], &["left", "right"], &["high"]],
        never: &[("right", "left")],
        known_circles: &[],
    };

    fn imports(files: &[(&str, &str)]) -> Imports {
        let owned = |&(file, text): &(&str, &str)| (file.to_owned(), text.to_owned());
        Imports::of(&files.iter().map(owned).collect::<Vec<_>>())
    }

    const ROOT: (&str, &str) = (
        "lib.rs",
        "mod high; mod left; mod low; mod right; pub use high::High;",
    );
    const HIGH: (&str, &str) = (
        "high.rs",
        "use crate::left::Left; pub struct High(Left); fn f() { crate::low::f() }",
    );
    const LEFT: (&str, &str) = ("left.rs", "pub struct Left;");
    const RIGHT: (&str, &str) = ("right.rs", "");

    #[test]
    fn imports_that_go_down_are_right() {
        let fine = imports(&[ROOT, HIGH, LEFT, RIGHT, ("low.rs", "pub fn f() {}")]);
        assert_eq!(upward(&RULES, &fine), [""; 0]);
        assert_eq!(misplaced(&RULES, &fine), [""; 0]);
        assert!(fine.circles().is_empty());
        let pairs: Vec<_> = fine
            .all
            .iter()
            .map(|i| (i.from.as_str(), i.to.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [
                ("high.rs", "left.rs"),
                ("high.rs", "low.rs"),
                ("lib.rs", "high.rs")
            ]
        );
    }

    /// However the import is written.
    #[test]
    fn an_upward_import_is_found() {
        for (text, path) in [
            ("use crate::high::High;", "crate::high::High"),
            (
                "use crate::{left::{self, Left}, high::High as H};",
                "crate::high::High",
            ),
            ("use super::high;", "crate::high"),
            ("use crate::high::*;", "crate::high"),
            ("use crate::High;", "crate::High"),
            (
                "fn f() -> crate::high::High { todo!() }",
                "crate::high::High",
            ),
            (
                "fn f() { let x = vec![1, crate::high::f(2)]; }",
                "crate::high::f",
            ),
            (
                "impl From<u8> for X { fn from(x: u8) -> X { use crate::high; high::f() } }",
                "crate::high",
            ),
            (
                "mod inner { use super::super::high::High; }",
                "crate::high::High",
            ),
            ("use crate::high as h; fn f() { h::f() }", "crate::high"),
        ] {
            let found = upward(
                &RULES,
                &imports(&[ROOT, HIGH, LEFT, RIGHT, ("low.rs", text)]),
            );
            let expected = format!("high lies above low: low.rs → high.rs ({path})");
            assert!(found.contains(&expected), "{text}: {found:?}");
        }
    }

    #[test]
    fn an_import_for_tests_does_not_count() {
        let low = "#[cfg(test)] mod tests { use crate::high::High; }
                   #[cfg(test)] mod more;
                   #[cfg(all(test, unix))] use crate::high::High;";
        let files = [
            ROOT,
            HIGH,
            LEFT,
            RIGHT,
            ("low.rs", low),
            ("low/more.rs", "use crate::high::High;"),
        ];
        assert_eq!(upward(&RULES, &imports(&files)), [""; 0]);
    }

    #[test]
    fn what_is_never_imported_is_found_beside_the_layers() {
        let right = ("right.rs", "use crate::left::Left;");
        let found = upward(&RULES, &imports(&[ROOT, HIGH, LEFT, right, ("low.rs", "")]));
        assert_eq!(
            found,
            ["right never imports left: right.rs → left.rs (crate::left::Left)"]
        );
    }

    #[test]
    fn the_root_of_a_program_is_above_all() {
        let main = ("main.rs", "mod low; pub struct Ending;");
        let found = upward(&RULES, &imports(&[main, ("low.rs", "use crate::Ending;")]));
        assert_eq!(
            found,
            ["crate lies above low: low.rs → main.rs (crate::Ending)"]
        );
    }

    #[test]
    fn a_circle_is_told_with_its_way() {
        let files = [
            ("lib.rs", "mod left; mod right; mod low;"),
            ("left.rs", "use crate::right::Right; pub struct Left;"),
            ("right.rs", "use crate::low::Low; pub struct Right;"),
            ("low.rs", "pub struct Low(super::left::Left);"),
        ];
        assert_eq!(
            in_a_circle(imports(&files), &[]),
            ["a circle of left.rs, low.rs, right.rs: \
              left.rs → right.rs (crate::right::Right) → low.rs (crate::low::Low) → left.rs (crate::left::Left)"]
        );
        let known = [("low.rs", "left.rs")];
        assert_eq!(in_a_circle(imports(&files), &known), [""; 0]);
    }

    /// A parent that uses its child is not used by it, and a re-export leads to the file that has the item.
    #[test]
    fn a_parent_and_its_child_make_a_circle() {
        let parent =
            "mod child; mod other; pub use other::Other; use child::Child; pub struct Parent;";
        let with = |child: &str| {
            imports(&[
                ("lib.rs", "mod parent;"),
                ("parent.rs", parent),
                ("parent/child.rs", child),
                ("parent/other.rs", "pub struct Other;"),
            ])
        };
        assert!(
            with("use super::Other; pub struct Child;")
                .circles()
                .is_empty()
        );
        let circle = with("use super::Parent; pub struct Child;");
        assert_eq!(
            in_a_circle(circle, &[]),
            ["a circle of parent.rs, parent/child.rs: \
              parent.rs → parent/child.rs (child::Child) → parent.rs (crate::parent::Parent)"]
        );
    }

    #[test]
    fn a_listed_import_that_closes_no_circle_is_told() {
        let files = [
            ("lib.rs", "mod left; mod right;"),
            ("left.rs", "use crate::right::Right;"),
            ("right.rs", "pub struct Right;"),
        ];
        for known in [("left.rs", "right.rs"), ("right.rs", "left.rs")] {
            let found = in_a_circle(imports(&files), &[known]);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains("closes no circle any more"), "{found:?}");
        }
    }

    #[test]
    fn a_module_without_a_layer_and_a_layer_without_a_module_are_told() {
        let files = [
            ("lib.rs", "mod low; mod attic;"),
            ("attic.rs", ""),
            ("low.rs", ""),
        ];
        let rules = Crate {
            layers: &[&["low"], &["high"]],
            ..RULES
        };
        assert_eq!(
            misplaced(&rules, &imports(&files)),
            [
                "attic has no layer; give it one in tests/house/rules.rs",
                "high has a layer and is not there"
            ]
        );
    }
}
