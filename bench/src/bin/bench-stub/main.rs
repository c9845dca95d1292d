//! A table that costs next to nothing, to measure a client by: DynamoDB's wire protocol for what a run sends, before the
//! simulation's model of a table. Items are made by their index, and a bit of each says whether it is pending. So it answers
//! some hundred thousand items a second, and throttles like a table with partitions if it is to.
//!
//! Whatever is not for that table goes to an embedded database in the same process, the checkpoint records above all.
//! It prints one line of JSON when it is ready, answers GET with what has happened second by second, and runs until SIGTERM
//! or SIGINT.

mod answers;
mod expressions;
mod inner;
mod items;
mod requests;
mod server;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use backfill_simulation::Scenario;
use clap::Parser;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::answers::{Billing, Stub};
use crate::inner::Inner;
use crate::items::Form;
use crate::requests::Reader;
use crate::server::{Server, acceptor};

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Parser)]
struct Args {
    /// Items in the table.
    #[arg(long)]
    items: u64,
    /// The table's name.
    #[arg(long, default_value = "stuff")]
    table: String,
    /// The attribute that pending items lack.
    #[arg(long, default_value = "test")]
    attribute: String,
    /// What the attribute's values are computed by, from status and tenant: a write of another value is refused. Without this any value
    /// will do, and items have no tenant.
    #[arg(long, value_name = "TEMPLATE")]
    computed: Option<String>,
    /// Bytes of an item.
    #[arg(long, default_value_t = 300)]
    item_size: u64,
    /// Part of the items that is pending, 0 to 1.
    #[arg(long, default_value_t = 1.0)]
    pending: f64,
    /// Partitions at the start. Without this, and without a limit of the table, nothing throttles.
    #[arg(long)]
    partitions: Option<u32>,
    /// Write units per second that a partition takes.
    #[arg(long, default_value_t = 1_000.0)]
    partition_wcu: f64,
    /// Read units per second that a partition takes.
    #[arg(long, default_value_t = 3_000.0)]
    partition_rcu: f64,
    /// Write units per second that the table takes.
    #[arg(long)]
    table_wcu: Option<f64>,
    /// Read units per second that the table takes.
    #[arg(long)]
    table_rcu: Option<f64>,
    /// Seconds of unused capacity that a partition saves up.
    #[arg(long, default_value_t = 1.0)]
    burst: f64,
    /// Table and partitions begin with all that they can save up, in place of nothing.
    #[arg(long)]
    rested: bool,
    /// A table of provisioned capacity, which throttles by other errors than one on demand.
    #[arg(long)]
    provisioned: bool,
    /// Seconds after which a table on demand takes twice its peak.
    #[arg(long)]
    doubles_after: Option<f64>,
    /// Seconds after which a partition that throttles all the time splits in two.
    #[arg(long)]
    split_after: Option<f64>,
    /// Live writes per second, of one unit each.
    #[arg(long, default_value_t = 0.0)]
    live_wcu: f64,
    /// Milliseconds of a request, in the median.
    #[arg(long, default_value_t = 0.0)]
    latency_ms: f64,
    /// Milliseconds that one in a hundred requests exceeds; without it, times are within a fifth of the median.
    #[arg(long)]
    p99_ms: Option<f64>,
    /// Milliseconds that each further statement of a batch adds.
    #[arg(long, default_value_t = 0.0)]
    statement_ms: f64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Speaks TLS, and writes the certificate to trust into this file: for AWS_CA_BUNDLE.
    #[arg(long, value_name = "FILE")]
    tls: Option<PathBuf>,
    /// Threads that answer, besides that of the embedded database.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

/// What no test comes near to.
const UNLIMITED: f64 = 1e12;

impl Args {
    fn scenario(&self) -> Result<Scenario> {
        let seconds = |name: &str, value: f64| {
            Duration::try_from_secs_f64(value).map_err(|error| format!("--{name}: {error}"))
        };
        if self.items == 0 || self.item_size == 0 || self.partitions == Some(0) || self.threads == 0
        {
            return Err("--items, --item-size, --partitions and --threads are at least 1".into());
        }
        let of_partition = |units: f64| match self.partitions {
            Some(_) => units,
            None => UNLIMITED,
        };
        let after = |name, value: Option<f64>| value.map(|value| seconds(name, value)).transpose();
        Ok(Scenario {
            items: self.items,
            item_bytes: self.item_size,
            counted_bytes: Some(self.item_size),
            pending: self.pending,
            partitions: self.partitions.unwrap_or(1),
            partition_wcu: of_partition(self.partition_wcu),
            partition_rcu: of_partition(self.partition_rcu),
            table_wcu: self.table_wcu.unwrap_or(UNLIMITED),
            table_rcu: self.table_rcu.unwrap_or(UNLIMITED),
            burst_seconds: self.burst,
            rested: self.rested,
            split_after: after("split-after", self.split_after)?,
            doubles_after: after("doubles-after", self.doubles_after)?,
            live_wcu: self.live_wcu,
            latency: seconds("latency-ms", self.latency_ms / 1e3)?,
            latency_p99: after("p99-ms", self.p99_ms.map(|ms| ms / 1e3))?,
            statement_latency: seconds("statement-ms", self.statement_ms / 1e3)?,
            seed: self.seed,
            ..Scenario::default()
        })
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-stub: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let scenario = args.scenario()?;
    let billing = match args.provisioned {
        true => Billing::Provisioned,
        false => Billing::OnDemand,
    };
    let units = (scenario.table_rcu, scenario.table_wcu);
    let form = Form::new(args.attribute.clone(), args.computed.as_deref());
    let form = form.map_err(|why| format!("--computed: {why}"))?;
    let reader = Reader::new(args.table.clone(), form, args.items);
    let server = Arc::new(Server {
        inner: Inner::start(&args.table, billing, units)?,
        stub: Stub::new(reader, scenario, billing),
        requests: AtomicU64::new(0),
        answered_bytes: AtomicU64::new(0),
    });
    let tls = args.tls.as_deref().map(acceptor).transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(args.threads)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (mut terminate, mut interrupt) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        println!(
            "{}",
            json!({
                "endpoint": format!("{scheme}://{}", listener.local_addr()?),
                "items": args.items,
                "pending": server.stub.pending(),
            })
        );
        let serving = tokio::spawn(server.serve(listener, tls));
        tokio::select! {
            ended = serving => Ok(ended?),
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
        }
    })
}
