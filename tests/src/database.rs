//! The embedded database as a server inside the test's process.

use aws_sdk_dynamodb::Client;
use dynoxide::Database;

use crate::tables;
use crate::wire::Wire;

/// A DynamoDB-compatible server on a free port of 127.0.0.1, in memory. It ends with the test's process.
pub struct Embedded {
    pub endpoint: String,
    pub client: Client,
}

impl Embedded {
    /// Starts one, with the table `stuff` and this many items in it.
    pub async fn with_stuff(items: u64) -> Embedded {
        let database = Embedded::start().await;
        tables::create(&database.client, "stuff", tables::STUFF_KEYS).await;
        let items: Vec<_> = (0..items).map(tables::stuff).collect();
        tables::put_all(&database.client, "stuff", &items).await;
        database
    }

    /// Starts an empty one.
    pub async fn start() -> Embedded {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("there is a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
        let database = Database::memory().expect("a database in memory");
        tokio::spawn(dynoxide::server::serve_with_shutdown(
            listener,
            database,
            std::future::pending(),
        ));
        Embedded {
            client: tables::client(&endpoint),
            endpoint,
        }
    }

    /// `backfill` with these arguments (split at blanks) and this endpoint.
    pub fn backfill(&self, arguments: &str) -> std::process::Command {
        let mut command = crate::command::backfill(arguments.split_whitespace());
        command.args(["--endpoint-url", &self.endpoint]);
        command
    }

    /// A line to it.
    pub async fn line(&self) -> Wire {
        let port = self.endpoint.rsplit(':').next().expect("host and port");
        Wire::open(port.parse().expect("a port")).await
    }

    /// Names of all tables.
    pub async fn table_names(&self) -> Vec<String> {
        let response = self.client.list_tables().send().await;
        response
            .expect("the tables are listed")
            .table_names
            .unwrap_or_default()
    }
}
