//! What a table or an index takes, and how that is paid.

use serde::{Deserialize, Serialize};

/// How capacity is paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Billing {
    /// Each unit is paid.
    OnDemand {
        /// The write units per second that the table's operator has allowed at most; `None` without a limit.
        max_write_units: Option<u64>,
        /// The read units per second that the table's operator has allowed at most; `None` without a limit.
        max_read_units: Option<u64>,
    },
    /// A capacity is paid, used or not.
    Provisioned {
        /// Write units per second.
        write_units: u64,
        /// Read units per second.
        read_units: u64,
    },
}

/// What a table or an index takes at once, as DescribeTable says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmThroughput {
    /// Write units per second.
    pub write_units: u64,
    /// Read units per second.
    pub read_units: u64,
}
