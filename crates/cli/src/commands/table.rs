//! `backfill table`: tables for rehearsals, and a look at any other.

mod check;
mod confirm;
mod definition;
mod read;
mod seed;

use backfill_core::Result;
use backfill_rehearsal::definition::ONLY_CHECKED;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::args::{ConnectionArgs, SANDBOX_HELP};
use crate::commands::table::confirm::ConfirmArgs;
use crate::commands::table::definition::DefinitionArgs;
use crate::ending::Ending;
use crate::show::print;

#[derive(Args)]
pub struct TableArgs {
    #[command(subcommand)]
    command: TableCommand,
}

#[derive(Subcommand)]
enum TableCommand {
    /// Create a table from a CreateTable JSON or a CloudFormation template.
    #[command(after_help = SANDBOX_HELP)]
    Create(CreateArgs),
    /// List the tables.
    #[command(after_help = SANDBOX_HELP)]
    List(ListArgs),
    /// Print a table's definition, as create and check take it.
    #[command(after_help = SANDBOX_HELP)]
    Describe(DescribeArgs),
    /// Drop a table.
    #[command(after_help = SANDBOX_HELP)]
    Drop(DropArgs),
    /// Put items into a table: made-up ones, those of a file, or a sample of another table.
    #[command(after_help = SANDBOX_HELP)]
    Seed(seed::SeedArgs),
    /// Print items, a JSON object on a line each.
    #[command(after_help = SANDBOX_HELP)]
    Scan(read::ScanArgs),
    /// Print the items of one partition, a JSON object on a line each.
    #[command(after_help = SANDBOX_HELP)]
    Query(read::QueryArgs),
    /// Hold a table against a description: exit code 0, or 3 with what differs.
    #[command(after_help = SANDBOX_HELP)]
    Check(check::CheckArgs),
}

#[derive(Args)]
struct CreateArgs {
    /// JSON of CreateTable (TimeToLiveSpecification may stand beside it), or a template as JSON or YAML.
    #[arg(long, value_name = "FILE")]
    file: std::path::PathBuf,
    /// Name of the table, in place of the file's.
    #[arg(long, value_name = "TABLE")]
    table: Option<String>,
    #[command(flatten)]
    definition: DefinitionArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Args)]
struct ListArgs {
    /// Print one JSON array.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Args)]
struct DescribeArgs {
    /// The table.
    #[arg(long)]
    table: String,
    /// Print DescribeTable's whole answer instead.
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Args)]
struct DropArgs {
    /// The table.
    #[arg(long)]
    table: String,
    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Runs the command.
pub async fn table(args: TableArgs) -> Result<Ending> {
    match args.command {
        TableCommand::Create(args) => create(args).await,
        TableCommand::List(args) => list(args).await,
        TableCommand::Describe(args) => describe(args).await,
        TableCommand::Drop(args) => drop_table(args).await,
        TableCommand::Seed(args) => seed::seed(args).await,
        TableCommand::Scan(args) => read::scan(args).await,
        TableCommand::Query(args) => read::query(args).await,
        TableCommand::Check(args) => check::check(args).await,
    }
}

async fn create(args: CreateArgs) -> Result<Ending> {
    let mut definition = args
        .definition
        .read("file", &args.file, args.table.as_deref())?;
    // They are for `check` alone.
    for only_checked in ONLY_CHECKED {
        if definition.remove(only_checked).is_some() {
            say!("note: {only_checked} is not created");
        }
    }
    let admin = args.connection.open_or_sandbox().await?;
    let name = definition["TableName"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    admin.create_table(&definition.into()).await?;
    say!("table {name} created {}", admin.connection().place());
    Ok(Ending::Succeeded)
}

async fn list(args: ListArgs) -> Result<Ending> {
    let admin = args.connection.open_or_sandbox().await?;
    let names = admin.table_names().await?;
    if args.json {
        print::json(&names);
    } else if !names.is_empty() {
        print::line(&names.join("\n"))?;
    }
    Ok(Ending::Succeeded)
}

async fn describe(args: DescribeArgs) -> Result<Ending> {
    let admin = args.connection.open_or_sandbox().await?;
    let shown = if args.raw {
        json!({"Table": admin.describe_table(&args.table).await?})
    } else {
        let (definition, described) = admin.definition(&args.table).await?;
        let figure = |name: &str| described[name].as_u64().unwrap_or_default();
        say!(
            "table {} {}: {}, about {} items, {} bytes",
            args.table,
            admin.connection().place(),
            described["TableStatus"].as_str().unwrap_or("unknown"),
            figure("ItemCount"),
            figure("TableSizeBytes"),
        );
        definition
    };
    print::json_line(&format!("{shown:#}"))?;
    Ok(Ending::Succeeded)
}

async fn drop_table(args: DropArgs) -> Result<Ending> {
    let admin = args.connection.open_or_sandbox().await?;
    args.confirm
        .check("dropping", &args.table, admin.connection())?;
    admin.drop_table(&args.table).await?;
    say!(
        "table {} dropped {}",
        args.table,
        admin.connection().place()
    );
    Ok(Ending::Succeeded)
}
