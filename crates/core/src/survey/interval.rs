//! An estimate, and how far it may be off.

use serde::Serialize;

/// Quantile of the normal distribution for two-sided confidence of 95 %.
const Z: f64 = 1.96;

/// An estimate and the interval in which the truth lies with 95 % confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The estimate itself.
    pub value: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end of the interval.
    pub high: f64,
}

impl Interval {
    pub(super) fn exactly(value: f64) -> Interval {
        Interval {
            value,
            low: value,
            high: value,
        }
    }

    /// All three of it, times a factor.
    pub fn times(self, factor: f64) -> Interval {
        Interval {
            value: self.value * factor,
            low: self.low * factor,
            high: self.high * factor,
        }
    }

    /// The interval of a part, 0 to 1, of `n` independent draws: Wilson's score interval. It stays within 0 to 1 and says
    /// something of a part of which nothing was drawn (E. B. Wilson, Journal of the American Statistical Association 22,
    /// 1927).
    pub(super) fn of_part(part: f64, n: f64) -> Interval {
        if n <= 0.0 {
            return Interval {
                value: 0.0,
                low: 0.0,
                high: 1.0,
            };
        }
        let z2 = Z * Z;
        let center = (part + z2 / (2.0 * n)) / (1.0 + z2 / n);
        let half = Z / (1.0 + z2 / n)
            * (part * (1.0 - part) / n + z2 / (4.0 * n * n))
                .max(0.0)
                .sqrt();
        Interval {
            value: part,
            low: (center - half).clamp(0.0, part),
            high: (center + half).clamp(part, 1.0),
        }
    }

    /// The interval of a population's mean, by a sample of it; `None` if the sample is empty.
    pub(super) fn of_mean(sample: &[f64]) -> Option<Interval> {
        let n = sample.len() as f64;
        if sample.is_empty() {
            return None;
        }
        let mean = sample.iter().sum::<f64>() / n;
        let variance = sample.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        let half = Z * (variance / n).sqrt();
        Some(Interval {
            value: mean,
            low: (mean - half).max(0.0),
            high: mean + half,
        })
    }
}
