//! The way to tables and items by hand: a connection, and what is tried again.

use std::time::Duration;

use backfill_core::pace::retry::{PATIENCE, Until, retry};
use backfill_core::{Error, ErrorKind, Result};
use backfill_dynamodb::send::{Call, ReadCall, SdkError, Sender};
use backfill_dynamodb::{Connection, failure};

/// A connection and what can be done through it. Reads, and puts in batches, are tried again while the service is
/// throttled or unavailable (not on this machine: a database that does not answer is not there). Every other call is sent
/// once, since a second conditional write would meet with the first.
#[derive(Debug, Clone)]
pub struct Admin {
    pub(super) connection: Connection,
    pub(super) sender: Sender,
}

impl Admin {
    /// Administration through this connection.
    pub fn new(connection: Connection) -> Admin {
        Admin {
            sender: Sender::new(&connection),
            connection,
        }
    }

    /// Where this is.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// One attempt.
    pub(super) async fn once<C: Call>(&self, doing: &str, call: &C) -> Result<C::Answer> {
        let answer = self.sender.call(call).await;
        answer.map_err(|error| self.failed(doing, error))
    }

    /// A call that reads, tried again while that may help.
    pub(super) async fn read<C: ReadCall>(&self, doing: &str, call: &C) -> Result<C::Answer> {
        self.patiently(|| self.once(doing, call)).await
    }

    /// Whatever may be tried again, while that may help.
    pub(super) async fn patiently<T, F: Future<Output = Result<T>>>(
        &self,
        attempt: impl Fn() -> F,
    ) -> Result<T> {
        let patience = match self.connection.is_local() {
            true => Duration::ZERO,
            false => PATIENCE,
        };
        retry(&Until::after(patience), attempt).await
    }

    /// Says where `doing` failed, and how to start a database if none is there.
    pub(super) fn failed(&self, doing: &str, error: SdkError) -> Error {
        let place = self.connection.place();
        match &error {
            SdkError::DispatchFailure(dispatch)
                if self.connection.is_local() && dispatch.is_io() =>
            {
                let why = format!(
                    "{doing} failed: no database answers {place}; start one with backfill sandbox"
                );
                Error::new(ErrorKind::Unavailable, why)
            }
            _ => failure(&format!("{doing} {place}"), error),
        }
    }
}
