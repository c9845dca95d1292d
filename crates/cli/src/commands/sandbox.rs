//! `backfill sandbox`: the embedded database as a server of its own, in place of DynamoDB Local.

use std::path::PathBuf;

use backfill_core::Result;
use backfill_loopback::{Host, Origin};
use backfill_rehearsal::sandbox::Sandbox;
use clap::Args;

use crate::args::SANDBOX_PORT;
use crate::drive::signals::stop_on_signal;
use crate::ending::Ending;
use crate::show::print;

#[derive(Args)]
pub struct SandboxArgs {
    /// Port of 127.0.0.1; 0 takes a free one.
    #[arg(long, value_name = "N", default_value_t = SANDBOX_PORT)]
    port: u16,
    /// Keep the tables in this file; default: in memory.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Answer web pages of this origin, such as http://localhost:3000; may be repeated [default: no page].
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
    /// Answer requests to this name, too, such as host.docker.internal; may be repeated [default: the loopback names].
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<String>,
}

/// Runs the command: prints where it listens on the first line of stdout, and serves until it is stopped.
pub async fn sandbox(args: SandboxArgs) -> Result<Ending> {
    let hosts = args.allow_host.iter();
    let hosts: Result<_> = hosts.map(|host| Host::parse("allow-host", host)).collect();
    let origins = args.allow_origin.iter();
    let origins: Result<_> = origins
        .map(|origin| Origin::parse("allow-origin", origin))
        .collect();
    let (hosts, origins) = (hosts?, origins?);
    let sandbox = Sandbox::open(args.port, args.file.as_deref()).await?;
    let sandbox = sandbox.allow(hosts, origins);
    let endpoint = sandbox.endpoint();
    print::line(&format!("sandbox at {endpoint}"))?;
    say!(
        "{}; for SDKs, tools and backfill run:\n  export AWS_ENDPOINT_URL_DYNAMODB={endpoint} AWS_REGION=us-east-1\n  \
         export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local",
        match &args.file {
            Some(path) => format!("tables are kept in {}", path.display()),
            None => "tables are kept in memory".into(),
        }
    );
    let stop = stop_on_signal("stopping");
    tokio::select! {
        never = sandbox.serve() => match never {},
        () = stop.cancelled() => Ok(Ending::Succeeded),
    }
}
