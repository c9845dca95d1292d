//! What an update does to an item, for the model: as it was recorded of the service (dynoxide 3.2.0, `update::apply`).

use std::cmp::Ordering;

use backfill_core::change::grammar::{Path, Step, Term, Update};
use backfill_core::{Item, Value};

/// Most significant digits of a number.
const MOST_DIGITS: usize = 38;

/// Does to an item what an update says. An error says why DynamoDB would refuse the update of this item; it is then as it was.
pub fn apply(update: &Update, item: &mut Item) -> Result<(), String> {
    check_overlaps(update)?;
    let before = item.clone();
    let written = write(update, &before, item);
    if written.is_err() {
        *item = before;
    }
    written
}

/// Does to `after`, an item that is still as it was before, what an update says. All that it reads is of the item before.
fn write(update: &Update, before: &Item, after: &mut Item) -> Result<(), String> {
    let mut writes = Vec::new();
    for (path, term) in &update.set {
        writes.push((path, Write::Set(evaluate(term, before)?)));
    }
    for (path, value) in &update.add {
        check_fit(path.get(before), value)?;
        writes.push((path, Write::Add(value)));
    }
    for (path, value) in &update.delete {
        check_fit(path.get(before), value)?;
        writes.push((path, Write::Delete(value)));
    }
    // In the order of the paths, so that what goes behind the end of a list goes there in the order of the indexes.
    writes.sort_by_key(|(path, _)| *path);
    let mut removals = Vec::new();
    for (path, write) in writes {
        let there = path.get(after);
        let value = match write {
            Write::Set(value) => value,
            Write::Add(value) => added(there, value)?,
            Write::Delete(value) => match there.map(|there| without(there, value)) {
                Some(Some(value)) => value,
                Some(None) => {
                    removals.push(path);
                    continue;
                }
                None => {
                    parent(path, after)?;
                    continue;
                }
            },
        };
        set(path, value, after)?;
    }
    for path in &update.remove {
        match path.get(before) {
            Some(_) => removals.push(path),
            // Its parent has to be there all the same.
            None => parent(path, &mut before.clone()).map(drop)?,
        }
    }
    // From the end, so that none moves another.
    removals.sort();
    for path in removals.into_iter().rev() {
        remove(path, after)?;
    }
    Ok(())
}

enum Write<'a> {
    Set(Value),
    Add(&'a Value),
    Delete(&'a Value),
}

/// Refuses two paths of which one leads into the other.
pub(crate) fn check_overlaps(update: &Update) -> Result<(), String> {
    let mut paths: Vec<&Path> = update.remove.iter().collect();
    paths.extend(update.set.iter().map(|(path, _)| path));
    let of_sets = update.add.iter().chain(&update.delete);
    paths.extend(of_sets.map(|(path, _)| path));
    for (nth, one) in paths.iter().enumerate() {
        for other in &paths[nth + 1..] {
            let overlap =
                one.steps.starts_with(&other.steps) || other.steps.starts_with(&one.steps);
            if one.attribute == other.attribute && overlap {
                return Err(format!("two document paths overlap: {one:?}, {other:?}"));
            }
        }
    }
    Ok(())
}

fn evaluate(term: &Term, item: &Item) -> Result<Value, String> {
    let two = |a, b| Ok::<_, String>((evaluate(a, item)?, evaluate(b, item)?));
    match term {
        Term::Value(value) => Ok(value.clone()),
        Term::Path(path) => path
            .get(item)
            .cloned()
            .ok_or_else(|| format!("{path:?} does not exist in the item")),
        Term::IfNotExists(path, other) => match path.get(item) {
            Some(value) => Ok(value.clone()),
            None => evaluate(other, item),
        },
        Term::Plus(a, b) => match two(a, b)? {
            (Value::N(a), Value::N(b)) => sum(&a, &b).map(Value::N),
            _ => Err(wrong_type()),
        },
        Term::Minus(a, b) => match two(a, b)? {
            (Value::N(a), Value::N(b)) => sum(&a, &negated(&b)).map(Value::N),
            _ => Err(wrong_type()),
        },
        Term::ListAppend(a, b) => match two(a, b)? {
            (Value::L(mut a), Value::L(b)) => {
                a.extend(b);
                Ok(Value::L(a))
            }
            _ => Err(wrong_type()),
        },
    }
}

fn wrong_type() -> String {
    "an operand in the update expression has an incorrect data type".into()
}

fn wrong_path() -> String {
    "the document path provided in the update expression is invalid for update".into()
}

/// Refuses to add a value of one type to one of another, or to take it away from that.
fn check_fit(there: Option<&Value>, value: &Value) -> Result<(), String> {
    match there.is_none_or(|there| there.type_name() == value.type_name()) {
        true => Ok(()),
        false => Err(wrong_type()),
    }
}

/// The members of a set, each as a value of its own.
fn members(set: &Value) -> Vec<Value> {
    match set {
        Value::Ss(set) => set.iter().cloned().map(Value::S).collect(),
        Value::Ns(set) => set.iter().cloned().map(Value::N).collect(),
        Value::Bs(set) => set.iter().cloned().map(Value::B).collect(),
        _ => Vec::new(),
    }
}

/// The set with these members, of which there is one at least; of the type of theirs.
fn set_of(members: Vec<Value>) -> Value {
    let (mut texts, mut numbers, mut blobs) = (Vec::new(), Vec::new(), Vec::new());
    for member in members {
        match member {
            Value::S(text) => texts.push(text),
            Value::N(number) => numbers.push(number),
            Value::B(bytes) => blobs.push(bytes),
            _ => {}
        }
    }
    match (texts.is_empty(), numbers.is_empty()) {
        (false, _) => Value::Ss(texts),
        (_, false) => Value::Ns(numbers),
        _ => Value::Bs(blobs),
    }
}

fn added(there: Option<&Value>, value: &Value) -> Result<Value, String> {
    match (there, value) {
        (None, value) => Ok(value.clone()),
        (Some(Value::N(a)), Value::N(b)) => sum(a, b).map(Value::N),
        (Some(set), more) => {
            let mut all = members(set);
            for member in members(more) {
                if !all.iter().any(|one| one.is_same(&member)) {
                    all.push(member);
                }
            }
            Ok(set_of(all))
        }
    }
}

/// The set without these members; `None` if none is left.
fn without(there: &Value, value: &Value) -> Option<Value> {
    let less = members(value);
    let mut left = members(there);
    left.retain(|member| !less.iter().any(|one| one.is_same(member)));
    (!left.is_empty()).then(|| set_of(left))
}

/// Where the last step of a path is taken.
enum Parent<'a> {
    Map(&'a mut Item, &'a str),
    List(&'a mut Vec<Value>, usize),
}

/// The map or list that the last step of a path is about. It has to be there; what the step leads to need not.
fn parent<'a>(path: &'a Path, item: &'a mut Item) -> Result<Parent<'a>, String> {
    let Some((last, steps)) = path.steps.split_last() else {
        return Ok(Parent::Map(item, &path.attribute));
    };
    let mut value = item.get_mut(&path.attribute).ok_or_else(wrong_path)?;
    for step in steps {
        let inner = match (step, value) {
            (Step::Name(name), Value::M(map)) => map.get_mut(name),
            (Step::Index(index), Value::L(list)) => list.get_mut(*index),
            _ => None,
        };
        value = inner.ok_or_else(wrong_path)?;
    }
    match (last, value) {
        (Step::Name(name), Value::M(map)) => Ok(Parent::Map(map, name)),
        (Step::Index(index), Value::L(list)) => Ok(Parent::List(list, *index)),
        _ => Err(wrong_path()),
    }
}

/// Sets what a path leads to. Behind the end of a list the value becomes its last member.
fn set(path: &Path, value: Value, item: &mut Item) -> Result<(), String> {
    match parent(path, item)? {
        Parent::Map(map, name) => {
            map.insert(name.to_owned(), value);
        }
        Parent::List(list, index) => match list.get_mut(index) {
            Some(member) => *member = value,
            None => list.push(value),
        },
    }
    Ok(())
}

fn remove(path: &Path, item: &mut Item) -> Result<(), String> {
    match parent(path, item)? {
        Parent::Map(map, name) => {
            map.remove(name);
        }
        Parent::List(list, index) if index < list.len() => {
            list.remove(index);
        }
        Parent::List(..) => {}
    }
    Ok(())
}

fn negated(number: &str) -> String {
    match number.strip_prefix('-') {
        Some(amount) => amount.to_owned(),
        None => format!("-{}", number.trim_start_matches('+')),
    }
}

/// The exact sum of two numbers of DynamoDB's, in plain digits. One of more than 38 significant digits is refused, or one out of
/// range.
fn sum(a: &str, b: &str) -> Result<String, String> {
    let (a_negative, a) = digits(a)?;
    let (b_negative, b) = digits(b)?;
    let (negative, digits) = match (a_negative == b_negative, a.cmp(&b)) {
        (true, _) => (a_negative, plus(&a, &b)),
        (false, Ordering::Less) => (b_negative, minus(&b, &a)),
        (false, _) => (a_negative, minus(&a, &b)),
    };
    let text: String = digits
        .iter()
        .map(|digit| char::from(b'0' + digit))
        .collect();
    let (whole, fraction) = text.split_at(WHOLE);
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    let significant = format!("{whole}{fraction}");
    if significant.trim_matches('0').len() > MOST_DIGITS {
        return Err(format!(
            "a sum of more than {MOST_DIGITS} significant digits"
        ));
    }
    let sign = if negative && !significant.is_empty() {
        "-"
    } else {
        ""
    };
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if fraction.is_empty() { "" } else { "." };
    let sum = format!("{sign}{whole}{point}{fraction}");
    Value::N(sum.clone()).check()?;
    Ok(sum)
}

/// Digits before the point, with room for a sum of the largest numbers; and behind it, with room for the last digit of the smallest.
const WHOLE: usize = 128;
const FRACTION: usize = 168;

/// Whether a number is less than 0, and all its digits around the point.
fn digits(number: &str) -> Result<(bool, Vec<u8>), String> {
    Value::N(number.to_owned()).check()?;
    let unsigned = number.trim_start_matches(['+', '-']);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let exponent: i64 = exponent
        .parse()
        .map_err(|_| format!("{number} is no number"))?;
    let whole = mantissa.split('.').next().unwrap_or_default().len() as i64;
    let mut digits = vec![0; WHOLE + FRACTION];
    let significant = mantissa.bytes().filter(u8::is_ascii_digit);
    for (nth, digit) in significant.enumerate().filter(|(_, digit)| *digit != b'0') {
        let place = WHOLE as i64 - whole - exponent + nth as i64;
        let place = usize::try_from(place)
            .ok()
            .and_then(|place| digits.get_mut(place));
        *place.ok_or_else(|| format!("{number} is out of range"))? = digit - b'0';
    }
    Ok((number.starts_with('-'), digits))
}

/// The sum of two amounts of as many digits.
fn plus(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut carry = 0;
    let sum = a.iter().zip(b).rev().map(|(a, b)| {
        let digit = a + b + carry;
        carry = digit / 10;
        digit % 10
    });
    let mut digits: Vec<u8> = sum.collect();
    digits.reverse();
    digits
}

/// The difference of two amounts of as many digits, of which the first is no less.
fn minus(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut borrowed = 0;
    let difference = a.iter().zip(b).rev().map(|(a, b)| {
        let digit = 10 + a - b - borrowed;
        borrowed = u8::from(digit < 10);
        digit % 10
    });
    let mut digits: Vec<u8> = difference.collect();
    digits.reverse();
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_sets_are_told_by_worth() {
        let set = |members: &[&str]| Value::Ns(members.iter().map(|n| (*n).into()).collect());
        let values = [(":v", set(&["1.0", "7"])), ("s", set(&["1", "2.5"]))];
        let values: Item = values.map(|(name, set)| (name.to_owned(), set)).into();
        let after = |update: &str| {
            let update = Update::new(update, &Default::default(), &values).unwrap();
            let mut item = values.clone();
            apply(&update, &mut item).unwrap();
            item["s"].clone()
        };
        assert_eq!(after("ADD s :v"), set(&["1", "2.5", "7"]));
        assert_eq!(after("DELETE s :v"), set(&["2.5"]));
    }

    #[test]
    fn sums_are_exact() {
        let most = "9".repeat(38);
        for (a, b, expected) in [
            ("1", "2", "3"),
            ("-1", "1.0", "0"),
            ("0.1", "0.2", "0.3"),
            ("1e2", "-0.5", "99.5"),
            ("-7", "-8.25", "-15.25"),
            ("5", "-12", "-7"),
            (
                "99999999999999999999999999999999999999",
                "-1",
                "99999999999999999999999999999999999998",
            ),
            ("1e-130", "1E-130", &format!("0.{}2", "0".repeat(129))),
            ("9e125", "0.00", &format!("9{}", "0".repeat(125))),
        ] {
            assert_eq!(sum(a, b).as_deref(), Ok(expected), "{a} + {b}");
            assert_eq!(sum(b, a).as_deref(), Ok(expected), "{b} + {a}");
        }
        for (a, b) in [("9e125", "1e125"), (&*most, "0.1"), ("1", "1e-40")] {
            assert!(sum(a, b).is_err(), "{a} + {b}");
        }
    }
}
