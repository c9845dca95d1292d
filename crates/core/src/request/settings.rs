//! The settings of a run, each declared once, in `settings!` below. What an operator may ask for, what a document and the
//! command's flags accept, what a run record holds, what a rerun keeps, how a change is noted and what the documents say of
//! it all follow from the declaration.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::request::Hours;
use crate::table::{Lanes, MAX_SEGMENTS, default_segments};
use crate::{Error, Result};

/// Segments at once if the operator gives no number.
const DEFAULT_CONCURRENCY: u32 = 8;
/// Most segments that `only_segments` can pick out.
pub const MAX_ONLY_SEGMENTS: usize = 10_000;
/// Most passes of one execution.
pub const MAX_PASSES: u32 = 100;
/// What takes away an alarm or hours that a run has.
pub const NONE: &str = "none";
const MOST_UNITS: u64 = u32::MAX as u64;
/// The limit that is none: it takes away that of a run which goes on. No table has so many units.
pub const NO_LIMIT: u32 = u32::MAX;

/// The declaration of every setting, for the macro `$with`.
///
/// - `chosen`: a run has one; what is left out of a request is chosen, or kept when the run goes on. A new one needs
///   `#[serde(default = …)]` before it: records of runs that were stored before it have no such field, and would be refused.
/// - `limits`: a run may have one, and keeps it when it goes on.
/// - `holders`: what may hold a run; it may have one, as a text, and keeps it when it goes on; the word `none` takes it away.
/// - `asked`: for one request; what of them a run keeps is listed in [`Settings`].
macro_rules! settings {
    ($with:ident) => {
        $with! {
            chosen {
                /// Scan segments that the table is cut into
                total_segments: u32 {
                    default: |at_once, size| default_segments(size, at_once), "by the size of the table",
                    form: Form::Number(1, MAX_SEGMENTS as u64),
                    flag: "segments" "N",
                }
                /// Segments at once
                max_concurrency: u32 {
                    default: |_, _| DEFAULT_CONCURRENCY, "8",
                    // What a distributed Map runs in parallel (Step Functions quotas).
                    form: Form::Number(1, 10_000),
                    flag: "concurrency" "N",
                }
                /// Time of one chunk
                time_box_seconds: u64 {
                    // Ten minutes: short enough for Lambda's 900 s, and long enough that its start counts for nothing.
                    default: |_, _| 600, "10m",
                    // A Lambda function lives 900 s, and the worker needs some of them to finish.
                    form: Form::Duration(1, 840),
                    flag: "time-box" "TIME",
                }
                /// Sweeps over the table before giving up
                max_passes: u32 {
                    default: |_, _| 3, "3",
                    form: Form::Number(1, MAX_PASSES as u64),
                    flag: "max-passes" "N",
                }
                /// Request that carries the updates: batches of PartiQL statements, or UpdateItem
                #[serde(default)]
                writer: WriterKind {
                    default: |_, _| WriterKind::default(), "batch",
                    form: Form::Word(&WriterKind::NAMES),
                    flag: "writer" "KIND",
                }
                /// Items that DynamoDB may refuse for good in one pass before the run fails
                #[serde(default = "default_max_rejected")]
                max_rejected: u32 {
                    default: |_, _| default_max_rejected(), "1000",
                    form: Form::Number(0, MOST_UNITS),
                    flag: "max-rejected" "N",
                }
                /// Nothing writes to the table in another region until the run has ended: what a run needs on a global table
                #[serde(default)]
                only_writer_region: bool {
                    default: |_, _| false, "false",
                    form: Form::Switch,
                    flag: "only-writer-region" "",
                }
            }
            limits {
                /// Write capacity units per second for the whole run, indexes included
                max_wcu { form: Form::Limit(1, MOST_UNITS), flag: "max-wcu" "N", }
                /// Read capacity units per second for the whole run
                max_rcu { form: Form::Limit(1, MOST_UNITS), flag: "max-rcu" "N", }
            }
            holders {
                /// CloudWatch alarm, by name or ARN, that holds the run from ALARM until it is OK again, or none
                pause_when { form: Form::Alarm, flag: "pause-when" "ALARM", }
                /// Hours in which the run works, in a time zone, such as 22:00-06:00 Europe/Berlin, or none
                hours { form: Form::Hours, flag: "hours" "HOURS", }
            }
            asked {
                /// Name of the run; made from table and spec if it is left out, so that the same spec resumes its run
                run_id: Option<String> { form: Form::RunId, flag: "run-id" "ID", }
                /// Sweep these segments and no others, then pause: a canary, such as 0 or 0,7
                only_segments: Option<Vec<u32>> { form: Form::Segments, flag: "only-segments" "N,N", }
                /// Pause when so many items are updated: a canary, which works on one segment at a time
                pause_after: Option<u32> { form: Form::Number(1, MOST_UNITS), flag: "pause-after" "N", }
                /// Start over instead of resuming
                fresh: bool { form: Form::Switch, flag: "fresh" "", }
                /// Take over a run whose owner is known to be dead
                take_over: bool { form: Form::Switch, flag: "take-over" "", }
                /// Take over the run if this is its owner, as status names it
                take_over_from: Option<String> { form: Form::Text, }
                /// Count what is pending, and write nothing to the table
                dry_run: bool { form: Form::Switch, }
            }
        }
    };
}
pub(crate) use settings;

/// A setting, for whoever reads or explains it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Its field in a spec file and in the input of an execution.
    pub name: &'static str,
    /// Its flag without dashes and the name of the flag's value; `None` if no command has it among the settings.
    pub flag: Option<(&'static str, &'static str)>,
    /// What it may be.
    pub form: Form,
    /// What it is if it is left out, for a person; `None` if there is nothing to choose.
    pub default: Option<&'static str>,
    /// What it is, without a full stop.
    pub help: &'static str,
}

/// What a setting may be. Bounds are inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A whole number, from the first to the second.
    Number(u64, u64),
    /// A number of units per second, from the first to the second, or [`NONE`], which is [`NO_LIMIT`] as a number.
    Limit(u64, u64),
    /// A time in whole seconds.
    Duration(u64, u64),
    /// One of these words.
    Word(&'static [&'static str]),
    /// A run id ([`check_run_id`]).
    RunId,
    /// A text.
    Text,
    /// The name or ARN of an alarm, or [`NONE`].
    Alarm,
    /// Windows of the day and a time zone, or [`NONE`].
    Hours,
    /// Numbers of segments, 1 to [`MAX_ONLY_SEGMENTS`] of them, each once.
    Segments,
    /// True or false.
    Switch,
}

impl Form {
    /// Refuses a number out of bounds, naming the field.
    fn check(self, name: &str, value: &impl Shown) -> Result<()> {
        let bounds = match self {
            Form::Number(least, most) | Form::Limit(least, most) | Form::Duration(least, most) => {
                least..=most
            }
            _ => return Ok(()),
        };
        match value.number() {
            Some(number) if !bounds.contains(&number) => {
                let (least, most) = bounds.into_inner();
                Err(Error::invalid(
                    name,
                    format!("expected {least} to {most}, got {number}"),
                ))
            }
            _ => Ok(()),
        }
    }
}

macro_rules! structs {
    (
        chosen { $(
            #[doc = $c_help:literal] $(#[serde($($c_serde:tt)*)])?
            $chosen:ident: $c_type:ty {
                default: $c_default:expr, $c_shown:literal,
                form: $c_form:expr,
                flag: $c_flag:literal $c_value:literal,
            }
        )* }
        limits { $(
            #[doc = $l_help:literal]
            $limit:ident { form: $l_form:expr, flag: $l_flag:literal $l_value:literal, }
        )* }
        holders { $(
            #[doc = $h_help:literal]
            $holder:ident { form: $h_form:expr, flag: $h_flag:literal $h_value:literal, }
        )* }
        asked { $(
            #[doc = $a_help:literal]
            $asked:ident: $a_type:ty { form: $a_form:expr, $(flag: $a_flag:literal $a_value:literal,)? }
        )* }
    ) => {
        /// Every setting, in the order of their declaration.
        pub const SETTINGS: &[Setting] = &[
            $(Setting {
                name: stringify!($chosen),
                flag: Some(($c_flag, $c_value)),
                form: $c_form,
                default: Some($c_shown),
                help: $c_help.trim_ascii_start(),
            },)*
            $(Setting {
                name: stringify!($limit),
                flag: Some(($l_flag, $l_value)),
                form: $l_form,
                default: Some("no limit"),
                help: $l_help.trim_ascii_start(),
            },)*
            $(Setting {
                name: stringify!($holder),
                flag: Some(($h_flag, $h_value)),
                form: $h_form,
                default: None,
                help: $h_help.trim_ascii_start(),
            },)*
            $(Setting {
                name: stringify!($asked),
                flag: { let flag: &[(&str, &str)] = &[$(($a_flag, $a_value))?]; flag.first().copied() },
                form: $a_form,
                default: None,
                help: $a_help.trim_ascii_start(),
            },)*
        ];

        /// The settings that an operator asks for. What is left out is chosen, or kept when a run goes on.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct RequestedSettings {
            $(#[doc = $c_help] #[serde(skip_serializing_if = "is_default")] pub $chosen: Option<$c_type>,)*
            $(#[doc = $l_help] #[serde(skip_serializing_if = "is_default")] pub $limit: Option<u32>,)*
            $(#[doc = $h_help] #[serde(skip_serializing_if = "is_default")] pub $holder: Option<String>,)*
            $(#[doc = $a_help] #[serde(skip_serializing_if = "is_default")] pub $asked: $a_type,)*
        }

        /// The settings of a run, all chosen.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Settings {
            $(#[doc = $c_help] $(#[serde($($c_serde)*)])? pub $chosen: $c_type,)*
            $(
                #[doc = $l_help]
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $limit: Option<u32>,
            )*
            $(
                #[doc = $h_help]
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $holder: Option<String>,
            )*
            /// Sweep these segments and no others, then pause. Empty: all of them.
            #[serde(default, skip_serializing_if = "Vec::is_empty")]
            pub only_segments: Vec<u32>,
            /// Pause when so many items are updated, and work on one segment at a time until then.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub pause_after: Option<u32>,
            /// No worker may work for this run: it only counts.
            #[serde(default, skip_serializing_if = "std::ops::Not::not")]
            pub dry_run: bool,
        }

        impl RequestedSettings {
            /// Refuses numbers out of bounds, naming the field.
            fn check_bounds(&self) -> Result<()> {
                $(Form::check($c_form, stringify!($chosen), &self.$chosen)?;)*
                $(Form::check($l_form, stringify!($limit), &self.$limit)?;)*
                $(Form::check($a_form, stringify!($asked), &self.$asked)?;)*
                Ok(())
            }

            /// The settings of a run on a table of `size_bytes`, with what is left open chosen.
            pub fn choose(&self, size_bytes: u64) -> Settings {
                let at_once = self.max_concurrency.unwrap_or(DEFAULT_CONCURRENCY);
                Settings {
                    $($chosen: self.$chosen.unwrap_or_else(|| {
                        let default: fn(u32, u64) -> $c_type = $c_default;
                        default(at_once, size_bytes)
                    }),)*
                    $($limit: self.$limit.filter(|units| *units != NO_LIMIT),)*
                    $($holder: self.$holder.clone().filter(|text| text != NONE),)*
                    only_segments: self.only_segments.clone().unwrap_or_default(),
                    pause_after: self.pause_after,
                    dry_run: self.dry_run,
                }
            }

            /// Fills what is left open with what was chosen for the run before.
            pub(crate) fn keep(&mut self, before: &Settings) {
                $(self.$chosen = self.$chosen.or(Some(before.$chosen));)*
                $(self.$limit = self.$limit.or(before.$limit);)*
                $(self.$holder = self.$holder.take().or_else(|| before.$holder.clone());)*
            }
        }

        impl Settings {
            /// The request for a run with these settings: a canary stays one, since who has asked for it has not asked
            /// for the rest.
            pub(crate) fn request(&self) -> RequestedSettings {
                RequestedSettings {
                    $($chosen: Some(self.$chosen),)*
                    $($limit: self.$limit,)*
                    $($holder: self.$holder.clone(),)*
                    only_segments: (!self.only_segments.is_empty()).then(|| self.only_segments.clone()),
                    pause_after: self.pause_after,
                    dry_run: self.dry_run,
                    ..RequestedSettings::default()
                }
            }

            /// What differs from these settings: the name, what it was, and what it is now.
            pub(crate) fn changes_since(&self, before: &Settings) -> Vec<(&'static str, String, String)> {
                let settings = [
                    $((stringify!($limit), before.$limit.shown(), self.$limit.shown()),)*
                    $((stringify!($chosen), before.$chosen.shown(), self.$chosen.shown()),)*
                    $((stringify!($holder), before.$holder.shown(), self.$holder.shown()),)*
                    ("only_segments", before.only_segments.shown(), self.only_segments.shown()),
                    ("pause_after", before.pause_after.shown(), self.pause_after.shown()),
                ];
                settings.into_iter().filter(|(_, old, new)| old != new).collect()
            }
        }
    };
}
settings!(structs);

impl Settings {
    /// Whether this execution is to sweep the segment: it is picked out, or all are.
    pub fn includes(&self, segment: u32) -> bool {
        self.only_segments.is_empty() || self.only_segments.contains(&segment)
    }

    /// Whether something of these holds a run back or ends it before its time.
    pub(crate) fn is_held_back(&self) -> bool {
        self.pause_after.is_some() || self.pause_when.is_some() || self.hours.is_some()
    }

    /// Segments at once: one until so many items are updated that the run pauses, so that these can be counted one by one.
    pub fn at_once(&self) -> u32 {
        match self.pause_after {
            Some(_) => 1,
            None => self.max_concurrency,
        }
    }

    /// The lanes that the segments lie in.
    pub fn lanes(&self) -> Lanes {
        Lanes::new(self.total_segments, self.max_concurrency)
    }

    /// Most workers that are at work at once.
    pub fn workers(&self) -> u32 {
        self.at_once().min(self.total_segments).max(1)
    }
}

impl RequestedSettings {
    /// The same with what is left open filled by what was chosen for the run that is there, if there is one: a run that goes on
    /// keeps that, and one that starts over does not.
    pub fn kept(&self, stored: Option<&Settings>) -> RequestedSettings {
        let mut kept = self.clone();
        if let Some(stored) = stored.filter(|_| !self.fresh) {
            kept.keep(stored);
        }
        kept
    }

    /// Refuses values out of range.
    ///
    /// Errors: `InvalidInput`, which names the field.
    pub fn check(&self) -> Result<()> {
        self.check_bounds()?;
        if let Some(only) = &self.only_segments {
            self.check_only_segments(only)?;
        }
        if self.pause_after.is_some() && self.dry_run {
            let why = "a dry run updates nothing; leave it out";
            return Err(Error::invalid("pause_after", why));
        }
        let given = |text: &Option<String>| text.clone().filter(|text| text != NONE);
        if let Some(hours) = given(&self.hours) {
            Hours::parse(&hours)?;
        }
        if let Some(alarm) = given(&self.pause_when) {
            check_alarm(&alarm)?;
        }
        match &self.run_id {
            Some(id) => check_run_id(id),
            None => Ok(()),
        }
    }

    fn check_only_segments(&self, only: &[u32]) -> Result<()> {
        let wrong = |why: String| Err(Error::invalid("only_segments", why));
        if !(1..=MAX_ONLY_SEGMENTS).contains(&only.len()) {
            return wrong(format!(
                "expected 1 to {MAX_ONLY_SEGMENTS} segments, got {}",
                only.len()
            ));
        }
        if self.dry_run {
            return wrong("a dry run counts the whole table; leave it out".into());
        }
        let mut named = BTreeSet::new();
        if let Some(segment) = only.iter().find(|segment| !named.insert(**segment)) {
            return wrong(format!(
                "segment {segment} is named twice; name each segment once"
            ));
        }
        let last = self.total_segments.unwrap_or(MAX_SEGMENTS) - 1;
        match only.iter().find(|segment| **segment > last) {
            Some(segment) => wrong(format!("expected 0 to {last}, got segment {segment}")),
            None => Ok(()),
        }
    }
}

/// Refuses what can be neither the name nor the ARN of an alarm.
///
/// Errors: `InvalidInput`.
fn check_alarm(alarm: &str) -> Result<()> {
    // A name has up to 255 characters, and an ARN the name behind what else it tells.
    if alarm.is_empty() || alarm.len() > 512 || alarm.chars().any(char::is_control) {
        let why = "expected the name or the ARN of an alarm";
        return Err(Error::invalid("pause_when", why));
    }
    Ok(())
}

/// Refuses what is not a run id: 1 to 268 of the characters of a table name, so that `<table>-<8 hex digits>-dry` always is
/// one.
///
/// Errors: `InvalidInput`.
pub fn check_run_id(id: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if id.is_empty() || id.len() > 268 || !id.chars().all(allowed) {
        return Err(Error::invalid(
            "run_id",
            format!("{id:?} is not a run id; expected 1 to 268 of a-z A-Z 0-9 _ - ."),
        ));
    }
    Ok(())
}

/// The default of `max_rejected`. A thousand is enough for the odd item that is too large, and few enough to look at.
fn default_max_rejected() -> u32 {
    1_000
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// How a setting stands in an event of the run record, and as a number if it is one.
pub(crate) trait Shown {
    fn shown(&self) -> String;

    fn number(&self) -> Option<u64> {
        None
    }
}

impl Shown for u32 {
    fn shown(&self) -> String {
        self.to_string()
    }

    fn number(&self) -> Option<u64> {
        Some((*self).into())
    }
}

impl Shown for u64 {
    fn shown(&self) -> String {
        self.to_string()
    }

    fn number(&self) -> Option<u64> {
        Some(*self)
    }
}

impl Shown for String {
    fn shown(&self) -> String {
        self.clone()
    }
}

impl Shown for bool {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for WriterKind {
    fn shown(&self) -> String {
        self.name().into()
    }
}

impl<T: Shown> Shown for Option<T> {
    fn shown(&self) -> String {
        self.as_ref().map_or_else(|| "none".into(), T::shown)
    }

    fn number(&self) -> Option<u64> {
        self.as_ref()?.number()
    }
}

impl Shown for Vec<u32> {
    fn shown(&self) -> String {
        if self.is_empty() {
            return "all".into();
        }
        let numbers: Vec<String> = self.iter().map(u32::to_string).collect();
        numbers.join(",")
    }
}

/// The request that carries the guarded updates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriterKind {
    /// BatchExecuteStatement if it can do what the spec asks, else UpdateItem.
    #[default]
    Batch,
    /// UpdateItem.
    UpdateItem,
}

impl WriterKind {
    /// Every [`WriterKind::name`].
    pub const NAMES: [&'static str; 2] = [WriterKind::Batch.name(), WriterKind::UpdateItem.name()];

    /// The word in JSON and for people.
    pub const fn name(self) -> &'static str {
        match self {
            WriterKind::Batch => "batch",
            WriterKind::UpdateItem => "update-item",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_can_be_taken_away_from_a_run_that_goes_on() {
        let mut asked = RequestedSettings {
            max_wcu: Some(NO_LIMIT),
            ..RequestedSettings::default()
        };
        let mut before = RequestedSettings::default().choose(0);
        (before.max_wcu, before.max_rcu) = (Some(5), Some(6));
        asked.keep(&before);
        let settings = asked.choose(0);
        assert_eq!((settings.max_wcu, settings.max_rcu), (None, Some(6)));
    }

    #[test]
    fn a_run_keeps_what_was_chosen_unless_it_starts_over() {
        let asked = RequestedSettings {
            max_wcu: Some(7),
            ..RequestedSettings::default()
        };
        let mut before = RequestedSettings::default().choose(0);
        (before.max_wcu, before.max_rcu) = (Some(5), Some(6));
        before.only_writer_region = true;
        let kept = |asked: &RequestedSettings, before| {
            let settings = asked.kept(before).choose(0);
            (
                settings.max_wcu,
                settings.max_rcu,
                settings.only_writer_region,
            )
        };
        assert_eq!(kept(&asked, Some(&before)), (Some(7), Some(6), true));
        assert_eq!(kept(&asked, None), (Some(7), None, false));
        let fresh = RequestedSettings {
            fresh: true,
            ..asked
        };
        assert_eq!(kept(&fresh, Some(&before)), (Some(7), None, false));
    }

    /// What people are told of a default is what a run gets.
    #[test]
    fn shown_defaults_are_those_that_are_chosen() {
        let chosen = serde_json::to_value(RequestedSettings::default().choose(0)).unwrap();
        for setting in SETTINGS {
            let Some(shown) = setting.default else {
                continue;
            };
            let value = match (&chosen[setting.name], setting.form) {
                (serde_json::Value::String(word), _) => word.clone(),
                (seconds, Form::Duration(..)) => {
                    format!("{}m", seconds.as_u64().unwrap() / 60)
                }
                (serde_json::Value::Null, _) => "no limit".into(),
                _ if setting.name == "total_segments" => "by the size of the table".into(),
                (number, _) => number.to_string(),
            };
            assert_eq!(value, shown, "{}", setting.name);
        }
    }
}
