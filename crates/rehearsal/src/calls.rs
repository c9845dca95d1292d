//! The operations that only rehearsals use, one a file, each with its page of the API reference. They drop tables and change items as
//! a person says, so they are out of reach for the functions and for a run.

mod batch_get_item;
mod batch_write_item;
mod delete_item;
mod delete_table;
mod guard;
mod list_tables;
mod put_item;
mod update_item;

pub(crate) use batch_get_item::BatchGetItem;
pub(crate) use batch_write_item::BatchWriteItem;
pub(crate) use delete_item::DeleteItem;
pub(crate) use delete_table::DeleteTable;
pub use guard::{Guard, Placeholders};
pub(crate) use list_tables::ListTables;
pub(crate) use put_item::PutItem;
pub(crate) use update_item::UpdateItem;
