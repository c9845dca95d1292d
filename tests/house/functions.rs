//! No function is long without a reason.

use std::fmt;

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Attribute, Block, ImplItemFn, ItemFn, Signature, TraitItemFn};

use crate::rules::{MOST_LINES, REASON};
use crate::tree::sources;

/// A function that is too long and does not say why.
#[derive(Debug, PartialEq, Eq)]
struct Long {
    name: String,
    /// The line of its `fn`.
    at: usize,
    lines: usize,
}

impl fmt::Display for Long {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Long { name, at, lines } = self;
        write!(f, "{at}: `{name}` has {lines} lines")
    }
}

/// What a file has of such functions, wherever they stand: in a module, an `impl`, a trait or another function. What is an
/// argument of a macro is not looked into.
fn long(text: &str) -> syn::Result<Vec<Long>> {
    let syntax = syn::parse_file(text)?;
    let mut functions = Functions {
        lines: text.lines().collect(),
        long: Vec::new(),
    };
    functions.visit_file(&syntax);
    Ok(functions.long)
}

struct Functions<'a> {
    lines: Vec<&'a str>,
    long: Vec<Long>,
}

impl Functions<'_> {
    fn measure(&mut self, attributes: &[Attribute], of: &Signature, body: &Block) {
        let at = of.span().start().line;
        let lines = body.brace_token.span.close().end().line - at + 1;
        // Doc comments are attributes, too.
        let first = attributes
            .first()
            .map_or(at, |first| first.span().start().line);
        if lines > MOST_LINES && !self.gives_a_reason(first, at) {
            self.long.push(Long {
                name: of.ident.to_string(),
                at,
                lines,
            });
        }
    }

    /// True if a comment says why, from directly above the line `first` to the line `last`.
    fn gives_a_reason(&self, first: usize, last: usize) -> bool {
        let above = self.lines[..first - 1].iter().rev();
        above
            .take_while(|line| comment(line).is_some())
            .chain(&self.lines[first - 1..last])
            .filter_map(|line| comment(line))
            .any(|words| words.starts_with(REASON))
    }
}

/// The words of a line that is a comment.
fn comment(line: &str) -> Option<&str> {
    let words = line.trim_start().strip_prefix("//")?;
    Some(words.trim_start_matches('/').trim_start())
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.measure(&function.attrs, &function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.measure(&function.attrs, &function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        if let Some(body) = &function.default {
            self.measure(&function.attrs, &function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

#[test]
fn no_function_is_long_without_a_reason() {
    let mut wrong = Vec::new();
    let mut files = 0;
    let folders = ["crates", "tests", "bench", "fuzz"];
    for (file, text) in folders.into_iter().flat_map(sources) {
        files += 1;
        let found = long(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        wrong.extend(found.iter().map(|function| format!("{file}:{function}")));
    }
    assert!(files > 100, "{files} files");
    assert!(
        wrong.is_empty(),
        "longer than {MOST_LINES} lines, and no comment line before it begins with \"{REASON}\":\n{}",
        wrong.join("\n")
    );
}

mod checker {
    use super::*;

    /// A function of so many lines behind a head such as `fn f()`.
    fn function(head: &str, lines: usize) -> String {
        format!("{head} {{\n{}}}\n", "    step();\n".repeat(lines - 2))
    }

    fn names(text: &str) -> Vec<String> {
        let long = long(text).expect("it is Rust");
        long.into_iter().map(|function| function.name).collect()
    }

    #[test]
    fn a_long_function_is_told() {
        let text = format!(
            "{}\n/// Says nothing of its length.\n#[test]\n{}",
            function("fn short()", MOST_LINES),
            function("pub async fn long()", MOST_LINES + 1)
        );
        let found = long(&text).expect("it is Rust");
        let told: Vec<String> = found.iter().map(Long::to_string).collect();
        assert_eq!(told, ["74: `long` has 71 lines"]);
    }

    #[test]
    fn it_is_found_wherever_it_stands() {
        let long = |head| function(head, MOST_LINES + 1);
        let (method, default) = (long("fn method()"), long("fn default()"));
        let (inner, unit_test) = (long("fn inner()"), long("fn unit_test()"));
        let text = format!(
            "impl A {{ {method} }} trait B {{ fn declared(); {default} }} fn outer() {{ {inner} }} mod tests {{ {unit_test} }}"
        );
        assert_eq!(
            names(&text),
            ["method", "default", "outer", "inner", "unit_test"]
        );
    }

    #[test]
    fn a_reason_counts_only_directly_before_its_function() {
        let long = function("pub fn long()", MOST_LINES + 1);
        for reason in [
            "/// What it does.\n/// Long because it is a table: each row is a line.\n",
            "// Long because it is a table.\n",
            "// Long because it is a table,\n// which has many rows.\n#[test]\n",
            "#[test]\n// Long because it is a table.\n",
        ] {
            assert_eq!(names(&format!("{reason}{long}")), [""; 0], "{reason}");
        }
        for none in [
            "/// Not Long because of anything.\n",
            "// Long because of another.\n\n",
            "// Long because of another.\nfn other() {}\n/// What it does.\n",
        ] {
            assert_eq!(names(&format!("{none}{long}")), ["long"], "{none}");
        }
        let within = long.replacen("step();", "// Long because it says so inside.", 1);
        assert_eq!(names(&within), ["long"]);
    }
}
