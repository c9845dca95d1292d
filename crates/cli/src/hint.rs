//! What the texts of this command tell people to type next.

use backfill_core::request::SETTINGS;

/// Name of the checkpoint table if none is given; the one of a stack with the default name.
pub const CHECKPOINT_TABLE: &str = "backfill-checkpoints";

/// A command on a run, such as `backfill resume --run-id stuff-0b4b8a0e`.
pub fn on_run(command: &str, run_id: &str, checkpoint_table: &str) -> String {
    let mut typed = format!("backfill {command} --run-id {run_id}");
    if checkpoint_table != CHECKPOINT_TABLE {
        typed += &format!(" --checkpoint-table {checkpoint_table}");
    }
    typed
}

/// A message of the core in flags: the field that it begins with, as in `run_id: …`, and the setting that its advice ends with,
/// as in `… start over (fresh)`. What stands between may be an operator's own expression, and stays.
pub fn in_flags(message: &str) -> String {
    let flags = || SETTINGS.iter().filter_map(|s| Some((s.name, s.flag?.0)));
    let begins = flags().find_map(|(name, flag)| {
        let why = message.strip_prefix(name)?.strip_prefix(": ")?;
        Some(format!("{flag}: {why}"))
    });
    let message = begins.unwrap_or_else(|| message.to_owned());
    let ends = flags().find_map(|(name, flag)| {
        let advice = message.strip_suffix(&format!("({name})"))?;
        Some(format!("{advice}(--{flag})"))
    });
    ends.unwrap_or(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_advice_are_flags_and_expressions_are_not() {
        for (message, said) in [
            (
                "run_id: run r has another spec: attribute_not_exists(writer); start over (fresh)",
                "run-id: run r has another spec: attribute_not_exists(writer); start over (--fresh)",
            ),
            (
                "total_segments: 4 were requested",
                "segments: 4 were requested",
            ),
            ("take it over (take_over)", "take it over (--take-over)"),
            ("update: attribute_exists(a)", "update: attribute_exists(a)"),
            ("max_wcu", "max_wcu"),
        ] {
            assert_eq!(in_flags(message), said);
        }
    }
}
