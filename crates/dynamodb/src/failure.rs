//! From a call's error to ours: which are worth another try, which are the operator's to mend.

use std::borrow::Cow;
use std::time::SystemTime;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
use backfill_core::{Error, ErrorKind};

use crate::clock;
use crate::send::SdkError;
use crate::trouble::Trouble;
pub use crate::trouble::words;

/// Says that `doing` ("scanning table stuff") failed, with the service's own message.
///
/// The kind is `Throttled` or `Unavailable` if the same call may succeed another time; every other kind is for good.
pub fn failure(doing: &str, error: SdkError) -> Error {
    if let Some(own) = own_error(&error) {
        let said = Error::new(own.kind(), own.report()).context(format!("{doing} failed"));
        return match Trouble::in_chain(own) {
            Some(trouble) => said.with_source(trouble.clone()),
            None => said,
        };
    }
    let code = error.code().unwrap_or_default().to_owned();
    let message = error.message().unwrap_or_default().to_owned();
    let (kind, advice) = match &error {
        SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_)
            if credentials_error(&error).is_some() =>
        {
            credentials_error(&error).unwrap_or((ErrorKind::Internal, ""))
        }
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            kind_of_code(&code, status)
        }
        // Whatever else becomes of a connection, such as one that the other side closes before it answers.
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) | SdkError::ResponseError(_) => {
            (ErrorKind::Unavailable, "")
        }
        _ => (ErrorKind::Internal, ""),
    };
    let what = match (code.is_empty(), message.is_empty()) {
        (true, _) => format!("{doing} failed"),
        (false, true) => format!("{doing} failed with {code}"),
        (false, false) => format!("{doing} failed with {code}: {message}"),
    };
    let clock = clock::blamed(&error, SystemTime::now());
    let advice: Cow<'_, str> = match clock {
        Some(clock) => clock.advice().into(),
        None if message.contains("reserved keyword") => {
            "; put a placeholder in its place: #n, and --name '#n=ATTRIBUTE' (in JSON names)".into()
        }
        None => advice.into(),
    };
    let text = format!("{what}{advice}");
    if code.is_empty() {
        // The lower layers have something to add only if the service did not answer.
        Error::new(kind, text).with_source(words(&error))
    } else {
        Error::new(kind, text)
    }
}

/// Says that `doing` failed with a code inside a response: the reason for which a transaction was cancelled, or the error of a
/// statement in a batch (API reference, CancellationReason, BatchStatementError).
pub(crate) fn failure_of_code(doing: &str, code: &str, message: Option<&str>) -> Error {
    let kind = match code {
        "ThrottlingError" | "ProvisionedThroughputExceeded" | "RequestLimitExceeded" => {
            ErrorKind::Throttled
        }
        "TransactionConflict" | "ReplicatedWriteConflict" => ErrorKind::ItemBusy,
        "InternalServerError" => ErrorKind::Unavailable,
        "ValidationError" => ErrorKind::InvalidSpec,
        "AccessDenied" => ErrorKind::AccessDenied,
        "ResourceNotFound" => ErrorKind::TableNotFound,
        _ => ErrorKind::Internal,
    };
    Error::new(
        kind,
        format!("{doing} failed with {code}: {}", message.unwrap_or("")),
    )
}

/// Error codes of DynamoDB (developer guide, Error handling with DynamoDB).
fn kind_of_code(code: &str, status: u16) -> (ErrorKind, &'static str) {
    match code {
        "ProvisionedThroughputExceededException"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestLimitExceeded"
        // Of CloudWatch, and of SQS.
        | "Throttling"
        | "RequestThrottled" => (ErrorKind::Throttled, ""),
        // The conflicts are with a live transaction, or with another region, on this very item.
        "InternalServerError"
        | "InternalServerErrorException"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "TransactionConflictException"
        | "TransactionInProgressException"
        | "ReplicatedWriteConflictException" => (ErrorKind::Unavailable, ""),
        "ResourceNotFoundException" => (ErrorKind::TableNotFound, ""),
        "ValidationException" => (ErrorKind::InvalidSpec, ""),
        // CloudWatch says it without the last word.
        "AccessDeniedException" | "AccessDenied" => (
            ErrorKind::AccessDenied,
            "; allow the action to the role that was used",
        ),
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "IncompleteSignatureException"
        | "MissingAuthenticationTokenException"
        | "MissingAuthenticationToken"
        | "SignatureDoesNotMatch"
        | "RequestTimeTooSkewed"
        | "RequestExpired"
        | "RequestInTheFuture"
        | "ExpiredToken"
        | "ExpiredTokenException" => (
            ErrorKind::MissingCredentials,
            "; the AWS credentials are not valid, sign in again",
        ),
        // A reply without a code that we know: by its class.
        "RequestTimeout" | "RequestTimeoutException" => (ErrorKind::Unavailable, ""),
        _ if status == 408 => (ErrorKind::Unavailable, ""),
        _ if status == 429 => (ErrorKind::Throttled, ""),
        _ if status >= 500 => (ErrorKind::Unavailable, ""),
        _ => (ErrorKind::Internal, ""),
    }
}

/// An error of ours, for which a call could not be made: no endpoint follows from what is set.
fn own_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
    std::iter::successors(error.source(), |error| error.source())
        .find_map(|error| error.downcast_ref::<Error>())
}

/// What it means that a call could not be made for want of credentials. A provider that fails for a moment (STS, the
/// metadata of a machine) is no reason to end a run.
fn credentials_error(
    error: &(dyn std::error::Error + 'static),
) -> Option<(ErrorKind, &'static str)> {
    let mut chain = std::iter::successors(error.source(), |error| error.source());
    let error = chain.find_map(|error| error.downcast_ref::<CredentialsError>())?;
    Some(match error {
        CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => (
            ErrorKind::MissingCredentials,
            "; no AWS credentials were found, give --profile or sign in",
        ),
        _ => (
            ErrorKind::Unavailable,
            "; the AWS credentials could not be renewed",
        ),
    })
}

/// The items of a page. That a page has none must be said by an empty list: a page that was misunderstood is not the end.
pub(crate) fn items_of<I>(
    doing: impl Fn() -> String,
    items: Option<Vec<I>>,
) -> backfill_core::Result<Vec<I>> {
    items.ok_or_else(|| {
        let why = format!("{}: a page has no items, not even an empty list", doing());
        Error::new(ErrorKind::Internal, why)
    })
}

#[cfg(test)]
mod tests {
    use backfill_core::{Item, Key, Value};

    use super::*;
    use crate::calls::UpdateItem;
    use crate::send::tests::answered;

    #[test]
    fn what_passes_is_tried_again_and_what_does_not_is_not() {
        for (code, status, kind) in [
            (
                "ProvisionedThroughputExceededException",
                400,
                ErrorKind::Throttled,
            ),
            ("ThrottlingException", 400, ErrorKind::Throttled),
            ("RequestLimitExceeded", 400, ErrorKind::Throttled),
            ("InternalServerError", 500, ErrorKind::Unavailable),
            // A live transaction, or another region, works on the same item.
            ("TransactionConflictException", 400, ErrorKind::Unavailable),
            (
                "ReplicatedWriteConflictException",
                400,
                ErrorKind::Unavailable,
            ),
            ("", 503, ErrorKind::Unavailable),
            ("ValidationException", 400, ErrorKind::InvalidSpec),
            ("AccessDeniedException", 400, ErrorKind::AccessDenied),
            ("ExpiredTokenException", 400, ErrorKind::MissingCredentials),
            ("SomethingNew", 400, ErrorKind::Internal),
        ] {
            assert_eq!(kind_of_code(code, status).0, kind, "{code}");
        }
    }

    #[tokio::test]
    async fn an_answer_that_is_cut_short_passes_and_one_that_is_not_understood_does_not() {
        let key = Key(Item::new());
        let update = UpdateItem::of("stuff", &key, "SET a = b");
        for (status, body, kind) in [
            (200, r#"{"Attributes":{"id""#, ErrorKind::Unavailable),
            (400, r#"{"__type":"com.amazon"#, ErrorKind::Unavailable),
            (200, r#"{"Attributes":7}"#, ErrorKind::Internal),
            (200, "<html></html>", ErrorKind::Unavailable),
            (200, "", ErrorKind::Unavailable),
            (302, "<html></html>", ErrorKind::Unavailable),
            (408, "", ErrorKind::Unavailable),
            (429, "", ErrorKind::Throttled),
            (502, "<html></html>", ErrorKind::Unavailable),
            (407, "", ErrorKind::Internal),
            (403, "<html></html>", ErrorKind::Internal),
            (403, "", ErrorKind::Internal),
        ] {
            let sender = answered(status, None, body).await;
            let error = sender.call(&update).await.unwrap_err();
            assert_eq!(failure("calling", error).kind(), kind, "{body}");
        }
    }

    /// What was asked and what was answered may be an item: neither stands in an error, whatever is wrong with the answer.
    #[tokio::test]
    async fn no_error_holds_what_was_asked_or_answered() {
        let key = Key(Item::from([("id".into(), Value::S("SECRET".into()))]));
        let update = UpdateItem::of("stuff", &key, "SET a = b");
        for body in [
            r#"{"Attributes":{"id":{"S":"SECRET"},"a":{"S":"SECRET"#,
            r#"{"Attributes":{"id":{"S":"SECRET"},"a":{"Z":"SECRET"}}}"#,
            r#"{"Attributes":{"id":{"N":"SECRET"}}}"#,
            r#"{"Attributes":"SECRET"}"#,
            r#"{"Attributes":{"id":{"S":"SECRET","B":"SECRET"}}}"#,
            r#"{"ConsumedCapacity":{"CapacityUnits":"SECRET"}}"#,
            r#""SECRET""#,
            r#"[{"S":"SECRET"}]"#,
            "SECRET",
            "{SECRET}",
            "<html>SECRET</html>",
            "\u{1f}\u{8b}SECRET",
            r#"{"Item":{"id":{"S":"SECRET"}}}"#,
            r#"{"__type":"a#ConditionalCheckFailedException","message":"no","Item":{"id":{"S":"SECRET"}}}"#,
            r#"{"__type":"a#TransactionCanceledException","message":"no","CancellationReasons":[{"Item":{"id":{"S":"SECRET"}}}]}"#,
            r#"{"__type":"a#ValidationException","Item":{"id":{"S":"SECRET"}}}"#,
        ] {
            for status in [200, 302, 400, 403, 407, 408, 429, 500, 502] {
                let Err(error) = answered(status, None, body).await.call(&update).await else {
                    // Not all that is odd has to be understood.
                    assert_eq!(status, 200, "{body}");
                    continue;
                };
                let error = failure("updating table stuff", error);
                let said = [error.report(), format!("{error:?}")];
                assert!(
                    !said.concat().contains("SECRET"),
                    "{status} {body}: {said:?}"
                );
            }
        }
    }

    #[test]
    fn what_becomes_of_a_connection_passes_and_so_does_a_provider_that_stutters() {
        use aws_sdk_dynamodb::error::ConnectorError;
        type Failed = SdkError;
        let other = |error: &'static str| ConnectorError::other(error.into(), None);
        for (error, kind) in [
            // As hyper's "connection closed before message completed" arrives.
            (
                Failed::dispatch_failure(other("closed")),
                ErrorKind::Unavailable,
            ),
            (
                Failed::dispatch_failure(ConnectorError::timeout("late".into())),
                ErrorKind::Unavailable,
            ),
            (
                Failed::construction_failure(CredentialsError::provider_error("STS says 503")),
                ErrorKind::Unavailable,
            ),
            (
                Failed::construction_failure(CredentialsError::not_loaded("no provider")),
                ErrorKind::MissingCredentials,
            ),
            (Failed::construction_failure("a bug"), ErrorKind::Internal),
        ] {
            assert_eq!(failure("calling", error).kind(), kind);
        }
    }
}
