//! An execution of the state machine, played over the functions of the deployment.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use backfill_e2e::functions::{Fate, Functions, Invoked};
use fastrand::Rng;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value as Json, json};

/// One execution as the state machine drives it, on functions that are killed now and then, each time to be invoked again.
pub struct Execution {
    pub seed: u64,
    pub functions: Functions,
    pub random: Mutex<Rng>,
    /// How many processes may still be killed.
    pub kills_left: AtomicU64,
    /// Workers that were killed, and chunks that ran out of time.
    pub cuts: AtomicU64,
}

impl Execution {
    /// What befalls the next invocation of a function that takes about so long.
    pub fn fate(&self, length: Duration) -> Fate {
        let mut random = self.random.lock().unwrap();
        let killed = random.bool() && self.kills_left.load(SeqCst) > 0;
        Fate {
            kill_after: killed.then(|| length.mul_f64(random.f64())),
            // The clock of Lambda and that of the function need not agree.
            deadline_ms: match random.u8(..8) {
                0 => -60_000,
                1 => 1_200,
                2 => i64::MAX / 2,
                _ => 900_000,
            },
        }
    }

    /// One task of the state machine, with its Retry.
    pub async fn task(&self, function: &'static str, length: Duration, payload: Json) -> Json {
        loop {
            match self
                .functions
                .invoke(function, &payload, self.fate(length))
                .await
            {
                Invoked::Answer(answer) => return answer,
                Invoked::Killed => {
                    // One too many, if two die at the same time, does no harm.
                    let _ = self
                        .kills_left
                        .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
                    if function == "worker" {
                        self.cuts.fetch_add(1, SeqCst);
                    }
                }
                Invoked::Error(name, message) => {
                    panic!("seed {}: {payload}: {name}: {message}", self.seed)
                }
            }
        }
    }

    pub async fn planner(&self, payload: Json) -> Json {
        self.task("planner", Duration::from_millis(40), payload)
            .await
    }

    pub async fn worker(&self, plan: &Json, segment: &Json, trial: bool) -> bool {
        let chunk = json!({
            "run_id": plan["run_id"], "pass": plan["pass"], "segment": segment, "owner": OWNER, "trial": trial,
        });
        let report = self.task("worker", Duration::from_millis(900), chunk).await;
        let done = report["done"] == true;
        self.cuts.fetch_add(u64::from(!done), SeqCst);
        done
    }

    /// statemachine/backfill.asl.json, from Plan to Conclude. Returns the conclusion.
    pub async fn run(&self, input: &Json) -> Json {
        let plan = json!({"action": "plan", "owner": OWNER, "input": input});
        let mut plan = self.planner(plan).await;
        loop {
            let segments = plan["segments"].as_array().expect("segments").clone();
            if !segments.is_empty() {
                if plan["trial"] == true {
                    self.worker(&plan, &segments[0], true).await;
                }
                let at_once = plan["max_concurrency"].as_u64().expect("a number");
                let plan_now = &plan;
                stream::iter(&segments)
                    .for_each_concurrent(at_once as usize, |segment| async move {
                        while !self.worker(plan_now, segment, false).await {}
                    })
                    .await;
            } else {
                let mut state = plan["verification"].clone();
                while state["done"] != true {
                    let request = json!({
                        "run_id": plan["run_id"], "pass": plan["pass"], "owner": OWNER, "verification": state,
                    });
                    let length = Duration::from_millis(200);
                    state = self.task("verifier", length, request).await;
                }
                let conclude = json!({
                    "action": "conclude", "owner": OWNER, "run_id": plan["run_id"], "pass": plan["pass"],
                    "verification": state,
                });
                let conclusion = self.planner(conclude).await;
                if conclusion["status"] != "next_pass" {
                    return conclusion;
                }
                plan["pass"] = conclusion["pass"].clone();
            }
            let next = json!({
                "action": "next", "owner": OWNER, "run_id": plan["run_id"], "pass": plan["pass"],
            });
            plan = self.planner(next).await;
        }
    }
}

const OWNER: &str = "arn:aws:states:us-east-1:000000000000:execution:backfill:faults";
