//! One connection with a tracker: a task that dials and then reads, and one that writes.

use std::io::ErrorKind;
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
    writer: AbortHandle,
    deliver: Box<dyn Fn(FromLink) + Send>,
}

impl TrackerLink {
    pub(super) fn send(&self, message: &ToTracker) {
        if let Err(why) = self.outbox.push(message) {
            // The tracker reads nothing, and nothing more is read of it. The owner is amid something else: it hears of this in its
            // next turn, and the node tries anew.
            self.reader.abort();
            self.writer.abort();
            (self.deliver)(FromLink::Closed(why.to_string()));
        }
    }
}

impl Drop for TrackerLink {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Dials `tracker`. What becomes of it goes to `deliver`; its end may be told twice, by either half. At most about `bytes_max` wait
/// to be sent.
pub(super) fn start(
    number: u64,
    transport: Arc<dyn Transport>,
    tracker: Address,
    bytes_max: usize,
    deliver: impl Fn(FromLink) + Clone + Send + 'static,
    tasks: &mut JoinSet<()>,
) -> TrackerLink {
    let (outbox, outgoing) = outbox(bytes_max);
    let (opened, halves) = tokio::sync::oneshot::channel();
    let (for_writer, for_owner) = (deliver.clone(), Box::new(deliver.clone()));
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
    let read = reader.clone();
    let writer = tasks.spawn(async move {
        let Ok(mut send) = halves.await else { return };
        if let Err(error) = outgoing.send_all(&mut *send).await {
            // The reading side need not notice: who takes nothing may only be silent.
            for_writer(FromLink::Closed(match error.kind() {
                ErrorKind::TimedOut => "it does not read what it is sent".to_owned(),
                _ => format!("the connection broke: {error}"),
            }));
            read.abort();
        }
    });
    TrackerLink { number, outbox, reader, writer, deliver: for_owner }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::mpsc;
    use tokio::task::JoinSet;
    use tokio::time::timeout;

    use super::{FromLink, TrackerLink, start};
    use crate::run::fake::{Fake, Says, Takes, connection, nowhere};
    use crate::wire::tracker::ToTracker;

    /// A link with a tracker that is silent and takes nothing, and what it delivers.
    fn link(
        bytes_max: usize,
        tasks: &mut JoinSet<()>,
    ) -> (TrackerLink, mpsc::UnboundedReceiver<FromLink>) {
        let (sender, delivered) = mpsc::unbounded_channel();
        let deliver = move |what| sender.send(what).expect("the test listens");
        let dial = || Some(connection(Says::nothing(), Takes::Nothing, Arc::default()));
        let link = start(1, Fake::dialling(dial), nowhere().into(), bytes_max, deliver, tasks);
        (link, delivered)
    }

    async fn next(delivered: &mut mpsc::UnboundedReceiver<FromLink>) -> FromLink {
        let next = timeout(Duration::from_secs(60), delivered.recv()).await;
        next.expect("it says something").expect("the link is there")
    }

    /// It was taken for open until it had been silent for too long, and what it was sent meanwhile was gone.
    #[tokio::test(start_paused = true)]
    async fn a_tracker_that_takes_nothing_is_lost_when_its_writer_gives_up() {
        let mut tasks = JoinSet::new();
        let (link, mut delivered) = link(1_000, &mut tasks);
        link.send(&ToTracker::Ping);
        assert!(matches!(next(&mut delivered).await, FromLink::Opened { .. }));
        let FromLink::Closed(why) = next(&mut delivered).await else { panic!("not closed") };
        assert_eq!(why, "it does not read what it is sent");
        while tasks.join_next().await.is_some() {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_tracker_is_lost_at_once_when_too_much_waits_for_it() {
        let mut tasks = JoinSet::new();
        let (link, mut delivered) = link(100, &mut tasks);
        assert!(matches!(next(&mut delivered).await, FromLink::Opened { .. }));
        while delivered.is_empty() {
            link.send(&ToTracker::Ping);
        }
        let FromLink::Closed(why) = next(&mut delivered).await else { panic!("not closed") };
        assert!(why.ends_with("bytes wait for it, and it does not read them"), "{why}");
        while tasks.join_next().await.is_some() {}
    }
}
