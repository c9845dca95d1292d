//! The model of a table: items in hash order, segments as slices of the hash space, pages of random size.

mod expressions;
mod live;
mod mishaps;
mod reads;
mod state;
mod table;
mod writes;

pub use self::live::LiveWriter;
pub use self::table::ModelTable;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use backfill_core::change::Seen;
    use backfill_core::ports::{
        Asks, Outcome, PageRequest, ReadAccess as _, TableReader as _, TableWriter as _,
        WriteAccess as _,
    };
    use backfill_core::request::WriterKind;
    use backfill_core::{Item, Spec, Value};

    use super::reads::ModelAccess;
    use super::state::{key_of, key_of_item};
    use super::*;
    use crate::faults::Faults;
    use crate::in_virtual_time;

    /// The pending items of the table, by its pages.
    async fn pending(access: &ModelAccess) -> Vec<Seen> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let request = PageRequest {
                segment: 0,
                total_segments: 1,
                after: after.as_ref(),
                limit: 100,
                consistent: true,
                asks: Asks::Sweep,
            };
            let page = access.page(request).await.unwrap();
            found.extend(page.pending);
            after = page.next;
            if after.is_none() {
                return found;
            }
        }
    }

    #[test]
    fn conditions_and_updates_mean_what_they_say() {
        let total = |id, total: &str| {
            let mut item = ModelTable::key(id).0;
            item.insert("total".into(), Value::N(total.into()));
            item
        };
        let spec = |update: &str| Spec {
            table: "stuff".into(),
            pending: "total < :ten".into(),
            update: update.into(),
            names: BTreeMap::new(),
            values: Item::from([(":ten".into(), Value::N("10".into()))]),
            compute: None,
            code: None,
        };
        in_virtual_time(1, async {
            let items = [
                total(0, "9.0"),
                total(1, "1e1"),
                total(2, "-3"),
                total(3, "5"),
            ];
            let table = ModelTable::of(Faults::none(1), items);
            let keys = table.describe("stuff").await.unwrap().keys;
            let access = |update| table.writer(spec(update).change(&keys), WriterKind::default());
            let adds = access("SET total = total + :ten");
            let seen = pending(&adds).await;
            assert_eq!(seen.len(), 3);
            table.delete(2);
            let writer = LiveWriter {
                table: table.clone(),
                seed: 1,
                ids: 1,
                creates_pending: true,
            };
            let live = |_: &mut fastrand::Rng, n: u64, item: &mut Option<Item>| {
                let item = item.get_or_insert_default();
                item.insert("total".into(), Value::N((n + 20).to_string()));
            };
            writer.work_by(2, Duration::ZERO, live).await;
            let mut outcomes = BTreeMap::new();
            for item in &seen {
                let outcome = adds.update(item).await.unwrap().outcome;
                outcomes.insert(item.key.to_key(), outcome);
            }
            let by_id = [0, 2, 3].map(|id| outcomes[&key_of(id)].clone());
            assert_eq!(by_id, [Outcome::Raced, Outcome::Vanished, Outcome::Updated]);
            let left = [total(0, "21"), total(1, "1e1"), total(3, "15")];
            let expected = left.map(|item| (key_of_item(&item), item));
            assert_eq!(table.items(), BTreeMap::from(expected));
            assert_eq!(table.history()[&key_of(0)], Some(total(0, "21")));

            let refused = ModelTable::of(Faults::none(1), [total(0, "1")]);
            let change = spec("SET total = missing").change(&keys);
            let refused = refused.writer(change, WriterKind::default());
            let outcome = refused.update(&key_of(0).into()).await.unwrap().outcome;
            assert!(matches!(outcome, Outcome::Rejected(_)), "{outcome:?}");
        });
    }
}
