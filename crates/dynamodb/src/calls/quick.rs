//! A quick reader of the JSON that services send: without whitespace, without escapes in what is read here, each name once. What is
//! written in any other way, or is no JSON, it leaves to serde: whatever it returns is what serde would return.

use serde::Deserialize;

/// JSON that is read from its begin on. Every method returns `None` for what it leaves to serde.
pub(super) struct Quick<'a> {
    rest: &'a str,
}

impl<'a> Quick<'a> {
    pub(super) fn new(json: &'a str) -> Quick<'a> {
        Quick { rest: json }
    }

    /// Passes this text by, if it stands here.
    pub(super) fn takes(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Passes this text by, which has to stand here.
    pub(super) fn take(&mut self, text: &str) -> Option<()> {
        self.takes(text).then_some(())
    }

    /// There is nothing more.
    pub(super) fn end(&self) -> Option<()> {
        self.rest.is_empty().then_some(())
    }

    /// The rest of a text, with the quote behind it.
    pub(super) fn rest_of_text(&mut self) -> Option<&'a str> {
        let is_mark = |byte: &u8| matches!(byte, b'"' | b'\\' | ..b' ');
        let end = self.rest.as_bytes().iter().position(is_mark)?;
        let (text, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest.strip_prefix('"')?;
        Some(text)
    }

    /// An object: each member is read by this, which is given the name and stands before the value.
    pub(super) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &'a str) -> Option<()>,
    ) -> Option<()> {
        self.take("{\"")?;
        loop {
            let name = self.rest_of_text()?;
            self.take(":")?;
            member(self, name)?;
            if self.takes("}") {
                return Some(());
            }
            self.take(",\"")?;
        }
    }

    /// An array: each element is read by this.
    pub(super) fn array<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let mut elements = Vec::new();
        self.take("[")?;
        if self.takes("]") {
            return Some(elements);
        }
        loop {
            elements.push(element(self)?);
            if self.takes("]") {
                return Some(elements);
            }
            self.take(",")?;
        }
    }

    /// A value as serde reads it.
    pub(super) fn value<T: Deserialize<'a>>(&mut self) -> Option<T> {
        Some(self.value_and_text()?.0)
    }

    /// A value that this reads, or else as serde reads it.
    pub(super) fn quickly_or_value<T: Deserialize<'a>>(
        &mut self,
        quickly: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        let mut ahead = Quick { rest: self.rest };
        match quickly(&mut ahead) {
            Some(value) => {
                self.rest = ahead.rest;
                Some(value)
            }
            None => self.value(),
        }
    }

    /// A value as serde reads it, and its JSON.
    pub(super) fn value_and_text<T: Deserialize<'a>>(&mut self) -> Option<(T, &'a str)> {
        let mut values = serde_json::Deserializer::from_str(self.rest).into_iter();
        let value = values.next()?.ok()?;
        let (text, rest) = self.rest.split_at_checked(values.byte_offset())?;
        self.rest = rest;
        Some((value, text))
    }
}

#[cfg(test)]
mod tests {
    use backfill_core::value::measured::ItemBytes;
    use std::fmt::Debug;

    use serde::de::DeserializeOwned;

    use crate::calls::{BatchExecuteStatement, ScanOfFew, ScanOfKeys};
    use crate::send::Call;

    /// What changes an answer most.
    const MARKS: [&str; 24] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        " ",
        "\n",
        "\u{1}",
        "ä",
        "null",
        "{}",
        "[]",
        "1",
        ".5",
        "-",
        "\"S\"",
        "\"N\":\"7\"",
        "\"B\":\"AQ==\"",
        "\\u0069",
        "\"Items\":",
        "\"Error\":",
    ];

    /// Reads an answer, and many that are almost like it, in both ways. Whatever is read quickly is what serde reads; returns
    /// whether the answer itself is, and how many of the others.
    fn compared<C: Call>(answer: &str) -> (bool, usize)
    where
        C::Answer: DeserializeOwned + PartialEq + Debug,
    {
        let is_quick = |json: &str| {
            let quick = C::read_quickly(json);
            let is_quick = quick.is_some();
            if let Some(quick) = quick {
                let read: C::Answer = serde_json::from_str(json).expect(json);
                assert_eq!(quick, read, "{json}");
            }
            is_quick
        };
        let mut random = fastrand::Rng::with_seed(7);
        let places: Vec<usize> = answer.char_indices().map(|(at, _)| at).collect();
        let mut quick = 0;
        for _ in 0..4_000 {
            let mut other = answer.to_owned();
            for _ in 0..random.usize(1..3) {
                let mut place = || {
                    let at = places[random.usize(..places.len())].min(other.len());
                    (0..=at)
                        .rev()
                        .find(|at| other.is_char_boundary(*at))
                        .unwrap_or(0)
                };
                let (one, two) = (place(), place());
                let (from, to) = (one.min(two), one.max(two).min(one.min(two) + 40));
                let to = (from..=to)
                    .rev()
                    .find(|at| other.is_char_boundary(*at))
                    .unwrap_or(from);
                match random.u8(..4) {
                    0 => other.replace_range(from..to, ""),
                    1 => other.insert_str(from, MARKS[random.usize(..MARKS.len())]),
                    2 => other.replace_range(from..to, MARKS[random.usize(..MARKS.len())]),
                    _ => {
                        let part = other[from..to].to_owned();
                        other.insert_str(to, &part);
                    }
                }
            }
            quick += usize::from(is_quick(&other));
        }
        (is_quick(answer), quick)
    }

    #[test]
    fn an_answer_that_is_read_quickly_is_what_serde_reads() {
        let pages = [
            r#"{"Count":2,"Items":[{"id":{"S":"a"},"created":{"N":"-1.5"}},{"created":{"N":"2"},"id":{"S":"ä\u007f"}}],"ScannedCount":3}"#,
            r#"{"ConsumedCapacity":{"CapacityUnits":0.5,"TableName":"stuff"},"Count":1,"Items":[{"id":{"S":""}}],"LastEvaluatedKey":{"id":{"S":"\"x\""}},"ScannedCount":1}"#,
            r#"{"Items":[],"ScannedCount":0,"LastEvaluatedKey":null}"#,
            r#"{"Count":7,"ScannedCount":9}"#,
        ];
        for page in pages.iter().map(|page| page.replace("\\u007f", "\u{7f}")) {
            let (is_quick, others) = compared::<ScanOfKeys<'_>>(&page);
            assert!(is_quick && others > 0, "{page}: {others}");
        }
        let items = [
            r#"{"Count":2,"Items":[{"id":{"S":"a"},"b":{"BOOL":false}},{},{"n":{"N":"2"},"t":{"S":"\"ä\""},"l":{"L":[{"S":"x"},{"NULL":true}]}}],"ScannedCount":3}"#,
            r#"{"Items":[{"b":{"B":"AQ=="},"m":{"M":{"a":{"BOOL":true}}},"s":{"SS":["x"]},"id":{"S":""}}],"LastEvaluatedKey":{"id":{"S":"x"}},"ScannedCount":1}"#,
        ];
        for page in pages
            .iter()
            .map(|page| page.replace("\\u007f", "\u{7f}"))
            .chain(items.map(String::from))
        {
            let (is_quick, others) = compared::<ScanOfFew<'_>>(&page);
            assert!(is_quick && others > 0, "{page}: {others}");
        }
        let batches = [
            r#"{"Responses":[{"TableName":"stuff"},{"TableName":"stuff"},{"TableName":"other"}],"ConsumedCapacity":[{"TableName":"stuff","CapacityUnits":3.0}]}"#,
            r#"{"ConsumedCapacity":null,"Responses":[{},{"Error":{"Code":"ConditionalCheckFailed","Message":"no","Item":{"id":{"S":"a"}}},"TableName":"stuff"},{}]}"#,
            r#"{"Responses":[]}"#,
        ];
        for batch in batches {
            let (is_quick, others) = compared::<BatchExecuteStatement<'_, ItemBytes>>(batch);
            assert!(is_quick && others > 0, "{batch}: {others}");
        }
    }

    /// Whatever is written differently is left to serde, which may read it or not.
    #[test]
    fn what_is_not_expected_is_left_to_serde() {
        for page in [
            r#"{"Items":[{"id":{"B":"AQ=="}}],"ScannedCount":1}"#,
            r#"{"Items":[{"id":{"S":"\u0061"}}],"ScannedCount":1}"#,
            r#"{"Items":[{"id":{"S":"a"},"id":{"S":"b"}}],"ScannedCount":1}"#,
            r#"{"Items":[{"a":{"S":"a"},"b":{"S":"b"},"c":{"S":"c"}}],"ScannedCount":1}"#,
            r#"{"Items":null,"ScannedCount":1}"#,
            r#"{"Items":[{}],"ScannedCount":1}"#,
            r#"{"ScannedCount":1,"ScannedCount":1}"#,
            r#"{"ScannedCount":1,"Odd":1}"#,
            r#"{"ScannedCount":1} "#,
            r#"{"ScannedCount":1"#,
            "",
        ] {
            assert_eq!(ScanOfKeys::read_quickly(page), None, "{page}");
        }
        for page in [
            r#"{"Items":[{"id":{"S":"a"},"id":{"S":"b"}}],"ScannedCount":1}"#,
            r#"{"Items":[{"id":{"S":"a","N":"1"}}],"ScannedCount":1}"#,
            r#"{"Items":[{"id":{"BOOL":"true"}}],"ScannedCount":1}"#,
            r#"{"Items":[{"i\u0064":{"S":"a"}}],"ScannedCount":1}"#,
        ] {
            assert_eq!(ScanOfFew::read_quickly(page), None, "{page}");
        }
    }
}
