//! One connection with a tracker: a task that dials and then reads, and one that writes.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::io::transport::Transport;
use crate::model::address::Address;
use crate::model::limits;
use crate::run::frames::{Outbox, outbox, read_messages};
use crate::wire::frame::{FROM_TRACKER_LIMITS, FrameDecoder, TRACKER_READ_BYTES};
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
    deliver: Box<dyn Fn(FromLink, Option<OwnedSemaphorePermit>) + Send>,
}

impl TrackerLink {
    pub(super) fn send(&self, message: &ToTracker) {
        if let Err(why) = self.outbox.push(message) {
            // The tracker reads nothing, and nothing more is read of it. The owner is amid something else: it hears of this in its
            // next turn, and the node tries anew.
            self.reader.abort();
            self.writer.abort();
            (self.deliver)(FromLink::Closed(why.to_string()), None);
        }
    }
}

impl Drop for TrackerLink {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Dials `tracker`. What becomes of it goes to `deliver`, with a permit that is held until the owner has taken it: a tracker that says
/// more than the owner can hear is not read. The end may be told twice, by either half. At most about `bytes_max` wait to be sent.
pub(super) fn start(
    number: u64,
    transport: Arc<dyn Transport>,
    tracker: Address,
    bytes_max: usize,
    deliver: impl Fn(FromLink, Option<OwnedSemaphorePermit>) + Clone + Send + 'static,
    tasks: &mut JoinSet<()>,
) -> TrackerLink {
    let (outbox, outgoing) = outbox(bytes_max);
    let (opened, halves) = oneshot::channel();
    let (for_writer, for_owner) = (deliver.clone(), Box::new(deliver.clone()));
    let reader = tasks.spawn(async move {
        let dialled = timeout(limits::DIAL_TIMEOUT, transport.connect(&tracker)).await;
        let connection = match dialled {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return deliver(FromLink::Closed(error.to_string()), None),
            Err(_) => return deliver(FromLink::Closed("it does not answer".into()), None),
        };
        deliver(FromLink::Opened { remote: connection.remote }, None);
        if opened.send(connection.send).is_err() {
            return;
        }
        let credit = Arc::new(Semaphore::new(limits::MESSAGES_UNHANDLED_MAX));
        let (mut recv, mut decoder) =
            (connection.recv, FrameDecoder::new(FROM_TRACKER_LIMITS, TRACKER_READ_BYTES));
        loop {
            let messages = match read_messages(&mut *recv, &mut decoder).await {
                Ok(messages) => messages,
                Err(why) => return deliver(FromLink::Closed(why.to_string()), None),
            };
            for message in messages {
                let permit = Arc::clone(&credit).acquire_owned().await.ok();
                deliver(FromLink::Message(message), permit);
            }
        }
    });
    let read = reader.clone();
    let writer = tasks.spawn(async move {
        let Ok(mut send) = halves.await else { return };
        if let Err(error) = outgoing.send_all(&mut *send).await {
            // The reading side need not notice: who takes nothing may only be silent.
            let why = match error.kind() {
                ErrorKind::TimedOut => "it does not read what it is sent".to_owned(),
                _ => format!("the connection broke: {error}"),
            };
            for_writer(FromLink::Closed(why), None);
            read.abort();
        }
    });
    TrackerLink { number, outbox, reader, writer, deliver: for_owner }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::{OwnedSemaphorePermit, mpsc};
    use tokio::task::JoinSet;
    use tokio::time::timeout;

    use super::{FromLink, TrackerLink, start};
    use crate::model::limits;
    use crate::run::fake::{Fake, Says, Takes, connection, nowhere};
    use crate::wire::tracker::{FromTracker, ToTracker};

    type Delivered = mpsc::UnboundedReceiver<(FromLink, Option<OwnedSemaphorePermit>)>;

    /// A link with a tracker that says `pongs` and takes nothing, and what it delivers.
    fn link(bytes_max: usize, pongs: usize, tasks: &mut JoinSet<()>) -> (TrackerLink, Delivered) {
        let (sender, delivered) = mpsc::unbounded_channel();
        let deliver = move |what, permit| sender.send((what, permit)).expect("the test listens");
        let says = move || Says::messages(vec![FromTracker::Pong; pongs]);
        let dial = move || Some(connection(says(), Takes::Nothing, Arc::default()));
        let link = start(1, Fake::dialling(dial), nowhere().into(), bytes_max, deliver, tasks);
        (link, delivered)
    }

    async fn next(delivered: &mut Delivered) -> (FromLink, Option<OwnedSemaphorePermit>) {
        let next = timeout(Duration::from_secs(60), delivered.recv()).await;
        next.expect("it says something").expect("the link is there")
    }

    /// It was taken for open until it had been silent for too long, and what it was sent meanwhile was gone.
    #[tokio::test(start_paused = true)]
    async fn a_tracker_that_takes_nothing_is_lost_when_its_writer_gives_up() {
        let mut tasks = JoinSet::new();
        let (link, mut delivered) = link(1_000, 0, &mut tasks);
        link.send(&ToTracker::Ping);
        assert!(matches!(next(&mut delivered).await.0, FromLink::Opened { .. }));
        let FromLink::Closed(why) = next(&mut delivered).await.0 else { panic!("not closed") };
        assert_eq!(why, "it does not read what it is sent");
        while tasks.join_next().await.is_some() {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_tracker_is_lost_at_once_when_too_much_waits_for_it() {
        let mut tasks = JoinSet::new();
        let (link, mut delivered) = link(100, 0, &mut tasks);
        assert!(matches!(next(&mut delivered).await.0, FromLink::Opened { .. }));
        for _ in 0..10 {
            link.send(&ToTracker::Ping);
        }
        let FromLink::Closed(why) = next(&mut delivered).await.0 else { panic!("not closed") };
        assert!(why.ends_with("bytes wait for it, and it does not read them"), "{why}");
        while tasks.join_next().await.is_some() {}
    }

    #[tokio::test(start_paused = true)]
    async fn a_tracker_that_says_more_than_is_heard_is_not_read() {
        const ALL: usize = 1_000;
        let mut tasks = JoinSet::new();
        let (_link, mut delivered) = link(100, ALL, &mut tasks);
        assert!(matches!(next(&mut delivered).await.0, FromLink::Opened { .. }));
        let mut heard = 0;
        while heard < ALL {
            // Time goes on only when nothing else does: so much it says until somebody has heard it.
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(delivered.len(), limits::MESSAGES_UNHANDLED_MAX.min(ALL - heard));
            for _ in 0..delivered.len() {
                let (what, permit) = next(&mut delivered).await;
                assert!(matches!(what, FromLink::Message(FromTracker::Pong)) && permit.is_some());
                heard += 1;
            }
        }
    }
}
