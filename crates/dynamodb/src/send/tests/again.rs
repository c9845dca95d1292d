//! Credentials and clock, as answers put them right: refused ones are mended and the call sent once more; the account of the
//! credentials is part of the host.

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use aws_types::endpoint_config::AccountIdEndpointMode;

use super::*;

/// Answers each request by its turn, the last answer over and over.
#[derive(Debug, Clone)]
struct Script {
    answers: Vec<Answer>,
    requests: Arc<Mutex<Vec<Request>>>,
}

#[derive(Debug, Clone)]
enum Answer {
    Done,
    Refused(&'static str, &'static str),
    /// Refuses signatures of another time than that of a clock so many seconds ahead of this machine's, and says its date.
    Clock(i64),
}

/// As DynamoDB words it (aws-sdk-java#1764, and for a clock that is ahead aws-sdk-js#2565).
const EXPIRED: &str = "Signature expired: 20180920T174101Z is now earlier than 20180920T174504Z (20180920T175004Z - 5 min.)";

impl Answers for Script {
    fn answer(&self, request: Request) -> HttpResponse {
        let mut requests = self.requests.lock().unwrap();
        let nth = requests.len().min(self.answers.len() - 1);
        let signed_at = request.headers().get("x-amz-date").unwrap().to_owned();
        requests.push(request);
        let refused = |code, message| {
            let body =
                format!(r#"{{"__type":"com.amazon.coral.service#{code}","message":"{message}"}}"#);
            HttpResponse::new(StatusCode::try_from(400).unwrap(), SdkBody::from(body))
        };
        let done = || HttpResponse::new(StatusCode::try_from(200).unwrap(), SdkBody::from("{}"));
        match self.answers[nth] {
            Answer::Done => done(),
            Answer::Refused(code, message) => refused(code, message),
            Answer::Clock(ahead) => {
                let now = DateTime::from(SystemTime::now()).secs() + ahead;
                let signed_at = DateTime::from_str(&iso(&signed_at), Format::DateTime).unwrap();
                let mut response = match signed_at.secs().abs_diff(now) < 300 {
                    true => done(),
                    false => refused("InvalidSignatureException", EXPIRED),
                };
                let date = DateTime::from_secs(now).fmt(Format::HttpDate).unwrap();
                response.headers_mut().insert("date", date);
                response
            }
        }
    }
}

/// 20180920T174101Z, with what is left out.
fn iso(basic: &str) -> String {
    let part = |range: std::ops::Range<usize>| &basic[range];
    format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0..4),
        part(4..6),
        part(6..8),
        part(9..11),
        part(11..13),
        part(13..15)
    )
}

/// A sender of these answers, whose credentials are KEY1, KEY2, …, and the requests it sends.
async fn scripted(answers: &[Answer]) -> (Sender, Arc<Mutex<Vec<Request>>>) {
    let requests = Arc::<Mutex<Vec<Request>>>::default();
    let script = Script {
        answers: answers.to_vec(),
        requests: requests.clone(),
    };
    // Longer than any clock here is wrong.
    let valid_for = Duration::from_secs(30 * 86_400);
    (sender_by(script, valid_for, None).await, requests)
}

/// The key of each request.
fn keys(requests: &Mutex<Vec<Request>>) -> Vec<String> {
    let requests = requests.lock().unwrap();
    let key = |request: &Request| {
        let signed = request.headers().get("authorization").unwrap();
        let (_, from) = signed.split_once("Credential=").unwrap();
        from.split('/').next().unwrap().to_owned()
    };
    requests.iter().map(key).collect()
}

#[tokio::test]
async fn expired_credentials_are_renewed_and_the_call_is_sent_once_more() {
    for code in ["ExpiredTokenException", "UnrecognizedClientException"] {
        let refused = Answer::Refused(
            code,
            "The security token included in the request is expired",
        );
        let (sender, requests) = scripted(&[Answer::Done, refused.clone(), Answer::Done]).await;
        for _ in 0..3 {
            sender.call(&Ask { limit: 1 }).await.unwrap();
        }
        // The second call is sent again as it was; what is new then is used from then on.
        assert_eq!(keys(&requests), ["KEY1", "KEY1", "KEY2", "KEY2"]);
        let is_whole = |sent: &Request| sent.body().bytes() == Some(br#"{"Limit":1}"#);
        assert!(requests.lock().unwrap().iter().all(is_whole));
        let (sender, requests) = scripted(&[refused]).await;
        let error = sender.call(&Ask { limit: 1 }).await.unwrap_err();
        assert_eq!(keys(&requests), ["KEY1", "KEY2"], "once more, not for ever");
        let error = failure("scanning table stuff", error);
        assert_eq!(error.kind(), ErrorKind::MissingCredentials);
        assert!(error.to_string().contains("sign in again"), "{error}");
    }
}

/// Calls of one moment meet with the same expired token: the first to notice renews it for all of them.
#[tokio::test]
async fn credentials_are_renewed_once_for_all_that_were_refused() {
    let (sender, _) = scripted(&[Answer::Done]).await;
    let connection = &sender.connection;
    let first = connection.access().await.unwrap();
    connection.forget(first.number).await;
    let second = connection.access().await.unwrap();
    connection.forget(first.number).await;
    let third = connection.access().await.unwrap();
    assert_eq!((first.number, second.number, third.number), (0, 1, 1));
}

/// Whoever signs in writes the credentials in the same moment, or a little later: that passes. If there never were any, it does not.
#[tokio::test]
async fn credentials_that_are_missing_for_a_moment_are_asked_for_again() {
    for (there_before, kind) in [
        (true, ErrorKind::Unavailable),
        (false, ErrorKind::MissingCredentials),
    ] {
        let asked = Arc::new(AtomicU32::new(0));
        let credentials = provide_credentials_fn(move || {
            let nth = asked.fetch_add(1, Ordering::Relaxed);
            let is_there = nth > 1 || (nth == 0 && there_before);
            async move {
                match is_there {
                    true => Ok(Credentials::new("KEY", "secret", None, None, "test")),
                    false => Err(CredentialsError::not_loaded("half a file")),
                }
            }
        });
        let config = SdkConfig::builder()
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build();
        let refused = Answer::Refused("ExpiredTokenException", "expired");
        let script = Script {
            answers: vec![refused, Answer::Done],
            requests: Arc::default(),
        };
        let connection = Connection::new(Arc::new(By(script)), config, None, None).await;
        let sender = Sender::new(&connection.unwrap());
        let error = sender.call(&Ask { limit: 1 }).await.unwrap_err();
        assert_eq!(failure("scanning table stuff", error).kind(), kind);
        if there_before {
            sender.call(&Ask { limit: 1 }).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_call_that_is_refused_for_other_reasons_is_sent_once() {
    for code in [
        "ValidationException",
        "AccessDeniedException",
        "InvalidSignatureException",
    ] {
        let (sender, requests) = scripted(&[Answer::Refused(code, "no")]).await;
        sender.call(&Ask { limit: 1 }).await.unwrap_err();
        assert_eq!(keys(&requests), ["KEY1"], "{code}");
    }
}

/// A clock that is wrong by 17 minutes or 3 days, either way: the service's time is taken, and kept.
#[tokio::test]
async fn a_wrong_clock_is_corrected_by_the_service_s() {
    for ahead in [1_020, -1_020, 259_200, -259_200] {
        let (sender, requests) = scripted(&[Answer::Clock(ahead)]).await;
        for _ in 0..2 {
            sender.call(&Ask { limit: 1 }).await.unwrap();
        }
        assert_eq!(
            keys(&requests),
            ["KEY1"; 3],
            "{ahead}: refused, corrected, kept"
        );
    }
}

/// A function that stood still between the signature and the sending signs anew.
#[tokio::test]
async fn a_signature_that_came_late_is_made_anew() {
    let late = Answer::Refused("InvalidSignatureException", EXPIRED);
    let (sender, requests) = scripted(&[late, Answer::Done]).await;
    sender.call(&Ask { limit: 1 }).await.unwrap();
    assert_eq!(keys(&requests).len(), 2);
}

#[tokio::test]
async fn a_clock_that_cannot_be_corrected_is_called_wrong() {
    // Whatever it is corrected to, it is an hour more.
    let moving: Vec<Answer> = (1..3).map(|hour| Answer::Clock(3_600 * hour)).collect();
    let (sender, requests) = scripted(&moving).await;
    let error = sender.call(&Ask { limit: 1 }).await.unwrap_err();
    assert_eq!(keys(&requests).len(), 2);
    let said = failure("scanning table stuff", error).to_string();
    assert!(
        said.contains("the clock of this machine is 2 hours behind AWS's: set it"),
        "{said}"
    );
    assert!(!said.contains("sign in"), "{said}");
    // A proxy has taken away the date.
    let (sender, _) = scripted(&[Answer::Refused("InvalidSignatureException", EXPIRED)]).await;
    let error = sender.call(&Ask { limit: 1 }).await.unwrap_err();
    let said = failure("scanning table stuff", error).to_string();
    assert!(said.contains("check the clock of this machine"), "{said}");
    assert!(!said.contains("sign in"), "{said}");
}

/// Where a call goes by credentials of these accounts, one after the other.
async fn hosts(
    accounts: &'static [Option<&'static str>],
    config: SdkConfig,
) -> Result<Vec<String>, SdkError> {
    let requests = Arc::<Mutex<Vec<Request>>>::default();
    let refused = Answer::Refused("ExpiredTokenException", "expired");
    let script = Script {
        answers: vec![refused, Answer::Done],
        requests: requests.clone(),
    };
    let given_out = Arc::new(AtomicU32::new(0));
    let credentials = provide_credentials_fn(move || {
        let nth = given_out.fetch_add(1, Ordering::Relaxed) as usize;
        let mut credentials = Credentials::builder()
            .access_key_id("KEY")
            .secret_access_key("secret")
            .provider_name("test");
        credentials.set_account_id(accounts[nth].map(Into::into));
        let credentials = credentials.build();
        async move { Ok(credentials) }
    });
    let config = config
        .into_builder()
        .region(Region::new("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    let connection = Connection::new(Arc::new(By(script)), config, None, None).await;
    let sender = Sender::new(&connection.unwrap());
    sender.call(&Ask { limit: 1 }).await?;
    let requests = requests.lock().unwrap();
    Ok(requests.iter().map(|sent| sent.uri().to_owned()).collect())
}

#[tokio::test]
async fn the_account_of_the_credentials_is_part_of_the_host() {
    const REGIONAL: &str = "https://dynamodb.eu-west-1.amazonaws.com/";
    const ONE: &str = "https://111111111111.ddb.eu-west-1.amazonaws.com/";
    const TWO: &str = "https://222222222222.ddb.eu-west-1.amazonaws.com/";
    let config = || SdkConfig::builder().build();
    let both = hosts(&[Some("111111111111"); 2], config()).await;
    assert_eq!(both.unwrap(), [ONE, ONE]);
    let learned = hosts(&[None, Some("222222222222")], config()).await;
    assert_eq!(learned.unwrap(), [REGIONAL, TWO]);
    let fips = SdkConfig::builder().use_fips(true).build();
    let fips = hosts(&[Some("111111111111"); 2], fips).await;
    let of_fips = "https://dynamodb-fips.eu-west-1.amazonaws.com/";
    assert_eq!(fips.unwrap(), [of_fips, of_fips]);
    let mode = |mode| SdkConfig::builder().account_id_endpoint_mode(mode).build();
    let disabled = mode(AccountIdEndpointMode::Disabled);
    let disabled = hosts(&[Some("111111111111"); 2], disabled).await;
    assert_eq!(disabled.unwrap(), [REGIONAL, REGIONAL]);
    let required = hosts(&[None; 2], mode(AccountIdEndpointMode::Required)).await;
    let error = failure("scanning table stuff", required.unwrap_err());
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let said = error.to_string();
    assert!(said.contains("AccountIdEndpointMode is required"), "{said}");
}

/// Whoever signs in to another account in the middle of a run does not make it go on there, in a table of the same name: nothing
/// is sent with such credentials, whether their provider tells the account or the id of the key does.
#[tokio::test]
async fn credentials_of_another_account_do_not_take_the_place_of_others() {
    let key = |id: &str, account: Option<&str>| {
        let mut credentials = Credentials::builder()
            .access_key_id(id)
            .secret_access_key("secret")
            .provider_name("test");
        credentials.set_account_id(account.map(Into::into));
        credentials.build()
    };
    let (one, two) = ("ASIAQNZGKIQY56JQ7WML", "ASIAY34FZKBOKMUTVV7A");
    for (first, second, said) in [
        (
            key("KEY1", Some("111111111111")),
            key("KEY2", Some("222222222222")),
            "of account 222222222222, and this began with those of account 111111111111",
        ),
        (
            key(one, None),
            key(two, None),
            "of account 609629065308, and this began with those of account 029608264753",
        ),
    ] {
        let asked = AtomicU32::new(0);
        let credentials = provide_credentials_fn(move || {
            let is_first = asked.fetch_add(1, Ordering::Relaxed) == 0;
            let given = if is_first { &first } else { &second }.clone();
            async move { Ok(given) }
        });
        let config = SdkConfig::builder()
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build();
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let script = Script {
            answers: vec![
                Answer::Refused("ExpiredTokenException", "expired"),
                Answer::Done,
            ],
            requests: requests.clone(),
        };
        let connection = Connection::new(Arc::new(By(script)), config, None, None).await;
        let sender = Sender::new(&connection.unwrap());
        for _ in 0..2 {
            let error = sender.call(&Ask { limit: 1 }).await.unwrap_err();
            let error = failure("scanning table stuff", error);
            assert_eq!(error.kind(), ErrorKind::MissingCredentials);
            assert!(error.report().contains(said), "{}", error.report());
        }
        assert_eq!(
            keys(&requests).len(),
            1,
            "nothing goes to the other account"
        );
    }
}
