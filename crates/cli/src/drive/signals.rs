//! How an operator stops a command.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::show::{print, watch};

/// Whether the terminal or the connection to it is gone.
static HAS_HUNG_UP: AtomicBool = AtomicBool::new(false);

/// The signals that stop a command, and what they have done so far.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// None if whoever started this process wants it to outlive the terminal (`nohup`).
    hangup: Option<Signal>,
    was_told: bool,
}

/// Cancelled by the first SIGINT, SIGTERM or SIGHUP, with these words; the second SIGINT or SIGTERM ends the process at once. A
/// SIGHUP that is ignored from the start, as under `nohup`, stays ignored.
pub fn stop_on_signal(words: &'static str) -> CancellationToken {
    let stop = CancellationToken::new();
    let token = stop.clone();
    let (ready, is_ready) = channel();
    // A thread of its own hears them whatever the others wait for.
    let thread = std::thread::Builder::new().name("signals".into());
    let started = thread.spawn(move || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let Ok(runtime) = builder.enable_io().build() else {
            return;
        };
        runtime.block_on(async {
            // Without them the signals end the process, as they end any other.
            let Ok(signals) = Signals::take() else {
                return;
            };
            drop(ready);
            signals.obey(words, &token).await;
        });
    });
    if started.is_ok() {
        // It ends with the sender: from now on no signal is missed.
        let _: Result<(), _> = is_ready.recv();
    }
    stop
}

impl Signals {
    fn take() -> std::io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: match ignores_hangup() {
                true => None,
                false => Some(signal(SignalKind::hangup())?),
            },
            was_told: false,
        })
    }

    async fn obey(mut self, words: &str, stop: &CancellationToken) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => self.told(),
                _ = self.terminate.recv() => self.told(),
                () = hangup(&mut self.hangup) => HAS_HUNG_UP.store(true, Ordering::SeqCst),
            }
            if !stop.is_cancelled() {
                print::stop_waiting();
                print::say(words);
                stop.cancel();
            }
        }
    }

    /// Somebody wants an end. Whoever says so twice does not want to wait. A terminal that goes away says it in more ways than one.
    fn told(&mut self) {
        if self.was_told {
            stop_at_once();
        }
        self.was_told = true;
    }
}

/// The next SIGHUP; never, if it is ignored.
async fn hangup(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether the terminal or the connection to it went away.
pub fn has_hung_up() -> bool {
    HAS_HUNG_UP.load(Ordering::SeqCst)
}

/// Whether SIGHUP was ignored when this process began. If that cannot be seen, it was not.
fn ignores_hangup() -> bool {
    // Read once: what is ignored now is handled later.
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| ignores(&status, 1))
}

/// Whether the signal of this number is ignored, by the mask in `/proc/self/status`.
fn ignores(status: &str, signal: u32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Ends the process as a second ctrl-C does.
pub fn stop_at_once() -> ! {
    watch::restore_terminal();
    print::finish_at_once();
    std::process::exit(130);
}

#[cfg(test)]
mod tests {
    use super::ignores;

    #[test]
    fn ignored_signals_are_those_of_the_mask() {
        let status = "Name:\tbackfill\nSigIgn:\t0000000000001001\nSigCgt:\t00000001ffffffff\n";
        let ignored: Vec<u32> = (1..=64).filter(|signal| ignores(status, *signal)).collect();
        assert_eq!(ignored, [1, 13]);
        assert!(!ignores("SigIgn:\tffffff", 64));
        assert!(!ignores("SigIgn:\tnonsense", 1));
        assert!(!ignores("", 1));
    }
}
