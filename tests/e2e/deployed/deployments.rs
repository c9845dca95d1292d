//! Deployments in the middle of a run: an execution keeps the definition and the functions with which it began.

use std::collections::BTreeSet;

use backfill_e2e::aws::{
    Aws, CHECKPOINTS, Table, deployed, eventually, input, run_id, run_to_end, with_deployments,
};
use backfill_e2e::wire::Verdict;
use serde_json::{Value as Json, json};
use tokio::sync::watch;

use crate::stack::count;

/// The versions of a function that have worked for a run.
fn versions(aws: &Aws, function: &str, run_id: &str) -> BTreeSet<String> {
    let invocations = aws.invocations(function, run_id).into_iter();
    invocations.map(|invocation| invocation.version).collect()
}

/// The one version of each function that has worked for a run.
fn only_versions(aws: &Aws, run_id: &str) -> [String; 3] {
    ["planner", "worker", "verifier"].map(|function| {
        let versions: Vec<String> = versions(aws, function, run_id).into_iter().collect();
        let [version] = &versions[..] else {
            panic!("{function} worked in versions {versions:?}");
        };
        version.clone()
    })
}

/// Begins a run on a new table, deploys while workers are at work, and waits for the run's end. Returns its table, the
/// output of its execution, and the versions that have worked for it.
async fn run_over(aws: &Aws, name: &str, deploy: impl FnOnce()) -> (Table, Json, [String; 3]) {
    let table = aws.table(name, 300).await;
    let (let_go, held) = watch::channel(false);
    let tap = aws.wire.tap(name, move |call| {
        let mut held = held.clone();
        async move {
            if call.is_update() {
                let _ = held.wait_for(|let_go| *let_go).await;
            }
            Verdict::Forward
        }
    });
    // A time box so small that each segment has several invocations.
    let input = input(name, json!({"total_segments": 3, "time_box_seconds": 1}));
    let execution = aws.machine.start(&input).await;
    eventually("an update", async || {
        let mut seen = tap.seen().into_iter();
        seen.any(|seen| seen.call.is_update()).then_some(())
    })
    .await;
    tokio::task::block_in_place(deploy);
    let_go.send(true).expect("updates are held");
    let output = aws.machine.end_of(&execution).await.expect_success();
    table.assert_migrated().await;
    let versions = only_versions(aws, &run_id(&input));
    (table, output, versions)
}

/// A definition of a later version: a state more, and a field more in what a worker is asked.
fn change(definition: &mut Json) {
    let states = &mut definition["States"];
    let work = &mut states["Backfill"]["ItemProcessor"]["States"]["Work"];
    work["Parameters"]["Payload"]["later"] = json!("a field more");
    states["Concluded"]["Choices"][0]["Next"] = json!("Changed");
    states["Changed"] =
        json!({"Type": "Pass", "Result": true, "ResultPath": "$.changed", "Next": "Succeeded"});
}

/// A definition and functions that are deployed in the middle of a run are not those of this run; both runs end
/// well, and so do those over which the deployment is taken back.
#[test]
fn a_deployment_in_the_middle_of_a_run_harms_nothing() {
    with_deployments(async |aws| {
        let (_, output, first) = run_over(aws, "before", || aws.deploy_changed(change)).await;
        assert_eq!(output.get("changed"), None, "{output}");
        assert_eq!(first, ["1"; 3]);

        let back = || aws.deploy_again(&[]);
        let (_, output, second) = run_over(aws, "changed", back).await;
        assert_eq!(output["changed"], true, "{output}");
        assert_eq!(second, ["2"; 3]);

        // A parameter of one function alone.
        let more = || aws.deploy_again(&["WorkerMemorySize=512"]);
        let (_, output, third) = run_over(aws, "back", more).await;
        assert_eq!(output.get("changed"), None, "{output}");
        assert_eq!(third, ["3"; 3]);

        let table = aws.table("more", 50).await;
        let input = input("more", json!({}));
        aws.machine.run(&input).await.expect_success();
        table.assert_migrated().await;
        assert_eq!(only_versions(aws, &run_id(&input)), ["3", "4", "3"]);
    });
}

/// CloudFormation leaves alone what is the same in both templates: a guard that was switched on since stays on over a deployment that
/// changes something else.
#[test]
fn a_deployment_leaves_the_guard_on() {
    with_deployments(async |aws| {
        let guarded = ["TableName=guarded", "CreateTable=true", "Guard=true"];
        let deploy = |more: &[&str]| {
            let parameters = [&guarded[..], more].concat();
            let is_deployed =
                tokio::task::block_in_place(|| aws.deploy_another("guarded", &parameters));
            assert!(is_deployed);
        };
        deploy(&[]);
        aws.change_guard_mapping("guarded", &json!({"Enabled": true}));
        let before = aws.guard_mapping("guarded");
        assert_eq!(before["State"], "Enabled");
        deploy(&["WorkerMemorySize=512", "LogRetentionDays=7"]);
        assert_eq!(aws.guard_mapping("guarded"), before);
        tokio::task::block_in_place(|| aws.delete("guarded"));
    });
}

/// The stack of these tests is deployed with a tag.
#[test]
fn tags_of_a_stack_are_on_its_tables() {
    deployed(async |aws| {
        let arn = format!("arn:aws:dynamodb:us-east-1:000000000000:table/{CHECKPOINTS}");
        let tags = aws.client.list_tags_of_resource().resource_arn(arn).send();
        let tags = tags.await.expect("the tags are listed");
        let team = tags.tags().iter().find(|tag| tag.key() == "team");
        assert_eq!(team.map(|tag| tag.value()), Some("data"), "{tags:?}");
    });
}

/// The parameters of a stack with everything that can be asked for. The stand-in for AWS keeps no key and no network.
const ALL: [&str; 12] = [
    "TableName=again",
    "CreateTable=true",
    "MaxWorkers=2",
    "SubnetIds=subnet-1,subnet-2",
    "SecurityGroupIds=sg-1",
    "TableKmsKey=arn:aws:kms:us-east-1:000000000000:key/table",
    "CheckpointTableKmsKey=arn:aws:kms:us-east-1:000000000000:key/checkpoints",
    "LogsKmsKey=arn:aws:kms:us-east-1:000000000000:key/logs",
    "PermissionsBoundary=arn:aws:iam::000000000000:policy/boundary",
    "RolePath=/team/",
    "OperatorPolicies=true",
    "AlarmEmail=you@example.com",
];

/// A first deployment that fails leaves no table behind, so that the second one succeeds. A stack that is deleted leaves its
/// tables, and the next one takes them: a run that was paused goes on.
#[test]
fn a_stack_comes_back_after_a_failure_and_after_its_end() {
    with_deployments(async |aws| {
        let deploy = |parameters: &[&str]| {
            tokio::task::block_in_place(|| aws.deploy_another("again", parameters))
        };
        let tables = async || {
            let tables = aws.client.list_tables().send().await.expect("a list");
            let mut tables = tables.table_names().to_vec();
            tables.retain(|name| name.starts_with("again"));
            tables
        };
        // Too long for Step Functions, which says so when the tables are made.
        let no_key = format!("StateMachineKmsKey=arn:aws:kms:{}", "k".repeat(2100));
        assert!(!deploy(&[&ALL[..], &[&no_key]].concat()), "it should fail");
        assert_eq!(tables().await, [""; 0]);
        tokio::task::block_in_place(|| aws.delete("again"));

        assert!(deploy(&ALL), "the second deployment should succeed");
        assert_eq!(tables().await, ["again", "again-checkpoints"]);
        let table = aws.fill("again", 200).await;
        let canary = "start --stack-name again --table again --set test=1 --json \
                      --segments 4 --only-segments 0";
        let canary = run_to_end(aws.backfill(canary)).await.expect_code(4).json();
        assert!(count(&canary, "updated") > 0, "{canary}");

        tokio::task::block_in_place(|| aws.delete("again"));
        assert_eq!(tables().await, ["again", "again-checkpoints"]);
        let both_there = ["TableName=again", "CreateCheckpointTable=false"];
        assert!(
            deploy(&both_there),
            "it should take the tables that are there"
        );
        let rest = "start --stack-name again --table again --set test=1 --json --segments 4";
        let rest = run_to_end(aws.backfill(rest)).await.expect_code(0).json();
        assert_eq!(rest["run_id"], canary["run_id"], "{rest}");
        assert_eq!(count(&rest, "updated"), table.pending(), "{rest}");
        table.assert_migrated().await;
    });
}
