//! What is written to the checkpoint table, and under which conditions.

use backfill_core::ports::{CheckpointReader as _, CountNotes, RunStore, SegmentStore};
use backfill_core::records::{
    BlockSum, CountNote, Counters, Cursor, Flush, FullBlocks, HistoryBucket, Rejected, RunRecord,
    RunStatus, SegmentRecord, VERSION,
};
use backfill_core::{Error, ErrorKind, Item, Key, Result, Value};

use super::CheckpointTable;
use super::form::{
    COPY, COUNT, EXHAUSTED, RUN, copy_place, count_place, exhausted_key, expires_at, history_key,
    key, names, number, of_run, read_part, read_run, rejected_key, segment_key, to_attribute,
    to_attributes, values,
};
use crate::calls::{ALL_OLD, CONDITION_FAILED, ConditionFailed, DeleteItem, PutItem, UpdateItem};
use crate::send::{ProvideErrorMetadata as _, details};

impl CountNotes for CheckpointTable {
    async fn note_count(&self, run: &RunRecord, note: &CountNote) -> Result<()> {
        let mut attributes = to_attributes(note);
        attributes.insert("version".into(), number(VERSION));
        attributes.insert("expires_at".into(), expires_at());
        self.set(&key(&count_place(&run.run_id), COUNT), &attributes)
            .await
    }
}

impl RunStore for CheckpointTable {
    async fn save_run(&self, record: &RunRecord) -> Result<()> {
        if record.status == RunStatus::Running {
            // Before the record, so that no run is missing from the list.
            self.list(record).await?;
        }
        let mut item = to_attributes(record);
        item.extend(key(&record.run_id, RUN).0);
        item.insert("expires_at".into(), expires_at());
        let (condition, previous) = match record.revision {
            1 => ("attribute_not_exists(run_id)", Item::new()),
            revision => (
                "revision = :previous",
                values([("previous", number(revision - 1))]),
            ),
        };
        let put = PutItem {
            table_name: &self.name,
            item: &item,
            condition_expression: condition,
            expression_attribute_values: Some(&previous),
            return_values_on_condition_check_failure: ALL_OLD,
        };
        let Err(error) = self.sender.call(&put).await else {
            return Ok(());
        };
        if error.code() != Some(CONDITION_FAILED) {
            return Err(self.failed("writing", error));
        }
        let stored = details::<ConditionFailed<Item>>(&error)
            .and_then(|failed| failed.item)
            .map(|attributes| read_run(&self.name, attributes))
            .transpose()?;
        // Not every endpoint brings along what was there, and this may be our own write, whose answer was lost: it is read before
        // anything is made of it.
        let stored = match stored {
            Some(stored) => Some(stored),
            None => self.run(&record.run_id).await?,
        };
        match stored {
            // Our own write, whose answer was lost.
            Some(stored) if stored == *record => Ok(()),
            Some(stored) => Err(Error::new(
                ErrorKind::Conflict,
                format!(
                    "run {} was changed meanwhile by {}; see its status and try again",
                    record.run_id,
                    stored.owner.brief()
                ),
            )),
            None => Err(Error::new(
                ErrorKind::Conflict,
                format!("the record of run {} was removed meanwhile", record.run_id),
            )),
        }
    }

    async fn mark_copy(&self, run_id: &str, shard: u32, revision: u64) -> Result<()> {
        let mark = Item::from([("revision".to_owned(), number(revision))]);
        // A copy of this revision stays: whoever saved it was faster.
        let condition = "attribute_not_exists(revision) OR revision < :revision";
        self.put_copy(mark, run_id, shard, revision, condition)
            .await
    }

    async fn save_copy(&self, record: &RunRecord, shard: u32) -> Result<()> {
        let condition = "attribute_not_exists(revision) OR revision <= :revision";
        let copy = to_attributes(record);
        self.put_copy(copy, &record.run_id, shard, record.revision, condition)
            .await
    }

    async fn save_sum(&self, run: &RunRecord, sum: &BlockSum, chunks: u64) -> Result<bool> {
        self.put_sum(run, sum, chunks).await
    }

    async fn note_full(&self, run: &RunRecord, full: &FullBlocks) -> Result<()> {
        self.put_full(run, full).await
    }
}

impl SegmentStore for CheckpointTable {
    async fn claim(&self, run: &RunRecord, segment: u32) -> Result<SegmentRecord> {
        let names = names([
            "run_revision",
            "generation",
            "cursor",
            "counters",
            "pass",
            "segment",
            "version",
            "expires_at",
        ]);
        let values = values([
            ("run_revision", number(run.revision)),
            ("zero", number(0)),
            ("one", number(1)),
            ("not_started", to_attribute(&Cursor::NotStarted)),
            ("none", to_attribute(&Counters::default())),
            ("pass", number(run.pass)),
            ("segment", number(segment)),
            ("version", number(VERSION)),
            ("expires_at", expires_at()),
        ]);
        let key = key(&run.place_of(segment), &segment_key(run.pass, segment));
        let claim = UpdateItem {
            condition_expression: Some(
                "attribute_not_exists(#run_revision) OR #run_revision <= :run_revision",
            ),
            expression_attribute_names: Some(&names),
            expression_attribute_values: Some(&values),
            return_values: Some("ALL_NEW"),
            ..self.update(
                &key,
                "SET #generation = if_not_exists(#generation, :zero) + :one, \
                 #cursor = if_not_exists(#cursor, :not_started), \
                 #counters = if_not_exists(#counters, :none), \
                 #run_revision = :run_revision, #pass = :pass, #segment = :segment, #version = :version, \
                 #expires_at = :expires_at",
            )
        };
        let claimed = self.sender.call(&claim).await.map_err(|error| {
            if error.code() == Some(CONDITION_FAILED) {
                return Error::new(
                    ErrorKind::Fenced,
                    format!("segment {segment} was claimed for a later owner of the run"),
                );
            }
            self.failed("claiming a segment in", error)
        })?;
        let attributes = of_run(&run.run_id, claimed.attributes.unwrap_or_default());
        read_part(&self.name, run, attributes)
    }

    async fn checkpoint(&self, run: &RunRecord, record: &SegmentRecord) -> Result<()> {
        self.put_checkpoint(run, record).await
    }

    async fn add_to_sums(&self, run: &RunRecord, sum: &BlockSum) -> Result<bool> {
        self.add_sum(run, sum).await
    }

    async fn count_exhausted(&self, run: &RunRecord, shard: u32, segments: u32) -> Result<()> {
        let place = run.place_of_count(shard);
        let key = key(&place, &exhausted_key(run.pass));
        let update = UpdateItem {
            expression_attribute_names: Some(&names([EXHAUSTED, "expires_at"])),
            expression_attribute_values: Some(&values([
                ("segments", number(segments)),
                ("expires_at", expires_at()),
            ])),
            ..self.update(
                &key,
                "ADD #exhausted :segments SET #expires_at = :expires_at",
            )
        };
        let counted = self.call("counting exhausted segments in", &update).await;
        counted.map(drop)
    }

    async fn add_to_history(&self, run: &RunRecord, segment: u32, flush: &Flush) -> Result<()> {
        let (pass, start) = (run.pass, flush.bucket_ms());
        // What a bucket holds of this flush alone is what it adds to one that is there.
        let mut bucket = HistoryBucket::new(pass, start);
        bucket.add(flush);
        let (same, added): (Item, Item) = to_attributes(&bucket)
            .into_iter()
            .partition(|(name, _)| matches!(name.as_str(), "pass" | "start_ms"));
        let same: Item = same
            .into_iter()
            .chain([
                ("version".to_owned(), number(VERSION)),
                ("expires_at".to_owned(), expires_at()),
            ])
            .collect();
        let list = |form: &str, attributes: &Item| -> String {
            let parts = attributes.keys().map(|name| form.replace('?', name));
            parts.collect::<Vec<_>>().join(", ")
        };
        let expression = format!(
            "ADD {} SET {}",
            list("#? :?", &added),
            list("#? = :?", &same)
        );
        let written: Item = added.into_iter().chain(same).collect();
        let key = key(&run.place_of(segment), &history_key(pass, start));
        let update = UpdateItem {
            expression_attribute_names: Some(&names(written.keys().map(String::as_str))),
            expression_attribute_values: Some(&values(
                written
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.clone())),
            )),
            ..self.update(&key, &expression)
        };
        self.call("adding to the history in", &update)
            .await
            .map(drop)
    }

    async fn reject(&self, run: &RunRecord, item: &Rejected) -> Result<()> {
        let mut attributes = to_attributes(item);
        attributes.insert("version".into(), number(VERSION));
        attributes.insert("expires_at".into(), expires_at());
        let record = rejected_key(run.pass, &item.key);
        let key = key(&run.place_of(item.segment), &record);
        self.set(&key, &attributes).await
    }

    async fn forget_rejected(&self, run: &RunRecord, item: &Rejected) -> Result<()> {
        let record = rejected_key(run.pass, &item.key);
        let delete = DeleteItem {
            table_name: &self.name,
            key: &key(&run.place_of(item.segment), &record),
        };
        self.call("writing", &delete).await.map(drop)
    }
}

impl CheckpointTable {
    /// Stores a checkpoint, if it is by the latest claim and not an earlier one.
    async fn put_checkpoint(&self, run: &RunRecord, record: &SegmentRecord) -> Result<()> {
        let names = names([
            "cursor",
            "trial_passed",
            "bound_by",
            "bound_else",
            "throttled_by",
            "counters",
            "latency",
            "counted_ahead",
            "saved_ms",
            "pace",
            "expires_at",
            "generation",
            "checkpoints",
        ]);
        let values = values([
            ("cursor", to_attribute(&record.cursor)),
            ("trial_passed", Value::Bool(record.trial_passed)),
            ("bound_by", to_attribute(&record.bound_by)),
            ("bound_else", to_attribute(&record.bound_else)),
            ("throttled_by", to_attribute(&record.throttled_by)),
            ("counters", to_attribute(&record.counters)),
            ("latency", to_attribute(&record.latency)),
            ("counted_ahead", number(record.counted_ahead)),
            ("saved_ms", number(record.saved_ms)),
            ("pace", to_attribute(&record.pace)),
            ("expires_at", expires_at()),
            ("generation", number(record.generation)),
            ("checkpoints", number(record.counters.checkpoints)),
        ]);
        let place = run.place_of(record.segment);
        let key = key(&place, &segment_key(record.pass, record.segment));
        let checkpoint = UpdateItem {
            // Only the latest claim may move the checkpoint (promise: one-owner), and only forward: one that was given up
            // may still be carried out after its successors.
            condition_expression: Some(
                "#generation = :generation AND \
                 (attribute_not_exists(#counters.#checkpoints) OR #counters.#checkpoints <= :checkpoints)",
            ),
            expression_attribute_names: Some(&names),
            expression_attribute_values: Some(&values),
            ..self.update(
                &key,
                "SET #cursor = :cursor, #trial_passed = :trial_passed, #bound_by = :bound_by, \
                 #bound_else = :bound_else, #throttled_by = :throttled_by, #counters = :counters, \
                 #latency = :latency, #counted_ahead = :counted_ahead, #saved_ms = :saved_ms, \
                 #pace = :pace, #expires_at = :expires_at",
            )
        };
        match self.sender.call(&checkpoint).await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some(CONDITION_FAILED) => Err(Error::new(
                ErrorKind::Fenced,
                "another worker has claimed the segment since; this one stops",
            )),
            Err(error) => Err(self.failed("writing", error)),
        }
    }

    /// Puts a copy of a run record, or the mark of one, if what is there is of an earlier revision by this condition.
    async fn put_copy(
        &self,
        mut item: Item,
        run_id: &str,
        shard: u32,
        revision: u64,
        condition: &str,
    ) -> Result<()> {
        item.extend(key(&copy_place(run_id, shard), COPY).0);
        item.insert("expires_at".into(), expires_at());
        let put = PutItem {
            table_name: &self.name,
            item: &item,
            condition_expression: condition,
            expression_attribute_values: Some(&values([("revision", number(revision))])),
            return_values_on_condition_check_failure: "NONE",
        };
        match self.sender.call(&put).await {
            Err(error) if error.code() != Some(CONDITION_FAILED) => {
                Err(self.failed("writing", error))
            }
            _ => Ok(()),
        }
    }

    /// Sets these attributes of a record. Not by PutItem, which the roles of worker and verifier do not allow: it could replace any
    /// record.
    pub(super) async fn set(&self, key: &Key, attributes: &Item) -> Result<()> {
        let set: Vec<String> = attributes
            .keys()
            .map(|name| format!("#{name} = :{name}"))
            .collect();
        let set = format!("SET {}", set.join(", "));
        let update = UpdateItem {
            expression_attribute_names: Some(&names(attributes.keys().map(String::as_str))),
            expression_attribute_values: Some(&values(
                attributes
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.clone())),
            )),
            ..self.update(key, &set)
        };
        self.call("writing", &update).await.map(drop)
    }

    /// An update of this record, without condition, names and values.
    pub(super) fn update<'a>(&'a self, key: &'a Key, expression: &'a str) -> UpdateItem<'a> {
        UpdateItem::of(&self.name, key, expression)
    }
}
