//! `backfill table seed`: items for a table, made up, out of a file, or a sample of another table.

use std::path::PathBuf;

use backfill_core::{Error, Result};
use backfill_dynamodb::{ConnectOptions, Connection};
use backfill_rehearsal::admin::Admin;
use backfill_rehearsal::seed::{Seed, Source};
use backfill_rehearsal::text;
use clap::Args;
use indicatif::HumanCount;

use crate::args::{self, ConnectionArgs};
use crate::commands::table::confirm::ConfirmArgs;
use crate::drive::signals;
use crate::ending::Ending;
use crate::show::progress::Tally;
use crate::show::words;

/// Made-up items if their number is not given.
const USUAL_ITEMS: u64 = 100;

#[derive(Args)]
pub struct SeedArgs {
    /// The table; an item of it with the same key as a new one is replaced.
    #[arg(long)]
    table: String,
    /// Make up this many items, by the names and types of the table's keys [default: 100].
    #[arg(long, value_name = "N", conflicts_with_all = ["file", "from"])]
    items: Option<u64>,
    /// Seed of made-up items and of samples.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Another attribute of made-up items, in place of the usual name, email, status, amount, note; repeatable.
    #[arg(long, value_name = "NAME[:TYPE]", conflicts_with_all = ["file", "from"])]
    attribute: Vec<String>,
    /// Attribute that only one made-up item in five has, such as the key of a sparse index; repeatable.
    #[arg(long, value_name = "ATTR", conflicts_with_all = ["file", "from"])]
    sparse: Vec<String>,
    /// Put the items of this file: a JSON array, or an object on a line each.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The file's items are in DynamoDB's JSON.
    #[arg(long, requires = "file")]
    typed: bool,
    /// Copy a sample of this table, which is only read.
    #[arg(long, value_name = "TABLE", conflicts_with = "file")]
    from: Option<String>,
    /// Items of the sample.
    #[arg(long, value_name = "N", requires = "from", default_value_t = 1_000)]
    sample: u64,
    /// Most read capacity units of that table per second, from 1 on; default: no limit.
    #[arg(long, value_name = "N", requires = "from")]
    max_rcu: Option<u32>,
    /// AWS profile of the table to copy from; default: where the table to fill is. AWS_ENDPOINT_URL holds for it, too.
    #[arg(long, value_name = "PROFILE", requires = "from")]
    from_profile: Option<String>,
    /// Its region.
    #[arg(long, value_name = "REGION", requires = "from")]
    from_region: Option<String>,
    /// Its endpoint, if that is not AWS's.
    #[arg(long, value_name = "URL", requires = "from")]
    from_endpoint_url: Option<String>,
    /// Leave this attribute out, as if the items were not migrated; repeatable.
    #[arg(long, value_name = "ATTR")]
    without: Vec<String>,
    /// Set this attribute, as if an item were migrated; VALUE is JSON; repeatable.
    #[arg(long, value_name = "ATTR=VALUE")]
    with: Vec<String>,
    /// On so many of a hundred items.
    #[arg(long, value_name = "N", default_value_t = 100, requires = "with",
        value_parser = clap::value_parser!(u64).range(0..=100))]
    with_percent: u64,
    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Runs the command.
pub async fn seed(args: SeedArgs) -> Result<Ending> {
    let from_file = match &args.file {
        Some(path) => {
            let text = args::read_file("file", path)?;
            let items = text::items(&text, args.typed).map_err(|e| e.context(path.display()))?;
            Some(items)
        }
        None => None,
    };
    let with = args::attributes("with", &args.with)?;
    let admin = args.connection.open_or_sandbox().await?;
    let doing = "putting items into";
    args.confirm.check(doing, &args.table, admin.connection())?;
    let source = match (from_file, &args.from) {
        (Some(items), _) => Source::Given(items),
        (None, Some(table)) => Source::Sample {
            from: args.connect_to_source(&admin).await?,
            table: table.clone(),
            items: args.sample,
            max_rcu: args.max_rcu,
        },
        (None, None) => Source::MadeUp {
            items: args.items.unwrap_or(USUAL_ITEMS),
            attributes: args.attribute.clone(),
            sparse: args.sparse.clone(),
        },
    };
    let seed = Seed {
        seed: args.seed,
        without: args.without.clone(),
        with,
        with_percent: args.with_percent,
    };
    let place = admin.connection().place();
    let stop = signals::stop_on_signal("stopping; what was put stays");
    let mut tally = None;
    let mut all = 0;
    let filled = seed.fill(&admin, &args.table, source, |put, total| {
        let doing = || format!("putting items into table {}", args.table);
        tally
            .get_or_insert_with(|| Tally::new(doing(), "items", Some(total)))
            .show(put, "");
        all = total;
        !stop.is_cancelled()
    });
    let total = filled.await?;
    if let Some(tally) = tally {
        tally.finish();
    }
    if total < all {
        say!(
            "stopped: {} of {} items were put into table {} {place}; the same command again puts the same items",
            HumanCount(total),
            HumanCount(all),
            args.table
        );
        return Ok(Ending::Stopped);
    }
    if let Some(from) = args.from.as_ref().filter(|_| total < args.sample) {
        let items = words::plural(total as u32, "item", "items");
        say!("note: table {from} has only {items}");
    }
    say!("{total} items put into table {} {place}", args.table);
    Ok(Ending::Succeeded)
}

impl SeedArgs {
    /// The connection to the table that is copied.
    async fn connect_to_source(&self, target: &Admin) -> Result<Admin> {
        let options = ConnectOptions {
            endpoint_url: self.from_endpoint_url.clone(),
            region: self.from_region.clone(),
            profile: self.from_profile.clone(),
            local_credentials: false,
        };
        let is_given =
            options.endpoint_url.is_some() || options.region.is_some() || options.profile.is_some();
        if !is_given {
            return Ok(target.clone());
        }
        let connection = Connection::open(&options).await;
        let connection = connection.map_err(of_the_source)?;
        connection.check_credentials().await?;
        Ok(Admin::new(connection))
    }
}

/// The same, by the flags of the table that is copied: the others are those of the table to fill.
fn of_the_source(error: Error) -> Error {
    let said = error.report();
    let named = ["endpoint-url: ", "region: "]
        .iter()
        .any(|flag| said.starts_with(flag));
    match named {
        true => Error::new(
            error.kind(),
            format!("from-{}", said.replace("--region", "--from-region")),
        ),
        false => error.context("the table to copy from"),
    }
}
