//! Alarms of CloudWatch: what state one is in. Nothing else is asked of CloudWatch here.

use backfill_core::ports::{Alarm, AlarmState};
use backfill_core::{Error, ErrorKind, Result};

use crate::calls::DescribeAlarms;
use crate::connection::Connection;
use crate::failure::failure;
use crate::send::{CLOUDWATCH, ProvideErrorMetadata as _, ReadSender, Sender};

/// The alarm of this name or ARN in the account and region of the connection; `None` if there is none.
///
/// Errors: `InvalidInput`, naming `pause_when`, if it is an alarm of another region, or if it is not known where CloudWatch is;
/// what CloudWatch answers.
pub(crate) async fn alarm(connection: &Connection, name: &str) -> Result<Option<Alarm>> {
    let name = name_of(name, connection.region())?;
    let nowhere = || {
        Error::invalid(
            "pause_when",
            format!(
                "there is no CloudWatch {} to ask for alarm {name}",
                connection.place()
            ),
        )
    };
    let sender = Sender::to(connection, CLOUDWATCH)
        .await?
        .ok_or_else(nowhere)?;
    let describe = DescribeAlarms {
        alarm_names: &[name],
        alarm_types: DescribeAlarms::METRIC_AND_COMPOSITE,
        max_records: DescribeAlarms::MOST,
    };
    let answer = match ReadSender::from(&sender).call(&describe).await {
        Ok(answer) => answer,
        // A database that is no CloudWatch.
        Err(error) if error.code() == Some("UnknownOperationException") => return Err(nowhere()),
        Err(error) => {
            let doing = format!("asking CloudWatch for alarm {name}");
            return Err(failure(&doing, error));
        }
    };
    let found = answer.all().find(|alarm| alarm.alarm_name == name);
    found
        .map(|alarm| {
            let state = match alarm.state_value.as_str() {
                "OK" => AlarmState::Ok,
                "ALARM" => AlarmState::Alarm,
                "INSUFFICIENT_DATA" => AlarmState::InsufficientData,
                other => {
                    let why = format!("alarm {name} is in a state that is not known: {other}");
                    return Err(Error::new(ErrorKind::Internal, why));
                }
            };
            let since_ms = alarm.since_ms();
            Ok(Alarm { state, since_ms })
        })
        .transpose()
}

/// The name in an ARN (`arn:aws:cloudwatch:eu-west-1:123456789012:alarm:NAME`), which may be one of this region alone; any other
/// text is a name as it is.
fn name_of<'a>(text: &'a str, region: &str) -> Result<&'a str> {
    let parts: Vec<&str> = text.splitn(7, ':').collect();
    let (its_region, name) = match parts[..] {
        ["arn", _, "cloudwatch", region, _, "alarm", name] if !name.is_empty() => (region, name),
        ["arn", _, "cloudwatch", ..] => {
            let why = format!("{text} is no ARN of an alarm");
            return Err(Error::invalid("pause_when", why));
        }
        _ => return Ok(text),
    };
    if its_region != region {
        let why = format!(
            "alarm {name} is in region {its_region}, and the table in {region}; name an alarm of the table's region"
        );
        return Err(Error::invalid("pause_when", why));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_named_by_its_name_or_its_arn() {
        for (text, name) in [
            ("slow reads: p99", "slow reads: p99"),
            ("arn:aws:cloudwatch:eu-west-1:123456789012:alarm:a:b", "a:b"),
            ("arn:aws-cn:cloudwatch:eu-west-1:123456789012:alarm:a", "a"),
            (
                "arn:aws:sns:eu-west-1:123456789012:topic",
                "arn:aws:sns:eu-west-1:123456789012:topic",
            ),
        ] {
            assert_eq!(name_of(text, "eu-west-1").unwrap(), name, "{text}");
        }
        for (text, why) in [
            (
                "arn:aws:cloudwatch:us-east-1:123456789012:alarm:a",
                "is in region us-east-1",
            ),
            (
                "arn:aws:cloudwatch::123456789012:dashboard/a",
                "no ARN of an alarm",
            ),
            (
                "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:",
                "no ARN of an alarm",
            ),
        ] {
            let error = name_of(text, "eu-west-1").unwrap_err().to_string();
            assert!(
                error.starts_with("pause_when: ") && error.contains(why),
                "{error}"
            );
        }
    }
}
