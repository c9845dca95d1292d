//! Words that DynamoDB reserves: an expression cannot hold them as names, so they get a placeholder of ours.

use std::collections::BTreeMap;

use super::expression::{Language, is_bare_name, placeholders, tokens};

/// The reserved words, in their order (developer guide, Reserved words in DynamoDB). Letters of either case are meant.
const RESERVED_WORDS: &str = "\
    ABORT ABSOLUTE ACTION ADD AFTER AGENT AGGREGATE ALL ALLOCATE ALTER ANALYZE AND ANY ARCHIVE ARE ARRAY \
    AS ASC ASCII ASENSITIVE ASSERTION ASYMMETRIC AT ATOMIC ATTACH ATTRIBUTE AUTH AUTHORIZATION AUTHORIZE \
    AUTO AVG BACK BACKUP BASE BATCH BEFORE BEGIN BETWEEN BIGINT BINARY BIT BLOB BLOCK BOOLEAN BOTH \
    BREADTH BUCKET BULK BY BYTE CALL CALLED CALLING CAPACITY CASCADE CASCADED CASE CAST CATALOG CHAR \
    CHARACTER CHECK CLASS CLOB CLOSE CLUSTER CLUSTERED CLUSTERING CLUSTERS COALESCE COLLATE COLLATION \
    COLLECTION COLUMN COLUMNS COMBINE COMMENT COMMIT COMPACT COMPILE COMPRESS CONDITION CONFLICT CONNECT \
    CONNECTION CONSISTENCY CONSISTENT CONSTRAINT CONSTRAINTS CONSTRUCTOR CONSUMED CONTINUE CONVERT COPY \
    CORRESPONDING COUNT COUNTER CREATE CROSS CUBE CURRENT CURSOR CYCLE DATA DATABASE DATE DATETIME DAY \
    DEALLOCATE DEC DECIMAL DECLARE DEFAULT DEFERRABLE DEFERRED DEFINE DEFINED DEFINITION DELETE \
    DELIMITED DEPTH DEREF DESC DESCRIBE DESCRIPTOR DETACH DETERMINISTIC DIAGNOSTICS DIRECTORIES DISABLE \
    DISCONNECT DISTINCT DISTRIBUTE DO DOMAIN DOUBLE DROP DUMP DURATION DYNAMIC EACH ELEMENT ELSE ELSEIF \
    EMPTY ENABLE END EQUAL EQUALS ERROR ESCAPE ESCAPED EVAL EVALUATE EXCEEDED EXCEPT EXCEPTION \
    EXCEPTIONS EXCLUSIVE EXEC EXECUTE EXISTS EXIT EXPLAIN EXPLODE EXPORT EXPRESSION EXTENDED EXTERNAL \
    EXTRACT FAIL FALSE FAMILY FETCH FIELDS FILE FILTER FILTERING FINAL FINISH FIRST FIXED FLATTERN FLOAT \
    FOR FORCE FOREIGN FORMAT FORWARD FOUND FREE FROM FULL FUNCTION FUNCTIONS GENERAL GENERATE GET GLOB \
    GLOBAL GO GOTO GRANT GREATER GROUP GROUPING HANDLER HASH HAVE HAVING HEAP HIDDEN HOLD HOUR \
    IDENTIFIED IDENTITY IF IGNORE IMMEDIATE IMPORT IN INCLUDING INCLUSIVE INCREMENT INCREMENTAL INDEX \
    INDEXED INDEXES INDICATOR INFINITE INITIALLY INLINE INNER INNTER INOUT INPUT INSENSITIVE INSERT \
    INSTEAD INT INTEGER INTERSECT INTERVAL INTO INVALIDATE IS ISOLATION ITEM ITEMS ITERATE JOIN KEY KEYS \
    LAG LANGUAGE LARGE LAST LATERAL LEAD LEADING LEAVE LEFT LENGTH LESS LEVEL LIKE LIMIT LIMITED LINES \
    LIST LOAD LOCAL LOCALTIME LOCALTIMESTAMP LOCATION LOCATOR LOCK LOCKS LOG LOGED LONG LOOP LOWER MAP \
    MATCH MATERIALIZED MAX MAXLEN MEMBER MERGE METHOD METRICS MIN MINUS MINUTE MISSING MOD MODE MODIFIES \
    MODIFY MODULE MONTH MULTI MULTISET NAME NAMES NATIONAL NATURAL NCHAR NCLOB NEW NEXT NO NONE NOT NULL \
    NULLIF NUMBER NUMERIC OBJECT OF OFFLINE OFFSET OLD ON ONLINE ONLY OPAQUE OPEN OPERATOR OPTION OR \
    ORDER ORDINALITY OTHER OTHERS OUT OUTER OUTPUT OVER OVERLAPS OVERRIDE OWNER PAD PARALLEL PARAMETER \
    PARAMETERS PARTIAL PARTITION PARTITIONED PARTITIONS PATH PERCENT PERCENTILE PERMISSION PERMISSIONS \
    PIPE PIPELINED PLAN POOL POSITION PRECISION PREPARE PRESERVE PRIMARY PRIOR PRIVATE PRIVILEGES \
    PROCEDURE PROCESSED PROJECT PROJECTION PROPERTY PROVISIONING PUBLIC PUT QUERY QUIT QUORUM RAISE \
    RANDOM RANGE RANK RAW READ READS REAL REBUILD RECORD RECURSIVE REDUCE REF REFERENCE REFERENCES \
    REFERENCING REGEXP REGION REINDEX RELATIVE RELEASE REMAINDER RENAME REPEAT REPLACE REQUEST RESET \
    RESIGNAL RESOURCE RESPONSE RESTORE RESTRICT RESULT RETURN RETURNING RETURNS REVERSE REVOKE RIGHT \
    ROLE ROLES ROLLBACK ROLLUP ROUTINE ROW ROWS RULE RULES SAMPLE SATISFIES SAVE SAVEPOINT SCAN SCHEMA \
    SCOPE SCROLL SEARCH SECOND SECTION SEGMENT SEGMENTS SELECT SELF SEMI SENSITIVE SEPARATE SEQUENCE \
    SERIALIZABLE SESSION SET SETS SHARD SHARE SHARED SHORT SHOW SIGNAL SIMILAR SIZE SKEWED SMALLINT \
    SNAPSHOT SOME SOURCE SPACE SPACES SPARSE SPECIFIC SPECIFICTYPE SPLIT SQL SQLCODE SQLERROR \
    SQLEXCEPTION SQLSTATE SQLWARNING START STATE STATIC STATUS STORAGE STORE STORED STREAM STRING STRUCT \
    STYLE SUB SUBMULTISET SUBPARTITION SUBSTRING SUBTYPE SUM SUPER SYMMETRIC SYNONYM SYSTEM TABLE \
    TABLESAMPLE TEMP TEMPORARY TERMINATED TEXT THAN THEN THROUGHPUT TIME TIMESTAMP TIMEZONE TINYINT TO \
    TOKEN TOTAL TOUCH TRAILING TRANSACTION TRANSFORM TRANSLATE TRANSLATION TREAT TRIGGER TRIM TRUE \
    TRUNCATE TTL TUPLE TYPE UNDER UNDO UNION UNIQUE UNIT UNKNOWN UNLOGGED UNNEST UNPROCESSED UNSIGNED \
    UNTIL UPDATE UPPER URL USAGE USE USER USERS USING UUID VACUUM VALUE VALUED VALUES VARCHAR VARIABLE \
    VARIANCE VARINT VARYING VIEW VIEWS VIRTUAL VOID WAIT WHEN WHENEVER WHERE WHILE WINDOW WITH WITHIN \
    WITHOUT WORK WRAPPED WRITE YEAR ZONE";

/// Every reserved word, in capital letters.
pub fn reserved_words() -> impl Iterator<Item = &'static str> {
    RESERVED_WORDS.split(' ')
}

/// Whether DynamoDB refuses this word as a name in an expression.
pub fn is_reserved(word: &str) -> bool {
    reserved_words().any(|reserved| reserved.eq_ignore_ascii_case(word))
}

/// The first `#name` of the expression that nobody has defined. It is to be refused before [`aliased`], by which it might come to mean a
/// reserved word that stands beside it.
pub fn undefined<'a>(expression: &'a str, names: &BTreeMap<String, String>) -> Option<&'a str> {
    let mut found = placeholders(expression).into_iter();
    found.find(|placeholder| placeholder.starts_with('#') && !names.contains_key(*placeholder))
}

/// The expression with a placeholder for each reserved word that stands where a name does; `names` gets what they mean. Keywords
/// and functions stay. An expression without such a word stays as it is, to the letter.
pub fn aliased(
    expression: &str,
    language: Language,
    names: &mut BTreeMap<String, String>,
) -> String {
    let mut text = String::new();
    let mut end = 0;
    for place in names_in(expression, language) {
        let word = &expression[place.clone()];
        if is_reserved(word) {
            text.push_str(&expression[end..place.start]);
            text.push_str(&placeholder(word, names));
            end = place.end;
        }
    }
    text.push_str(&expression[end..]);
    text
}

/// A placeholder that means `word`, and nothing else.
fn placeholder(word: &str, names: &mut BTreeMap<String, String>) -> String {
    let mut placeholder = format!("#{word}");
    let mut another = 1;
    while names.get(&placeholder).is_some_and(|name| name != word) {
        another += 1;
        placeholder = format!("#{word}_{another}");
    }
    names.insert(placeholder.clone(), word.to_owned());
    placeholder
}

/// Where bare names stand, as opposed to keywords and functions. Of an expression that is no right one it says something, and
/// DynamoDB refuses it whatever that is.
pub(super) fn names_in(expression: &str, language: Language) -> Vec<std::ops::Range<usize>> {
    let tokens = tokens(expression);
    let mut found = Vec::new();
    // A path, a value or a closing parenthesis stands right before.
    let mut is_behind_operand = false;
    let at = |nth: usize| {
        tokens
            .get(nth)
            .map_or("", |place| &expression[place.clone()])
    };
    for (nth, place) in tokens.iter().enumerate() {
        let (token, next) = (at(nth), at(nth + 1));
        if !is_bare_name(token) {
            let opens = matches!(
                token,
                "(" | "[" | "." | "," | "=" | "<>" | "<" | "<=" | ">" | ">="
            );
            is_behind_operand = !opens && !matches!(token, "+" | "-");
            continue;
        }
        let is_keyword = is_behind_operand
            || match language {
                Language::Update => nth == 0,
                Language::Condition => {
                    token.eq_ignore_ascii_case("NOT") && negates(next, at(nth + 2))
                }
            };
        let is_function = next == "(";
        is_behind_operand = !is_keyword && !is_function;
        if is_behind_operand {
            found.push(place.clone());
        }
    }
    found
}

/// Whether a `NOT` before these two tokens is the operator, and no attribute of that name.
fn negates(next: &str, second: &str) -> bool {
    let is_one_of =
        |token: &str, words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(token));
    match is_one_of(next, &["BETWEEN", "IN", "AND", "OR"]) {
        // `NOT in = :v` is about an attribute that is called `in`.
        true => is_one_of(
            second,
            &["=", "<>", "<", "<=", ">", ">=", ".", "[", "BETWEEN", "IN"],
        ),
        false => next.starts_with(['(', '#', ':']) || is_bare_name(next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_every_word_once() {
        let words: Vec<&str> = reserved_words().collect();
        assert_eq!(words.len(), 573);
        assert!(words.is_sorted_by(|a, b| a < b));
        assert!(is_reserved("status") && is_reserved("Ttl") && !is_reserved("test"));
    }

    /// Long because it is a table of cases.
    #[test]
    fn reserved_names_get_placeholders_and_all_else_stays() {
        use Language::{Condition, Update};
        for (language, expression, expected, named) in [
            (Update, "SET status = :v", "SET #status = :v", "status"),
            (Update, "set STATUS=:v", "set #STATUS=:v", "STATUS"),
            (
                Update,
                "SET a = if_not_exists(name, :v) + size REMOVE ttl, b.data[0].items ADD count :n DELETE set :s",
                "SET a = if_not_exists(#name, :v) + #size REMOVE #ttl, b.#data[0].#items ADD #count :n DELETE #set :s",
                "count data items name set size ttl",
            ),
            (
                Update,
                "SET set = :v, add = :v REMOVE delete",
                "SET #set = :v, #add = :v REMOVE #delete",
                "add delete set",
            ),
            (
                Update,
                "SET a = (name - count)",
                "SET a = (#name - #count)",
                "count name",
            ),
            (
                Condition,
                "NOT size(data) > :v AND (attribute_not_exists(name) or not contains(list, :v))",
                "NOT size(#data) > :v AND (attribute_not_exists(#name) or not contains(#list, :v))",
                "data list name",
            ),
            (Condition, "size > :v", "#size > :v", "size"),
            (
                Condition,
                "date between :a AND :b",
                "#date between :a AND :b",
                "date",
            ),
            (
                Condition,
                "year IN (:a, month)",
                "#year IN (:a, #month)",
                "month year",
            ),
            (
                Condition,
                "not = :v OR and = :v",
                "#not = :v OR #and = :v",
                "and not",
            ),
            (Condition, "NOT not = :v", "NOT #not = :v", "not"),
            (
                Condition,
                "NOT and = :v AND not between :v AND :v",
                "NOT #and = :v AND #not between :v AND :v",
                "and not",
            ),
            (
                Condition,
                "NOT #a.status = user",
                "NOT #a.#status = #user",
                "status user",
            ),
            (
                Condition,
                "attribute_type(test, :t) AND a.b = c",
                "attribute_type(test, :t) AND a.b = c",
                "",
            ),
            (
                Update,
                "SET a = list_append(b, :v), c = d REMOVE e",
                "SET a = list_append(b, :v), c = d REMOVE e",
                "",
            ),
        ] {
            let mut names = BTreeMap::new();
            assert_eq!(aliased(expression, language, &mut names), expected);
            let words: Vec<&str> = names.values().map(String::as_str).collect();
            for word in named.split_whitespace() {
                assert!(words.contains(&word), "{expression}: {names:?}");
            }
            let mut again = names.clone();
            assert_eq!(
                aliased(expected, language, &mut again),
                expected,
                "once is enough"
            );
            assert_eq!(again, names);
        }
    }

    #[test]
    fn a_placeholder_that_means_something_else_is_left_alone() {
        let mut names = BTreeMap::from([("#status".to_owned(), "state of it".to_owned())]);
        let text = aliased("SET status = #status", Language::Update, &mut names);
        assert_eq!(text, "SET #status_2 = #status");
        assert_eq!(names["#status_2"], "status");
        let mut names = BTreeMap::from([("#status".to_owned(), "status".to_owned())]);
        let text = aliased("SET status = :v", Language::Update, &mut names);
        assert_eq!((text.as_str(), names.len()), ("SET #status = :v", 1));
    }
}
