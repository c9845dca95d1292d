//! The language as a whole: what each function makes of what, what is refused, and what always holds.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::value::Bytes;
use crate::value::size::item_bytes;
use crate::{Item, Value};

/// An item by DynamoDB's JSON.
fn item(json: &str) -> Item {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn template(text: &str) -> Template {
    Template::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"))
}

/// Attributes of every type, for the vectors.
const EVERYTHING: &str = r#"{
    "s": {"S": "Größe ẞ"}, "e": {"S": ""}, "n": {"N": "12.50"}, "i": {"N": "-7"}, "b": {"B": "AAH/"}, "w": {"B": "w6k="},
    "t": {"BOOL": true}, "f": {"BOOL": false}, "z": {"NULL": true}, "csv": {"S": "a,b,,c"},
    "l": {"L": [{"S": "x"}, {"N": "1.0"}, {"NULL": true}]}, "le": {"L": []},
    "m": {"M": {"k": {"S": "v"}, "o.dd": {"N": "3"}, "n": {"M": {"deep": {"BOOL": true}}}}},
    "ss": {"SS": ["b", "a"]}, "ns": {"NS": ["10", "9.50", "-1"]}, "bs": {"BS": ["/w==", "AA=="]},
    "max": {"N": "99999999999999999999999999999999999999"}, "38": {"N": "1.2345678901234567890123456789012345678"},
    "one": {"S": "1"}, "ntext": {"S": "0012.50"}, "no": {"S": "abc"}, "iso": {"S": "2026-01-31T12:00:00.250+01:00"},
    "big": {"N": "1e125"}, "twice": {"L": [{"N": "1.0"}, {"N": "-2"}, {"N": "1"}]}, "twob": {"L": [{"B": "AQ=="}, {"B": "AQ=="}]}, "zero": {"N": "0.0"}, "long": {"S": "999999999999999999999999999999999999999"}, "word": {"S": "true"}, "a b": {"S": "odd"}, "true": {"S": "named so"}
}"#;

/// What a template gives for [`EVERYTHING`]: a value in DynamoDB's JSON, or why it gives none.
fn check(vectors: &[(&str, Result<&str, &str>)]) {
    let item = item(EVERYTHING);
    for (text, expected) in vectors {
        let found = template(text).evaluate(&item);
        match (found, expected) {
            (Ok(found), Ok(json)) => assert_eq!(found, value(json), "{text}"),
            (Err(failure), Err(why)) => assert_eq!(failure.to_string(), *why, "{text}"),
            (found, _) => panic!("{text} gives {found:?} in place of {expected:?}"),
        }
    }
}

/// `lower` and `upper` follow the tables of the compiler. If this fails, another compiler has others: hold Unicode's list of changed
/// cases against what users may have, raise [`LANGUAGE`] if letters in use have changed, and accept the new version here.
#[test]
fn case_follows_this_version_of_unicode() {
    assert_eq!((LANGUAGE, char::UNICODE_VERSION), (1, (17, 0, 0)));
}

/// What every row of the table says of itself.
#[test]
fn every_example_gives_what_it_says() {
    for function in FUNCTIONS {
        let Example {
            template: text,
            item: json,
            result,
        } = function.example;
        assert!(text.contains(&format!("|{}", function.name)), "{text}");
        let found = template(text).evaluate(&item(json));
        assert_eq!(found, Ok(value(result)), "{text}");
    }
}

fn row(function: &Function) -> String {
    let Example {
        template,
        item,
        result,
    } = function.example;
    let code = |text: &str| format!("`{}`", text.replace('|', "\\|"));
    let cells = [
        code(&function.usage()),
        function.meaning.to_owned(),
        code(template),
        code(item),
        code(result),
    ];
    format!("| {} |", cells.join(" | "))
}

/// To renew the page after a change of the declaration: put the table of the message between its markers.
#[test]
fn the_table_of_functions_is_that_of_the_declaration() {
    let page = include_str!("../../../../docs/COMPUTE.md");
    let head = "| function | gives | example | for the item | gives |\n|---|---|---|---|---|";
    let rows: Vec<String> = FUNCTIONS.iter().map(row).collect();
    let table = format!("{head}\n{}\n", rows.join("\n"));
    let (_, rest) = page.split_once("<!-- functions: begin -->\n").unwrap();
    let (found, _) = rest.split_once("<!-- functions: end -->").unwrap();
    assert!(
        found == table,
        "docs/COMPUTE.md has another table than:\n{table}"
    );
}

/// The examples of the page beside the table: `template` and what it gives for the item that stands above them.
#[test]
fn the_examples_of_the_page_give_what_they_say() {
    let page = include_str!("../../../../docs/COMPUTE.md");
    let (_, rest) = page.split_once("<!-- syntax: begin -->\n").unwrap();
    let (shown, _) = rest.split_once("<!-- syntax: end -->").unwrap();
    let (_, rest) = shown.split_once("```json\n").unwrap();
    let (json, _) = rest.split_once("```").unwrap();
    let item = item(json);
    let rows: Vec<&str> = shown
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    assert!(rows.len() > 8, "{rows:?}");
    for row in rows {
        let cells: Vec<String> = row
            .trim_matches('|')
            .split(" | ")
            .map(|cell| cell.trim().trim_matches('`').replace("\\|", "|"))
            .collect();
        let found = template(&cells[0]).evaluate(&item);
        match serde_json::from_str::<Value>(&cells[1]) {
            Ok(expected) => assert_eq!(found, Ok(expected), "{row}"),
            Err(_) => assert_eq!(found.unwrap_err().to_string(), cells[1], "{row}"),
        }
    }
}

#[test]
fn one_part_keeps_its_type_and_several_make_a_text() {
    check(&[
        ("${n}", Ok(r#"{"N":"12.50"}"#)),
        ("${m.n.deep}", Ok(r#"{"BOOL":true}"#)),
        (r#"${m."o.dd"}"#, Ok(r#"{"N":"3"}"#)),
        (r#"${ "a b" }"#, Ok(r#"{"S":"odd"}"#)),
        (r#"${"true"}"#, Ok(r#"{"S":"named so"}"#)),
        ("${true}", Ok(r#"{"BOOL":true}"#)),
        ("${null}", Ok(r#"{"NULL":true}"#)),
        ("${12.50}", Ok(r#"{"N":"12.50"}"#)),
        ("${z}", Ok(r#"{"NULL":true}"#)),
        ("constant", Ok(r#"{"S":"constant"}"#)),
        ("${no}#${n}", Ok(r#"{"S":"abc#12.5"}"#)),
        ("$$${one}$$ {}", Ok(r#"{"S":"$1$ {}"}"#)),
        (
            "${big}!",
            Ok(&format!(r#"{{"S":"1{}!"}}"#, "0".repeat(125))),
        ),
        (
            "${t}#",
            Err("t cannot stand in a text: expected S or N, got BOOL; |text makes one of it"),
        ),
        (
            "${m}#",
            Err("m cannot stand in a text: expected S or N, got M"),
        ),
        ("${gone}", Err("gone is missing")),
        ("x${m.gone.deep}", Err("m.gone.deep is missing")),
        ("${s.k}", Err("s.k is missing")),
    ]);
}

#[test]
fn texts() {
    check(&[
        ("${s|lower}", Ok(r#"{"S":"größe ß"}"#)),
        ("${s|upper}", Ok(r#"{"S":"GRÖSSE ẞ"}"#)),
        ("${e|lower}", Ok(r#"{"S":""}"#)),
        (
            "${n|lower}",
            Err("lower: expected S, got N; |text makes one of it"),
        ),
        ("${z|upper}", Err("upper: expected S, got NULL")),
        ("${e|trim}", Ok(r#"{"S":""}"#)),
        (r#"${s|pad(10, "ü", "right")}"#, Ok(r#"{"S":"Größe ẞüüü"}"#)),
        (r#"${s|pad(7, "x")}"#, Ok(r#"{"S":"Größe ẞ"}"#)),
        (r#"${e|pad(2, "0", "left")}"#, Ok(r#"{"S":"00"}"#)),
        (r#"${l|pad(2, "0")}"#, Err("pad: expected S, got L")),
        ("${s|substring(2)}", Ok(r#"{"S":"öße ẞ"}"#)),
        ("${s|substring(2, 2)}", Ok(r#"{"S":"öß"}"#)),
        ("${s|substring(-1)}", Ok(r#"{"S":"ẞ"}"#)),
        ("${s|substring(-99, 2)}", Ok(r#"{"S":"Gr"}"#)),
        ("${s|substring(99)}", Ok(r#"{"S":""}"#)),
        ("${s|substring(${i})}", Ok(r#"{"S":"Größe ẞ"}"#)),
        (
            "${s|substring(${n})}",
            Err(
                "substring: from: expected a whole number from -409600 to 409600, got the number \"12.50\"",
            ),
        ),
        (
            "${s|substring(${no})}",
            Err("substring: from: expected a whole number from -409600 to 409600, got \"abc\""),
        ),
        (
            r#"${csv|split(",")}"#,
            Ok(r#"{"L":[{"S":"a"},{"S":"b"},{"S":""},{"S":"c"}]}"#),
        ),
        (r#"${csv|split("x")}"#, Ok(r#"{"L":[{"S":"a,b,,c"}]}"#)),
        (r#"${csv|split(",", 1)}"#, Ok(r#"{"S":"b"}"#)),
        (r#"${csv|split(",", -4)}"#, Ok(r#"{"S":"a"}"#)),
        (
            r#"${csv|split(",", 4)}"#,
            Err("split: there is no part at \"4\"; the text has \"4\""),
        ),
        (
            r#"${csv|split(",", -5)|default("none")}"#,
            Ok(r#"{"S":"none"}"#),
        ),
        (
            r#"${csv|split(${e})}"#,
            Err("split: separator: expected a text in quotes that is not empty, got \"\""),
        ),
        (r#"${ns|join("; ")}"#, Ok(r#"{"S":"-1; 9.5; 10"}"#)),
        (r#"${le|join(",")}"#, Ok(r#"{"S":""}"#)),
        (
            r#"${l|join("")}"#,
            Err("join: at \"2\": expected S or N, got NULL"),
        ),
        (r#"${m|join("")}"#, Err("join: expected L, SS or NS, got M")),
        (
            r#"${bs|join("")}"#,
            Err("join: at \"0\": expected S or N, got B"),
        ),
        (r#"${csv|replace(",", "")}"#, Ok(r#"{"S":"abc"}"#)),
        (r#"${csv|replace("ab", "x")}"#, Ok(r#"{"S":"a,b,,c"}"#)),
        (
            r#"${csv|replace(",", ${n})}"#,
            Err("replace: to: expected a text in quotes, got the number \"12.50\""),
        ),
    ]);
}

#[test]
fn digests() {
    check(&[
        (
            "${e|sha256}",
            Ok(r#"{"S":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}"#),
        ),
        (
            "${no|sha256}",
            Ok(r#"{"S":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}"#),
        ),
        // One is that of the other: a number's digits are plain.
        (
            "${ntext|number|sha256}",
            Ok(r#"{"S":"b902cc4550838229a710bfec4c38cbc7eb11082367a409df9135e7f007a96bda"}"#),
        ),
        ("${e|crc32}", Ok(r#"{"N":"0"}"#)),
        ("${no|crc32}", Ok(r#"{"N":"891568578"}"#)),
        ("${b|crc32}", Ok(r#"{"N":"3411544030"}"#)),
        ("${l|crc32}", Err("crc32: expected S, N or B, got L")),
        ("${no|shard(10)}", Ok(r#"{"N":"8"}"#)),
        ("${no|shard(1)}", Ok(r#"{"N":"0"}"#)),
        ("${no|shard(100, 4)}", Ok(r#"{"S":"0078"}"#)),
        (
            "${no|shard(100, 1)}",
            Err("shard: \"100\" shards need \"2\" digits, not \"1\""),
        ),
        ("${t|shard(10)}", Err("shard: expected S, N or B, got BOOL")),
    ]);
}

#[test]
fn numbers() {
    check(&[
        ("${n|add(${i})}", Ok(r#"{"N":"5.5"}"#)),
        (
            "${max|add(1)}",
            Ok(&format!(r#"{{"N":"1{}"}}"#, "0".repeat(38))),
        ),
        (
            "${max|add(0.1)}",
            Err(
                "add: the result has more than the 38 significant digits that DynamoDB stores; round what goes in",
            ),
        ),
        (
            r#"${"38"|add(0)}"#,
            Ok(r#"{"N":"1.2345678901234567890123456789012345678"}"#),
        ),
        ("${n|sub(12.5)}", Ok(r#"{"N":"0"}"#)),
        ("${n|mul(-2)}", Ok(r#"{"N":"-25"}"#)),
        (
            "${max|mul(${max})}",
            Err(
                "mul: the result has more than the 38 significant digits that DynamoDB stores; round what goes in",
            ),
        ),
        (
            "${big|mul(10)}",
            Err("mul: the result is outside DynamoDB's range of 1E-130 to 9.99E+125"),
        ),
        ("${n|div(4)}", Ok(r#"{"N":"3.125"}"#)),
        (
            "${n|div(3)}",
            Err(
                "div: the quotient has more than 38 digits; say how many stay behind the point, such as div(3, 2)",
            ),
        ),
        ("${n|div(3, 2)}", Ok(r#"{"N":"4.17"}"#)),
        (r#"${n|div(3, 2, "floor")}"#, Ok(r#"{"N":"4.16"}"#)),
        ("${i|mod(4)}", Ok(r#"{"N":"1"}"#)),
        ("${n|round(0)}", Ok(r#"{"N":"13"}"#)),
        (r#"${n|round(0, "half-even")}"#, Ok(r#"{"N":"12"}"#)),
        ("${n|round(-1)}", Ok(r#"{"N":"10"}"#)),
        ("${i|abs}", Ok(r#"{"N":"7"}"#)),
        (
            "${no|abs}",
            Err("abs: expected N, got S; |number makes one of it"),
        ),
        (
            "${n|add(${no})}",
            Err("add: number: expected a number, got \"abc\""),
        ),
        ("${n|add(${gone})}", Err("gone is missing")),
        (
            "${n|div(${zero})}",
            Err("div: number: expected a number other than 0, got the number \"0.0\""),
        ),
        (
            "${n|mod(${zero})}",
            Err("mod: number: expected a number other than 0, got the number \"0.0\""),
        ),
    ]);
}

/// Long because it is a table of vectors.
#[test]
fn times() {
    let parses = |text: &str, expected: Result<&str, &str>| {
        let found =
            template("${d|epoch}").evaluate(&Item::from([("d".into(), Value::S(text.into()))]));
        match expected {
            Ok(digits) => assert_eq!(found, Ok(Value::N(digits.into())), "{text}"),
            Err(why) => {
                let failure = found.expect_err(text).to_string();
                assert!(failure.contains(why), "{failure}");
            }
        }
    };
    for (text, epoch) in [
        ("1970-01-01T00:00:00Z", "0"),
        ("2026-01-31T12:00:00Z", "1769860800"),
        ("2026-01-31T12:00:00.123456789Z", "1769860800.123456789"),
        ("2026-01-31T12:00:00,5Z", "1769860800.5"),
        ("2026-01-31t12:00:00z", "1769860800"),
        ("2026-01-31 12:00:00", "1769860800"),
        ("2026-01-31T12:00", "1769860800"),
        ("20260131T120000Z", "1769860800"),
        ("20260131T1200+0130", "1769855400"),
        ("2026-01-31T12:00:00-05", "1769878800"),
        ("2026-01-31", "1769817600"),
        ("20260131", "1769817600"),
        ("2024-02-29", "1709164800"),
        ("1969-12-31T23:59:59.5Z", "-0.5"),
        ("0000-01-01T00:00:00Z", "-62167219200"),
        ("0001-01-01", "-62135596800"),
        ("1582-10-10", "-12219724800"),
        ("9999-12-31T23:59:59Z", "253402300799"),
        ("2000-01-01T00:30:00+23:59", "946600260"),
    ] {
        parses(text, Ok(epoch));
    }
    for text in [
        "",
        "2026",
        "2026-1-31",
        "2026-02-30",
        "2023-02-29",
        "2026-13-01",
        "2026-01-31T",
        "2026-01-31T24:00:00Z",
        "2026-01-31T12:60:00Z",
        "2026-01-31T12:00:61Z",
        "2026-01-31T12:00:00.Z",
        "2026-01-31T12:00:00.1234567890Z",
        "2026-01-31T12:00:00+1",
        "2026-01-31T12:00:00+01:",
        "2026-01-31T12:00:00 +01:00",
        "2026-01-31T12Z",
        "31.01.2026",
        " 2026-01-31",
        "2026-01-31T12:00:00Zz",
        "+002026-01-31",
        "2026-W05-6",
        "2026-01-31T12:00:00[UTC]",
        "20260-1-31",
        "２０２６-01-31",
    ] {
        parses(text, Err("is no date of ISO 8601"));
    }
    parses("2016-12-31T23:59:60Z", Err("is a leap second"));
    check(&[
        ("${iso|epoch}", Ok(r#"{"N":"1769857200.25"}"#)),
        (r#"${iso|epoch("ms")}"#, Ok(r#"{"N":"1769857200250"}"#)),
        ("${iso|epoch|iso}", Ok(r#"{"S":"2026-01-31T11:00:00.25Z"}"#)),
        (
            r#"${iso|epoch("ms")|iso("ms")}"#,
            Ok(r#"{"S":"2026-01-31T11:00:00.250Z"}"#),
        ),
        ("${i|iso}", Ok(r#"{"S":"1969-12-31T23:59:53Z"}"#)),
        (
            r#"${i|iso("ms")}"#,
            Ok(r#"{"S":"1969-12-31T23:59:59.993Z"}"#),
        ),
        ("${253402300799|iso}", Ok(r#"{"S":"9999-12-31T23:59:59Z"}"#)),
        (
            "${253402300800|iso}",
            Err(
                "iso: \"253402300800\" is outside the years 0000 to 9999, or has digits beyond the 9th behind the second",
            ),
        ),
        (
            "${-62167219201|iso}",
            Err(
                "iso: \"-62167219201\" is outside the years 0000 to 9999, or has digits beyond the 9th behind the second",
            ),
        ),
        (
            "${0.0000000001|iso}",
            Err(
                "iso: \"0.0000000001\" is outside the years 0000 to 9999, or has digits beyond the 9th behind the second",
            ),
        ),
        (
            "${max|iso}",
            Err(
                "iso: \"99999999999999999999999999999999999999\" is outside the years 0000 to 9999, or has digits beyond the 9th behind the second",
            ),
        ),
        (
            "${n|epoch}",
            Err("epoch: expected S, got N; |text makes one of it"),
        ),
    ]);
}

#[test]
fn conversions() {
    check(&[
        ("${ntext|number}", Ok(r#"{"N":"12.5"}"#)),
        ("${n|number}", Ok(r#"{"N":"12.5"}"#)),
        (
            "${long|number}",
            Err(
                "number: \"999999999999999999999999999999999999999\" has more than the 38 significant digits that DynamoDB stores",
            ),
        ),
        ("${t|number}", Ok(r#"{"N":"1"}"#)),
        ("${no|number}", Err("number: \"abc\" is not a number")),
        ("${e|number}", Err("number: an empty text is not a number")),
        (
            "${z|number}",
            Err("number: expected S, N or BOOL, got NULL"),
        ),
        ("${n|text}", Ok(r#"{"S":"12.5"}"#)),
        ("${f|text}", Ok(r#"{"S":"false"}"#)),
        ("${w|text}", Ok(r#"{"S":"é"}"#)),
        ("${b|text}", Err("text: byte \"2\" is no UTF-8")),
        ("${l|text}", Err("text: expected S, N, BOOL or B, got L")),
        ("${word|bool}", Ok(r#"{"BOOL":true}"#)),
        ("${one|bool}", Ok(r#"{"BOOL":true}"#)),
        ("${0.0|bool}", Ok(r#"{"BOOL":false}"#)),
        ("${f|bool}", Ok(r#"{"BOOL":false}"#)),
        (
            "${no|bool}",
            Err("bool: \"abc\" is neither true nor false, nor 1 or 0"),
        ),
        (
            "${n|bool}",
            Err("bool: \"12.5\" is neither true nor false, nor 1 or 0"),
        ),
        ("${b|base64}", Ok(r#"{"S":"AAH/"}"#)),
        ("${b|base64|binary}", Ok(r#"{"B":"AAH/"}"#)),
        ("${e|binary}", Ok(r#"{"B":""}"#)),
        ("${no|binary}", Err("binary: \"abc\" is no base64")),
        ("${n|base64}", Err("base64: expected B or S, got N")),
        (
            "${m|json}",
            Ok(r#"{"S":"{\"k\":\"v\",\"n\":{\"deep\":true},\"o.dd\":3}"}"#),
        ),
        ("${l|json}", Ok(r#"{"S":"[\"x\",1,null]"}"#)),
        ("${ns|json}", Ok(r#"{"S":"[-1,9.5,10]"}"#)),
        ("${bs|json}", Ok(r#"{"S":"[\"AA==\",\"/w==\"]"}"#)),
        (
            r#"${"38"|json}"#,
            Ok(r#"{"S":"1.2345678901234567890123456789012345678"}"#),
        ),
        ("${s|json}", Ok(r#"{"S":"\"Größe ẞ\""}"#)),
    ]);
}

/// Long because it is a table of vectors.
#[test]
fn members() {
    check(&[
        ("${ss|set}", Ok(r#"{"SS":["a","b"]}"#)),
        ("${n|set}", Ok(r#"{"NS":["12.5"]}"#)),
        (r#"${csv|split(",")|set}"#, Ok(r#"{"SS":["","a","b","c"]}"#)),
        ("${b|list|set}", Ok(r#"{"BS":["AAH/"]}"#)),
        ("${twice|set}", Ok(r#"{"NS":["-2","1"]}"#)),
        ("${twob|set}", Ok(r#"{"BS":["AQ=="]}"#)),
        ("${le|set}", Err("set: a set may not be empty")),
        (
            "${l|set}",
            Err("set: at \"1\": expected S, got N; |text makes one of it"),
        ),
        (
            "${z|list|set}",
            Err("set: at \"0\": expected S, N or B, got NULL"),
        ),
        ("${m|set}", Err("set: expected L, S, N or B, got M")),
        (
            "${ns|list}",
            Ok(r#"{"L":[{"N":"-1"},{"N":"9.5"},{"N":"10"}]}"#),
        ),
        ("${l|list|size}", Ok(r#"{"N":"3"}"#)),
        ("${z|list}", Ok(r#"{"L":[{"NULL":true}]}"#)),
        ("${s|size}", Ok(r#"{"N":"7"}"#)),
        ("${b|size}", Ok(r#"{"N":"3"}"#)),
        ("${le|size}", Ok(r#"{"N":"0"}"#)),
        ("${m|size}", Ok(r#"{"N":"3"}"#)),
        (
            "${n|size}",
            Err("size: expected S, B, L, M or a set, got N"),
        ),
        ("${l|at(1)}", Ok(r#"{"N":"1.0"}"#)),
        ("${l|at(-3)}", Ok(r#"{"S":"x"}"#)),
        (
            "${l|at(3)}",
            Err("at: there is no member at \"3\"; the list has \"3\""),
        ),
        ("${le|at(-1)|default(0)}", Ok(r#"{"N":"0"}"#)),
        (
            "${ss|at(0)}",
            Err("at: expected L, got SS; |list makes one of it"),
        ),
        ("${ss|list|at(0)}", Ok(r#"{"S":"a"}"#)),
        (r#"${m|key("o.dd")}"#, Ok(r#"{"N":"3"}"#)),
        (r#"${m|key("gone")}"#, Err("key: the map has no \"gone\"")),
        (
            r#"${m|key("gone")|coalesce(${gone}, ${m|key("k")})}"#,
            Ok(r#"{"S":"v"}"#),
        ),
        (r#"${l|key("k")}"#, Err("key: expected M, got L")),
        (r#"${no|lookup({"abc": [1]})}"#, Ok(r#"{"L":[{"N":"1"}]}"#)),
        (r#"${n|lookup({"12.5": "x"})}"#, Ok(r#"{"S":"x"}"#)),
        (
            r#"${t|lookup({"true": 1, "false": 0})}"#,
            Ok(r#"{"N":"1"}"#),
        ),
        (
            r#"${no|lookup({})}"#,
            Err("lookup: it has nothing for \"abc\""),
        ),
        (r#"${no|lookup({}, ${s})}"#, Ok(r#"{"S":"Größe ẞ"}"#)),
        (r#"${no|lookup({})|default("x")}"#, Ok(r#"{"S":"x"}"#)),
        (r#"${no|lookup(${m})|default("x")}"#, Ok(r#"{"S":"x"}"#)),
        (
            r#"${no|lookup(${l})}"#,
            Err("lookup: table: expected a table such as {\"a\": \"b\"}, got L"),
        ),
        (
            r#"${z|lookup({})}"#,
            Err("lookup: expected S, N or BOOL, got NULL"),
        ),
    ]);
}

#[test]
fn what_is_missing_is_stood_in_for_or_said() {
    check(&[
        (r#"${gone|default("x")}"#, Ok(r#"{"S":"x"}"#)),
        (r#"${z|default("x")}"#, Ok(r#"{"NULL":true}"#)),
        (r#"${e|default("x")}"#, Ok(r#"{"S":""}"#)),
        ("${gone|default([])}", Ok(r#"{"L":[]}"#)),
        ("${gone|default(${n})}", Ok(r#"{"N":"12.50"}"#)),
        (
            "${gone|coalesce(${gone|lower}, ${no|upper})}",
            Ok(r#"{"S":"ABC"}"#),
        ),
        (
            "${gone|coalesce(${also}, ${m.gone})}",
            Err("gone is missing"),
        ),
        (
            "${gone|coalesce(${n|lower}, 1)}",
            Err("lower: expected S, got N; |text makes one of it"),
        ),
        (
            "${gone|coalesce(${s|lookup({}, ${also})}, 1)}",
            Err("also is missing"),
        ),
        (r#"${gone|lower|size}"#, Err("gone is missing")),
        (
            r#"${csv|split(${gone}, 1)|default("x")}"#,
            Err("gone is missing"),
        ),
        (
            r#"${gone|split(",", 1)|default("x")}"#,
            Err("gone is missing"),
        ),
        (
            r#"${gone|default(${also})|coalesce(1)}"#,
            Ok(r#"{"N":"1"}"#),
        ),
    ]);
    let failure = template("${m.gone|lower}")
        .evaluate(&item(EVERYTHING))
        .unwrap_err();
    assert_eq!(failure.missing.unwrap().names(), ["m", "gone"]);
    assert_eq!(failure.function, None);
    let failure = template("${n|lower}")
        .evaluate(&item(EVERYTHING))
        .unwrap_err();
    assert_eq!(
        (failure.function.as_deref(), failure.missing),
        (Some("lower"), None)
    );
}

/// What people ask for, as templates.
#[test]
fn everyday_wishes() {
    let item = item(
        r#"{"pk": {"S": "acme"}, "status": {"S": "Open"}, "name": {"S": "Ada King Lovelace"}, "expires": {"S": "2026-01-31T12:00:00.9Z"},
            "price": {"S": "12.50"}, "tags": {"L": [{"S": "b"}, {"S": "a"}, {"S": "b"}]}, "email": {"S": "ada@example.org"},
            "data": {"M": {"b": {"NS": ["2", "1.0"]}, "a": {"NULL": true}}}}"#,
    );
    for (text, expected) in [
        ("${pk}#${status|lower}", r#"{"S":"acme#open"}"#),
        (
            "${expires|epoch|round(0, \"floor\")}",
            r#"{"N":"1769860800"}"#,
        ),
        ("${price|number}", r#"{"N":"12.5"}"#),
        (
            "${nickname|default(${email})}",
            r#"{"S":"ada@example.org"}"#,
        ),
        ("${pk}#${email|shard(10, 2)}", r#"{"S":"acme#04"}"#),
        ("USER#${pk}", r#"{"S":"USER#acme"}"#),
        ("${tags|set}", r#"{"SS":["a","b"]}"#),
        ("${name|split(\" \", 0)}", r#"{"S":"Ada"}"#),
        ("${name|split(\" \", -1)}", r#"{"S":"Lovelace"}"#),
        ("${data|json}", r#"{"S":"{\"a\":null,\"b\":[1,2]}"}"#),
        (
            "${data|json|sha256}",
            r#"{"S":"ee743f2fa2570a1b5e3270cc405d0456b983ba03ab9cb27552fc6c1a720183c7"}"#,
        ),
    ] {
        assert_eq!(
            template(text).evaluate(&item),
            Ok(value(expected)),
            "{text}"
        );
    }
}

/// Each source once, and whether anything stands in for it.
#[test]
fn sources_are_told_with_whether_they_are_required() {
    for (text, expected) in [
        ("x", ""),
        ("${a}#${b.c|lower}${a}", "a! b.c!"),
        ("${a|default(1)}", "a"),
        ("${a|default(1)}${a}", "a!"),
        (r#"${a|split(",", 1)|default(${b})}"#, "a! b"),
        ("${a|add(${b|mul(${c})})}", "a! b! c!"),
        (
            "${a|coalesce(${b|add(${c})}, ${d})|add(${e})}",
            "a b c d e!",
        ),
        (r#"${"a.b"}${a.b}"#, r#""a.b"! a.b!"#),
    ] {
        let template = template(text);
        let shown = template
            .sources()
            .iter()
            .map(|Source { path, required }| format!("{path}{}", if *required { "!" } else { "" }));
        assert_eq!(shown.collect::<Vec<_>>().join(" "), expected, "{text}");
    }
}

/// Long because it is a table of vectors.
#[test]
fn what_is_no_template_is_refused_with_its_column() {
    for (text, why) in [
        (
            "",
            "column 1: expected a template such as ${tenant}#${status|lower}, and there the template ends",
        ),
        (
            "${",
            "column 3: expected the name of an attribute (in quotes if it has other characters than letters, digits, _ and -), and there the template ends",
        ),
        (
            "${}",
            "column 3: expected the name of an attribute (in quotes if it has other characters than letters, digits, _ and -), found \"}\"",
        ),
        (
            "a $b",
            "column 4: a dollar sign alone: expected ${…} for a value, or $$ for one dollar sign",
        ),
        (
            "a$",
            "column 3: a dollar sign alone: expected ${…} for a value, or $$ for one dollar sign",
        ),
        (
            "${a",
            "column 4: expected | and a function, or }, and there the template ends",
        ),
        (
            "ü${a b}",
            "column 6: expected | and a function, or }, found \"b\"",
        ),
        (
            "${a.}",
            "column 5: expected a name (in quotes if it has other characters than letters, digits, _ and -), found \"}\"",
        ),
        (
            "${a.2}",
            "column 5: expected a name (in quotes if it has other characters than letters, digits, _ and -), found \"2\"",
        ),
        (
            "${a|}",
            "column 5: expected the name of a function, found \"}\"",
        ),
        (
            "${lower(a)}",
            "column 8: a function stands behind |, such as ${status|lower}",
        ),
        ("${a|lower()}x", ""),
        ("${a|lower(1)}", "column 5: lower is written lower"),
        (
            "${a|pad}",
            "column 5: pad is written pad(width, character[, side])",
        ),
        (
            r#"${a|pad("5", "0")}"#,
            "column 9: width: expected a whole number from 1 to 1000, got \"5\"",
        ),
        (
            r#"${a|pad(5, "00")}"#,
            "column 12: character: expected one character in quotes, got \"00\"",
        ),
        (
            r#"${a|pad(5, "0", "up")}"#,
            "column 17: side: expected \"left\" or \"right\", got \"up\"",
        ),
        (
            r#"${a|split("")}"#,
            "column 11: separator: expected a text in quotes that is not empty, got \"\"",
        ),
        (
            "${a|shard(0)}",
            "column 11: shards: expected a whole number from 1 to 1000000, got the number \"0\"",
        ),
        (
            "${a|div(0)}",
            "column 9: number: expected a number other than 0, got the number \"0\"",
        ),
        (
            "${a|add(b)}",
            "column 9: an attribute is written ${b} here, and a text \"b\"",
        ),
        (
            "${a|add(1",
            "column 10: expected another argument, or ), and there the template ends",
        ),
        (
            "${a|add(1,)}",
            "column 10: expected another argument, or ), found \",\"",
        ),
        (
            "${a|add(1e200)}",
            "column 9: \"1e200\" is no number that DynamoDB stores",
        ),
        (
            "${1.2.3}",
            "column 3: \"1.2.3\" is no number that DynamoDB stores",
        ),
        (
            "${a|add($b)}",
            "column 9: expected ${ and the name of an attribute, found \"$\"",
        ),
        (
            "${a|add(${b)}",
            "column 12: expected | and a function, or }, found \")\"",
        ),
        (
            r#"${a|lookup({"x": 1, "x": 2})}"#,
            "column 12: \"x\" is given twice",
        ),
        (
            r#"${a|lookup({"x": 1)}"#,
            "column 12: JSON that does not end, or is none",
        ),
        (
            r#"${a|replace("x, "y")}"#,
            "column 18: expected another argument, or ), found \"y\"",
        ),
        (
            r#"${"a}"#,
            "column 3: a text that does not end, or is no JSON string: a quote in it is \\\", a backslash \\\\",
        ),
        (r#"${""}"#, "column 3: an attribute has a name"),
        (
            "${a|lower|default(1)}",
            "column 11: default does nothing here: what stands before it always gives a value or fails; put it right behind the source",
        ),
        (
            "${1|default(1)}",
            "column 5: default does nothing here: what stands before it always gives a value or fails; put it right behind the source",
        ),
        (
            "${a|coalesce}",
            "column 5: coalesce is written coalesce(value, …)",
        ),
        (
            "${a|epoch(\"m\")}",
            "column 11: unit: expected \"s\" or \"ms\", got \"m\"",
        ),
    ] {
        match Template::parse(text) {
            Ok(_) => assert_eq!(why, "", "{text} is taken"),
            Err(refusal) => assert_eq!(refusal, why, "{text}"),
        }
    }
    let unknown = Template::parse("${a|lowr}").unwrap_err();
    assert!(
        unknown.starts_with("column 5: \"lowr\" is no function; there are lower, upper, "),
        "{unknown}"
    );
}

#[test]
fn a_template_is_bounded() {
    let nested = |levels: usize| format!("{}1{}", "${a|add(".repeat(levels), ")}".repeat(levels));
    assert!(Template::parse(&nested(16)).is_ok());
    assert!(
        Template::parse(&nested(17))
            .unwrap_err()
            .ends_with("nested deeper than 16 parts")
    );
    assert!(Template::parse(&nested(400)).is_err());
    assert!(Template::parse(&"${a}".repeat(64)).is_ok());
    assert_eq!(
        Template::parse(&"${a}".repeat(65)).unwrap_err(),
        "expected a template of at most 64 parts, got 65"
    );
    assert!(Template::parse(&format!("${{a{}}}", "|abs".repeat(64))).is_ok());
    assert!(Template::parse(&format!("${{a{}}}", "|abs".repeat(65))).is_err());
    assert!(Template::parse(&"x".repeat(MAX_LENGTH)).is_ok());
    assert!(Template::parse(&"x".repeat(MAX_LENGTH + 1)).is_err());
    assert!(Template::parse(&format!("${{a{}}}", ".a".repeat(31))).is_ok());
    assert!(Template::parse(&format!("${{a{}}}", ".a".repeat(32))).is_err());
    let deep = |levels: usize| {
        format!(
            "${{a|default({}{})}}",
            "[".repeat(levels),
            "]".repeat(levels)
        )
    };
    assert!(Template::parse(&deep(32)).is_ok());
    assert!(Template::parse(&deep(34)).is_err());
    assert!(Template::parse(&deep(2_000)).is_err());
}

/// Nothing that is made has more than an item may have, however much a function multiplies.
#[test]
fn what_grows_beyond_an_item_is_refused() {
    let half = "x".repeat(200 * 1024);
    let item = Item::from([
        ("half".into(), Value::S(half.clone())),
        ("list".into(), Value::L(vec![Value::S("x".into()); 1_000])),
        ("commas".into(), Value::S(",".repeat(400 * 1024))),
        ("quotes".into(), Value::S("\"".repeat(300 * 1024))),
    ]);
    for text in [
        r#"${half|replace("x", ${half})}"#,
        "${list|join(${half})}",
        "${half}${half} ",
        r#"${half}${half}${half}"#,
        r#"${commas|split(",")}"#,
        "${quotes|json}",
        "${quotes|base64|base64}",
        "${half|replace(\"x\", \"ŉ\")|upper}",
    ] {
        let failure = template(text).evaluate(&item).err();
        let failure = failure.unwrap_or_else(|| panic!("{text} gives a value"));
        assert!(
            failure.reason.contains("more than the 400 KB of an item"),
            "{text}: {failure}"
        );
    }
    assert!(template("${half}${half}").evaluate(&item).is_ok());
    let long = Item::from([("a".into(), Value::S("\u{7}a".repeat(10_000)))]);
    for text in [
        "${a|number}",
        "${a|epoch}",
        "${a|bool}",
        "${a|lookup({})}",
        "${a|binary}",
        "${a|pad(2, ${a})}",
    ] {
        let shown = template(text).evaluate(&long).unwrap_err().to_string();
        assert!(
            shown.chars().count() < 300 && !shown.contains('\u{7}'),
            "{shown}"
        );
    }
}

/// What DynamoDB would not store is refused here.
#[test]
fn a_result_is_one_that_dynamodb_stores() {
    let nested = (0..32).fold(Value::S("x".into()), |value, _| Value::L(vec![value]));
    let item = Item::from([("deep".into(), nested)]);
    assert!(template("${deep}").evaluate(&item).is_ok());
    let failure = template("${gone|default({})}").evaluate(&item);
    assert_eq!(failure, Ok(Value::M(BTreeMap::new())));
    let wrapped = template("${wrap|lookup({}, ${deep})}");
    assert!(wrapped.evaluate(&item).is_err());
}

#[test]
fn a_long_name_is_shortened_in_messages() {
    let name = "a".repeat(3_000);
    let of =
        |text: String| template(&text).evaluate(&Item::from([(name.clone(), Value::Bool(true))]));
    let missing = of(format!("${{x{name}}}")).unwrap_err();
    let wrong = of(format!("${{{name}}}!")).unwrap_err();
    for said in [
        missing.to_string(),
        wrong.to_string(),
        Template::parse(&format!("${{x|add({name})}}")).unwrap_err(),
        Template::parse(&format!("${{x|{name}}}")).unwrap_err(),
        Template::parse(&format!("${{x|add({})}}", "1".repeat(3_000))).unwrap_err(),
    ] {
        assert!(said.chars().count() < 600, "{said}");
    }
    assert_eq!(missing.missing.unwrap().names()[0].len(), 3_001);
}

#[test]
fn a_template_is_its_text() {
    let text = r#"${a|default("x")}$$"#;
    let parsed = template(text);
    assert_eq!(parsed.to_string(), text);
    assert_eq!(parsed, parsed.clone());
    assert_ne!(parsed, template("${a}"));
}

#[test]
fn numbers_are_the_same_by_worth_and_sets_without_an_order() {
    for (a, b, is_the_same) in [
        (r#"{"N":"1"}"#, r#"{"N":"1.0"}"#, true),
        (r#"{"N":"1e2"}"#, r#"{"N":"100"}"#, true),
        (r#"{"N":"1"}"#, r#"{"S":"1"}"#, false),
        (r#"{"SS":["a","b"]}"#, r#"{"SS":["b","a"]}"#, true),
        (r#"{"SS":["a"]}"#, r#"{"SS":["b","a"]}"#, false),
        (r#"{"NS":["1","2.0"]}"#, r#"{"NS":["2","1.00"]}"#, true),
        (r#"{"NS":["1"]}"#, r#"{"SS":["1"]}"#, false),
        (
            r#"{"BS":["AA==","AQ=="]}"#,
            r#"{"BS":["AQ==","AA=="]}"#,
            true,
        ),
        (
            r#"{"L":[{"N":"1"},{"N":"2"}]}"#,
            r#"{"L":[{"N":"1.0"},{"N":"2"}]}"#,
            true,
        ),
        (
            r#"{"L":[{"N":"1"},{"N":"2"}]}"#,
            r#"{"L":[{"N":"2"},{"N":"1"}]}"#,
            false,
        ),
        (
            r#"{"L":[{"N":"1"}]}"#,
            r#"{"L":[{"N":"1"},{"N":"2"}]}"#,
            false,
        ),
        (
            r#"{"M":{"a":{"NS":["1","2"]}}}"#,
            r#"{"M":{"a":{"NS":["2.0","1"]}}}"#,
            true,
        ),
        (
            r#"{"M":{"a":{"N":"1"}}}"#,
            r#"{"M":{"b":{"N":"1"}}}"#,
            false,
        ),
        (
            r#"{"M":{"a":{"N":"1"}}}"#,
            r#"{"M":{"a":{"N":"1"},"b":{"N":"1"}}}"#,
            false,
        ),
        (r#"{"NULL":true}"#, r#"{"BOOL":true}"#, false),
    ] {
        let (a, b) = (value(a), value(b));
        assert_eq!(is_same(&a, &b), is_the_same, "{a:?} {b:?}");
        assert_eq!(is_same(&b, &a), is_the_same);
    }
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?[0-9]{1,19}(\\.[0-9]{1,19})?",
        "-?[1-9][0-9]{0,37}",
        ("-?[1-9]", -130i32..=125).prop_map(|(digit, exponent)| format!("{digit}e{exponent}")),
        Just("9".repeat(38)),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z,# 0-9]{0,12}",
        "\\PC{0,8}",
        number(),
        Just("2026-01-31T12:00:00Z".to_owned()),
        Just(String::new()),
        Just("true".to_owned()),
        Just("QWRh".to_owned()),
    ]
}

/// Values of every type, also such as DynamoDB does not store.
fn values() -> impl Strategy<Value = Value> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..5).prop_map(Bytes);
    let leaf = prop_oneof![
        text().prop_map(Value::S),
        number().prop_map(Value::N),
        text().prop_map(Value::N),
        bytes().prop_map(Value::B),
        any::<bool>().prop_map(Value::Bool),
        Just(Value::Null(true)),
        proptest::collection::vec(text(), 0..4).prop_map(Value::Ss),
        proptest::collection::vec(number(), 0..4).prop_map(Value::Ns),
        proptest::collection::vec(bytes(), 0..4).prop_map(Value::Bs),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::L),
            proptest::collection::btree_map("[abx]", inner, 0..4).prop_map(Value::M),
        ]
    })
}

fn items() -> impl Strategy<Value = Item> {
    proptest::collection::btree_map("[abcx]", values(), 0..5)
}

/// Parts that are taken, most of them: any function, with arguments of the kinds that there are.
fn parts() -> impl Strategy<Value = String> {
    let head = prop_oneof![
        "[abcx](\\.[abx])?",
        Just("12.5".to_owned()),
        Just("true".to_owned()),
    ];
    let literal = prop_oneof![
        Just("1".to_owned()),
        Just("-1".to_owned()),
        Just("0.5".to_owned()),
        Just("\",\"".to_owned()),
        Just("\"ms\"".to_owned()),
        Just("\"floor\"".to_owned()),
        Just(r#"{"a":1,"true":[]}"#.to_owned()),
    ];
    let name = || (0..FUNCTIONS.len()).prop_map(|at| FUNCTIONS[at].name);
    let call = |argument: BoxedStrategy<String>| {
        (name(), proptest::collection::vec(argument, 0..3)).prop_map(|(name, arguments)| {
            match arguments.is_empty() {
                true => format!("|{name}"),
                false => format!("|{name}({})", arguments.join(", ")),
            }
        })
    };
    let simple = head.clone().prop_map(|head| format!("${{{head}}}"));
    let argument = prop_oneof![literal.clone(), simple].boxed();
    let inner = (
        head.clone(),
        proptest::collection::vec(call(argument.clone()), 0..2),
    )
        .prop_map(|(head, calls)| format!("${{{head}{}}}", calls.concat()));
    let argument = prop_oneof![argument, inner].boxed();
    (head, proptest::collection::vec(call(argument), 0..3))
        .prop_map(|(head, calls)| format!("${{{head}{}}}", calls.concat()))
}

fn templates() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => parts(),
        1 => (parts(), "[a-z#]{0,3}", parts()).prop_map(|(a, text, b)| format!("{a}{text}{b}")),
        1 => "[$a{}|(\"lowerdt),. 1]{0,24}",
        1 => "\\PC{0,16}",
    ]
}

/// A sentence on one line.
fn is_a_sentence(text: &str) -> bool {
    !text.trim().is_empty() && !text.chars().any(char::is_control) && text.chars().count() < 2_000
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Whatever is asked of whatever item: no panic, the same answer twice, and a value that DynamoDB stores or a sentence.
    #[test]
    fn the_language_is_total(text in templates(), item in items()) {
        match Template::parse(&text) {
            Err(refusal) => prop_assert!(is_a_sentence(&refusal), "{refusal:?}"),
            Ok(template) => {
                let first = template.evaluate(&item);
                prop_assert_eq!(&first, &Template::parse(&text).unwrap().evaluate(&item));
                match first {
                    Ok(value) => {
                        prop_assert_eq!(value.check(), Ok(()));
                        prop_assert!(item_bytes(&Item::from([(String::new(), value)])) <= 400 * 1024);
                    }
                    Err(failure) => {
                        prop_assert!(is_a_sentence(&failure.to_string()), "{failure:?}");
                        if let Some(path) = &failure.missing {
                            prop_assert_eq!(path.get(&item), None);
                        }
                    }
                }
            }
        }
    }

    /// The sources are all that is read: what else is in the item changes nothing, and without a required one there is no value.
    #[test]
    fn a_value_comes_from_the_sources_alone(text in templates(), item in items()) {
        if let Ok(template) = Template::parse(&text) {
            let found = template.evaluate(&item);
            let mut alone = item.clone();
            alone.retain(|name, _| template.sources().iter().any(|source| source.path.names()[0] == *name));
            prop_assert_eq!(&template.evaluate(&alone), &found);
            for source in template.sources() {
                if source.required && source.path.get(&item).is_none() {
                    prop_assert!(found.is_err(), "{} without {}", text, source.path);
                }
            }
        }
    }

    /// However a source's number is written and its set ordered, the value is the same.
    #[test]
    fn the_same_sources_give_the_same_value(text in templates(), item in items()) {
        fn rewritten(value: &Value) -> Value {
            match value {
                Value::N(digits) => Value::N(match decimal::Decimal::read(digits) {
                    Ok(number) => number.to_string(),
                    Err(_) => digits.clone(),
                }),
                Value::Ss(set) => Value::Ss(set.iter().rev().cloned().collect()),
                Value::Bs(set) => Value::Bs(set.iter().rev().cloned().collect()),
                Value::Ns(set) => Value::Ns(set.iter().rev().cloned().collect()),
                Value::L(list) => Value::L(list.iter().map(rewritten).collect()),
                Value::M(map) => Value::M(map.iter().map(|(name, value)| (name.clone(), rewritten(value))).collect()),
                other => other.clone(),
            }
        }
        let Value::M(other) = rewritten(&Value::M(item.clone())) else { unreachable!() };
        if let Ok(template) = Template::parse(&text) {
            match (template.evaluate(&item), template.evaluate(&other)) {
                (Ok(a), Ok(b)) => prop_assert!(is_same(&a, &b), "{a:?} {b:?}"),
                (a, b) => prop_assert_eq!(a.is_ok(), b.is_ok()),
            }
        }
    }

    /// Like any equality; and what is equal letter by letter is the same.
    #[test]
    fn sameness_is_an_equality(a in values(), b in values(), c in values()) {
        prop_assert!(is_same(&a, &a.clone()));
        prop_assert_eq!(is_same(&a, &b), is_same(&b, &a));
        if is_same(&a, &b) && is_same(&b, &c) {
            prop_assert!(is_same(&a, &c));
        }
    }

    /// A path is read as it is shown.
    #[test]
    fn a_path_is_read_as_it_is_shown(names in proptest::collection::vec("\\PC{1,6}|[a-z]{1,3}|true", 1..4)) {
        let path = Path::of_names(names).unwrap();
        let template = Template::parse(&format!("${{{path}}}"));
        if !["true", "false", "null"].contains(&&*path.to_string()) {
            let template = template.unwrap();
            prop_assert_eq!(&template.sources()[0].path, &path);
        }
    }

    /// A number goes through a text and back, whatever it is.
    #[test]
    fn digits_are_never_lost(digits in number()) {
        let item = Item::from([("a".into(), Value::N(digits.clone()))]);
        for text in ["${a|text|number}", "${a|json|number}", "${a|add(0)}", "${a|list|set|list|at(0)}", "${a|mul(1)}"] {
            let found = template(text).evaluate(&item);
            if Value::N(digits.clone()).check().is_ok() {
                prop_assert!(is_same(&found.unwrap(), &Value::N(digits.clone())), "{}", text);
            }
        }
    }
}
