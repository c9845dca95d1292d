//! What happens to a table of the model at the word of a test: items whose update is refused or that others keep busy, ways of asking
//! that are not taken, and what is done to the table as a whole.

use std::time::Duration;

use backfill_core::ErrorKind;
use backfill_core::ports::{AlarmState, LookBy};
use tokio::time::Instant;

use super::state::key_of;
use super::table::ModelTable;

impl ModelTable {
    /// The update of these items is refused for good.
    pub fn poison(&self, ids: impl IntoIterator<Item = u64>) {
        self.state.lock().unwrap().poison = ids.into_iter().map(key_of).collect();
    }

    /// The update of poisoned items is refused no more; they may be pending behind a checkpoint, to be tried again.
    pub fn mend(&self) {
        let mut state = self.state.lock().unwrap();
        let poison = std::mem::take(&mut state.poison);
        state.mended.extend(poison);
    }

    /// From now on DynamoDB refuses the update of these items, as of those that do not fit the key of an index, in words
    /// that nobody knows.
    pub fn misfit(&self, ids: impl IntoIterator<Item = u64>) {
        self.state.lock().unwrap().misfits = ids.into_iter().map(key_of).collect();
    }

    /// For so long somebody else has these items in transactions.
    pub fn keep_busy(&self, ids: impl IntoIterator<Item = u64>, time: Duration) {
        let until = Instant::now() + time;
        self.state.lock().unwrap().busy = ids.into_iter().map(|id| (key_of(id), until)).collect();
    }

    /// From now on somebody else has these items in transactions whenever the trial checks them.
    pub fn keep_busy_at_checks(&self, ids: impl IntoIterator<Item = u64>) {
        self.state.lock().unwrap().busy_at_checks = ids.into_iter().map(key_of).collect();
    }

    /// From now on updates leave the predicate true.
    pub fn make_updates_useless(&self) {
        self.state.lock().unwrap().useless_update = true;
    }

    /// From now on the scan for items that lack something is refused.
    pub fn refuse_lacking(&self) {
        self.state.lock().unwrap().refuses_lacking = true;
    }

    /// From now on a batch finds the predicate false of every item, as if PartiQL meant something else by it.
    pub fn make_batches_blind(&self) {
        self.state.lock().unwrap().blind_batches = true;
    }

    /// For so long every check of the trial is throttled, and no write.
    pub fn throttle_checks_for(&self, time: Duration) {
        self.state.lock().unwrap().checks_throttle_until = Some(Instant::now() + time);
    }

    /// No item can be looked at in a way before this one.
    pub fn allow_looks_from(&self, by: LookBy) {
        self.state.lock().unwrap().allows_look = Some(by);
    }

    /// DescribeTable says this instead of ACTIVE.
    pub fn set_status(&self, status: &str) {
        self.state.lock().unwrap().status = Some((status.to_owned(), None));
    }

    /// For so long DescribeTable says this instead of ACTIVE.
    pub fn set_status_for(&self, status: &str, time: Duration) {
        let until = Instant::now() + time;
        self.state.lock().unwrap().status = Some((status.to_owned(), Some(until)));
    }

    /// From so long on DescribeTable knows of no table, until so long from now.
    pub fn forget_for(&self, from: Duration, to: Duration) {
        let now = Instant::now();
        self.state.lock().unwrap().forgotten = Some((now + from, now + to));
    }

    /// The table is in these regions, too; strongly consistent or not.
    pub fn replicate_to(&self, regions: &[&str], is_strong_everywhere: bool) {
        let mut state = self.state.lock().unwrap();
        state.replicas = regions.iter().map(|&region| region.to_owned()).collect();
        state.is_strong_everywhere = is_strong_everywhere;
    }

    /// From now on the alarm is in this state, or cannot be had for this reason.
    pub fn set_alarm(&self, alarm: Result<AlarmState, ErrorKind>) {
        self.state.lock().unwrap().alarm = Some(alarm);
    }

    /// From now on there is no alarm.
    pub fn delete_alarm(&self) {
        self.state.lock().unwrap().alarm = None;
    }

    /// The wall clock shows this time now, in milliseconds since 1970, and goes on from there.
    pub fn set_clock(&self, now_ms: u64) {
        self.state.lock().unwrap().clock = Some((now_ms, Instant::now()));
    }

    /// The table is dropped and created anew under its name, with the same items.
    pub fn recreate(&self) {
        self.state.lock().unwrap().recreated += 1;
    }
}
