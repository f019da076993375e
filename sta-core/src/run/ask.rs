//! Asks a tracker something, once, without taking part in anything.

use std::io;

use tokio::time::timeout;

use super::frames::ReadError;
use crate::io::transport::{Batch, Connection, Transport};
use crate::model::address::Address;
use crate::model::limits;
use crate::model::text::printable;
use crate::wire::frame::{FROM_TRACKER_LIMITS, FrameDecoder, PREAMBLE, TRACKER_READ_BYTES, encode};
use crate::wire::tracker::{FromTracker, ToTracker};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It cannot be reached.
    #[error(
        "cannot reach the tracker {tracker}: {source}; is it running, and is this its address?"
    )]
    Connect {
        /// Which tracker.
        tracker: Address,
        /// What the system said.
        source: io::Error,
    },
    /// It has been reached, and does not answer as a tracker does.
    #[error("the tracker {tracker} gives no answer: {source}")]
    Lost {
        /// Which tracker.
        tracker: Address,
        /// What was wrong.
        source: ReadError,
    },
    /// It has said why not.
    #[error("the tracker {tracker} refuses: {why}")]
    Refused {
        /// Which tracker.
        tracker: Address,
        /// The reason it gave.
        why: String,
    },
}

/// What a message of the tracker means to who asked.
pub(super) enum Heard<T> {
    /// There is more to come.
    More,
    /// This is to be asked next.
    Next(ToTracker),
    /// The answer is whole.
    Whole(T),
    /// There will be no answer of use.
    Useless(String),
}

/// Asks `tracker` the `first` question; `hear` puts the answer together from its messages.
///
/// # Errors
/// If the tracker cannot be reached, falls silent, speaks something else or refuses.
pub(super) async fn ask<T>(
    transport: &dyn Transport,
    tracker: &Address,
    first: &ToTracker,
    hear: impl FnMut(FromTracker) -> Heard<T>,
) -> Result<T, AskError> {
    let dialed = timeout(limits::DIAL_TIMEOUT, transport.connect(tracker)).await;
    let connection = dialed.map_err(io::Error::from).and_then(|dialed| dialed);
    let mut connection =
        connection.map_err(|source| AskError::Connect { tracker: tracker.clone(), source })?;
    let answer = converse(&mut connection, first, hear).await;
    let answer = answer.map_err(|source| AskError::Lost { tracker: tracker.clone(), source })?;
    answer.map_err(|why| AskError::Refused { tracker: tracker.clone(), why: printable(&why) })
}

async fn converse<T>(
    connection: &mut Connection,
    first: &ToTracker,
    mut hear: impl FnMut(FromTracker) -> Heard<T>,
) -> Result<Result<T, String>, ReadError> {
    let mut batch = Batch::default();
    batch.heads.extend_from_slice(PREAMBLE);
    encode(first, 0, &mut batch.heads);
    connection.send.send(&mut batch).await.map_err(io::Error::from)?;
    let mut decoder = FrameDecoder::new(FROM_TRACKER_LIMITS, TRACKER_READ_BYTES);
    loop {
        while let Some((message, _)) = decoder.next_message()? {
            let heard = match message {
                FromTracker::Error { why } => Heard::Useless(why),
                message => hear(message),
            };
            match heard {
                Heard::More => {}
                Heard::Next(question) => {
                    batch.clear();
                    encode(&question, 0, &mut batch.heads);
                    connection.send.send(&mut batch).await.map_err(io::Error::from)?;
                }
                Heard::Whole(answer) => return Ok(Ok(answer)),
                Heard::Useless(why) => return Ok(Err(why)),
            }
        }
        // However slowly a long answer comes over a crowded link, it comes.
        let read = connection.recv.recv(decoder.space());
        let read =
            timeout(limits::TRACKER_ANSWER_TIMEOUT, read).await.map_err(io::Error::from)??;
        if read == 0 {
            return Err(ReadError::End);
        }
        decoder.filled(read);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{AskError, FromTracker};
    use crate::model::ids::InfoHash;
    use crate::model::limits::TRACKER_ANSWER_TIMEOUT;
    use crate::run::fake::{Fake, Says, Takes, connection, nowhere};
    use crate::run::torrent::fetch;

    const TORRENT: InfoHash = InfoHash([7; 20]);

    /// Asks a tracker that says so many bytes of its answer, of 300, at a time, and how long it takes for each.
    async fn asked(bytes: usize, every: Duration) -> Result<Vec<u8>, AskError> {
        let data = "AAAA".repeat(75);
        let answer = FromTracker::Torrent { torrent: TORRENT, at: 0, total: 225, data };
        let dial = move || {
            let says = Says::messages([&answer]).slowly(bytes, every);
            Some(connection(says, Takes::slowly(u64::MAX, Duration::ZERO), Arc::new(())))
        };
        fetch(&*Fake::dialling(dial), &nowhere().into(), TORRENT).await
    }

    /// Over an uplink that many share, a `.torrent` file of usual size took longer than an answer might.
    #[tokio::test(start_paused = true)]
    async fn an_answer_may_take_long_while_some_of_it_comes() {
        let steady = asked(20, TRACKER_ANSWER_TIMEOUT / 2).await;
        assert_eq!(steady.expect("it comes"), [0; 225]);
        let silent = asked(20, TRACKER_ANSWER_TIMEOUT * 2).await;
        assert!(matches!(silent, Err(AskError::Lost { .. })));
    }
}
