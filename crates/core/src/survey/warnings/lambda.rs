//! What a deployed run leaves of Lambda to the other functions of its account.

use super::warning::{Advice, Known, Warning, warn};
use crate::request::Settings;
use crate::survey::facts::{Concurrency, Fact};

/// [`concurrency_warnings`] of a run that is to be a deployed one.
pub(super) fn of_plan(known: &Known<'_>) -> Vec<Warning> {
    let concurrency = known.concurrency.iter();
    concurrency
        .flat_map(|concurrency| concurrency_warnings(concurrency, known.settings))
        .collect()
}

/// Looks whether the workers of a deployed run find room in Lambda, and leave some. A dry run has no workers.
pub fn concurrency_warnings(concurrency: &Fact<Concurrency>, settings: &Settings) -> Vec<Warning> {
    if settings.dry_run {
        return Vec::new();
    }
    let workers = u64::from(workers_at_once(settings));
    match concurrency {
        Fact::Unknown(why) => vec![not_seen(workers, why)],
        Fact::Known(concurrency) => match concurrency.reserved {
            Some(reserved) => beyond_reserved(workers, reserved),
            None => beyond_share(workers, concurrency.unreserved),
        },
    }
}

/// As many segments as are worked on at once.
fn workers_at_once(settings: &Settings) -> u32 {
    let segments = match settings.only_segments.len() {
        0 => settings.total_segments,
        picked => picked as u32,
    };
    settings.workers().min(segments)
}

fn not_seen(workers: u64, why: &str) -> Warning {
    let what = format!(
        "up to {workers} workers at once, and it cannot be seen how many functions Lambda runs at once here: {why}"
    );
    Warning {
        code: "lambda_not_seen",
        what,
        advice: vec![Advice::Do(
            "allow lambda:GetAccountSettings and lambda:GetFunctionConcurrency, or look at the quota yourself".into(),
        )],
    }
}

fn beyond_reserved(workers: u64, reserved: u64) -> Vec<Warning> {
    if workers <= reserved {
        return Vec::new();
    }
    let raise = Advice::Do("raise the stack's parameter MaxWorkers".into());
    let what = format!(
        "up to {workers} workers at once, and Lambda runs {reserved} of them: the others wait, some of them for long"
    );
    match reserved {
        0 => warn(
            "lambda_too_narrow",
            "no worker can start: Lambda has none reserved (a reserved concurrency of 0 switches a function off)".into(),
            [raise],
        ),
        _ => warn(
            "lambda_too_narrow",
            what,
            [Advice::AtMost("max_concurrency", reserved), raise],
        ),
    }
}

/// Of what all functions share, a run takes no more than half unasked: what they use changes from minute to minute.
fn beyond_share(workers: u64, unreserved: u64) -> Vec<Warning> {
    let share = (unreserved / 2).max(1);
    if workers <= share {
        return Vec::new();
    }
    let what = match workers > unreserved {
        true => format!(
            "up to {workers} workers at once, and Lambda runs {unreserved} functions at once of all that have none \
             reserved: other functions of the account are refused, and workers wait, some of them for long"
        ),
        false => format!(
            "up to {workers} workers at once, of {unreserved} functions that Lambda runs at once for all that have none \
             reserved: other functions of the account may be refused"
        ),
    };
    warn(
        "lambda_too_narrow",
        what,
        [
            Advice::AtMost("max_concurrency", share),
            Advice::Do("reserve some for the workers, who then have those alone: the stack's parameter MaxWorkers".into()),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::RequestedSettings;

    fn settings(max_concurrency: u32) -> Settings {
        let requested = RequestedSettings {
            max_concurrency: Some(max_concurrency),
            total_segments: Some(5_000),
            ..RequestedSettings::default()
        };
        requested.choose(0)
    }

    /// What is to be lowered, and to what; `None` if nothing is.
    fn most(settings: &Settings, unreserved: u64, reserved: Option<u64>) -> Option<Option<u64>> {
        let concurrency = Fact::Known(Concurrency {
            account: 1_000,
            unreserved,
            reserved,
        });
        let warnings = concurrency_warnings(&concurrency, settings);
        let warning = warnings.first()?;
        assert_eq!(warning.code, "lambda_too_narrow");
        Some(warning.advice.iter().find_map(|advice| match advice {
            Advice::AtMost("max_concurrency", most) => Some(*most),
            _ => None,
        }))
    }

    #[test]
    fn a_run_takes_half_of_what_functions_share_and_all_that_is_reserved_for_it() {
        for (workers, unreserved, reserved, expected) in [
            (500, 1_000, None, None),
            (501, 1_000, None, Some(Some(500))),
            (5_000, 1_000, None, Some(Some(500))),
            // A new account has 10.
            (8, 10, None, Some(Some(5))),
            (5, 10, None, None),
            (1, 1, None, None),
            (900, 100, Some(900), None),
            (901, 100, Some(900), Some(Some(900))),
            (1, 1_000, Some(0), Some(None)),
        ] {
            let found = most(&settings(workers), unreserved, reserved);
            assert_eq!(found, expected, "{workers} of {unreserved}, {reserved:?}");
        }
    }

    #[test]
    fn only_workers_that_there_are_take_concurrency() {
        let of_few = Settings {
            total_segments: 3,
            ..settings(900)
        };
        assert_eq!(most(&of_few, 10, None), None);
        let canary = Settings {
            only_segments: vec![7, 8],
            ..settings(900)
        };
        assert_eq!(most(&canary, 10, None), None);
        let of_items = Settings {
            pause_after: Some(100),
            ..settings(900)
        };
        assert_eq!(most(&of_items, 10, None), None);
        let dry = Settings {
            dry_run: true,
            ..settings(900)
        };
        assert_eq!(most(&dry, 10, None), None);
    }

    #[test]
    fn what_cannot_be_seen_is_said_and_no_more() {
        let warnings = concurrency_warnings(&Fact::Unknown("not allowed".into()), &settings(8));
        assert_eq!(warnings.len(), 1);
        assert_eq!(warnings[0].code, "lambda_not_seen");
        assert!(warnings[0].what.contains("not allowed"), "{warnings:?}");
    }
}
