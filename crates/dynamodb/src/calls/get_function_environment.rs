//! GetFunctionConfiguration of Lambda, as far as it tells the environment of a function.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::event_source_mapping::function_name;
use crate::send::{ReadSender, SdkError};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Configuration {
    environment: Option<Environment>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Environment {
    /// None if Lambda may not decrypt them for whoever asks.
    variables: Option<BTreeMap<String, String>>,
}

/// The environment variables of the function with this ARN, of the version or alias that it names
/// ([API_GetFunctionConfiguration](https://docs.aws.amazon.com/lambda/latest/api/API_GetFunctionConfiguration.html)); `None` if they are
/// not told. The sender is one to [`LAMBDA`](crate::send::LAMBDA).
///
/// Errors: those of GetFunctionConfiguration.
pub async fn get_function_environment(
    sender: &ReadSender,
    function_arn: &str,
) -> Result<Option<BTreeMap<String, String>>, SdkError> {
    let name = function_name(function_arn);
    let path = format!("2015-03-31/functions/{name}/configuration");
    let qualifier = function_arn.split(':').nth(7);
    let query: Vec<_> = qualifier
        .map(|qualifier| ("Qualifier", qualifier))
        .into_iter()
        .collect();
    let configuration: Configuration = sender.get(&path, &query).await?;
    Ok(configuration
        .environment
        .and_then(|environment| environment.variables))
}
