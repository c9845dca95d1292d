//! Price files: prices, or a clear refusal.
#![no_main]

use backfill_core::view::cost::Prices;
use backfill_fuzz::assert_is_a_clear_sentence;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let prices = match Prices::from_json(text) {
        Ok(prices) => prices,
        Err(refusal) => {
            assert!(refusal.kind().is_refusal());
            return assert_is_a_clear_sentence(&refusal.report());
        }
    };
    for price in [
        prices.million_write_units,
        prices.million_read_units,
        prices.lambda_gb_second,
        prices.million_lambda_requests,
        prices.thousand_state_transitions,
    ] {
        assert!(price.is_finite() && !price.is_sign_negative() || price == 0.0);
    }
    let again = Prices::from_json(&serde_json::to_string(&prices).unwrap());
    assert!(again.is_ok(), "{again:?}");
});
