//! held: a run of this machine while an alarm is in ALARM, and outside of its hours. CloudWatch answers in the shape of its service
//! model (botocore, cloudwatch/2010-08-01).

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use backfill_core::clock::{now_ms, rfc3339};
use backfill_e2e::command::{Ended, backfill};
use backfill_e2e::database::Embedded;
use backfill_e2e::stub::{Answer, Stub};
use backfill_e2e::tables::migrated;
use serde_json::{Value as Json, json};

use crate::stuff::{all, assert_accounted, wait_for_progress};

/// CloudWatch with an alarm that is in this state, or answers of another kind.
struct CloudWatch {
    stub: Stub,
    answer: Arc<Mutex<Answer>>,
}

impl CloudWatch {
    async fn start() -> CloudWatch {
        let answer = Arc::new(Mutex::new(alarm("OK")));
        let now = answer.clone();
        let stub = Stub::start(move |asked| {
            assert_eq!(asked, "GraniteServiceVersion20100801.DescribeAlarms");
            now.lock().unwrap().clone()
        });
        CloudWatch {
            stub: stub.await,
            answer,
        }
    }

    fn set(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn command(&self, database: &Embedded, arguments: &str) -> Command {
        let mut command = backfill(arguments.split_whitespace());
        command
            .env("AWS_ENDPOINT_URL_DYNAMODB", &database.endpoint)
            .env("AWS_ENDPOINT_URL_CLOUDWATCH", &self.stub.endpoint);
        command
    }
}

fn alarm(state: &str) -> Answer {
    let alarm = json!({
        "AlarmName": "slow", "AlarmArn": "arn:aws:cloudwatch:us-east-1:000000000000:alarm:slow", "StateValue": state,
        "StateUpdatedTimestamp": 1768507100.5, "StateTransitionedTimestamp": 1768507200.0,
    });
    (
        200,
        None,
        json!({"MetricAlarms": [alarm], "CompositeAlarms": []}).to_string(),
    )
}

/// The state of the run, as soon as it is as wanted.
async fn status_when(
    cloudwatch: &CloudWatch,
    database: &Embedded,
    is_wanted: impl Fn(&Json) -> bool,
) -> Json {
    let begin = Instant::now();
    loop {
        let mut status = cloudwatch.command(database, "status --json");
        let status = Ended::run(&mut status);
        // There may be no run yet.
        if status.code == 0 && is_wanted(&status.json()) {
            return status.json();
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{status:?}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// A slow run that an alarm may hold, once it has written.
async fn run_with_alarm(cloudwatch: &CloudWatch, database: &Embedded) -> std::process::Child {
    let run = "run --table stuff --set test=1 --json --pause-when slow --max-wcu 100 --segments 4";
    let mut command = cloudwatch.command(database, run);
    let child = command
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_progress(database).await;
    child
}

/// held, resume: from ALARM to OK nothing is written; `status` says why; hours that are set on the way hold it as well, until they
/// are lifted. It ends with its proof.
#[tokio::test(flavor = "multi_thread")]
async fn held_by_an_alarm_and_by_hours() {
    let database = Embedded::with_stuff(3_000).await;
    let before = all(&database).await;
    let cloudwatch = CloudWatch::start().await;
    let child = run_with_alarm(&cloudwatch, &database).await;

    cloudwatch.set(alarm("ALARM"));
    let status = status_when(&cloudwatch, &database, |status| !status["held"].is_null()).await;
    let why = "alarm slow is in ALARM since 2026-01-15T20:00:00Z";
    assert_eq!(status["held"]["why"], why);
    assert_eq!(status["status"], "running");
    let text = Ended::run(&mut cloudwatch.command(&database, "status")).expect_code(0);
    assert!(
        text.stdout.contains(&format!("  held      {why}")),
        "{text:?}"
    );
    let held = all(&database).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(all(&database).await, held, "nothing is written");
    cloudwatch.set(alarm("OK"));
    status_when(&cloudwatch, &database, |status| status["held"].is_null()).await;

    let run_id = status["run_id"].as_str().unwrap();
    let rate = |more: &[&str]| {
        let mut rate = cloudwatch.command(&database, &format!("rate --run-id {run_id} --json"));
        Ended::run(rate.args(more))
    };
    let hour = |later: u64| rfc3339(now_ms() + later * 3_600_000)[11..16].to_owned();
    let hours = format!("{}-{} UTC", hour(2), hour(3));
    let set = rate(&["--hours", &hours]).expect_code(0);
    assert_eq!(set.json()["after"]["hours"], hours);
    assert!(
        set.stderr.contains(&format!("hours none -> {hours}")),
        "{}",
        set.stderr
    );
    let status = status_when(&cloudwatch, &database, |status| !status["held"].is_null()).await;
    assert!(
        status["held"]["why"].as_str().unwrap().ends_with(&hours),
        "{status}"
    );
    rate(&[
        "--hours",
        "none",
        "--pause-when",
        "none",
        "--max-wcu",
        "none",
    ])
    .expect_code(0);

    let ended = Ended::of(child).expect_code(0);
    let result = ended.json();
    assert_accounted(&result);
    assert_eq!(result["held"], Json::Null);
    assert_eq!(all(&database).await, migrated(&before));
}

/// held: CloudWatch that throttles or fails for a moment holds nothing, and a right that is taken away does, in its words; the report
/// says so, too.
#[tokio::test(flavor = "multi_thread")]
async fn held_while_the_alarm_may_not_be_read() {
    let database = Embedded::with_stuff(3_000).await;
    let before = all(&database).await;
    let cloudwatch = CloudWatch::start().await;
    let child = run_with_alarm(&cloudwatch, &database).await;
    let refusal =
        |status, code, message: &str| (status, Some(code), json!({"message": message}).to_string());
    let asked = || cloudwatch.stub.bodies().len();
    for answer in [
        refusal(400, "Throttling", "Rate exceeded"),
        refusal(503, "ServiceUnavailable", ""),
    ] {
        cloudwatch.set(answer);
        let begin = (asked(), Instant::now());
        while asked() < begin.0 + 2 {
            assert!(begin.1.elapsed() < Duration::from_secs(20), "not asked");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let status = status_when(&cloudwatch, &database, |_| true).await;
    assert_eq!(
        (&status["held"], &status["status"]),
        (&Json::Null, &json!("running"))
    );

    let denied = "User: you is not authorized to perform: cloudwatch:DescribeAlarms";
    cloudwatch.set(refusal(400, "AccessDenied", denied));
    let status = status_when(&cloudwatch, &database, |status| !status["held"].is_null()).await;
    let why = status["held"]["why"].as_str().unwrap();
    assert!(
        why.starts_with("alarm slow cannot be read: ") && why.contains(denied),
        "{why}"
    );
    let held = all(&database).await;
    let report = "report --format markdown --out -";
    let report = Ended::run(&mut cloudwatch.command(&database, report))
        .expect_code(0)
        .stdout;
    for words in [
        "Held: the run on table stuff",
        denied,
        "held while alarm slow is in ALARM",
    ] {
        assert!(report.contains(words), "{words}: {report}");
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(all(&database).await, held, "nothing is written");

    cloudwatch.set(alarm("OK"));
    status_when(&cloudwatch, &database, |status| status["held"].is_null()).await;
    let run_id = status["run_id"].as_str().unwrap();
    let rate = format!("rate --run-id {run_id} --max-wcu none");
    Ended::run(&mut cloudwatch.command(&database, &rate)).expect_code(0);
    let result = Ended::of(child).expect_code(0).json();
    assert_accounted(&result);
    assert_eq!(all(&database).await, migrated(&before));
}

/// held: a plan says first what would hold the run now, and until when.
#[tokio::test(flavor = "multi_thread")]
async fn held_as_a_plan_says_before() {
    let database = Embedded::with_stuff(10).await;
    let cloudwatch = CloudWatch::start().await;
    let plan = |hours: &str, more: &[&str]| {
        let mut plan = cloudwatch.command(
            &database,
            "plan --table stuff --set test=1 --pause-when slow",
        );
        Ended::run(plan.args(["--hours", hours]).args(more))
    };
    let hour = |later: u64| rfc3339(now_ms() + later * 3_600_000)[11..16].to_owned();
    let (open, closed) = (
        format!("{}-{} UTC", hour(23), hour(2)),
        format!("{}-{} UTC", hour(2), hour(3)),
    );
    let calm = plan(&open, &[]).expect_code(0);
    assert!(
        !calm.stdout.contains("would be held now"),
        "{}",
        calm.stdout
    );
    cloudwatch.set(alarm("ALARM"));
    let plan = plan(&closed, &["--json"]).expect_code(0).json();
    let warnings = plan["warnings"].as_array().unwrap();
    let held = warnings
        .iter()
        .filter(|warning| warning["code"] == "held_now");
    let held: Vec<String> = held.map(|warning| warning["what"].to_string()).collect();
    assert_eq!(held.len(), 2, "{warnings:?}");
    assert!(
        held[0].contains(&format!("by its hours, {closed}")),
        "{held:?}"
    );
    let why = "the run would be held now: alarm slow is in ALARM since 2026-01-15T20:00:00Z";
    assert!(held[1].contains(why), "{held:?}");
}

/// held: a composite alarm holds as one of a metric does; it is asked for by its kind.
#[tokio::test(flavor = "multi_thread")]
async fn held_by_a_composite_alarm() {
    let database = Embedded::with_stuff(100).await;
    let cloudwatch = CloudWatch::start().await;
    let (_, _, of_a_metric) = alarm("ALARM");
    let composite = of_a_metric
        .replace("CompositeAlarms", "Others")
        .replace("MetricAlarms", "CompositeAlarms");
    cloudwatch.set((200, None, composite));
    let child = cloudwatch
        .command(
            &database,
            "run --table stuff --set test=1 --pause-when slow --json",
        )
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    status_when(&cloudwatch, &database, |status| !status["held"].is_null()).await;
    let asked = cloudwatch.stub.bodies();
    let asked: Json = serde_json::from_str(&asked[0]).unwrap();
    let expected = json!({
        "AlarmNames": ["slow"], "AlarmTypes": ["MetricAlarm", "CompositeAlarm"], "MaxRecords": 100,
    });
    assert_eq!(asked, expected);
    backfill_e2e::wire::signal(child.id(), "INT");
    let paused = Ended::of(child).expect_code(4).json();
    assert_eq!(
        (&paused["updated"], &paused["status"]),
        (&json!(0), &json!("paused"))
    );
}

/// held: what is no alarm and what are no hours is refused before anything is written, in the words that were typed.
#[tokio::test(flavor = "multi_thread")]
async fn held_by_what_is_not_there_is_refused() {
    let database = Embedded::with_stuff(10).await;
    let before = database.table_names().await;
    let cloudwatch = CloudWatch::start().await;
    let run = |cloudwatch: &CloudWatch, more: &[&str]| {
        let mut run = cloudwatch.command(&database, "run --table stuff --set test=1");
        Ended::run(run.args(more))
    };
    let refused = run(&cloudwatch, &["--pause-when", "fast"]).expect_code(2);
    let why = "error: pause-when: there is no alarm fast in this account and region";
    assert!(refused.stderr.contains(why), "{}", refused.stderr);
    let elsewhere = "arn:aws:cloudwatch:eu-west-1:000000000000:alarm:slow";
    let refused = run(&cloudwatch, &["--pause-when", elsewhere]).expect_code(2);
    let why = "pause-when: alarm slow is in region eu-west-1, and the table in us-east-1";
    assert!(refused.stderr.contains(why), "{}", refused.stderr);
    let refused = run(&cloudwatch, &["--hours", "22:00-06:00 Europe/Belrin"]).expect_code(2);
    let why = "hours: \"Europe/Belrin\" is no time zone that is known; expected hours and their time zone, such as 22:00-06:00 \
               Europe/Berlin";
    assert!(refused.stderr.contains(why), "{}", refused.stderr);
    let message = json!({"message": "User: arn:aws:iam::000000000000:user/you is not authorized to perform: \
                                    cloudwatch:DescribeAlarms"});
    cloudwatch.set((400, Some("AccessDenied"), message.to_string()));
    let refused = run(&cloudwatch, &["--pause-when", "slow"]).expect_code(1);
    assert!(
        refused.stderr.contains("cloudwatch:DescribeAlarms"),
        "{}",
        refused.stderr
    );

    let mut sandbox = database.backfill("run --table stuff --set test=1 --pause-when slow");
    let refused = Ended::run(&mut sandbox).expect_code(2);
    let why = format!(
        "pause-when: there is no CloudWatch at {}",
        database.endpoint
    );
    assert!(refused.stderr.contains(&why), "{}", refused.stderr);
    assert_eq!(database.table_names().await, before, "nothing is created");
}
