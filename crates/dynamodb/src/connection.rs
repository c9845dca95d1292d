//! Where the tables are and by which credentials they are reached, with every timeout explicit. One pool of connections serves
//! a process.
//!
//! This is the lowest layer of the adapter: it sends nothing to DynamoDB.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::config::endpoint::{DefaultResolver, Params, ResolveEndpoint as _};
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{
    Credentials, ProvideCredentials as _, SharedCredentialsProvider, SharedHttpClient,
};
use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{
    HttpConnectorSettings, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::identity::Identity;
use aws_types::service_config::ServiceConfigKey;
use backfill_core::{Error, ErrorKind, Result};
use http::Uri;
use tokio::sync::Mutex;

/// Time to set up a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for one call. A page of 1 MB takes a fraction of a second; what takes longer is lost.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Credentials are asked for again this long before they expire.
const RENEW_BEFORE: Duration = Duration::from_secs(10);
/// Credentials that do not say when they expire are asked for again after this long, as by the SDK.
const RENEW_AFTER: Duration = Duration::from_secs(15 * 60);

/// Where to connect; everything left out comes from the environment and the AWS profile.
#[derive(Debug, Clone, Default)]
pub struct ConnectOptions {
    /// URL of another endpoint than AWS's, such as `http://127.0.0.1:8000`.
    pub endpoint_url: Option<String>,
    /// AWS region, such as `eu-west-1`.
    pub region: Option<String>,
    /// Name of an AWS profile.
    pub profile: Option<String>,
    /// Made-up credentials, for a database that does not look at them.
    pub local_credentials: bool,
}

/// Where the tables are, and the credentials for them. Clones share both.
#[derive(Debug, Clone)]
pub struct Connection(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connector: SharedHttpConnector,
    sdk_config: SdkConfig,
    /// The credentials, and until when they are used.
    identity: Mutex<Option<(Identity, SystemTime)>>,
    /// The endpoint of [`ConnectOptions`], which is that of every service.
    given_endpoint: Option<String>,
    /// DynamoDB's, with a path that ends with "/".
    url: String,
    region: String,
    place: String,
    is_local: bool,
}

impl Connection {
    /// Loads region and credentials. Sends nothing to DynamoDB.
    ///
    /// Errors: `InvalidInput` if no region is set, or no endpoint follows from what is set.
    pub async fn open(options: &ConnectOptions) -> Result<Connection> {
        let connector = connector();
        let mut loader = aws_config::defaults(behavior())
            .http_client(client_of(&connector))
            .timeout_config(timeouts())
            .stalled_stream_protection(stalled_streams())
            .retry_config(retries());
        if let Some(url) = &options.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        if let Some(region) = &options.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(profile) = &options.profile {
            loader = loader.profile_name(profile);
        }
        if options.local_credentials {
            let credentials = Credentials::new("local", "local", None, None, "local");
            loader = loader.credentials_provider(SharedCredentialsProvider::new(credentials));
        }
        let sdk_config = loader.load().await;
        if sdk_config.region().is_none() {
            let profile = match &options.profile {
                Some(name) => format!("profile {name}"),
                None => "the profile".into(),
            };
            return Err(Error::invalid(
                "region",
                format!(
                    "expected an AWS region; give --region, set AWS_REGION, or name it in {profile}"
                ),
            ));
        }
        Connection::new(connector, sdk_config, options.endpoint_url.clone()).await
    }

    pub(crate) async fn new(
        connector: SharedHttpConnector,
        sdk_config: SdkConfig,
        given_endpoint: Option<String>,
    ) -> Result<Connection> {
        let region = sdk_config.region().map(ToString::to_string);
        let named = region.as_deref().unwrap_or("unknown");
        let endpoint = endpoint_of(&sdk_config, given_endpoint.as_deref(), "DynamoDB");
        let place = match &endpoint {
            Some(url) => format!("at {url} (region {named})"),
            None => format!("in region {named}"),
        };
        let is_local = endpoint.as_deref().is_some_and(is_on_this_machine);
        let region = region.unwrap_or_default();
        let url = resolve(&sdk_config, &region, endpoint)
            .await
            .map_err(|error| {
                let why = format!("DynamoDB cannot be reached {place}");
                Error::invalid("endpoint-url", why).with_source(error.to_string())
            })?;
        Ok(Connection(Arc::new(Inner {
            connector,
            sdk_config,
            identity: Mutex::default(),
            given_endpoint,
            url,
            region,
            place,
            is_local,
        })))
    }

    /// The connection of a Lambda function: region, credentials and endpoint come from the environment variables
    /// that Lambda sets for it, and from nowhere else. The chain of providers behind [`Connection::open`]
    /// (profiles, STS, metadata services) would be an eighth of the function's size.
    ///
    /// Errors: `InvalidInput` if no region is set.
    pub async fn from_environment() -> Result<Connection> {
        let connector = connector();
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let switch = |name| variable(name).map(|value| value.eq_ignore_ascii_case("true"));
        let region = variable("AWS_REGION")
            .or_else(|| variable("AWS_DEFAULT_REGION"))
            .map(Region::new)
            .ok_or_else(|| Error::invalid("region", "expected an AWS region in AWS_REGION"))?;
        let endpoint_url =
            variable("AWS_ENDPOINT_URL_DYNAMODB").or_else(|| variable("AWS_ENDPOINT_URL"));
        let mut builder = SdkConfig::builder()
            .behavior_version(behavior())
            .http_client(client_of(&connector))
            .timeout_config(timeouts())
            .stalled_stream_protection(stalled_streams())
            .retry_config(retries())
            .region(region)
            .credentials_provider(SharedCredentialsProvider::new(
                EnvironmentVariableCredentialsProvider::new(),
            ));
        builder.set_use_fips(switch("AWS_USE_FIPS_ENDPOINT"));
        builder.set_use_dual_stack(switch("AWS_USE_DUALSTACK_ENDPOINT"));
        builder.set_endpoint_url(endpoint_url);
        Connection::new(connector, builder.build(), None).await
    }

    /// Refuses missing credentials at once, instead of at the first call.
    ///
    /// Errors: `MissingCredentials`.
    pub async fn check_credentials(&self) -> Result<()> {
        let missing = || {
            Error::new(
                ErrorKind::MissingCredentials,
                "credentials: no AWS credentials were found; give --profile, sign in, or set \
                 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            )
        };
        let provider = self
            .0
            .sdk_config
            .credentials_provider()
            .ok_or_else(missing)?;
        provider
            .provide_credentials()
            .await
            .map(drop)
            .map_err(|error| missing().with_source(error))
    }

    /// What the clients of other services share with this one.
    pub fn sdk_config(&self) -> &SdkConfig {
        &self.0.sdk_config
    }

    /// "in region eu-west-1", or "at http://… (region …)".
    pub fn place(&self) -> &str {
        &self.0.place
    }

    /// True if the endpoint is this machine, by its address or as localhost.
    pub fn is_local(&self) -> bool {
        self.0.is_local
    }

    /// The endpoint of a service of this id ("CloudWatch") that options, environment or profile name; `None` leaves it to
    /// the rules for regions.
    pub(crate) fn endpoint_of(&self, service_id: &str) -> Option<String> {
        let Inner {
            sdk_config,
            given_endpoint,
            ..
        } = &*self.0;
        endpoint_of(sdk_config, given_endpoint.as_deref(), service_id)
    }

    /// DynamoDB's endpoint, with a path that ends with "/".
    pub(crate) fn url(&self) -> &str {
        &self.0.url
    }

    /// The region that calls are signed for.
    pub(crate) fn region(&self) -> &str {
        &self.0.region
    }

    pub(crate) fn connector(&self) -> &SharedHttpConnector {
        &self.0.connector
    }

    /// The credentials, as long as they hold.
    pub(crate) async fn identity(&self) -> std::result::Result<Identity, BoxError> {
        let mut cached = self.0.identity.lock().await;
        let now = SystemTime::now();
        if let Some((identity, _)) = cached.as_ref().filter(|(_, end)| now < *end) {
            return Ok(identity.clone());
        }
        let provider = self.0.sdk_config.credentials_provider();
        let provider =
            provider.ok_or_else(|| CredentialsError::not_loaded("no provider is set"))?;
        let identity = Identity::from(provider.provide_credentials().await?);
        let end = match identity.expiration() {
            Some(end) => end - RENEW_BEFORE,
            None => now + RENEW_AFTER,
        };
        *cached = Some((identity.clone(), end));
        Ok(identity)
    }

    /// Asks for the credentials anew before the next call.
    pub(crate) async fn forget_identity(&self) {
        *self.0.identity.lock().await = None;
    }
}

/// The endpoint of a service, found by the SDK's order: an option first, then what environment and profile say of this
/// service, then what they say of every service.
fn endpoint_of(config: &SdkConfig, given: Option<&str>, service_id: &str) -> Option<String> {
    let of_service = || {
        let key = ServiceConfigKey::builder()
            .service_id(service_id)
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build();
        config.service_config()?.load_config(key.ok()?)
    };
    given
        .map(str::to_owned)
        .or_else(of_service)
        .or_else(|| config.endpoint_url().map(str::to_owned))
}

/// The URL of DynamoDB: this endpoint, or else the one to which the SDK's rules for regions point. Says what the rules object
/// to.
async fn resolve(
    config: &SdkConfig,
    region: &str,
    endpoint: Option<String>,
) -> std::result::Result<String, BoxError> {
    let params = Params::builder()
        .region(region)
        .use_fips(config.use_fips().unwrap_or(false))
        .use_dual_stack(config.use_dual_stack().unwrap_or(false))
        .set_endpoint(endpoint)
        .build()?;
    let endpoint = DefaultResolver::new().resolve_endpoint(&params).await?;
    Ok(with_slash(endpoint.url()))
}

/// The URL with a path that ends with "/".
pub(crate) fn with_slash(url: &str) -> String {
    format!("{}/", url.strip_suffix('/').unwrap_or(url))
}

/// True for a URL whose host is 127.0.0.1, ::1 or localhost. The parser is the one by which connections are made.
fn is_on_this_machine(url: &str) -> bool {
    let uri = url.parse::<Uri>().ok();
    uri.as_ref().and_then(Uri::host).is_some_and(|host| {
        host == "127.0.0.1" || host == "[::1]" || host.eq_ignore_ascii_case("localhost")
    })
}

fn behavior() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// One pool of connections, and one set of certificates, for all that a process sends.
fn connector() -> SharedHttpConnector {
    let settings = HttpConnectorSettings::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(CALL_TIMEOUT)
        .build();
    SharedHttpConnector::new(
        Connector::builder()
            .connector_settings(settings)
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build(),
    )
}

fn client_of(connector: &SharedHttpConnector) -> SharedHttpClient {
    let connector = connector.clone();
    http_client_fn(move |_, _| connector.clone())
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(CALL_TIMEOUT)
        .operation_attempt_timeout(CALL_TIMEOUT)
        .operation_timeout(CALL_TIMEOUT)
        .build()
}

/// Watching the throughput of every body is for streams; ours are small and have their timeouts.
fn stalled_streams() -> StalledStreamProtectionConfig {
    StalledStreamProtectionConfig::disabled()
}

/// The SDK's retries share a bucket of tokens and then fail fast; ours go on until the time box ends and see every
/// throttled call.
fn retries() -> RetryConfig {
    RetryConfig::disabled()
}

#[cfg(test)]
mod tests {
    use super::is_on_this_machine;

    #[test]
    fn only_this_machine_is_local() {
        for local in [
            "http://127.0.0.1:8000",
            "http://localhost:8000/",
            "https://LOCALHOST",
            "http://[::1]:8000",
            "http://user@127.0.0.1:1/db",
        ] {
            assert!(is_on_this_machine(local), "{local}");
        }
        for remote in [
            "https://dynamodb.eu-west-1.amazonaws.com",
            "http://127.0.0.1.example.com",
            "http://127.0.0.1:8000@example.com/",
            "http://example.com/127.0.0.1",
            "http://example.com?@127.0.0.1",
            "http://example.com\\@127.0.0.1",
            "http://127.0.0.2:8000",
            "http://[::2]:8000",
            "",
        ] {
            assert!(!is_on_this_machine(remote), "{remote}");
        }
    }
}
