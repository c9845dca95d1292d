//! Pages that go on where they have begun: reading them would never end.

use backfill_core::{Error, ErrorKind, Key, Result};

/// As many pages in a row may end where they have begun: an odd one passes, such as one that was read under load.
const MOST_REPEATS: u32 = 100;

/// The way through the pages of one segment or list.
#[derive(Debug, Default)]
pub struct Onward {
    repeats: u32,
}

impl Onward {
    /// A page was read that begins after one key, and says that there is more after `next`.
    ///
    /// Errors: `Internal` if pages have ended where they have begun over and over.
    pub fn check(&mut self, doing: &str, after: Option<&Key>, next: Option<&Key>) -> Result<()> {
        let (Some(after), Some(next)) = (after, next) else {
            self.repeats = 0;
            return Ok(());
        };
        self.repeats = match after == next {
            true => self.repeats + 1,
            false => 0,
        };
        if self.repeats < MOST_REPEATS {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Internal,
            format!(
                "{doing} does not go on: {MOST_REPEATS} pages in a row have ended at the key that they began after, {next} \
                 (LastEvaluatedKey); is the endpoint DynamoDB's?"
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use backfill_core::{Item, Value};

    use super::*;

    #[test]
    fn a_key_that_repeats_for_ever_is_an_error_that_names_it() {
        let key = |id: &str| Key(Item::from([("id".to_owned(), Value::S(id.into()))]));
        let (a, b) = (key("a"), key("b"));
        let mut onward = Onward::default();
        for _ in 0..MOST_REPEATS - 1 {
            onward.check("scanning", Some(&a), Some(&a)).unwrap();
        }
        onward.check("scanning", Some(&a), Some(&b)).unwrap();
        for _ in 0..MOST_REPEATS - 1 {
            onward.check("scanning", Some(&b), Some(&b)).unwrap();
        }
        let error = onward.check("scanning", Some(&b), Some(&b)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        let said = error.to_string();
        assert!(
            said.contains(&b.to_string()) && said.contains("LastEvaluatedKey"),
            "{said}"
        );
        onward.check("scanning", Some(&b), None).unwrap();
        assert_eq!(onward.repeats, 0);
    }
}
