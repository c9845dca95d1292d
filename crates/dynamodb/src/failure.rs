//! From the SDK's errors to ours: which are worth another try, which are the operator's to mend.

use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
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

/// Error codes of DynamoDB (developer guide, Error handling with DynamoDB).
fn kind_of_code(code: &str, status: u16) -> (ErrorKind, &'static str) {
    match code {
        "ProvisionedThroughputExceededException"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestLimitExceeded" => (ErrorKind::Throttled, ""),
        "InternalServerError"
        | "InternalServerErrorException"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "TransactionInProgressException" => (ErrorKind::Unavailable, ""),
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
