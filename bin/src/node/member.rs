//! Starts a node from the settings, and keeps what a person should hear of its events.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use sta_core::io::clock::{Clock, RuntimeClock};
use sta_core::io::observer::Observer;
use sta_core::model::address::Address;
use sta_core::model::config::NodeConfig;
use sta_core::model::event::{Event, Record};
use sta_core::model::ids::{InfoHash, NodeId};
use sta_core::model::rng::Seed;
use sta_core::model::time::Time;
use sta_core::run::node::{self, NodeEnv, NodeError, NodeHandle};
use sta_net_tcp::TcpTransport;

use super::throttle;
use crate::config::Settings;
use crate::exit::{Failure, plain};
use crate::output::Output;
use crate::units::Choice;

/// A running node, and what has been heard of it.
#[derive(Clone)]
pub(super) struct Member {
    /// The node.
    pub(super) handle: NodeHandle,
    /// What it is called.
    pub(super) id: NodeId,
    clock: Arc<dyn Clock>,
    news: Arc<News>,
}

/// What the node's events have said that a later message needs.
#[derive(Debug, Default)]
struct News {
    /// Why each tracker that is away is away.
    lost: Mutex<BTreeMap<Address, String>>,
    /// The addresses that a person named and where nobody was.
    unreachable: Mutex<BTreeSet<Address>>,
    /// How often those could not be reached whom a tracker named.
    dials: Mutex<BTreeMap<Address, u32>>,
    /// Whether a block has gone from anybody to anybody.
    moved: AtomicBool,
    /// The torrents of which a piece has come and was verified.
    came: Mutex<BTreeSet<InfoHash>>,
    /// What storage could not do and will not try again: of each piece of a file that has changed the same is said.
    failed: Mutex<BTreeSet<String>>,
    /// What storage could not do while a command waits that may give up for it; `None` while nobody does.
    held: Mutex<Option<Vec<Held>>>,
    /// The torrents of which a peer said that it was sent wrong data.
    blamed: Mutex<BTreeSet<InfoHash>>,
}

/// After so many dials in vain a person is told: some seconds.
const DIALS_TOLD: u32 = 4;

/// A line that is not told yet.
#[derive(Debug)]
pub(super) struct Held {
    /// What it is about.
    pub(super) torrent: InfoHash,
    /// What a person is told.
    pub(super) line: String,
}

impl Member {
    /// Starts a node on the current runtime.
    ///
    /// # Errors
    /// If it cannot listen.
    pub(super) async fn start(settings: &Settings, output: &Output) -> Result<Self, Failure> {
        Self::start_as(name(settings)?, settings, output).await
    }

    /// Starts a node called `id` on the current runtime.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(super) async fn start_as(
        id: NodeId,
        settings: &Settings,
        output: &Output,
    ) -> Result<Self, Failure> {
        let news = Arc::new(News::default());
        let clock = RuntimeClock::start();
        output.speak_for(id.clone(), clock);
        let clock: Arc<dyn Clock> = Arc::new(clock);
        let (up, down) = (settings.upload_limit.0, settings.download_limit.0);
        let env = NodeEnv {
            transport: throttle::limited(Arc::new(TcpTransport::new()), &clock, up, down),
            clock: Arc::clone(&clock),
            observer: observer(output, &news),
            seed: draw_seed()?,
            disk_threads: available_parallelism().map_or(2, usize::from),
        };
        let config =
            NodeConfig { id: id.clone(), listen: settings.listen, engine: settings.engine() };
        let handle =
            node::start(env, config).await.map_err(|NodeError::Listen { at, source }| {
                Failure::start(format_args!("cannot listen at {at}"), source)
                    .advise("choose another address with --listen, or port 0 for a free one")
            })?;
        Ok(Self { handle, id, clock, news })
    }

    /// The node's time.
    #[must_use]
    pub(super) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Whether a piece of `torrent` has come and was verified.
    #[must_use]
    pub(super) fn came(&self, torrent: InfoHash) -> bool {
        self.news.came().contains(&torrent)
    }

    /// Leaves `torrent`; once that is heard, no piece is verified any more.
    pub(super) async fn give_up(&self, torrent: InfoHash) {
        self.handle.remove(torrent);
        // Not until the disk is done with it: it may hang.
        let _ = self.handle.status().await;
    }

    /// Why `tracker` is away, if it is known.
    #[must_use]
    pub(super) fn why_lost(&self, tracker: &Address) -> Option<String> {
        self.news.lost().get(tracker).cloned()
    }

    /// Keeps what storage cannot do from being told, for somebody who may give up for it and says so then.
    pub(super) fn hold_failures(&self) {
        self.news.held().get_or_insert_default();
    }

    /// What has been held since this was last asked.
    #[must_use]
    pub(super) fn held_failures(&self) -> Vec<Held> {
        self.news.held().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Holds no more, and returns what was held.
    #[must_use]
    pub(super) fn release_failures(&self) -> Vec<Held> {
        self.news.held().take().unwrap_or_default()
    }
}

impl News {
    fn lost(&self) -> MutexGuard<'_, BTreeMap<Address, String>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn blamed(&self) -> MutexGuard<'_, BTreeSet<InfoHash>> {
        self.blamed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn came(&self) -> MutexGuard<'_, BTreeSet<InfoHash>> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> MutexGuard<'_, Option<Vec<Held>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dials(&self) -> MutexGuard<'_, BTreeMap<Address, u32>> {
        self.dials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unreachable(&self) -> MutexGuard<'_, BTreeSet<Address>> {
        self.unreachable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Prints events as JSON where that was asked for, and tells a person what is worth a line.
fn observer(output: &Output, news: &Arc<News>) -> Arc<dyn Observer> {
    let (events, output, news) = (output.events(), output.clone(), Arc::clone(news));
    Arc::new(move |record: &Record| {
        events.observe(record);
        if let Some(line) = worth_a_line(&record.event, &news) {
            output.note(line);
        }
    })
}

fn worth_a_line(event: &Event, news: &News) -> Option<String> {
    if let Some((torrent, peer)) = event.blames_us() {
        let first = news.blamed().insert(*torrent);
        return first.then(|| {
            format!(
                "peer {peer} says that it was sent wrong data of {torrent}; `sta-node verify` tells whether what is here \
                 is still right"
            )
        });
    }
    match event {
        Event::TrackerConnected { tracker } => {
            news.lost().remove(tracker).map(|_| format!("tracker {tracker}: connected"))
        }
        Event::TrackerLost { tracker, why } => {
            let why = plain(why);
            let first = news.lost().insert(tracker.clone(), why.clone()).is_none();
            first.then(|| format!("tracker {tracker}: {why}; trying again"))
        }
        Event::DialFailed { addr, peer: None, why, .. } => {
            let first = news.unreachable().insert((**addr).clone());
            first.then(|| format!("peer {addr}: {}; trying again", plain(why)))
        }
        Event::DialFailed { addr, peer: Some(peer), why, .. } => {
            // Who has left cannot be reached either; of that nobody need hear once others could.
            if news.moved.load(Ordering::Relaxed) {
                return None;
            }
            let mut dials = news.dials();
            let failed = dials.entry((**addr).clone()).or_default();
            *failed += 1;
            (*failed == DIALS_TOLD).then(|| {
                format!(
                    "peer {peer} at {addr}: {}; trying again, but if a firewall is in the way, open the port there (--listen chooses it)",
                    plain(why)
                )
            })
        }
        Event::BlockReceived { .. } | Event::BlockSent { .. } => {
            news.moved.store(true, Ordering::Relaxed);
            None
        }
        Event::PieceVerified { torrent, .. } => {
            news.came().insert(*torrent);
            None
        }
        Event::PeerBanned { peer, why, .. } => Some(format!("peer {peer} is banned: {why}")),
        Event::StoreFailed { torrent, why, retry } => {
            let why = plain(why);
            let line = if *retry {
                format!("{why}; trying again")
            } else if news.failed().insert(why.clone()) {
                why
            } else {
                return None;
            };
            match &mut *news.held() {
                Some(held) => {
                    held.push(Held { torrent: *torrent, line });
                    None
                }
                None => Some(line),
            }
        }
        _ => None,
    }
}

/// What a node is called by these settings.
///
/// # Errors
/// If it is to be drawn, and the system has no randomness.
pub(super) fn name(settings: &Settings) -> Result<NodeId, Failure> {
    match settings.node_id.clone() {
        Choice::Set(id) => Ok(id),
        Choice::Auto => draw_id(),
    }
}

/// A name for a node that nobody named: the machine's, so that tables can be read, and six random digits.
fn draw_id() -> Result<NodeId, Failure> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
    let host: String =
        host.split('.').next().unwrap_or_default().chars().filter(plain).take(32).collect();
    let host = if host.is_empty() { "node" } else { &host };
    let id = format!("{host}-{:06x}", draw()? & 0xff_ffff);
    Ok(id.parse().expect("letters, digits and dashes, at most 39"))
}

/// A seed from the system, told in the log so that a run can be looked into.
///
/// # Errors
/// If the system has no randomness.
pub(crate) fn draw_seed() -> Result<Seed, Failure> {
    let seed = Seed(draw()?);
    tracing::info!(seed = seed.0, "this run's randomness");
    Ok(seed)
}

/// The only randomness of a program that the system gives; everything else is derived from it.
fn draw() -> Result<u64, Failure> {
    getrandom::u64().map_err(|reason| Failure::start("the system's randomness", reason))
}

#[cfg(test)]
mod tests {
    use sta_core::model::address::Address;
    use sta_core::model::event::{Event, PEER_SAID, SENT_WRONG};
    use sta_core::model::ids::InfoHash;
    use sta_core::model::layout::Block;

    use super::{News, worth_a_line};

    /// The disk goes bad and the system does not notice: the receivers ban the source, and nobody told the person.
    #[test]
    fn who_is_said_to_send_wrong_data_is_told_once_a_torrent() {
        let news = News::default();
        let told = |torrent, why: String| {
            let (torrent, peer) = (InfoHash([torrent; 20]), "bob".parse().expect("a name"));
            worth_a_line(&Event::PeerLost { torrent, peer, why }, &news)
        };
        let said = format!("{PEER_SAID}{SENT_WRONG}");
        assert_eq!(told(1, format!("{PEER_SAID}both have everything")), None);
        assert_eq!(told(1, SENT_WRONG.to_owned()), None, "it was ours to say");
        let line = told(1, said.clone()).expect("it is worth a line");
        assert!(line.contains("peer bob says") && line.contains("sta-node verify"), "{line}");
        assert_eq!(told(1, said.clone()), None, "once is enough");
        assert!(told(2, said).is_some(), "of another torrent");
    }

    #[test]
    fn who_cannot_be_reached_is_told_of_once_while_nothing_moves() {
        let told = |news: &News, port: u16| {
            let event = Event::DialFailed {
                torrent: InfoHash([1; 20]),
                addr: Box::new(Address { host: "192.0.2.1".to_owned(), port }),
                peer: Some("bob".parse().expect("a name")),
                why: "Connection refused (os error 111)".to_owned(),
            };
            (0..9).filter_map(|_| worth_a_line(&event, news)).collect::<Vec<_>>()
        };
        let news = News::default();
        let lines = told(&news, 1);
        assert_eq!(lines.len(), 1, "{lines:?}");
        let said = "peer bob at 192.0.2.1:1: Connection refused; trying again, but if a firewall is in the way, open the port there \
                    (--listen chooses it)";
        assert_eq!(lines[0], said);
        let (torrent, peer) = (InfoHash([1; 20]), "eve".parse().expect("a name"));
        let block = Block { piece: 0, offset: 0, len: 1 };
        assert_eq!(worth_a_line(&Event::BlockSent { torrent, peer, block }, &news), None);
        assert_eq!(told(&news, 2), [""; 0], "others could be reached");
    }

    #[test]
    fn what_is_held_is_not_told() {
        let news = News::default();
        let told = |why: &str, retry| {
            let (torrent, why) = (InfoHash([1; 20]), why.to_owned());
            worth_a_line(&Event::StoreFailed { torrent, why, retry }, &news)
        };
        assert_eq!(told("disk full", true).as_deref(), Some("disk full; trying again"));
        let unreadable = told("piece 3: Input/output error (os error 5)", true);
        assert_eq!(unreadable.as_deref(), Some("piece 3: Input/output error; trying again"));
        *news.held() = Some(Vec::new());
        assert_eq!((told("disk full", true), told("no disk", false)), (None, None));
        assert_eq!(told("no disk", false), None, "once is enough");
        let lines = news.held().take().into_iter().flatten().map(|held| held.line);
        assert_eq!(lines.collect::<Vec<_>>(), ["disk full; trying again", "no disk"]);
        assert!(told("disk full", true).is_some(), "nobody holds it");
    }
}
