//! Tables and items through the AWS API, past the code under test.

use std::collections::BTreeMap;

use crate::convert::{from_item, to_item};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, PutRequest,
    ScalarAttributeType, WriteRequest,
};
use backfill_core::value::with_sorted_sets;
use backfill_core::{Item, Key, Value};

/// A client for a database at this endpoint.
pub fn client(endpoint: &str) -> Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(endpoint)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Client::from_conf(config)
}

/// Name and type of each key attribute, partition key first: `[("id", "S"), ("created", "N")]`.
pub type Keys<'a> = &'a [(&'a str, &'a str)];

/// The keys of the first table.
pub const STUFF_KEYS: Keys<'static> = &[("id", "S"), ("created", "N")];

/// The keys of a checkpoint table.
pub const CHECKPOINT_KEYS: Keys<'static> = &[("run_id", "S"), ("record", "S")];

/// Creates a table on demand.
pub async fn create(client: &Client, table: &str, keys: Keys<'_>) {
    let mut request = client
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest);
    for ((name, kind), role) in keys.iter().zip([KeyType::Hash, KeyType::Range]) {
        request = request
            .attribute_definitions(
                AttributeDefinition::builder()
                    .attribute_name(*name)
                    .attribute_type(ScalarAttributeType::from(*kind))
                    .build()
                    .unwrap(),
            )
            .key_schema(
                KeySchemaElement::builder()
                    .attribute_name(*name)
                    .key_type(role)
                    .build()
                    .unwrap(),
            );
    }
    request.send().await.expect("the table is created");
}

/// Puts items, 25 at a time.
pub async fn put_all(client: &Client, table: &str, items: &[Item]) {
    for batch in items.chunks(25) {
        let requests = batch
            .iter()
            .map(|item| {
                let put = PutRequest::builder().set_item(Some(to_item(item)));
                WriteRequest::builder()
                    .put_request(put.build().unwrap())
                    .build()
            })
            .collect();
        let response = client
            .batch_write_item()
            .request_items(table, requests)
            .send()
            .await
            .expect("the items are put");
        assert!(
            response
                .unprocessed_items()
                .is_none_or(|left| left.is_empty())
        );
    }
}

/// Every item of a table by its key, with sets in a fixed order.
pub async fn read_all(client: &Client, table: &str, keys: Keys<'_>) -> BTreeMap<Key, Item> {
    let mut items = BTreeMap::new();
    let mut after = None;
    loop {
        let response = client
            .scan()
            .table_name(table)
            .consistent_read(true)
            .limit(1000)
            .set_exclusive_start_key(after)
            .send()
            .await
            .expect("the table is read");
        for attributes in response.items() {
            let item = with_sorted_sets(from_item(attributes).unwrap());
            items.insert(key_of(&item, keys), item);
        }
        after = response.last_evaluated_key().cloned();
        if after.is_none() {
            return items;
        }
    }
}

/// The key of an item.
pub fn key_of(item: &Item, keys: Keys<'_>) -> Key {
    Key(keys
        .iter()
        .map(|(name, _)| ((*name).to_owned(), item[*name].clone()))
        .collect())
}

/// The `i`-th item of a table `stuff`, with every type of attribute; of ten, two have a `test` of their own.
pub fn stuff(i: u64) -> Item {
    let json = format!(
        r#"{{"id":{{"S":"item-{i:06}"}},"created":{{"N":"{created}"}},"name":{{"S":"Tromsø {i}"}},
            "price":{{"N":"12345678901234567890.123456789012345678"}},"digest":{{"B":"AAH//g=="}},
            "tags":{{"SS":["a","b"]}},"sizes":{{"NS":["1","2.5"]}},"blobs":{{"BS":["AQ==","Ag=="]}},
            "active":{{"BOOL":false}},"gone":{{"NULL":true}},
            "visits":{{"L":[{{"N":"1"}},{{"M":{{"at":{{"S":"x"}}}}}}]}},"empty":{{"S":""}}}}"#,
        created = 1_600_000_000_000 + i
    );
    let mut item: Item = serde_json::from_str(&json).unwrap();
    if i % 10 >= 8 {
        item.insert("test".into(), Value::S(format!("own value {i}")));
    }
    item
}

/// These items with `test = 1` if `test` was missing.
pub fn migrated(items: &BTreeMap<Key, Item>) -> BTreeMap<Key, Item> {
    let mut items = items.clone();
    for item in items.values_mut() {
        item.entry("test".into())
            .or_insert_with(|| Value::N("1".into()));
    }
    items
}

/// A string attribute for a request.
pub fn string(s: impl Into<String>) -> AttributeValue {
    AttributeValue::S(s.into())
}
