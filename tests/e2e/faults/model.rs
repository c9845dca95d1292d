//! The service model by which the line answers, against botocore's.

use backfill_e2e::aws::tool;
use backfill_e2e::command::root;

/// What the line takes from the service model is what the botocore says that is installed with the stand-in for AWS.
#[test]
fn the_line_answers_by_the_service_model_of_botocore() {
    let mut command = tool("ministack", "python");
    let checked = command
        .arg(root().join("tools/service-model"))
        .arg("--check")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{said}");
}
