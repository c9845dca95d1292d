//! One client per process, with every timeout and retry setting explicit.

use std::time::Duration;

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{
    Credentials, ProvideCredentials as _, SharedCredentialsProvider, SharedHttpClient,
};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{
    HttpConnectorSettings, SharedHttpConnector, http_client_fn,
};
use aws_types::service_config::ServiceConfigKey;
use backfill_core::{Error, ErrorKind, Result};

use crate::direct::{CLOUDWATCH, Direct};

/// Time to set up a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for one call. A page of 1 MB takes a fraction of a second; what takes longer is lost.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Where to connect; everything left out comes from the environment and the AWS profile.
#[derive(Debug, Clone, Default)]
pub struct ConnectOptions {
    pub endpoint_url: Option<String>,
    pub region: Option<String>,
    pub profile: Option<String>,
    /// Access key and secret, for a database that does not look at them.
    pub local_credentials: bool,
}

/// A DynamoDB client and the words for where it points.
#[derive(Debug, Clone)]
pub struct Connection {
    pub(crate) client: Client,
    /// For the calls of the inner loop.
    pub(crate) direct: Direct,
    sdk_config: SdkConfig,
    place: String,
    is_local: bool,
    /// Where CloudWatch is, if that is said.
    cloudwatch_url: Option<String>,
}

impl Connection {
    /// Loads region and credentials and builds the client. Calls nothing.
    ///
    /// Errors: `InvalidInput` where no region is set.
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
        // As the SDK does it: an option first, then what environment and profile say of DynamoDB, then of every service.
        let of_service = |id: &str| {
            sdk_config.service_config().and_then(|config| {
                config.load_config(
                    ServiceConfigKey::builder()
                        .service_id(id)
                        .env("AWS_ENDPOINT_URL")
                        .profile("endpoint_url")
                        .build()
                        .ok()?,
                )
            })
        };
        let endpoint_url = options
            .endpoint_url
            .clone()
            .or_else(|| of_service("DynamoDB"))
            .or_else(|| sdk_config.endpoint_url().map(str::to_owned));
        let cloudwatch_url = match &options.endpoint_url {
            Some(url) => Some(url.clone()),
            None => {
                of_service("CloudWatch").or_else(|| sdk_config.endpoint_url().map(str::to_owned))
            }
        };
        Ok(Connection {
            cloudwatch_url,
            ..Connection::new(connector, sdk_config, endpoint_url).await?
        })
    }

    async fn new(
        connector: SharedHttpConnector,
        sdk_config: SdkConfig,
        endpoint_url: Option<String>,
    ) -> Result<Connection> {
        let region = sdk_config
            .region()
            .map_or("unknown", |region| region.as_ref());
        let place = match &endpoint_url {
            Some(url) => format!("at {url} (region {region})"),
            None => format!("in region {region}"),
        };
        let is_local = endpoint_url.as_deref().is_some_and(is_on_this_machine);
        let direct = Direct::new(connector, &sdk_config, endpoint_url.as_deref())
            .await
            .map_err(|error| {
                let why = format!("DynamoDB cannot be reached {place}");
                Error::invalid("endpoint-url", why).with_source(error.to_string())
            })?;
        let config = aws_sdk_dynamodb::config::Builder::from(&sdk_config);
        let config = match endpoint_url {
            Some(url) => config.endpoint_url(url),
            None => config,
        };
        Ok(Connection {
            client: Client::from_conf(config.build()),
            direct,
            sdk_config,
            place,
            is_local,
            cloudwatch_url: None,
        })
    }

    /// The way to CloudWatch. `None` where the tables are on this machine and nothing says where CloudWatch is: no command of
    /// a rehearsal is to reach an account.
    pub(crate) fn cloudwatch(&self) -> Option<Direct> {
        let url = match &self.cloudwatch_url {
            Some(url) => url.clone(),
            None if self.is_local => return None,
            None => {
                let region = self.direct.region();
                let suffix = match region.starts_with("cn-") {
                    true => "amazonaws.com.cn",
                    false => "amazonaws.com",
                };
                format!("https://monitoring.{region}.{suffix}")
            }
        };
        Some(self.direct.to(CLOUDWATCH, &url))
    }

    /// The connection of a Lambda function: region, credentials and endpoint come from the environment variables
    /// that Lambda sets for it, and from nowhere else. The chain of providers behind [`Connection::open`]
    /// (profiles, STS, metadata services) would be an eighth of the function's size.
    ///
    /// Errors: `InvalidInput` where no region is set.
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
        Connection::new(connector, builder.build(), endpoint_url).await
    }

    /// Refuses missing credentials at once, instead of at the first call.
    pub async fn check_credentials(&self) -> Result<()> {
        let missing = || {
            Error::new(
                ErrorKind::MissingCredentials,
                "credentials: no AWS credentials were found; give --profile, sign in, or set \
                 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            )
        };
        let provider = self.sdk_config.credentials_provider().ok_or_else(missing)?;
        provider
            .provide_credentials()
            .await
            .map(drop)
            .map_err(|error| missing().with_source(error))
    }

    /// What the clients of other services share with this one.
    pub fn sdk_config(&self) -> &SdkConfig {
        &self.sdk_config
    }

    /// "in region eu-west-1", or "at http://… (region …)".
    pub fn place(&self) -> &str {
        &self.place
    }

    /// True where the endpoint is this machine by its address or as localhost.
    pub fn is_local(&self) -> bool {
        self.is_local
    }
}

/// True for a URL whose host is 127.0.0.1, ::1 or localhost.
fn is_on_this_machine(url: &str) -> bool {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = after_scheme
        .split(['/', '?', '#', '\\'])
        .next()
        .unwrap_or_default();
    let host_and_port = authority.rsplit('@').next().unwrap_or_default();
    let host = match host_and_port.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next(),
        None => host_and_port.split(':').next(),
    };
    host.is_some_and(|host| {
        host == "127.0.0.1" || host == "::1" || host.eq_ignore_ascii_case("localhost")
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
