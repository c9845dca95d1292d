//! What has happened to a stream of the model.

/// What has happened to a stream and to those who read it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamSeen {
    /// Records in all.
    pub records: u64,
    /// Records whose item is gone.
    pub removed: u64,
    /// Shards that ended with two children.
    pub splits: u64,
    /// Shards that ended with one.
    pub rollovers: u64,
    /// Records that were trimmed.
    pub trimmed: u64,
    /// Reads with an iterator that was too old.
    pub expired: u64,
    /// Reads and iterators for what was trimmed.
    pub too_late: u64,
    /// Pages without a record before the end of what is there.
    pub empty_pages: u64,
}

impl StreamSeen {
    /// Adds what has happened elsewhere.
    pub fn add(&mut self, other: StreamSeen) {
        self.records += other.records;
        self.removed += other.removed;
        self.splits += other.splits;
        self.rollovers += other.rollovers;
        self.trimmed += other.trimmed;
        self.expired += other.expired;
        self.too_late += other.too_late;
        self.empty_pages += other.empty_pages;
    }
}
