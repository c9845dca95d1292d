//! The embedded database as a server of its own, in place of DynamoDB Local.

use std::net::SocketAddr;
use std::path::Path;

use backfill_core::{Error, ErrorKind, Result};
use dynoxide::Database;
use tokio::net::TcpListener;

/// A database that listens on 127.0.0.1, and answers once it is served.
pub struct Sandbox {
    database: Database,
    listener: TcpListener,
    address: SocketAddr,
}

impl Sandbox {
    /// Opens the database in this file, or an empty one in memory, and listens on this port; 0 takes a free one.
    ///
    /// Errors: `InvalidInput` for a file or port that cannot be used.
    pub async fn open(port: u16, file: Option<&Path>) -> Result<Sandbox> {
        let database = match file {
            None => Database::memory().map_err(|error| {
                Error::new(ErrorKind::Internal, "cannot open the database").with_source(error)
            })?,
            Some(path) => {
                let place = path.display();
                let name = path
                    .to_str()
                    .ok_or_else(|| Error::invalid("file", format!("{place} is not UTF-8 text")))?;
                Database::new(name).map_err(|error| {
                    Error::invalid("file", format!("cannot open {place}: {error}"))
                })?
            }
        };
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .map_err(|error| {
                let why = format!("cannot listen on 127.0.0.1:{port}: {error}");
                Error::invalid("port", why)
            })?;
        let address = listener.local_addr().map_err(|error| {
            Error::new(ErrorKind::Internal, "cannot listen on 127.0.0.1").with_source(error)
        })?;
        Ok(Sandbox {
            database,
            listener,
            address,
        })
    }

    /// "http://127.0.0.1:8000"
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// Serves until the server fails, or the future is dropped. Connections that clients keep open and use no more do not hold
    /// that up.
    pub async fn serve(self) -> Error {
        let never = std::future::pending();
        let served =
            dynoxide::server::serve_with_shutdown(self.listener, self.database, never).await;
        let failed = Error::new(ErrorKind::Internal, "the sandbox has ended");
        match served {
            Ok(()) => failed,
            Err(error) => failed.with_source(error),
        }
    }
}
