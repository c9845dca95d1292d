//! `fault-proxy`: stands between any client of DynamoDB and a database, and makes calls fail by a seed.

use std::time::Duration;

use backfill_testkit::wire::{Faults, Verdict, Wire};
use clap::Parser;

/// An HTTP proxy on 127.0.0.1 before a database that speaks DynamoDB's protocol. It throttles calls, answers with 500s, breaks
/// and resets connections, loses and cuts answers, delays calls, fails single statements of a batch and cuts pages
/// short, by a seed: the same seed makes the same of the n-th call of an operation on a table. Prints its endpoint on
/// stdout, and every fault on stderr.
#[derive(Parser)]
#[command(name = "fault-proxy")]
struct Args {
    /// The database, such as http://127.0.0.1:8000; without TLS.
    #[arg(long, value_name = "URL")]
    upstream: String,
    /// Port to listen on; 0 is any that is free.
    #[arg(long, default_value_t = 0)]
    port: u16,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Share of the calls that meet with a fault, 0 to 1.
    #[arg(long, default_value_t = 0.1)]
    rate: f64,
    /// How many calls may be delayed for 11 s, longer than the client waits.
    #[arg(long, default_value_t = 0)]
    long_delays: u32,
    /// Milliseconds that every call takes longer.
    #[arg(long, default_value_t = 0)]
    latency: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), String> {
    let args = Args::parse();
    if !(0.0..=1.0).contains(&args.rate) {
        return Err(format!("rate: expected 0 to 1, got {}", args.rate));
    }
    let upstream = args.upstream.strip_prefix("http://");
    let upstream = upstream.ok_or("upstream: expected a URL that begins with http://")?;
    let authority = upstream.trim_end_matches('/').to_owned();
    let authority = if authority.contains(':') {
        authority
    } else {
        format!("{authority}:80")
    };
    let wire = Wire::between(args.port, authority)
        .await
        .map_err(|error| format!("port {}: {error}", args.port))?;
    let faults = Faults::new(args.seed, args.rate).with_long_delays(args.long_delays);
    let latency = Duration::from_millis(args.latency);
    wire.decide(move |call| {
        let verdict = faults.verdict(&call);
        if !matches!(verdict, Verdict::Forward) {
            eprintln!("{} {}: {verdict:?}", call.operation, call.table());
        }
        async move {
            tokio::time::sleep(latency).await;
            verdict
        }
    });
    println!("{}", wire.endpoint);
    std::future::pending().await
}
