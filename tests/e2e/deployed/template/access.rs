//! Who may do what: roles, keys, and the policies for operators.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::evaluate::{Stack, of_type, parts, references, template};

const KEYS: [(&str, &str); 4] = [
    (
        "TableKmsKey",
        "arn:aws:kms:us-east-1:123456789012:key/table",
    ),
    (
        "CheckpointTableKmsKey",
        "arn:aws:kms:us-east-1:123456789012:key/checkpoints",
    ),
    ("LogsKmsKey", "arn:aws:kms:us-east-1:123456789012:key/logs"),
    (
        "StateMachineKmsKey",
        "arn:aws:kms:us-east-1:123456789012:key/executions",
    ),
];

/// The actions of a statement.
fn actions(statement: &Json) -> Vec<&str> {
    match &statement["Action"] {
        Json::Array(actions) => actions.iter().filter_map(Json::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}

/// The statements of a role or policy.
fn statements(part: &Json) -> Vec<&Json> {
    let all = parts(part).into_iter();
    all.filter(|part| part["Effect"].is_string() && part.get("Principal").is_none())
        .collect()
}

/// A log group that was deleted stays deleted: no function may make one anew.
#[test]
fn nothing_makes_log_groups_anew() {
    let template = template();
    for (id, function) in of_type(&template, "AWS::Serverless::Function") {
        let role = &function["Properties"]["Role"]["Fn::GetAtt"];
        let role = role.as_str().expect("a role of its own, not SAM's");
        let role = role.strip_suffix(".Arn").expect("an ARN");
        assert_eq!(role, format!("{id}Role"));
        let group = &function["Properties"]["LoggingConfig"]["LogGroup"]["Ref"];
        let group = json!({"Fn::GetAtt": format!("{}.Arn", group.as_str().expect("a group"))});
        let role = &template["Resources"][role];
        let logs = statements(role)
            .into_iter()
            .filter(|statement| actions(statement).iter().any(|a| a.starts_with("logs:")));
        let logs: Vec<(Vec<&str>, &Json)> = logs.map(|s| (actions(s), &s["Resource"])).collect();
        let expected = vec!["logs:CreateLogStream", "logs:PutLogEvents"];
        assert_eq!(logs, [(expected, &group)], "{id}");
        assert_eq!(role["Properties"].get("ManagedPolicyArns"), None, "{id}");
    }
    let text = template.to_string();
    assert!(!text.contains("logs:CreateLogGroup") && !text.contains("service-role/"));
}

#[test]
fn every_role_has_the_boundary_and_the_path_that_are_wanted() {
    let boundary = "arn:aws:iam::123456789012:policy/boundary";
    let template = template();
    let roles = of_type(&template, "AWS::IAM::Role");
    assert_eq!(roles.len(), 7);
    for role in roles.keys() {
        let wanted = [("PermissionsBoundary", boundary), ("RolePath", "/team/")];
        let stack = Stack::new("shop", &wanted);
        let properties = stack.at(&format!("/Resources/{role}/Properties"));
        assert_eq!(properties["PermissionsBoundary"], boundary, "{role}");
        assert_eq!(properties["Path"], "/team/", "{role}");
        let properties = Stack::new("shop", &[]).at(&format!("/Resources/{role}/Properties"));
        assert_eq!(properties.get("PermissionsBoundary"), None, "{role}");
        assert_eq!(properties["Path"], "/", "{role}");
    }
}

/// The verifier can write one kind of record: the note of how far it has come, under keys where no other record lies.
#[test]
fn the_verifier_writes_notes_and_nothing_else() {
    let stack = Stack::new("shop", &[]);
    let role = stack.at("/Resources/VerifierFunctionRole/Properties/Policies");
    let writes: Vec<&Json> = statements(&role)
        .into_iter()
        .filter(|statement| {
            let of_tables = actions(statement).into_iter();
            let mut of_tables = of_tables.filter(|action| action.starts_with("dynamodb:"));
            of_tables.any(|action| !["dynamodb:Scan", "dynamodb:GetItem"].contains(&action))
        })
        .collect();
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert_eq!(actions(writes[0]), ["dynamodb:UpdateItem"]);
    let arn = writes[0]["Resource"].as_str().expect("one table");
    assert!(arn.ends_with(":table/shop-checkpoints"), "{arn}");
    let keys = &writes[0]["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"];
    assert_eq!(*keys, json!(["*#count"]));
}

/// A role may use a key for one service or one state machine, and those that read may not encrypt.
#[test]
fn keys_are_used_for_what_they_are_for() {
    let stack = Stack::new("shop", &KEYS);
    let mut used = BTreeSet::new();
    for (role, keys) in [
        ("PlannerFunctionRole", &[("checkpoints", true)][..]),
        (
            "WorkerFunctionRole",
            &[("table", true), ("checkpoints", true)],
        ),
        (
            "VerifierFunctionRole",
            &[("table", false), ("checkpoints", true)],
        ),
        (
            "GuardFunctionRole",
            &[("table", true), ("checkpoints", true)],
        ),
    ] {
        let role = stack.at(&format!("/Resources/{role}/Properties/Policies"));
        let mut found = Vec::new();
        for statement in statements(&role) {
            let actions = actions(statement);
            if actions.iter().any(|action| action.starts_with("kms:")) {
                let key = statement["Resource"].as_str().expect("one key");
                let key = key.rsplit('/').next().expect("a name");
                let via = &statement["Condition"]["StringEquals"]["kms:ViaService"];
                assert_eq!(via, "dynamodb.us-east-1.amazonaws.com");
                assert!(actions.contains(&"kms:Decrypt"), "{actions:?}");
                found.push((key.to_owned(), actions.contains(&"kms:Encrypt")));
                used.insert(key.to_owned());
            }
        }
        let expected: Vec<_> = keys.iter().map(|(k, w)| ((*k).to_owned(), *w)).collect();
        assert_eq!(found, expected);
    }
    for table in ["TargetTable", "CheckpointTable"] {
        let encrypted = stack.at(&format!("/Resources/{table}/Properties/SSESpecification"));
        assert_eq!(encrypted["SSEType"], "KMS");
        let plain = Stack::new("shop", &[]).at(&format!("/Resources/{table}/Properties"));
        assert_eq!(plain.get("SSESpecification"), None);
    }
    let template = template();
    for group in of_type(&template, "AWS::Logs::LogGroup").keys() {
        let group = stack.at(&format!("/Resources/{group}/Properties/KmsKeyId"));
        assert_eq!(group, KEYS[2].1);
    }
    let machine = stack.at("/Resources/BackfillStateMachine/Properties/EncryptionConfiguration");
    assert_eq!(machine["Type"], "CUSTOMER_MANAGED_KMS_KEY");
    assert_eq!(machine["KmsKeyId"], KEYS[3].1);
    // Every statement about a key, wherever it stands, is bound to a service or to what is encrypted.
    for statement in statements(&template) {
        if actions(statement).iter().any(|a| a.starts_with("kms:")) {
            let bound = statement["Condition"]["StringEquals"].as_object();
            let bound = bound.expect("a condition").keys();
            let kinds = ["kms:ViaService", "kms:EncryptionContext"];
            assert!(
                bound
                    .clone()
                    .all(|key| kinds.iter().any(|k| key.starts_with(k))),
                "{statement}"
            );
        }
    }
    // Without keys nobody may use any.
    let plain = Stack::new("shop", &[]).at("/Resources/WorkerFunctionRole/Properties/Policies");
    assert!(!plain.to_string().contains("kms:"));
}

/// Policies for operators are made if that is wanted. Whoever looks changes nothing, and nobody writes to the table.
#[test]
fn operators_have_policies_if_that_is_wanted() {
    let template = template();
    assert_eq!(
        template["Parameters"]["OperatorPolicies"]["Default"],
        "false"
    );
    let policies = of_type(&template, "AWS::IAM::ManagedPolicy");
    let names: Vec<&str> = policies.keys().copied().collect();
    assert_eq!(names, ["LookPolicy", "StartPolicy", "SteerPolicy"]);
    for (name, policy) in policies {
        assert_eq!(policy["Condition"], "HasOperatorPolicies");
        for statement in statements(policy) {
            for action in actions(statement) {
                let (_, verb) = action.split_once(':').expect("an action");
                let reads = ["Describe", "Get", "List", "Query", "Scan", "Decrypt"];
                let reads = reads.iter().any(|read| verb.starts_with(read));
                assert!(reads || name != "LookPolicy", "{name}: {action}");
                if !reads && action.starts_with("dynamodb:") {
                    let on = references(&template, &statement["Resource"]);
                    assert!(!on.contains("TableName"), "{name}: {action}");
                }
                assert!(!verb.contains("Delete") && verb != "*", "{name}: {action}");
            }
        }
    }
}
