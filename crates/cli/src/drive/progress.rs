//! What takes its time and is no run, with its progress.

use std::future::Future;
use std::time::Duration;

use crate::show::progress::Tally;

/// How often progress is shown.
const EVERY: Duration = Duration::from_millis(500);

/// Waits for `work`, and shows meanwhile how far it is of so many items or other things, by their name: `now` says how many are done,
/// and what else there is to say.
pub async fn with_progress<T>(
    work: impl Future<Output = T>,
    doing: impl Into<String>,
    things: &'static str,
    expected: u64,
    now: impl Fn() -> (u64, String),
) -> T {
    let mut tally = Tally::new(doing, things, Some(expected));
    tokio::pin!(work);
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            () = tokio::time::sleep(EVERY) => {
                let (done, more) = now();
                tally.show(done, &more);
            }
        }
    };
    tally.finish();
    done
}
