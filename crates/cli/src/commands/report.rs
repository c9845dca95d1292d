//! `backfill report`: a run as one document, for somebody who was not there. Reads the durable records, and looks whether the table
//! is still there.

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

/// Runs the command. Reads the checkpoint table, and describes the table of the run.
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
    let default = || PathBuf::from(file_name(&run_id, ending));
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

/// Longest name of a file on usual file systems, in bytes. A run's id may be longer, since it begins with the name of its table.
const MAX_FILE_NAME: usize = 255;

/// "backfill-report-stuff-0b4b8a0e.html". A run's id that is too long loses its middle: its end tells it from others of the table.
fn file_name(run_id: &str, ending: &str) -> String {
    const END: usize = 40;
    let name = format!("backfill-report-{run_id}.{ending}");
    let Some(over) = name
        .len()
        .checked_sub(MAX_FILE_NAME)
        .filter(|over| *over > 0)
    else {
        return name;
    };
    // Ids are ASCII; what were not would be left as it is.
    let cut = run_id.len().saturating_sub(END + over + 2);
    let (head, tail) = (
        run_id.get(..cut),
        run_id.get(run_id.len().saturating_sub(END)..),
    );
    match (head, tail) {
        (Some(head), Some(tail)) => format!("backfill-report-{head}..{tail}.{ending}"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_id_makes_no_name_that_no_file_may_have() {
        let short = "stuff-0b4b8a0e";
        assert_eq!(
            file_name(short, "html"),
            "backfill-report-stuff-0b4b8a0e.html"
        );
        for length in [220, 234, 235, 236, 255, 268] {
            let ids =
                ["0b4b8a0e", "ffffffff"].map(|end| format!("{}-{end}", "t".repeat(length - 9)));
            let names = ids.each_ref().map(|id| file_name(id, "html"));
            assert!(
                names.iter().all(|name| name.len() <= MAX_FILE_NAME),
                "{names:?}"
            );
            assert!(names[0].ends_with("-0b4b8a0e.html"), "{names:?}");
            assert_ne!(names[0], names[1]);
        }
    }
}
