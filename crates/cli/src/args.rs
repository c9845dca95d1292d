//! What the flags say that several commands share: one file a group.

mod connection;
mod given;
mod guard;
mod planned;
mod prices;
mod settings;
mod spec;
mod stack;
mod which_run;

use clap::{Args as _, Command};

pub use self::connection::{ConnectionArgs, SANDBOX_HELP, SANDBOX_PORT};
pub use self::given::read_file;
pub use self::guard::{GivenChange, GuardedChangeArgs, GuardedTableArgs};
pub use self::planned::{PlannedArgs, keep};
pub use self::prices::PriceArgs;
pub use self::settings::SettingsArgs;
pub use self::spec::{PlaceholderArgs, SpecArgs, attributes, typed_name};
pub use self::stack::stack_name;
pub use self::which_run::{OneRunArgs, WhichRunArgs};

/// Whether a flag, by its id, is one of a group that has a heading of its own in the help.
pub fn is_of_a_group(id: &str) -> bool {
    let groups: [fn(Command) -> Command; 4] = [
        SpecArgs::augment_args,
        PlannedArgs::augment_args,
        SettingsArgs::augment_args,
        ConnectionArgs::augment_args,
    ];
    let in_group = |group: fn(Command) -> Command| {
        let command = group(Command::new("group"));
        command.get_arguments().any(|arg| arg.get_id() == id)
    };
    groups.into_iter().any(in_group)
}
