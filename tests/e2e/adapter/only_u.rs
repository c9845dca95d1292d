//! only-U: a write changes nothing but what the update names.

use backfill_core::ports::{Outcome, PageRequest, ReadAccess as _, TableReader as _};
use backfill_core::{Item, Spec, Value};
use backfill_dynamodb::ReadOnly;
use backfill_e2e::convert::to_item;

use crate::table::{KINDS, Table, key, outcome, set_test, write};

/// only-U: an item that lacks the attribute gets it, and nothing else changes; what it cost is known.
#[tokio::test(flavor = "multi_thread")]
async fn only_u_on_a_pending_item() {
    for kind in KINDS {
        let table = Table::with_items(3).await;
        let mut expected = table.items().await;
        let writer = table.writer(&set_test(), kind);
        let write = write(&writer, &[key(1)]).await.unwrap().remove(0);
        assert_eq!(write.outcome, Outcome::Updated);
        assert!(write.consumed_wcu >= 1.0);
        expected
            .get_mut(&key(1))
            .unwrap()
            .insert("test".into(), Value::N("1".into()));
        assert_eq!(table.items().await, expected);
    }
}

/// only-U with names and values that look like syntax, or are as long, as precise and as deep as can be: they neither
/// break a statement nor reach beyond their place, in filter, condition and update, by either writer.
#[tokio::test(flavor = "multi_thread")]
async fn only_u_with_hostile_names_and_values() {
    let longest = "n".repeat(255);
    let names = [
        "a\"b",
        "a'b",
        "a\\b",
        "`a`",
        "a.b",
        "a[0]",
        "#a",
        ":a",
        "?",
        "a -- b",
        "a/*b*/",
        "a;b",
        "a = b",
        ")",
        "\" IS MISSING OR \"id\" = \"id",
        "SET",
        "value",
        "true",
        "0",
        " a ",
        "ä",
        "\u{1f600}",
        "a\tb",
        &longest,
    ];
    let mut deep = Value::S("deep".into());
    for level in 0..31 {
        deep = match level % 2 {
            0 => Value::L(vec![deep]),
            _ => Value::M([("m".to_string(), deep)].into()),
        };
    }
    let values = [
        Value::S(String::new()),
        Value::S("'; DELETE FROM \"stuff\" --".into()),
        Value::S("{\"N\":\"1\"}".into()),
        Value::S("\u{0}\u{7f}\u{2028}\"\\".into()),
        Value::S("x".repeat(300_000)),
        Value::N("12345678901234567890123456789012345678".into()),
        Value::N("-9.9999999999999999999999999999999999999E+125".into()),
        Value::N("1E-130".into()),
        Value::Null(true),
        Value::L(Vec::new()),
        deep,
    ];
    let plain = Value::N("1".into());
    let cases = names
        .iter()
        .map(|name| (*name, &plain))
        .chain(values.iter().map(|value| ("test", value)));
    let table = Table::with_items(3).await;
    for (case, (name, value)) in cases.enumerate() {
        for (i, kind) in (1..).zip(KINDS) {
            let hostile = Spec::set_missing("stuff", [(name.to_string(), value.clone())].into());
            hostile
                .check()
                .unwrap_or_else(|error| panic!("{name:?}: {error}"));
            let mut expected = table.items().await;
            let request = PageRequest {
                segment: 0,
                total_segments: 1,
                after: None,
                limit: 100,
                consistent: true,
            };
            let reader = ReadOnly(table.connection.clone()).reader(hostile.change(&table.keys));
            let page = reader.page(request).await.unwrap();
            let lack = expected
                .values()
                .filter(|item| !item.contains_key(name))
                .count();
            assert_eq!(page.pending.len(), lack, "case {case}, {name:?}");

            let writer = table.writer(&hostile, kind);
            assert_eq!(
                outcome(&writer, key(i)).await,
                Outcome::Updated,
                "case {case}, {name:?}"
            );
            assert_eq!(
                outcome(&writer, key(i)).await,
                Outcome::Raced,
                "case {case}, {name:?}"
            );
            assert_eq!(
                outcome(&writer, key(99)).await,
                Outcome::Vanished,
                "case {case}, {name:?}"
            );
            let item = expected.get_mut(&key(i)).unwrap();
            item.insert(name.into(), value.clone());
            let found = table.items().await;
            // dynoxide writes numbers in a form of its own.
            let same_number = matches!(value, Value::N(_)) && {
                let number = |item: &Item| match &item[name] {
                    Value::N(number) => number.parse::<f64>().ok(),
                    _ => None,
                };
                number(&found[&key(i)]) == number(&expected[&key(i)])
            };
            if same_number {
                let found = found[&key(i)][name].clone();
                expected
                    .get_mut(&key(i))
                    .unwrap()
                    .insert(name.into(), found);
            }
            assert_eq!(found, expected, "case {case}, {name:?}");
            // As before, for the next case.
            let remove = table.database.client.update_item().table_name("stuff");
            let remove = remove
                .set_key(Some(to_item(&key(i).0)))
                .update_expression("REMOVE #n");
            remove
                .expression_attribute_names("#n", name)
                .send()
                .await
                .unwrap();
        }
    }
}
