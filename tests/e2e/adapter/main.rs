//! The adapter to DynamoDB against the embedded database: what each guarded write does to an item and what it says
//! of it, page by page and key by key.

mod accounting;
mod computed;
mod expressions;
mod guard;
mod languages;
mod never;
mod no_gap;
mod one_owner;
mod only_u;
mod sizes;
mod stream;
mod table;
