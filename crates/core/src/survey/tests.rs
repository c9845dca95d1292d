//! The figures of a survey, and the warnings by their causes.

use super::*;
use crate::request::Settings;
use crate::table::KeySchema;
use crate::view::cost::Prices;
use crate::{Item, Key, Value};

use crate::request::RequestedSettings;
use crate::table::{KeyAttribute, KeyType};

pub(super) fn item(json: &str) -> Item {
    match Value::from_plain_json(json).unwrap() {
        Value::M(item) => item,
        _ => panic!("{json}"),
    }
}

fn keys() -> KeySchema {
    KeySchema {
        hash: KeyAttribute::new("id", KeyType::S),
        range: None,
    }
}

pub(super) fn index(keys: &[&str], projection: Projection) -> IndexFacts {
    IndexFacts {
        name: "by".into(),
        local: false,
        keys: keys
            .iter()
            .map(|&key| KeyAttribute::new(key, KeyType::S))
            .collect(),
        partition_keys: 1,
        projection,
        status: Some("ACTIVE".into()),
        items: 0,
        size_bytes: 0,
        write_units: None,
        warm: None,
    }
}

/// Five million items of 300 bytes, on demand, with all that is to be wished.
pub(super) fn table() -> TableFacts {
    TableFacts {
        name: "stuff".into(),
        arn: None,
        status: "ACTIVE".into(),
        keys: keys(),
        items: 5_000_000,
        size_bytes: 1_500_000_000,
        created: None,
        billing: Billing::OnDemand {
            max_write_units: None,
            max_read_units: None,
        },
        warm: Some(WarmThroughput {
            write_units: 10_000,
            read_units: 30_000,
        }),
        class: "STANDARD".into(),
        indexes: Vec::new(),
        stream: None,
        stream_arn: None,
        kinesis: Fact::Known(Vec::new()),
        time_to_live: Fact::Known(None),
        replicas: Vec::new(),
        multi_region_consistency: None,
        point_in_time_recovery: Fact::Known(true),
        deletion_protection: true,
        tags: Fact::Known(Vec::new()),
    }
}

fn page(scanned: u64, pending: u64) -> SampledPage {
    SampledPage {
        scanned,
        pending: vec![5; pending as usize],
        misfits: Vec::new(),
        holders: Default::default(),
        examples: Vec::new(),
        computed: None,
        consumed_rcu: 10.0,
        is_whole_segment: false,
    }
}

fn tried() -> Vec<Tried> {
    vec![Tried {
        before: item(r#"{"id":"a"}"#),
        after: Ok(item(r#"{"id":"a","test":1}"#)),
        is_extinguished: true,
    }]
}

fn settings(max_wcu: Option<u32>) -> Settings {
    let requested = RequestedSettings {
        max_wcu,
        ..RequestedSettings::default()
    };
    requested.choose(1_500_000_000)
}

fn warned_of(
    facts: &TableFacts,
    sample: &Sample,
    tried: &[Tried],
    forecast: &Forecast,
    settings: &Settings,
    targets: &[String],
) -> Vec<Warning> {
    warnings(&Known {
        facts,
        sample,
        tried,
        also_tried: &[],
        forecast,
        settings,
        targets,
        computing: None,
        what_to_change: "update or pending",
        held: &[],
        others: &[],
        concurrency: None,
    })
}

fn codes(
    facts: &TableFacts,
    tried: &[Tried],
    settings: &Settings,
    targets: &[&str],
) -> Vec<&'static str> {
    let sample = Sample::new(&[page(250, 200), page(250, 200)], 10_000);
    let forecast = Forecast::new(facts, &sample, tried, settings, &[], &Prices::default());
    let targets: Vec<String> = targets.iter().map(|&target| target.to_owned()).collect();
    warned_of(facts, &sample, tried, &forecast, settings, &targets)
        .into_iter()
        .map(|warning| warning.code)
        .collect()
}

#[test]
fn the_interval_holds_the_truth_as_often_as_it_says() {
    let mut random = fastrand::Rng::with_seed(1);
    for (truth, alike) in [(0.5, false), (0.02, false), (0.9, true)] {
        let mut held = 0;
        const ROUNDS: u32 = 1_000;
        for _ in 0..ROUNDS {
            let pages: Vec<SampledPage> = (0..20)
                .map(|_| {
                    // Alike: the items of a page come ten by ten, as of one collection.
                    let draws = if alike { 10 } else { 100 };
                    let hits = (0..draws).filter(|_| random.f64() < truth).count() as u64;
                    page(100, hits * 100 / draws)
                })
                .collect();
            let share = Sample::new(&pages, 10_000).share;
            held += u32::from(share.low <= truth && truth <= share.high);
        }
        assert!(held >= 910, "{truth} {alike}: {held} of {ROUNDS}");
        assert!(held < 995, "{truth} {alike}: {held}, wider than it need be");
    }
}

#[test]
fn a_sample_of_nothing_pending_does_not_say_that_nothing_is() {
    let sample = Sample::new(&[page(250, 0), page(250, 0)], 10_000);
    assert_eq!((sample.share.value, sample.share.low), (0.0, 0.0));
    assert!(sample.share.high > 0.005, "{:?}", sample.share);
    let whole = SampledPage {
        is_whole_segment: true,
        ..page(100, 7)
    };
    let sample = Sample::new(&[whole.clone(), whole], 2);
    assert!(sample.whole_table);
    assert_eq!(sample.share, Interval::exactly(0.07));
    assert_eq!(segments_to_sample(0, 20), 20);
    assert_eq!(segments_to_sample(5_000_000, 20), 10_000);
}

#[test]
fn sizes_are_those_of_the_developer_guide() {
    for (json, bytes) in [
        (r#"{"abc":"äb"}"#, 3 + 3),
        (r#"{"n":1}"#, 1 + 2),
        (r#"{"n":-12345}"#, 1 + 5),
        (r#"{"n":1000}"#, 1 + 2),
        // Digits before the point and behind it are counted apart, zeros at the ends not at all.
        (r#"{"n":0}"#, 1 + 1),
        (r#"{"n":-0.0}"#, 1 + 1),
        (r#"{"n":1.5}"#, 1 + 3),
        (r#"{"n":-0.00150}"#, 1 + 3),
        (r#"{"n":1e125}"#, 1 + 2),
        (r#"{"n":1234.5e-1}"#, 1 + 4),
        (r#"{"b":true,"z":null}"#, 2 + 2),
        (r#"{"l":[1,"a"]}"#, 1 + 3 + 3 + 2),
        (r#"{"m":{"k":"v"}}"#, 1 + 3 + 1 + 2),
    ] {
        assert_eq!(item_bytes(&item(json)), bytes, "{json}");
    }
}

#[test]
fn units_are_those_of_what_is_begun() {
    use crate::value::size::{check_units, read_units, write_units};

    for (bytes, writing, reading) in [
        (0, 1.0, 1.0),
        (1_024, 1.0, 1.0),
        (1_025, 2.0, 1.0),
        (4_096, 4.0, 1.0),
        (4_097, 5.0, 2.0),
        (400 * 1_024, 400.0, 100.0),
    ] {
        assert_eq!(write_units(bytes), writing, "{bytes}");
        assert_eq!(read_units(bytes), reading, "{bytes}");
        assert_eq!(check_units(bytes), 2.0 * writing, "{bytes}");
    }
}

/// A sweep reads eventually consistent, 8 KB a unit, and a verification strongly consistent, 4 KB a unit, whatever is pending.
/// A table that is on demand and was never warm takes what a new one does.
#[test]
fn a_new_table_on_demand_takes_4000_units_and_is_read_whole() {
    let sample = Sample::new(&[page(250, 200), page(250, 200)], 10_000);
    let facts = TableFacts {
        items: 1_000,
        size_bytes: 1_000 * 8_192,
        warm: None,
        ..table()
    };
    assert_eq!(facts.takes(), (4_000.0, 12_000.0));
    let forecast = Forecast::new(
        &facts,
        &sample,
        &tried(),
        &settings(None),
        &[],
        &Prices::default(),
    );
    assert_eq!(forecast.scan_read_units, 1_000.0);
    assert_eq!(forecast.verification_read_units, 2_000.0);
    let lacking = ["land".to_owned()];
    let of = |lacking| {
        let prices = Prices::default();
        Forecast::new(
            &facts,
            &sample,
            &tried(),
            &settings(Some(10)),
            lacking,
            &prices,
        )
    };
    let (without, with) = (of(&[]), of(&lacking));
    assert_eq!(with.verification_read_units, 3_000.0);
    assert_eq!(with.scan_read_units, without.scan_read_units);
    assert_eq!(
        with.verification_seconds,
        1.5 * without.verification_seconds
    );
    assert_eq!(
        with.cost_usd.verification,
        1.5 * without.cost_usd.verification
    );
}

#[test]
fn an_index_costs_what_the_update_does_to_its_entry() {
    let (plain, set) = (item(r#"{"id":"a"}"#), item(r#"{"id":"a","test":1}"#));
    let other = item(r#"{"id":"a","test":2}"#);
    let units = |index: &IndexFacts, before, after| index_units(&keys(), index, before, after);
    let of_key = index(&["test"], Projection::KeysOnly);
    assert_eq!(units(&of_key, &plain, &set), 1.0, "an entry appears");
    assert_eq!(units(&of_key, &set, &other), 2.0, "its key changes");
    assert_eq!(units(&of_key, &set, &plain), 1.0, "it goes");
    assert_eq!(units(&of_key, &set, &set), 0.0);
    let of_another = |projection| index(&["id"], projection);
    assert_eq!(units(&of_another(Projection::All), &plain, &set), 1.0);
    assert_eq!(units(&of_another(Projection::KeysOnly), &plain, &set), 0.0);
    let included = Projection::Include(vec!["test".into()]);
    assert_eq!(units(&of_another(included), &plain, &set), 1.0);
    let missing = index(&["nowhere"], Projection::All);
    assert_eq!(units(&missing, &plain, &set), 0.0, "not in a sparse index");
}

#[test]
fn the_longest_of_all_bounds_is_the_duration() {
    let sample = Sample::new(&[page(250, 200), page(250, 200)], 10_000);
    let forecast = |facts: &TableFacts, max_wcu| {
        Forecast::new(
            facts,
            &sample,
            &tried(),
            &settings(max_wcu),
            &[],
            &Prices::default(),
        )
    };
    let mut facts = table();
    let free = forecast(&facts, None);
    assert_eq!(
        (free.pending.value, free.units_per_item),
        (4_000_000.0, 1.0)
    );
    // 8 segments at once, 10 partitions by the warm throughput.
    assert!(free.bounds[0].by.contains("partition"), "{:?}", free.bounds);
    assert_eq!(free.sweep_seconds, 500.0);
    let budget = forecast(&facts, Some(1_000));
    assert_eq!(budget.sweep_seconds, 4_000.0);
    assert!(budget.bounds[0].by.contains("budget"));
    facts.indexes = vec![IndexFacts {
        warm: Some(WarmThroughput {
            write_units: 100,
            read_units: 100,
        }),
        ..index(&["id"], Projection::All)
    }];
    let narrow = forecast(&facts, Some(1_000));
    assert_eq!(narrow.amplification, 2.0);
    assert!(narrow.bounds[0].by.contains("index"));
    assert_eq!(narrow.sweep_seconds, 40_000.0);
    facts.replicas = vec![Replica {
        region: "eu-west-1".into(),
        status: None,
    }];
    let twice = forecast(&facts, Some(1_000)).cost_usd.writes;
    // All but the looks at what was migrated first, which are not replicated.
    assert!((twice / narrow.cost_usd.writes - 2.0).abs() < 1e-4);
}

#[test]
fn each_warning_has_its_cause() {
    let budget = settings(Some(1_000));
    assert!(codes(&table(), &tried(), &budget, &["test"]).is_empty());
    assert_eq!(
        codes(&table(), &tried(), &settings(None), &[]),
        ["on_demand_not_warmed", "no_budget"]
    );
    type Change = fn(&mut TableFacts);
    let changes: [(&str, Change); 12] = [
        ("table_not_active", |t| t.status = "UPDATING".into()),
        ("no_read_budget", |t| {
            t.billing = Billing::Provisioned {
                write_units: 100_000,
                read_units: 100,
            };
        }),
        ("no_point_in_time_recovery", |t| {
            t.point_in_time_recovery = Fact::Known(false)
        }),
        ("no_deletion_protection", |t| t.deletion_protection = false),
        ("provisioned_capacity_too_low", |t| {
            t.billing = Billing::Provisioned {
                write_units: 1_000,
                read_units: 100_000,
            };
        }),
        ("index_would_throttle", |t| {
            t.indexes = vec![IndexFacts {
                warm: Some(WarmThroughput {
                    write_units: 100,
                    read_units: 100,
                }),
                ..index(&["id"], Projection::All)
            }];
        }),
        ("index_not_active", |t| {
            t.indexes = vec![IndexFacts {
                status: Some("CREATING".into()),
                ..index(&["nowhere"], Projection::KeysOnly)
            }];
        }),
        ("replicas", |t| {
            t.replicas = vec![Replica {
                region: "eu-west-1".into(),
                status: None,
            }];
        }),
        ("stream", |t| t.stream = Some("KEYS_ONLY".into())),
        ("kinesis", |t| {
            t.kinesis = Fact::Known(vec!["a-stream".into()])
        }),
        ("writes_time_to_live", |t| {
            t.time_to_live = Fact::Known(Some("test".into()))
        }),
        ("infrequent_access", |t| {
            t.class = "STANDARD_INFREQUENT_ACCESS".into()
        }),
    ];
    for (code, change) in changes {
        let mut facts = table();
        change(&mut facts);
        assert_eq!(codes(&facts, &tried(), &budget, &["test"]), [code]);
    }
}

/// What a person must know before all else stands before what the table looks like, and what Lambda lacks behind that.
#[test]
fn warnings_have_one_order_whatever_they_are_found_by() {
    let lost = Tried {
        before: item(r#"{"id":"a","test":0}"#),
        ..tried().remove(0)
    };
    let settings = settings(Some(1_000));
    let holder = SampledPage {
        holders: [("test".to_owned(), 1)].into(),
        ..page(250, 200)
    };
    let sample = Sample::new(&[holder, page(250, 200)], 10_000);
    let facts = TableFacts {
        deletion_protection: false,
        ..table()
    };
    let (tried, prices) = ([lost], Prices::default());
    let warnings = warnings(&Known {
        facts: &facts,
        sample: &sample,
        tried: &tried,
        also_tried: &[],
        forecast: &Forecast::new(&facts, &sample, &tried, &settings, &[], &prices),
        settings: &settings,
        targets: &["test".to_owned()],
        computing: None,
        what_to_change: "update or pending",
        held: &["it is night".to_owned()],
        others: &[OtherRun {
            run_id: "other".into(),
            checkpoint_table: "backfill-checkpoints".into(),
            change: "SET a = 1".into(),
            held_by: "somebody".into(),
            max_wcu: None,
            max_rcu: None,
        }],
        concurrency: Some(&Fact::Unknown("not allowed".into())),
    });
    let codes: Vec<_> = warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(
        codes,
        [
            "values_are_overwritten",
            "held_now",
            "other_run",
            "no_deletion_protection",
            "lambda_not_seen"
        ]
    );
}

/// Wrong types, NULL, nothing at all and too many bytes do not fit the key of an index, global or local; an attribute that is not
/// there does.
#[test]
fn an_item_fits_an_index_or_it_is_said_why_not() {
    let keyed = |name: &str, kind, local| IndexFacts {
        name: name.into(),
        local,
        keys: vec![
            KeyAttribute::new("id", KeyType::S),
            KeyAttribute::new("at", kind),
        ],
        ..index(&[], Projection::KeysOnly)
    };
    let indexes = [
        index(&["owner"], Projection::All),
        keyed("local", KeyType::N, true),
    ];
    let why = |json: &str| -> Vec<String> {
        let found = misfits(&keys(), &indexes, &item(json));
        let said = |misfit: &Misfit| {
            assert_eq!(misfit.key, Key(item(r#"{"id":"a"}"#)));
            format!("{} {} {}", misfit.index, misfit.attribute, misfit.why)
        };
        found.iter().map(said).collect()
    };
    let long = |bytes| format!(r#"{{"id":"a","owner":"{}"}}"#, "x".repeat(bytes));
    for (json, said) in [
        (r#"{"id":"a"}"#, vec![]),
        (r#"{"id":"a","owner":"b","at":1}"#, vec![]),
        (&long(2_048), vec![]),
        (
            &long(2_049),
            vec!["by owner has 2049 bytes and may have 2048"],
        ),
        (r#"{"id":"a","owner":""}"#, vec!["by owner is empty"]),
        (
            r#"{"id":"a","owner":null,"at":"1"}"#,
            vec![
                "by owner is of type NULL and must be S",
                "local at is of type S and must be N",
            ],
        ),
        (
            r#"{"id":"a","owner":{"b":1}}"#,
            vec!["by owner is of type M and must be S"],
        ),
    ] {
        assert_eq!(why(json), said, "{json}");
    }
    // A sort key has half as much room.
    let sorted = [keyed("global", KeyType::S, false)];
    for (bytes, fits) in [(1_024, true), (1_025, false)] {
        let item = item(&format!(r#"{{"id":"a","at":"{}"}}"#, "x".repeat(bytes)));
        assert_eq!(misfits(&keys(), &sorted, &item).is_empty(), fits, "{bytes}");
    }
}

/// Items that do not fit an index are counted by index and attribute, drawn on to the table, and are not said to be refused for
/// another reason as well.
#[test]
fn items_that_do_not_fit_an_index_are_warned_of() {
    let mut facts = table();
    facts.indexes = vec![index(&["owner"], Projection::KeysOnly)];
    let odd = item(r#"{"id":"b","owner":7}"#);
    let mut pages = [page(250, 200), page(250, 200)];
    for page in &mut pages {
        let found = misfits(&facts.keys, &facts.indexes, &odd);
        page.misfits = std::iter::repeat_n(found, 5).flatten().collect();
    }
    let mut refused = tried();
    refused.push(Tried {
        before: odd,
        after: Err("it does not fit".into()),
        is_extinguished: true,
    });
    let warned = |segments, settings: &Settings| {
        let mut pages = pages.clone();
        for page in &mut pages {
            page.is_whole_segment = segments == 2;
        }
        let sample = Sample::new(&pages, segments);
        let forecast = Forecast::new(&facts, &sample, &refused, settings, &[], &Prices::default());
        let mut found = warned_of(&facts, &sample, &refused, &forecast, settings, &[]);
        assert_eq!(found.len(), 1, "{found:?}");
        (sample, found.remove(0))
    };
    let budget = settings(Some(1_000));
    let (sample, warning) = warned(10_000, &budget);
    let [misfits] = &sample.misfits[..] else {
        panic!("{sample:?}")
    };
    assert_eq!((misfits.items, misfits.share.value), (10, 0.02));
    assert!(misfits.share.low > 0.005 && misfits.share.high < 0.05);
    assert_eq!(warning.code, "items_do_not_fit_an_index");
    for words in [
        "10 of 500 sampled items, and of about 100000 of the table",
        "index by, such as item {\"id\":{\"S\":\"b\"}}, whose owner is of type N and must be S",
    ] {
        assert!(warning.what.contains(words), "{words}: {warning:?}");
    }
    let enough = |advice: &Advice| matches!(advice, Advice::Set("max_rejected", n) if *n > 100_000);
    assert!(warning.advice.iter().any(enough), "{warning:?}");
    let many = Settings {
        max_rejected: 1_000_000,
        ..budget
    };
    let (sample, warning) = warned(2, &many);
    assert_eq!(sample.misfits[0].share, Interval::exactly(0.02));
    assert_eq!(warning.advice.len(), 1, "{warning:?}");
    assert!(!warning.what.contains("about"), "{warning:?}");
}

/// A refusal of the update, and an update in vain, are seen on the items that it was tried on.
#[test]
fn what_was_tried_is_warned_of() {
    let budget = settings(Some(1_000));
    let mut refused = tried();
    refused[0].after = Err("a text is no number".into());
    assert_eq!(codes(&table(), &refused, &budget, &[]), ["update_refused"]);
    let mut lit = tried();
    lit[0].is_extinguished = false;
    assert_eq!(
        codes(&table(), &lit, &budget, &[]),
        ["update_does_not_extinguish"]
    );
}

/// What a sample cannot tell is said, unless it is the whole table.
#[test]
fn a_sample_that_says_little_is_warned_of() {
    let budget = settings(Some(1_000));
    let warned = |facts: &TableFacts, sample: &Sample| -> Vec<&'static str> {
        let forecast = Forecast::new(facts, sample, &tried(), &budget, &[], &Prices::default());
        let found = warned_of(facts, sample, &tried(), &forecast, &budget, &[]);
        found.into_iter().map(|warning| warning.code).collect()
    };
    let none = Sample::new(&[page(250, 0), page(250, 0)], 10_000);
    assert_eq!(warned(&table(), &none), ["none_in_sample"]);
    assert_eq!(
        warned(&table(), &none.clone().counted(500, 0, 10.0)),
        [""; 0]
    );
    let mut young = table();
    (young.items, young.size_bytes) = (10, 3_000);
    let some = Sample::new(&[page(250, 200), page(250, 200)], 10_000);
    assert_eq!(warned(&young, &some), ["no_estimate"]);
    assert_eq!(
        warned(&young, &some.clone().counted(500, 400, 10.0)),
        [""; 0]
    );
}

/// Advice names settings that there are.
#[test]
fn advice_names_declared_settings() {
    let mut facts = table();
    facts.billing = Billing::Provisioned {
        write_units: 100,
        read_units: 100,
    };
    let sample = Sample::new(&[page(250, 200), page(250, 200)], 10_000);
    let settings = settings(None);
    let forecast = Forecast::new(
        &facts,
        &sample,
        &tried(),
        &settings,
        &[],
        &Prices::default(),
    );
    let found = warned_of(&facts, &sample, &tried(), &forecast, &settings, &[]);
    let advised: Vec<&str> = found
        .iter()
        .flat_map(|warning| &warning.advice)
        .filter_map(|advice| match advice {
            Advice::Give(setting) | Advice::Set(setting, _) | Advice::AtMost(setting, _) => {
                Some(*setting)
            }
            _ => None,
        })
        .collect();
    assert!(advised.len() >= 3, "{advised:?}");
    for setting in advised {
        let is_declared = crate::request::SETTINGS.iter().any(|s| s.name == setting);
        assert!(is_declared, "{setting}");
    }
}
