//! A plan that is kept in a file, and the run of exactly that.

use backfill_e2e::command::{Ended, backfill_as_typed};
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{STUFF_KEYS, migrated, read_all};
use serde_json::{Value as Json, json};

use crate::screens::{add_index, assert_is_of, end_of};

const PLAN: &str = "plan --table stuff --set test=1 --segments 4 --max-wcu 5000";
const MACHINE: &str = "arn:aws:states:us-east-1:123456789012:stateMachine:backfill";

/// A database, and a plan of its table in a file.
struct Kept {
    database: Embedded,
    file: String,
    _folder: tempfile::TempDir,
}

impl Kept {
    async fn new() -> Kept {
        let database = Embedded::with_stuff(300).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plan.json").display().to_string();
        let plan = database.backfill(&format!("{PLAN} --out {file}"));
        end_of(plan).await.expect_code(0);
        Kept {
            database,
            file,
            _folder: folder,
        }
    }

    /// Runs the command, with the plan.
    async fn with_plan(&self, command: &str) -> Ended {
        end_of(
            self.database
                .backfill(&format!("{command} --plan {}", self.file)),
        )
        .await
    }

    /// Expects a refusal in these words, of `run` and of `start`, before there is a record.
    async fn expect_refusal(&self, more: &str, words: &str) {
        for command in [
            "run".to_owned(),
            format!("start --state-machine-arn {MACHINE}"),
        ] {
            let refused = self
                .with_plan(&format!("{command} {more}"))
                .await
                .expect_code(2);
            let why = &refused.stderr;
            assert!(why.starts_with("error: plan: not as in "), "{why}");
            assert!(why.contains(words), "{why}");
        }
    }
}

/// A run by a plan does what was planned, with the settings that were chosen then; the file holds no item.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_by_a_kept_plan_does_exactly_that() {
    let kept = Kept::new().await;
    let text = std::fs::read_to_string(&kept.file).unwrap();
    assert!(!text.contains("item-0"), "{text}");
    let plan: Json = serde_json::from_str(&text).unwrap();
    let schema = end_of(backfill_as_typed(["schema", "kept-plan"])).await;
    let schema = schema.expect_code(0).json();
    assert_is_of(&plan, &schema, &schema, "plan");

    let (client, database) = (&kept.database.client, &kept.database);
    let before = read_all(client, "stuff", STUFF_KEYS).await;
    kept.expect_refusal("--max-wcu 100", "\n  --max-wcu: planned 5000, now 100\n")
        .await;
    let spec = "\n  spec: planned SET test = {\"N\":\"1\"} where attribute_not_exists(test), now SET test = {\"N\":\"2\"} where";
    kept.expect_refusal("--table stuff --set test=2", spec)
        .await;
    // A part of the spec is compared as well, and the rest is as planned.
    kept.expect_refusal("--set test=2", spec).await;
    let table = "table: planned stuff, now other\n";
    kept.expect_refusal("--table other", table).await;
    assert_eq!(read_all(client, "stuff", STUFF_KEYS).await, before);
    assert_eq!(database.table_names().await, ["stuff"]);

    let same = "run --json --table stuff --set test=1 --max-wcu 5000";
    let result = kept.with_plan(same).await.expect_code(0).json();
    for (field, expected) in [
        ("run_id", plan["run_id"].clone()),
        ("segments", json!(4)),
        ("max_wcu", json!(5000)),
        ("updated", json!(240)),
    ] {
        assert_eq!(result[field], expected, "{field}");
    }
    assert_eq!(
        read_all(client, "stuff", STUFF_KEYS).await,
        migrated(&before)
    );
    // It may be done again, also by a plan that gives the run that is there another budget, as long as that is all.
    kept.with_plan("run --table stuff").await.expect_code(0);
    let anew = format!(
        "plan --table stuff --set test=1 --max-wcu 700 --out {}",
        kept.file
    );
    end_of(kept.database.backfill(&anew)).await.expect_code(0);
    let result = kept.with_plan("run --json").await.expect_code(0).json();
    assert_eq!(result["max_wcu"], 700);
}

/// A table that is another, or another kind of table, is refused with what is different; so is a run that has other settings by now, and a
/// plan that was edited.
#[tokio::test(flavor = "multi_thread")]
async fn a_kept_plan_is_refused_if_table_or_run_are_others_now() {
    let kept = Kept::new().await;
    let canary = "run --table stuff --set test=1 --segments 4 --max-wcu 300 --only-segments 0";
    end_of(kept.database.backfill(canary)).await.expect_code(4);
    let refused = kept.with_plan("run").await.expect_code(2);
    let words = "\n  --max-wcu: planned 5000, now 300\n";
    assert!(refused.stderr.contains(words), "{}", refused.stderr);

    add_index(&kept.database, "ByOwner", "owner").await;
    let index = "\n  table.indexes.ByOwner: planned none, now global on owner with keys only\n";
    kept.expect_refusal("", index).await;

    let other = Embedded::with_stuff(300).await;
    let of_other = format!("run --plan {}", kept.file);
    let refused = end_of(other.backfill(&of_other)).await.expect_code(2);
    let words = "(another table of this name: created anew since, or in another account or region)";
    assert!(refused.stderr.contains(words), "{}", refused.stderr);
    assert_eq!(other.table_names().await, ["stuff"]);

    let text = std::fs::read_to_string(&kept.file).unwrap();
    let edited = text.replace("\"max_wcu\": 5000", "\"max_wcu\": 9000");
    assert_ne!(edited, text);
    std::fs::write(&kept.file, edited).unwrap();
    for command in [
        "run".to_owned(),
        format!("start --state-machine-arn {MACHINE}"),
    ] {
        let refused = kept.with_plan(&command).await.expect_code(2);
        let why = "plan: it is not as backfill plan has written it: somebody has edited it";
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
    }
    std::fs::write(&kept.file, "{}").unwrap();
    let refused = kept.with_plan("run").await.expect_code(2);
    assert!(
        refused.stderr.contains("plan: missing field"),
        "{}",
        refused.stderr
    );
}
