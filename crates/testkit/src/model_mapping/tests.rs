use std::cell::RefCell;

use backfill_core::{Item, Value};

use super::*;
use crate::Faults;
use crate::in_virtual_time;
use crate::model_table::{LiveWriter, ModelTable};

/// A function that does as it is told, and keeps what it was brought.
struct Told<F> {
    answer: F,
    brought: RefCell<Vec<Vec<String>>>,
}

impl<F: Fn(&[String]) -> Result<Vec<String>, String>> StreamFunction for Told<F> {
    async fn handle(
        &self,
        records: Vec<StreamRecord>,
        _deadline: Instant,
    ) -> Result<Vec<String>, String> {
        let records: Vec<String> = records.into_iter().map(|record| record.sequence).collect();
        sleep(Duration::from_millis(20)).await;
        let answer = (self.answer)(&records);
        self.brought.borrow_mut().push(records);
        answer
    }
}

/// Eight changes of one item, of which Lambda brings eight at once to a function that answers so; for so long.
async fn deliver(
    settings: impl Fn(&mut MappingSettings),
    time: Duration,
    answer: impl Fn(&[String]) -> Result<Vec<String>, String>,
) -> (ModelMapping, Vec<Vec<String>>) {
    let table = ModelTable::of(Faults::none(1), []);
    table.set_clock(1_767_225_600_000);
    let stream = ModelStream::of(&table, Faults::none(1), 4);
    let mut set = MappingSettings {
        batch_size: 8,
        window: Duration::from_secs(3),
        bisects: true,
        reports: true,
        max_age: Duration::from_secs(12 * 3_600),
        timeout: Duration::from_secs(60),
        kills: 0,
        repeats: 0,
    };
    settings(&mut set);
    let mapping = ModelMapping::new(stream, set, 1);
    let function = Told {
        answer,
        brought: RefCell::default(),
    };
    let writer = LiveWriter {
        table,
        seed: 1,
        ids: 1,
        creates_pending: true,
    };
    let put = |_: &mut fastrand::Rng, n: u64, item: &mut Option<Item>| {
        *item = Some(Item::from([("n".into(), Value::N(n.to_string()))]));
    };
    tokio::select! {
        () = mapping.work(&function) => {}
        () = async {
            writer.work_by(8, Duration::from_millis(10), put).await;
            sleep(time).await;
        } => {}
    }
    (mapping, function.brought.into_inner())
}

const MINUTES: Duration = Duration::from_secs(600);

#[test]
fn a_batch_comes_again_from_the_lowest_record_that_was_named() {
    in_virtual_time(1, async {
        let times = RefCell::new(0);
        let (mapping, brought) = deliver(
            |_| {},
            MINUTES,
            |records| {
                *times.borrow_mut() += 1;
                match *times.borrow() {
                    1 => Ok(vec![records[5].clone(), records[2].clone()]),
                    // No record of the batch: all of it has failed.
                    2 => Ok(vec!["7".into()]),
                    _ => Ok(Vec::new()),
                }
            },
        )
        .await;
        let lengths: Vec<usize> = brought.iter().map(Vec::len).collect();
        assert_eq!(lengths, [8, 6, 3, 3]);
        assert_eq!(brought[1], brought[0][2..]);
        assert_eq!([&brought[2][..], &brought[3][..]].concat(), brought[1]);
        let delivered = mapping.delivered();
        assert_eq!(
            (delivered.reported, delivered.bisected, delivered.again),
            (2, 1, 12)
        );
        assert_eq!(mapping.oldest_unseen_ms(), None);
    });
}

#[test]
fn a_record_that_fails_again_and_again_is_found_by_halves_and_given_up_with_age() {
    in_virtual_time(1, async {
        let answer = |records: &[String]| match records.contains(&"999974".to_owned()) {
            true => Err("this one".to_owned()),
            false => Ok(Vec::new()),
        };
        let day = Duration::from_secs(13 * 3_600);
        let (mapping, brought) = deliver(|_| {}, day, answer).await;
        let lengths: Vec<usize> = brought.iter().map(Vec::len).collect();
        assert_eq!(lengths[..6], [8, 4, 4, 2, 1, 1]);
        // Those behind it have waited for it, and are as old.
        let mut given_up = Vec::new();
        while let Some(letter) = mapping.dead_letter() {
            assert_eq!(mapping.oldest_unseen_ms(), Some(letter.first_ms));
            mapping.remove_dead_letter(&letter);
            given_up.push((letter.first, letter.last));
        }
        let expected = [
            ("999974", "999974"),
            ("999975", "999975"),
            ("999976", "999977"),
        ];
        assert_eq!(
            given_up,
            expected.map(|(first, last)| (first.to_owned(), last.to_owned()))
        );
        assert_eq!(mapping.delivered().given_up, 4);
        assert_eq!(mapping.oldest_unseen_ms(), None);
    });
}

#[test]
fn a_function_that_is_killed_or_forgotten_gets_its_records_again() {
    in_virtual_time(1, async {
        let settings = |settings: &mut MappingSettings| {
            (settings.kills, settings.repeats) = (400, 400);
            settings.timeout = Duration::from_millis(30);
        };
        let (mapping, brought) = deliver(settings, MINUTES, |_| Ok(Vec::new())).await;
        let delivered = mapping.delivered();
        assert!(delivered.again > 0, "{delivered:?}");
        let all: BTreeSet<&String> = brought.iter().flatten().collect();
        assert_eq!(all.len(), 8);
        assert_eq!(mapping.oldest_unseen_ms(), None);
    });
}

#[test]
fn a_mapping_that_is_off_brings_nothing_and_goes_on_where_it_was() {
    in_virtual_time(1, async {
        let (mapping, brought) = deliver(|_| {}, MINUTES, |_| Ok(Vec::new())).await;
        assert_eq!(brought.len(), 1);
        mapping.enable(false);
        let function = Told {
            answer: |_: &[String]| Ok(Vec::new()),
            brought: RefCell::default(),
        };
        let work = |time| async move { sleep(time).await };
        tokio::select! {
            () = mapping.work(&function) => {}
            () = work(MINUTES) => {}
        }
        mapping.enable(true);
        tokio::select! {
            () = mapping.work(&function) => {}
            () = work(MINUTES) => {}
        }
        // All of it was brought before.
        assert!(function.brought.into_inner().is_empty());
        assert!(mapping.is_enabled());
    });
}

/// What stuck or deleted mappings have not brought is brought later: where it was, or by another one from the oldest record on.
#[test]
fn a_mapping_that_is_stuck_brings_nothing_and_one_that_is_made_anew_begins_at_the_oldest_record() {
    in_virtual_time(1, async {
        let (mapping, brought) = deliver(|_| {}, MINUTES, |_| Ok(Vec::new())).await;
        let all: usize = brought.iter().map(Vec::len).sum();
        assert_eq!((all, mapping.oldest_unseen_ms()), (8, None));
        let described = mapping.described().unwrap();
        assert_eq!((described.state, described.problem), ("Enabled", None));

        let function = Told {
            answer: |_: &[String]| Ok(Vec::new()),
            brought: RefCell::default(),
        };
        let script = async {
            mapping.delete();
            assert_eq!(mapping.described(), None);
            assert!(!mapping.is_enabled());
            sleep(MINUTES).await;
            assert_eq!(function.brought.borrow().len(), 0);
            mapping.stick(true);
            mapping.make_anew();
            let anew = mapping.described().unwrap();
            assert!(anew.problem.is_some() && anew.uuid != described.uuid);
            sleep(MINUTES).await;
            assert_eq!(function.brought.borrow().len(), 0);
            assert!(mapping.oldest_unseen_ms().is_some());
            mapping.stick(false);
            // It is that of the last try.
            assert!(mapping.described().unwrap().problem.is_some());
            sleep(MINUTES).await;
        };
        tokio::select! {
            () = mapping.work(&function) => {}
            () = script => {}
        }
        let again: usize = function.brought.borrow().iter().map(Vec::len).sum();
        assert_eq!((again, mapping.oldest_unseen_ms()), (8, None));
        assert_eq!(mapping.described().unwrap().problem, None);
    });
}
