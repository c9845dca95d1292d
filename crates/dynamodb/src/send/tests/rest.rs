//! What is asked and changed over REST: event source mappings.

use super::*;
use crate::calls::{
    get_event_source_mapping, get_function_environment, list_event_source_mappings,
    switch_event_source_mapping,
};

const STREAM: &str = "arn:aws:dynamodb:eu-west-1:1:table/orders/stream/2026-11-22T00:00:00.000";

/// Answers each request by its turn with status and body, the last over and over, and keeps the requests.
#[derive(Debug)]
struct Turns {
    answers: Vec<(u16, &'static str)>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Answers for Turns {
    fn answer(&self, request: Request) -> HttpResponse {
        let mut requests = self.requests.lock().unwrap();
        let (status, body) = self.answers[requests.len().min(self.answers.len() - 1)];
        requests.push(request);
        let mut response =
            HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body));
        if status == 404 {
            let headers = response.headers_mut();
            headers.insert("x-amzn-errortype", "ResourceNotFoundException");
        }
        response
    }
}

async fn lambda(answers: &[(u16, &'static str)]) -> (Sender, Arc<Mutex<Vec<Request>>>) {
    let requests = Arc::<Mutex<Vec<Request>>>::default();
    let turns = Turns {
        answers: answers.to_vec(),
        requests: requests.clone(),
    };
    let dynamodb = sender_by(turns, Duration::from_secs(3_600), None).await;
    let lambda = Sender::to(&dynamodb.connection, LAMBDA).await;
    (lambda.unwrap().unwrap(), requests)
}

#[tokio::test]
async fn mappings_are_listed_page_by_page() {
    let first = r#"{"NextMarker":"a/+=","EventSourceMappings":[{"UUID":"1","State":"Enabled","BatchSize":100,
        "EventSourceArn":"arn:s","FunctionArn":"arn:f","StartingPosition":"TRIM_HORIZON","LastModified":1.7638E9}]}"#;
    let last = r#"{"NextMarker":null,"EventSourceMappings":[{"UUID":"2","State":"Disabled"}]}"#;
    let (lambda, requests) = lambda(&[(200, first), (200, last)]).await;
    let mappings = list_event_source_mappings(&ReadSender::from(&lambda), STREAM).await;
    let mappings = mappings.unwrap();
    let uris: Vec<String> = requests
        .lock()
        .unwrap()
        .iter()
        .map(|r| r.uri().to_owned())
        .collect();
    let url = "https://lambda.eu-west-1.amazonaws.com/2015-03-31/event-source-mappings?EventSourceArn=\
               arn%3Aaws%3Adynamodb%3Aeu-west-1%3A1%3Atable%2Forders%2Fstream%2F2026-11-22T00%3A00%3A00.000";
    assert_eq!(uris, [url.to_owned(), format!("{url}&Marker=a%2F%2B%3D")]);
    assert_eq!(mappings.len(), 2);
    let one = &mappings[0];
    assert!(one.is_on() && !mappings[1].is_on());
    assert_eq!(one.number("BatchSize"), Some(100));
    assert_eq!(one.text("StartingPosition"), Some("TRIM_HORIZON"));
    assert_eq!(one.last_modified_ms(), Some(1_763_800_000_000));
    assert_eq!(
        (&*one.event_source_arn, &*one.function_arn),
        ("arn:s", "arn:f")
    );
}

#[tokio::test]
async fn pages_that_do_not_go_on_are_no_list() {
    let (lambda, _) = lambda(&[(200, r#"{"NextMarker":"a","EventSourceMappings":[]}"#)]).await;
    let listed = list_event_source_mappings(&ReadSender::from(&lambda), STREAM).await;
    let said = failure("listing", listed.unwrap_err()).report();
    assert!(said.contains("do not go on"), "{said}");
}

#[tokio::test]
async fn the_environment_of_a_function_is_that_of_the_alias_that_is_named() {
    let arn = "arn:aws:lambda:eu-west-1:1:function:orders-guard";
    let told =
        r#"{"FunctionName":"orders-guard","Environment":{"Variables":{"TABLE_NAME":"orders"}}}"#;
    let hidden =
        r#"{"Environment":{"Error":{"ErrorCode":"KMSAccessDeniedException","Message":"no"}}}"#;
    let (lambda, requests) = lambda(&[(200, told), (200, hidden), (200, "{}")]).await;
    let reader = ReadSender::from(&lambda);
    let live = format!("{arn}:live");
    let found = get_function_environment(&reader, &live).await.unwrap();
    assert_eq!(found.unwrap()["TABLE_NAME"], "orders");
    for arn in [&live, arn] {
        let found = get_function_environment(&reader, arn).await.unwrap();
        assert_eq!(found, None);
    }
    let requests = requests.lock().unwrap();
    let uris: Vec<&str> = requests.iter().map(|request| request.uri()).collect();
    let url =
        "https://lambda.eu-west-1.amazonaws.com/2015-03-31/functions/orders-guard/configuration";
    let of_alias = format!("{url}?Qualifier=live");
    assert_eq!(uris, [&of_alias, &of_alias, url]);
}

#[tokio::test]
async fn a_mapping_is_got_and_switched_by_its_id() {
    let mapping =
        r#"{"UUID":"7-a","State":"Enabling","EventSourceArn":"arn:s","FunctionArn":"arn:f"}"#;
    let missing = r#"{"Type":"User","Message":"The resource you requested does not exist."}"#;
    let answers = [
        (200, mapping),
        (202, mapping),
        (404, missing),
        (404, missing),
    ];
    let (lambda, requests) = lambda(&answers).await;
    let reader = ReadSender::from(&lambda);
    let got = get_event_source_mapping(&reader, "7-a").await.unwrap();
    assert_eq!(got.unwrap().state, "Enabling");
    let switched = switch_event_source_mapping(&lambda, "7-a", true).await;
    assert_eq!(switched.unwrap().uuid, "7-a");
    assert_eq!(get_event_source_mapping(&reader, "8").await.unwrap(), None);
    let refused = switch_event_source_mapping(&lambda, "8", false).await;
    assert_eq!(
        refused.unwrap_err().code(),
        Some("ResourceNotFoundException")
    );
    let requests = requests.lock().unwrap();
    let sent: Vec<_> = requests
        .iter()
        .map(|request| {
            let path = request.uri().rsplit('/').next().unwrap();
            let body = std::str::from_utf8(request.body().bytes().unwrap()).unwrap();
            (
                request.method(),
                path,
                body,
                request.headers().get("content-type"),
            )
        })
        .collect();
    let json = Some("application/json");
    assert_eq!(
        sent,
        [
            ("GET", "7-a", "", None),
            ("PUT", "7-a", r#"{"Enabled":true}"#, json),
            ("GET", "8", "", None),
            ("PUT", "8", r#"{"Enabled":false}"#, json),
        ]
    );
}
