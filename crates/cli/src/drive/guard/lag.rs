//! How far a guard in Lambda is behind: what CloudWatch and the queue of what Lambda has given up say of it. It changes nothing.

use backfill_core::clock::{now_ms, rfc3339};
use backfill_core::pace::retry::{PATIENCE, Until, retry};
use backfill_core::{Error, ErrorKind, Result, printable};
use backfill_dynamodb::calls::{
    Dimension, EventSourceMapping, GetMetricStatistics, GetQueueAttributes, GetQueueUrl,
    MetricStatistics, function_name,
};
use backfill_dynamodb::send::{CLOUDWATCH, ReadCall, ReadSender, SQS, Sender, Service};
use backfill_dynamodb::{Connection, failure};

use crate::show::guard::status::Unseen;
use crate::show::words::duration;

/// How long ago a value may be of which is told, in seconds: a shard of which Lambda tries a batch again and again is heard of now
/// and then only.
const WINDOW_SECONDS: u64 = 15 * 60;

/// How what Lambda says of a mapping that waits for records begins, as `LastProcessingResult`; behind "OK" some endpoints have a number.
const WELL: [&str; 2] = ["OK", "No records processed"];

/// Periods of which GetMetricStatistics tells at a time: 1,440 (API reference), and some room.
const MOST_PERIODS: u64 = 1_400;

/// Seconds of a period of late: Lambda and SQS have a value for each minute.
const PERIOD_SECONDS: u32 = 60;

/// What is known of the records that the function of this mapping has not settled, and what could not be asked.
///
/// The metric is the function's, whatever alias the mapping names: with the dimension FunctionName alone it counts all versions and
/// aliases (Lambda developer guide, Types of metrics). It passes over what Lambda has given up, so the queue of that is asked as well.
pub async fn unseen(
    mapping: &EventSourceMapping,
    connection: &Connection,
    blind: &mut Vec<String>,
) -> Unseen {
    let mut unseen = Unseen::default();
    match iterator_age(mapping, connection).await {
        Ok(age) => {
            unseen.hear_age(age);
            blind.extend(unheard(age, mapping));
        }
        Err(error) => blind.push(error.report()),
    }
    match given_up(mapping, connection, blind).await {
        Ok(Some(given_up)) => unseen.hear_given_up(&given_up),
        Ok(None) => {}
        Err(error) => blind.push(error.report()),
    }
    unseen
}

/// Records that Lambda has given up, and that nobody has settled yet.
#[derive(Debug, PartialEq)]
struct GivenUp {
    queue: String,
    /// Messages, each about records of one shard.
    messages: u64,
    /// How old the oldest record is at least, in seconds.
    least_age: f64,
}

impl Unseen {
    fn hear_age(&mut self, age_seconds: Option<f64>) {
        self.age_seconds = age_seconds;
        self.says.push(match age_seconds {
            Some(age) => format!(
                "what Lambda has handed it within the last 15 minutes was up to {} old",
                duration(age)
            ),
            None => "Lambda has handed it no record within the last 15 minutes".to_owned(),
        });
    }

    fn hear_given_up(&mut self, given_up: &GivenUp) {
        let batches = match given_up.messages {
            1 => "a batch of records".to_owned(),
            count => format!("{count} batches of records"),
        };
        self.given_up = Some(format!(
            "Lambda has given up {batches}, at least {} old, and the guard has not settled them yet (queue {})",
            duration(given_up.least_age),
            given_up.queue
        ));
        let age = self.age_seconds.unwrap_or_default();
        self.age_seconds = Some(age.max(given_up.least_age));
    }
}

/// The highest IteratorAge of the mapping's function within the last minutes, in seconds; `None` if Lambda has handed it nothing.
async fn iterator_age(
    mapping: &EventSourceMapping,
    connection: &Connection,
) -> Result<Option<f64>> {
    let function = function_name(&mapping.function_arn);
    let doing = format!("asking CloudWatch for the IteratorAge of function {function}");
    let metric = (
        "AWS/Lambda",
        "IteratorAge",
        Dimension {
            name: "FunctionName",
            value: function,
        },
    );
    let statistics = statistics(metric, of_late(), connection, &doing).await?;
    Ok(statistics
        .highest()
        .map(|milliseconds| milliseconds.max(0.0) / 1_000.0))
}

/// Why records that Lambda has given up since this time, in milliseconds since 1970, are read again by nobody: it could not tell the queue
/// of them. `None` if there are none. What it could tell is not among the dropped ones (Lambda developer guide, Types of metrics, Event
/// source mapping metrics).
pub async fn dropped(
    mapping: &EventSourceMapping,
    from_ms: u64,
    connection: &Connection,
) -> Result<Option<String>> {
    let uuid = &mapping.uuid;
    if !counts_dropped(mapping) {
        let why = format!(
            "whether Lambda has dropped records is not known, since event source mapping {uuid} does not count them; have it do so with \
             aws lambda update-event-source-mapping --uuid {uuid} --metrics-config Metrics=EventCount"
        );
        return Err(Error::new(ErrorKind::Unavailable, why));
    }
    let dimension = Dimension {
        name: "EventSourceMappingUUID",
        value: uuid,
    };
    let metric = ("AWS/Lambda", "DroppedEventCount", dimension);
    let doing = format!("asking CloudWatch what event source mapping {uuid} has dropped");
    let time = (from_ms / 1_000, now_ms() / 1_000);
    let dropped = statistics(metric, time, connection, &doing).await?;
    Ok(dropped.highest().filter(|most| *most > 0.0).map(|_| {
        format!(
            "Lambda gave up records since {} and could not tell {} which they were; mend that, and verify the table again",
            rfc3339(from_ms),
            mapping.on_failure().unwrap_or("a queue")
        )
    }))
}

/// Whether a mapping has the metric of dropped records. One that says nothing of its metrics may have it: not every endpoint tells.
fn counts_dropped(mapping: &EventSourceMapping) -> bool {
    let metrics = mapping.settings.get("MetricsConfig");
    let metrics = metrics.and_then(|config| config.get("Metrics")?.as_array());
    metrics.is_none_or(|metrics| metrics.iter().any(|metric| metric == "EventCount"))
}

/// Why it cannot be told whether anything waits, although Lambda was asked: it has handed nothing over within the last minutes, and does
/// not say that there was nothing. A batch that takes long, or that comes again and again, has no IteratorAge until it is done.
fn unheard(age_seconds: Option<f64>, mapping: &EventSourceMapping) -> Option<String> {
    let result = mapping.text("LastProcessingResult").unwrap_or_default();
    let begins = |well: &str| {
        result
            .get(..well.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(well))
    };
    let is_idle = WELL.into_iter().any(begins);
    (age_seconds.is_none() && !is_idle).then(|| {
        format!(
            "event source mapping {} has handed over nothing within the last 15 minutes, and its last result is {:?}",
            mapping.uuid,
            printable(result)
        )
    })
}

/// What is in the queue of records that Lambda has given up; `None` if nothing is, or if the mapping has no such queue.
async fn given_up(
    mapping: &EventSourceMapping,
    connection: &Connection,
    blind: &mut Vec<String>,
) -> Result<Option<GivenUp>> {
    let Some((account, queue)) = mapping.on_failure().and_then(queue_of) else {
        return Ok(None);
    };
    let doing = format!("asking SQS what is in queue {queue}");
    let url = GetQueueUrl {
        queue_name: queue,
        account,
    };
    let url = ask(&url, SQS, connection, &doing).await?.queue_url;
    let attributes = GetQueueAttributes {
        queue_url: &url,
        attribute_names: GetQueueAttributes::MESSAGES,
    };
    let attributes = ask(&attributes, SQS, connection, &doing).await?;
    let messages = attributes.messages().ok_or_else(|| {
        let why = format!("{doing}: the answer does not say how many messages there are");
        Error::new(ErrorKind::Internal, why)
    })?;
    if messages == 0 {
        return Ok(None);
    }
    let doing = format!("asking CloudWatch for the age of what is in queue {queue}");
    let metric = (
        "AWS/SQS",
        "ApproximateAgeOfOldestMessage",
        Dimension {
            name: "QueueName",
            value: queue,
        },
    );
    let waited = match statistics(metric, of_late(), connection, &doing).await {
        Ok(statistics) => statistics.latest(),
        Err(error) => {
            blind.push(error.report());
            None
        }
    };
    Ok(Some(GivenUp {
        queue: queue.to_owned(),
        messages,
        least_age: age_given_up(mapping) + waited.unwrap_or_default(),
    }))
}

/// How old a record is at least when the mapping gives it up, in seconds: one that bounds the tries as well may do so at any age.
fn age_given_up(mapping: &EventSourceMapping) -> f64 {
    let tries_for_ever = mapping.number("MaximumRetryAttempts") == Some(-1);
    let age = mapping.number("MaximumRecordAgeInSeconds");
    age.filter(|age| tries_for_ever && *age > 0)
        .map_or(0.0, |age| age as f64)
}

/// The account and the name of a queue (`arn:aws:sqs:eu-west-1:123456789012:NAME`); `None` if the ARN is of something else.
fn queue_of(arn: &str) -> Option<(&str, &str)> {
    match arn.split(':').collect::<Vec<_>>()[..] {
        ["arn", _, "sqs", _, account, name] => Some((account, name)),
        _ => None,
    }
}

/// The last minutes, in seconds since 1970.
fn of_late() -> (u64, u64) {
    let now = now_ms() / 1_000;
    (now.saturating_sub(WINDOW_SECONDS), now)
}

/// Seconds of the periods in which this time is asked for: GetMetricStatistics tells of [`MOST_PERIODS`] at a time, and periods of what is
/// long ago are hours.
fn period((from, to): (u64, u64)) -> u32 {
    match to.saturating_sub(from) {
        short if short <= WINDOW_SECONDS => PERIOD_SECONDS,
        long => 3_600 * (1 + long / (3_600 * MOST_PERIODS)) as u32,
    }
}

/// A metric within this time, in seconds since 1970.
async fn statistics(
    (namespace, metric_name, dimension): (&str, &str, Dimension<'_>),
    (start_time, end_time): (u64, u64),
    connection: &Connection,
    doing: &str,
) -> Result<MetricStatistics> {
    let ask_for = GetMetricStatistics {
        namespace,
        metric_name,
        dimensions: &[dimension],
        start_time,
        end_time,
        period: period((start_time, end_time)),
        statistics: GetMetricStatistics::MAXIMUM,
    };
    ask(&ask_for, CLOUDWATCH, connection, doing).await
}

async fn ask<C: ReadCall>(
    call: &C,
    service: Service,
    connection: &Connection,
    doing: &str,
) -> Result<C::Answer> {
    let sender = Sender::to(connection, service).await?.ok_or_else(|| {
        let why = format!("{doing}: there is none {}", connection.place());
        Error::invalid("endpoint-url", why)
    })?;
    let sender = ReadSender::from(&sender);
    let asked = || async {
        let answer = sender.call(call).await;
        answer.map_err(|error| failure(doing, error))
    };
    retry(&Until::after(PATIENCE), asked).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mapping(settings: serde_json::Value) -> EventSourceMapping {
        let mut mapping = json!({"UUID": "1", "State": "Enabled"});
        let fields = mapping.as_object_mut().unwrap();
        fields.extend(settings.as_object().unwrap().clone());
        serde_json::from_value(mapping).unwrap()
    }

    #[test]
    fn what_was_given_up_is_as_old_as_its_mapping_says_if_that_tries_for_ever() {
        for (settings, least) in [
            (
                json!({"MaximumRecordAgeInSeconds": 43200, "MaximumRetryAttempts": -1}),
                43_200.0,
            ),
            (
                json!({"MaximumRecordAgeInSeconds": 43200, "MaximumRetryAttempts": 3}),
                0.0,
            ),
            (
                json!({"MaximumRecordAgeInSeconds": -1, "MaximumRetryAttempts": -1}),
                0.0,
            ),
            (json!({}), 0.0),
        ] {
            let found = age_given_up(&mapping(settings.clone()));
            assert!((found - least).abs() < 0.1, "{settings}: {found}");
        }
    }

    #[test]
    fn a_mapping_that_waits_says_that_its_last_records_were_well_or_that_there_were_none() {
        for (result, is_heard) in [
            ("OK", true),
            ("OK - 1 records", true),
            ("No records processed", true),
            ("no records processed", true),
            ("PROBLEM: Function call failed", false),
            ("Function took long", false),
            ("", false),
        ] {
            let mapping = mapping(json!({"LastProcessingResult": result}));
            assert_eq!(unheard(None, &mapping).is_none(), is_heard, "{result}");
            assert_eq!(unheard(Some(1.0), &mapping), None, "{result}");
        }
        assert!(unheard(None, &mapping(json!({}))).is_some());
    }

    #[test]
    fn a_mapping_without_the_metric_of_dropped_records_is_known_by_what_it_says() {
        for (settings, counts) in [
            (json!({}), true),
            (json!({"MetricsConfig": {"Metrics": ["EventCount"]}}), true),
            (json!({"MetricsConfig": {"Metrics": ["ErrorCount"]}}), false),
            (json!({"MetricsConfig": {"Metrics": []}}), false),
        ] {
            assert_eq!(
                counts_dropped(&mapping(settings.clone())),
                counts,
                "{settings}"
            );
        }
    }

    #[test]
    fn there_are_never_more_periods_than_cloudwatch_tells_of() {
        assert_eq!(period(of_late()), PERIOD_SECONDS);
        for days in [1, 58, 59, 117, 455] {
            let seconds = days * 86_400;
            let period = u64::from(period((0, seconds)));
            assert!(
                period % 3_600 == 0 && seconds / period < 1_440,
                "{days} days: {period}"
            );
        }
        assert_eq!(period((0, 50 * 86_400)), 3_600);
    }

    #[test]
    fn a_queue_is_known_by_its_arn_and_other_destinations_are_none() {
        let to = |arn: &str| {
            let settings = json!({"DestinationConfig": {"OnFailure": {"Destination": arn}}});
            let mapping = mapping(settings);
            let queue = mapping.on_failure().and_then(queue_of);
            queue.map(|(account, name)| format!("{account} {name}"))
        };
        assert_eq!(
            to("arn:aws:sqs:eu-west-1:111122223333:dead").as_deref(),
            Some("111122223333 dead")
        );
        assert_eq!(to("arn:aws:sns:eu-west-1:111122223333:dead"), None);
        assert_eq!(mapping(json!({"DestinationConfig": {}})).on_failure(), None);
        assert_eq!(mapping(json!({})).on_failure(), None);
    }

    /// What was given up is older than what Lambda hands over, so it counts; and what is told is never less than the metric.
    #[test]
    fn the_age_is_that_of_the_oldest_record_wherever_it_waits() {
        let given_up = |least_age| GivenUp {
            queue: "dead".into(),
            messages: 2,
            least_age,
        };
        for (metric, least_age, expected) in [
            (Some(2.5), 43_200.0, 43_200.0),
            (Some(50_000.0), 43_200.0, 50_000.0),
            (None, 43_200.0, 43_200.0),
        ] {
            let mut unseen = Unseen::default();
            unseen.hear_age(metric);
            assert_eq!((unseen.age_seconds, &unseen.given_up), (metric, &None));
            unseen.hear_given_up(&given_up(least_age));
            assert_eq!(unseen.age_seconds, Some(expected));
            let says = unseen.given_up.unwrap();
            assert!(says.contains("2 batches") && says.contains("queue dead"));
        }
        let mut unseen = Unseen::default();
        unseen.hear_age(None);
        assert!(unseen.says[0].contains("no record within the last 15 minutes"));
    }
}
