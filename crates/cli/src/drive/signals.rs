//! How an operator stops a command.

use tokio_util::sync::CancellationToken;

use crate::show::{print, watch};

/// Cancelled by the first SIGINT or SIGTERM, with these words; the second one ends the process at once.
pub fn stop_on_signal(words: &'static str) -> CancellationToken {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        let (Ok(mut interrupt), Ok(mut terminate)) = (
            signal(SignalKind::interrupt()),
            signal(SignalKind::terminate()),
        ) else {
            return;
        };
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if token.is_cancelled() {
                stop_at_once();
            }
            print::say(words);
            token.cancel();
        }
    });
    stop
}

/// Ends the process as a second ctrl-C does.
pub fn stop_at_once() -> ! {
    watch::restore_terminal();
    std::process::exit(130);
}
