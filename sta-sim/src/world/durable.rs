//! Which of the bytes written to a disk a power failure takes: those written last, until they are made durable.
//!
//! Ranges of a content; what they mean for its pieces is its owner's business.

use std::collections::VecDeque;
use std::ops::Range;

/// Bytes written last, which a power failure takes: what a kernel has not brought to the disk yet.
pub const NOT_DURABLE_BYTES: u64 = 1 << 20;

/// The last writes to a content, oldest first.
#[derive(Debug, Default)]
pub struct NotDurable(VecDeque<Range<u64>>);

impl NotDurable {
    /// Remembers a write; what is older than the last [`NOT_DURABLE_BYTES`] has become durable.
    pub fn remember(&mut self, range: Range<u64>) {
        self.0.push_back(range);
        let len = |range: &Range<u64>| range.end - range.start;
        let mut bytes: u64 = self.0.iter().map(len).sum();
        while bytes > NOT_DURABLE_BYTES && self.0.len() > 1 {
            bytes -= self.0.pop_front().as_ref().map_or(0, len);
        }
    }

    /// All of it is durable.
    pub fn settle(&mut self) {
        self.0.clear();
    }

    /// The power fails: the writes that are lost; or, if `torn`, the second half of the last one only.
    pub fn lose(&mut self, torn: bool) -> Vec<Range<u64>> {
        let mut writes = std::mem::take(&mut self.0);
        if torn && let Some(mut last) = writes.pop_back() {
            last.start = (last.start + last.end) / 2;
            writes = VecDeque::from([last]);
        }
        writes.into()
    }
}
