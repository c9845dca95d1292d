//! The rules of the house, as data. Whoever adds a module or a crate gives it its place here.

/// What one crate may import, and how its modules lie on each other.
pub struct Crate {
    /// The folder below `crates/`.
    pub name: &'static str,
    /// The crates of this workspace that it may depend on, tests aside.
    pub may_depend_on: &'static [&'static str],
    /// True for what operators and AWS run.
    pub is_released: bool,
    /// Its top modules from bottom to top, each row a layer. A module may import its own layer and the layers below.
    /// Empty: the crate has no layers yet, and only circles are looked for.
    pub layers: &'static [&'static [&'static str]],
    /// Imports that no layer forbids and that must not be, by top modules: the first does not import the second.
    pub never: &'static [(&'static str, &'static str)],
    /// Imports that close a circle and are still to be undone: from which file (`*` for any), and of which. One that closes no
    /// circle any more has to go from here, too.
    pub known_circles: &'static [(&'static str, &'static str)],
}

/// Lines of a function from its `fn` to its last brace. What is longer names its reason in a comment before it, in a line
/// that begins with [`REASON`].
pub const MOST_LINES: usize = 70;
pub const REASON: &str = "Long because";

const PLAIN: Crate = Crate {
    name: "",
    may_depend_on: &[],
    is_released: true,
    layers: &[],
    never: &[],
    known_circles: &[],
};

pub const CRATES: &[Crate] = &[
    Crate {
        name: "core",
        layers: &[
            &["text"],
            &["error", "value", "table", "clock"],
            &["compute"],
            &["change"],
            &["request"],
            &["records"],
            &["ports"],
            &["pace"],
            &["engine"],
            &["guard"],
            &["view"],
            &["survey", "step_functions"],
        ],
        ..PLAIN
    },
    Crate {
        name: "dynamodb",
        may_depend_on: &["core"],
        layers: &[
            &["account", "address", "clock", "hosts", "trouble"],
            &["credentials", "line", "outage", "signature"],
            &["connection"],
            &["send", "failure", "onward", "refusal"],
            &["calls"],
            &["alarms", "description", "outcome"],
            &["looks"],
            &["target", "checkpoints", "stream", "survey"],
        ],
        ..PLAIN
    },
    Crate {
        name: "loopback",
        may_depend_on: &["core"],
        layers: &[&["patient", "rules"], &["server"]],
        ..PLAIN
    },
    Crate {
        name: "rehearsal",
        may_depend_on: &["core", "dynamodb", "loopback"],
        layers: &[
            &["calls", "text", "definition", "made_up", "sandbox", "trial"],
            &["admin", "demo"],
            &["check", "seed"],
        ],
        ..PLAIN
    },
    Crate {
        name: "simulation",
        may_depend_on: &["core"],
        ..PLAIN
    },
    Crate {
        name: "lambdas",
        may_depend_on: &["core", "dynamodb"],
        ..PLAIN
    },
    Crate {
        name: "cli",
        may_depend_on: &["core", "dynamodb", "loopback", "rehearsal", "simulation"],
        layers: &[
            &["budget", "ending", "hint", "place", "typed"],
            &["show"],
            &["args", "drive"],
            &["commands"],
            &["bin"],
        ],
        never: &[("args", "drive"), ("args", "show"), ("drive", "args")],
        ..PLAIN
    },
    Crate {
        name: "testkit",
        may_depend_on: &["core", "simulation"],
        is_released: false,
        ..PLAIN
    },
];
