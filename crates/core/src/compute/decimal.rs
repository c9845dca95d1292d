//! Decimal arithmetic that loses no digit: what does not fit DynamoDB's 38 is refused, never rounded without being asked.

use std::cmp::Ordering;

use crate::value::read_number;

/// Significant digits that DynamoDB stores.
const MOST_DIGITS: usize = 38;

/// Longest text that is read as a number, in bytes: what is longer has more digits, or zeros that say nothing.
const MOST_BYTES: usize = 500;

/// A number: its digits times ten to the power of its exponent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decimal {
    is_negative: bool,
    /// Each 0 to 9, without zeros at either end; empty for 0.
    digits: Vec<u8>,
    /// The power of ten of the last digit; 0 for 0.
    exponent: i64,
}

/// How a number is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rounding {
    /// To the nearest; half away from 0.
    HalfUp,
    /// To the nearest; half to the even digit.
    HalfEven,
    /// Towards negative infinity.
    Floor,
    /// Towards positive infinity.
    Ceiling,
    /// Towards 0.
    Truncate,
}

impl Rounding {
    /// The words for them, the default first.
    pub(super) const WORDS: &'static [&'static str] =
        &["half-up", "half-even", "floor", "ceiling", "truncate"];

    /// Reads one of [`Rounding::WORDS`].
    pub(super) fn of_word(word: &str) -> Rounding {
        match word {
            "half-even" => Rounding::HalfEven,
            "floor" => Rounding::Floor,
            "ceiling" => Rounding::Ceiling,
            "truncate" => Rounding::Truncate,
            _ => Rounding::HalfUp,
        }
    }

    /// Whether the last digit that stays grows, given how what is cut off compares to a half of it. Something is cut off.
    fn grows(self, is_negative: bool, last: u8, rest: Ordering) -> bool {
        match self {
            Rounding::HalfUp => rest.is_ge(),
            Rounding::HalfEven => rest.is_gt() || (rest.is_eq() && last % 2 == 1),
            Rounding::Floor => is_negative,
            Rounding::Ceiling => !is_negative,
            Rounding::Truncate => false,
        }
    }
}

impl Decimal {
    /// Reads a number as DynamoDB takes it.
    ///
    /// Errors: a sentence that says that it is none, or is beyond DynamoDB's digits or range.
    pub(super) fn read(text: &str) -> Result<Decimal, String> {
        if text.len() > MOST_BYTES {
            return Err(format!("a text of {} bytes is not a number", text.len()));
        }
        let number = read_number(text)?;
        let exponent = number.magnitude + 1 - number.digits.len() as i64;
        let digits = number.digits.bytes().map(|digit| digit - b'0').collect();
        Ok(Decimal::new(number.negative, digits, exponent))
    }

    /// The whole number, divided by ten to the power of `places`.
    pub(super) fn of_scaled(number: i128, places: u32) -> Decimal {
        let digits = number.unsigned_abs().to_string();
        let digits = digits.bytes().map(|digit| digit - b'0').collect();
        Decimal::new(number < 0, digits, -i64::from(places))
    }

    /// With the zeros at both ends taken off.
    fn new(is_negative: bool, mut digits: Vec<u8>, mut exponent: i64) -> Decimal {
        let leading = digits.iter().take_while(|digit| **digit == 0).count();
        digits.drain(..leading);
        while digits.last() == Some(&0) {
            digits.pop();
            exponent += 1;
        }
        let is_zero = digits.is_empty();
        Decimal {
            is_negative: is_negative && !is_zero,
            digits,
            exponent: if is_zero { 0 } else { exponent },
        }
    }

    /// The number times ten to the power of `places`, if that is whole and has up to 38 digits.
    pub(super) fn scaled(&self, places: u32) -> Option<i128> {
        let zeros = usize::try_from(self.exponent + i64::from(places)).ok()?;
        if self.digits.len() + zeros > MOST_DIGITS {
            return (self.digits.is_empty()).then_some(0);
        }
        let shown = self
            .digits
            .iter()
            .fold(0i128, |sum, digit| sum * 10 + i128::from(*digit));
        let number = (0..zeros).fold(shown, |number, _| number * 10);
        Some(if self.is_negative { -number } else { number })
    }

    /// The number, if DynamoDB can store it.
    ///
    /// Errors: a sentence that says what is too much of it.
    pub(super) fn stored(self) -> Result<Decimal, String> {
        if self.digits.len() > MOST_DIGITS {
            return Err(format!(
                "the result has more than the {MOST_DIGITS} significant digits that DynamoDB stores; round what goes in"
            ));
        }
        if !self.digits.is_empty() && !(-130..=125).contains(&self.magnitude()) {
            return Err("the result is outside DynamoDB's range of 1E-130 to 9.99E+125".into());
        }
        Ok(self)
    }

    /// The power of ten of the first digit.
    fn magnitude(&self) -> i64 {
        self.exponent + self.digits.len() as i64 - 1
    }

    pub(super) fn is_zero(&self) -> bool {
        self.digits.is_empty()
    }

    pub(super) fn abs(mut self) -> Decimal {
        self.is_negative = false;
        self
    }

    fn negated(&self) -> Decimal {
        Decimal {
            is_negative: !self.is_negative && !self.is_zero(),
            ..self.clone()
        }
    }

    pub(super) fn add(&self, other: &Decimal) -> Decimal {
        let (a, b, exponent) = aligned(self, other);
        if self.is_negative == other.is_negative {
            return Decimal::new(self.is_negative, sum(&a, &b), exponent);
        }
        match compared(&a, &b) {
            Ordering::Less => Decimal::new(other.is_negative, difference(&b, &a), exponent),
            _ => Decimal::new(self.is_negative, difference(&a, &b), exponent),
        }
    }

    pub(super) fn sub(&self, other: &Decimal) -> Decimal {
        self.add(&other.negated())
    }

    pub(super) fn mul(&self, other: &Decimal) -> Decimal {
        Decimal::new(
            self.is_negative != other.is_negative,
            product(&self.digits, &other.digits),
            self.exponent + other.exponent,
        )
    }

    /// The quotient, which ends within 38 digits.
    ///
    /// Errors: a sentence, if it does not, or if the divisor is 0.
    pub(super) fn div(&self, by: &Decimal) -> Result<Decimal, String> {
        if by.is_zero() {
            return Err("it is divided by 0".into());
        }
        // As many zeros as give one digit more than can be stored: what has a rest then does not fit.
        let zeros = (MOST_DIGITS + 1 + by.digits.len()).saturating_sub(self.digits.len());
        let (quotient, rest) = divided(&with_zeros(&self.digits, zeros), &by.digits);
        if rest.iter().any(|digit| *digit != 0) {
            return Err(format!(
                "the quotient has more than {MOST_DIGITS} digits; say how many stay behind the point, such as div(3, 2)"
            ));
        }
        let exponent = self.exponent - by.exponent - zeros as i64;
        Ok(Decimal::new(
            self.is_negative != by.is_negative,
            quotient,
            exponent,
        ))
    }

    /// The quotient, rounded to so many places behind the point; negative places are before it.
    ///
    /// Errors: a sentence, if the divisor is 0.
    pub(super) fn div_rounded(
        &self,
        by: &Decimal,
        places: i64,
        rounding: Rounding,
    ) -> Result<Decimal, String> {
        if by.is_zero() {
            return Err("it is divided by 0".into());
        }
        let shift = places + self.exponent - by.exponent;
        let zeros = |needed: i64| usize::try_from(needed).unwrap_or(0);
        let divisor = with_zeros(&by.digits, zeros(-shift));
        let (mut quotient, rest) = divided(&with_zeros(&self.digits, zeros(shift)), &divisor);
        let is_negative = self.is_negative != by.is_negative;
        if rest.iter().any(|digit| *digit != 0) {
            let half = compared(&sum(&rest, &rest), &divisor);
            let last = quotient.last().copied().unwrap_or(0);
            if rounding.grows(is_negative, last, half) {
                quotient = sum(&quotient, &[1]);
            }
        }
        Ok(Decimal::new(is_negative, quotient, -places))
    }

    /// What remains of a division whose quotient is rounded down: it has the sign of the divisor.
    ///
    /// Errors: a sentence, if the divisor is 0.
    pub(super) fn modulo(&self, by: &Decimal) -> Result<Decimal, String> {
        if by.is_zero() {
            return Err("it is divided by 0".into());
        }
        let (a, b, exponent) = aligned(self, by);
        let (_, rest) = divided(&a, &b);
        let rest = Decimal::new(self.is_negative, rest, exponent);
        match rest.is_zero() || rest.is_negative == by.is_negative {
            true => Ok(rest),
            false => Ok(rest.add(by)),
        }
    }

    /// Rounded to so many places behind the point; negative places are before it.
    pub(super) fn round(&self, places: i64, rounding: Rounding) -> Decimal {
        let cut = -places - self.exponent;
        if cut <= 0 || self.is_zero() {
            return self.clone();
        }
        let stays = self.digits.len() as i64 - cut;
        let (stay, rest) = self.digits.split_at(usize::try_from(stays).unwrap_or(0));
        // What is cut off is a fraction of the last digit that stays; its digits end with none that is 0.
        let half = match stays < 0 {
            true => Ordering::Less,
            false => rest.cmp(&[5][..]),
        };
        let last = stay.last().copied().unwrap_or(0);
        let rounded = match rounding.grows(self.is_negative, last, half) {
            true => sum(stay, &[1]),
            false => stay.to_vec(),
        };
        Decimal::new(self.is_negative, rounded, -places)
    }

    /// By worth.
    pub(super) fn compare(&self, other: &Decimal) -> Ordering {
        let sign = |number: &Decimal| match (number.is_zero(), number.is_negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let of_sign = sign(self).cmp(&sign(other));
        if of_sign.is_ne() || self.is_zero() {
            return of_sign;
        }
        let by_size = self.magnitude().cmp(&other.magnitude());
        let by_size = by_size.then_with(|| self.digits.cmp(&other.digits));
        match self.is_negative {
            true => by_size.reverse(),
            false => by_size,
        }
    }
}

/// Plain digits without an exponent, as DynamoDB gives numbers back: `-0.5`, `1200`.
impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::with_capacity(self.digits.len() + 4);
        if self.is_negative {
            text.push('-');
        }
        let digit = |digit: &u8| char::from(b'0' + digit);
        let zeros = |number: i64| "0".repeat(usize::try_from(number).unwrap_or(0));
        let whole = self.digits.len() as i64 + self.exponent;
        if self.digits.is_empty() {
            text.push('0');
        } else if whole <= 0 {
            text.push_str("0.");
            text.push_str(&zeros(-whole));
            text.extend(self.digits.iter().map(digit));
        } else {
            let whole = usize::try_from(whole).unwrap_or(0);
            let (before, behind) = self.digits.split_at(whole.min(self.digits.len()));
            text.extend(before.iter().map(digit));
            text.push_str(&zeros(self.exponent));
            if !behind.is_empty() {
                text.push('.');
                text.extend(behind.iter().map(digit));
            }
        }
        f.write_str(&text)
    }
}

fn with_zeros(digits: &[u8], zeros: usize) -> Vec<u8> {
    let mut longer = Vec::with_capacity(digits.len() + zeros);
    longer.extend_from_slice(digits);
    longer.resize(digits.len() + zeros, 0);
    longer
}

/// The digits of both by the lower exponent of the two.
fn aligned(a: &Decimal, b: &Decimal) -> (Vec<u8>, Vec<u8>, i64) {
    let exponent = match (a.is_zero(), b.is_zero()) {
        (true, _) => b.exponent,
        (_, true) => a.exponent,
        _ => a.exponent.min(b.exponent),
    };
    let zeros = |number: &Decimal| usize::try_from(number.exponent - exponent).unwrap_or(0);
    (
        with_zeros(&a.digits, zeros(a)),
        with_zeros(&b.digits, zeros(b)),
        exponent,
    )
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    let leading = digits.iter().take_while(|digit| **digit == 0).count();
    &digits[leading..]
}

fn compared(a: &[u8], b: &[u8]) -> Ordering {
    let (a, b) = (without_zeros(a), without_zeros(b));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn sum(a: &[u8], b: &[u8]) -> Vec<u8> {
    let length = a.len().max(b.len()) + 1;
    let mut carry = 0;
    let mut digits: Vec<u8> = (0..length)
        .map(|place| {
            let of = |digits: &[u8]| digits.iter().rev().nth(place).copied().unwrap_or(0);
            let sum = of(a) + of(b) + carry;
            carry = sum / 10;
            sum % 10
        })
        .collect();
    digits.reverse();
    digits
}

/// `a` is not less than `b`.
fn difference(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut borrowed = 0;
    let mut digits: Vec<u8> = (0..a.len())
        .map(|place| {
            let of = |digits: &[u8]| digits.iter().rev().nth(place).copied().unwrap_or(0);
            let (from, taken) = (of(a), of(b) + borrowed);
            borrowed = u8::from(from < taken);
            from + 10 * borrowed - taken
        })
        .collect();
    digits.reverse();
    digits
}

fn product(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut digits = vec![0; a.len() + b.len()];
    for (i, x) in a.iter().enumerate().rev() {
        let mut carry = 0;
        for (j, y) in b.iter().enumerate().rev() {
            let sum = digits[i + j + 1] + x * y + carry;
            digits[i + j + 1] = sum % 10;
            carry = sum / 10;
        }
        digits[i] += carry;
    }
    digits
}

/// The whole quotient and the rest. The divisor is not 0.
fn divided(a: &[u8], by: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut rest: Vec<u8> = Vec::new();
    let mut quotient = Vec::with_capacity(a.len());
    for digit in a {
        rest.push(*digit);
        let mut times = 0;
        while compared(&rest, by).is_ge() {
            rest = difference(&rest, by);
            times += 1;
        }
        rest = without_zeros(&rest).to_vec();
        quotient.push(times);
    }
    (quotient, rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Decimal {
        Decimal::read(text).unwrap()
    }

    /// Each worked out by Python's `decimal` with enough digits.
    #[test]
    fn arithmetic_is_exact() {
        for (a, b, sum, difference, product) in [
            ("1", "2", "3", "-1", "2"),
            ("0.1", "0.2", "0.3", "-0.1", "0.02"),
            ("-1.50", "1.5", "0", "-3", "-2.25"),
            (
                "99999999999999999999999999999999999999",
                "1",
                "100000000000000000000000000000000000000",
                "99999999999999999999999999999999999998",
                "99999999999999999999999999999999999999",
            ),
            (
                "1e20",
                "1e-18",
                "100000000000000000000.000000000000000001",
                "99999999999999999999.999999999999999999",
                "100",
            ),
            ("0", "-7", "-7", "7", "0"),
            ("12.5", "8", "20.5", "4.5", "100"),
            (
                "12345678901234567890",
                "98765432109876543210",
                "111111111011111111100",
                "-86419753208641975320",
                "1219326311370217952237463801111263526900",
            ),
        ] {
            let (a, b) = (number(a), number(b));
            assert_eq!(a.add(&b).to_string(), sum);
            assert_eq!(a.sub(&b).to_string(), difference);
            assert_eq!(a.mul(&b).to_string(), product);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let nines = number(&"9".repeat(38));
        assert!(
            nines.add(&number("1")).stored().is_ok(),
            "trailing zeros take no digit"
        );
        assert_eq!(
            nines.add(&number("0.1")).stored().unwrap_err(),
            "the result has more than the 38 significant digits that DynamoDB stores; round what goes in"
        );
        assert!(number("9e125").add(&number("9e125")).stored().is_err());
        assert!(number("1e-130").mul(&number("0.1")).stored().is_err());
        assert!(number("1e-130").mul(&number("10")).stored().is_ok());
    }

    #[test]
    fn quotients_end_or_are_rounded() {
        for (a, b, quotient) in [
            ("1", "8", Some("0.125")),
            ("-6", "3", Some("-2")),
            ("0", "3", Some("0")),
            ("1", "3", None),
            ("1e125", "1e-5", Some(&*format!("1{}", "0".repeat(130)))),
            (
                "99999999999999999999999999999999999999",
                "3",
                Some("33333333333333333333333333333333333333"),
            ),
        ] {
            let found = number(a).div(&number(b)).ok();
            assert_eq!(
                found.map(|found| found.to_string()).as_deref(),
                quotient,
                "{a} / {b}"
            );
        }
        assert!(number("1").div(&number("0")).is_err());
        for (a, b, places, rounding, quotient) in [
            ("1", "3", 2, Rounding::HalfUp, "0.33"),
            ("2", "3", 2, Rounding::HalfUp, "0.67"),
            ("-2", "3", 0, Rounding::Truncate, "0"),
            ("-2", "3", 0, Rounding::Floor, "-1"),
            ("5", "2", 0, Rounding::HalfEven, "2"),
            ("7", "2", 0, Rounding::HalfEven, "4"),
            (
                "1e125",
                "3",
                -124,
                Rounding::Ceiling,
                &*format!("4{}", "0".repeat(124)),
            ),
            ("1e-130", "1e125", 3, Rounding::HalfUp, "0"),
            ("6", "2", 5, Rounding::Ceiling, "3"),
        ] {
            let found = number(a).div_rounded(&number(b), places, rounding).unwrap();
            assert_eq!(found.to_string(), quotient, "{a} / {b}");
        }
        assert!(
            number("1")
                .div_rounded(&number("0"), 1, Rounding::HalfUp)
                .is_err()
        );
    }

    #[test]
    fn the_rest_has_the_sign_of_the_divisor() {
        for (a, b, rest) in [
            ("7", "3", "1"),
            ("-7", "3", "2"),
            ("7", "-3", "-2"),
            ("-7", "-3", "-1"),
            ("7.5", "0.5", "0"),
            ("0", "5", "0"),
            ("1e38", "7", "2"),
        ] {
            assert_eq!(
                number(a).modulo(&number(b)).unwrap().to_string(),
                rest,
                "{a} mod {b}"
            );
        }
        assert!(number("1").modulo(&number("0")).is_err());
    }

    #[test]
    fn rounding_does_what_its_word_says() {
        let by_word = |text: &str, places| -> Vec<String> {
            let words = Rounding::WORDS.iter();
            words
                .map(|word| {
                    number(text)
                        .round(places, Rounding::of_word(word))
                        .to_string()
                })
                .collect()
        };
        assert_eq!(by_word("2.5", 0), ["3", "2", "2", "3", "2"]);
        assert_eq!(by_word("-2.5", 0), ["-3", "-2", "-3", "-2", "-2"]);
        assert_eq!(by_word("3.5", 0), ["4", "4", "3", "4", "3"]);
        assert_eq!(by_word("2.51", 0), ["3", "3", "2", "3", "2"]);
        assert_eq!(by_word("0.04", 1), ["0", "0", "0", "0.1", "0"]);
        assert_eq!(by_word("0.004", 1), ["0", "0", "0", "0.1", "0"]);
        assert_eq!(
            by_word("99.995", 2),
            ["100", "100", "99.99", "100", "99.99"]
        );
        assert_eq!(by_word("-50", -2), ["-100", "0", "-100", "0", "0"]);
        assert_eq!(by_word("12.3", 5), ["12.3"; 5]);
        assert_eq!(by_word("0", -3), ["0"; 5]);
    }

    #[test]
    fn digits_are_plain_and_scaled_numbers_are_whole() {
        for (text, plain) in [
            ("1e3", "1000"),
            ("+5", "5"),
            ("-0.00", "0"),
            ("1.50", "1.5"),
            (".5", "0.5"),
            ("-12e-4", "-0.0012"),
        ] {
            assert_eq!(number(text).to_string(), plain);
        }
        assert_eq!(number("12.5").scaled(0), None);
        assert_eq!(number("-12.5").scaled(3), Some(-12_500));
        assert_eq!(number("0").scaled(9), Some(0));
        assert_eq!(number("1e100").scaled(0), None);
        assert_eq!(Decimal::of_scaled(-12_500, 3), number("-12.5"));
        assert!(Decimal::read(&"1".repeat(501)).unwrap_err().len() < 100);
    }

    proptest! {
        /// Against whole numbers of Rust, with a point somewhere.
        #[test]
        fn arithmetic_is_that_of_whole_numbers(a in -1_000_000_000_000i64.., b in 1i64..1_000_000_000, places in 0u32..20) {
            let (a, b) = (i128::from(a), i128::from(b));
            let (x, y) = (Decimal::of_scaled(a, places), Decimal::of_scaled(b, places));
            prop_assert_eq!(x.add(&y), Decimal::of_scaled(a + b, places));
            prop_assert_eq!(x.sub(&y), Decimal::of_scaled(a - b, places));
            prop_assert_eq!(x.mul(&y), Decimal::of_scaled(a * b, 2 * places));
            prop_assert_eq!(x.modulo(&y), Ok(Decimal::of_scaled(a.rem_euclid(b), places)));
            prop_assert_eq!(x.compare(&y), a.cmp(&b));
            let floor = x.div_rounded(&y, 0, Rounding::Floor);
            prop_assert_eq!(floor, Ok(Decimal::of_scaled(a.div_euclid(b), 0)));
            prop_assert_eq!(x.round(0, Rounding::Floor), Decimal::of_scaled(a.div_euclid(10i128.pow(places)), 0));
            prop_assert_eq!(x.scaled(places), Some(a));
        }

        /// A number that is read, shown and read again is the same.
        #[test]
        fn digits_make_the_round_trip(digits in "[1-9][0-9]{0,37}", exponent in -130i64..=88, negative: bool) {
            let sign = if negative { "-" } else { "" };
            let read = Decimal::read(&format!("{sign}{digits}e{exponent}")).unwrap();
            prop_assert_eq!(&Decimal::read(&read.to_string()).unwrap(), &read);
            prop_assert_eq!(read.mul(&Decimal::of_scaled(1, 0)), read.clone());
            prop_assert_eq!(read.sub(&read), Decimal::of_scaled(0, 0));
            if let Ok(back) = read.div(&Decimal::of_scaled(8, 0)) {
                prop_assert_eq!(back.mul(&Decimal::of_scaled(8, 0)), read);
            }
        }
    }
}
