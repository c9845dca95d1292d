//! What a seed makes of a call: every way in which DynamoDB, and the network before it, may fail without being at fault for
//! good.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use fastrand::Rng;

use super::call::{Call, Verdict};
use super::lock::lock;
use super::model::model;

/// Longest time for which an answer is held back if the client still waits for it, and after which a stray call is
/// carried out.
const SHORT: Duration = Duration::from_millis(60);

/// Longer than any client waits for an answer (`CALL_TIMEOUT` is 10 s).
const TOO_LONG: Duration = Duration::from_secs(11);

/// One in so many faults is such a delay, as long as there may be more of them.
const TOO_LONG_ONE_IN: u32 = 20;

/// Decides on calls by a seed. The verdict on the n-th call of an operation on a table follows from the seed and these
/// three, whatever happens to other calls meanwhile: a seed that fails, replays.
pub struct Faults {
    seed: u64,
    /// Share of the calls that meet with a fault.
    rate: f64,
    state: Mutex<State>,
}

struct State {
    /// Calls so far by table and operation.
    calls: HashMap<(String, String), u64>,
    /// Delays beyond the client's patience that are still allowed.
    long_delays: u32,
}

impl Faults {
    /// This share of the calls (0 to 1) meets with a fault.
    pub fn new(seed: u64, rate: f64) -> Faults {
        Faults {
            seed,
            rate,
            state: Mutex::new(State {
                calls: HashMap::new(),
                long_delays: 0,
            }),
        }
    }

    /// Up to so many calls are delayed for longer than the client waits, 11 s each.
    pub fn with_long_delays(self, most: u32) -> Faults {
        lock(&self.state).long_delays = most;
        self
    }

    /// What is to become of this call, the next of its kind.
    pub fn verdict(&self, call: &Call) -> Verdict {
        let mut state = lock(&self.state);
        let kind = (call.table().to_owned(), call.operation.clone());
        let nth = state.calls.entry(kind).or_default();
        *nth += 1;
        let what = format!("{} {} {nth}", call.table(), call.operation);
        let mut random = Rng::with_seed(self.seed ^ hash(&what));
        if random.f64() >= self.rate {
            return Verdict::Forward;
        }
        if state.long_delays > 0 && random.u32(..TOO_LONG_ONE_IN) == 0 {
            state.long_delays -= 1;
            return if random.bool() {
                Verdict::Delay(TOO_LONG)
            } else {
                Verdict::Stray(TOO_LONG)
            };
        }
        drop(state);
        // Half of the faults are of the kind that only this operation knows.
        match call.operation.as_str() {
            "Scan" if random.bool() => page(&mut random),
            "BatchExecuteStatement" if random.bool() => statements(&mut random),
            "TransactWriteItems" if random.bool() => Verdict::CancelTransaction {
                code: pick(&mut random, &CANCELLED),
            },
            operation => of_any_call(operation, &mut random),
        }
    }
}

/// API reference, CancellationReason: those that pass.
const CANCELLED: [&str; 3] = [
    "TransactionConflict",
    "ProvisionedThroughputExceeded",
    "ThrottlingError",
];

/// API reference, BatchStatementError: those after which a statement is tried again, and the two that say of a batch
/// that it is not the way to do it.
const STATEMENT_FAILED: [(&str, &str); 7] = [
    ("RequestLimitExceeded", "Throughput exceeds the limit"),
    ("ProvisionedThroughputExceeded", "Throughput exceeded"),
    ("ThrottlingError", "Rate exceeded"),
    ("TransactionConflict", "Transaction is ongoing for the item"),
    ("InternalServerError", "Internal server error"),
    ("ValidationError", "Unexpected path component"),
    ("AccessDenied", "not authorized"),
];

fn page(random: &mut Rng) -> Verdict {
    match random.u8(..3) {
        0 => Verdict::EmptyPage,
        // A page of one item is empty if that one is not pending.
        1 => Verdict::ShortPage(1),
        _ => Verdict::ShortPage(random.u32(2..=20)),
    }
}

fn statements(random: &mut Rng) -> Verdict {
    let batches_are_out = random.u8(..20) == 0;
    let (code, message) = if batches_are_out {
        pick(random, &STATEMENT_FAILED[5..])
    } else {
        pick(random, &STATEMENT_FAILED[..5])
    };
    Verdict::FailStatements {
        every: random.usize(1..=25),
        code,
        message,
    }
}

fn of_any_call(operation: &str, random: &mut Rng) -> Verdict {
    let short = SHORT.mul_f64(random.f64());
    let throttled = pick(random, &model().throttling_errors(operation));
    match random.u8(..12) {
        0 => Verdict::Refuse {
            code: throttled,
            message: "injected",
        },
        1 | 2 => Verdict::ThrottleAs {
            code: throttled,
            reason: "TableWriteKeyRangeThroughputExceeded",
            resource: "arn:aws:dynamodb:us-east-1:0:table/injected",
        },
        3 => Verdict::Unavailable(500),
        4 => Verdict::Unavailable(pick(random, &[502, 503, 504])),
        5 => Verdict::Break,
        6 => Verdict::Reset,
        7 => Verdict::LoseReply,
        8 => Verdict::Stray(short),
        9 => Verdict::Truncate,
        10 => Verdict::Garble,
        _ => Verdict::Delay(short),
    }
}

fn pick<T: Copy>(random: &mut Rng, from: &[T]) -> T {
    from[random.usize(..from.len())]
}

/// FNV-1a: the same in every version of everything.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdicts(faults: &Faults, operation: &str, calls: usize) -> Vec<String> {
        let nowhere = ([127, 0, 0, 1], 0).into();
        let call = Call {
            operation: operation.into(),
            body: json!({"TableName": "stuff"}),
            access_key: String::new(),
            sender: nowhere,
            receiver: nowhere,
        };
        let verdict = |_| format!("{:?}", faults.verdict(&call));
        (0..calls).map(verdict).collect()
    }

    #[test]
    fn a_seed_replays_whatever_else_is_called() {
        let (one, other) = (Faults::new(7, 0.3), Faults::new(7, 0.3));
        let alone = verdicts(&one, "Scan", 200);
        verdicts(&other, "UpdateItem", 50);
        let mut beside = verdicts(&other, "Scan", 100);
        verdicts(&other, "PutItem", 50);
        beside.extend(verdicts(&other, "Scan", 100));
        assert_eq!(alone, beside);
        assert_ne!(alone, verdicts(&Faults::new(8, 0.3), "Scan", 200));
    }

    #[test]
    fn faults_come_at_their_rate_and_long_delays_as_often_as_allowed() {
        let faults = Faults::new(1, 0.2).with_long_delays(3);
        let verdicts = verdicts(&faults, "UpdateItem", 10_000);
        let met = verdicts.iter().filter(|verdict| *verdict != "Forward");
        let met = met.count();
        assert!((1_800..2_200).contains(&met), "{met}");
        let long = verdicts.iter().filter(|verdict| verdict.contains("11s"));
        assert_eq!(long.count(), 3);
    }
}
