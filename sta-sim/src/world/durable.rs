//! Which of the bytes written to a disk a power failure takes: those written last, until they are made durable.
//!
//! Ranges of a content; what they mean for its pieces is its owner's business.

use std::collections::VecDeque;
use std::ops::Range;

use super::ranges::Ranges;

/// Bytes written last, which a power failure takes: what a kernel has not brought to the disk yet.
pub const NOT_DURABLE_BYTES: u64 = 1 << 20;

/// The last writes to a content, oldest first.
#[derive(Debug, Default)]
pub struct NotDurable {
    writes: VecDeque<Range<u64>>,
    /// How long they are together.
    bytes: u64,
}

impl NotDurable {
    /// Remembers a write; what is older than the last [`NOT_DURABLE_BYTES`] has become durable.
    pub fn remember(&mut self, range: Range<u64>) {
        self.bytes += range.end - range.start;
        self.writes.push_back(range);
        while self.bytes > NOT_DURABLE_BYTES && self.writes.len() > 1 {
            let oldest = self.writes.pop_front().unwrap_or_default();
            self.bytes -= oldest.end - oldest.start;
        }
    }

    /// All of it is durable.
    pub fn settle(&mut self) {
        *self = Self::default();
    }

    /// The power fails: the bytes of these writes are lost; or, if `torn`, the second half of the last one only. What was written
    /// twice is lost once.
    pub fn lose(&mut self, torn: bool) -> Ranges {
        let mut writes = std::mem::take(self).writes;
        if torn && let Some(mut last) = writes.pop_back() {
            last.start = (last.start + last.end) / 2;
            writes = VecDeque::from([last]);
        }
        let mut lost = Ranges::default();
        writes.into_iter().for_each(|write| lost.insert(write));
        lost
    }
}
