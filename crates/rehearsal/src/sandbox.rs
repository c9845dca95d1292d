//! The embedded database as a server of its own, in place of DynamoDB Local.

mod answers;
mod database;

use std::convert::Infallible;
use std::path::Path;

use backfill_core::Result;
use backfill_loopback::{Body, Bytes, Host, Origin, Refusal, Request, Response, Server, Service};

pub(crate) use self::database::{Embedded, Row};

/// A database that listens on 127.0.0.1, and answers once it is served.
pub struct Sandbox {
    database: Embedded,
    server: Server,
}

impl Sandbox {
    /// Opens the database in this file, or an empty one in memory, and listens on this port; 0 takes a free one.
    ///
    /// Errors: `InvalidInput` for a file or port that cannot be used.
    pub async fn open(port: u16, file: Option<&Path>) -> Result<Sandbox> {
        let database = Embedded::open(file)?;
        let server = Server::listen(port).await?;
        Ok(Sandbox { database, server })
    }

    /// Answers requests that name these hosts beside this machine's own names, and those of web pages of these origins.
    pub fn allow(mut self, hosts: Vec<Host>, origins: Vec<Origin>) -> Sandbox {
        self.server = self.server.allow(hosts, origins);
        self
    }

    /// "http://127.0.0.1:8000"
    pub fn endpoint(&self) -> String {
        self.server.url()
    }

    pub(crate) fn database(&self) -> &Embedded {
        &self.database
    }

    /// Serves until the future is dropped, and all connections with it.
    pub async fn serve(self) -> Infallible {
        self.server.serve(Answers(self.database)).await
    }
}

/// The database, as what answers requests.
struct Answers(Embedded);

impl Service for Answers {
    async fn answer(&self, request: Request<Bytes>) -> Response<Body> {
        answers::answer(&self.0, &request)
    }

    fn refuse(&self, why: &Refusal) -> Response<Body> {
        answers::refusal(why)
    }
}
