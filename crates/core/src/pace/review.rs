//! How a segment fared: what it waited for, how often the table throttled it, and how long the answers took.

use std::time::Duration;

use crate::records::{BoundBy, Histogram, Latencies};

/// How a segment fared for a while.
#[derive(Debug)]
pub struct Review {
    /// What bounded its rate.
    pub bound_by: BoundBy,
    /// Requests, and statements of batches, that the table throttled.
    pub throttles: u64,
    /// What the table said when it throttled last, with its reasons if it gave any; `None` if it did not throttle.
    pub throttled_by: Option<String>,
    /// How long the requests took that were answered.
    pub latency: Latencies,
}

/// The time of requests since the last review, by what they waited for.
#[derive(Debug, Default)]
pub struct Usage {
    pub budget: Duration,
    /// For the ceiling, since the table has throttled.
    pub throttled: Duration,
    /// For the ceiling before that: a segment begins slowly.
    pub starting: Duration,
    pub service: Duration,
}

/// What has come of the requests of one kind since the last review.
#[derive(Debug)]
pub struct Stretch {
    pub usage: Usage,
    pub throttles: u64,
    /// What the table said when it throttled last.
    pub throttled_by: Option<String>,
    /// How long those took that were answered.
    pub latency: Histogram,
    /// How long ago the last review was.
    pub elapsed: Duration,
}

impl Review {
    /// The review of these writes, of which so many may be in flight, and of these reads.
    pub fn of(writes: Stretch, reads: Stretch, at_once: u32) -> Self {
        let elapsed = writes.elapsed;
        let of_writes = writes.usage.bound(elapsed * at_once);
        let bound_by = match (of_writes, reads.usage.bound(reads.elapsed)) {
            // It waits for pages.
            (BoundBy::None, BoundBy::Latency) => BoundBy::Reading,
            (BoundBy::None, BoundBy::None) => {
                let of_writes = writes.usage.service / at_once.max(1);
                let of_reads = reads.usage.service;
                match (of_writes + of_reads) * 2 >= elapsed {
                    _ if (of_writes + of_reads).is_zero() => BoundBy::None,
                    true if of_reads > of_writes => BoundBy::Reading,
                    true => BoundBy::Latency,
                    false => BoundBy::None,
                }
            }
            (BoundBy::None, of_reads) => of_reads,
            (of_writes, _) => of_writes,
        };
        Review {
            bound_by,
            throttles: writes.throttles + reads.throttles,
            throttled_by: writes.throttled_by.or(reads.throttled_by),
            latency: Latencies {
                writes: writes.latency,
                reads: reads.latency,
            },
        }
    }
}

impl Usage {
    /// What took most of the time that was there for these requests, if it took half of it.
    fn bound(&self, available: Duration) -> BoundBy {
        let used = self.budget + self.throttled + self.service;
        let most = self.budget.max(self.throttled).max(self.service);
        if self.starting > most && self.starting * 2 >= available {
            BoundBy::Starting
        } else if used.is_zero() || used * 2 < available || self.starting > most {
            BoundBy::None
        } else if self.throttled == most {
            BoundBy::Throttled
        } else if self.budget == most {
            BoundBy::Budget
        } else {
            BoundBy::Latency
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::pace::retry::Until;
    use crate::pace::{Budget, Consistency, Pace, Share};
    use crate::{Error, ErrorKind};

    /// polite: whatever a segment waits for at its begin, it is not called throttled before the table has throttled it.
    #[tokio::test(start_paused = true)]
    async fn polite_is_called_throttled_only_where_the_table_has_throttled() {
        let budget = Budget::new(Share::Whole);
        let pace = Pace::new(&budget, 1, Some(400.0), None);
        let until = Until::after(Duration::from_secs(3_600));
        assert_eq!(pace.review().bound_by, BoundBy::None, "nothing was done");
        for _ in 0..5 {
            let turn = pace.write(1, &until).await.unwrap();
            turn.end_write(400.0, 0, 0);
        }
        let review = pace.review();
        assert_eq!((review.bound_by, review.throttles), (BoundBy::Starting, 0));
        let mut throttled = 0;
        for _ in 0..5 {
            let turn = pace.write(1, &until).await.unwrap();
            turn.failed(&Error::new(ErrorKind::Throttled, "slow down"));
            throttled += 1;
        }
        let review = pace.review();
        assert_eq!(
            (review.bound_by, review.throttles),
            (BoundBy::Throttled, throttled)
        );
    }

    /// What a request took is counted from when it was sent, without the wait for its turn; checks and requests that failed are
    /// not.
    #[tokio::test(start_paused = true)]
    async fn latencies_are_those_of_answered_pages_and_writes() {
        let budget = Budget::new(Share::Whole);
        budget.write.set_rate(1.0);
        let pace = Pace::new(&budget, 1, Some(10.0), Some(1.0));
        let until = Until::after(Duration::from_secs(3_600));
        let begin = Instant::now();
        let millis = Duration::from_millis;
        for answer in [Ok(()), Err(ErrorKind::Throttled), Ok(())] {
            let turn = pace.write(1, &until).await.unwrap();
            tokio::time::sleep(millis(55)).await;
            match answer {
                Ok(()) => turn.end_write(10.0, 0, 0),
                Err(kind) => turn.failed(&Error::new(kind, "no")),
            }
        }
        assert!(begin.elapsed() > Duration::from_secs(10), "it has waited");
        pace.check(1.0, &until).await.unwrap().end_check(1.0);
        let page = pace.read(1, Consistency::Eventual, &until).await.unwrap();
        tokio::time::sleep(millis(7)).await;
        page.end(1, 0.5);
        pace.look(1.0, &until).await.unwrap().end(1, 0.5);
        let latency = pace.review().latency;
        assert_eq!(
            (latency.writes.requests(), latency.reads.requests()),
            (2, 1)
        );
        let most = latency.writes.percentile(1.0).unwrap();
        assert!((millis(55)..=millis(63)).contains(&most), "{most:?}");
        let most = latency.reads.percentile(1.0).unwrap();
        assert!((millis(7)..=millis(8)).contains(&most), "{most:?}");
        assert!(pace.review().latency.is_empty(), "each is told once");
    }

    /// Without a limit and without throttling a segment is bound by the answers that it waits for: by pages if there is little to
    /// write, by writes if there is much. If both are quick beside what else it does, by neither.
    #[tokio::test(start_paused = true)]
    async fn without_a_limit_it_is_said_which_answers_are_waited_for() {
        let budget = Budget::new(Share::Whole);
        let until = Until::after(Duration::from_secs(3_600));
        for (read_ms, write_ms, else_ms, bound_by) in [
            (50, 5, 10, BoundBy::Reading),
            (5, 200, 10, BoundBy::Latency),
            // Neither takes half of the time, and both together do.
            (40, 30, 30, BoundBy::Reading),
            (5, 5, 100, BoundBy::None),
        ] {
            let pace = Pace::new(&budget, 1, Some(1.0), Some(1.0));
            for _ in 0..20 {
                let read = pace.read(1, Consistency::Eventual, &until).await.unwrap();
                tokio::time::sleep(Duration::from_millis(read_ms)).await;
                read.end(1, 1.0);
                let (one, other) = tokio::join!(pace.write(1, &until), pace.write(1, &until));
                tokio::time::sleep(Duration::from_millis(write_ms)).await;
                one.unwrap().end_write(1.0, 0, 0);
                other.unwrap().end_write(1.0, 0, 0);
                tokio::time::sleep(Duration::from_millis(else_ms)).await;
            }
            let review = pace.review();
            let what = (read_ms, write_ms, else_ms);
            assert_eq!(
                (review.bound_by, review.throttles),
                (bound_by, 0),
                "{what:?}"
            );
        }
    }
}
