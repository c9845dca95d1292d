//! `backfill table seed`: items for a table, made up, out of a file, or a sample of another table.

use std::collections::VecDeque;
use std::path::PathBuf;

use backfill_core::{Error, Item, Result, Value};
use backfill_dynamodb::{ConnectOptions, Connection};
use backfill_rehearsal::admin::{Admin, Read};
use clap::Args;
use fastrand::Rng;
use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::args::{self, ConnectionArgs};
use crate::ending::Ending;
use crate::show::words;
use crate::table::ConfirmArgs;
use crate::table::generate::Generator;

/// Items that are made and put at a time.
const BATCH: u64 = 1_000;
/// Parts of a sample, each from another place of the table.
const SAMPLE_PARTS: u64 = 20;
/// Most segments for a sample; more would make a page of few items on a large table no rarer.
const SAMPLE_SEGMENTS: u64 = 10_000;

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
    /// AWS profile of the table to copy from; default: where the table to fill is. AWS_ENDPOINT_URL holds for it, too.
    #[arg(long, value_name = "PROFILE", requires = "from")]
    from_profile: Option<String>,
    /// Its region.
    #[arg(long, value_name = "REGION", requires = "from")]
    from_region: Option<String>,
    /// Its endpoint, where that is not AWS's.
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
            let items = items_of(&text, args.typed).map_err(|e| e.context(path.display()))?;
            Some(items)
        }
        None => None,
    };
    let with: Vec<(String, Value)> = args
        .with
        .iter()
        .map(|argument| args::attribute("with", argument))
        .collect::<Result<_>>()?;
    let admin = args.connection.open_or_sandbox().await?;
    let doing = "putting items into";
    args.confirm.check(doing, &args.table, admin.connection())?;
    let described = admin.describe_table(&args.table).await?;
    refuse_keys("without", &args.without, &described)?;
    let with_names: Vec<String> = with.iter().map(|(name, _)| name.clone()).collect();
    refuse_keys("with", &with_names, &described)?;

    // By its own seed, so that items are the same with and without the attribute.
    let mut random = Rng::with_seed(!args.seed);
    let mut migrate = |mut item: Item| {
        for name in &args.without {
            item.remove(name);
        }
        if random.u64(..100) < args.with_percent {
            item.extend(with.iter().cloned());
        }
        item
    };
    let total = if let Some(items) = from_file {
        let items: Vec<Item> = items.into_iter().map(migrate).collect();
        admin.put_all(&args.table, &items).await?;
        items.len() as u64
    } else if let Some(from) = &args.from {
        let source = args.source(&admin).await?;
        let items = sample(&source, from, args.sample, args.seed).await?;
        let items: Vec<Item> = items.into_iter().map(migrate).collect();
        admin.put_all(&args.table, &items).await?;
        items.len() as u64
    } else {
        let total = args.items.unwrap_or(100);
        let generator =
            Generator::new(&described, args.seed, total, &args.attribute, &args.sparse)?;
        let mut next = 0;
        while next < total {
            let end = (next + BATCH).min(total);
            let items: Vec<Item> = (next..end)
                .map(|index| migrate(generator.item(index)))
                .collect();
            admin.put_all(&args.table, &items).await?;
            next = end;
        }
        total
    };
    let place = admin.connection().place();
    eprintln!("{total} items put into table {} {place}", args.table);
    Ok(Ending::Succeeded)
}

impl SeedArgs {
    /// The connection to the table that is copied.
    async fn source(&self, target: &Admin) -> Result<Admin> {
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
        let connection = Connection::open(&options).await?;
        connection.check_credentials().await?;
        Ok(Admin::new(connection))
    }
}

/// Refuses to take a key from an item or to change it.
fn refuse_keys(flag: &str, names: &[String], described: &Json) -> Result<()> {
    let keys = described["KeySchema"].as_array();
    let mut keys = keys.into_iter().flatten().map(|key| &key["AttributeName"]);
    match keys.find(|key| names.iter().any(|name| *key == name)) {
        None => Ok(()),
        Some(key) => Err(Error::invalid(flag, format!("{key} is a key of the table"))),
    }
}

/// The items of a JSON array, or of lines.
fn items_of(text: &str, is_typed: bool) -> Result<Vec<Item>> {
    if text.trim_start().starts_with('[') {
        let items: Vec<&RawValue> =
            serde_json::from_str(text).map_err(|error| Error::invalid("file", error))?;
        let items = items.into_iter().enumerate();
        return items
            .map(|(i, raw)| args::item(&format!("item {}", i + 1), raw.get(), is_typed))
            .collect();
    }
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(i, line)| args::item(&format!("line {}", i + 1), line, is_typed))
        .collect()
}

/// Up to this many items from random places of a table: a page of each of several segments in turn, until there are
/// enough. Read eventually consistent, which costs half.
async fn sample(source: &Admin, table: &str, wanted: u64, seed: u64) -> Result<Vec<Item>> {
    let described = source.describe_table(table).await?;
    let known = described["ItemCount"].as_u64().unwrap_or_default();
    let page_size = wanted.div_ceil(SAMPLE_PARTS).clamp(1, 1_000);
    let total = (known / page_size).clamp(1, SAMPLE_SEGMENTS) as u32;
    let mut segments: Vec<u32> = (0..total).collect();
    Rng::with_seed(seed).shuffle(&mut segments);
    let mut open: VecDeque<_> = segments
        .into_iter()
        .map(|segment| (segment, None))
        .collect();
    let mut items = Vec::new();
    while let Some((segment, after)) = open.pop_front() {
        let read = Read {
            table: table.into(),
            segment: Some((segment, total)),
            page_size: Some(page_size as u32),
            ..Read::default()
        };
        let page = source.page(&read, after.as_ref()).await?;
        items.extend(page.items);
        if items.len() as u64 >= wanted {
            items.truncate(wanted as usize);
            return Ok(items);
        }
        if page.next.is_some() {
            open.push_back((segment, page.next));
        }
    }
    let found = items.len() as u32;
    eprintln!(
        "note: table {table} has only {}",
        words::plural(found, "item", "items")
    );
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::items_of;

    #[test]
    fn a_file_of_items_is_an_array_or_lines() {
        let array = items_of(r#" [{"id":"a","n":1.50},{"id":"b"}]"#, false).unwrap();
        let lines = items_of("{\"id\":\"a\",\"n\":1.50}\n\n{\"id\":\"b\"}\n", false).unwrap();
        let typed = items_of(
            r#"[{"id":{"S":"a"},"n":{"N":"1.50"}},{"id":{"S":"b"}}]"#,
            true,
        );
        assert_eq!(array, lines);
        assert_eq!(array, typed.unwrap());
        for (text, place) in [("[1]", "item 1"), ("{}\n1", "line 2"), ("[{}", "file")] {
            let error = items_of(text, false).unwrap_err().to_string();
            assert!(error.contains(place), "{error}");
        }
    }
}
