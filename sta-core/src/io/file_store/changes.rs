//! Which pieces may have changed since they were verified, as far as the times of their files tell. Reads no content.
//!
//! Somebody may edit a file while it is served. Its length says nothing then, but the system notes when a file was changed, and
//! that costs little to ask before every block. A new time is a reason to doubt and no more: whoever only touches a file changes
//! it as well. Doubted pieces are to be verified again before they are served.
//!
//! Invariant: a piece is out of doubt only if it was verified after the last change that was seen of its files.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// When a file's bytes, and when anything about it was last changed: seconds and nanoseconds. The second cannot be set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp([i64; 4]);

impl Stamp {
    pub(super) fn of(file: &Metadata) -> Self {
        Self([file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()])
    }
}

#[derive(Default)]
pub(super) struct Changes(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    /// Of each file, as it was last looked at; none of a file that is not there. Empty while the store itself writes to files.
    stamps: Vec<Option<Stamp>>,
    /// Pieces in doubt, and how many changes there had been when they last came to be.
    doubted: BTreeMap<u32, u64>,
    changes: u64,
}

impl Changes {
    /// The files are about to be verified, or were and are not written to any more: from now on changes count.
    pub(super) fn watch(&self, stamps: Vec<Option<Stamp>>) {
        self.lock().stamps = stamps;
    }

    /// File `index`, of which `pieces` have a part, has this stamp now.
    pub(super) fn look(&self, index: usize, stamp: Stamp, pieces: impl FnOnce() -> Range<u32>) {
        let mut seen = self.lock();
        if let Some(known) = seen.stamps.get_mut(index)
            && *known != Some(stamp)
        {
            *known = Some(stamp);
            seen.changes += 1;
            let changes = seen.changes;
            seen.doubted.extend(pieces().map(|piece| (piece, changes)));
        }
    }

    /// How many changes were seen so far, if `piece` is in doubt.
    pub(super) fn doubt(&self, piece: u32) -> Option<u64> {
        let seen = self.lock();
        seen.doubted.contains_key(&piece).then_some(seen.changes)
    }

    /// `piece` was found right by somebody who began after so many `changes`.
    pub(super) fn trust(&self, piece: u32, changes: u64) {
        let mut seen = self.lock();
        // Changes of other files since then say nothing of this piece.
        if seen.doubted.get(&piece).is_some_and(|&since| since <= changes) {
            seen.doubted.remove(&piece);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Changes, Stamp};

    #[test]
    fn a_piece_is_trusted_whatever_else_has_changed_meanwhile() {
        let changes = Changes::default();
        changes.watch(vec![Some(Stamp([0; 4])); 2]);
        changes.look(0, Stamp([1; 4]), || 0..2);
        let (first, both) =
            (changes.doubt(0).expect("changed"), changes.doubt(1).expect("changed"));
        changes.look(1, Stamp([1; 4]), || 1..3);
        changes.trust(0, first);
        changes.trust(1, both);
        assert_eq!(changes.doubt(0), None, "no file of it has changed since");
        assert!(changes.doubt(1).is_some(), "it lies in both files");
    }
}
