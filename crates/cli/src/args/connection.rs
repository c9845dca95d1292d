//! Where the tables are.

use backfill_core::Result;
use backfill_dynamodb::{ConnectOptions, Connection};
use backfill_rehearsal::admin::Admin;
use clap::Args;

use crate::place;

/// Port of the sandbox if none is given; that of DynamoDB Local.
pub const SANDBOX_PORT: u16 = 8000;

/// Says at the end of the help of `table` and `item` where they look.
pub const SANDBOX_HELP: &str = "Without --endpoint-url, --region, --profile and AWS_ENDPOINT_URL: the sandbox at \
    http://127.0.0.1:8000 (backfill sandbox).";

/// Where the tables are.
#[derive(Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// Endpoint in place of AWS's, such as http://127.0.0.1:8000.
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// AWS region; default: environment and profile.
    #[arg(long)]
    region: Option<String>,
    /// AWS profile.
    #[arg(long)]
    profile: Option<String>,
}

impl ConnectionArgs {
    /// What was typed for them.
    pub fn of(
        endpoint_url: Option<String>,
        region: Option<String>,
        profile: Option<String>,
    ) -> ConnectionArgs {
        ConnectionArgs {
            endpoint_url,
            region,
            profile,
        }
    }

    /// Connects, and refuses missing credentials. Where the tables are is noted for summaries (`place.rs`), for which the account is
    /// asked for.
    pub async fn open(&self) -> Result<Connection> {
        let connection = Connection::open(&ConnectOptions {
            endpoint_url: self.endpoint_url.clone(),
            region: self.region.clone(),
            profile: self.profile.clone(),
            local_credentials: false,
        })
        .await?;
        connection.check_credentials().await?;
        place::set(&connection).await;
        Ok(connection)
    }

    /// The tables of the place to which [`ConnectionArgs::connect_or_sandbox`] connects, to be made, filled and dropped.
    pub async fn open_or_sandbox(&self) -> Result<Admin> {
        Ok(Admin::new(self.connect_or_sandbox().await?))
    }

    /// Connects to the sandbox, unless a flag or a variable says otherwise: a command that makes and drops tables must not
    /// reach an account because somebody happens to be signed in.
    pub async fn connect_or_sandbox(&self) -> Result<Connection> {
        // An empty one is refused there: what it was to say, nobody knows.
        let variable = |name| std::env::var_os(name).is_some();
        let elsewhere = self.endpoint_url.is_some()
            || self.region.is_some()
            || self.profile.is_some()
            || variable("AWS_ENDPOINT_URL_DYNAMODB")
            || variable("AWS_ENDPOINT_URL");
        if elsewhere {
            return self.open().await;
        }
        Connection::open(&ConnectOptions {
            endpoint_url: Some(format!("http://127.0.0.1:{SANDBOX_PORT}")),
            region: Some("us-east-1".into()),
            profile: None,
            local_credentials: true,
        })
        .await
    }
}
