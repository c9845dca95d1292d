//! Signals as a command on a terminal has them, also if the tests run under `nohup` or in the background of a script.

use std::sync::{Arc, Once};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

/// Those by which an operator stops a command.
const STOPS: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// Lets what this process starts have the signals of HUP, INT, QUIT and TERM by default. A child ignores what its parent ignores, as `nohup` makes it
/// for SIGHUP; what its parent handles is the default in a child. So a signal that is ignored here is handled from now on, by nothing.
pub fn default_in_children() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        for signal in ignored(&status) {
            signal_hook::flag::register(signal, Arc::default()).expect("a signal to be handled");
        }
    });
}

/// Which of [`STOPS`] a process ignores, by its `/proc/…/status`.
fn ignored(status: &str) -> Vec<i32> {
    let mask = (status.lines())
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default();
    let is_ignored = |signal: &i32| mask >> (signal - 1) & 1 == 1;
    STOPS.into_iter().filter(is_ignored).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::ignored;
    use crate::command::{Ended, backfill_of};

    /// Set for the copy of this program that a test starts.
    const INNER: &str = "BACKFILL_TEST_INNER";

    /// This very test again, as a script has it that ignores every signal; there it looks at a child.
    #[test]
    fn a_command_has_its_signals_also_if_the_tests_ignore_them() {
        if std::env::var_os(INNER).is_some() {
            let own = std::fs::read_to_string("/proc/self/status").unwrap();
            assert_eq!(ignored(&own), super::STOPS, "the script ignores them");
            let status = ["SigIgn", "/proc/self/status"];
            let child = Ended::run(&mut backfill_of(Path::new("grep"), status)).expect_code(0);
            assert_eq!(ignored(&child.stdout), [0; 0], "{child:?}");
            return;
        }
        let name = "signals::tests::a_command_has_its_signals_also_if_the_tests_ignore_them";
        let inner = Command::new("sh")
            .args([
                "-c",
                "trap '' HUP INT QUIT TERM; exec \"$0\" --exact \"$1\"",
            ])
            .arg(std::env::current_exe().unwrap())
            .arg(name)
            .env(INNER, "1")
            .output();
        let inner = inner.unwrap();
        let said = String::from_utf8_lossy(&inner.stdout);
        assert!(
            inner.status.success() && said.contains("1 passed"),
            "{said}"
        );
    }
}
