//! From the SDK's errors to ours: which are worth another try, which are the operator's to mend.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::ThrottlingReason;
use backfill_core::{Error, ErrorKind};

/// Says that `doing` ("scanning table stuff") failed, with the service's own message.
pub(crate) fn failure<E>(doing: &str, error: SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let code = error.code().unwrap_or_default().to_owned();
    let message = error.message().unwrap_or_default().to_owned();
    let (kind, advice) = match &error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            kind_of_code(&code, status)
        }
        SdkError::ResponseError(_) if is_not_understood(&error) => (ErrorKind::Internal, ""),
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => (ErrorKind::Unavailable, ""),
        SdkError::DispatchFailure(dispatch) if dispatch.is_user() || dispatch.is_other() => {
            without_credentials(&error)
        }
        SdkError::DispatchFailure(_) => (ErrorKind::Unavailable, ""),
        SdkError::ConstructionFailure(_) => without_credentials(&error),
        _ => (ErrorKind::Internal, ""),
    };
    let what = match (code.is_empty(), message.is_empty()) {
        (true, _) => format!("{doing} failed"),
        (false, true) => format!("{doing} failed with {code}"),
        (false, false) => format!("{doing} failed with {code}: {message}"),
    };
    let text = format!("{what}{advice}");
    if code.is_empty() {
        // Only where the service did not answer do the lower layers have something to add.
        Error::new(kind, text).with_source(DisplayErrorContext(error).to_string())
    } else {
        Error::new(kind, text)
    }
}

/// The same for a code inside a response: the reason for which a transaction was cancelled, or the error of a
/// statement in a batch (API reference, CancellationReason, BatchStatementError).
pub(crate) fn failure_of_code(doing: &str, code: &str, message: Option<&str>) -> Error {
    let kind = match code {
        "ThrottlingError" | "ProvisionedThroughputExceeded" | "RequestLimitExceeded" => {
            ErrorKind::Throttled
        }
        "TransactionConflict" | "InternalServerError" => ErrorKind::Unavailable,
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

/// " (TableWriteKeyRangeThroughputExceeded on arn:…)": why the table throttled, where it says so.
fn throttling_reasons(reasons: &[ThrottlingReason]) -> String {
    let named: BTreeSet<String> = reasons
        .iter()
        .filter_map(|reason| {
            let resource = reason.resource().unwrap_or("an unnamed resource");
            Some(format!("{} on {resource}", reason.reason()?))
        })
        .collect();
    if named.is_empty() {
        return String::new();
    }
    format!(" ({})", named.into_iter().collect::<Vec<_>>().join(", "))
}

/// A refused UpdateItem, with the reasons for throttling.
pub(crate) fn update_failure(doing: &str, error: SdkError<UpdateItemError>) -> Error {
    let reasons = match error.as_service_error() {
        Some(UpdateItemError::ProvisionedThroughputExceededException(throttled)) => {
            throttling_reasons(throttled.throttling_reasons())
        }
        Some(UpdateItemError::ThrottlingException(throttled)) => {
            throttling_reasons(throttled.throttling_reasons())
        }
        Some(UpdateItemError::RequestLimitExceeded(throttled)) => {
            throttling_reasons(throttled.throttling_reasons())
        }
        _ => String::new(),
    };
    failure(&format!("{doing}{reasons}"), error)
}

/// Error codes of DynamoDB (developer guide, Error handling with DynamoDB).
fn kind_of_code(code: &str, status: u16) -> (ErrorKind, &'static str) {
    match code {
        "ProvisionedThroughputExceededException"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestLimitExceeded" => (ErrorKind::Throttled, ""),
        // The conflicts are with a live transaction, or with another region, on this very item.
        "InternalServerError"
        | "InternalServerErrorException"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "TransactionConflictException"
        | "ReplicatedWriteConflictException" => (ErrorKind::Unavailable, ""),
        "ResourceNotFoundException" => (ErrorKind::TableNotFound, ""),
        "ValidationException" => (ErrorKind::InvalidSpec, ""),
        "AccessDeniedException" => (
            ErrorKind::AccessDenied,
            "; allow the action to the role that was used",
        ),
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "IncompleteSignatureException"
        | "MissingAuthenticationTokenException"
        | "MissingAuthenticationToken"
        | "ExpiredTokenException" => (
            ErrorKind::MissingCredentials,
            "; the AWS credentials are not valid, sign in again",
        ),
        // A reply without a code that we know: by its class.
        _ if status == 429 => (ErrorKind::Throttled, ""),
        _ if status >= 500 => (ErrorKind::Unavailable, ""),
        _ => (ErrorKind::Internal, ""),
    }
}

/// True for an answer that is whole but has another shape than ours, such as an attribute of an unknown type: it would
/// be the same another time.
fn is_not_understood(error: &(dyn std::error::Error + 'static)) -> bool {
    let source = error.source();
    let parsing = source.and_then(|source| source.downcast_ref::<serde_json::Error>());
    parsing.is_some_and(serde_json::Error::is_data)
}

fn without_credentials<E>(error: &SdkError<E>) -> (ErrorKind, &'static str)
where
    E: std::error::Error + 'static,
{
    if DisplayErrorContext(error)
        .to_string()
        .contains("redentials")
    {
        (
            ErrorKind::MissingCredentials,
            "; no AWS credentials were found, give --profile or sign in",
        )
    } else {
        (ErrorKind::Internal, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
