//! `backfill table scan` and `query`: items of a table or an index, as JSON.

use backfill_core::{Error, Result};
use backfill_rehearsal::admin::{Read, Reading};
use clap::Args;

use crate::args::{ConnectionArgs, PlaceholderArgs};
use crate::ending::Ending;
use crate::show::print;

/// Most items that are looked at for a page. What is printed is printed page by page.
const PAGE_SIZE: u32 = 1_000;

#[derive(Args)]
pub struct ScanArgs {
    #[command(flatten)]
    read: ReadArgs,
}

#[derive(Args)]
pub struct QueryArgs {
    /// Key condition expression: 'pk = :pk AND begins_with(sk, :day)'.
    #[arg(long, value_name = "EXPR")]
    key_condition: String,
    /// From the greatest sort key down.
    #[arg(long)]
    descending: bool,
    #[command(flatten)]
    read: ReadArgs,
}

#[derive(Args)]
struct ReadArgs {
    /// The table.
    #[arg(long)]
    table: String,
    /// One of its indexes.
    #[arg(long, value_name = "NAME")]
    index: Option<String>,
    /// Filter expression: print only the items for which it holds.
    #[arg(long, value_name = "EXPR")]
    filter: Option<String>,
    /// Projection expression: print only these attributes.
    #[arg(long, value_name = "EXPR")]
    project: Option<String>,
    #[command(flatten)]
    placeholders: PlaceholderArgs,
    /// Strongly consistent; a global index cannot be read so.
    #[arg(long)]
    consistent: bool,
    /// Print this many items at most.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Read capacity units per second, from 1 on; default: no limit.
    #[arg(long, value_name = "N")]
    max_rcu: Option<u32>,
    /// Print only how many there are.
    #[arg(long, conflicts_with_all = ["limit", "project", "typed", "pretty"])]
    count: bool,
    /// Print DynamoDB's JSON: {"id":{"S":"a"}}.
    #[arg(long)]
    typed: bool,
    /// Print items on many lines.
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Runs `scan`.
pub async fn scan(args: ScanArgs) -> Result<Ending> {
    print_items(&args.read, None, false).await
}

/// Runs `query`.
pub async fn query(args: QueryArgs) -> Result<Ending> {
    print_items(&args.read, Some(args.key_condition), args.descending).await
}

async fn print_items(
    args: &ReadArgs,
    key_condition: Option<String>,
    descending: bool,
) -> Result<Ending> {
    let limit = args.limit.unwrap_or(u64::MAX);
    if limit == 0 {
        return Err(Error::invalid("limit", "expected at least 1"));
    }
    // Behind a filter it takes more items to find so many.
    let page_size = match args.filter {
        None => PAGE_SIZE.min(u32::try_from(limit).unwrap_or(u32::MAX)),
        Some(_) => PAGE_SIZE,
    };
    let read = Read {
        table: args.table.clone(),
        index: args.index.clone(),
        key_condition,
        filter: args.filter.clone(),
        projection: args.project.clone(),
        placeholders: args.placeholders.read()?,
        consistent: args.consistent,
        descending,
        segment: None,
        page_size: Some(page_size),
        count_only: args.count,
    };
    let admin = args.connection.open_or_sandbox().await?;
    let reading = Reading::new(&admin, &args.table, args.max_rcu).await?;
    let mut pages = reading.pages(read);
    let mut found = 0;
    while found < limit
        && let Some(page) = pages.next().await?
    {
        if args.count {
            found += page.count;
        }
        for item in &page.items {
            if found == limit {
                break;
            }
            if !print::item(item, args.typed, args.pretty)? {
                return Ok(Ending::Succeeded);
            }
            found += 1;
        }
    }
    if args.count {
        print::line(&found.to_string())?;
    }
    Ok(Ending::Succeeded)
}
