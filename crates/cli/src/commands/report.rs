//! `backfill report`: a run as one document, for somebody who was not there. Reads the durable records and nothing else.

use std::path::PathBuf;

use backfill_core::{Error, ErrorKind, Result};
use backfill_dynamodb::CheckpointTable;
use clap::{Args, ValueEnum};

use crate::args::{ConnectionArgs, PriceArgs, WhichRunArgs};
use crate::drive::follow::{Followed, follow};
use crate::drive::records;
use crate::ending::Ending;
use crate::show::print;
use crate::show::report::{html, markdown};

#[derive(Args)]
pub struct ReportArgs {
    #[command(flatten)]
    run: WhichRunArgs,
    /// An HTML page with charts that needs no network, or Markdown.
    #[arg(long, value_enum, default_value_t = Format::Html)]
    format: Format,
    /// Where to write it; - is stdout [default: backfill-report-RUN.html or .md in the current folder].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Serve the page on this machine and keep it as the run is, until the run has ended.
    #[arg(long, conflicts_with_all = ["format", "out"])]
    follow: bool,
    /// Port of 127.0.0.1 for the page [default: a free one].
    #[arg(long, value_name = "N", requires = "follow")]
    port: Option<u16>,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    prices: PriceArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Html,
    Markdown,
}

/// Runs the command. Reads the checkpoint table alone.
pub async fn report(args: ReportArgs) -> Result<Ending> {
    let prices = args.prices.read()?;
    let connection = args.connection.open().await?;
    let checkpoints = CheckpointTable::new(&connection, &args.run.checkpoint_table);
    let run_id = records::find(args.run.run_id.as_deref(), &checkpoints, &connection).await?;
    if args.follow {
        let followed = Followed {
            connection,
            checkpoints,
            run_id,
            prices,
        };
        return follow(followed, args.port.unwrap_or(0)).await;
    }
    let report = records::report(&run_id, &checkpoints, &connection, prices).await?;
    let (text, ending) = match args.format {
        Format::Html => (html::render(&report)?, "html"),
        Format::Markdown => (markdown::render(&report), "md"),
    };
    let default = || PathBuf::from(format!("backfill-report-{run_id}.{ending}"));
    let out = args.out.unwrap_or_else(default);
    if out.as_os_str() == "-" {
        print::line(text.trim_end())?;
        return Ok(Ending::Succeeded);
    }
    std::fs::write(&out, text).map_err(|error| {
        Error::new(
            ErrorKind::InvalidInput,
            format!(
                "out: cannot write the report of run {run_id} to {}; name another file",
                out.display()
            ),
        )
        .with_source(error)
    })?;
    say!("report of run {run_id}: {}", out.display());
    Ok(Ending::Succeeded)
}
