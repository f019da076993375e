//! One connection with a tracker: a task that dials and then reads, and one that writes.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::io::transport::Transport;
use crate::model::address::Address;
use crate::model::limits;
use crate::run::frames::{Outbox, outbox, read_messages};
use crate::wire::frame::{FrameDecoder, TRACKER_LIMITS, TRACKER_READ_BYTES};
use crate::wire::tracker::{FromTracker, ToTracker};

/// What a link tells the owner of the node.
#[derive(Debug)]
pub(super) enum FromLink {
    /// The connection stands.
    Opened { remote: SocketAddr },
    /// The tracker has spoken.
    Message(FromTracker),
    /// It is over, or could not be made; the reason, for a person.
    Closed(String),
}

/// The owner's end of a link. Dropping it sends what was queued and ends the connection.
pub(super) struct TrackerLink {
    /// Tells this link from earlier ones with the same tracker.
    pub(super) number: u64,
    outbox: Outbox,
    reader: AbortHandle,
}

impl TrackerLink {
    pub(super) fn send(&self, message: &ToTracker) {
        if self.outbox.push(message).is_err() {
            // The tracker reads nothing. Without its reader the link ends, and the node tries anew.
            self.reader.abort();
        }
    }
}

impl Drop for TrackerLink {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Dials `tracker`. What becomes of it goes to `deliver`.
pub(super) fn start(
    number: u64,
    transport: Arc<dyn Transport>,
    tracker: Address,
    deliver: impl Fn(FromLink) + Send + 'static,
    tasks: &mut JoinSet<()>,
) -> TrackerLink {
    let (outbox, outgoing) = outbox(limits::TRACKER_LINK_OUTBOX_BYTES_MAX);
    let (opened, halves) = tokio::sync::oneshot::channel();
    let reader = tasks.spawn(async move {
        let dialled = timeout(limits::DIAL_TIMEOUT, transport.connect(&tracker)).await;
        let connection = match dialled {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return deliver(FromLink::Closed(error.to_string())),
            Err(_) => return deliver(FromLink::Closed("it does not answer".into())),
        };
        deliver(FromLink::Opened { remote: connection.remote });
        if opened.send(connection.send).is_err() {
            return;
        }
        let (mut recv, mut decoder) =
            (connection.recv, FrameDecoder::new(TRACKER_LIMITS, TRACKER_READ_BYTES));
        loop {
            match read_messages(&mut *recv, &mut decoder).await {
                Ok(messages) => messages.into_iter().map(FromLink::Message).for_each(&deliver),
                Err(why) => return deliver(FromLink::Closed(why.to_string())),
            }
        }
    });
    tasks.spawn(async move {
        let Ok(mut send) = halves.await else { return };
        // An error shows on the reading side, which reports it.
        let _ = outgoing.send_all(&mut *send).await;
    });
    TrackerLink { number, outbox, reader }
}
