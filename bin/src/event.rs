//! What the programs themselves have to say, in the form of `sta_core::model::event`: how far they are, and what did not work.

use serde::{Deserialize, Serialize};
use sta_core::model::ids::{InfoHash, NodeId};
use sta_core::model::time::Time;

/// An event of a program. One JSON object, one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramRecord {
    /// Nanoseconds since the node or the tracker of the program started; 0 before that.
    pub at: Time,
    /// That node or tracker; before it has started, the program.
    pub who: NodeId,
    /// What.
    #[serde(flatten)]
    pub event: ProgramEvent,
}

/// Something that a node or a tracker does not know of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum ProgramEvent {
    /// How far a torrent is.
    Progress {
        /// Which.
        torrent: InfoHash,
        /// Bytes verified.
        verified: u64,
        /// Bytes in all.
        total: u64,
        /// Payload bytes received per second, of late.
        down_rate: u64,
        /// Payload bytes sent per second, of late.
        up_rate: u64,
        /// Peers that are connected.
        peers: u64,
    },
    /// Something that was asked does not work.
    Failed {
        /// The file, the address or the option; none where the reason says it all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        what: Option<String>,
        /// The reason.
        why: String,
        /// What to do about it, where there is something to be done.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        advice: Option<String>,
        /// What the program ends with for it; none if it goes on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit: Option<u8>,
    },
}
