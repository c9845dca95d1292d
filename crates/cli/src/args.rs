//! The flags that several commands share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backfill_core::pace::retry::{PATIENCE, Until, retry};
use backfill_core::ports::CheckpointReader as _;
use backfill_core::records::RunRecord;
use backfill_core::request::WriterKind;
use backfill_core::request::{Parts, RequestedSettings, check_run_id, parse_strictly};
use backfill_core::view::cost::Prices;
use backfill_core::{Error, Item, Request, Result, Value};
use backfill_dynamodb::{CheckpointTable, ConnectOptions, Connection};
use backfill_rehearsal::admin::{Admin, Placeholders};
use clap::{Args, ValueEnum};

/// Name of the checkpoint table where none is given; the one of a stack with the default name.
pub const CHECKPOINT_TABLE: &str = "backfill-checkpoints";

/// Port of the sandbox where none is given; that of DynamoDB Local.
pub const SANDBOX_PORT: u16 = 8000;

/// Where the commands for single tables and items look, for the end of their help.
pub const SANDBOX_HELP: &str = "Without --endpoint-url, --region, --profile and AWS_ENDPOINT_URL: the sandbox at \
    http://127.0.0.1:8000 (backfill sandbox).";

/// Where the tables are.
#[derive(Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// Another endpoint than AWS's, such as http://127.0.0.1:8000.
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// AWS region; default: environment and profile.
    #[arg(long)]
    region: Option<String>,
    /// AWS profile.
    #[arg(long)]
    profile: Option<String>,
}

impl ConnectionArgs {
    /// Connects, and refuses missing credentials.
    pub async fn open(&self) -> Result<Connection> {
        let connection = Connection::open(&ConnectOptions {
            endpoint_url: self.endpoint_url.clone(),
            region: self.region.clone(),
            profile: self.profile.clone(),
            local_credentials: false,
        })
        .await?;
        connection.check_credentials().await?;
        Ok(connection)
    }

    /// Connects to the sandbox, unless a flag or a variable says otherwise: a command that makes and drops tables must not
    /// reach an account because somebody happens to be signed in.
    pub async fn open_or_sandbox(&self) -> Result<Admin> {
        let variable = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let elsewhere = self.endpoint_url.is_some()
            || self.region.is_some()
            || self.profile.is_some()
            || variable("AWS_ENDPOINT_URL_DYNAMODB")
            || variable("AWS_ENDPOINT_URL");
        if elsewhere {
            return Ok(Admin::new(self.open().await?));
        }
        let connection = Connection::open(&ConnectOptions {
            endpoint_url: Some(format!("http://127.0.0.1:{SANDBOX_PORT}")),
            region: Some("us-east-1".into()),
            profile: None,
            local_credentials: true,
        })
        .await?;
        Ok(Admin::new(connection))
    }
}

/// What is to be done: a spec file, flags, or both (a flag wins over the file).
#[derive(Args)]
#[command(next_help_heading = "Spec")]
pub struct SpecArgs {
    /// Table to migrate.
    #[arg(long)]
    table: Option<String>,
    /// Set this attribute where it is missing; VALUE is JSON (1, "text", true, null, [..], {..}); repeatable.
    #[arg(long, value_name = "ATTR=VALUE")]
    set: Vec<String>,
    /// The same with a value in DynamoDB's JSON, for any type: tags={"SS":["a"]}, blob={"B":"AAE="}.
    #[arg(long, value_name = "ATTR=TYPED")]
    set_typed: Vec<String>,
    /// Condition expression that is true for an item still to be migrated (with --update).
    #[arg(long, value_name = "EXPR")]
    pending: Option<String>,
    /// Update expression that makes it false.
    #[arg(long, value_name = "EXPR")]
    update: Option<String>,
    #[command(flatten)]
    placeholders: PlaceholderArgs,
    /// JSON file with the same fields as the input of an execution.
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,
}

/// What the placeholders of expressions stand for.
#[derive(Args)]
pub struct PlaceholderArgs {
    /// Value placeholder of the expressions, as JSON: ':v=1'; repeatable.
    #[arg(long, value_name = ":V=VALUE")]
    value: Vec<String>,
    /// The same in DynamoDB's JSON: ':v={"SS":["a"]}'.
    #[arg(long, value_name = ":V=TYPED")]
    value_typed: Vec<String>,
    /// Name placeholder of the expressions: '#n=attribute'; repeatable.
    #[arg(long, value_name = "#N=ATTR")]
    name: Vec<String>,
}

impl PlaceholderArgs {
    /// Errors: `InvalidInput` for a value that is not JSON or a name that is given twice.
    pub fn read(&self) -> Result<Placeholders> {
        let mut values = Item::new();
        for argument in &self.value {
            let (name, json) = split("value", argument, ":v=1")?;
            let value = Value::from_plain_json(json)
                .map_err(|message| Error::invalid(&format!("value.{name}"), message))?;
            once("value", name, values.insert(name.into(), value))?;
        }
        for argument in &self.value_typed {
            let (name, json) = split("value-typed", argument, ":v={\"SS\":[\"a\"]}")?;
            let value = typed("value-typed", name, json)?;
            once("value-typed", name, values.insert(name.into(), value))?;
        }
        let mut names = BTreeMap::new();
        for argument in &self.name {
            let (name, attribute) = split("name", argument, "#n=attribute")?;
            names.insert(name.into(), attribute.into());
        }
        Ok(Placeholders { names, values })
    }
}

/// A run to look at.
#[derive(Args)]
pub struct WhichRunArgs {
    /// Which run; default: the one started last.
    #[arg(long, value_name = "ID")]
    pub run_id: Option<String>,
    /// Table that holds the checkpoints.
    #[arg(long, value_name = "NAME", default_value = CHECKPOINT_TABLE)]
    pub checkpoint_table: String,
}

impl WhichRunArgs {
    /// The id that was given, or that of the run started last; says then which others there are.
    ///
    /// Errors: `InvalidInput` where there is no run at all.
    pub async fn find(
        &self,
        checkpoints: &CheckpointTable,
        connection: &Connection,
    ) -> Result<String> {
        if let Some(run_id) = &self.run_id {
            return Ok(run_id.clone());
        }
        let runs = checkpoints.runs().await?;
        let latest = runs.first().ok_or_else(|| {
            Error::invalid(
                "run-id",
                format!(
                    "checkpoint table {} {} has no run yet",
                    self.checkpoint_table,
                    connection.place()
                ),
            )
        })?;
        for other in &runs[1..] {
            eprintln!(
                "also there: run {} on table {}, {}",
                other.run_id,
                other.spec.table,
                other.status.name()
            );
        }
        Ok(latest.run_id.clone())
    }
}

/// One run, by its record.
#[derive(Args)]
pub struct OneRunArgs {
    /// Which run.
    #[arg(long, value_name = "ID")]
    pub run_id: String,
    /// Table that holds the checkpoints.
    #[arg(long, value_name = "NAME", default_value = CHECKPOINT_TABLE)]
    pub checkpoint_table: String,
    /// Print the result as one JSON object on stdout.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

impl OneRunArgs {
    /// Connects to where the record is.
    pub async fn open(&self) -> Result<(Connection, CheckpointTable)> {
        check_run_id(&self.run_id)?;
        let connection = self.connection.open().await?;
        let checkpoints = CheckpointTable::new(&connection, &self.checkpoint_table);
        Ok((connection, checkpoints))
    }

    /// The run's record.
    pub async fn record(
        &self,
        connection: &Connection,
        checkpoints: &CheckpointTable,
    ) -> Result<RunRecord> {
        let record = retry(&Until::after(PATIENCE), || checkpoints.run(&self.run_id)).await?;
        record.ok_or_else(|| no_such_run(&self.run_id, &self.checkpoint_table, connection))
    }
}

/// That there is no such run.
pub fn no_such_run(run_id: &str, checkpoint_table: &str, connection: &Connection) -> Error {
    Error::invalid(
        "run-id",
        format!(
            "checkpoint table {checkpoint_table} {} has no run {run_id}; see which there are with: backfill status \
             --checkpoint-table {checkpoint_table}",
            connection.place()
        ),
    )
}

/// How to run it.
#[derive(Args, Default)]
#[command(next_help_heading = "Settings")]
pub struct SettingsArgs {
    /// Scan segments, 1 to 1,000,000; default: by the size of the table.
    #[arg(long, value_name = "N")]
    segments: Option<u32>,
    /// Sweep these segments and no others, then pause: a canary, such as 0 or 0,7.
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    only_segments: Option<Vec<u32>>,
    /// Segments at once [default: 8].
    #[arg(long, value_name = "N")]
    concurrency: Option<u32>,
    /// Time of one chunk, such as 60s or 10m [default: 10m].
    #[arg(long, value_name = "TIME")]
    time_box: Option<String>,
    /// Sweeps over the table before giving up [default: 3].
    #[arg(long, value_name = "N")]
    max_passes: Option<u32>,
    /// Write capacity units per second for the whole run, indexes included [default: no limit].
    #[arg(long, value_name = "N")]
    max_wcu: Option<u32>,
    /// Read capacity units per second for the whole run [default: no limit].
    #[arg(long, value_name = "N")]
    max_rcu: Option<u32>,
    /// Request that carries the updates: batches of PartiQL statements, or UpdateItem [default: batch].
    #[arg(long, value_name = "KIND", value_enum)]
    writer: Option<Writer>,
    /// Name of the run; default: made from table and spec, so that the same spec resumes its run.
    #[arg(long, value_name = "ID")]
    run_id: Option<String>,
    /// Items that DynamoDB may refuse for good in one pass before the run fails [default: 1000].
    #[arg(long, value_name = "N")]
    max_rejected: Option<u32>,
    /// Start over instead of resuming.
    #[arg(long)]
    fresh: bool,
    /// Go on with a run that somebody else holds, who is known to be dead.
    #[arg(long)]
    take_over: bool,
}

/// [`WriterKind`] on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Writer {
    Batch,
    UpdateItem,
}

impl From<Writer> for WriterKind {
    fn from(writer: Writer) -> Self {
        match writer {
            Writer::Batch => WriterKind::Batch,
            Writer::UpdateItem => WriterKind::UpdateItem,
        }
    }
}

impl SettingsArgs {
    /// Puts the flags over the settings of a file.
    fn over(&self, settings: &mut RequestedSettings) -> Result<()> {
        over(&mut settings.total_segments, &self.segments);
        over(&mut settings.only_segments, &self.only_segments);
        over(&mut settings.max_concurrency, &self.concurrency);
        over(&mut settings.max_passes, &self.max_passes);
        over(&mut settings.max_wcu, &self.max_wcu);
        over(&mut settings.max_rcu, &self.max_rcu);
        over(&mut settings.run_id, &self.run_id);
        over(&mut settings.writer, &self.writer.map(WriterKind::from));
        over(&mut settings.max_rejected, &self.max_rejected);
        settings.fresh |= self.fresh;
        settings.take_over |= self.take_over;
        if let Some(text) = &self.time_box {
            settings.time_box_seconds = Some(seconds(text)?);
        }
        Ok(())
    }

    /// For commands that know no other setting.
    pub fn with_segments(segments: Option<u32>) -> Self {
        SettingsArgs {
            segments,
            ..SettingsArgs::default()
        }
    }
}

/// Puts file and flags together and checks the request.
pub fn request(spec: &SpecArgs, settings: &SettingsArgs) -> Result<Request> {
    let mut parts = match &spec.spec {
        Some(path) => {
            let json = read_file("spec", path)?;
            Parts::from_json(&json)
                .map_err(|error| error.context(format!("spec file {}", path.display())))?
        }
        None => Parts::default(),
    };
    let mut set = Item::new();
    for argument in &spec.set {
        let (name, json) = split("set", argument, "test=1")?;
        let value = Value::from_plain_json(json).map_err(|message| {
            Error::invalid(
                &format!("set.{name}"),
                format!("{message} (text needs quotes: --set '{name}=\"text\"')"),
            )
        })?;
        once("set", name, set.insert(name.into(), value))?;
    }
    for argument in &spec.set_typed {
        let (name, json) = split("set-typed", argument, "tags={\"SS\":[\"a\"]}")?;
        let value = typed("set-typed", name, json)?;
        once("set-typed", name, set.insert(name.into(), value))?;
    }
    parts.set.extend(set);
    let placeholders = spec.placeholders.read()?;
    parts.values.extend(placeholders.values);
    parts.names.extend(placeholders.names);
    let own = &mut parts.settings;
    over(&mut parts.table, &spec.table);
    over(&mut parts.pending, &spec.pending);
    over(&mut parts.update, &spec.update);
    settings.over(own)?;
    parts.build()
}

/// The settings alone, checked.
pub fn settings(args: &SettingsArgs) -> Result<RequestedSettings> {
    let mut settings = RequestedSettings::default();
    args.over(&mut settings)?;
    settings.check()?;
    Ok(settings)
}

/// What is paid.
#[derive(Args, Default)]
pub struct PriceArgs {
    /// JSON file with prices, to override those built in.
    #[arg(long, value_name = "FILE")]
    price_file: Option<PathBuf>,
}

impl PriceArgs {
    /// The prices of the file, or those built in.
    pub fn read(&self) -> Result<Prices> {
        let Some(path) = &self.price_file else {
            return Ok(Prices::default());
        };
        let json = read_file("price-file", path)?;
        Prices::from_json(&json)
            .map_err(|error| error.context(format!("price file {}", path.display())))
    }
}

fn over<T: Clone>(field: &mut Option<T>, flag: &Option<T>) {
    if flag.is_some() {
        field.clone_from(flag);
    }
}

/// The text of a file that was given by this flag.
///
/// Errors: `InvalidInput` naming flag and file.
pub fn read_file(flag: &str, path: &Path) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| Error::invalid(flag, format!("cannot read {}: {error}", path.display())))
}

/// An item, or a key: an object of attributes in plain JSON, or in DynamoDB's where `is_typed`.
pub fn item(flag: &str, json: &str, is_typed: bool) -> Result<Item> {
    if is_typed {
        let item: Item = parse_strictly(json, flag)?;
        for (name, value) in &item {
            value
                .check()
                .map_err(|message| Error::invalid(&format!("{flag}.{name}"), message))?;
        }
        return Ok(item);
    }
    match Value::from_plain_json(json).map_err(|message| Error::invalid(flag, message))? {
        Value::M(item) => Ok(item),
        _ => Err(Error::invalid(
            flag,
            "expected an object, such as {\"id\":\"a\",\"created\":1}",
        )),
    }
}

/// An attribute and its value in plain JSON.
pub fn attribute(flag: &str, argument: &str) -> Result<(String, Value)> {
    let (name, json) = split(flag, argument, "test=1")?;
    let value = Value::from_plain_json(json)
        .map_err(|message| Error::invalid(&format!("{flag}.{name}"), message))?;
    Ok((name.into(), value))
}

fn split<'a>(flag: &str, argument: &'a str, example: &str) -> Result<(&'a str, &'a str)> {
    argument.split_once('=').ok_or_else(|| {
        Error::invalid(
            flag,
            format!("expected NAME=VALUE, such as {example}, got {argument:?}"),
        )
    })
}

/// Refuses a name that was given before, in the plain or in the typed form.
fn once(flag: &str, name: &str, earlier: Option<Value>) -> Result<()> {
    match earlier {
        None => Ok(()),
        Some(_) => Err(Error::invalid(
            flag,
            format!("{name} is given twice; give it once"),
        )),
    }
}

fn typed(flag: &str, name: &str, json: &str) -> Result<Value> {
    serde_json::from_str(json).map_err(|error| {
        Error::invalid(
            &format!("{flag}.{name}"),
            format!(
                "expected DynamoDB's JSON, such as {{\"N\":\"1\"}} or {{\"SS\":[\"a\"]}}: {error}"
            ),
        )
    })
}

/// `90`, `90s`, `10m`, `1h` as seconds.
fn seconds(text: &str) -> Result<u64> {
    let (digits, factor) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(digits) if text.ends_with('m') => (digits, 60),
        Some(digits) if text.ends_with('h') => (digits, 3600),
        Some(digits) => (digits, 1),
        None => (text, 1),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(factor))
        .ok_or_else(|| {
            Error::invalid(
                "time-box",
                format!("expected a time such as 60s or 10m, got {text:?}"),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn times_are_read_in_their_units() {
        assert_eq!(seconds("90").unwrap(), 90);
        assert_eq!(seconds("90s").unwrap(), 90);
        assert_eq!(seconds("2m").unwrap(), 120);
        assert_eq!(seconds("1h").unwrap(), 3600);
        for bad in ["", "s", "1d", "-1s", "1.5m", "99999999999999999999h"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
