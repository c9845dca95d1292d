//! `backfill item`: single items by their keys.

use std::collections::BTreeSet;

use backfill_core::change::expression::Language;
use backfill_core::change::reserved::{aliased, undefined};
use backfill_core::{Error, Item, Key, Result};
use backfill_rehearsal::admin::Guard;
use backfill_rehearsal::text;
use clap::{Args, Subcommand};

use crate::args::{ConnectionArgs, PlaceholderArgs, SANDBOX_HELP};
use crate::ending::Ending;
use crate::show::print;

#[derive(Args)]
pub struct ItemArgs {
    #[command(subcommand)]
    command: ItemCommand,
}

#[derive(Subcommand)]
enum ItemCommand {
    /// Print the items of one or more keys, in the order of the keys; exit code 3 if one is missing.
    #[command(after_help = SANDBOX_HELP)]
    Get(GetArgs),
    /// Put an item, in place of the one with its key.
    #[command(after_help = SANDBOX_HELP)]
    Put(PutArgs),
    /// Update an item; it is created if missing, which --condition can forbid.
    #[command(after_help = SANDBOX_HELP)]
    Update(UpdateArgs),
    /// Delete an item; that it is missing is no error, unless --condition says so.
    #[command(after_help = SANDBOX_HELP)]
    Delete(DeleteArgs),
    /// Tell by exit code whether there is an item: 0 yes, 3 no.
    #[command(after_help = SANDBOX_HELP)]
    Exists(ExistsArgs),
}

#[derive(Args)]
struct GetArgs {
    /// Key as JSON: '{"id":"a","created":1}'; repeatable.
    #[arg(long, value_name = "JSON", required = true)]
    key: Vec<String>,
    /// Strongly consistent.
    #[arg(long)]
    consistent: bool,
    /// Print items on many lines.
    #[arg(long)]
    pretty: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Args)]
struct PutArgs {
    /// The item as JSON.
    #[arg(long, value_name = "JSON")]
    item: String,
    #[command(flatten)]
    guard: GuardArgs,
    #[command(flatten)]
    target: Target,
}

#[derive(Args)]
struct UpdateArgs {
    /// Key as JSON: '{"id":"a","created":1}'.
    #[arg(long, value_name = "JSON")]
    key: String,
    /// Update expression: 'SET test = :one'.
    #[arg(long, value_name = "EXPR")]
    update: String,
    #[command(flatten)]
    guard: GuardArgs,
    #[command(flatten)]
    target: Target,
}

#[derive(Args)]
struct DeleteArgs {
    /// Key as JSON: '{"id":"a","created":1}'.
    #[arg(long, value_name = "JSON")]
    key: String,
    #[command(flatten)]
    guard: GuardArgs,
    #[command(flatten)]
    target: Target,
}

#[derive(Args)]
struct ExistsArgs {
    /// Key as JSON: '{"id":"a","created":1}'.
    #[arg(long, value_name = "JSON")]
    key: String,
    /// Strongly consistent.
    #[arg(long)]
    consistent: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Args)]
struct Target {
    /// The table.
    #[arg(long)]
    table: String,
    /// Keys and items are in DynamoDB's JSON, read and printed: {"id":{"S":"a"}}.
    #[arg(long)]
    typed: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl Target {
    fn key(&self, json: &str) -> Result<Key> {
        Ok(Key(text::item("key", json, self.typed)?))
    }
}

#[derive(Args)]
struct GuardArgs {
    /// Write only if this condition expression holds: 'attribute_exists(id)'; exit code 1 if it does not.
    #[arg(long, value_name = "EXPR")]
    condition: Option<String>,
    #[command(flatten)]
    placeholders: PlaceholderArgs,
}

impl GuardArgs {
    fn read(&self) -> Result<Guard> {
        Ok(self.read_with("")?.0)
    }

    /// The guard and an update, which share their placeholders: those that are given, and ours for reserved words.
    fn read_with(&self, update: &str) -> Result<(Guard, String)> {
        let mut placeholders = self.placeholders.read()?;
        let names = &mut placeholders.names;
        for expression in self.condition.iter().map(String::as_str).chain([update]) {
            if let Some(placeholder) = undefined(expression, names) {
                let why = format!(
                    "{placeholder} is used in an expression but not defined; give --name '{placeholder}=ATTRIBUTE'"
                );
                return Err(Error::invalid("name", why));
            }
        }
        let condition = self.condition.as_ref();
        let condition = condition.map(|condition| aliased(condition, Language::Condition, names));
        let update = aliased(update, Language::Update, names);
        let guard = Guard {
            condition,
            placeholders,
        };
        Ok((guard, update))
    }
}

/// Runs the command.
pub async fn item(args: ItemArgs) -> Result<Ending> {
    match args.command {
        ItemCommand::Get(args) => get(args).await,
        ItemCommand::Exists(args) => exists(args).await,
        ItemCommand::Put(args) => {
            let target = &args.target;
            let item = text::item("item", &args.item, target.typed)?;
            let guard = args.guard.read()?;
            let admin = target.connection.open_or_sandbox().await?;
            let done = admin.put(&target.table, &item, &guard).await?;
            Ok(written(done, "put", target, &guard))
        }
        ItemCommand::Update(args) => {
            let target = &args.target;
            let key = target.key(&args.key)?;
            let (guard, update) = args.guard.read_with(&args.update)?;
            let admin = target.connection.open_or_sandbox().await?;
            let done = admin.update(&target.table, &key, &update, &guard).await?;
            Ok(written(done, "updated", target, &guard))
        }
        ItemCommand::Delete(args) => {
            let target = &args.target;
            let key = target.key(&args.key)?;
            let guard = args.guard.read()?;
            let admin = target.connection.open_or_sandbox().await?;
            let done = admin.delete(&target.table, &key, &guard).await?;
            Ok(written(done, "deleted", target, &guard))
        }
    }
}

/// Says what came of a write.
fn written(done: bool, verb: &str, target: &Target, guard: &Guard) -> Ending {
    if done {
        say!("{verb} in table {}", target.table);
        return Ending::Succeeded;
    }
    say!(
        "error: nothing was {verb} in table {}: the condition does not hold: {}",
        target.table,
        guard.condition.as_deref().unwrap_or_default()
    );
    Ending::Failed
}

async fn get(args: GetArgs) -> Result<Ending> {
    let target = &args.target;
    let keys: Vec<Key> = args
        .key
        .iter()
        .map(|json| target.key(json))
        .collect::<Result<_>>()?;
    let distinct: BTreeSet<&Key> = keys.iter().collect();
    if distinct.len() < keys.len() {
        return Err(Error::invalid("key", "the same key is given twice"));
    }
    let admin = target.connection.open_or_sandbox().await?;
    let mut found = admin.get(&target.table, &keys, args.consistent).await?;
    let mut missing = 0;
    for key in &keys {
        // DynamoDB returns them in an order of its own.
        match found.iter().position(|item| has_key(item, key)) {
            Some(place) => {
                if !print::item(&found.swap_remove(place), target.typed, args.pretty)? {
                    return Ok(Ending::Succeeded);
                }
            }
            None => {
                missing += 1;
                say!("no item with key {key} in table {}", target.table);
            }
        }
    }
    Ok(if missing == 0 {
        Ending::Succeeded
    } else {
        Ending::Differs
    })
}

/// True for the item of this key. Numbers may be written otherwise than they were given: `1.0` comes back as `1`.
fn has_key(item: &Item, key: &Key) -> bool {
    key.0
        .iter()
        .all(|(name, value)| item.get(name).is_some_and(|found| found.is_same(value)))
}

async fn exists(args: ExistsArgs) -> Result<Ending> {
    let target = &args.target;
    let key = target.key(&args.key)?;
    let admin = target.connection.open_or_sandbox().await?;
    let found = admin
        .get(&target.table, std::slice::from_ref(&key), args.consistent)
        .await?;
    let (word, ending) = match found.is_empty() {
        false => ("an", Ending::Succeeded),
        true => ("no", Ending::Differs),
    };
    say!("{word} item with key {key} in table {}", target.table);
    Ok(ending)
}
