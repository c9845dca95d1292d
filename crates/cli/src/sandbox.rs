//! `backfill sandbox`: the embedded database as a server of its own, in place of DynamoDB Local.

use std::io::Write as _;
use std::path::PathBuf;

use backfill_core::{Error, ErrorKind, Result};
use clap::Args;
use dynoxide::Database;
use tokio::net::TcpListener;

use crate::args::SANDBOX_PORT;
use crate::drive::signals::stop_on_signal;
use crate::ending::Ending;

#[derive(Args)]
pub struct SandboxArgs {
    /// Port of 127.0.0.1; 0 takes a free one.
    #[arg(long, value_name = "N", default_value_t = SANDBOX_PORT)]
    port: u16,
    /// Keep the tables in this file; default: in memory.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Runs the command: prints where it listens on the first line of stdout, and serves until it is stopped.
pub async fn sandbox(args: SandboxArgs) -> Result<Ending> {
    let database = match &args.file {
        None => Database::memory().map_err(|error| {
            Error::new(ErrorKind::Internal, "cannot open the database").with_source(error)
        })?,
        Some(path) => {
            let place = path.display();
            let name = path
                .to_str()
                .ok_or_else(|| Error::invalid("file", format!("{place} is not UTF-8 text")))?;
            Database::new(name)
                .map_err(|error| Error::invalid("file", format!("cannot open {place}: {error}")))?
        }
    };
    let listener = TcpListener::bind(("127.0.0.1", args.port))
        .await
        .map_err(|error| {
            let why = format!("cannot listen on 127.0.0.1:{}: {error}", args.port);
            Error::invalid("port", why)
        })?;
    let address = listener.local_addr().map_err(|error| {
        Error::new(ErrorKind::Internal, "cannot listen on 127.0.0.1").with_source(error)
    })?;
    println!("sandbox at http://{address}");
    // A pipe would keep the line until the end. Nobody may be there to read it.
    let _ = std::io::stdout().flush();
    eprintln!(
        "{}; for SDKs, tools and backfill run:\n  export AWS_ENDPOINT_URL_DYNAMODB=http://{address} AWS_REGION=us-east-1 \
         AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local",
        match &args.file {
            Some(path) => format!("tables are kept in {}", path.display()),
            None => "tables are kept in memory".into(),
        }
    );
    let stop = stop_on_signal("stopping");
    // Connections that clients keep open and use no more would hold the end up.
    tokio::select! {
        served = dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()) => {
            let failed = Error::new(ErrorKind::Internal, "the sandbox has ended");
            Err(match served {
                Ok(()) => failed,
                Err(error) => failed.with_source(error),
            })
        }
        () = stop.cancelled() => Ok(Ending::Succeeded),
    }
}
