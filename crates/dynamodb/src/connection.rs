//! Where the tables are and by which credentials they are reached. One pool of connections serves a process.
//!
//! All calls of the adapter go through here, and none is made here.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials as AwsCredentials;
use aws_credential_types::attributes::AccountId;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_sdk_dynamodb::config::SharedCredentialsProvider;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_runtime_api::client::identity::Identity;
use aws_types::endpoint_config::AccountIdEndpointMode;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use backfill_core::{Error, ErrorKind, Result};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::account::Account;
use crate::address::Address;
use crate::clock::Skew;
use crate::credentials::{Finder, Source};
use crate::hosts::{
    self, CLOUDWATCH, DYNAMODB, LAMBDA, Place, STREAMS, Service, is_on_this_machine,
};
use crate::line::{CALL_TIMEOUT, CONNECT_TIMEOUT, Carrier, Line};
use crate::outage::{Calls, Outage};
use crate::signature::Signer;
use crate::trouble::{Trouble, words};

/// Time for one call if somebody waits for it.
const SHORT_CALL: Duration = Duration::from_secs(8);

/// How long somebody who waits for a command is left without a word while credentials are asked for, which may ask a person.
const CREDENTIALS_SILENCE: Duration = Duration::from_secs(3);
/// How long credentials may take at the beginning. Later ones have the time of a call.
const CREDENTIALS_PATIENCE: Duration = Duration::from_secs(30);

/// The region of a database on this machine if none is set, the one of the sandbox.
const LOCAL_REGION: &str = "us-east-1";

/// How a region is called that nobody has named.
const UNKNOWN_REGION: &str = "unknown";

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
    line: Arc<dyn Carrier>,
    sdk_config: SdkConfig,
    credentials: Mutex<Credentials>,
    /// Milliseconds by which AWS's clock is ahead of this machine's, as far as calls were refused for it.
    skew: AtomicI64,
    outage: Outage,
    /// The endpoint of [`ConnectOptions`], which is that of every service.
    given_endpoint: Option<String>,
    region: String,
    place: String,
    is_local: bool,
}

/// What the calls are made with, and where it comes from.
#[derive(Debug)]
struct Credentials {
    source: Source,
    /// What is used, until this time.
    access: Option<(Access, SystemTime)>,
    /// The number of the next access.
    next: u64,
}

/// With what, and where, DynamoDB is called.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    pub(crate) identity: Identity,
    pub(crate) signer: Arc<Signer>,
    /// DynamoDB's for the account of these credentials, with a path that ends with "/".
    pub(crate) address: Arc<Address>,
    /// Other credentials have another number.
    pub(crate) number: u64,
}

impl Connection {
    /// Loads region and credentials. Sends nothing to DynamoDB.
    ///
    /// Errors: `InvalidInput` if no region is set, or no endpoint follows from what is set.
    pub async fn open(options: &ConnectOptions) -> Result<Connection> {
        let line = Line::open()?;
        let mut options = options.clone();
        let mut sdk_config = load(&line, &options).await;
        let endpoint = endpoint_of(&sdk_config, options.endpoint_url.as_deref(), DYNAMODB.id);
        if endpoint.as_deref().is_some_and(is_on_this_machine) {
            // A database on this machine asks for neither. What is set is taken: some keep tables apart by them.
            if sdk_config.region().is_none() {
                options.region = Some(LOCAL_REGION.into());
            }
            options.local_credentials |= !has_credentials(&line, &options).await;
            sdk_config = load(&line, &options).await;
        }
        let options = &options;
        // An endpoint that is no URL is none of this machine, so that a region would be asked for, which does not help.
        check_place(&sdk_config, options.endpoint_url.as_deref())?;
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
        let again = {
            let (line, options) = (line.clone(), options.clone());
            Finder::new(move || {
                let (line, options) = (line.clone(), options.clone());
                async move { load(&line, &options).await.credentials_provider() }
            })
        };
        let given_endpoint = options.endpoint_url.clone();
        Connection::new(Arc::new(line), sdk_config, given_endpoint, Some(again)).await
    }

    /// `finder` is set if the credentials' provider can be found anew.
    pub(crate) async fn new(
        line: Arc<dyn Carrier>,
        sdk_config: SdkConfig,
        given_endpoint: Option<String>,
        finder: Option<Finder>,
    ) -> Result<Connection> {
        check_place(&sdk_config, given_endpoint.as_deref())?;
        let region = sdk_config.region().map(ToString::to_string);
        let named = region.as_deref().unwrap_or(UNKNOWN_REGION);
        let endpoint = endpoint_of(&sdk_config, given_endpoint.as_deref(), "DynamoDB");
        let place = match &endpoint {
            Some(url) => format!("at {url} (region {named})"),
            None => format!("in region {named}"),
        };
        let is_local = endpoint.as_deref().is_some_and(is_on_this_machine);
        let connection = Connection(Arc::new(Inner {
            line,
            // A function has nobody who waits for it.
            outage: Outage::new(finder.is_none()),
            credentials: Mutex::new(Credentials {
                source: Source::new(sdk_config.credentials_provider(), finder),
                access: None,
                next: 0,
            }),
            sdk_config,
            skew: AtomicI64::default(),
            given_endpoint,
            region: region.unwrap_or_default(),
            place,
            is_local,
        }));
        // The account is not known yet. What is wrong whatever it is, is said before anything is asked for.
        let any_account = AccountId::from("000000000000");
        let url = connection.url_of(&DYNAMODB, Some(&any_account)).await?;
        Line::check_proxy(&url)?;
        Ok(connection)
    }

    /// The connection of a Lambda function: region, credentials and endpoint come from the environment variables
    /// that Lambda sets for it, and from nowhere else. The chain of providers behind [`Connection::open`]
    /// (profiles, STS, metadata services) would be an eighth of the function's size.
    ///
    /// Errors: `InvalidInput` if no region is set.
    pub async fn from_environment() -> Result<Connection> {
        let line = Line::open()?;
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let switch = |name| variable(name).map(|value| value.eq_ignore_ascii_case("true"));
        let region = variable("AWS_REGION")
            .or_else(|| variable("AWS_DEFAULT_REGION"))
            .map(Region::new)
            .ok_or_else(|| Error::invalid("region", "expected an AWS region in AWS_REGION"))?;
        let mut builder = SdkConfig::builder()
            .behavior_version(behavior())
            .http_client(line.client())
            .timeout_config(timeouts())
            .stalled_stream_protection(stalled_streams())
            .retry_config(retries())
            .region(region)
            .credentials_provider(SharedCredentialsProvider::new(
                EnvironmentVariableCredentialsProvider::new(),
            ));
        builder.set_use_fips(switch("AWS_USE_FIPS_ENDPOINT"));
        builder.set_use_dual_stack(switch("AWS_USE_DUALSTACK_ENDPOINT"));
        builder.set_endpoint_url(variable("AWS_ENDPOINT_URL"));
        builder.set_service_config(Some(OfEnvironment));
        builder.set_account_id_endpoint_mode(
            variable("AWS_ACCOUNT_ID_ENDPOINT_MODE").and_then(|mode| mode.parse().ok()),
        );
        Connection::new(Arc::new(line), builder.build(), None, None).await
    }

    /// Refuses missing credentials, and those that cannot be sent, at once instead of at the first call.
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
        let access = async {
            tokio::select! {
                access = self.access() => return access,
                () = tokio::time::sleep(CREDENTIALS_SILENCE) => {}
            }
            tracing::warn!(
                "waiting for the AWS credentials; is a credential_process asking for something?"
            );
            self.access().await
        };
        let Ok(access) = tokio::time::timeout(CREDENTIALS_PATIENCE, access).await else {
            return Err(Error::new(
                ErrorKind::MissingCredentials,
                format!(
                    "credentials: whoever gives them has not done so within {} seconds; look at credential_process and at \
                     where the profile gets its role from, or give --profile",
                    CREDENTIALS_PATIENCE.as_secs()
                ),
            ));
        };
        let Err(error) = access else {
            return Ok(());
        };
        Err(match error.downcast::<Error>() {
            Ok(own) => *own,
            Err(error) => missing().with_source(words(error.as_ref())),
        })
    }

    /// What the clients of other services share with this one.
    pub fn sdk_config(&self) -> &SdkConfig {
        &self.0.sdk_config
    }

    /// "in region eu-west-1", or "at http://… (region …)".
    pub fn place(&self) -> &str {
        &self.0.place
    }

    /// The URL at which DynamoDB is called if it is not AWS's own for the region.
    pub fn endpoint(&self) -> Option<String> {
        self.endpoint_of(DYNAMODB.id)
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
        let of = |service_id| endpoint_of(sdk_config, given_endpoint.as_deref(), service_id);
        // A database that is not AWS's has the streams of its tables itself, and no command on it is to reach an account. What leads
        // to AWS's DynamoDB alone, such as an interface endpoint, does not lead to its streams.
        let of_database = || of(DYNAMODB.id).filter(|url| !hosts::is_of_aws(url));
        match service_id == STREAMS.id {
            true => of(service_id).or_else(of_database),
            false => of(service_id),
        }
    }

    /// The URL of a service, with a path that ends with "/".
    ///
    /// Errors: `InvalidInput` with what the rules for endpoints object to.
    pub(crate) async fn url_of(
        &self,
        service: &Service,
        account: Option<&AccountId>,
    ) -> Result<String> {
        let config = &self.0.sdk_config;
        let endpoint = self.endpoint_of(service.id);
        let place = Place {
            region: &self.0.region,
            fips: config.use_fips().unwrap_or(false),
            dual_stack: config.use_dual_stack().unwrap_or(false),
            endpoint: endpoint.as_deref(),
            account: account.map(AccountId::as_str),
            account_mode: self.account_mode(),
        };
        hosts::url(service, &place).await.map_err(|error| {
            let why = format!("{} cannot be reached {}", service.id, self.0.place);
            Error::invalid("endpoint-url", why).with_source(error.to_string())
        })
    }

    fn account_mode(&self) -> AccountIdEndpointMode {
        let mode = self.0.sdk_config.account_id_endpoint_mode().cloned();
        mode.unwrap_or_default()
    }

    /// The account of the credentials, as far as they tell it. Asks for them if that was not done yet.
    pub async fn account(&self) -> Option<String> {
        let access = self.access().await.ok()?;
        Account::of(&access.identity).words()
    }

    /// The region that calls are signed for.
    pub fn region(&self) -> &str {
        &self.0.region
    }

    /// What requests go by.
    pub(crate) fn line(&self) -> &dyn Carrier {
        &*self.0.line
    }

    /// The credentials, as long as they hold, and where they lead.
    pub(crate) async fn access(&self) -> std::result::Result<Access, BoxError> {
        let mut credentials = self.0.credentials.lock().await;
        let now = self.now();
        if let Some((access, _)) = credentials.access.as_ref().filter(|(_, end)| now < *end) {
            return Ok(access.clone());
        }
        let found = credentials.source.find(now).await?;
        let keys = found.identity.data::<AwsCredentials>();
        let keys = keys.ok_or("the credentials are none that a call is signed by")?;
        let url = self.url_of(&DYNAMODB, found.account.told()).await?;
        let access = Access {
            signer: Signer::new(keys.clone(), self.region()).into(),
            address: Address::of(url)?.into(),
            identity: found.identity,
            number: credentials.next,
        };
        credentials.next += 1;
        credentials.access = Some((access.clone(), found.until));
        Ok(access)
    }

    /// Asks for the credentials anew before the next call, by whatever profile and environment say then. Does nothing if
    /// others have taken the place of those of this number already.
    pub(crate) async fn forget(&self, number: u64) {
        let mut credentials = self.0.credentials.lock().await;
        let is_used = |(access, _): &(Access, SystemTime)| access.number == number;
        if !credentials.access.as_ref().is_some_and(is_used) {
            return;
        }
        credentials.access = None;
        credentials.source.distrust();
    }

    /// From now on an outage is waited out for as long as whoever calls tries again, and said: for a run that goes on. Before, a
    /// command that a person waits for ends within ten seconds if it has not been at work for longer.
    pub fn stay_patient(&self) {
        self.0.outage.stay_patient();
    }

    /// How long one call may take.
    pub(crate) fn call_timeout(&self) -> Duration {
        match self.0.outage.outlasts(CALL_TIMEOUT) {
            true => CALL_TIMEOUT,
            false => SHORT_CALL,
        }
    }

    /// The service has answered a call of this kind.
    pub(crate) fn is_answered(&self, calls: Calls) {
        self.0.outage.ended(calls);
    }

    /// A call of this kind that began at this time has met with trouble: what to tell, and whether to try again.
    pub(crate) fn troubled(&self, calls: Calls, begin: Instant, trouble: Trouble) -> Error {
        let kind = match self.0.outage.is_given_up(calls, begin, &trouble) {
            true => ErrorKind::Unreachable,
            false => ErrorKind::Unavailable,
        };
        let kind = trouble.kind().unwrap_or(kind);
        Error::new(kind, trouble.to_string()).with_source(trouble)
    }

    /// AWS's time, as far as it is known.
    pub(crate) fn now(&self) -> SystemTime {
        let skew = Skew::of_milliseconds(self.0.skew.load(Ordering::Relaxed));
        skew.apply(SystemTime::now())
    }

    /// From now on calls are signed by a clock that is so far from this machine's. True if it was another before.
    pub(crate) fn correct_clock(&self, skew: Skew) -> bool {
        let before = self.0.skew.swap(skew.milliseconds(), Ordering::Relaxed);
        // The date of an answer has no fractions of a second.
        before.abs_diff(skew.milliseconds()) > 2_000
    }
}

/// What environment and profile say, and the options in place of that.
async fn load(line: &Line, options: &ConnectOptions) -> SdkConfig {
    let mut loader = aws_config::defaults(behavior())
        .http_client(line.client())
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
        let credentials = AwsCredentials::new("local", "local", None, None, "local");
        loader = loader.credentials_provider(SharedCredentialsProvider::new(credentials));
    }
    loader.load().await
}

/// True if environment or profile give credentials by themselves, or name somebody who does. The services of AWS that know those of
/// a machine are not asked.
async fn has_credentials(line: &Line, options: &ConnectOptions) -> bool {
    let elsewhere = [
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ];
    if elsewhere
        .iter()
        .any(|name| std::env::var_os(name).is_some())
    {
        return true;
    }
    let of_environment = EnvironmentVariableCredentialsProvider::new();
    if options.profile.is_none() && of_environment.provide_credentials().await.is_ok() {
        return true;
    }
    let providers = ProviderConfig::without_region().with_http_client(line.client());
    let mut of_profile = ProfileFileCredentialsProvider::builder().configure(&providers);
    if let Some(profile) = &options.profile {
        of_profile = of_profile.profile_name(profile);
    }
    let of_profile = of_profile.build();
    let given = tokio::time::timeout(CREDENTIALS_PATIENCE, of_profile.provide_credentials());
    given.await.is_ok_and(|given| given.is_ok())
}

/// What the environment says of one service, such as `AWS_ENDPOINT_URL_LAMBDA`, and nothing else does.
#[derive(Debug)]
struct OfEnvironment;

impl LoadServiceConfig for OfEnvironment {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().replace(' ', "_").to_uppercase();
        let value = std::env::var(format!("{}_{service}", key.env())).ok();
        value.filter(|value| !value.is_empty())
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

/// Services whose endpoints environment and profile may name: those that are called, and those that credentials come from.
const SERVICES: [&str; 8] = [
    DYNAMODB.id,
    STREAMS.id,
    "SFN",
    CLOUDWATCH.id,
    LAMBDA.id,
    "STS",
    "SSO",
    "SSO OIDC",
];

/// Refuses an endpoint that is no URL, whichever service it is for, and a region that is no part of a host's name.
///
/// Errors: `InvalidInput` that begins with the flag or the variable.
fn check_place(config: &SdkConfig, given: Option<&str>) -> Result<()> {
    for service_id in SERVICES {
        let Some(url) = endpoint_of(config, given, service_id) else {
            continue;
        };
        let of_service = format!(
            "AWS_ENDPOINT_URL_{}",
            service_id.replace(' ', "_").to_uppercase()
        );
        let variables = [of_service.as_str(), "AWS_ENDPOINT_URL"];
        let set = |name: &&str| std::env::var(name).is_ok_and(|value| value == url);
        let said_by = match given {
            Some(_) => "endpoint-url",
            None => variables.into_iter().find(set).unwrap_or("endpoint_url"),
        };
        hosts::check_endpoint(said_by, &url)?;
    }
    let region = config.region().map(AsRef::as_ref);
    hosts::check_region(region.unwrap_or(UNKNOWN_REGION))
}

fn behavior() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
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
