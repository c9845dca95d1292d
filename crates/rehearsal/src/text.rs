//! Items as a person writes them.

use backfill_core::request::parse_strictly;
use backfill_core::value::Distinct;
use backfill_core::{Error, Item, Result, Value};
use serde_json::Value as Json;
use serde_json::value::RawValue;

/// An item, or a key: an object of attributes in plain JSON, or in DynamoDB's if `is_typed`.
///
/// Errors: `InvalidInput` naming `flag`, or the attribute behind it.
pub fn item(flag: &str, json: &str, is_typed: bool) -> Result<Item> {
    if is_typed {
        let Distinct(item) = parse_strictly::<Distinct<Value>>(json, flag)?;
        for (name, value) in &item {
            value
                .check()
                .map_err(|message| Error::invalid(&format!("{flag}.{name}"), message))?;
        }
        return Ok(item);
    }
    match Value::from_plain_json(json).map_err(|message| Error::invalid(flag, message))? {
        Value::M(item) => Ok(item),
        _ => Err(Error::invalid(
            flag,
            "expected an object, such as {\"id\":\"a\",\"created\":1}",
        )),
    }
}

/// JSON of whatever form, in which no object may have the same name twice: one of the two would be lost without a word.
pub(crate) fn distinct_json(text: &str) -> serde_json::Result<Json> {
    Ok(match text.trim_start().as_bytes().first() {
        Some(b'{') => {
            let Distinct(fields) = serde_json::from_str::<Distinct<&RawValue>>(text)?;
            let fields = fields.into_iter();
            Json::Object(
                fields
                    .map(|(name, raw)| Ok((name, distinct_json(raw.get())?)))
                    .collect::<serde_json::Result<_>>()?,
            )
        }
        Some(b'[') => {
            let members: Vec<&RawValue> = serde_json::from_str(text)?;
            let members = members.into_iter().map(|raw| distinct_json(raw.get()));
            Json::Array(members.collect::<serde_json::Result<_>>()?)
        }
        _ => serde_json::from_str(text)?,
    })
}

/// The items of a file: a JSON array, or an object on a line each.
///
/// Errors: `InvalidInput` naming the item or the line.
pub fn items(text: &str, is_typed: bool) -> Result<Vec<Item>> {
    if text.trim_start().starts_with('[') {
        let items: Vec<&RawValue> =
            serde_json::from_str(text).map_err(|error| Error::invalid("file", error))?;
        let items = items.into_iter().enumerate();
        return items
            .map(|(i, raw)| item(&format!("item {}", i + 1), raw.get(), is_typed))
            .collect();
    }
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(i, line)| item(&format!("line {}", i + 1), line, is_typed))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{distinct_json, item, items};

    #[test]
    fn the_same_name_twice_is_refused_in_every_form() {
        for (json, is_typed) in [
            (r#"{"a":1,"a":2}"#, false),
            (r#"{"a":{"N":"1"},"a":{"N":"2"}}"#, true),
            (r#"{"a":{"M":{"b":{"N":"1"},"b":{"N":"2"}}}}"#, true),
        ] {
            let error = item("item", json, is_typed).unwrap_err().to_string();
            assert!(error.contains("given twice"), "{json}: {error}");
        }
        let error = distinct_json(r#"{"a":[{"b":1,"b":2}]}"#).unwrap_err();
        assert!(
            error.to_string().contains("\"b\" is given twice"),
            "{error}"
        );
        let text = r#" {"a":[{"b":1},null,"x"],"c":{}}"#;
        let read: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(distinct_json(text).unwrap(), read);
    }

    #[test]
    fn a_file_of_items_is_an_array_or_lines() {
        let array = items(r#" [{"id":"a","n":1.50},{"id":"b"}]"#, false).unwrap();
        let lines = items("{\"id\":\"a\",\"n\":1.50}\n\n{\"id\":\"b\"}\n", false).unwrap();
        let typed = items(
            r#"[{"id":{"S":"a"},"n":{"N":"1.50"}},{"id":{"S":"b"}}]"#,
            true,
        );
        assert_eq!(array, lines);
        assert_eq!(array, typed.unwrap());
        for (text, place) in [("[1]", "item 1"), ("{}\n1", "line 2"), ("[{}", "file")] {
            let error = items(text, false).unwrap_err().to_string();
            assert!(error.contains(place), "{error}");
        }
    }
}
