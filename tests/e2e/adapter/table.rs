//! A table behind the adapter, and both ways to write to it.

use std::collections::BTreeMap;

use backfill_core::change::Seen;
use backfill_core::engine::planner::Planner;
use backfill_core::ports::{
    CheckpointReader as _, Outcome, ReadAccess as _, TableWriter, Write, WriteAccess as _,
};
use backfill_core::records::RunRecord;
use backfill_core::request::WriterKind;
use backfill_core::table::KeySchema;
use backfill_core::{Item, Key, Request, Spec};
use backfill_dynamodb::{CheckpointTable, ConnectOptions, Connection, ReadOnly, ReadWrite};
use backfill_e2e::database::Embedded;
use backfill_e2e::tables::{STUFF_KEYS, key_of, read_all, stuff};

pub struct Table {
    pub database: Embedded,
    pub connection: Connection,
    pub keys: KeySchema,
}

impl Table {
    pub async fn with_items(items: u64) -> Table {
        let database = Embedded::with_stuff(items).await;
        let connection = Connection::open(&ConnectOptions {
            endpoint_url: Some(database.endpoint.clone()),
            region: Some("us-east-1".into()),
            profile: None,
            local_credentials: true,
        })
        .await
        .unwrap();
        let keys = ReadOnly(connection.clone())
            .describe("stuff")
            .await
            .unwrap()
            .keys;
        Table {
            database,
            connection,
            keys,
        }
    }

    pub fn writer(&self, spec: &Spec, kind: WriterKind) -> impl TableWriter + use<> {
        ReadWrite::new(self.connection.clone()).writer(spec.change(&self.keys), kind)
    }

    /// The checkpoint table, and a run of so many segments that was planned and not begun.
    pub async fn planned(&self, segments: u32) -> (CheckpointTable, RunRecord) {
        let store = CheckpointTable::new(&self.connection, "checkpoints");
        store.create_if_missing().await.unwrap();
        let planner = Planner::new(ReadOnly(self.connection.clone()), store.clone());
        let request =
            format!(r#"{{"table":"stuff","set":{{"test":1}},"total_segments":{segments}}}"#);
        let request = Request::from_json(&request).unwrap();
        let plan = planner.begin(&request, &"me".into()).await.unwrap();
        let run = store.run(&plan.run_id).await.unwrap().unwrap();
        (store, run)
    }

    pub async fn items(&self) -> BTreeMap<Key, Item> {
        read_all(&self.database.client, "stuff", STUFF_KEYS).await
    }
}

pub fn spec(json: &str) -> Spec {
    Request::from_json(json).unwrap().spec
}

pub fn set_test() -> Spec {
    spec(r#"{"table":"stuff","set":{"test":1}}"#)
}

pub fn key(i: u64) -> Key {
    key_of(&stuff(i), STUFF_KEYS)
}

/// Both writers do the same.
pub const KINDS: [WriterKind; 2] = [WriterKind::Batch, WriterKind::UpdateItem];

/// The writes of these keys as the worker sends them.
pub async fn write(writer: &impl TableWriter, keys: &[Key]) -> backfill_core::Result<Vec<Write>> {
    let mut writes = Vec::new();
    for keys in keys.chunks(writer.batch_size()) {
        let seen: Vec<Seen> = keys.iter().cloned().map(Seen::from).collect();
        let batch = writer.update_batch(&seen).await?;
        assert_eq!(batch.outcomes.len(), keys.len());
        for outcome in batch.outcomes {
            writes.push(Write {
                outcome: outcome?,
                consumed_wcu: batch.consumed_wcu / keys.len() as f64,
            });
        }
    }
    Ok(writes)
}

pub async fn outcome(writer: &impl TableWriter, key: Key) -> Outcome {
    write(writer, &[key]).await.unwrap().remove(0).outcome
}
