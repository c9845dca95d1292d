//! What the flags say that several commands share: one file a group.

mod connection;
mod given;
mod prices;
mod settings;
mod spec;
mod stack;
mod which_run;

pub use self::connection::{ConnectionArgs, SANDBOX_HELP, SANDBOX_PORT};
pub use self::given::read_file;
pub use self::prices::PriceArgs;
pub use self::settings::SettingsArgs;
pub use self::spec::{PlaceholderArgs, SpecArgs, attributes};
pub use self::stack::stack_name;
pub use self::which_run::{OneRunArgs, WhichRunArgs};
