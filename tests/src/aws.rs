//! The deployed system on this machine: ministack as the stand-in for AWS, with the stack deployed into it by `sam`,
//! and moto as a second interpreter of the state machine.

mod bare;
mod http;
mod machine;
mod mappings;
mod running;
mod server;
mod stack;

pub use bare::Bare;
pub(crate) use http::{request_form, request_json};
pub use machine::{Execution, Machine, eventually};
pub use running::{Running, run_to_end};
pub use stack::{
    Aws, CHECKPOINTS, SCHEDULED, STACK, Table, assert_same, deployed, input, run_id,
    second_interpreter, tool, with_custom_functions, with_deployments, with_one_worker,
    with_roles_enforced,
};
