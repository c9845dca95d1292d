//! What a run costs, part by part, in USD: the same formula for a forecast and for a run that is done.

use serde::{Deserialize, Serialize};

use crate::engine::ownership::LOOK_EVERY;
use crate::engine::worker::PAGE_LIMIT;
use crate::request::parse_strictly;
use crate::{Error, Result};

/// Prices in USD. Those built in are us-east-1's for on-demand tables and arm64 functions, looked up on 2026-11-20: DynamoDB's
/// since its reduction of November 2024, Lambda's and Step Functions' (standard workflows) from their price pages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prices {
    /// The region that they hold for.
    pub region: String,
    /// The day on which they were looked up.
    pub date: String,
    /// A million write request units.
    pub million_write_units: f64,
    /// A million read request units.
    pub million_read_units: f64,
    /// A second of a function with 1 GB of memory.
    pub lambda_gb_second: f64,
    /// A million calls of functions.
    pub million_lambda_requests: f64,
    /// A thousand state transitions of standard workflows.
    pub thousand_state_transitions: f64,
}

impl Default for Prices {
    fn default() -> Self {
        Prices {
            region: "us-east-1".into(),
            date: "2026-11-20".into(),
            million_write_units: 0.625,
            million_read_units: 0.125,
            lambda_gb_second: 0.000_013_333_4,
            million_lambda_requests: 0.20,
            thousand_state_transitions: 0.025,
        }
    }
}

impl Prices {
    /// Reads a price file: the fields of [`Prices`] as JSON. What it leaves out stays as built in.
    ///
    /// Errors: `InvalidInput`, which names the field.
    pub fn from_json(json: &str) -> Result<Prices> {
        let prices: Prices = parse_strictly(json, "prices")?;
        for (field, price) in [
            ("million_write_units", prices.million_write_units),
            ("million_read_units", prices.million_read_units),
            ("lambda_gb_second", prices.lambda_gb_second),
            ("million_lambda_requests", prices.million_lambda_requests),
            (
                "thousand_state_transitions",
                prices.thousand_state_transitions,
            ),
        ] {
            if !(price.is_finite() && price >= 0.0) {
                return Err(Error::invalid(field, format!("{price} is not a price")));
            }
        }
        Ok(prices)
    }
}

/// Memory of the worker function in GB: the template's default.
const WORKER_GB: f64 = 0.25;
/// Memory of the verifier function in GB: the template's.
const VERIFIER_GB: f64 = 0.5;

/// States that an execution enters in a pass beside those of its segments, from its start to its end.
const STATES_OF_A_PASS: [&str; 11] = [
    "Plan",
    "AnyOpen",
    "Trial",
    "Backfill",
    "NextSegments",
    "AnyOpen",
    "Verify",
    "Verified",
    "Conclude",
    "Concluded",
    "Succeeded",
];
/// States that a segment's execution enters for each chunk.
const STATES_OF_A_CHUNK: [&str; 2] = ["Work", "SegmentDone"];
/// States that a segment's execution enters besides. The start of the execution is a transition as well.
const STATES_OF_A_SEGMENT: [&str; 1] = ["Done"];
/// States of a pass in which a function is called.
const CALLS_OF_A_PASS: [&str; 4] = ["Plan", "NextSegments", "Verify", "Conclude"];
/// Items between two checkpoints if no budget asks for smaller pages: a page.
pub(crate) const ITEMS_PER_CHECKPOINT: f64 = PAGE_LIMIT as f64;
/// Write units of the checkpoint table per chunk beside its checkpoints: its claim, the history at its end, and the count of a
/// segment that it has exhausted.
const UNITS_PER_CHUNK: f64 = 3.0;
/// Read units of a look at the run record.
const UNITS_PER_LOOK: f64 = 2.0;

/// Of so many items at least the bill says what a million would cost.
const FEWEST_ITEMS: f64 = 10_000.0;

/// What a run has used, or is going to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Use {
    /// Items that were to be written.
    pub items: f64,
    /// Checkpoints that were saved.
    pub checkpoints: f64,
    /// Write capacity units of the target table and its indexes.
    pub write_units: f64,
    /// Read capacity units of the sweeps.
    pub scan_read_units: f64,
    /// Read capacity units of the verifications.
    pub verification_read_units: f64,
    /// Seconds of all workers together.
    pub worker_seconds: f64,
    /// Seconds of the verifier.
    pub verifier_seconds: f64,
    /// Passes that were begun.
    pub passes: f64,
    /// Segments that were begun, each pass by itself.
    pub segments: f64,
    /// Chunks that workers have begun.
    pub chunks: f64,
    /// True in Lambda and Step Functions, false in a process of the operator's.
    pub in_aws: bool,
}

/// The bill in USD.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Bill {
    /// Write units of the target table and its indexes.
    pub writes: f64,
    /// Read units of the sweeps.
    pub scan: f64,
    /// Read units of the verifications.
    pub verification: f64,
    /// Units of the checkpoint table.
    pub checkpoints: f64,
    /// Time of the functions; 0 outside AWS.
    pub lambda_duration: f64,
    /// Calls of the functions; 0 outside AWS.
    pub lambda_requests: f64,
    /// State transitions; 0 outside AWS.
    pub state_transitions: f64,
    /// The sum of all.
    pub total: f64,
    /// The total per million items that were to be written; null if they were too few to tell.
    pub per_million_items: Option<f64>,
}

impl Use {
    /// What that costs at these prices.
    pub fn bill(&self, prices: &Prices) -> Bill {
        let millions = 1e-6;
        let checkpoint_writes = self.checkpoints + self.chunks * UNITS_PER_CHUNK;
        let looks = (self.worker_seconds + self.verifier_seconds) / LOOK_EVERY.as_secs_f64();
        let lambda = if self.in_aws { 1.0 } else { 0.0 };
        let gb_seconds = self.worker_seconds * WORKER_GB + self.verifier_seconds * VERIFIER_GB;
        let transitions = self.passes * STATES_OF_A_PASS.len() as f64
            + self.segments * (1 + STATES_OF_A_SEGMENT.len()) as f64
            + self.chunks * STATES_OF_A_CHUNK.len() as f64;
        let calls = self.passes * CALLS_OF_A_PASS.len() as f64 + self.chunks;
        let mut bill = Bill {
            writes: self.write_units * millions * prices.million_write_units,
            scan: self.scan_read_units * millions * prices.million_read_units,
            verification: self.verification_read_units * millions * prices.million_read_units,
            checkpoints: checkpoint_writes * millions * prices.million_write_units
                + looks * UNITS_PER_LOOK * millions * prices.million_read_units,
            lambda_duration: lambda * gb_seconds * prices.lambda_gb_second,
            lambda_requests: lambda * calls * millions * prices.million_lambda_requests,
            state_transitions: lambda * transitions / 1e3 * prices.thousand_state_transitions,
            total: 0.0,
            per_million_items: None,
        };
        bill.total = bill.writes + bill.scan + bill.verification + bill.beside_the_table();
        bill.per_million_items = per_million(bill.total, self.items);
        bill
    }
}

/// What a million items cost if so many cost so much. `None` for few: what any run costs, however small, would be most of it.
fn per_million(usd: f64, items: f64) -> Option<f64> {
    (items >= FEWEST_ITEMS).then(|| usd / items * 1e6)
}

impl Bill {
    /// The same bill of a run in an operator's process.
    pub(crate) fn without_functions(self) -> Bill {
        let functions = self.lambda_duration + self.lambda_requests + self.state_transitions;
        let total = self.total - functions;
        let part = |usd: f64| match self.total > 0.0 {
            true => usd * total / self.total,
            false => usd,
        };
        Bill {
            lambda_duration: 0.0,
            lambda_requests: 0.0,
            state_transitions: 0.0,
            total,
            per_million_items: self.per_million_items.map(part),
            ..self
        }
    }

    /// Everything but the units of the target table, in USD.
    pub fn beside_the_table(&self) -> f64 {
        self.checkpoints + self.lambda_duration + self.lambda_requests + self.state_transitions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    /// A million items of 300 B, each worker at 1,000 write units per second.
    fn a_million() -> Use {
        Use {
            items: 1e6,
            checkpoints: 1e6 / ITEMS_PER_CHECKPOINT,
            write_units: 1e6,
            scan_read_units: 1e6 * 300.0 / 8192.0,
            verification_read_units: 1e6 * 300.0 / 4096.0,
            worker_seconds: 1_000.0,
            verifier_seconds: 60.0,
            passes: 1.0,
            segments: 2.0,
            chunks: 3.0,
            in_aws: true,
        }
    }

    #[test]
    fn everything_but_the_tables_own_units_is_below_two_cents_per_million() {
        let bill = a_million().bill(&Prices::default());
        assert!(bill.beside_the_table() < 0.02, "{bill:?}");
        assert_eq!(bill.writes, 0.625);
        let total = bill.per_million_items.unwrap();
        assert!((0.63..0.66).contains(&total), "{total}");
        let at_home = Use {
            in_aws: false,
            ..a_million()
        };
        let bill = at_home.bill(&Prices::default());
        assert_eq!(bill.lambda_duration + bill.state_transitions, 0.0);
    }

    /// A few items are no measure of a million.
    #[test]
    fn a_small_bill_says_nothing_of_a_million_items() {
        let of = |items: f64| Use {
            items,
            write_units: items,
            ..a_million()
        };
        for (items, is_told) in [(12.0, false), (9_999.0, false), (10_000.0, true)] {
            let bill = of(items).bill(&Prices::default());
            assert_eq!(bill.per_million_items.is_some(), is_told, "{items}");
            assert!(bill.total > 0.0);
        }
    }

    #[test]
    fn a_price_file_overrides_what_it_names() {
        let prices =
            Prices::from_json(r#"{"region":"eu-west-1","million_write_units":0.7}"#).unwrap();
        assert_eq!(prices.million_write_units, 0.7);
        assert_eq!(prices.million_read_units, 0.125);
        for (json, field) in [
            (r#"{"million_write_units":-1}"#, "million_write_units"),
            (r#"{"typo":1}"#, "typo"),
            (r#"{"lambda_gb_second":"x"}"#, "lambda_gb_second"),
        ] {
            let error = Prices::from_json(json).unwrap_err().to_string();
            assert!(error.contains(field), "{error}");
        }
    }

    fn definition() -> serde_json::Value {
        let definition = include_str!("../../../../statemachine/backfill.asl.json");
        serde_json::from_str(definition).unwrap()
    }

    /// The states whose transitions the bill counts are those that the definition leads through, in this order.
    #[test]
    fn state_transitions_are_those_of_the_definition() {
        use serde_json::Value as Json;
        let definition = definition();
        let follows = |states: &Json, from: &str, to: &str| {
            let state = &states[from];
            let choices = state["Choices"].as_array();
            let choices = choices.into_iter().flatten().map(|choice| &choice["Next"]);
            choices
                .chain([&state["Next"], &state["Default"]])
                .any(|next| next == to)
        };
        assert_eq!(definition["StartAt"], STATES_OF_A_PASS[0]);
        for pair in STATES_OF_A_PASS.windows(2) {
            assert!(follows(&definition["States"], pair[0], pair[1]), "{pair:?}");
        }
        assert_eq!(definition["States"]["Succeeded"]["Type"], "Succeed");
        let calls = |state: &str| definition["States"][state]["Type"] == "Task";
        // The trial is a chunk.
        let called: Vec<&str> = STATES_OF_A_PASS
            .into_iter()
            .filter(|state| calls(state) && *state != "Trial")
            .collect();
        assert_eq!(called, CALLS_OF_A_PASS);
        let segment = &definition["States"]["Backfill"]["ItemProcessor"];
        let path = [
            &STATES_OF_A_CHUNK[..],
            &STATES_OF_A_CHUNK,
            &STATES_OF_A_SEGMENT,
        ]
        .concat();
        assert_eq!(segment["StartAt"], path[0]);
        for pair in path.windows(2) {
            assert!(follows(&segment["States"], pair[0], pair[1]), "{pair:?}");
        }
        assert_eq!(segment["States"][STATES_OF_A_SEGMENT[0]]["End"], true);
    }

    /// Children for which Lambda has no room, as many as a Map runs at once (Step Functions quotas).
    const STARVED: usize = 10_000;

    /// How often they try within each of the first hours, by the retrier's own numbers and full jitter: each wait is a random
    /// part of what the backoff has come to.
    fn tries_by_hour(retrier: &serde_json::Value, hours: usize) -> Vec<u64> {
        let number = |field: &str| retrier[field].as_f64().unwrap();
        let mut random = 1_u64;
        let mut tries = vec![0; hours];
        for _ in 0..STARVED {
            let (mut at, mut delay) = (0.0, number("IntervalSeconds"));
            loop {
                // Knuth's MMIX generator; its high bits are good enough.
                random = random.wrapping_mul(6_364_136_223_846_793_005);
                random = random.wrapping_add(1_442_695_040_888_963_407);
                at += delay * (random >> 11) as f64 / (1_u64 << 53) as f64;
                delay = (delay * number("BackoffRate")).min(number("MaxDelaySeconds"));
                match tries.get_mut((at / 3_600.0) as usize) {
                    Some(tries) => *tries += 1,
                    None => break,
                }
            }
        }
        tries
    }

    /// A try that is refused is a state transition.
    #[test]
    fn starved_children_cost_at_most_a_dollar_an_hour() {
        let definition = definition();
        let children = &definition["States"]["Backfill"]["ItemProcessor"]["States"];
        for state in ["Work", "RecordSegmentFailure"] {
            let retriers = children[state]["Retry"].as_array().unwrap();
            let no_room = |retrier: &&serde_json::Value| {
                let errors = retrier["ErrorEquals"].as_array().unwrap();
                errors.contains(&"Lambda.TooManyRequestsException".into())
            };
            let [retrier] = retriers.iter().filter(no_room).collect::<Vec<_>>()[..] else {
                panic!("{state} waits for room in one way");
            };
            assert_eq!(retrier["JitterStrategy"], "FULL");
            // It waits for a day at least, and three events a try leave room in its history of 25,000.
            let attempts = retrier["MaxAttempts"].as_f64().unwrap();
            assert!(attempts * retrier["MaxDelaySeconds"].as_f64().unwrap() / 2.0 > 86_400.0);
            assert!(attempts * 3.0 <= 7_000.0);
            for (hour, tries) in tries_by_hour(retrier, 12).into_iter().enumerate() {
                let usd = tries as f64 / 1e3 * Prices::default().thousand_state_transitions;
                assert!(usd <= 1.0, "{state}, hour {hour}: {usd} USD");
            }
        }
    }

    /// What went wrong is recorded however long Lambda has no room.
    #[test]
    fn recording_a_failure_waits_for_room_as_work_does() {
        let definition = definition();
        let children = &definition["States"]["Backfill"]["ItemProcessor"]["States"];
        let room = |state: &serde_json::Value| -> u64 {
            let retriers = state["Retry"].as_array().unwrap().iter();
            let no_room = retriers.filter(|retrier| {
                let errors = retrier["ErrorEquals"].as_array().unwrap();
                errors.contains(&"Lambda.TooManyRequestsException".into())
            });
            no_room.map(|r| r["MaxAttempts"].as_u64().unwrap()).sum()
        };
        let of_work = room(&children["Work"]);
        assert_eq!(room(&children["RecordSegmentFailure"]), of_work);
        assert_eq!(room(&definition["States"]["RecordFailure"]), of_work);
    }

    /// A function cannot renew its credentials, but its next start has others: refused ones are no reason to end a run at once.
    #[test]
    fn refused_credentials_are_tried_again_by_another_start() {
        let definition = definition();
        let children = &definition["States"]["Backfill"]["ItemProcessor"]["States"];
        let all = [&definition["States"], children];
        let tasks = all.iter().flat_map(|states| states.as_object().unwrap());
        let tasks: Vec<_> = tasks.filter(|(_, state)| state["Type"] == "Task").collect();
        assert_eq!(tasks.len(), 9);
        for (name, task) in tasks {
            let retriers = task["Retry"].as_array().unwrap();
            let again = retriers.iter().find(|retrier| {
                let errors = retrier["ErrorEquals"].as_array().unwrap();
                errors.contains(&ErrorKind::MissingCredentials.name().into())
            });
            assert_eq!(again.map(|r| &r["MaxAttempts"]), Some(&3.into()), "{name}");
        }
    }

    #[test]
    fn memory_is_that_of_the_template() {
        let template = include_str!("../../../../template.yaml");
        let (_, worker) = template.split_once("\n  WorkerMemorySize:\n").unwrap();
        let megabytes = format!("Default: {}\n", 1024.0 * WORKER_GB);
        assert!(
            worker
                .lines()
                .take(3)
                .any(|line| line.trim() == megabytes.trim())
        );
        let (_, verifier) = template.split_once("\n  VerifierFunction:\n").unwrap();
        let megabytes = format!("MemorySize: {}", 1024.0 * VERIFIER_GB);
        assert!(
            verifier
                .lines()
                .take(20)
                .any(|line| line.trim() == megabytes)
        );
    }
}
