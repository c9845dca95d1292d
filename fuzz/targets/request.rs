//! Spec files and execution inputs: whatever the text, a request that means what it says, or a clear refusal.
#![no_main]

use backfill_core::Request;
use backfill_core::change::partiql::Statement;
use backfill_core::request::{Parts, check_run_id};
use backfill_core::table::{KeyAttribute, KeySchema, KeyType};
use backfill_fuzz::{assert_is_a_clear_sentence, json};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let parts = Parts::from_json(text, "input");
    let request = match Request::from_json(text) {
        Ok(request) => request,
        Err(refusal) => {
            assert!(refusal.kind().is_refusal());
            return assert_is_a_clear_sentence(&refusal.report());
        }
    };
    assert_eq!(
        parts.unwrap().build().unwrap(),
        request,
        "not the same twice"
    );
    assert!(text.trim_start().starts_with('{'), "fields without names");
    assert!(
        !json::has_repeated_keys(text),
        "accepted although something is said twice"
    );

    // What is kept and sent on means the same.
    let again = Request::from_json(&request.to_json()).unwrap();
    assert_eq!(again, request);
    assert_eq!(again.spec.fingerprint(), request.spec.fingerprint());
    check_run_id(&request.run_id()).unwrap();

    // What accepts it must be able to work with it.
    request.spec.check().unwrap();
    request.settings.check().unwrap();
    request.spec.describe();
    let keys = KeySchema {
        hash: KeyAttribute::new("id", KeyType::S),
        range: Some(KeyAttribute::new("created", KeyType::N)),
    };
    request.spec.change(&keys);
    let _ = request.spec.check_against(&keys);
    let _ = Statement::new(&request.spec, &keys);
});
