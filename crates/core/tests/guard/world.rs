//! A table of items that are all pending, the stream that tells of them, and guards that follow it.

use std::time::Duration;

use backfill_core::guard::{Follower, Guard, SwitchOn, Told};
use backfill_core::ports::ReadAccess as _;
use backfill_core::ports::guard::GuardReader as _;
use backfill_core::records::{GuardRecord, LossKind, Watcher};
use backfill_core::table::KeySchema;
use backfill_core::{Request, Result, Spec};
use backfill_testkit::{Faults, ModelStore, ModelTable};
use tokio_util::sync::CancellationToken;

use crate::stream::{Stream, old_write};

pub const NOW: u64 = 1_800_000_000_000;

pub struct World {
    pub faults: Faults,
    pub table: ModelTable,
    pub store: ModelStore,
    pub stream: Stream,
    pub keys: KeySchema,
}

pub fn spec() -> Spec {
    let request = Request::from_json(r#"{"table":"stuff","set":{"test":1}}"#);
    request.unwrap().spec
}

impl World {
    /// So many items that old writers have written.
    pub async fn new(faults: Faults, items: u64) -> World {
        let all = (0..items).filter_map(|id| old_write(id).image);
        let table = ModelTable::of(faults.clone(), all);
        table.set_clock(NOW);
        let calm = ModelTable::of(Faults::none(0), []);
        let keys = calm.describe("stuff").await.unwrap().keys;
        World {
            store: ModelStore::new(faults.clone()),
            faults,
            table,
            stream: Stream::default(),
            keys,
        }
    }

    pub fn switch_on(&self) -> SwitchOn {
        SwitchOn {
            spec: spec(),
            keys: self.keys.clone(),
            stream_arn: "arn:aws:dynamodb:us-east-1:1:table/stuff/stream/1".into(),
            watcher: Watcher::Process,
            stack: None,
            mapping: None,
            by: "a test".into(),
        }
    }

    /// Switches the guard on, or takes it over.
    pub async fn begin(&self, on: &SwitchOn) -> Result<GuardRecord> {
        on.begin(&self.store, || self.table.now_ms()).await
    }

    /// The guard as it is stored.
    pub async fn guard(&self) -> GuardRecord {
        self.store.guard("stuff").await.unwrap().unwrap()
    }

    pub async fn losses(&self) -> Vec<LossKind> {
        let guard = self.guard().await;
        guard.losses.iter().map(|loss| loss.kind).collect()
    }

    pub fn pending(&self) -> u64 {
        self.table.count_pending(&spec())
    }

    /// A process that switches the guard on, or takes it over, and follows until `stop`.
    pub async fn follow(&self, stop: &CancellationToken) -> Result<()> {
        let guard = self.begin(&self.switch_on()).await?;
        self.follow_as(&guard, stop).await
    }

    pub async fn follow_as(&self, guard: &GuardRecord, stop: &CancellationToken) -> Result<()> {
        let follower = Follower {
            guard: Guard {
                access: self.table.clone(),
                store: self.store.clone(),
            },
            stream: self.stream.clone(),
        };
        follower.follow(guard, stop, &|_: Told<'_>| {}).await
    }

    /// Follows for so long, and stops.
    pub async fn follow_for(&self, time: Duration) -> Result<()> {
        let stop = CancellationToken::new();
        let later = async {
            tokio::time::sleep(time).await;
            stop.cancel();
        };
        tokio::join!(self.follow(&stop), later).0
    }
}

pub fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}
