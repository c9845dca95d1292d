//! `backfill plan`: what a run would do to a table, before it does. Reads only. `run` and `start` show the essentials of it
//! and ask.

mod trial;

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use backfill_core::change::expression::update_targets;
use backfill_core::clock::rfc3339;
use backfill_core::engine::planner::{describe, preview};
use backfill_core::engine::verifier::Verification;
use backfill_core::pace::retry::{PATIENCE, Until, retry, retry_until};
use backfill_core::pace::{Budget, Share};
use backfill_core::pace::{Pace, Turn};
use backfill_core::ports::{CheckpointReader as _, PageRequest};
use backfill_core::records::RunRecord;
use backfill_core::request::Settings;
use backfill_core::survey::{
    Billing, DEFAULT_PAGES, Fact, Forecast, ITEMS_PER_PAGE, IndexFacts, Projection, Sample,
    TableFacts, Tried, sampling_rate, segments_to_sample, warnings,
};
use backfill_core::table::{KeyAttribute, TableDescription, explain_segments};
use backfill_core::value::{PlainItem, with_sorted_sets};
use backfill_core::view::cost::Prices;
use backfill_core::{Error, ErrorKind, Item, Request, Result, Value, printable};
use backfill_dynamodb::{CheckpointTable, Connection, ReadOnly};
use clap::Args;
use indicatif::HumanCount;
use serde::Serialize;

use crate::advice::Advised;
use crate::args::{CHECKPOINT_TABLE, ConnectionArgs, PriceArgs, SettingsArgs, SpecArgs, request};
use crate::{Ending, display, owner};

/// Most pages of a sample.
const MAX_PAGES: u32 = 1_000;

/// Read units of a page at most: 1 MB, eventually consistent.
const MAX_PAGE_UNITS: u32 = 128;

/// Most sampled items on which the update is tried.
const MAX_TRIED: usize = 25;

/// Longest value that is shown of the example's attributes.
const LONGEST_VALUE: usize = 60;

#[derive(Args)]
pub struct PlanArgs {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Pages to sample, each of at most 250 items, in random segments; 1 to 1,000.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_PAGES)]
    pages: u32,
    /// Table that holds the checkpoints, to see whether the run is there already.
    #[arg(long, value_name = "NAME", default_value = CHECKPOINT_TABLE)]
    checkpoint_table: String,
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    prices: PriceArgs,
    /// Print the plan as one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// Everything that is known of a run before it begins.
#[derive(Serialize)]
pub struct Plan {
    run_id: String,
    /// The run of this id as it stands; null where there is none.
    run: Option<KnownRun>,
    /// Why a start would be refused as things are; null where it would not.
    refused: Option<String>,
    /// Update and predicate in one line.
    change: String,
    table: TableFacts,
    sample: Sample,
    /// What becomes of sampled items, by an embedded database; the first that was updated is the example.
    tried: Vec<Tried>,
    settings: Settings,
    /// Why there are so many segments.
    segments: String,
    forecast: Forecast,
    warnings: Vec<Advised>,
    #[serde(skip)]
    place: String,
    #[serde(skip)]
    prices: Prices,
}

#[derive(Serialize)]
struct KnownRun {
    status: &'static str,
    pass: u32,
    message: String,
}

/// Runs the command.
pub async fn plan(args: PlanArgs) -> Result<Ending> {
    let request = request(&args.spec, &args.settings)?;
    if !(1..=MAX_PAGES).contains(&args.pages) {
        return Err(Error::invalid(
            "pages",
            format!("{} is outside 1..{MAX_PAGES}", args.pages),
        ));
    }
    let prices = args.prices.read()?;
    let connection = args.connection.open().await?;
    let access = ReadOnly(connection.clone());
    let description = describe(&access, &request).await?;
    let checkpoints = CheckpointTable::new(&connection, &args.checkpoint_table);
    let plan = Plan::make(
        &request,
        &connection,
        &checkpoints,
        &description,
        &prices,
        args.pages,
    );
    let plan = plan.await?;
    if args.json {
        display::json(&plan);
    } else {
        display::coloured_line(&plan.text())?;
    }
    Ok(Ending::Succeeded)
}

/// What a run would do with what a dry run has counted, in lines.
pub async fn after_count(
    request: &Request,
    connection: &Connection,
    checkpoints: &CheckpointTable,
    description: &TableDescription,
    prices: &Prices,
    counted: &Verification,
) -> Result<String> {
    let plan = Plan::make(
        request,
        connection,
        checkpoints,
        description,
        prices,
        DEFAULT_PAGES,
    );
    let mut plan = plan.await?;
    plan.sample = plan
        .sample
        .counted(counted.scanned, counted.remaining, counted.consumed_rcu);
    plan.forecast = Forecast::new(
        &plan.table,
        &plan.sample,
        &plan.tried,
        &plan.settings,
        prices,
    );
    let mut lines = vec![format!("  scan      {}", plan.segments)];
    lines.extend(plan.write_lines());
    lines.extend(plan.time_lines());
    lines.push(plan.cost_line());
    Ok(lines.join("\n"))
}

/// Shows what a run would do and asks for a yes. False where the operator does not give it.
///
/// Errors: `InvalidInput` where there is no terminal to ask on ([`require_terminal`]); whatever the plan meets with.
pub async fn confirm(
    request: &Request,
    connection: &Connection,
    checkpoints: &CheckpointTable,
    prices: &Prices,
) -> Result<bool> {
    require_terminal()?;
    let access = ReadOnly(connection.clone());
    let description = describe(&access, request).await?;
    let plan = Plan::make(
        request,
        connection,
        checkpoints,
        &description,
        prices,
        DEFAULT_PAGES,
    );
    anstream::eprintln!("{}", plan.await?.essentials());
    eprint!(
        "Migrate table {}? Only \"yes\" goes on: ",
        request.spec.table
    );
    let cannot = |error| Error::new(ErrorKind::Internal, "cannot ask").with_source(error);
    std::io::stderr().flush().map_err(cannot)?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(cannot)?;
    let yes = answer.trim() == "yes";
    if !yes {
        eprintln!("nothing was touched");
    }
    Ok(yes)
}

/// Refuses to go on where nobody can be asked.
pub fn require_terminal() -> Result<()> {
    if std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
        return Ok(());
    }
    Err(Error::invalid(
        "yes",
        "there is no terminal to ask on; look at the same command with plan in the place of its name, then add --yes",
    ))
}

impl Plan {
    /// Describes the table, samples it, and tries the update on items of the sample.
    async fn make(
        request: &Request,
        connection: &Connection,
        checkpoints: &CheckpointTable,
        description: &TableDescription,
        prices: &Prices,
        pages: u32,
    ) -> Result<Plan> {
        let access = ReadOnly(connection.clone());
        let (spec, keys) = (&request.spec, &description.keys);
        let until = Until::after(PATIENCE);
        let facts = retry(&until, || access.facts(&spec.table, keys)).await?;
        let stored = stored_run(checkpoints, &request.run_id()).await;
        let run = stored.as_ref().map(|run| KnownRun {
            status: run.status.name(),
            pass: run.pass,
            message: run.message.clone(),
        });
        // A run that is there keeps what was chosen for it.
        let previewed = preview(stored, request, description, &owner::this_process());
        let (settings, refused) = match previewed {
            Ok(record) => (record.settings, None),
            Err(error) => {
                let settings = request.settings.choose(facts.size_bytes);
                (settings, Some(error.to_string()))
            }
        };
        let total_segments = segments_to_sample(facts.items, pages);
        let mut segments = fastrand::choose_multiple(0..total_segments, pages as usize);
        segments.sort_unstable();
        let rate = sampling_rate(&facts, &settings);
        let budget = Budget::new(Share::Whole);
        let of_sample = Settings {
            max_rcu: Some(rate),
            ..settings.clone()
        };
        budget.set(&of_sample, 0);
        let pace = Pace::new(&budget, 1, None, None);
        // Some of each page, and more than are tried: of many a page nothing is pending.
        let examples = (2 * MAX_TRIED).div_ceil(pages as usize) + 1;
        let mut sampled = Vec::new();
        for segment in segments {
            let limit = match rate >= MAX_PAGE_UNITS {
                true => ITEMS_PER_PAGE,
                false => pace.items_per_read(ITEMS_PER_PAGE),
            };
            let page = PageRequest {
                segment,
                total_segments,
                after: None,
                limit,
                consistent: false,
            };
            let until = Until::after(PATIENCE);
            let read = retry_until(
                &until,
                || pace.read(limit, &until),
                async |turn: Turn<'_>| {
                    let page = access.sample_page(spec, keys, page, examples).await;
                    match &page {
                        Ok(page) => turn.end(page.scanned, page.consumed_rcu),
                        Err(error) => turn.failed(error),
                    }
                    page
                },
            );
            sampled.push(read.await?.ok_or_else(|| {
                let why = format!(
                    "sampling table {}: it throttles, try again later",
                    spec.table
                );
                Error::new(ErrorKind::Throttled, why)
            })?);
        }
        let sample = Sample::new(&sampled, total_segments);
        // From every page some, since neighbours may be alike.
        let mut to_try = Vec::new();
        for row in 0..examples {
            let of_row = sampled.iter().filter_map(|page| page.examples.get(row));
            to_try.extend(of_row.take(MAX_TRIED - to_try.len()).cloned());
        }
        let tried = trial::try_update(spec, keys, &facts.indexes, to_try)?;
        let forecast = Forecast::new(&facts, &sample, &tried, &settings, prices);
        let targets: Vec<String> = update_targets(&spec.update)
            .into_iter()
            .map(|target| {
                spec.names
                    .get(target)
                    .map_or(target, String::as_str)
                    .to_owned()
            })
            .collect();
        let found = warnings(&facts, &sample, &tried, &forecast, &settings, &targets);
        let run_id = request.run_id();
        Ok(Plan {
            run,
            refused,
            run_id,
            change: spec.describe(),
            segments: explain_segments(
                settings.total_segments,
                facts.size_bytes,
                settings.max_concurrency,
            ),
            table: facts,
            sample,
            tried,
            settings,
            forecast,
            warnings: found.into_iter().map(Advised::from).collect(),
            place: connection.place().to_owned(),
            prices: prices.clone(),
        })
    }

    /// The whole plan for people.
    fn text(&self) -> String {
        let mut lines = self.change_lines();
        lines.extend(self.trial_line());
        lines.push(heading("Table"));
        lines.extend(self.table_lines());
        lines.push(heading("Run"));
        let settings = &self.settings;
        lines.push(format!("  scan      {}", self.segments));
        lines.extend(self.canary_line());
        lines.push(format!(
            "  passes    at most {}, in chunks of {}, written by {}",
            settings.max_passes,
            display::duration(settings.time_box_seconds as f64),
            settings.writer.name()
        ));
        lines.extend(self.write_lines());
        lines.extend(self.time_lines());
        for bound in self.forecast.bounds.iter().skip(1).take(3) {
            lines.push(format!(
                "            next bound: {} ({})",
                bound.by,
                display::duration(bound.seconds)
            ));
        }
        lines.push(self.cost_line());
        if let Some(records) = &self.forecast.stream_records {
            lines.push(format!(
                "  stream    about {} records",
                count(records.value)
            ));
        }
        lines.extend(self.warning_lines());
        lines.join("\n")
    }

    /// What somebody must know who is asked for a yes.
    fn essentials(&self) -> String {
        let mut lines = self.change_lines();
        lines.extend(self.trial_line());
        lines.extend(self.canary_line());
        lines.extend(self.time_lines());
        lines.push(self.cost_line());
        lines.extend(self.warning_lines());
        lines.join("\n")
    }

    fn change_lines(&self) -> Vec<String> {
        let sample = &self.sample;
        let pending = &self.forecast.pending;
        let mut lines = vec![
            format!(
                "{} {}",
                heading(&format!("Plan for table {}", self.table.name)),
                self.place
            ),
            format!("  spec      {}", self.change),
            match &self.run {
                None => format!("  run       {}, new", self.run_id),
                Some(run) => format!(
                    "  run       {}: there already, {} in pass {}; {}",
                    self.run_id, run.status, run.pass, run.message
                ),
            },
        ];
        if let Some(why) = &self.refused {
            let red = Style::new().fg_color(Some(AnsiColor::Red.into()));
            lines.push(format!(
                "  {red}refused{red:#}   as things are, a start would be: {why}"
            ));
        }
        lines.push(match sample.whole_table {
            true => format!(
                "  pending   {} of {} items, all of which were read",
                count(pending.value),
                HumanCount(self.forecast.items)
            ),
            false => format!(
                "  pending   about {} of {} items: {:.2} % ({:.2} to {:.2} % with 95 % confidence)",
                count(pending.value),
                HumanCount(self.forecast.items),
                100.0 * sample.share.value,
                100.0 * sample.share.low,
                100.0 * sample.share.high
            ),
        });
        let size = match sample.pending_bytes {
            None => String::new(),
            Some(size) if sample.whole_table => format!(", pending ones {:.0}", size.value),
            Some(size) => format!(
                ", pending ones {:.0} ({:.0} to {:.0})",
                size.value, size.low, size.high
            ),
        };
        lines.push(format!(
            "  sample    {} of {} items in random segments, {:.1} read units{}",
            display::plural(sample.pages, "page", "pages"),
            HumanCount(sample.items),
            sample.consumed_rcu,
            match self.forecast.item_bytes {
                0.0 => String::new(),
                bytes => format!("; an item has {bytes:.0} bytes{size}"),
            }
        ));
        lines.extend(self.example_lines());
        lines
    }

    /// One item before and after, attribute by attribute.
    fn example_lines(&self) -> Vec<String> {
        let example = self
            .tried
            .iter()
            .find_map(|tried| Some((&tried.before, tried.after.as_ref().ok()?)));
        let Some((before, after)) = example else {
            return Vec::new();
        };
        let key: Item = self
            .table
            .keys
            .names()
            .filter_map(|name| Some((name.to_owned(), before.get(name)?.clone())))
            .collect();
        let mut lines = vec![format!("  example   {}", plain(&key))];
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let mut same = 0;
        for name in names {
            match (before.get(name), after.get(name)) {
                (old, new) if sorted(old) == sorted(new) => same += 1,
                (old, new) => {
                    lines.extend(old.map(|value| diff_line('-', AnsiColor::Red, name, value)));
                    lines.extend(new.map(|value| diff_line('+', AnsiColor::Green, name, value)));
                }
            }
        }
        lines.push(format!(
            "              {} as they were",
            display::plural(same, "attribute", "attributes")
        ));
        lines
    }

    fn trial_line(&self) -> Option<String> {
        if self.tried.is_empty() {
            return None;
        }
        let refused = self
            .tried
            .iter()
            .filter(|tried| tried.after.is_err())
            .count();
        let lit = self
            .tried
            .iter()
            .filter(|tried| tried.after.is_ok() && !tried.is_extinguished)
            .count();
        Some(format!(
            "  tried     on copies of {} in an embedded database: {} updated, {refused} refused, {lit} still pending",
            display::plural(self.tried.len() as u32, "sampled item", "sampled items"),
            self.tried.len() - refused,
        ))
    }

    fn table_lines(&self) -> Vec<String> {
        let table = &self.table;
        let key = |attribute: &KeyAttribute| format!("{} ({:?})", attribute.name, attribute.kind);
        let range = table.keys.range.as_ref();
        let mut lines = vec![
            format!(
                "  keys      {} partition{}",
                key(&table.keys.hash),
                range.map_or_else(String::new, |range| format!(", {} sort", key(range)))
            ),
            format!(
                "  size      {} items, {} as DynamoDB counted within the last six hours{}",
                HumanCount(table.items),
                indicatif::DecimalBytes(table.size_bytes),
                table.created.map_or_else(String::new, |created| {
                    format!("; created {}", rfc3339((created * 1e3) as u64))
                })
            ),
            format!("  capacity  {}", capacity_text(table)),
            format!("  class     {}", table.class),
        ];
        for (index, cost) in table.indexes.iter().zip(&self.forecast.indexes) {
            lines.push(format!(
                "  index     {}; {}",
                index_text(index),
                match cost.units_per_item {
                    0.0 => "the update does not touch it".to_owned(),
                    units => format!("{units:.1} write units more for each item"),
                }
            ));
        }
        lines.push(format!(
            "  stream    {}",
            match &table.stream {
                None => "none".to_owned(),
                Some(view) =>
                    format!("{view}; its consumers are not DynamoDB's to tell, see below"),
            }
        ));
        lines.push(format!(
            "  Kinesis   {}",
            fact_text(&table.kinesis, |streams| list_text(streams))
        ));
        lines.push(format!(
            "  TTL       {}",
            fact_text(&table.time_to_live, |ttl| {
                ttl.clone().unwrap_or_else(|| "off".into())
            })
        ));
        let replicas: Vec<&str> = table.replicas.iter().map(|r| r.region.as_str()).collect();
        lines.push(format!("  replicas  {}", list_text(&replicas)));
        lines.push(format!(
            "  recovery  {}",
            fact_text(&table.point_in_time_recovery, |on| {
                format!("point-in-time recovery is {}", on_or_off(*on))
            })
        ));
        lines.push(format!(
            "  deletion  protection is {}",
            on_or_off(table.deletion_protection)
        ));
        lines.push(format!(
            "  tags      {}",
            fact_text(&table.tags, |tags| {
                let tags = tags.iter().map(|(key, value)| format!("{key}={value}"));
                list_text(&tags.collect::<Vec<_>>())
            })
        ));
        lines
    }

    fn canary_line(&self) -> Option<String> {
        let only = &self.settings.only_segments;
        (!only.is_empty()).then(|| {
            format!(
                "  canary    {} of {} alone, then it pauses; the figures below are those of the whole table",
                display::plural(only.len() as u32, "segment", "segments"),
                self.settings.total_segments
            )
        })
    }

    fn write_lines(&self) -> Vec<String> {
        let forecast = &self.forecast;
        vec![format!(
            "  writes    about {} units: {:.2} for each item, {:.2} with indexes (amplification {:.2})",
            count(forecast.write_units.value),
            forecast.units_per_item,
            forecast.units_per_item * forecast.amplification,
            forecast.amplification
        )]
    }

    fn time_lines(&self) -> Vec<String> {
        let forecast = &self.forecast;
        let Some(bound) = forecast.bounds.first() else {
            return Vec::new();
        };
        vec![format!(
            "  time      at least {} to sweep, by {}; then {} to verify, with {} read units",
            display::duration(forecast.sweep_seconds),
            bound.by,
            display::duration(forecast.verification_seconds),
            count(forecast.verification_read_units)
        )]
    }

    fn cost_line(&self) -> String {
        format!(
            "  cost      {}",
            display::bill_text(&self.forecast.cost_usd, &self.prices)
        )
    }

    fn warning_lines(&self) -> Vec<String> {
        if self.warnings.is_empty() {
            return vec![heading("No warnings")];
        }
        let mut lines = vec![heading("Think of")];
        let yellow = Style::new().fg_color(Some(AnsiColor::Yellow.into()));
        for Advised { what, advice, .. } in &self.warnings {
            lines.push(format!("  {yellow}!{yellow:#} {what}"));
            lines.push(format!("    {advice}"));
        }
        lines
    }
}

/// The run as its record says, if it is there. A checkpoint table that is not there, or that nobody may read, is no news.
async fn stored_run(checkpoints: &CheckpointTable, run_id: &str) -> Option<RunRecord> {
    match checkpoints.run(run_id).await {
        Ok(run) => run,
        Err(error) => {
            tracing::debug!("no run to see: {}", error.report());
            None
        }
    }
}

fn heading(text: &str) -> String {
    let bold = Style::new().bold();
    format!("{bold}{text}{bold:#}")
}

fn diff_line(sign: char, color: AnsiColor, name: &str, value: &Value) -> String {
    let style = Style::new().fg_color(Some(color.into()));
    let item = Item::from([(name.to_owned(), value.clone())]);
    let mut text = plain(&item);
    // Without the braces of the object.
    text = text[1..text.len() - 1].to_owned();
    if text.chars().count() > LONGEST_VALUE {
        text = text.chars().take(LONGEST_VALUE).chain(['…']).collect();
    }
    format!("            {style}{sign} {text}{style:#}")
}

fn plain(item: &Item) -> String {
    let json = serde_json::to_string(&PlainItem(item)).expect("items are plain data");
    printable(&json)
}

/// For a comparison: sets have no order.
fn sorted(value: Option<&Value>) -> Option<Item> {
    value.map(|value| with_sorted_sets(Item::from([(String::new(), value.clone())])))
}

fn count(number: f64) -> HumanCount {
    HumanCount(number.round() as u64)
}

fn fact_text<T>(fact: &Fact<T>, text: impl Fn(&T) -> String) -> String {
    match fact {
        Fact::Known(fact) => text(fact),
        Fact::Unknown(why) => format!("cannot be seen: {why}"),
    }
}

fn list_text<T: std::borrow::Borrow<str>>(list: &[T]) -> String {
    match list.is_empty() {
        true => "none".into(),
        false => list.join(", "),
    }
}

fn on_or_off(on: bool) -> &'static str {
    match on {
        true => "on",
        false => "off",
    }
}

fn capacity_text(table: &TableFacts) -> String {
    let mut text = match &table.billing {
        Billing::Provisioned {
            write_units,
            read_units,
        } => format!("provisioned, {write_units} write and {read_units} read units/s"),
        Billing::OnDemand {
            max_write_units,
            max_read_units,
        } => {
            let most = |units: &Option<u64>, what: &str| {
                units.map_or_else(String::new, |units| {
                    format!(", at most {units} {what} units/s")
                })
            };
            format!(
                "on demand{}{}",
                most(max_write_units, "write"),
                most(max_read_units, "read")
            )
        }
    };
    if let Some(warm) = table.warm {
        text.push_str(&format!(
            "; takes {} write and {} read units/s at once",
            warm.write_units, warm.read_units
        ));
    }
    text
}

fn index_text(index: &IndexFacts) -> String {
    let projection = match &index.projection {
        Projection::All => "all attributes".to_owned(),
        Projection::KeysOnly => "keys only".to_owned(),
        Projection::Include(names) => names.join(", "),
    };
    format!(
        "{} {} on {} with {projection}, {} items",
        if index.local { "local" } else { "global" },
        index.name,
        index
            .keys
            .iter()
            .map(|key| key.name.as_str())
            .collect::<Vec<_>>()
            .join(", "),
        HumanCount(index.items)
    )
}
