//! At which URL a service is reached. One function decides for every service, partition, account, and for FIPS and dual-stack
//! hosts, by the rules that AWS publishes for its SDKs.
//!
//! DynamoDB's are those of the SDK itself. Those of the other services that are called without an SDK of their own are all alike,
//! but for DynamoDB's streams, and their partitions stand here. The table beside this file holds all of them.

use std::net::IpAddr;

use aws_sdk_dynamodb::config::endpoint::{DefaultResolver, Params, ResolveEndpoint as _};
use aws_sdk_dynamodb::error::BoxError;
use aws_types::endpoint_config::AccountIdEndpointMode;
use backfill_core::Error;
use http::Uri;

/// A service of AWS.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// Its id in configuration files, as in "CloudWatch".
    pub id: &'static str,
    /// The name by which calls are signed, which begins the name of its host as well: "monitoring".
    pub signing_name: &'static str,
    /// What stands before the operation in `x-amz-target`; empty if calls are told apart by their paths.
    pub target: &'static str,
}

pub(crate) const DYNAMODB: Service = Service {
    id: "DynamoDB",
    signing_name: "dynamodb",
    target: "DynamoDB_20120810",
};

/// DynamoDB Streams, whose calls are signed as DynamoDB's are (botocore, dynamodbstreams/2012-08-10).
pub const STREAMS: Service = Service {
    id: "DynamoDB Streams",
    signing_name: "dynamodb",
    target: "DynamoDBStreams_20120810",
};

/// Amazon CloudWatch. Its model names three protocols, of which one is AWS JSON 1.0, with this prefix (botocore,
/// cloudwatch/2010-08-01).
pub const CLOUDWATCH: Service = Service {
    id: "CloudWatch",
    signing_name: "monitoring",
    target: "GraniteServiceVersion20100801",
};

/// AWS Lambda, whose calls are told apart by method and path.
pub const LAMBDA: Service = Service {
    id: "Lambda",
    signing_name: "lambda",
    target: "",
};

/// Amazon SQS, by AWS JSON 1.0 (botocore, sqs/2012-11-05).
pub const SQS: Service = Service {
    id: "SQS",
    signing_name: "sqs",
    target: "AmazonSQS",
};

/// What decides at which host a service is reached.
#[derive(Debug, Clone)]
pub(crate) struct Place<'a> {
    pub region: &'a str,
    pub fips: bool,
    pub dual_stack: bool,
    /// The endpoint that options, environment or profile name, in the place of the rules.
    pub endpoint: Option<&'a str>,
    /// The account of the credentials, if they tell it.
    pub account: Option<&'a str>,
    /// Whether the account is to be part of the host's name, for services that have such hosts.
    pub account_mode: AccountIdEndpointMode,
}

/// A set of regions that share names of hosts.
struct Partition {
    /// How the names of its regions begin.
    regions: &'static str,
    suffix: &'static str,
    dual_stack_suffix: &'static str,
}

const AWS: Partition = partition("", "amazonaws.com", "api.aws");

/// The partitions beside the one of most regions. An unknown region belongs to that one, as for the SDKs.
const PARTITIONS: [Partition; 7] = [
    partition("cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
    partition(GOV, "amazonaws.com", "api.aws"),
    partition("us-iso-", "c2s.ic.gov", "api.aws.ic.gov"),
    partition("us-isob-", "sc2s.sgov.gov", "api.aws.scloud"),
    partition("eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
    partition("us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
    partition("eusc-", "amazonaws.eu", "api.amazonwebservices.eu"),
];

const GOV: &str = "us-gov-";

/// The partitions in which streams have hosts by account, by how the names of their regions begin.
const ACCOUNT_PARTITIONS: [&str; 3] = [AWS.regions, "cn-", GOV];

const fn partition(
    regions: &'static str,
    suffix: &'static str,
    dual_stack_suffix: &'static str,
) -> Partition {
    Partition {
        regions,
        suffix,
        dual_stack_suffix,
    }
}

/// The URL of a service, with a path that ends with "/".
///
/// Errors: what the rules object to, such as a custom endpoint together with FIPS, or a host by account if the account is not
/// known.
pub(crate) async fn url(service: &Service, place: &Place<'_>) -> Result<String, BoxError> {
    let url = match place.endpoint {
        _ if service.id == DYNAMODB.id => by_the_sdk(place).await?,
        Some(endpoint) => given(endpoint, place)?,
        None if service.id == STREAMS.id => of_streams(place)?,
        None => by_region(service, place),
    };
    Ok(format!("{}/", url.strip_suffix('/').unwrap_or(&url)))
}

async fn by_the_sdk(place: &Place<'_>) -> Result<String, BoxError> {
    let params = Params::builder()
        .region(place.region)
        .use_fips(place.fips)
        .use_dual_stack(place.dual_stack)
        .set_endpoint(place.endpoint.map(str::to_owned))
        .set_account_id(place.account.map(str::to_owned))
        .account_id_endpoint_mode(place.account_mode.to_string())
        .build()?;
    let endpoint = DefaultResolver::new().resolve_endpoint(&params).await?;
    Ok(endpoint.url().to_owned())
}

/// A custom endpoint, refused as the SDKs refuse it, since it need not be what the other settings ask for.
fn given(endpoint: &str, place: &Place<'_>) -> Result<String, BoxError> {
    for (asked, what) in [(place.fips, "FIPS"), (place.dual_stack, "dual-stack")] {
        if asked {
            let why = format!("a custom endpoint cannot be combined with {what}: {endpoint}");
            return Err(why.into());
        }
    }
    Ok(endpoint.to_owned())
}

fn partition_of(region: &str) -> &'static Partition {
    let of_region = |partition: &&Partition| region.starts_with(partition.regions);
    PARTITIONS.iter().find(of_region).unwrap_or(&AWS)
}

/// The host of a table's streams, by account if that is known and allowed (botocore, dynamodbstreams, endpoint-rule-set-1).
fn of_streams(place: &Place<'_>) -> Result<String, BoxError> {
    let partition = partition_of(place.region);
    let suffix = match place.dual_stack {
        true => partition.dual_stack_suffix,
        false => partition.suffix,
    };
    let has_accounts = ACCOUNT_PARTITIONS.contains(&partition.regions);
    let account = match place.account_mode {
        AccountIdEndpointMode::Disabled => None,
        _ => place.account.filter(|_| has_accounts),
    };
    let is_required = matches!(place.account_mode, AccountIdEndpointMode::Required);
    let fips = |is_fips: bool| if is_fips { "-fips" } else { "" };
    let name = match account {
        None if is_required => {
            return Err("a host by account is required, and the account is not known".into());
        }
        Some(account) => format!("{account}.streams-ddb{}", fips(place.fips)),
        None if place.dual_stack => format!("streams-dynamodb{}", fips(place.fips)),
        // GovCloud's hosts are FIPS's by their usual names.
        None => format!(
            "streams.dynamodb{}",
            fips(place.fips && partition.regions != GOV)
        ),
    };
    Ok(format!("https://{name}.{}.{suffix}", place.region))
}

fn by_region(service: &Service, place: &Place<'_>) -> String {
    let (name, region) = (service.signing_name, place.region);
    let partition = partition_of(region);
    // In GovCloud the hosts of CloudWatch are FIPS's by their usual names, and so are those of SQS but for dual-stack.
    let is_fips_anyway = partition.regions == GOV
        && (name == CLOUDWATCH.signing_name || name == SQS.signing_name && !place.dual_stack);
    let fips = match place.fips && !is_fips_anyway {
        true => "-fips",
        false => "",
    };
    let suffix = match place.dual_stack {
        true => partition.dual_stack_suffix,
        false => partition.suffix,
    };
    format!("https://{name}{fips}.{region}.{suffix}")
}

/// True for a URL whose host is 127.0.0.1, ::1 or localhost. The parser is the one by which connections are made.
pub(crate) fn is_on_this_machine(url: &str) -> bool {
    let uri = url.parse::<Uri>().ok();
    uri.as_ref().and_then(Uri::host).is_some_and(|host| {
        host == "127.0.0.1" || host == "[::1]" || host.eq_ignore_ascii_case("localhost")
    })
}

/// True for a URL whose host is one of AWS's own, such as that of an interface endpoint for DynamoDB alone.
pub(crate) fn is_of_aws(url: &str) -> bool {
    let uri = url.parse::<Uri>().ok();
    let host = uri.as_ref().and_then(Uri::host);
    let host = host.unwrap_or_default().to_ascii_lowercase();
    std::iter::once(&AWS).chain(&PARTITIONS).any(|partition| {
        [partition.suffix, partition.dual_stack_suffix]
            .iter()
            .any(|suffix| {
                host.strip_suffix(suffix)
                    .is_some_and(|rest| rest.ends_with('.'))
            })
    })
}

/// True for a host that no proxy leads to: this machine, and the addresses at which a machine of AWS is given its credentials.
pub(crate) fn is_near(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
        Ok(IpAddr::V6(address)) => {
            address.is_loopback()
                || address.is_unicast_link_local()
                || address.segments()[..2] == [0xfd00, 0xec2]
        }
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// Refuses what is no URL of a server. `said_by` is the flag or the variable that says it.
///
/// Errors: `InvalidInput`.
pub(crate) fn check_endpoint(said_by: &str, url: &str) -> backfill_core::Result<()> {
    let uri = url.parse::<Uri>().ok();
    let is_url = uri.is_some_and(|uri| {
        let scheme = uri.scheme_str();
        let port = uri.authority().map(|authority| authority.as_str());
        // A port that is no number is no port for the parser, and would be left out.
        let has_odd_port = port.is_some_and(|text| {
            let behind = text.rsplit(']').next().unwrap_or(text);
            behind.contains(':') && uri.port_u16().is_none()
        });
        matches!(scheme, Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.query().is_none()
            && !has_odd_port
    });
    if is_url && !url.contains('@') {
        return Ok(());
    }
    let found = match url {
        "" => "nothing".to_owned(),
        // A password is nobody's to read.
        _ if url.contains('@') => "one with a user".to_owned(),
        url => format!("{url:?}"),
    };
    let example = "the URL of a server, such as http://127.0.0.1:8000";
    Err(Error::invalid(
        said_by,
        format!(
            "expected {example}, got {found}; leave it out, or unset the variable, to call AWS"
        ),
    ))
}

/// Refuses a region that could not be part of a host's name.
///
/// Errors: `InvalidInput`.
pub(crate) fn check_region(region: &str) -> backfill_core::Result<()> {
    let is_label = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if !region.is_empty() && region.len() <= 63 && region.chars().all(is_label) {
        return Ok(());
    }
    Err(Error::invalid(
        "region",
        format!("expected an AWS region such as eu-west-1, got {region:?}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_host_of_aws_is_told_by_its_end() {
        for host in [
            "https://vpce-1.dynamodb.eu-west-1.vpce.amazonaws.com",
            "https://dynamodb.cn-north-1.AMAZONAWS.com.cn/",
            "https://dynamodb.eu-west-1.api.aws",
        ] {
            assert!(is_of_aws(host), "{host}");
        }
        for other in [
            "http://dynamodb:8000",
            "http://amazonaws.com.example.com",
            "http://notamazonaws.com",
            "",
        ] {
            assert!(!is_of_aws(other), "{other}");
        }
    }

    #[test]
    fn no_proxy_leads_to_what_is_near() {
        for near in [
            "localhost",
            "127.0.0.1",
            "127.1.2.3",
            "[::1]",
            "169.254.169.254",
            "169.254.170.2",
            "[fd00:ec2::254]",
        ] {
            assert!(is_near(near), "{near}");
        }
        for far in [
            "dynamodb.eu-west-1.amazonaws.com",
            "10.0.0.1",
            "[fd00::1]",
            "",
        ] {
            assert!(!is_near(far), "{far}");
        }
    }

    #[test]
    fn an_endpoint_is_the_url_of_a_server_and_a_region_part_of_a_name() {
        for url in [
            "http://127.0.0.1:8000",
            "https://vpce-1.dynamodb.eu-west-1.vpce.amazonaws.com/",
            "http://[::1]:8000",
            "HTTP://LOCALHOST/db",
        ] {
            check_endpoint("endpoint-url", url).unwrap();
        }
        for url in [
            "",
            " ",
            "127.0.0.1:8000",
            "localhost:8000",
            "localhost",
            "/db",
            "http://",
            "http:// a",
            "ftp://localhost",
            "unix:///tmp/socket",
            "http://localhost:99999",
            "http://localhost:port",
            "http://localhost/?a=b",
            "http://user:password@localhost",
        ] {
            let error = check_endpoint("endpoint-url", url).unwrap_err().to_string();
            assert!(
                error.starts_with("endpoint-url: expected"),
                "{url}: {error}"
            );
            assert!(!error.contains("password"), "{error}");
        }
        for region in ["eu-west-1", "local", "USA"] {
            check_region(region).unwrap();
        }
        for region in ["", " ", "eu-west-1\n", "eu west", "../x", "a.b"] {
            let error = check_region(region).unwrap_err().to_string();
            assert!(error.starts_with("region: expected"), "{region}: {error}");
        }
    }

    /// The table is what botocore's rules say (from_botocore.py beside it): every partition, FIPS, dual-stack, account.
    #[tokio::test]
    async fn every_service_has_the_host_that_aws_gives_it() {
        let mut rows = 0;
        for row in include_str!("hosts/table.txt").lines() {
            if row.starts_with('#') {
                continue;
            }
            let words: Vec<&str> = row.split(' ').collect();
            let [name, region, fips, dual_stack, account, mode, expected] = words[..] else {
                panic!("{row}");
            };
            let service = match name {
                "dynamodb" => DYNAMODB,
                "dynamodbstreams" => STREAMS,
                "cloudwatch" => CLOUDWATCH,
                "lambda" => LAMBDA,
                "sqs" => SQS,
                _ => panic!("{row}"),
            };
            let place = Place {
                region,
                fips: fips == "yes",
                dual_stack: dual_stack == "yes",
                endpoint: None,
                account: (account != "-").then_some(account),
                account_mode: mode.parse().unwrap_or_default(),
            };
            let url = url(&service, &place).await;
            let expected = match expected {
                "refused" => None,
                host => Some(format!("https://{host}/")),
            };
            assert_eq!(url.ok(), expected, "{row}");
            rows += 1;
        }
        assert_eq!(rows, 624);
    }

    #[tokio::test]
    async fn an_endpoint_that_is_named_is_that_of_every_service_and_goes_with_nothing_else() {
        let place = Place {
            region: "eu-west-1",
            fips: false,
            dual_stack: false,
            endpoint: Some("http://127.0.0.1:8000"),
            account: Some("111122223333"),
            account_mode: AccountIdEndpointMode::Preferred,
        };
        for service in [DYNAMODB, STREAMS, CLOUDWATCH, LAMBDA, SQS] {
            let reached = url(&service, &place).await;
            assert_eq!(reached.unwrap(), "http://127.0.0.1:8000/");
            for (fips, dual_stack, what) in [(true, false, "fips"), (false, true, "dual")] {
                let place = Place {
                    fips,
                    dual_stack,
                    ..place.clone()
                };
                let why = url(&service, &place).await.unwrap_err();
                assert!(format!("{why:?}").to_lowercase().contains(what), "{why:?}");
            }
        }
    }
}
