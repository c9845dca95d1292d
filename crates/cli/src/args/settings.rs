//! How a run is to be done: the flags of the settings, as they are declared in the core.

use std::time::Duration;

use backfill_core::request::{Form, NO_LIMIT, NONE, RequestedSettings, SETTINGS, Setting};
use backfill_core::{Error, ErrorKind, Result};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};
use indicatif::HumanCount;
use serde_json::{Map, Value as Json};

use crate::typed;

/// The settings that flags give.
#[derive(Default)]
pub struct SettingsArgs {
    /// By the names of the settings, as in a spec file.
    given: Map<String, Json>,
    /// `--time-box` as it was typed.
    time: Option<(&'static Setting, String)>,
}

impl SettingsArgs {
    /// Takes the place of the flags in a command that counts and knows no other setting.
    pub fn to_verify(segments: Option<u32>, max_rcu: Option<u32>) -> Self {
        let given = [("total_segments", segments), ("max_rcu", max_rcu)];
        let given = given
            .into_iter()
            .filter_map(|(name, number)| Some((name.to_owned(), number?.into())));
        SettingsArgs {
            given: given.collect(),
            time: None,
        }
    }

    /// The settings alone, checked.
    pub fn read(&self) -> Result<RequestedSettings> {
        let mut settings = RequestedSettings::default();
        self.over(&mut settings)?;
        Ok(settings)
    }

    /// Whether a flag gives this setting.
    pub(super) fn gives(&self, name: &str) -> bool {
        let time = self.time.as_ref().map(|(setting, _)| setting.name);
        self.given.contains_key(name) || time == Some(name)
    }

    /// Puts the flags over the settings of a file.
    ///
    /// Errors: `InvalidInput` naming the flag whose value is out of bounds.
    pub(super) fn over(&self, settings: &mut RequestedSettings) -> Result<()> {
        let mut given = self.given.clone();
        if let Some((setting, text)) = &self.time {
            given.insert(setting.name.to_owned(), seconds(setting, text)?.into());
        }
        put(&given, &RequestedSettings::default())?
            .check()
            .map_err(as_typed)?;
        *settings = put(&given, settings)?;
        Ok(())
    }
}

/// The settings with some of their fields in place of what they were.
fn put(fields: &Map<String, Json>, settings: &RequestedSettings) -> Result<RequestedSettings> {
    let odd = |error| Error::new(ErrorKind::Internal, "the settings").with_source(error);
    let mut json = serde_json::to_value(settings).map_err(odd)?;
    if let Some(all) = json.as_object_mut() {
        all.extend(fields.clone());
    }
    serde_json::from_value(json).map_err(odd)
}

/// An error about a setting, naming its flag as it is typed in place of its field in a spec file.
pub(super) fn as_typed(error: Error) -> Error {
    Error::new(error.kind(), typed::in_flags(&error.to_string()))
}

impl Args for SettingsArgs {
    fn augment_args(command: Command) -> Command {
        let flags = SETTINGS.iter().filter_map(flag);
        command.next_help_heading("Settings").args(flags)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingsArgs {
    fn from_arg_matches(matches: &ArgMatches) -> std::result::Result<Self, clap::Error> {
        let mut args = SettingsArgs::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(
        &mut self,
        matches: &ArgMatches,
    ) -> std::result::Result<(), clap::Error> {
        for setting in SETTINGS.iter().filter(|setting| setting.flag.is_some()) {
            let name = setting.name;
            let given = match setting.form {
                Form::Number(..) | Form::Limit(..) => {
                    matches.get_one::<u32>(name).map(|n| (*n).into())
                }
                Form::Word(_) | Form::RunId | Form::Text | Form::Alarm | Form::Hours => {
                    matches.get_one::<String>(name).map(|s| s.clone().into())
                }
                Form::Segments => matches
                    .get_many::<u32>(name)
                    .map(|segments| segments.copied().collect()),
                Form::Switch => matches.get_flag(name).then_some(Json::Bool(true)),
                Form::Duration(..) => {
                    let time = matches.get_one::<String>(name);
                    self.time = time.map(|time| (setting, time.clone()));
                    None
                }
            };
            self.given
                .extend(given.map(|given| (name.to_owned(), given)));
        }
        Ok(())
    }
}

/// The flag of a setting; `None` if it has none.
fn flag(setting: &Setting) -> Option<Arg> {
    let (flag, value) = setting.flag?;
    let arg = Arg::new(setting.name).long(flag).help(help(setting));
    let arg = match setting.form {
        Form::Switch => return Some(arg.action(ArgAction::SetTrue)),
        Form::Limit(..) => arg.value_parser(limit),
        Form::Number(..) => arg.value_parser(value_parser!(u32)),
        Form::Segments => arg
            .value_parser(value_parser!(u32))
            .value_delimiter(',')
            .action(ArgAction::Append),
        Form::Word(words) => arg.value_parser(PossibleValuesParser::new(words)),
        Form::RunId | Form::Text | Form::Alarm | Form::Hours | Form::Duration(..) => {
            arg.value_parser(value_parser!(String))
        }
    };
    Some(arg.value_name(value))
}

/// A number of units, or `none`.
fn limit(text: &str) -> std::result::Result<u32, String> {
    match text {
        NONE => Ok(NO_LIMIT),
        units => units
            .parse()
            .map_err(|_| format!("expected a number of units per second, or none, got {units:?}")),
    }
}

/// What a setting is, what it may be, and what it is if it is left out.
fn help(setting: &Setting) -> String {
    let mut help = setting.help.to_owned();
    match setting.form {
        Form::Number(least, most) if most < u32::MAX.into() => {
            help += &format!(", {least} to {}", HumanCount(most));
        }
        Form::Duration(..) => help += ", such as 60s or 10m",
        _ => {}
    }
    match (setting.form, setting.default) {
        (Form::Switch, _) | (_, None) => {}
        // Of the others the same is true, and a limit that is not there is looked for.
        (Form::Limit(..), Some(default)) => {
            help += &format!(
                "; none takes it away [default: {default}; a run that goes on keeps its own]"
            );
        }
        (_, Some(default)) => help += &format!(" [default: {default}]"),
    }
    help
}

/// Whole seconds: `90`, or in the form of humantime, such as `90s`, `10m`, `1h`.
fn seconds(setting: &Setting, text: &str) -> Result<u64> {
    let time = match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        // It would take 1.5m for 90 s.
        Err(_) if text.contains('.') => None,
        Err(_) => humantime::parse_duration(text).ok(),
    };
    let whole = time.filter(|time| time.subsec_nanos() == 0);
    whole.map(|time| time.as_secs()).ok_or_else(|| {
        let (flag, _) = setting.flag.unwrap_or((setting.name, ""));
        let why = format!("expected a time such as 60s or 10m, got {text:?}");
        Error::invalid(flag, why)
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        settings: SettingsArgs,
    }

    fn typed(flags: &[&str]) -> Result<RequestedSettings> {
        let typed = Typed::try_parse_from([&["backfill"], flags].concat());
        typed
            .unwrap_or_else(|error| panic!("{error}"))
            .settings
            .read()
    }

    #[test]
    fn times_are_read_in_their_units() {
        let setting = SETTINGS
            .iter()
            .find(|setting| setting.name == "time_box_seconds")
            .unwrap();
        for (text, expected) in [
            ("90", 90),
            ("90s", 90),
            ("2m", 120),
            ("1h", 3_600),
            ("1h 30m", 5_400),
        ] {
            assert_eq!(seconds(setting, text).unwrap(), expected, "{text}");
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
            assert!(seconds(setting, bad).is_err(), "{bad}");
        }
    }

    /// A long unit is read, and its bounds are held as those of any other time.
    #[test]
    fn a_time_box_that_no_function_has_is_refused() {
        for (text, is_good) in [("10m", true), ("1d", false), ("1M", false), ("0", false)] {
            assert_eq!(typed(&["--time-box", text]).is_ok(), is_good, "{text}");
        }
    }

    /// Each flag sets the setting that it is declared with, and nothing else.
    #[test]
    fn every_flag_sets_its_setting() {
        for setting in SETTINGS {
            let Some((flag, _)) = setting.flag else {
                continue;
            };
            let flag = format!("--{flag}");
            let (text, expected) = match setting.form {
                Form::Switch => (None, Json::Bool(true)),
                Form::Number(..) | Form::Limit(..) => (Some("7"), 7.into()),
                Form::Duration(..) => (Some("2m"), 120.into()),
                Form::Word(words) => (words.last().copied(), words[words.len() - 1].into()),
                Form::RunId | Form::Text | Form::Alarm => (Some("seven"), "seven".into()),
                Form::Hours => (Some("7:00-8:00 UTC"), "7:00-8:00 UTC".into()),
                Form::Segments => (Some("0,7"), vec![0, 7].into()),
            };
            let flags: Vec<&str> = std::iter::once(flag.as_str()).chain(text).collect();
            let read = serde_json::to_value(typed(&flags).unwrap()).unwrap();
            let mut fields = serde_json::to_value(RequestedSettings::default()).unwrap();
            fields[setting.name] = expected;
            assert_eq!(read, fields, "{flags:?}");
        }
    }

    #[test]
    fn an_error_names_the_flag_as_typed() {
        for (flags, expected) in [
            (["--segments", "1000001"], "segments: "),
            (["--only-segments", "3,3"], "only-segments: "),
            (["--run-id", "a/b"], "run-id: "),
            (["--time-box", "soon"], "time-box: "),
            (["--max-wcu", "0"], "max-wcu: "),
        ] {
            let refused = typed(&flags).unwrap_err().to_string();
            assert!(refused.starts_with(expected), "{refused}");
        }
    }

    #[test]
    fn a_limit_is_a_number_or_none() {
        let read = typed(&["--max-wcu", "none", "--max-rcu", "7"]).unwrap();
        assert_eq!((read.max_wcu, read.max_rcu), (Some(NO_LIMIT), Some(7)));
        assert!(Typed::try_parse_from(["backfill", "--max-wcu", "fast"]).is_err());
    }

    #[test]
    fn flags_go_over_what_a_file_says_and_leave_the_rest() {
        let mut settings = RequestedSettings {
            max_wcu: Some(5),
            max_passes: Some(2),
            fresh: true,
            ..RequestedSettings::default()
        };
        let typed = Typed::try_parse_from(["backfill", "--max-wcu", "9"]);
        let flags = typed.unwrap_or_else(|error| panic!("{error}")).settings;
        flags.over(&mut settings).unwrap();
        assert_eq!((settings.max_wcu, settings.max_passes), (Some(9), Some(2)));
        assert!(settings.fresh);
    }
}
