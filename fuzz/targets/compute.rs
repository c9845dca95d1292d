//! A template on the first line, an item in DynamoDB's JSON behind it: whatever both say, there is a value that DynamoDB stores or a
//! sentence, the same each time, and nothing but the sources is read.
#![no_main]

use backfill_core::compute::{FUNCTIONS, MAX_LENGTH, Template, is_same};
use backfill_core::value::size::item_bytes;
use backfill_core::{Item, Value};
use backfill_fuzz::assert_is_a_clear_sentence;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (template, json) = text.split_once('\n').unwrap_or((text, "{}"));
    let parsed = match Template::parse(template) {
        Ok(parsed) => parsed,
        Err(refusal) => return assert_is_a_clear_sentence(&refusal),
    };
    assert_eq!(parsed.to_string(), template);
    for source in parsed.sources() {
        // A path is read as it is shown; alone it is required.
        let shown = format!("${{{}}}", source.path);
        if shown.len() > MAX_LENGTH {
            continue;
        }
        let shown = Template::parse(&shown).unwrap();
        assert_eq!(shown.sources().len(), 1, "{}", source.path);
        assert_eq!(shown.sources()[0].path, source.path);
        assert!(shown.sources()[0].required && source.path.covers(&source.path));
    }
    let item: Item = serde_json::from_str(json).unwrap_or_default();
    let found = parsed.evaluate(&item);
    assert_eq!(found, parsed.evaluate(&item), "the same twice");

    // What no source names is not read.
    let mut alone = item.clone();
    alone.retain(|name, _| {
        let mut sources = parsed.sources().iter();
        sources.any(|source| source.path.names()[0] == *name)
    });
    assert_eq!(found, parsed.evaluate(&alone), "the sources alone");
    match found {
        Ok(value) => {
            value.check().unwrap();
            assert!(is_same(&value, &value));
            let lacks = |path: &[String]| value_at(&item, path).is_none();
            let mut required = parsed.sources().iter().filter(|source| source.required);
            assert!(!required.any(|source| lacks(source.path.names())));
            assert!(item_bytes(&Item::from([(String::new(), value)])) <= 400 * 1024);
        }
        Err(failure) => {
            assert_is_a_clear_sentence(&failure.to_string());
            let name = failure.function.as_deref();
            assert!(name.is_none_or(|name| FUNCTIONS.iter().any(|f| f.name == name)));
            if let Some(path) = failure.missing {
                assert_eq!(value_at(&item, path.names()), None);
            }
        }
    }
});

/// What stands at a path, looked up without the path's own code.
fn value_at<'a>(item: &'a Item, names: &[String]) -> Option<&'a Value> {
    let mut map = item;
    for (at, name) in names.iter().enumerate() {
        let value = map.get(name)?;
        if at + 1 == names.len() {
            return Some(value);
        }
        let Value::M(inner) = value else { return None };
        map = inner;
    }
    None
}
