//! What DynamoDB's expression languages do not have, answered by what can be done instead; and whether an update is one, by the
//! grammar in the developer guide (Update expressions). DynamoDB stays the judge of all else.

use super::expression::{Language, SECTIONS, is_bare_name, tokens};
use super::grammar::Update;
use crate::value::Item;

/// The functions of each language, whose names are case-sensitive.
const OF_CONDITIONS: [&str; 6] = [
    "attribute_exists",
    "attribute_not_exists",
    "attribute_type",
    "begins_with",
    "contains",
    "size",
];
const OF_UPDATES: [&str; 2] = ["if_not_exists", "list_append"];

/// Functions of other languages, by beginnings of their names in lower case, and what can be done instead.
const INSTEAD: [(&[&str], &str); 10] = [
    (
        &["concat", "string_concat", "join", "format"],
        "no expression joins texts; if the text is the same for all items, give it as a value; else have it computed by `compute`, such as \
         ${tenant}#${status}",
    ),
    (
        &[
            "now",
            "current_",
            "localtime",
            "getdate",
            "sysdate",
            "unix_timestamp",
            "timestamp",
            "date",
        ],
        "there is no clock; give the time as a value: a number of seconds, or a text such as \"2026-01-31T12:00:00Z\"",
    ),
    (
        &["uuid", "newid", "rand", "random"],
        "nothing is drawn at random; let the application write such a value, item by item",
    ),
    (
        &["coalesce", "ifnull", "nvl", "isnull", "default"],
        "if_not_exists(a, :v) is the attribute a, or :v if it is missing",
    ),
    (
        &["exists", "attribute_exist", "has", "is_defined"],
        "attribute_exists(a) and attribute_not_exists(a) say whether an item has an attribute",
    ),
    (
        &["append", "push", "array_", "listappend", "list_concat"],
        "list_append(a, :list) is the list a with the members of the list :list behind it",
    ),
    (
        &["length", "len", "count", "char_length"],
        "size(a) is the length of a text, a list, a set or a map, in conditions alone",
    ),
    (
        &["starts_with", "startswith", "beginswith", "like", "regexp"],
        "begins_with(a, :text) and contains(a, :text) look into texts; there are no patterns",
    ),
    (
        &[
            "upper", "lower", "trim", "substr", "replace", "split", "to_", "cast", "convert",
            "parse", "str", "int", "round", "abs",
        ],
        "no value is converted; have the new form computed by `compute`, such as ${a|lower}",
    ),
    (
        &["type", "typeof"],
        "attribute_type(a, :type) is true if a is of this type, such as S, N, BOOL, L or M",
    ),
];

/// Refuses what neither language has, with the reason for a person and what can be done instead.
pub fn check_words(expression: &str, language: Language) -> Result<(), String> {
    let places = tokens(expression);
    let at = |nth: usize| {
        places
            .get(nth)
            .map_or("", |place| &expression[place.clone()])
    };
    for nth in 0..places.len() {
        let (before, token, next) = (nth.checked_sub(1).map_or("", at), at(nth), at(nth + 1));
        let why = match (token, next) {
            ("|", "|") => {
                "|| is no operator of DynamoDB's: no expression joins texts; if the text is the same for all items, give it as a value; else have it computed by `compute`, such as ${tenant}#${status}"
            }
            ("&", "&") => "&& is no operator of DynamoDB's: it is written AND",
            ("!", "=") => "!= is no operator of DynamoDB's: it is written <>",
            ("=", "=") if places[nth].end == places[nth + 1].start => {
                "== is no operator of DynamoDB's: it is written ="
            }
            ("!", _) => "! is no operator of DynamoDB's: it is written NOT",
            ("*" | "/" | "%", _) => {
                "an update adds and subtracts, and neither multiplies nor divides; have such a value computed by `compute`, such as ${price|mul(${count})}"
            }
            ("'" | "\"", _) => {
                "a text cannot stand in an expression: put :v in its place, and the text into `values`; a name that is no word gets a #n, by `names`"
            }
            (number, _) if is_number(number) && before != "[" => {
                "a number cannot stand in an expression: put :v in its place, and the number into `values`"
            }
            (word, next)
                if is_constant(word) && !matches!(next, "=" | "." | "[" | "(") && before != "." =>
            {
                return Err(format!(
                    "{word} is no value here: put :v in its place, and the value into `values`; an item without an attribute is found \
                     by attribute_not_exists(a); if it is a name, give it a #n by `names`"
                ));
            }
            (word, "(") if is_bare_name(word) && !is_operator(word) => {
                check_function(word, language)?;
                continue;
            }
            _ => continue,
        };
        return Err(why.to_owned());
    }
    Ok(())
}

fn is_number(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_digit())
}

/// Words that stand for values elsewhere.
fn is_constant(word: &str) -> bool {
    let words = ["null", "true", "false"];
    words
        .iter()
        .any(|constant| constant.eq_ignore_ascii_case(word))
}

/// Words before a parenthesis that are no functions.
fn is_operator(word: &str) -> bool {
    let words = ["AND", "OR", "NOT", "IN", "BETWEEN"];
    words
        .iter()
        .chain(&SECTIONS)
        .any(|operator| operator.eq_ignore_ascii_case(word))
}

fn check_function(name: &str, language: Language) -> Result<(), String> {
    let (ours, others, of) = match language {
        Language::Condition => (&OF_CONDITIONS[..], &OF_UPDATES[..], "a condition"),
        Language::Update => (&OF_UPDATES[..], &OF_CONDITIONS[..], "an update"),
    };
    if ours.contains(&name) {
        return Ok(());
    }
    let all = ours.join(", ");
    if others.contains(&name) {
        return Err(format!("{name} is no function of {of}, which has {all}"));
    }
    let lower = name.to_ascii_lowercase();
    if let Some(right) = ours.iter().find(|right| **right == lower) {
        return Err(format!("{name} is written {right}"));
    }
    let instead = INSTEAD
        .iter()
        .find(|(names, _)| names.iter().any(|other| lower.starts_with(other)));
    Err(match instead {
        Some((_, instead)) => format!("DynamoDB has no function {name}: {instead}"),
        None => format!("DynamoDB has no function {name}; {of} has {all}"),
    })
}

/// Refuses an update that is not one by DynamoDB's grammar, with the reason for a person. What it says of values holds for those
/// that are there.
pub(super) fn check_update(update: &str, values: &Item) -> Result<(), String> {
    Update::check(update, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Item {
        let values = r#"{":v":{"N":"1"},":s":{"SS":["a"]},":t":{"S":"x"},":l":{"L":[]}}"#;
        serde_json::from_str(values).unwrap()
    }

    #[test]
    fn what_dynamodb_takes_is_taken() {
        for update in [
            "SET a = :v",
            "set #a.b[0].c = if_not_exists(a, :v) + :v, d=e-:v REMOVE f, g[1] ADD h :v, i :s DELETE j :s",
            "SET a = list_append(if_not_exists(a, :l), :l)",
            "SET a = (b + :v), c = b + (:v - d)",
            "SET set = :v, size = size REMOVE remove",
            "REMOVE a",
        ] {
            check_words(update, Language::Update).unwrap();
            check_update(update, &values()).unwrap_or_else(|why| panic!("{update}: {why}"));
        }
        for condition in [
            "NOT (a = :v) AND (size(a) > :v OR contains(b[10].c, :t)) AND a IN (:v, :t) AND NOT(a = b)",
            "attribute_not_exists(#null) AND attribute_type(a, :t) AND begins_with(a, :t) AND a BETWEEN :v AND :v",
            "a.null = :v AND true = :v",
        ] {
            check_words(condition, Language::Condition).unwrap();
        }
    }

    #[test]
    fn an_update_that_is_none_is_refused_at_its_place() {
        let deep = format!("SET a = {}:v{}", "(".repeat(2_000), ")".repeat(2_000));
        for (update, why) in [
            (
                "SET test = = :v",
                "expected a value, such as :v, an attribute, or a function, got = in SET test = =",
            ),
            ("SET a :v", "expected =, got :v in SET a :v"),
            (
                "SET a = :v,",
                "expected the name of an attribute, or a #n for one behind = :v,",
            ),
            ("SET a = :v SET b = :v", "expected one SET alone"),
            ("SET a = :v b = :v", "expected a comma and one more, or SET"),
            ("a = :v", "expected SET, REMOVE, ADD or DELETE, got a in a"),
            ("SET my-name = :v", "expected =, got - in SET my-"),
            ("SET a = b + c + d", "expected one + or - alone"),
            ("SET a[b] = :v", "expected the number of a member"),
            ("SET a = list_append(b)", "expected ,, got )"),
            (
                "SET a = if_not_exists(:v, :v)",
                "expected the name of an attribute",
            ),
            (
                "ADD a :t",
                "expected a placeholder for a number or a set, got :t",
            ),
            ("DELETE a :v", "expected a placeholder for a set, got :v"),
            (
                "ADD a b",
                "expected a placeholder for a number or a set, got b",
            ),
            ("REMOVE a = :v", "expected a comma and one more"),
            ("SET\u{a0}a = :v", "expected the name of an attribute"),
            (
                "SET",
                "expected the name of an attribute, or a #n for one behind SET",
            ),
            (&deep, "expected no more than 100 parentheses"),
        ] {
            let refused = check_update(update, &values()).expect_err(update);
            assert!(refused.starts_with(why), "{update}: {refused}");
        }
    }

    /// Long because it is a table of cases.
    #[test]
    fn what_other_languages_have_is_answered_by_what_can_be_done() {
        use Language::{Condition, Update};
        for (language, expression, why) in [
            (
                Update,
                "SET a = concat(b, :v)",
                "DynamoDB has no function concat: no expression joins texts",
            ),
            (
                Update,
                "SET a = b || :v",
                "|| is no operator of DynamoDB's: no expression joins texts",
            ),
            (
                Update,
                "SET a = now()",
                "DynamoDB has no function now: there is no clock",
            ),
            (
                Update,
                "SET a = UUID()",
                "DynamoDB has no function UUID: nothing is drawn at random",
            ),
            (
                Update,
                "SET a = coalesce(b, :v)",
                "DynamoDB has no function coalesce: if_not_exists(a, :v)",
            ),
            (
                Update,
                "SET a = upper(b)",
                "DynamoDB has no function upper: no value is converted",
            ),
            (Update, "SET a = b * :v", "an update adds and subtracts"),
            (
                Update,
                "SET a = 1",
                "a number cannot stand in an expression: put :v in its place, and the number into `values`",
            ),
            (
                Update,
                "SET a = 'x'",
                "a text cannot stand in an expression",
            ),
            (Update, "SET a = true", "true is no value here"),
            (
                Update,
                "SET a = List_Append(a, :l)",
                "List_Append is written list_append",
            ),
            (
                Update,
                "SET a = size(b)",
                "size is no function of an update",
            ),
            (
                Update,
                "SET a = frobnicate(b)",
                "DynamoDB has no function frobnicate; an update has if_not_exists, list_append",
            ),
            (Condition, "a = NULL", "NULL is no value here"),
            (
                Condition,
                "a != :v",
                "!= is no operator of DynamoDB's: it is written <>",
            ),
            (
                Condition,
                "a == :v",
                "== is no operator of DynamoDB's: it is written =",
            ),
            (
                Condition,
                "a = :v && b = :v",
                "&& is no operator of DynamoDB's",
            ),
            (
                Condition,
                "length(a) > :v",
                "DynamoDB has no function length: size(a)",
            ),
            (
                Condition,
                "exists(a)",
                "DynamoDB has no function exists: attribute_exists(a)",
            ),
            (
                Condition,
                "if_not_exists(a, :v) = :v",
                "if_not_exists is no function of a condition",
            ),
        ] {
            let refused = check_words(expression, language).expect_err(expression);
            assert!(refused.starts_with(why), "{expression}: {refused}");
        }
    }
}
