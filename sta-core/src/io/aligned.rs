//! Memory that the kernel copies into, and out of, at full speed.

use std::ops::{Deref, DerefMut};

/// Where copies are fast: the line of a cache.
///
/// Processors copy a page by one instruction (`rep movsb`), and that of AMD takes four times as long if the destination lies 1 to
/// 63 bytes further inside its page than the source does (`docs/PERFORMANCE.md`, "Aligned memory"). Memory from an allocator begins 16 bytes inside a
/// page, pages of a file at 0, so a plain `Vec` meets just that. At a multiple of 64 it cannot happen.
const ALIGNMENT: usize = 64;

/// Zeroed bytes that begin at a multiple of 64.
#[derive(Debug, Default)]
pub struct AlignedBytes {
    memory: Box<[u8]>,
    start: usize,
    len: usize,
}

impl AlignedBytes {
    /// `len` zeros.
    #[must_use]
    pub fn new(len: usize) -> Self {
        let memory = vec![0; len + ALIGNMENT - 1].into_boxed_slice();
        // The contract of `align_offset` allows it to fail; then nothing but speed is lost.
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT - 1);
        Self { memory, start, len }
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::{ALIGNMENT, AlignedBytes};

    #[test]
    fn begins_at_the_line_of_a_cache_wherever_it_goes() {
        for len in [0, 1, 64, 4095, 16 << 10, 1 << 20] {
            let mut bytes = AlignedBytes::new(len);
            bytes.fill(7);
            let moved = Box::new(bytes);
            assert_eq!(moved.as_ptr().addr() % ALIGNMENT, 0);
            assert_eq!((moved.len(), moved.iter().all(|b| *b == 7)), (len, true));
        }
    }
}
