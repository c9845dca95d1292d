//! The oldest record of a stream that is not seen yet, as a process finds it that does not watch itself.

use crate::pace::retry::{PATIENCE, Until, retry};
use crate::ports::stream::{Begin, Iterator, Read, StreamReader, Unreadable};
use crate::records::{GuardRecord, ShardPosition};
use crate::{Error, ErrorKind, Result};

/// Pages of a shard that are read for its next record at most: a page may be empty though there are records behind it. As many as a
/// process takes for a sign that a shard has nothing new; with fewer a record was overlooked, and a younger one told as the oldest.
const MOST_PAGES: usize = 10;

/// When the oldest record was made that is behind what these positions say of the guard, in milliseconds since 1970, to the second; `None` if nothing is found
/// there. A record that is gone from the stream is not found: whoever watches notes that as a loss.
///
/// Errors: those of the stream; `Internal` if it is one that cannot be understood, which does not tell its time.
pub async fn oldest_unseen_ms<R: StreamReader>(
    stream: &R,
    guard: &GuardRecord,
    positions: &[ShardPosition],
) -> Result<Option<u64>> {
    let until = Until::after(PATIENCE);
    let stream_arn = &guard.stream_arn;
    let described = retry(&until, || stream.describe_stream(stream_arn)).await?;
    let mut oldest = None;
    for shard in &described.shards {
        let mut counting = positions.iter().filter(|at| guard.counts(at));
        let position = counting.find(|at| at.shard == shard.id);
        if position.is_some_and(|at| at.is_exhausted) {
            continue;
        }
        let settled = position.and_then(|at| at.settled.as_deref());
        let begin = settled.map_or(Begin::Oldest, Begin::After);
        let begun = retry(&until, || stream.iterator(stream_arn, &shard.id, begin)).await?;
        let begun = match begun {
            // What lay behind the position is gone, and what is there still was not seen.
            Iterator::Trimmed if settled.is_some() => {
                let oldest = || stream.iterator(stream_arn, &shard.id, Begin::Oldest);
                retry(&until, oldest).await?
            }
            begun => begun,
        };
        let Iterator::At(mut place) = begun else {
            continue;
        };
        for _ in 0..MOST_PAGES {
            let read = retry(&until, || stream.read(&place, 1)).await?;
            let Read::Records(records, next) = read else {
                break;
            };
            if let Some(record) = records.into_iter().next() {
                let unknown = |odd: Unreadable| Error::new(ErrorKind::Internal, odd.why);
                let record = record.map_err(unknown)?;
                oldest = Some(oldest.unwrap_or(u64::MAX).min(record.at_ms));
                break;
            }
            match next {
                Some(next) => place = next,
                None => break,
            }
        }
    }
    Ok(oldest)
}
