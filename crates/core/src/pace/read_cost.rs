//! What items cost to read, which nobody knows before a page has said it: how that is guessed, and what a page then should cost.

/// Bytes that a read unit reads eventually consistent.
const BYTES_PER_READ_UNIT: f64 = 8192.0;
/// Read units that the largest item costs, 400 KB read eventually consistent.
pub const MOST_PER_ITEM: f64 = 50.0;
/// Read units of the most that a page evaluates, 1 MB read eventually consistent.
const MOST_PER_PAGE: f64 = 128.0;

/// How a page is read, which decides what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// Half a unit for 4 KB.
    Eventual,
    /// A unit for 4 KB.
    Strong,
}

impl Consistency {
    /// That of a page which is read strongly consistent or not.
    pub fn of(consistent: bool) -> Self {
        match consistent {
            true => Consistency::Strong,
            false => Consistency::Eventual,
        }
    }

    /// How many times what it costs to read eventually consistent.
    pub fn times(self) -> f64 {
        match self {
            Consistency::Eventual => 1.0,
            Consistency::Strong => 2.0,
        }
    }
}

/// What an item costs to read eventually consistent, in read units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ReadCost {
    /// Nobody knows.
    Unknown,
    /// What an item costs on average, by a count that may be hours old.
    Estimated(f64),
    /// What pages have cost.
    Measured(f64),
}

impl ReadCost {
    /// The estimate if items have so many bytes on average.
    pub fn of_bytes(bytes: f64) -> Self {
        ReadCost::Estimated(units_of(bytes, Consistency::Eventual).min(MOST_PER_ITEM))
    }

    /// Units of an item, if that is known.
    pub fn per_item(self) -> Option<f64> {
        match self {
            ReadCost::Unknown => None,
            ReadCost::Estimated(units) | ReadCost::Measured(units) => Some(units),
        }
    }
}

/// Bytes that so many read units read.
pub fn bytes_of(units: f64, consistency: Consistency) -> f64 {
    units * BYTES_PER_READ_UNIT / consistency.times()
}

/// Read units that so many bytes cost together.
pub fn units_of(bytes: f64, consistency: Consistency) -> f64 {
    bytes / BYTES_PER_READ_UNIT * consistency.times()
}

/// What a page of so many items should cost, if each costs `per_item` read eventually consistent: what they cost together is
/// rounded up to 4 KB, and a page ends behind the item that fills 1 MB.
pub fn page_should_cost(items: u32, per_item: f64, consistency: Consistency) -> f64 {
    let units = (per_item * f64::from(items)).min(MOST_PER_PAGE + per_item);
    // Not an amount too large for what only a rounding error lies above.
    let blocks = (units * 2.0 - 1e-6).ceil().max(1.0);
    blocks / 2.0 * consistency.times()
}
