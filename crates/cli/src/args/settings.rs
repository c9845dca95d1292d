//! How a run is to be done.

use std::time::Duration;

use backfill_core::request::{RequestedSettings, WriterKind};
use backfill_core::{Error, Result};
use clap::{Args, ValueEnum};

use super::over;

/// How to run it.
#[derive(Args, Default)]
#[command(next_help_heading = "Settings")]
pub struct SettingsArgs {
    /// Scan segments, 1 to 1,000,000; default: by the size of the table.
    #[arg(long, value_name = "N")]
    segments: Option<u32>,
    /// Sweep only these segments, then pause: a canary, such as 0 or 0,7.
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    only_segments: Option<Vec<u32>>,
    /// Segments worked on at once [default: 8].
    #[arg(long, value_name = "N")]
    concurrency: Option<u32>,
    /// Time of one chunk, such as 60s or 10m [default: 10m].
    #[arg(long, value_name = "TIME")]
    time_box: Option<String>,
    /// Sweeps over the table before giving up [default: 3].
    #[arg(long, value_name = "N")]
    max_passes: Option<u32>,
    /// Write capacity units per second for the whole run, indexes included [default: no limit].
    #[arg(long, value_name = "N")]
    max_wcu: Option<u32>,
    /// Read capacity units per second for the whole run [default: no limit].
    #[arg(long, value_name = "N")]
    max_rcu: Option<u32>,
    /// Request that carries the updates: batches of PartiQL statements, or UpdateItem [default: batch].
    #[arg(long, value_name = "KIND", value_enum)]
    writer: Option<Writer>,
    /// Name of the run; default: made from table and spec, so that the same spec resumes its run.
    #[arg(long, value_name = "ID")]
    run_id: Option<String>,
    /// Items that DynamoDB may refuse for good in one pass before the run fails [default: 1000].
    #[arg(long, value_name = "N")]
    max_rejected: Option<u32>,
    /// Start over instead of resuming.
    #[arg(long)]
    fresh: bool,
    /// Take over a run whose owner is known to be dead.
    #[arg(long)]
    take_over: bool,
}

/// [`WriterKind`] on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Writer {
    Batch,
    UpdateItem,
}

impl From<Writer> for WriterKind {
    fn from(writer: Writer) -> Self {
        match writer {
            Writer::Batch => WriterKind::Batch,
            Writer::UpdateItem => WriterKind::UpdateItem,
        }
    }
}

impl SettingsArgs {
    /// The settings alone, checked.
    pub fn read(&self) -> Result<RequestedSettings> {
        let mut settings = RequestedSettings::default();
        self.over(&mut settings)?;
        settings.check()?;
        Ok(settings)
    }

    /// Puts the flags over the settings of a file.
    pub(super) fn over(&self, settings: &mut RequestedSettings) -> Result<()> {
        over(&mut settings.total_segments, &self.segments);
        over(&mut settings.only_segments, &self.only_segments);
        over(&mut settings.max_concurrency, &self.concurrency);
        over(&mut settings.max_passes, &self.max_passes);
        over(&mut settings.max_wcu, &self.max_wcu);
        over(&mut settings.max_rcu, &self.max_rcu);
        over(&mut settings.run_id, &self.run_id);
        over(&mut settings.writer, &self.writer.map(WriterKind::from));
        over(&mut settings.max_rejected, &self.max_rejected);
        settings.fresh |= self.fresh;
        settings.take_over |= self.take_over;
        if let Some(text) = &self.time_box {
            settings.time_box_seconds = Some(seconds(text)?);
        }
        Ok(())
    }

    /// For commands that know no other setting.
    pub fn with_segments(segments: Option<u32>) -> Self {
        SettingsArgs {
            segments,
            ..SettingsArgs::default()
        }
    }
}

/// Whole seconds: `90`, or in the form of humantime, such as `90s`, `10m`, `1h`.
fn seconds(text: &str) -> Result<u64> {
    let time = match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        // It would take 1.5m for 90 s.
        Err(_) if text.contains('.') => None,
        Err(_) => humantime::parse_duration(text).ok(),
    };
    time.filter(|time| time.subsec_nanos() == 0)
        .map(|time| time.as_secs())
        .ok_or_else(|| {
            Error::invalid(
                "time-box",
                format!("expected a time such as 60s or 10m, got {text:?}"),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_their_units() {
        for (text, expected) in [
            ("90", 90),
            ("90s", 90),
            ("2m", 120),
            ("1h", 3_600),
            ("1h 30m", 5_400),
        ] {
            assert_eq!(seconds(text).unwrap(), expected, "{text}");
        }
        for bad in [
            "",
            "s",
            "-1s",
            "1.5m",
            "500ms",
            "99999999999999999999h",
            "99999999999999999h",
        ] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }

    /// A long unit is read, and its bounds are held as those of any other time.
    #[test]
    fn a_time_box_that_no_function_has_is_refused() {
        for (text, is_good) in [("10m", true), ("1d", false), ("1M", false), ("0", false)] {
            let args = SettingsArgs {
                time_box: Some(text.into()),
                ..SettingsArgs::default()
            };
            assert_eq!(args.read().is_ok(), is_good, "{text}");
        }
    }
}
