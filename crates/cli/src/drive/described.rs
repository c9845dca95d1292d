//! The table of a request, for a command of which several parts look at it.

use backfill_core::engine::planner::describe;
use backfill_core::table::TableDescription;
use backfill_core::{Request, Result};
use backfill_dynamodb::{Connection, ReadOnly};
use tokio::sync::OnceCell;

/// The table that a request names, described when somebody asks for it first, and then no more.
pub struct Described<'a> {
    request: &'a Request,
    access: ReadOnly,
    description: OnceCell<TableDescription>,
}

impl<'a> Described<'a> {
    /// The table as this connection leads to it; nothing is called yet.
    pub fn new(request: &'a Request, connection: &Connection) -> Described<'a> {
        Described {
            request,
            access: ReadOnly(connection.clone()),
            description: OnceCell::new(),
        }
    }

    /// What DescribeTable says of it. After an error it is asked again.
    ///
    /// Errors: those of [`describe`].
    pub async fn get(&self) -> Result<&TableDescription> {
        let look = || describe(&self.access, self.request);
        self.description.get_or_try_init(look).await
    }
}
