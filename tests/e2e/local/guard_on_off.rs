//! `backfill guard on`, `off` and `status` of a guard function: the table and its stream are those of the embedded database, and Lambda's
//! answers are by hand, in the shape of its service model (botocore, lambda/2015-03-31).

use std::process::Command;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::types::{AttributeValue, StreamSpecification, StreamViewType};
use backfill_core::clock::now_ms;
use backfill_core::ports::guard::GuardStore as _;
use backfill_core::records::{GuardFailed, GuardHour, HOUR_MS};
use backfill_core::{Key, Value};
use backfill_dynamodb::{CheckpointTable, ConnectOptions, Connection};
use backfill_e2e::command::{Ended, backfill};
use backfill_e2e::database::Embedded;
use backfill_e2e::stub::{Answer, Stub};
use serde_json::{Value as Json, json};

const UUID: &str = "14e0db71-9e2c-4a4f-9e5b-3d1c8ff1b0a1";
const OTHER_UUID: &str = "7a1c2d7e-0b8f-4c55-8a61-90a3b6b7c8d9";
const ON: &str = "guard on --stack-name orders --set test=1 --json --table stuff";
const OFF: &str = "guard off --stack-name orders --table stuff --json";
const STATUS: &str = "guard status --stack-name orders --table stuff --json";

/// What whoever switches it on is told to type.
const VERIFY: &str =
    "verify --table stuff --checkpoint-table orders-checkpoints, with the same change";

/// The queue of what Lambda has given up.
const QUEUE: &str = "orders-guard-dead-letters";

/// Lambda with mappings to the guard functions of stacks `orders` and `billing`, and one to another function on the same stream; with
/// CloudWatch and SQS.
struct Lambda {
    stub: Stub,
    states: Arc<Mutex<[&'static str; 2]>>,
    figures: Arc<Mutex<Figures>>,
}

/// What CloudWatch and SQS say.
#[derive(Clone, Copy, Default)]
struct Figures {
    /// The highest IteratorAge of a minute, in milliseconds.
    iterator_age: Option<f64>,
    /// Messages of the queue that can be received, and that somebody has received.
    messages: (u64, u64),
    /// The age of the oldest of them, in seconds.
    waited: Option<f64>,
    /// Records that it gave up and could not tell the queue of, within an hour.
    dropped: Option<f64>,
    /// What Lambda says of the last records, if it is not that there were none.
    result: Option<&'static str>,
    /// A service that refuses to tell.
    refuses: &'static str,
    /// The filter of the mappings, if they have one.
    filter: Option<&'static str>,
    /// The state of the mapping from the queue to the function of `orders`, if it is not enabled; `none`: it is not there.
    reader: Option<&'static str>,
    /// `TABLE_NAME` and `CHECKPOINT_TABLE` of that function, if they are not those of the test.
    tables: Option<[&'static str; 2]>,
}

impl Lambda {
    /// With the mapping of `orders` in this state, and none of `billing`; `None`: it is not there.
    async fn start(state: Option<&'static str>) -> Lambda {
        let shared = Arc::new(Mutex::new([state.unwrap_or("none"), "none"]));
        let figures = Arc::<Mutex<Figures>>::default();
        let (lambda, told) = (shared.clone(), figures.clone());
        let stub = Stub::reading(move |asked, body| {
            let figures = *told.lock().unwrap();
            let told = figure(asked, body, figures);
            told.or_else(|| beside(asked, figures))
                .unwrap_or_else(|| answer(asked, &mut lambda.lock().unwrap(), figures))
        });
        Lambda {
            stub: stub.await,
            states: shared,
            figures,
        }
    }

    fn tell(&self, figures: Figures) {
        *self.figures.lock().unwrap() = figures;
    }

    fn set(&self, state: &'static str) {
        self.states.lock().unwrap()[0] = state;
    }

    fn is(&self) -> &'static str {
        self.states.lock().unwrap()[0]
    }

    /// The mapping of `billing` is in this state.
    fn set_other(&self, state: &'static str) {
        self.states.lock().unwrap()[1] = state;
    }

    /// The states of both mappings.
    fn both(&self) -> [&'static str; 2] {
        *self.states.lock().unwrap()
    }

    /// What it was asked to change.
    fn switched(&self) -> Vec<String> {
        let asked = self.stub.asked().into_iter().zip(self.stub.bodies());
        let puts = asked.filter(|(asked, _)| asked.starts_with("PUT "));
        puts.map(|(_, body)| body).collect()
    }
}

/// What CloudWatch and SQS answer, in the shapes of their service models (botocore, cloudwatch/2010-08-01 and sqs/2012-11-05); `None`
/// if something else is asked for.
fn figure(asked: &str, body: &str, figures: Figures) -> Option<Answer> {
    let (service, operation) = asked.split_once('.')?;
    if !["GraniteServiceVersion20100801", "AmazonSQS"].contains(&service) {
        return None;
    }
    if service == figures.refuses {
        let body =
            json!({"message": format!("User: you is not authorized to perform: {operation}")});
        return Some((403, Some("AccessDenied"), body.to_string()));
    }
    let body: Json = serde_json::from_str(body).unwrap();
    let url = format!("https://sqs.us-east-1.amazonaws.com/000000000000/{QUEUE}");
    let told = match operation {
        "GetQueueUrl" => {
            let queue = json!({"QueueName": QUEUE, "QueueOwnerAWSAccountId": "000000000000"});
            assert_eq!(body, queue);
            json!({"QueueUrl": url})
        }
        "GetQueueAttributes" => {
            assert_eq!(body["QueueUrl"], json!(url));
            let (waiting, hidden) = figures.messages;
            json!({"Attributes": {"ApproximateNumberOfMessages": waiting.to_string(),
                "ApproximateNumberOfMessagesNotVisible": hidden.to_string()}})
        }
        "GetMetricStatistics" => metric(&body, figures),
        other => panic!("nobody asks for {other}"),
    };
    Some((200, None, told.to_string()))
}

/// The metric of a function or a queue, a minute and two minutes ago.
fn metric(asked: &Json, figures: Figures) -> Json {
    let dimension = |name: &str, value: &str| json!([{"Name": name, "Value": value}]);
    let (of, value) = match asked["MetricName"].as_str().unwrap() {
        "IteratorAge" => (
            ("AWS/Lambda", dimension("FunctionName", "orders-guard")),
            figures.iterator_age,
        ),
        "DroppedEventCount" => (
            ("AWS/Lambda", dimension("EventSourceMappingUUID", UUID)),
            figures.dropped,
        ),
        "ApproximateAgeOfOldestMessage" => {
            (("AWS/SQS", dimension("QueueName", QUEUE)), figures.waited)
        }
        other => panic!("nobody asks for {other}"),
    };
    assert_eq!(
        (&asked["Namespace"], &asked["Dimensions"]),
        (&json!(of.0), &of.1)
    );
    let (from, to) = (&asked["StartTime"], &asked["EndTime"]);
    let (from, to) = (from.as_u64().unwrap(), to.as_u64().unwrap());
    if asked["MetricName"] != "DroppedEventCount" {
        assert_eq!((to - from, &asked["Period"]), (900, &json!(60)));
    }
    let points = value.into_iter().flat_map(|value| {
        let point = |at: u64, value: f64| json!({"Timestamp": at as f64, "Maximum": value});
        [point(to - 60, value), point(to - 120, value / 2.0)]
    });
    json!({"Label": asked["MetricName"], "Datapoints": points.collect::<Vec<_>>()})
}

/// The guard functions that may be connected to the stream, by the UUIDs of their mappings.
const GUARDS: [(&str, &str); 2] = [(UUID, "orders-guard:live"), (OTHER_UUID, "billing-guard")];

/// What Lambda answers about the function of `orders` and the queue that it reads; `None` if something else is asked for.
fn beside(asked: &str, figures: Figures) -> Option<Answer> {
    let told = if asked == "GET /2015-03-31/functions/orders-guard/configuration?Qualifier=live" {
        let [table, checkpoints] = figures.tables.unwrap_or(["stuff", "orders-checkpoints"]);
        json!({"FunctionName": "orders-guard",
            "Environment": {"Variables": {"TABLE_NAME": table, "CHECKPOINT_TABLE": checkpoints}}})
    } else if asked.contains("?EventSourceArn=arn%3Aaws%3Asqs%3A") {
        let state = figures.reader.unwrap_or("Enabled");
        let reader = |function: &str, state: &str| {
            json!({"UUID": "3", "State": state, "FunctionArn": arn(function),
                "FunctionResponseTypes": ["ReportBatchItemFailures"]})
        };
        let mut readers = vec![
            reader("others", "Disabled"),
            reader("orders-guard:live", state),
        ];
        if asked.contains("billing") {
            readers = vec![reader("billing-guard", "Enabled")];
        }
        readers.retain(|reader| reader["State"] != "none");
        json!({"EventSourceMappings": readers})
    } else {
        return None;
    };
    Some((200, None, told.to_string()))
}

fn arn(function: &str) -> String {
    format!("arn:aws:lambda:us-east-1:000000000000:function:{function}")
}

/// What Lambda answers, with the mappings of both in these states. A change takes until the mapping was looked at once.
fn answer(asked: &str, states: &mut [&'static str; 2], figures: Figures) -> Answer {
    let result = figures.result.unwrap_or("No records processed");
    let filters = figures.filter.map(|filter| json!({"Pattern": filter}));
    let filters: Vec<Json> = filters.into_iter().collect();
    let path = "/2015-03-31/event-source-mappings";
    let mapping = |uuid: &str, function: &str, state: &str| {
        let stack = function.split('-').next().unwrap();
        let queue = format!("arn:aws:sqs:us-east-1:000000000000:{stack}-guard-dead-letters");
        json!({"UUID": uuid, "State": state, "BatchSize": 100, "LastModified": 1.7638E9,
            "MaximumRetryAttempts": -1, "MaximumRecordAgeInSeconds": 43200, "LastProcessingResult": result,
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "DestinationConfig": {"OnFailure": {"Destination": queue}}, "FilterCriteria": {"Filters": filters},
            "FunctionArn": arn(function)})
    };
    for ((uuid, function), state) in GUARDS.into_iter().zip(states.iter_mut()) {
        if asked == format!("GET {path}/{uuid}") {
            let now = mapping(uuid, function, state);
            match *state {
                "Enabling" => *state = "Enabled",
                "Disabling" => *state = "Disabled",
                _ => {}
            }
            return (200, None, now.to_string());
        }
        if asked == format!("PUT {path}/{uuid}") {
            *state = match *state {
                "Disabled" => "Enabling",
                "Enabled" => "Disabling",
                other => panic!("Lambda would refuse a change of a mapping that is {other}"),
            };
            return (202, None, mapping(uuid, function, state).to_string());
        }
    }
    if asked.starts_with(&format!("GET {path}?EventSourceArn=")) {
        let mut all = vec![mapping(UUID, "orders-guardian", "Enabled")];
        // Lambda promises no order.
        let there = GUARDS.into_iter().zip(states.iter()).rev();
        let there = there.filter(|(_, state)| **state != "none");
        all.extend(there.map(|((uuid, function), state)| mapping(uuid, function, state)));
        return (200, None, json!({"EventSourceMappings": all}).to_string());
    }
    let body = json!({"Message": "User: you is not authorized to perform this"});
    (403, Some("AccessDeniedException"), body.to_string())
}

fn command(database: &Embedded, lambda: &Lambda, arguments: &str) -> Command {
    let mut command = backfill(arguments.split_whitespace());
    command
        .env("AWS_ENDPOINT_URL_DYNAMODB", &database.endpoint)
        .env("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", &database.endpoint)
        .env("AWS_ENDPOINT_URL_LAMBDA", &lambda.stub.endpoint)
        .env("AWS_ENDPOINT_URL_SFN", &lambda.stub.endpoint)
        .env("AWS_ENDPOINT_URL_CLOUDWATCH", &lambda.stub.endpoint)
        .env("AWS_ENDPOINT_URL_SQS", &lambda.stub.endpoint);
    command
}

fn ended(database: &Embedded, lambda: &Lambda, arguments: &str, code: i32) -> Ended {
    Ended::run(&mut command(database, lambda, arguments)).expect_code(code)
}

/// A table with a stream, and the checkpoint table that a stack would have.
async fn with_a_stream() -> Embedded {
    let database = Embedded::with_stuff(5).await;
    stream(&database, true).await;
    let run = "run --table stuff --set test=1 --checkpoint-table orders-checkpoints --json";
    Ended::run(&mut database.backfill(run)).expect_code(0);
    database
}

async fn stream(database: &Embedded, enabled: bool) {
    let stream = StreamSpecification::builder().stream_enabled(enabled);
    let view = enabled.then_some(StreamViewType::NewImage);
    let stream = stream.set_stream_view_type(view).build().unwrap();
    let update = database.client.update_table().table_name("stuff");
    update.stream_specification(stream).send().await.unwrap();
}

fn losses(status: &Json) -> Vec<&str> {
    let losses = status["losses"].as_array().unwrap().iter();
    losses.map(|loss| loss["kind"].as_str().unwrap()).collect()
}

/// Who has switched it on and off is named without a process, which is gone.
fn assert_switched_by_people(status: &Json) {
    for by in ["by", "off_by"] {
        let by = status[by].as_str().unwrap();
        assert!(by.contains('@') && !by.contains("pid"), "{by}");
    }
}

/// guarded: a guard that is switched on carries the claim once the table is counted, withdraws it when it is off or its mapping is, and
/// needs another count after that.
#[tokio::test(flavor = "multi_thread")]
async fn guarded_by_a_function_from_the_count_after_it_is_on_until_it_is_off() {
    let database = with_a_stream().await;
    let lambda = Lambda::start(Some("Disabled")).await;
    let on = ended(&database, &lambda, ON, 0);
    assert_eq!(on.json()["on"], true, "{on:?}");
    assert!(on.stderr.contains(VERIFY), "{on:?}");
    assert_eq!(lambda.is(), "Enabled");

    // The run's count began before.
    let uncounted = ended(&database, &lambda, STATUS, 3).json();
    assert_eq!(
        (&uncounted["guarded"], &uncounted["on"]),
        (&json!(false), &json!(true))
    );
    assert!(uncounted["guarded_since"].is_string(), "{uncounted}");
    let says = uncounted["says"].as_str().unwrap();
    assert!(says.contains("began before the guard was on"), "{says}");
    let count = "run --table stuff --set test=1 --checkpoint-table orders-checkpoints --json";
    ended(&database, &lambda, count, 0);
    let holds = ended(&database, &lambda, STATUS, 0).json();
    assert_eq!((&holds["guarded"], losses(&holds)), (&json!(true), vec![]));

    // Again: nothing is switched, and nothing lost.
    assert_eq!(lambda.switched().len(), 1);
    ended(&database, &lambda, ON, 0);
    assert_eq!(lambda.switched().len(), 1, "{:?}", lambda.switched());
    assert_eq!(
        ended(&database, &lambda, STATUS, 0).json()["guarded_since"],
        holds["guarded_since"]
    );

    // Somebody disables the mapping, or it is gone.
    for (state, why) in [
        ("Disabled", "is Disabled"),
        ("none", "no event source mapping"),
    ] {
        lambda.set(state);
        let withdrawn = ended(&database, &lambda, STATUS, 3).json();
        assert_eq!(withdrawn["guarded_since"], json!(null), "{withdrawn}");
        assert!(
            withdrawn["says"].as_str().unwrap().contains(why),
            "{withdrawn}"
        );
    }

    lambda.set("Enabled");
    let off = ended(&database, &lambda, OFF, 0).json();
    assert_eq!((&off["on"], lambda.is()), (&json!(false), "Disabled"));
    let is_off = ended(&database, &lambda, STATUS, 3).json();
    assert_switched_by_people(&is_off);
    assert!(
        is_off["says"].as_str().unwrap().contains("is off since"),
        "{is_off}"
    );
    assert_eq!(
        ended(&database, &lambda, OFF, 0).json()["off_ms"],
        off["off_ms"]
    );

    // Whatever was written meanwhile was not watched.
    ended(&database, &lambda, ON, 0);
    let again = ended(&database, &lambda, STATUS, 3).json();
    assert_eq!(losses(&again), ["off"]);
    let says = again["says"].as_str().unwrap();
    assert!(says.contains("the guard was off since"), "{again}");
    ended(&database, &lambda, count, 0);
    ended(&database, &lambda, STATUS, 0);
}

/// What cannot be watched is refused before anything is stored or switched, and it is said what to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_function_that_cannot_watch_is_not_switched_on() {
    let database = with_a_stream().await;
    let none = Lambda::start(None).await;
    let refused = ended(&database, &none, ON, 2).stderr;
    for part in [
        "stack-name: ",
        "orders-guard",
        "Guard=true",
        "GuardStreamArn=arn:aws:dynamodb:",
    ] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    let lambda = Lambda::start(Some("Disabled")).await;
    let unknown = ended(&database, &lambda, STATUS, 2).stderr;
    assert!(
        unknown.contains("knows of no guard on table stuff"),
        "{unknown}"
    );
    let unknown = ended(&database, &lambda, OFF, 2).stderr;
    assert!(unknown.contains("nothing to switch off"), "{unknown}");

    ended(&database, &lambda, ON, 0);
    let other = ON.replace("test=1", "test=2");
    let refused = ended(&database, &lambda, &other, 2).stderr;
    assert!(
        refused.contains("another change") && refused.contains("guard off --table stuff"),
        "{refused}"
    );
    stream(&database, false).await;
    let refused = ended(&database, &lambda, ON, 2).stderr;
    assert!(
        refused.contains("has no stream that a guard could watch"),
        "{refused}"
    );
    let status = ended(&database, &lambda, STATUS, 3).json();
    assert!(
        status["says"]
            .as_str()
            .unwrap()
            .contains("the stream of table stuff is off"),
        "{status}"
    );
    assert_eq!(lambda.switched(), [r#"{"Enabled":true}"#]);
}

/// The guard of stack `orders` is on, and whoever looks sees it and no other's.
fn assert_known_by_its_stack(database: &Embedded, lambda: &Lambda, here: &str) {
    // The mapping of the other stack makes no difference, whoever looks and whatever it is named.
    let status = format!("guard status {here}");
    for state in ["Enabled", "Disabled", "none"] {
        lambda.set_other(state);
        let holds = ended(database, lambda, &status, 0).json();
        assert_eq!(
            (&holds["stack"], &holds["guarded"]),
            (&json!("orders"), &json!(true)),
            "{holds}"
        );
    }
    lambda.set_other("Enabled");
    let of_run = "status --checkpoint-table orders-checkpoints --json";
    let verify = "verify --set test=1".to_owned() + " " + here;
    for state in ["Enabled", "Disabled"] {
        lambda.set(state);
        let holds = json!(state == "Enabled");
        for looked in [of_run, &verify] {
            let looked = ended(database, lambda, looked, 0).json();
            assert_eq!(looked["guarded"], holds, "{state}: {looked}");
        }
    }
    for what in ["status", "off"] {
        let of_other = format!("guard {what} {here} --stack-name billing");
        let refused = ended(database, lambda, &of_other, 2).stderr;
        assert!(
            refused.contains("stack-name: ") && refused.contains("of stack orders"),
            "{refused}"
        );
    }
}

/// Two stacks have their functions on one stream. The guard's record says whose watches, and everybody goes by that; the other one is
/// refused as long as it is on, wherever its records are.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_is_known_by_its_stack_and_not_by_the_first_mapping_that_comes() {
    let database = with_a_stream().await;
    let lambda = Lambda::start(Some("Disabled")).await;
    lambda.set_other("Disabled");
    ended(&database, &lambda, ON, 0);
    assert_eq!(lambda.both(), ["Enabled", "Disabled"]);
    let count = "run --table stuff --set test=1 --checkpoint-table orders-checkpoints --json";
    ended(&database, &lambda, count, 0);

    // The change may be that of a run: it is the same one, so the guard goes on.
    let run = "runs --checkpoint-table orders-checkpoints --json";
    let run = ended(&database, &lambda, run, 0).json();
    let run = run["runs"][0]["run_id"].as_str().unwrap();
    let again = format!("guard on --stack-name orders --run-id {run} --json");
    assert_eq!(
        ended(&database, &lambda, &again, 0).json()["table"],
        "stuff"
    );

    // In the same records, and in those of its own.
    let other = ON.replace("orders", "billing");
    for on in [
        format!("{other} --checkpoint-table orders-checkpoints"),
        other.clone(),
    ] {
        let refused = ended(&database, &lambda, &on, 2).stderr;
        assert!(
            refused.contains("watched by the guard function of stack orders ")
                && refused.contains("guard off --table stuff --stack-name orders`"),
            "{refused}"
        );
    }
    assert_eq!(lambda.both(), ["Enabled", "Disabled"]);

    let here = "--table stuff --checkpoint-table orders-checkpoints --json";
    assert_known_by_its_stack(&database, &lambda, here);
    lambda.set("Enabled");
    ended(&database, &lambda, &format!("guard off {here}"), 0);
    assert_eq!(lambda.both(), ["Disabled", "Enabled"]);
    // Now there is room for it; its own records are not there yet. What its function reads nobody may see here.
    let on = format!("{other} --checkpoint-table orders-checkpoints");
    let on = ended(&database, &lambda, &on, 0).stderr;
    let unseen = "warning: whether function billing-guard guards table stuff by checkpoint table orders-checkpoints cannot be seen";
    assert!(on.contains(unseen), "{on}");
    assert_eq!(lambda.both(), ["Disabled", "Enabled"]);
}

/// guarded: what Lambda gave up with no message about it is read again by nobody. It withdraws the claim until the table is counted again.
#[tokio::test(flavor = "multi_thread")]
async fn guarded_no_more_if_lambda_could_not_say_what_it_gave_up() {
    let database = with_a_stream().await;
    let lambda = Lambda::start(Some("Enabled")).await;
    ended(&database, &lambda, ON, 0);
    let count = "run --table stuff --set test=1 --checkpoint-table orders-checkpoints --json";
    ended(&database, &lambda, count, 0);
    for (dropped, code) in [(None, 0), (Some(0.0), 0), (Some(1.0), 3)] {
        lambda.tell(Figures {
            dropped,
            ..Figures::default()
        });
        let status = ended(&database, &lambda, STATUS, code).json();
        let says = status["says"].as_str().unwrap();
        assert_eq!(
            says.contains(
                "could not tell arn:aws:sqs:us-east-1:000000000000:orders-guard-dead-letters which"
            ),
            code == 3
        );
        assert_eq!(status["guarded"], json!(code == 0), "{says}");
    }
    // What was given up before the count was counted.
    let bodies = lambda.stub.bodies();
    let asked = bodies
        .iter()
        .rfind(|body| body.contains("DroppedEventCount"));
    let asked: Json = serde_json::from_str(asked.unwrap()).unwrap();
    let status = ended(&database, &lambda, STATUS, 3).json();
    let since_ms = status["since_ms"].as_u64().unwrap();
    assert!(asked["StartTime"].as_u64().unwrap() >= since_ms / 1_000);
}

/// guarded: a mapping that was changed since, and a queue that nobody reads, withdraw the claim as long as that is so, before the function
/// looks; and nobody switches such a guard on.
#[tokio::test(flavor = "multi_thread")]
async fn guarded_no_more_while_a_mapping_passes_over_records_or_nobody_reads_the_queue() {
    let database = with_a_stream().await;
    let lambda = Lambda::start(Some("Enabled")).await;
    ended(&database, &lambda, ON, 0);
    let count = "run --table stuff --set test=1 --checkpoint-table orders-checkpoints --json";
    ended(&database, &lambda, count, 0);
    let well = Figures {
        filter: Some(r#"{"eventName": ["INSERT", "MODIFY"]}"#),
        ..Figures::default()
    };
    let with_reader = |reader| Figures {
        reader: Some(reader),
        ..well
    };
    let inserts = Figures {
        filter: Some(r#"{"eventName": ["INSERT"]}"#),
        ..well
    };
    let elsewhere = Figures {
        tables: Some(["stuff", "others"]),
        ..well
    };
    for (figures, says) in [
        (well, "zero at"),
        (inserts, "passes over records"),
        (well, "zero at"),
        // The stack was deployed with other tables since.
        (elsewhere, "its CHECKPOINT_TABLE is \"others\""),
        (well, "zero at"),
        (
            with_reader("Disabled"),
            "event source mapping 3 is Disabled; enable it with aws lambda update-event-source-mapping --uuid 3 --enabled",
        ),
        (
            with_reader("none"),
            "connect it with aws lambda create-event-source-mapping --event-source-arn arn:aws:sqs:",
        ),
        (well, "zero at"),
    ] {
        lambda.tell(figures);
        let holds = says == "zero at";
        let status = ended(&database, &lambda, STATUS, if holds { 0 } else { 3 }).json();
        let said = status["says"].as_str().unwrap();
        assert!(said.contains(says), "{said}");
        assert_eq!(
            (&status["guarded"], &status["blind"]),
            (&json!(holds), &json!([])),
            "{said}"
        );
        let on = ended(&database, &lambda, ON, if holds { 0 } else { 2 });
        assert_eq!(on.stderr.contains(says), !holds, "{on:?}");
    }
}

/// guarded: a run whose record cannot be read, such as that of a later version, may have counted items since. Nobody claims that none is left.
#[tokio::test(flavor = "multi_thread")]
async fn guarded_by_nobody_who_cannot_read_what_a_run_has_counted() {
    let database = with_a_stream().await;
    let lambda = Lambda::start(Some("Enabled")).await;
    ended(&database, &lambda, ON, 0);
    let verify = "verify --table stuff --set test=1 --checkpoint-table orders-checkpoints --json";
    let count = ended(&database, &lambda, verify, 0).json();
    assert_eq!(count["guarded"], true, "{count}");
    ended(&database, &lambda, STATUS, 0);
    let runs = "runs --checkpoint-table orders-checkpoints --json";
    let runs = ended(&database, &lambda, runs, 0).json();
    let run_id = runs["runs"][0]["run_id"].as_str().unwrap();
    let later = database
        .client
        .update_item()
        .table_name("orders-checkpoints");
    let later = later
        .key("run_id", AttributeValue::S(run_id.into()))
        .key("record", AttributeValue::S("run".into()))
        .update_expression("SET version = :version")
        .expression_attribute_values(":version", AttributeValue::N("99".into()));
    later.send().await.unwrap();
    let status = ended(&database, &lambda, STATUS, 3).json();
    let blind = status["blind"][0].as_str().unwrap();
    assert!(blind.contains(run_id), "{status}");
    assert_eq!(status["guarded"], false, "{status}");
}

/// A function that would not see the guard's record is not switched on: the claim would be its, and nobody would watch.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_function_of_other_tables_is_not_switched_on() {
    let database = with_a_stream().await;
    let lambda = Lambda::start(Some("Disabled")).await;
    for (tables, field, is) in [
        (
            ["stuff", "others"],
            "checkpoint-table: ",
            "its CHECKPOINT_TABLE is \"others\"",
        ),
        (
            ["orders", "orders-checkpoints"],
            "stack-name: ",
            "its TABLE_NAME is \"orders\"",
        ),
    ] {
        lambda.tell(Figures {
            tables: Some(tables),
            ..Figures::default()
        });
        let refused = ended(&database, &lambda, ON, 2).stderr;
        assert!(refused.contains(field) && refused.contains(is), "{refused}");
    }
    assert_eq!(lambda.switched(), Vec::<String>::new());
    lambda.tell(Figures::default());
    let unknown = ended(&database, &lambda, STATUS, 2).stderr;
    assert!(unknown.contains("knows of no guard"), "{unknown}");
    let on = ended(&database, &lambda, ON, 0);
    assert!(!on.stderr.contains("warning"), "{on:?}");
}

/// What cannot be asked, or is not told, is said, and `guard status` does not end with success.
fn assert_told_what_cannot_be_asked(database: &Embedded, lambda: &Lambda, given_up: Figures) {
    // Without an age nobody knows whether something waits, unless Lambda says that nothing does.
    lambda.tell(Figures {
        result: Some("Function took long"),
        ..Figures::default()
    });
    let status = ended(database, lambda, STATUS, 3).json();
    let blind = status["blind"][0].as_str().unwrap();
    assert!(blind.contains("Function took long"), "{status}");
    for (refuses, age, what) in [
        (
            "GraniteServiceVersion20100801",
            json!(43_200.0),
            "IteratorAge of function orders-guard",
        ),
        (
            "AmazonSQS",
            json!(2.5),
            "what is in queue orders-guard-dead-letters",
        ),
    ] {
        lambda.tell(Figures {
            refuses,
            ..given_up
        });
        let status = ended(database, lambda, STATUS, 3).json();
        assert_eq!(status["iterator_age_seconds"], age, "{status}");
        let blind = status["blind"][0].as_str().unwrap();
        assert!(
            blind.contains(what) && blind.contains("AccessDenied"),
            "{blind}"
        );
        // Whatever is in a queue that nobody may look at is not known to be there, nor not to be.
        assert_eq!(status["guarded"], false, "{status}");
        let says_zero = status["says"].as_str().unwrap().contains("zero at ");
        assert_eq!(says_zero, refuses == "AmazonSQS", "{status}");
    }
}

/// guarded: how old the records are that a guard function has not settled is told by CloudWatch, and of what Lambda has given up by its
/// queue. What cannot be asked is said, and then `guard status` does not end with success.
#[tokio::test(flavor = "multi_thread")]
async fn guarded_with_the_age_of_what_waits_in_lambda_and_in_its_queue() {
    let database = with_a_stream().await;
    let lambda = Lambda::start(Some("Enabled")).await;
    ended(&database, &lambda, ON, 0);
    let count = "run --table stuff --set test=1 --checkpoint-table orders-checkpoints --json";
    ended(&database, &lambda, count, 0);
    let late = Figures {
        iterator_age: Some(2_500.0),
        ..Figures::default()
    };
    let given_up = Figures {
        messages: (1, 1),
        waited: Some(600.0),
        ..late
    };
    let (hours, batches) = (
        43_800.0,
        "given up 2 batches of records, at least 12 h 10 min",
    );
    for (figures, age, says) in [
        (
            Figures::default(),
            json!(null),
            "handed it no record within the last 15 minutes",
        ),
        (late, json!(2.5), "was up to 3 s old"),
        (given_up, json!(hours), batches),
    ] {
        lambda.tell(figures);
        // What Lambda has given up may be gone before it is settled, which withdraws the claim as long as that is so.
        let holds = age != json!(hours);
        let code = if holds { 0 } else { 3 };
        let status = ended(&database, &lambda, STATUS, code).json();
        assert_eq!(status["iterator_age_seconds"], age, "{status}");
        let said = status["says"].as_str().unwrap();
        assert!(said.contains(says), "{said}");
        assert_eq!(said.contains("zero at "), holds, "{said}");
        assert_eq!(said.contains("given up"), !holds, "{said}");
        assert_eq!(status["blind"], json!([]));
    }
    // A run says the same, and so does its report.
    let of_run = "status --checkpoint-table orders-checkpoints --json";
    let of_run = ended(&database, &lambda, of_run, 0).json();
    assert_eq!(of_run["iterator_age_seconds"], json!(hours), "{of_run}");
    let report = "report --checkpoint-table orders-checkpoints --format markdown --out -";
    let report = ended(&database, &lambda, report, 0).stdout;
    assert!(report.contains(batches), "{report}");
    assert_told_what_cannot_be_asked(&database, &lambda, given_up);
}

/// Who writes the old shape: what the guard function has noted hour by hour, and what it could not repair.
#[tokio::test(flavor = "multi_thread")]
async fn a_status_says_when_the_old_shape_was_written_and_what_failed() {
    let database = with_a_stream().await;
    let lambda = Lambda::start(Some("Enabled")).await;
    ended(&database, &lambda, ON, 0);
    let here = ConnectOptions {
        endpoint_url: Some(database.endpoint.clone()),
        region: Some("us-east-1".into()),
        local_credentials: true,
        ..ConnectOptions::default()
    };
    let connection = Connection::open(&here).await.unwrap();
    let store = CheckpointTable::new(&connection, "orders-checkpoints");
    let key = |id: &str| Key([("id".to_owned(), Value::S(id.into()))].into());
    let at_ms = now_ms();
    let done = GuardHour {
        start_ms: at_ms / HOUR_MS * HOUR_MS,
        seen: 12,
        repaired: 3,
        raced: 2,
        vanished: 1,
        failed: 1,
        samples: vec![key("old-1"), key("old-2")],
    };
    store.add_to_guard_hour("stuff", &done).await.unwrap();
    let failed = GuardFailed {
        key: key("too-large"),
        reason: "the item would be larger than 400 KB".into(),
        at_ms,
    };
    store.note_guard_failed("stuff", &failed).await.unwrap();
    // One that failed before the last count of zero is repaired since, or gone.
    let earlier = GuardFailed {
        key: key("earlier"),
        at_ms: at_ms - HOUR_MS,
        ..failed.clone()
    };
    store.note_guard_failed("stuff", &earlier).await.unwrap();
    let text = ended(&database, &lambda, &STATUS.replace(" --json", ""), 3).stdout;
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "12 records seen, 3 items repaired, 2 raced, 1 vanished, 1 failed",
        r#"3 items repaired, such as {"id":{"S":"old-1"}}, {"id":{"S":"old-2"}}, 1 failed"#,
        r#"failed {"id":{"S":"too-large"}}: the item would be larger than 400 KB"#,
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let status = ended(&database, &lambda, STATUS, 3).json();
    for (field, expected) in [("seen", 12), ("repaired", 3), ("failed", 1)] {
        assert_eq!(status[field], expected, "{field}: {status}");
    }
    assert_eq!(status["hours"][0]["start_ms"], done.start_ms);
    assert_eq!(status["failed_items"][0]["reason"], failed.reason);
    assert_eq!(status["failed_items"].as_array().unwrap().len(), 1);
}
