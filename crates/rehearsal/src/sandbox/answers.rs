//! What the embedded database answers to a request, as DynamoDB words it.
//!
//! The server that comes with the database answers every web page (`access-control-allow-origin: *`) and every host, and cannot
//! be told otherwise. So its calls are made here, and its answers given in its own words.

use backfill_loopback::{Body, Bytes, Method, Refusal, Request, Response, StatusCode, header};
use dynoxide::DynoxideError;
use dynoxide::auth_material::{AuthMaterial, validate};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::Embedded;

const AMZ_JSON: &str = "application/x-amz-json-1.0";
const PLAIN_JSON: &str = "application/json";

/// The services whose calls are answered.
const TARGETS: [&str; 2] = ["DynamoDB_20120810.", "DynamoDBStreams_20120810."];

const HEALTHY: &str = "healthy: dynamodb.us-east-1.amazonaws.com ";
const UNKNOWN: &str = "<UnknownOperationException/>\n";

/// DynamoDB's names of what is wrong with a request as such, which it gives no words.
const NOT_JSON: &str = "com.amazon.coral.service#SerializationException";
const NO_SUCH_CALL: &str = "com.amazon.coral.service#UnknownOperationException";

/// DynamoDB's name of what may not be asked.
const NOT_ALLOWED: &str = "com.amazon.coral.service#AccessDeniedException";

/// Answers a request.
pub fn answer(database: &Embedded, request: &Request<Bytes>) -> Response<Body> {
    if request.uri().path() != "/" {
        return response(StatusCode::NOT_FOUND, "", UNKNOWN.into());
    }
    match *request.method() {
        Method::GET => response(StatusCode::OK, "", HEALTHY.into()),
        Method::POST => call(database, request),
        _ => response(StatusCode::NOT_FOUND, "", UNKNOWN.into()),
    }
}

/// Says why a request is not answered: of a body that is too large nothing, as DynamoDB does.
pub fn refusal(why: &Refusal) -> Response<Body> {
    let (name, advice) = match why {
        Refusal::Host(_) => (
            NOT_ALLOWED,
            "; the sandbox answers localhost, 127.0.0.1 and [::1] alone; backfill sandbox --allow-host lets another name in",
        ),
        Refusal::Origin(_) => (
            NOT_ALLOWED,
            "; the sandbox answers no web page; backfill sandbox --allow-origin lets one in",
        ),
        Refusal::TooLarge => return Response::new(Body::default()),
        // Nobody was refused: what was asked has not come.
        Refusal::TooSlow | Refusal::Broken => (NOT_JSON, ""),
    };
    let body = json!({"__type": name, "message": format!("{why}{advice}")});
    response(StatusCode::FORBIDDEN, PLAIN_JSON, body.to_string())
}

/// Answers a call.
fn call(database: &Embedded, request: &Request<Bytes>) -> Response<Body> {
    let headers = request.headers();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let body = request.body();
    let given = text(header::CONTENT_TYPE.as_str()).unwrap_or("");
    let format = given.split(';').next().unwrap_or("").trim();
    let format = match format {
        _ if format.eq_ignore_ascii_case(AMZ_JSON) => AMZ_JSON,
        _ if format.eq_ignore_ascii_case(PLAIN_JSON) => PLAIN_JSON,
        "" if given.is_empty() && body.is_empty() => PLAIN_JSON,
        _ => return response(StatusCode::NOT_FOUND, "", UNKNOWN.into()),
    };
    let wordless = |name| {
        let body = json!({"__type": name}).to_string();
        response(StatusCode::BAD_REQUEST, format, body)
    };
    // What could be answered is JSON, and most can: so it is read as nothing but JSON only where something is wrong.
    let or_not_json =
        |refused| match !body.is_empty() && serde_json::from_slice::<Json>(body).is_err() {
            true => wordless(NOT_JSON),
            false => refused,
        };
    let target = text("x-amz-target").unwrap_or("");
    let name = TARGETS.iter().find_map(|of| target.strip_prefix(of));
    let name = name.unwrap_or("");
    let Some(run) = find(name) else {
        return or_not_json(wordless(NO_SUCH_CALL));
    };
    let unsigned = validate(AuthMaterial {
        authorization: text(header::AUTHORIZATION.as_str()),
        query: request.uri().query().unwrap_or(""),
        has_date_header: headers.contains_key("x-amz-date") || headers.contains_key(header::DATE),
    });
    if let Some(body) = unsigned {
        return or_not_json(response(StatusCode::BAD_REQUEST, format, body));
    }
    if body.is_empty() {
        return wordless(NOT_JSON);
    }
    match run(database, body) {
        Ok(body) => response(StatusCode::OK, format, body),
        Err(error) => {
            let error = worded(name, error);
            let status = StatusCode::from_u16(error.status_code());
            let status = status.unwrap_or(StatusCode::BAD_REQUEST);
            or_not_json(response(status, format, error.to_json()))
        }
    }
}

/// Makes a call of the database with the body of a request.
type Run = fn(&Embedded, &[u8]) -> dynoxide::Result<String>;

/// The calls of these names, each a method of the database: those that change a table, and others.
macro_rules! calls {
    ($name:ident: altering $($altering:literal => $alter:ident,)* others $($call:literal => $method:ident,)*) => {
        match $name {
            "BatchExecuteStatement" => Some(|database, body| {
                run(body, |request| database.batch_execute_statement(request, || read(body)))
            }),
            // These two have an eye on the segments.
            "CreateTable" => Some(|database, body| run(body, |request| database.create_table(request))),
            "Scan" => Some(|database, body| run(body, |request| database.scan(request))),
            $($altering => Some(|database, body| {
                run(body, |request| database.alter(|database| database.$alter(request)))
            }),)*
            $($call => Some(|database, body| {
                run(body, |request| database.call(|database| database.$method(request)))
            }),)*
            _ => None,
        }
    };
}

/// What makes the call of this name.
fn find(name: &str) -> Option<Run> {
    calls! { name:
        altering
        "DeleteTable" => delete_table,
        "TagResource" => tag_resource,
        "UntagResource" => untag_resource,
        "UpdateTable" => update_table,
        "UpdateTimeToLive" => update_time_to_live,
        others
        "BatchGetItem" => batch_get_item,
        "BatchWriteItem" => batch_write_item,
        "DeleteItem" => delete_item,
        "DescribeStream" => describe_stream,
        "DescribeTable" => describe_table,
        "DescribeTimeToLive" => describe_time_to_live,
        "ExecuteStatement" => execute_statement,
        "ExecuteTransaction" => execute_transaction,
        "GetItem" => get_item,
        "GetRecords" => get_records,
        "GetShardIterator" => get_shard_iterator,
        "ListStreams" => list_streams,
        "ListTables" => list_tables,
        "ListTagsOfResource" => list_tags_of_resource,
        "PutItem" => put_item,
        "Query" => query,
        "SearchVectors" => search_vectors,
        "TransactGetItems" => transact_get_items,
        "TransactWriteItems" => transact_write_items,
        "UpdateItem" => update_item,
    }
}

/// Reads the body of a request, makes the call, and writes what it gives back.
fn run<Q: DeserializeOwned, A: Serialize>(
    body: &[u8],
    call: impl FnOnce(Q) -> dynoxide::Result<A>,
) -> dynoxide::Result<String> {
    let answer = call(read(body)?)?;
    serde_json::to_string(&answer)
        .map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

/// Reads the body of a request.
fn read<Q: DeserializeOwned>(body: &[u8]) -> dynoxide::Result<Q> {
    serde_json::from_slice(body).map_err(|error| misread(&error.to_string()))
}

/// What is wrong with a body that is JSON, but no request of its call. The database's types mark the kind of it in front.
fn misread(text: &str) -> DynoxideError {
    let words = text
        .rsplit_once(" at line ")
        .map_or(text, |(words, _)| words);
    let is_of_values = ["missing field", "unknown variant", "invalid type: null"];
    let is_of_values = is_of_values.iter().any(|part| words.contains(part));
    match words.split_once(':') {
        Some(("VALIDATION_REQUEST", words)) => DynoxideError::EnvelopedValidation(words.into()),
        Some(("VALIDATION" | "VALIDATION_AS_READ", words)) => {
            DynoxideError::ValidationException(words.into())
        }
        Some(("SERIALIZATION" | "SERIALIZATION_AS_READ", words)) => {
            DynoxideError::SerializationException(words.into())
        }
        _ if is_of_values || words.contains("Supplied AttributeValue") => {
            DynoxideError::ValidationException(words.into())
        }
        _ => DynoxideError::SerializationException(
            of_another_type(words).unwrap_or_else(|| words.into()),
        ),
    }
}

/// How DynamoDB words that a field has a value of another type than its own.
fn of_another_type(words: &str) -> Option<String> {
    let (found, expected) = words
        .strip_prefix("invalid type: ")?
        .split_once(", expected ")?;
    let found = match found.split_once(' ')? {
        ("string", _) => "STRING_VALUE",
        ("integer", _) => "NUMBER_VALUE",
        ("floating", _) => "DECIMAL_VALUE",
        ("boolean", "`true`") => "TRUE_VALUE",
        ("boolean", _) => "FALSE_VALUE",
        _ => return None,
    };
    let expected = match expected {
        "a string" => "String",
        "a boolean" => "Boolean",
        "i64" | "u64" => "Integer",
        _ => return None,
    };
    Some(format!("{found} cannot be converted to {expected}"))
}

/// An error as the call of this name words it.
fn worded(name: &str, error: DynoxideError) -> DynoxideError {
    match (name, error) {
        ("PutItem" | "UpdateItem" | "DeleteItem", DynoxideError::EnvelopedValidation(words)) => {
            DynoxideError::ValidationException(format!("1 validation error detected: {words}"))
        }
        ("ExecuteStatement", DynoxideError::ConditionalCheckFailedException(words, Some(item))) => {
            DynoxideError::StatementConditionalCheckFailed(words, item)
        }
        (_, error) => error,
    }
}

/// An answer with the headers that DynamoDB gives it.
fn response(status: StatusCode, format: &'static str, body: String) -> Response<Body> {
    let checksum = crc32fast::hash(body.as_bytes());
    let id: String = std::iter::repeat_with(|| fastrand::digit(36).to_ascii_uppercase())
        .take(52)
        .collect();
    let mut response = Response::builder()
        .status(status)
        .header("x-amzn-requestid", id)
        .header("x-amz-crc32", checksum);
    if !format.is_empty() {
        response = response.header(header::CONTENT_TYPE, format);
    }
    // Fails for a header that is none; these are.
    response.body(Body::from(body)).unwrap_or_default()
}
