//! Bytes of items: those that the embedded database counts, whose rule was captured from the service to the byte.

use backfill_core::Item;
use backfill_core::value::measured::ItemBytes;
use backfill_core::value::size::item_bytes;
use serde_json::{Map, Value as Json, json};

/// A value of any type, with numbers written in every way.
fn value(random: &mut fastrand::Rng, depth: u32) -> Json {
    let text = |random: &mut fastrand::Rng| -> String {
        let length = random.usize(1..12);
        std::iter::repeat_with(|| random.char('!'..'\u{2ff}'))
            .take(length)
            .collect()
    };
    let number = |random: &mut fastrand::Rng| {
        let sign = ["", "-"][random.usize(..2)];
        let (whole, fraction) = (random.u32(..100_000), random.u32(..10_000));
        match random.u8(..5) {
            0 => format!("{sign}{whole}"),
            1 => format!("{sign}{whole}.{fraction:04}"),
            2 => format!("{sign}0.000{fraction}"),
            3 => format!("{sign}{fraction}e{}", random.i32(-100..100)),
            _ => format!("{sign}{whole}000"),
        }
    };
    let bytes = |random: &mut fastrand::Rng| ["AQ==", "AQI=", "AQID"][random.usize(..3)];
    let members = random.usize(..4);
    match random.u8(..if depth == 0 { 8 } else { 10 }) {
        0 => json!({"S": text(random)}),
        1 => json!({"N": number(random)}),
        2 => json!({"B": bytes(random)}),
        3 => json!({"BOOL": random.bool()}),
        4 => json!({"NULL": true}),
        5 => json!({"SS": [text(random)]}),
        6 => json!({"NS": [number(random)]}),
        7 => json!({"BS": [bytes(random)]}),
        8 => {
            let members = (0..members).map(|_| value(random, depth - 1));
            json!({"L": members.collect::<Vec<_>>()})
        }
        _ => {
            let members = (0..members).map(|_| (text(random), value(random, depth - 1)));
            json!({"M": members.collect::<Map<_, _>>()})
        }
    }
}

#[test]
fn an_item_has_the_bytes_that_the_embedded_database_counts() {
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..20_000 {
        let attributes =
            (0..random.usize(1..6)).map(|n| (format!("name{n}"), value(&mut random, 2)));
        let json = Json::Object(attributes.collect());
        let item: Item = serde_json::from_value(json.clone()).unwrap();
        let theirs = serde_json::from_value(json.clone()).unwrap();
        let bytes = dynoxide::types::item_size(&theirs) as u64;
        assert_eq!(item_bytes(&item), bytes, "{json}");
        let measured: ItemBytes = serde_json::from_str(&json.to_string()).unwrap();
        assert_eq!(measured.0, bytes, "{json}");
    }
}
