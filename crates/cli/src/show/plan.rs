//! What `backfill plan` shows: what a run would do to a table, before it does.

mod computed;
mod entry;

use std::collections::BTreeSet;

use anstream::adapter::strip_str;
use anstyle::{AnsiColor, Style};
use backfill_core::change::expression::shown_name;
use backfill_core::clock::rfc3339;
use backfill_core::survey::{
    Billing, Fact, IndexFacts, Plan, Projection, TableFacts, Tried, Warning, item_bytes,
};
use backfill_core::table::KeyAttribute;
use backfill_core::value::{PlainItem, with_sorted_sets};
use backfill_core::view::cost::Prices;
use backfill_core::{Item, Key, Value, printable};
use indicatif::HumanCount;
use serde::Serialize;

use self::entry::entry;
use crate::show::advice::Advised;
use crate::show::runs::gone_run;
use crate::show::{lines, words};
use crate::typed;

/// A plan for people.
pub struct Shown<'a> {
    pub plan: &'a Plan,
    /// Where the table is.
    pub place: &'a str,
    pub prices: &'a Prices,
    /// The width that lines are broken at, between words; `None` leaves them whole.
    pub width: Option<usize>,
}

/// A plan as `--json` prints it.
#[derive(Serialize)]
pub struct Printed<'a, L> {
    #[serde(flatten)]
    plan: &'a Plan,
    /// Items that a verb leaves alone; null if none were seen.
    left_alone: Option<L>,
    warnings: Vec<Advised>,
}

impl<'a, L: Serialize> Printed<'a, L> {
    pub fn new(plan: &'a Plan, left_alone: Option<L>) -> Self {
        Printed {
            plan,
            left_alone,
            warnings: plan.warnings.iter().map(Advised::from).collect(),
        }
    }
}

impl Shown<'_> {
    /// The whole plan for people.
    pub fn text(&self) -> String {
        let mut lines = self.change_lines();
        lines.extend(self.trial_line());
        lines.push(heading("Table"));
        lines.extend(self.table_lines());
        lines.push(heading("Run"));
        let settings = &self.plan.settings;
        lines.push(format!("  scan      {}", self.plan.segments));
        lines.extend(self.canary_line());
        lines.extend(self.held_line());
        lines.push(format!(
            "  passes    at most {}, in chunks of {}",
            settings.max_passes,
            words::duration(settings.time_box_seconds as f64),
        ));
        lines.push(self.request_line());
        lines.extend(self.concurrency_line());
        lines.extend(self.write_lines());
        lines.extend(self.time_lines());
        for bound in self.plan.forecast.bounds.iter().skip(1).take(3) {
            lines.push(format!(
                "            next bound: {} ({})",
                bound.by,
                words::reckoned(bound.seconds)
            ));
        }
        lines.push(self.cost_line());
        if let Some(records) = &self.plan.forecast.stream_records {
            lines.push(format!(
                "  stream    about {} records",
                count(records.value)
            ));
        }
        lines.extend(self.warning_lines());
        self.broken(&lines)
    }

    /// What somebody must know who is asked for a yes.
    pub fn essentials(&self) -> String {
        let mut lines = self.change_lines();
        lines.extend(self.trial_line());
        lines.extend(self.canary_line());
        lines.extend(self.held_line());
        lines.push(self.request_line());
        lines.extend(self.time_lines());
        lines.push(self.cost_line());
        lines.extend(self.warning_lines());
        self.broken(&lines)
    }

    /// What is left to say once a dry run has counted.
    pub fn after_count(&self) -> String {
        let mut lines = vec![format!("  scan      {}", self.plan.segments)];
        lines.extend(self.trial_line());
        lines.extend(self.write_lines());
        lines.extend(self.time_lines());
        lines.push(self.cost_line());
        let losses = self.plan.warnings.iter().filter(|it| it.is_of_losses());
        lines.extend(losses.flat_map(lines_of_warning));
        self.broken(&lines)
    }

    /// The lines, broken between words; those that go on stand below what they go on with. What is to be typed stays whole.
    fn broken(&self, lines: &[String]) -> String {
        let broken = lines.iter().map(|line| {
            let indent = match strip_str(line).to_string() {
                plain if plain.contains("aws ") && plain.contains(" --") => return line.clone(),
                plain if plain.starts_with(&" ".repeat(12)) => 12,
                plain if plain.starts_with("    ") || plain.starts_with("  !") => 4,
                _ => 12,
            };
            lines::wrap(line, self.width, indent)
        });
        broken.collect::<Vec<_>>().join("\n")
    }

    fn change_lines(&self) -> Vec<String> {
        let sample = &self.plan.sample;
        let pending = &self.plan.forecast.pending;
        let mut lines = vec![
            format!(
                "{} {}",
                heading(&format!("Plan for table {}", self.plan.table.name)),
                self.place
            ),
            format!("  spec      {}", self.plan.change),
            match &self.plan.run {
                None => format!("  run       {}, new", self.plan.run_id),
                Some(run) if run.table_gone == Some(true) => format!(
                    "  run       {}",
                    gone_run(
                        &self.plan.run_id,
                        run.status,
                        run.pass,
                        &self.plan.table.name
                    )
                ),
                Some(run) => format!(
                    "  run       {}: there already, {} in pass {}; {}",
                    self.plan.run_id, run.status, run.pass, run.message
                ),
            },
        ];
        if let Some(why) = &self.plan.refused {
            let red = Style::new().fg_color(Some(AnsiColor::Red.into()));
            lines.push(format!(
                "  {red}refused{red:#}   as things are, a start would be: {}",
                typed::in_flags(why)
            ));
        }
        lines.push(match sample.whole_table {
            true => format!(
                "  pending   {} of {} items, all of which were read",
                count(pending.value),
                HumanCount(self.plan.forecast.items)
            ),
            false => format!(
                "  pending   about {} of {} items: {:.2} % ({:.2} to {:.2} % with 95 % confidence)",
                count(pending.value),
                HumanCount(self.plan.forecast.items),
                100.0 * sample.share.value,
                100.0 * sample.share.low,
                100.0 * sample.share.high
            ),
        });
        lines.push(self.sample_line());
        if let Some(computed) = &sample.computed {
            lines.extend(computed::lines(computed, sample));
        }
        lines.extend(self.example_lines());
        lines
    }

    fn sample_line(&self) -> String {
        let sample = &self.plan.sample;
        let size = match sample.pending_bytes {
            None => String::new(),
            Some(size) if sample.whole_table => format!(", pending ones {:.0}", size.value),
            Some(size) => format!(
                ", pending ones {:.0} ({:.0} to {:.0})",
                size.value, size.low, size.high
            ),
        };
        format!(
            "  sample    {} of {} items in random segments, {:.1} read units{}",
            words::plural(sample.pages, "page", "pages"),
            HumanCount(sample.items),
            sample.consumed_rcu,
            match self.plan.forecast.item_bytes {
                0.0 => String::new(),
                bytes => format!("; an item has {bytes:.0} bytes{size}"),
            }
        )
    }

    /// Up to three items before and after, attribute by attribute.
    fn example_lines(&self) -> Vec<String> {
        let examples = self.plan.examples();
        let of_one = |tried: &&Tried| self.lines_of_example(tried);
        examples.iter().flat_map(of_one).collect()
    }

    fn lines_of_example(&self, tried: &Tried) -> Vec<String> {
        let Tried {
            before,
            after: Ok(after),
            ..
        } = tried
        else {
            return Vec::new();
        };
        let Key(key) = self.plan.table.keys.key_of(before);
        let bytes = words::plural(item_bytes(before) as u32, "byte", "bytes");
        let mut lines = vec![format!("  example   {}, {bytes}", plain(&key))];
        let is_changed = |name: &str| sorted(before.get(name)) != sorted(after.get(name));
        if let Some(computed) = &self.plan.sample.computed {
            lines.extend(computed::lines_of_sources(computed, before, is_changed));
        }
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let mut same = 0;
        for name in names {
            match (before.get(name), after.get(name)) {
                _ if !is_changed(name) => same += 1,
                (old, new) => {
                    lines.extend(old.map(|value| diff_line('-', AnsiColor::Red, name, value)));
                    lines.extend(new.map(|value| diff_line('+', AnsiColor::Green, name, value)));
                }
            }
        }
        lines.push(format!(
            "              {} as they were",
            words::plural(same, "attribute", "attributes")
        ));
        lines
    }

    fn trial_line(&self) -> Option<String> {
        let tried = || self.plan.tried.iter().chain(&self.plan.also_tried);
        let all = tried().count();
        if all == 0 {
            return None;
        }
        let refused = tried().filter(|tried| tried.after.is_err()).count();
        let lit = tried().filter(|tried| tried.is_in_vain()).count();
        Some(format!(
            "  tried     on copies of {} in an embedded database: {} updated, {refused} refused, {lit} still pending",
            words::plural(all as u32, "sampled item", "sampled items"),
            all - refused,
        ))
    }

    fn table_lines(&self) -> Vec<String> {
        let table = &self.plan.table;
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
        lines.extend(self.index_lines());
        lines.push(format!(
            "  stream    {}",
            match &table.stream {
                None => "none".to_owned(),
                Some(view) => format!("{view}; DynamoDB does not know its consumers, see below"),
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
        lines.push(self.replicas_line());
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

    /// Each index, and what becomes of it.
    fn index_lines(&self) -> Vec<String> {
        let table = &self.plan.table;
        let mut lines = Vec::new();
        for (index, cost) in table.indexes.iter().zip(&self.plan.forecast.indexes) {
            lines.push(format!(
                "  index     {}; {}",
                index_text(index),
                match cost.units_per_item {
                    0.0 => "the update does not touch it".to_owned(),
                    units => format!("{units:.1} write units more for each item"),
                }
            ));
            let computed = self.plan.sample.computed.iter();
            let after = computed.flat_map(|it| it.indexes.iter());
            let after = after.filter(|after| after.index == index.name);
            lines.extend(after.flat_map(|it| computed::lines_of_index(it, self.plan)));
        }
        lines
    }

    fn replicas_line(&self) -> String {
        let table = &self.plan.table;
        let replicas: Vec<&str> = table.replicas.iter().map(|r| r.region.as_str()).collect();
        let consistency = match table.has_strong_replicas() {
            _ if replicas.is_empty() => "",
            true => "; strongly consistent with this region",
            false if self.plan.settings.only_writer_region => {
                "; nothing writes there, it is said (--only-writer-region)"
            }
            false => "; conditions see this region alone",
        };
        format!("  replicas  {}{consistency}", list_text(&replicas))
    }

    fn canary_line(&self) -> Option<String> {
        let settings = &self.plan.settings;
        let only = &settings.only_segments;
        let segments = (!only.is_empty()).then(|| {
            format!(
                "{} of {} alone",
                words::plural(only.len() as u32, "segment", "segments"),
                settings.total_segments
            )
        });
        let items = settings.pause_after.map(|number| {
            format!(
                "{} updated items, one segment at a time",
                HumanCount(number.into())
            )
        });
        let parts: Vec<String> = segments.into_iter().chain(items).collect();
        (!parts.is_empty()).then(|| {
            format!(
                "  canary    {}, then it pauses; the figures below are those of the whole table",
                parts.join(", and ")
            )
        })
    }

    fn held_line(&self) -> Option<String> {
        let settings = &self.plan.settings;
        let hours = settings
            .hours
            .as_ref()
            .map(|hours| format!("outside of {hours}"));
        let alarm = settings.pause_when.as_ref();
        let alarm = alarm.map(|alarm| format!("while alarm {alarm} is in ALARM"));
        let parts: Vec<String> = hours.into_iter().chain(alarm).collect();
        (!parts.is_empty()).then(|| {
            format!(
                "  held      {}; the time below does not count that",
                printable(&parts.join(", and "))
            )
        })
    }

    fn concurrency_line(&self) -> Option<String> {
        let concurrency = self.plan.lambda.as_ref()?.known()?;
        let reserved = match concurrency.reserved {
            Some(reserved) => format!("{} of them for the workers", HumanCount(reserved)),
            None => format!(
                "{} of them for all that have none reserved",
                HumanCount(concurrency.unreserved)
            ),
        };
        Some(format!(
            "  Lambda    runs {} functions at once here, {reserved}",
            HumanCount(concurrency.account)
        ))
    }

    fn write_lines(&self) -> Vec<String> {
        let forecast = &self.plan.forecast;
        vec![format!(
            "  writes    about {} units: {:.2} for each item, {:.2} with indexes (amplification {:.2})",
            count(forecast.write_units.value),
            forecast.units_per_item,
            forecast.units_per_item * forecast.amplification,
            forecast.amplification
        )]
    }

    fn request_line(&self) -> String {
        let by = &self.plan.written_by;
        let items = match by.items {
            1 => "one item each".to_owned(),
            items => format!("up to {items} items each"),
        };
        let why = printable(&by.why);
        format!("  request   {}, {items}: {why}", by.request)
    }

    fn time_lines(&self) -> Vec<String> {
        let forecast = &self.plan.forecast;
        let Some(bound) = forecast.bounds.first() else {
            return Vec::new();
        };
        let units = forecast.verification_read_units;
        let mut lines = vec![format!(
            "  time      {} {} to sweep, by {}; then {} to verify, with {} read {}",
            if forecast.sweep_seconds < 0.5 {
                "at best"
            } else {
                "at least"
            },
            words::reckoned(forecast.sweep_seconds),
            bound.by,
            words::reckoned(forecast.verification_seconds),
            count(units),
            if units.round() == 1.0 {
                "unit"
            } else {
                "units"
            }
        )];
        let lacking = self.plan.lacking.iter();
        let lacking: Vec<String> = lacking.map(|name| printable(&shown_name(name))).collect();
        if !lacking.is_empty() {
            lines.push(format!(
                "            a third of these to count the items that the predicate leaves out and that lack {}",
                lacking.join(" or ")
            ));
        }
        lines
    }

    fn cost_line(&self) -> String {
        format!(
            "  cost      {}",
            words::bill(&self.plan.forecast.cost_usd, self.prices)
        )
    }

    fn warning_lines(&self) -> Vec<String> {
        if self.plan.warnings.is_empty() {
            return vec![heading("No warnings")];
        }
        let mut lines = vec![heading("Before you run")];
        lines.extend(self.plan.warnings.iter().flat_map(lines_of_warning));
        lines
    }
}

fn lines_of_warning(warning: &Warning) -> [String; 2] {
    let yellow = Style::new().fg_color(Some(AnsiColor::Yellow.into()));
    let Advised { what, advice, .. } = Advised::from(warning);
    [
        format!("  {yellow}!{yellow:#} {what}"),
        format!("    {advice}"),
    ]
}

fn heading(text: &str) -> String {
    let bold = Style::new().bold();
    format!("{bold}{text}{bold:#}")
}

fn diff_line(sign: char, color: AnsiColor, name: &str, value: &Value) -> String {
    let style = Style::new().fg_color(Some(color.into()));
    let text = entry(name, value);
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

#[cfg(test)]
mod tests {
    use super::entry::LONGEST_VALUE;
    use super::*;

    #[test]
    fn a_value_of_any_length_and_any_letters_is_cut_between_letters() {
        for length in [1, LONGEST_VALUE, 999, 1_000, 1_001, 3_000] {
            for letter in ["a", "ä", "\u{202e}"] {
                let value = Value::S(letter.repeat(length));
                let line = diff_line('-', AnsiColor::Red, "pad", &value);
                assert!(line.contains(r#"- "pad":"#), "{line}");
                assert!(!line.contains('\u{202e}'), "{line}");
            }
        }
    }
}
