//! What can be set on a node, as values. Files, environment and command lines are the program's business.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::NodeId;

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
        }
    }
}
