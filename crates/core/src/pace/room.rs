//! Room in memory for what is read and not yet written: so many bytes for all segments of a process, given back as the items
//! are acknowledged.
//!
//! A segment that holds nothing gets room for a page at once, so none waits for another one, and there is always one that goes
//! on. Room for further pages is waited for in the order of asking. While there are many segments, or items need much, a page
//! is asked for fewer items, so that the pages that are given at once take no more than half of the room. But a page has the
//! least bytes that are worth reading: from 375 segments at once on the first pages take as many times that, whatever the room.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::change::Seen;

/// Bytes that all segments of a process hold together.
const ROOM: f64 = 6e6;

/// Bytes that a page has room for at least, however many segments there are, or reading costs too much.
const LEAST_PAGE: f64 = 8e3;

/// Bytes that an item takes which a page has evaluated, until one has said it.
const UNREAD_BYTES: f64 = 150.0;

/// How much the last page weighs in what an item of the next is expected to take.
const WEIGHT: f64 = 0.3;

/// The room of a process.
#[derive(Debug)]
pub struct Room {
    state: Mutex<State>,
    /// Whoever waits for room has this, and all others queue behind.
    turn: tokio::sync::Mutex<()>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    /// Bytes that are held, or expected by a page that is being read.
    held: f64,
    /// Bytes that an item takes which a page has evaluated: little, if few of them are brought along.
    per_item: f64,
}

impl Room {
    pub(super) fn new() -> Room {
        Room {
            state: Mutex::new(State {
                held: 0.0,
                per_item: UNREAD_BYTES,
            }),
            turn: tokio::sync::Mutex::new(()),
            freed: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Most items that a page should evaluate if so many segments are at work.
    pub(super) fn most_items(&self, segments: u32) -> u32 {
        let share = (ROOM / 2.0 / f64::from(segments.max(1))).max(LEAST_PAGE);
        (share / self.lock().per_item.max(1.0)).max(1.0) as u32
    }

    /// Takes so many bytes if they are there.
    fn try_take(&self, bytes: f64) -> bool {
        let mut state = self.lock();
        let fits = state.held + bytes <= ROOM;
        if fits {
            state.held += bytes;
        }
        fits
    }

    /// Takes so many bytes when they are there.
    async fn take(&self, bytes: f64) {
        let _turn = self.turn.lock().await;
        while !self.try_take(bytes) {
            self.freed.notified().await;
        }
    }

    fn give_back(&self, bytes: f64) {
        if bytes > 0.0 {
            self.lock().held -= bytes;
            self.freed.notify_one();
        }
    }
}

/// What a segment holds of the room.
#[derive(Debug)]
pub struct SegmentRoom<'a> {
    room: &'a Room,
    /// Items that are read and not acknowledged.
    items: AtomicU64,
    freed: Notify,
}

impl<'a> SegmentRoom<'a> {
    pub(super) fn new(room: &'a Room) -> Self {
        SegmentRoom {
            room,
            items: AtomicU64::new(0),
            freed: Notify::new(),
        }
    }

    /// Waits for room for a page that evaluates as many items as are `wanted` now. A segment reads no further ahead than that: no
    /// more than these may still be to write. If nothing is, it does not wait. If fewer are wanted when there is room, the page
    /// evaluates fewer; if more are, it evaluates them if there is room for these as well.
    pub async fn page(&self, wanted: impl Fn() -> u32) -> PageRoom<'_> {
        let items = wanted();
        self.until_at_most(items.into()).await;
        let expected = f64::from(items) * self.room.lock().per_item;
        tokio::select! {
            biased;
            () = self.until_at_most(0) => self.room.lock().held += expected,
            () = self.room.take(expected) => {}
        }
        let wanted = wanted();
        let further = f64::from(wanted.saturating_sub(items)) * self.room.lock().per_item;
        let (most, further) = match self.room.try_take(further) {
            true => (wanted, further),
            false => (items, 0.0),
        };
        PageRoom {
            segment: self,
            most,
            items: 0,
            bytes: expected + further,
        }
    }

    async fn until_at_most(&self, items: u64) {
        while self.items.load(Ordering::Relaxed) > items {
            self.freed.notified().await;
        }
    }
}

/// What a page holds of the room. The rest goes back when it is dropped.
#[derive(Debug)]
pub struct PageRoom<'a> {
    segment: &'a SegmentRoom<'a>,
    most: u32,
    items: u64,
    bytes: f64,
}

impl PageRoom<'_> {
    /// Most items that the page should evaluate.
    pub fn most(&self) -> u32 {
        self.most
    }

    /// The page is read: so many items were evaluated, and these it holds. So many bytes of others it has brought along, which are gone
    /// by now: the next page brings as many.
    pub fn fill(&mut self, evaluated: u64, pending: &[Seen], passed_over: usize) {
        let room = self.segment.room;
        let bytes: usize = pending.iter().map(Seen::bytes).sum();
        let surplus = {
            let mut state = room.lock();
            if evaluated > 0 {
                let per_item = (bytes + passed_over) as f64 / evaluated as f64;
                state.per_item += (per_item - state.per_item) * WEIGHT;
            }
            let surplus = self.bytes - bytes as f64;
            state.held -= surplus.min(0.0);
            surplus
        };
        room.give_back(surplus);
        self.bytes = bytes as f64;
        self.items = pending.len() as u64;
        self.segment.items.fetch_add(self.items, Ordering::Relaxed);
    }

    /// These of its items are acknowledged, and gone.
    pub fn give_back(&mut self, items: &[Seen]) {
        let bytes: usize = items.iter().map(Seen::bytes).sum();
        self.take_off(items.len() as u64, bytes as f64);
    }

    fn take_off(&mut self, items: u64, bytes: f64) {
        let (items, bytes) = (items.min(self.items), bytes.min(self.bytes));
        self.items -= items;
        self.bytes -= bytes;
        self.segment.room.give_back(bytes);
        if items > 0 {
            self.segment.items.fetch_sub(items, Ordering::Relaxed);
            self.segment.freed.notify_one();
        }
    }
}

impl Drop for PageRoom<'_> {
    fn drop(&mut self) {
        self.take_off(self.items, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::{Item, Key, Value};

    fn items(count: usize) -> Vec<Seen> {
        let key = |i: usize| Item::from([("id".to_owned(), Value::S(format!("{i:036}")))]);
        (0..count).map(|i| Seen::from(Key(key(i)))).collect()
    }

    /// A page of these items.
    async fn page<'a>(segment: &'a SegmentRoom<'_>, items: &[Seen]) -> PageRoom<'a> {
        let mut page = segment.page(|| items.len() as u32).await;
        page.fill(items.len() as u64, items, 0);
        page
    }

    /// Whatever others hold, a segment that holds nothing gets a page at once, and waits for room for another. It gets that when
    /// as much has come back, from whichever segment, and not only when a page is written to its end.
    #[tokio::test]
    async fn a_segment_without_a_page_never_waits_and_room_comes_back_item_by_item() {
        let room = Room::new();
        let items = items(1_000);
        let bytes: usize = items.iter().map(Seen::bytes).sum();
        let full = (ROOM / bytes as f64) as usize + 1;
        let segments: Vec<SegmentRoom<'_>> = (0..full).map(|_| SegmentRoom::new(&room)).collect();
        let mut pages = Vec::new();
        for segment in &segments {
            let page = page(segment, &items).now_or_never();
            pages.push(page.expect("the first page of a segment"));
        }
        assert!(room.lock().held > ROOM);
        let another = segments[0].page(|| 1_000);
        tokio::pin!(another);
        assert!(another.as_mut().now_or_never().is_none());
        for held in &mut pages[1..] {
            held.give_back(&items[..900]);
        }
        let another = another.now_or_never().expect("there is room");
        drop(another);
        drop(pages);
        assert!(room.lock().held.abs() < 1.0, "{:?}", room.lock());
    }

    /// A segment reads no further ahead than a page, however much room there is; when it is through with its items, it does not
    /// wait for those of others.
    #[tokio::test]
    async fn a_segment_reads_a_page_ahead() {
        let room = Room::new();
        let items = items(100);
        let segment = SegmentRoom::new(&room);
        let mut first = page(&segment, &items).await;
        let mut second = page(&segment, &items).await;
        let third = segment.page(|| 100);
        tokio::pin!(third);
        assert!(third.as_mut().now_or_never().is_none());
        first.give_back(&items[..99]);
        assert!(third.as_mut().now_or_never().is_none());
        // The last item of the first page takes its time.
        second.give_back(&items[..1]);
        let third = third.now_or_never().expect("no more than a page is held");
        drop(third);
        room.lock().held += ROOM;
        let fourth = segment.page(|| 100);
        tokio::pin!(fourth);
        assert!(fourth.as_mut().now_or_never().is_none());
        drop(first);
        assert!(fourth.as_mut().now_or_never().is_none());
        drop(second);
        assert!(fourth.now_or_never().is_some());
    }

    /// A page may be wanted smaller or larger when it gets the room that it has waited for. It is larger only if there is room.
    #[tokio::test]
    async fn a_page_is_no_larger_than_what_it_has_room_for() {
        let items = items(200);
        for (now, others, expected) in [
            (200, ROOM / 2.0, 200),
            (200, ROOM - 40e3, 100),
            (40, 0.0, 40),
        ] {
            let room = Room::new();
            let segment = SegmentRoom::new(&room);
            let wanted = std::cell::Cell::new(100);
            let before = page(&segment, &items).await;
            let next = segment.page(|| wanted.get());
            tokio::pin!(next);
            assert!(next.as_mut().now_or_never().is_none(), "it waits");
            wanted.set(now);
            drop(before);
            let held = {
                let mut state = room.lock();
                state.per_item = 300.0;
                state.held = others;
                state.held
            };
            let next = next.now_or_never().expect("there is room");
            assert_eq!(next.most(), expected);
            assert!(room.lock().held <= ROOM);
            drop(next);
            assert_eq!(room.lock().held, held);
        }
    }

    /// However long the keys of up to some hundred segments are, the pages that they get at once have half of the room. Of more
    /// segments each gets the least page.
    #[tokio::test]
    async fn pages_become_smaller_with_more_segments_and_larger_items() {
        let room = Room::new();
        assert!(room.most_items(8) >= 1_000);
        let items = items(1_000);
        let bytes = items[0].bytes() as f64;
        let segment = SegmentRoom::new(&room);
        for _ in 0..30 {
            page(&segment, &items).await;
        }
        for segments in [64, 200, 370] {
            let all = f64::from(room.most_items(segments) * segments) * bytes;
            assert!((ROOM * 0.45..=ROOM * 0.51).contains(&all), "{all}");
        }
        for segments in [1_000, 10_000] {
            let of_one = f64::from(room.most_items(segments)) * bytes;
            assert!(
                (LEAST_PAGE - bytes..=LEAST_PAGE).contains(&of_one),
                "{of_one}"
            );
            assert!(room.most_items(segments) >= 25);
        }
        // Of a page of which nothing is pending nothing is held.
        for _ in 0..30 {
            segment.page(|| 1_000).await.fill(1_000, &[], 0);
        }
        assert!(room.most_items(1_000) >= 1_000);
    }

    /// Pages of items that are brought along and not pending have no more room than others, though nothing of them is held.
    #[tokio::test]
    async fn pages_become_smaller_with_items_that_are_passed_over() {
        let room = Room::new();
        let segment = SegmentRoom::new(&room);
        for _ in 0..30 {
            segment.page(|| 1_000).await.fill(1_000, &[], 1_200_000);
        }
        let all = f64::from(room.most_items(64) * 64) * 1_200.0;
        assert!((ROOM * 0.45..=ROOM * 0.51).contains(&all), "{all}");
        assert!(room.lock().held.abs() < 1.0, "{:?}", room.lock());
    }
}
