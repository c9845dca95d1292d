//! The roles of the deployed functions, through the IAM and STS APIs of the stand-in for AWS.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::convert::to_item;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::{
    BatchStatementRequest, DeleteRequest, Put, PutRequest, TransactWriteItem, WriteRequest,
};
use backfill_core::{Item, Key};
use serde_json::{Value as Json, json};

use crate::aws::{STACK, request_form};
use crate::tables;

/// IAM at this port of 127.0.0.1.
pub struct Iam {
    pub port: u16,
}

/// The role of a function, with one of the policies that the template gives it.
pub struct Role {
    port: u16,
    name: String,
    policy: String,
    document: Json,
}

/// The text of the first element of this name.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}

impl Iam {
    /// The role with this name in the template, with its policy for the tables.
    pub fn role(&self, logical_name: &str) -> Role {
        self.role_with(logical_name, "tables")
    }

    /// The role with this name in the template, with its policy of this name.
    pub fn role_with(&self, logical_name: &str, policy: &str) -> Role {
        let call = |parameters: &[(&str, &str)]| request_form(self.port, "iam", parameters);
        let roles = call(&[("Action", "ListRoles")]);
        let prefix = format!("{STACK}-{logical_name}");
        let name = roles
            .split("<RoleName>")
            .skip(1)
            .filter_map(|rest| rest.split('<').next())
            .find(|name| name.starts_with(&prefix))
            .unwrap_or_else(|| panic!("no role {prefix}: {roles}"))
            .to_owned();
        let answer = call(&[
            ("Action", "GetRolePolicy"),
            ("RoleName", &name),
            ("PolicyName", policy),
        ]);
        let encoded = element(&answer, "PolicyDocument").expect("a document");
        let (document, _) = form_urlencoded::parse(encoded.as_bytes())
            .next()
            .expect("one text");
        Role {
            port: self.port,
            name,
            policy: policy.to_owned(),
            document: serde_json::from_str(&document).expect("a policy is JSON"),
        }
    }
}

impl Iam {
    /// The credentials of somebody who has these managed policies of the stack, by their names in the template, as
    /// environment variables.
    pub fn operator(&self, policies: &[&str]) -> [(&'static str, String); 3] {
        let call = |parameters: &[(&str, &str)]| request_form(self.port, "iam", parameters);
        static OPERATORS: AtomicU32 = AtomicU32::new(0);
        let number = OPERATORS.fetch_add(1, Ordering::Relaxed);
        let name = format!("operator-{number}-{}", policies.join("-"));
        let trust = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]});
        let role = ("RoleName", name.as_str());
        call(&[
            ("Action", "CreateRole"),
            role,
            ("AssumeRolePolicyDocument", &trust.to_string()),
        ]);
        let listed = call(&[("Action", "ListPolicies"), ("Scope", "Local")]);
        for policy in policies {
            let name = format!("/{STACK}-{policy}");
            let arns = listed.split("<Arn>").skip(1);
            let arn = arns
                .filter_map(|rest| rest.split('<').next())
                .find(|arn| arn.contains(&name))
                .unwrap_or_else(|| panic!("no policy {name}: {listed}"));
            call(&[("Action", "AttachRolePolicy"), role, ("PolicyArn", arn)]);
        }
        assumed(self.port, &name)
    }
}

/// The credentials of whoever assumes the role of this name, as environment variables.
fn assumed(port: u16, role: &str) -> [(&'static str, String); 3] {
    let arn = format!("arn:aws:iam::000000000000:role/{role}");
    let assume = [
        ("Action", "AssumeRole"),
        ("RoleArn", &arn),
        ("RoleSessionName", "test"),
    ];
    let assumed = request_form(port, "sts", &assume);
    [
        ("AWS_ACCESS_KEY_ID", "AccessKeyId"),
        ("AWS_SECRET_ACCESS_KEY", "SecretAccessKey"),
        ("AWS_SESSION_TOKEN", "SessionToken"),
    ]
    .map(|(variable, part)| (variable, element(&assumed, part).expect("it").to_owned()))
}

impl Role {
    fn statements(&self) -> &[Json] {
        self.document["Statement"].as_array().expect("statements")
    }

    /// Every action that is allowed, with the statement that allows it.
    pub fn actions(&self) -> Vec<(String, String)> {
        let actions_of = |statement: &Json| {
            let name = statement["Sid"].as_str().expect("a name").to_owned();
            let actions = match &statement["Action"] {
                Json::Array(actions) => actions.clone(),
                one => vec![one.clone()],
            };
            actions.into_iter().map(move |action| {
                let action = action.as_str().expect("an action");
                (name.clone(), action.to_owned())
            })
        };
        self.statements().iter().flat_map(actions_of).collect()
    }

    fn put(&self, role: &str, document: &Json) {
        let document = document.to_string();
        request_form(
            self.port,
            "iam",
            &[
                ("Action", "PutRolePolicy"),
                ("RoleName", role),
                ("PolicyName", &self.policy),
                ("PolicyDocument", &document),
            ],
        );
    }

    /// Takes one action out of one statement.
    pub fn deny(&self, statement: &str, action: &str) {
        let mut document = self.document.clone();
        let statements = document["Statement"].as_array_mut().expect("statements");
        let at = statements
            .iter()
            .position(|found| found["Sid"] == statement);
        let at = at.expect("the statement is there");
        match &mut statements[at]["Action"] {
            Json::Array(actions) if actions.len() > 1 => actions.retain(|found| found != action),
            _ => drop(statements.remove(at)),
        }
        if statements.is_empty() {
            *statements = vec![json!({"Effect": "Deny", "Action": action, "Resource": "*"})];
        }
        self.put(&self.name, &document);
    }

    /// Allows the actions of one statement on every resource: ministack takes some calls for calls about everything.
    pub fn widen(&mut self, statement: &str) {
        let statements = self.document["Statement"].as_array_mut();
        let mut statements = statements.expect("statements").iter_mut();
        let found = statements.find(|found| found["Sid"] == statement);
        found.expect("the statement is there")["Resource"] = json!("*");
        self.restore();
    }

    /// What the template says, but for what was widened.
    pub fn restore(&self) {
        self.put(&self.name, &self.document);
    }

    /// Another role with the same policy, and its credentials as environment variables: this one itself trusts nobody but the service
    /// that it is for.
    pub fn twin(&self) -> (Role, [(&'static str, String); 3]) {
        let twin = format!("{}-twin", self.name);
        let trust = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]});
        request_form(
            self.port,
            "iam",
            &[
                ("Action", "CreateRole"),
                ("RoleName", &twin),
                ("AssumeRolePolicyDocument", &trust.to_string()),
            ],
        );
        self.put(&twin, &self.document);
        let credentials = assumed(self.port, &twin);
        let twin = Role {
            port: self.port,
            name: twin,
            policy: self.policy.clone(),
            document: self.document.clone(),
        };
        (twin, credentials)
    }

    /// A client that may do what this role may.
    pub async fn assume(&self) -> Client {
        let (_, [(_, id), (_, secret), (_, token)]) = self.twin();
        let credentials = Credentials::new(id, secret, Some(token), None, "test");
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .credentials_provider(credentials)
            .endpoint_url(format!("http://127.0.0.1:{}", self.port))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build();
        Client::from_conf(config)
    }
}

/// Tries every operation that can write this item, and panics if one is not refused for want of permission.
pub async fn assert_denied(client: &Client, table: &str, item: &Item) {
    let key: Item = item
        .iter()
        .filter(|(name, _)| tables::STUFF_KEYS.iter().any(|(key, _)| key == name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let key = Key(key);
    let put = client
        .put_item()
        .table_name(table)
        .set_item(Some(to_item(item)));
    denied("PutItem", put.send().await);
    let update = client
        .update_item()
        .table_name(table)
        .set_key(Some(to_item(&key.0)))
        .update_expression("REMOVE test");
    denied("UpdateItem", update.send().await);
    let delete = client
        .delete_item()
        .table_name(table)
        .set_key(Some(to_item(&key.0)));
    denied("DeleteItem", delete.send().await);
    let puts = PutRequest::builder()
        .set_item(Some(to_item(item)))
        .build()
        .unwrap();
    let deletes = DeleteRequest::builder()
        .set_key(Some(to_item(&key.0)))
        .build()
        .unwrap();
    for write in [
        WriteRequest::builder().put_request(puts).build(),
        WriteRequest::builder().delete_request(deletes).build(),
    ] {
        let write = client.batch_write_item().request_items(table, vec![write]);
        denied("BatchWriteItem", write.send().await);
    }
    let put = Put::builder()
        .table_name(table)
        .set_item(Some(to_item(item)))
        .build()
        .unwrap();
    let transact = TransactWriteItem::builder().put(put).build();
    let transact = client.transact_write_items().transact_items(transact);
    denied("TransactWriteItems", transact.send().await);
    let id = r#"'item-000000'"#;
    for statement in [
        format!(r#"INSERT INTO "{table}" VALUE {{'id': {id}, 'created': 1}}"#),
        format!(r#"UPDATE "{table}" SET test = 1 WHERE id = {id} AND created = 1600000000000"#),
        format!(r#"DELETE FROM "{table}" WHERE id = {id} AND created = 1600000000000"#),
    ] {
        let execute = client.execute_statement().statement(&statement).send();
        denied(&statement, execute.await);
        let batched = BatchStatementRequest::builder()
            .statement(&statement)
            .build()
            .unwrap();
        let batch = client.batch_execute_statement().statements(batched).send();
        denied(&statement, batch.await);
    }
    let dropped = client.delete_table().table_name(table).send();
    denied("DeleteTable", dropped.await);
}

fn denied<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug>(
    what: &str,
    result: Result<T, E>,
) {
    let error = result.expect_err(what);
    assert_eq!(
        error.code(),
        Some("AccessDeniedException"),
        "{what}: {error:?}"
    );
}
