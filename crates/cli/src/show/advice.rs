//! The advice of a plan in the words of the command: its flags and its other commands.

use backfill_core::request::SETTINGS;
use backfill_core::survey::{Advice, Warning};
use serde::Serialize;

use crate::hint;

/// A warning as it is shown and printed.
#[derive(Debug, Serialize)]
pub struct Advised {
    pub code: &'static str,
    pub what: String,
    pub advice: String,
}

impl From<&Warning> for Advised {
    fn from(warning: &Warning) -> Self {
        let ways: Vec<String> = warning.advice.iter().map(words).collect();
        Advised {
            code: warning.code,
            what: warning.what.clone(),
            advice: ways.join(", or "),
        }
    }
}

fn words(advice: &Advice) -> String {
    match advice {
        Advice::Give(setting) => format!("give {}", flag(setting)),
        Advice::Set(setting, value) => format!("give {} {value}", flag(setting)),
        Advice::AtMost(setting, value) => format!("give {} {value} or less", flag(setting)),
        Advice::Aws(command) | Advice::Do(command) => command.clone(),
        Advice::Prices => "give the true prices with --price-file".into(),
        Advice::Steer => "set it while the run goes on with: backfill rate".into(),
        Advice::WatchRun {
            run_id,
            checkpoint_table,
        } => {
            let typed = hint::on_run("watch", run_id, checkpoint_table);
            format!("see it with: {typed}")
        }
        Advice::MorePages => "raise --pages".into(),
        Advice::DryRun => "count with: backfill run --dry-run".into(),
        Advice::Count => "count with: backfill verify".into(),
    }
}

/// The flag of a setting, with its dashes.
fn flag(setting: &str) -> String {
    let declared = SETTINGS.iter().find(|declared| declared.name == setting);
    let flag = declared.and_then(|setting| setting.flag);
    format!("--{}", flag.map_or(setting, |(flag, _)| flag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_said_in_flags() {
        let ways = [
            Advice::AtMost("max_wcu", 500),
            Advice::Do("raise the capacity".into()),
        ];
        let advised = Advised::from(&Warning {
            code: "code",
            what: "what".into(),
            advice: ways.into(),
        });
        let expected = "give --max-wcu 500 or less, or raise the capacity";
        assert_eq!(advised.advice, expected);
        assert_eq!(flag("max_concurrency"), "--concurrency");
    }
}
