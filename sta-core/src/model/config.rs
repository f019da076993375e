//! What can be set on a node, as values. Files, environment and command lines are the program's business.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::{NodeId, Site};
use super::limits;

/// A node's settings.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// What it is called.
    pub id: NodeId,
    /// Where it listens for peers; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How its engine behaves.
    pub engine: EngineConfig,
}

/// A tracker's settings.
#[derive(Clone, Debug)]
pub struct TrackerConfig {
    /// What it is called in events.
    pub id: NodeId,
    /// Where it listens for nodes; port 0 takes a free one.
    pub listen: SocketAddr,
    /// A node that is silent for longer is forgotten; [`super::limits::LEASE_DEFAULT`] suits most.
    pub lease: Duration,
}

/// The knobs of the engine. The defaults suit a local network; scenarios `set` them by these names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct EngineConfig {
    /// Peers a node asks the tracker for: the degree of the graph.
    pub peers_wanted: u32,
    /// Peers served at the same time; the others wait their turn. More than the degree, so that all neighbours are: where
    /// down- and uplinks are alike, fewer leave links idle whenever the choices of many nodes do not match.
    pub upload_slots: u32,
    /// How often the slots are handed out anew.
    pub choke_interval: Duration,
    /// A block asked for and not here for so long is asked of somebody else.
    pub request_timeout: Duration,
    /// A session without a message for so long has ended.
    pub peer_timeout: Duration,
    /// A tracker's connection without a message for so long has broken.
    pub tracker_timeout: Duration,
    /// How long piece changes are gathered before they are sent to the tracker.
    pub tracker_batch: Duration,
    /// The block size to use; chosen by the rate where it is 0.
    pub block_bytes: u32,
    /// Where the node stands; empty is nowhere in particular. Trackers tell it mostly of nodes of the same site.
    pub site: Site,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            peers_wanted: 10,
            upload_slots: 16,
            choke_interval: Duration::from_secs(10),
            request_timeout: Duration::from_secs(20),
            peer_timeout: Duration::from_secs(60),
            tracker_timeout: Duration::from_secs(60),
            tracker_batch: Duration::from_millis(500),
            block_bytes: 0,
            site: Site::default(),
        }
    }
}

/// A knob that is set to what no engine can work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{knob} takes {range}")]
pub struct OutOfRange {
    /// Its name, as scenarios write it.
    pub knob: &'static str,
    /// What it takes, for a person.
    pub range: &'static str,
}

impl EngineConfig {
    /// Whether every knob that a person set is in its range. An engine that serves nobody, or gives up at once, is a mistake that
    /// shows late.
    ///
    /// # Errors
    /// If one is not.
    pub fn check(&self) -> Result<(), OutOfRange> {
        const DAY: u64 = 24 * 3600;
        let peers = 1..=limits::PEERS_PER_TORRENT_MAX as u32;
        let blocks = limits::BLOCK_BYTES_MIN..=limits::BLOCK_BYTES_MAX;
        // Nothing is looked at more often than twice a second.
        let between = |time: Duration, least: u64, most: u64| {
            (Duration::from_millis(least)..=Duration::from_secs(most)).contains(&time)
        };
        let all = [
            ("peers-wanted", peers.contains(&self.peers_wanted), "1 to 64"),
            ("upload-slots", peers.contains(&self.upload_slots), "1 to 64"),
            ("choke-interval", between(self.choke_interval, 500, 3600), "500ms to 1h"),
            ("request-timeout", between(self.request_timeout, 500, 3600), "500ms to 1h"),
            ("peer-timeout", between(self.peer_timeout, 3_000, DAY), "3s to 1day"),
            ("tracker-timeout", between(self.tracker_timeout, 3_000, DAY), "3s to 1day"),
            ("tracker-batch", between(self.tracker_batch, 0, 60), "0s to 1min"),
            (
                "block-bytes",
                self.block_bytes == 0 || blocks.contains(&self.block_bytes),
                "16 KiB to 1 MiB",
            ),
        ];
        match all.into_iter().find(|(_, fits, _)| !fits) {
            Some((knob, _, range)) => Err(OutOfRange { knob, range }),
            None => Ok(()),
        }
    }
}
