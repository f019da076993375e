//! Buffers for blocks, used again and again: receiving allocates nothing in the steady state.
//!
//! A buffer is zeroed once, when it is made; the one who takes it overwrites what it then reads. Sizes are powers of
//! two, so that small blocks do not hold the memory of large ones. How much is in use is not bounded here but by what
//! is in flight and by [`super::disk::Backlog`].

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::io::aligned::AlignedBytes;
use crate::model::limits;

/// Sizes that are kept: from the smallest block to the largest, by powers of two.
const SIZES: usize = (limits::BLOCK_BYTES_MAX / limits::BLOCK_BYTES_MIN).ilog2() as usize + 1;

/// Hands out buffers and takes them back. Clones share the same buffers.
#[derive(Clone, Debug, Default)]
pub struct BufferPool {
    idle: Arc<Mutex<Idle>>,
}

#[derive(Debug, Default)]
struct Idle {
    by_size: [Vec<AlignedBytes>; SIZES],
    bytes: usize,
}

/// Memory for one block. Returns to its pool when dropped.
#[derive(Debug)]
pub struct Buffer {
    memory: AlignedBytes,
    len: usize,
    pool: BufferPool,
}

impl BufferPool {
    /// A pool without buffers; they are made as they are needed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A buffer of `len` bytes with anything in it. Meant for blocks; what is longer than
    /// [`limits::BLOCK_BYTES_MAX`] is allocated and not kept.
    #[must_use]
    pub fn take(&self, len: usize) -> Buffer {
        let (class, size) = class_of(len);
        let idle = self.lock().take(class);
        let memory = idle.unwrap_or_else(|| AlignedBytes::new(size));
        Buffer { memory, len, pool: self.clone() }
    }

    /// Bytes of the buffers that wait to be used again.
    #[must_use]
    pub fn idle_bytes(&self) -> usize {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which of the sizes holds `len` bytes, and how many that is.
fn class_of(len: usize) -> (usize, usize) {
    let smallest = limits::BLOCK_BYTES_MIN as usize;
    let size = len.max(smallest).checked_next_power_of_two().unwrap_or(len);
    ((size / smallest).ilog2() as usize, size)
}

impl Idle {
    fn take(&mut self, class: usize) -> Option<AlignedBytes> {
        let memory = self.by_size.get_mut(class)?.pop()?;
        self.bytes -= memory.len();
        Some(memory)
    }

    /// Keeps `memory`, and gives what is to be freed instead: buffers of other sizes, since this one was just of use. Peers that
    /// become faster are asked for larger blocks, and small buffers must not keep large ones from being used again.
    fn keep(&mut self, memory: AlignedBytes) -> Vec<AlignedBytes> {
        let (class, size) = class_of(memory.len());
        if class >= SIZES {
            return vec![memory];
        }
        let mut surplus = Vec::new();
        while self.bytes + size > limits::BUFFERS_IDLE_BYTES_MAX {
            let others = (0..SIZES).filter(|other| *other != class);
            let most = others.max_by_key(|other| self.by_size[*other].len() << other);
            let Some(other) = most.and_then(|other| self.take(other)) else {
                surplus.push(memory);
                return surplus;
            };
            surplus.push(other);
        }
        self.bytes += size;
        self.by_size[class].push(memory);
        surplus
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let surplus = self.pool.lock().keep(std::mem::take(&mut self.memory));
        drop(surplus);
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::BufferPool;
    use crate::model::limits::{BLOCK_BYTES_MAX, BUFFERS_IDLE_BYTES_MAX};

    #[test]
    fn buffers_come_back_sized_and_few_are_kept() {
        let pool = BufferPool::new();
        let mut first = pool.take(5);
        first.copy_from_slice(b"hello");
        let address = first.as_ptr();
        drop(first);
        let again = pool.take(7);
        assert_eq!((again.as_ptr(), again.len(), pool.idle_bytes()), (address, 7, 0));
        drop(again);
        let larger = pool.take(16 * 1024 + 1);
        assert_ne!(larger.as_ptr(), address, "a small buffer is no use");
        assert_eq!(pool.idle_bytes(), 16 * 1024);

        let largest = BLOCK_BYTES_MAX as usize;
        let many: Vec<_> =
            (0..2 * BUFFERS_IDLE_BYTES_MAX / largest).map(|_| pool.take(largest)).collect();
        drop((many, larger));
        let idle = pool.idle_bytes();
        assert!((BUFFERS_IDLE_BYTES_MAX - largest..=BUFFERS_IDLE_BYTES_MAX).contains(&idle));
    }

    #[test]
    fn buffers_of_a_size_that_is_used_take_the_place_of_others() {
        let pool = BufferPool::new();
        let (small, large) = (16 * 1024, BLOCK_BYTES_MAX as usize);
        let many: Vec<_> = (0..BUFFERS_IDLE_BYTES_MAX / small).map(|_| pool.take(small)).collect();
        drop(many);
        assert_eq!(pool.idle_bytes(), BUFFERS_IDLE_BYTES_MAX);
        let first = pool.take(large);
        let address = first.as_ptr();
        drop(first);
        assert_eq!(pool.idle_bytes(), BUFFERS_IDLE_BYTES_MAX);
        assert_eq!(pool.take(large).as_ptr(), address, "it is used again");
    }

    #[test]
    fn what_is_longer_than_a_block_is_not_kept() {
        let pool = BufferPool::new();
        let len = BLOCK_BYTES_MAX as usize + 1;
        assert_eq!(pool.take(len).len(), len);
        assert_eq!(pool.idle_bytes(), 0);
        assert_eq!(pool.take(0).len(), 0);
    }
}
