//! What a tracker writes down, so that it knows its nodes after a restart: the trait, and one in memory.
//!
//! Nothing is lost for good when this is: nodes come back and say it again. It only makes a restarted tracker
//! answer at once. So a store may be behind by a second or two, and need not survive a loss of power.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::engine::registry::{Change, Lease};
use crate::model::ids::{InfoHash, NodeId};

/// Why leases could not be read or written. The machine's fault; the tracker goes on without.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct LeaseStoreError {
    /// The file or folder.
    pub path: String,
    /// What the system said, in words.
    pub reason: String,
}

/// Keeps leases, one per torrent and node.
///
/// Called from the owner of the registry, about once a second: it must not wait for a disk for long.
pub trait LeaseStore: Send + Sync + 'static {
    /// All leases, in any order. Called once, at the start.
    ///
    /// # Errors
    /// If they cannot be read.
    fn load(&self) -> Result<Vec<Lease>, LeaseStoreError>;

    /// Takes these changes, in this order.
    ///
    /// # Errors
    /// If these, or changes given before, could not be written.
    fn apply(&self, changes: Vec<Change>) -> Result<(), LeaseStoreError>;
}

/// Leases in memory. Shared, it outlives a tracker that crashes in a world.
#[derive(Debug, Default)]
pub struct MemoryLeases {
    leases: Mutex<BTreeMap<(InfoHash, NodeId), Lease>>,
}

impl MemoryLeases {
    /// Forgets everything: a tracker that lost its disk.
    pub fn wipe(&self) {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl LeaseStore for MemoryLeases {
    fn load(&self) -> Result<Vec<Lease>, LeaseStoreError> {
        let leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(leases.values().cloned().collect())
    }

    fn apply(&self, changes: Vec<Change>) -> Result<(), LeaseStoreError> {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            change.apply(&mut leases);
        }
        Ok(())
    }
}
