//! The turn of a request: what it waits for before it is sent, and what its answer teaches.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{MutexGuard as TurnGuard, OwnedSemaphorePermit, SemaphorePermit};
use tokio::time::Instant;

use super::bucket::TokenBucket;
use super::budget::{Budget, LEAST_PAGE_UNITS};
use super::read_cost::Consistency;
use super::retry::Until;
use super::side::Side;
use super::window::Window;
use crate::{Error, ErrorKind};

/// After such a page the next may hold more items, as if one cost this part of what it seemed to, and so on until a page costs
/// more, or until they cost the least part. All are paid for by what an item has seemed to cost.
const TRY_MORE: f64 = 0.8;
const TRY_MOST: f64 = 0.2;

/// A request that may be sent now. It is to be ended by [`Turn::end`], [`Turn::end_write`], [`Turn::end_check`] or
/// [`Turn::failed`]; if it is dropped, what was taken for it goes back.
pub struct Turn<'a> {
    bucket: &'a TokenBucket,
    side: &'a Side,
    pub(super) window: Option<(&'a Window, OwnedSemaphorePermit)>,
    pub(super) page: Option<PageTurn<'a>>,
    pub(super) taken: f64,
    budget: &'a Budget,
    items: usize,
    sent: Instant,
    waited: Duration,
    ended: bool,
    _request: SemaphorePermit<'a>,
}

/// What else belongs to the turn of a page.
pub struct PageTurn<'a> {
    pub consistency: Consistency,
    /// If it is the first page of all, until which the others wait.
    pub _first: Option<TurnGuard<'a, ()>>,
}

impl<'a> Turn<'a> {
    pub(super) async fn wait(
        side: &'a Side,
        bucket: &'a TokenBucket,
        budget: &'a Budget,
        items: usize,
        taken: f64,
        until: &Until,
    ) -> Option<Turn<'a>> {
        let begin = Instant::now();
        let at_work = budget.at_work.load(Ordering::Relaxed);
        let allowed = side.ceiling.take(taken, at_work, until).await;
        let throttled = begin.elapsed();
        let paid = allowed && bucket.take(taken, until).await;
        let waited = begin.elapsed();
        {
            let mut known = side.lock();
            match side.ceiling.is_found() {
                true => known.usage.throttled += throttled,
                false => known.usage.starting += throttled,
            }
            known.usage.budget += waited - throttled;
        }
        if !paid {
            return None;
        }
        let request = tokio::select! {
            // Mostly there is one, and then no timer is set. That the time is not over was looked at before.
            biased;
            request = budget.requests.acquire() => request.ok(),
            () = until.over() => None,
        };
        let Some(request) = request else {
            bucket.settle(taken, 0.0);
            return None;
        };
        Some(Turn {
            bucket,
            side,
            window: None,
            page: None,
            taken,
            budget,
            items,
            sent: Instant::now(),
            // A request that waits for a connection says nothing of how many are best.
            waited: begin.elapsed(),
            ended: false,
            _request: request,
        })
    }

    /// Ends the turn of a read that was answered: this many items at a cost of this many capacity units.
    pub fn end(self, items: u64, units: f64) {
        if self.page.is_some() {
            self.answered();
        }
        let times = self
            .page
            .as_ref()
            .map_or(1.0, |page| page.consistency.times());
        let cost = (items > 0 && units > 0.0).then(|| {
            let cost = units / times / items as f64;
            // What a page costs at least says only that as many fit, and perhaps more. Taken at its word it would make the
            // next page smaller, at the same price, and so on down to single items.
            let says_all = units > LEAST_PAGE_UNITS;
            let believed = self.believed().unwrap_or(cost);
            let mut known = self.side.lock();
            match says_all {
                true => known.try_more = 1.0,
                false => known.try_more = (known.try_more * TRY_MORE).max(TRY_MOST),
            }
            if says_all { cost } else { cost.min(believed) }
        });
        self.over(units, 0, items, cost);
    }

    /// What an item of a page was believed to cost.
    fn believed(&self) -> Option<f64> {
        let known = self.side.lock();
        if known.measured {
            return Some(known.per_item);
        }
        self.page.as_ref()?;
        self.budget.read_cost().per_item()
    }

    /// The turn of all items but so many, of which nothing was sent. If that is all of them the turn is over (`None`): what it took is
    /// given back, and it says nothing of what writes cost.
    pub fn without(mut self, unsent: u64) -> Option<Turn<'a>> {
        self.items = self.items.saturating_sub(unsent as usize);
        if unsent > 0 && self.items == 0 {
            self.side.ceiling.settle(self.taken, 0.0);
            return None;
        }
        Some(self)
    }

    /// Ends the turn of a write that was answered at a cost of this many capacity units. The table throttled so many of its
    /// items, and refused so many for good: what those cost is not told, so they are paid for like any other.
    pub fn end_write(self, units: f64, throttles: u64, rejected: u64) {
        self.answered();
        let items = (self.items as u64).saturating_sub(throttles);
        let told = items > 0 && units > 0.0 && rejected == 0;
        let cost = told.then(|| units / items as f64);
        let untold = (self.side.per_item() - 1.0).max(0.0) * rejected as f64;
        self.over(units + untold, throttles, items, cost);
    }

    /// Ends the turn of a check that was answered at a cost of this many capacity units. It says nothing of what writing an
    /// item costs.
    pub fn end_check(self, units: f64) {
        self.over(units, 0, 0, None);
    }

    /// Ends the turn of a request that failed as a whole.
    pub fn failed(self, error: &Error) {
        match error.kind() {
            ErrorKind::Throttled => {
                self.side.lock().throttled_by = Some(error.to_string());
                self.over(0.0, 1, 0, None);
            }
            // It may have been carried out, and its answer lost. What a conflict costs is not known.
            ErrorKind::Unavailable | ErrorKind::ItemBusy => {
                let taken = self.taken;
                self.over(taken, 0, 0, None);
            }
            _ => {}
        }
    }

    /// Takes note of how long the answer took.
    fn answered(&self) {
        self.side.lock().latency.note(self.sent.elapsed());
    }

    /// Ends the turn. `cost` is what an item has cost, if that is known.
    fn over(mut self, units: f64, throttles: u64, items: u64, cost: Option<f64>) {
        self.ended = true;
        let service = self.sent.elapsed();
        self.bucket.settle(self.taken, units);
        let proven = match self.page {
            Some(_) => &self.budget.proven_reads,
            None => &self.budget.proven_writes,
        };
        proven.answered(units, throttles > 0);
        let ceiling = &self.side.ceiling;
        if throttles == 0 {
            ceiling.settle(self.taken, units);
        }
        ceiling.answered(self.sent, units, items, throttles);
        {
            let mut known = self.side.lock();
            known.usage.service += service;
            known.throttles += throttles;
            if let Some(cost) = cost {
                // Single requests differ; what counts is what many cost. What few items have cost says little once more are
                // known.
                let weight = match (known.measured, &self.page) {
                    (false, _) => 1.0,
                    (true, None) => 0.2,
                    (true, Some(_)) => (items as f64 / (known.items + items as f64)).max(0.2),
                };
                known.per_item += (cost - known.per_item) * weight;
                known.measured = true;
                known.items += items as f64;
                if self.page.is_some() {
                    self.budget.learn(known.per_item);
                }
            }
        }
        if let Some((window, slot)) = self.window.take() {
            window.end(slot, units, self.waited, service, throttles > 0);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.bucket.settle(self.taken, 0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::{Pace, Share};

    /// budget: what DynamoDB refuses for good is charged by the size of the item, which nobody tells. One unit is counted, and
    /// the budget pays what items have cost.
    #[tokio::test(start_paused = true)]
    async fn budget_of_items_that_are_rejected() {
        let budget = Budget::new(Share::Whole);
        budget.write.set_rate(100.0);
        let pace = Pace::new(&budget, 1, Some(40.0), None);
        let until = Until::after(Duration::from_secs(3_600));
        let begin = Instant::now();
        for _ in 0..100 {
            let turn = pace.write(1, &until).await.unwrap();
            turn.end_write(1.0, 0, 1);
        }
        let seconds = begin.elapsed().as_secs_f64();
        assert!((39.0..42.0).contains(&seconds), "{seconds}");
    }

    /// budget: an item of which nothing can be made is never sent, so the budget does not pay for it, and what the others cost is
    /// what is learnt.
    #[tokio::test(start_paused = true)]
    async fn budget_of_items_that_are_not_sent() {
        let budget = Budget::new(Share::Whole);
        budget.write.set_rate(100.0);
        let pace = Pace::new(&budget, 25, Some(40.0), None);
        let until = Until::after(Duration::from_secs(3_600));
        let begin = Instant::now();
        for _ in 0..1_000 {
            let turn = pace.write(1, &until).await.unwrap();
            assert!(turn.without(1).is_none());
        }
        let seconds = begin.elapsed().as_secs_f64();
        assert!(seconds < 1.0, "{seconds}");
        for _ in 0..25 {
            let turn = pace.write(2, &until).await.unwrap();
            let turn = turn.without(1).expect("one was sent");
            turn.end_write(40.0, 0, 0);
        }
        let seconds = begin.elapsed().as_secs_f64();
        assert!((9.0..12.0).contains(&seconds), "{seconds}");
        assert!((pace.writes.per_item() - 40.0).abs() < 1e-9);
    }
}
