//! What Lambda has free is compared with what a deployed run would take, and what it connects to a stream with what a description
//! expects. Lambda's answers are those of its service model (botocore, lambda/2015-03-31).

use std::process::Command;

use backfill_e2e::command::{Ended, backfill};
use backfill_e2e::database::Embedded;
use backfill_e2e::stub::{Answer, Stub};
use serde_json::{Value as Json, json};

const MACHINE: &str = "arn:aws:states:us-east-1:000000000000:stateMachine:backfill-orders";

/// Lambda with 1,000 executions at once, of which so many are unreserved, and these for the workers. Step Functions refuses
/// whatever it is asked for.
async fn aws(unreserved: u32, reserved: Option<u32>) -> Stub {
    Stub::start(move |asked| match asked {
        "GET /2016-08-19/account-settings" => {
            let limit = json!({
                "TotalCodeSize": 80530636800_u64, "CodeSizeUnzipped": 262144000, "CodeSizeZipped": 52428800,
                "ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": unreserved,
            });
            let usage = json!({"TotalCodeSize": 1, "FunctionCount": 3});
            let answer = json!({"AccountLimit": limit, "AccountUsage": usage});
            (200, None, answer.to_string())
        }
        "GET /2019-09-30/functions/backfill-orders-worker/concurrency" => {
            let answer = match reserved {
                Some(reserved) => json!({"ReservedConcurrentExecutions": reserved}),
                None => json!({}),
            };
            (200, None, answer.to_string())
        }
        _ => denied(),
    })
    .await
}

fn denied() -> Answer {
    let body = json!({"Message": "User: arn:aws:iam::000000000000:user/you is not authorized to perform this"});
    (403, Some("AccessDeniedException"), body.to_string())
}

/// A command with tables in this database, and Lambda and Step Functions in this stub.
fn command(database: &Embedded, stub: &Stub, arguments: &str) -> Command {
    let mut command = backfill(arguments.split_whitespace());
    command
        .env("AWS_ENDPOINT_URL_DYNAMODB", &database.endpoint)
        .env("AWS_ENDPOINT_URL_LAMBDA", &stub.endpoint)
        .env("AWS_ENDPOINT_URL_SFN", &stub.endpoint);
    command
}

fn plan(stub: &Stub, database: &Embedded, more: &str) -> Json {
    let plan = "plan --table stuff --set test=1 --json";
    let ended = Ended::run(&mut command(database, stub, &format!("{plan} {more}")));
    ended.expect_code(0).json()
}

/// The warnings about Lambda: what is found, and what to do.
fn about_lambda(plan: &Json) -> Vec<(String, String)> {
    let warnings = plan["warnings"].as_array().expect("warnings").iter();
    let of_lambda =
        warnings.filter(|warning| warning["code"].as_str().unwrap().starts_with("lambda"));
    let text = |warning: &Json, field: &str| warning[field].as_str().expect("a text").to_owned();
    of_lambda
        .map(|warning| (text(warning, "what"), text(warning, "advice")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_to_lower_if_lambda_has_too_little_room() {
    let database = Embedded::with_stuff(20).await;
    let stack = "--stack-name backfill-orders";
    // A new account has 10, and 8 workers are the default.
    let stub = aws(10, None).await;
    let narrow = plan(&stub, &database, stack);
    let room = json!({"known": {"account": 1000, "unreserved": 10, "reserved": null}});
    assert_eq!(narrow["lambda"], room);
    let warnings = about_lambda(&narrow);
    let (what, advice) = &warnings[0];
    assert!(
        what.contains("8 workers at once") && what.contains("of 10 functions"),
        "{what}"
    );
    assert!(advice.contains("give --concurrency 5 or less"), "{advice}");
    // What is enough is no warning, but a line for people.
    assert_eq!(
        about_lambda(&plan(&stub, &database, &format!("{stack} --concurrency 5"))),
        []
    );
    let people = format!("plan --table stuff --set test=1 {stack} --concurrency 5");
    let people = Ended::run(&mut command(&database, &stub, &people)).expect_code(0);
    let line =
        "Lambda    runs 1,000 functions at once here, 10 of them for all that have none reserved";
    assert!(people.stdout.contains(line), "{}", people.stdout);
    // Workers that have their own take all of these and no others.
    let stub = aws(900, Some(64)).await;
    let much = plan(&stub, &database, &format!("{stack} --concurrency 65"));
    let (what, advice) = &about_lambda(&much)[0];
    assert!(
        what.contains("65 workers at once, and Lambda runs 64 of them"),
        "{what}"
    );
    assert!(advice.contains("give --concurrency 64 or less"), "{advice}");
    assert_eq!(
        about_lambda(&plan(
            &stub,
            &database,
            &format!("{stack} --concurrency 64")
        )),
        []
    );
    // Nobody asks for a run in a process.
    let asked = stub.asked().len();
    assert_eq!(plan(&stub, &database, "")["lambda"], Json::Null);
    assert_eq!(stub.asked().len(), asked);
}

/// A missing right is no error: what could not be looked at is said.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_if_it_may_not_look_at_lambda() {
    let database = Embedded::with_stuff(20).await;
    let stub = Stub::start(|_| denied()).await;
    let plan = plan(&stub, &database, "--stack-name backfill-orders");
    let (what, advice) = &about_lambda(&plan)[0];
    assert!(
        what.contains("AccessDeniedException") && what.contains("not authorized"),
        "{what}"
    );
    assert!(advice.contains("lambda:GetAccountSettings"), "{advice}");
    assert!(plan["lambda"]["unknown"].is_string(), "{plan}");
}

/// `start` says so before it starts anything, even if nobody is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_says_what_to_lower_before_it_starts() {
    let database = Embedded::with_stuff(20).await;
    let stub = aws(100, None).await;
    let start = format!("start --state-machine-arn {MACHINE} --table stuff --set test=1");
    let ended = Ended::run(&mut command(
        &database,
        &stub,
        &format!("{start} --concurrency 900"),
    ));
    let said = &ended.stderr;
    assert!(
        said.contains("warning: up to 900 workers at once, and Lambda runs 100"),
        "{said}"
    );
    assert!(said.contains("give --concurrency 50 or less"), "{said}");
    let asked = stub.asked();
    let started = asked
        .iter()
        .position(|what| what == "AWSStepFunctions.StartExecution");
    let looked = asked
        .iter()
        .position(|what| what == "GET /2016-08-19/account-settings");
    assert!(looked.is_some() && looked < started, "{asked:?}");
    // A dry run has no workers.
    let ended = Ended::run(&mut command(
        &database,
        &stub,
        &format!("{start} --concurrency 900 --dry-run"),
    ));
    assert!(!ended.stderr.contains("warning:"), "{}", ended.stderr);
}

/// A table with a stream, in a file that expects this function to be connected to it.
async fn with_a_stream(folder: &std::path::Path) -> (Embedded, String) {
    let database = Embedded::start().await;
    let file = folder.join("table.json");
    let definition = json!({"TableName": "orders", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        "EventSourceMappings": [{"FunctionName": "consumer", "BatchSize": 100, "StartingPosition": "TRIM_HORIZON"}]});
    std::fs::write(&file, definition.to_string()).unwrap();
    let file = file.display().to_string();
    Ended::run(&mut database.backfill(&format!("table create --file {file}"))).expect_code(0);
    (database, file)
}

/// One of the pages that Lambda answers with: the mapping that is looked for is on the second.
fn page(asked: &str, state: &str) -> Answer {
    let mapping = |function: &str, state: &str| {
        json!({"UUID": "14e0db71-9e2c-4a4f-9e5b-3d1c8ff1b0a1", "State": state, "BatchSize": 100, "StartingPosition": "TRIM_HORIZON",
            "FunctionArn": format!("arn:aws:lambda:us-east-1:000000000000:function:{function}"), "LastModified": 1.7638E9})
    };
    let page = match asked.contains("&Marker=next%2F1") {
        false => {
            json!({"NextMarker": "next/1", "EventSourceMappings": [mapping("other", "Disabled")]})
        }
        true => {
            json!({"NextMarker": null, "EventSourceMappings": [mapping("consumer:live", state)]})
        }
    };
    (200, None, page.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_asks_lambda_for_what_is_connected_to_the_stream() {
    let folder = tempfile::tempdir().unwrap();
    let (database, file) = with_a_stream(folder.path()).await;
    let check = |stub: &Stub, code: i32| {
        let check = format!("table check --json --expect {file}");
        Ended::run(&mut command(&database, stub, &check))
            .expect_code(code)
            .json()
    };
    let stub = Stub::start(|asked| page(asked, "Enabled")).await;
    assert_eq!(check(&stub, 0), json!([]));
    // Of this stream alone, page by page.
    let asked = stub.asked();
    let whole = "GET /2015-03-31/event-source-mappings?EventSourceArn=arn%3Aaws%3Adynamodb%3A";
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(
        asked[0].starts_with(whole) && asked[0].contains("table%2Forders%2Fstream%2F"),
        "{asked:?}"
    );
    let stub = Stub::start(|asked| page(asked, "Disabling")).await;
    assert_eq!(
        check(&stub, 3),
        json!([r#"EventSourceMappings.consumer.State: expected "Enabled", found "Disabling""#])
    );
    let stub = Stub::start(|_| (200, None, json!({"EventSourceMappings": []}).to_string())).await;
    let none = "EventSourceMappings.consumer: expected, but no function is connected to the table's stream";
    assert_eq!(check(&stub, 3), json!([none]));
}

/// Whoever may not look does not pass; neither does one who asks what is no Lambda.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_cannot_ask_lambda_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (database, file) = with_a_stream(folder.path()).await;
    let said = |stub: &Stub| {
        let check = format!("table check --json --expect {file}");
        let found = Ended::run(&mut command(&database, stub, &check))
            .expect_code(3)
            .json();
        assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
        let said = found[0].as_str().unwrap().to_owned();
        assert!(
            said.starts_with("EventSourceMappings: cannot be seen: asking Lambda for"),
            "{said}"
        );
        said
    };
    let denied = said(&Stub::start(|_| denied()).await);
    assert!(
        denied.contains("AccessDeniedException") && denied.contains("allow the action"),
        "{denied}"
    );
    // As the sandbox and DynamoDB Local answer a path that is none of theirs.
    let unknown = "<UnknownOperationException/>\n";
    let foreign = said(&Stub::start(|_| (404, None, unknown.into())).await);
    assert!(foreign.contains("so it is not the service"), "{foreign}");
}
