//! `examples/orders`: its table and the function on its stream, by their own template.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use aws_sdk_dynamodb::types::TimeToLiveSpecification;
use backfill_e2e::aws::{Bare, eventually};
use backfill_e2e::command::{program, root};
use backfill_e2e::tables::client;
use serde_json::{Value as Json, json};

const STACK: &str = "orders";
const LOG_GROUP: &str = "/aws/lambda/orders-consumer";

fn example(file: &str) -> PathBuf {
    root().join("examples/orders").join(file)
}

/// The example's template, with the function of this build, as `sam build` leaves it.
fn built(folder: &Path) -> PathBuf {
    let code = folder.join("Consumer");
    fs::create_dir_all(&code).expect("a folder for the function");
    fs::copy(program("orders-consumer"), code.join("bootstrap")).expect("the function is built");
    let text = fs::read_to_string(example("template.yaml")).expect("the template is there");
    assert_eq!(text.matches("CodeUri: consumer\n").count(), 1);
    let text = text.replace("CodeUri: consumer\n", "CodeUri: Consumer\n");
    let template = folder.join("template.yaml");
    fs::write(&template, text).expect("written");
    template
}

/// What is logged of each order, in the order of its changes. That a line comes once more is the stream's right.
fn by_order(lines: Vec<Json>) -> BTreeMap<String, Vec<Json>> {
    let mut orders = BTreeMap::<String, Vec<Json>>::new();
    for mut line in lines {
        let fields = line.as_object_mut().expect("an object");
        let id = fields.remove("order_id").unwrap_or_default();
        let lines = orders
            .entry(id.as_str().unwrap_or_default().to_owned())
            .or_default();
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    orders
}

/// The lines of the orders that `writes.sh` and `transact.sh` write.
fn expected() -> BTreeMap<String, Vec<Json>> {
    let created = |customer: &str| json!({"event": "order created", "customer_id": customer, "status": "open"});
    let now = |customer: &str, status: &str| json!({"event": "order status changed", "customer_id": customer, "from": "open", "to": status});
    let (farah, goran) = ("c-farah", "c-goran");
    [
        ("o-2001", vec![created(farah), now(farah, "cancelled")]),
        ("o-2002", vec![created(farah)]),
        ("o-2003", vec![created(goran)]),
        ("o-2004", vec![created(goran), now(goran, "shipped")]),
        ("o-2005", vec![created(farah)]),
    ]
    .map(|(id, lines)| (id.to_owned(), lines))
    .into()
}

async fn set_ttl(aws: &Bare) {
    let specification = TimeToLiveSpecification::builder();
    let specification = specification.attribute_name("expiry_date").enabled(true);
    let update = client(&aws.endpoint)
        .update_time_to_live()
        .table_name("orders")
        .time_to_live_specification(specification.build().expect("it is complete"));
    update.send().await.expect("ministack sets it");
}

/// `table check` of the example, which prints what differs.
fn check(aws: &Bare, file: &str, code: i32) -> Json {
    let file = example(file);
    let file = file.to_str().expect("a path of text");
    let checked = aws.backfill(&["table", "check", "--json", "--expect", file]);
    checked.expect_code(code).json()
}

/// The stack is as its template says it, by `table check`; its function tells created orders and changes of status; and a mapping
/// that is not as expected is told.
#[test]
fn the_consumer_of_the_example_orders() {
    let aws = Bare::start("orders");
    aws.deploy(&built(&aws.folder("built")), STACK);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    // ministack's CloudFormation leaves TTL out (provisioners.py), which nobody is to miss.
    let found = check(&aws, "template.yaml", 3);
    let begins = found[0].as_str().unwrap_or_default();
    assert!(begins.starts_with("TimeToLiveSpecification."), "{found}");
    runtime.block_on(set_ttl(&aws));
    // The two descriptions of the table say the same.
    for file in ["template.yaml", "table.json"] {
        assert_eq!(check(&aws, file, 0), json!([]), "{file}");
    }

    aws.script(&example("writes.sh")).expect_code(0);
    let transacted = aws.script(&example("transact.sh")).expect_code(0).json();
    let status = |nth: usize| transacted["Responses"][nth]["Item"]["status"]["S"].clone();
    assert_eq!(
        [status(0), status(1)],
        ["cancelled", "open"],
        "{transacted}"
    );
    runtime.block_on(eventually("what the consumer logs", async || {
        (by_order(aws.logged(LOG_GROUP)) == expected()).then_some(())
    }));

    let mapping = aws.mapping();
    let place = "EventSourceMappings.Consumer";
    let changes = [
        (
            json!({"BatchSize": 10}),
            format!("{place}.BatchSize: expected 100, found 10"),
        ),
        (
            json!({"BatchSize": 100, "Enabled": false}),
            format!(r#"{place}.State: expected "Enabled", found "Disabled""#),
        ),
    ];
    for (settings, difference) in changes {
        aws.change_mapping(&mapping, &settings);
        assert_eq!(check(&aws, "template.yaml", 3), json!([difference]));
    }
}
