//! What has come to a reader before its time, taken out of the wrapped transport so that there is room in it for more.
//!
//! A kernel sizes a receive buffer by the round trips that it sees. Over loopback those are microseconds, and it keeps about half
//! a mebibyte: too little for a delay that only we know of. What lies here is what the network has let in and not let
//! out, which is at most a window of the connection: rate times delay, and a little.

use std::io;
use std::task::{Context, Poll};

use bytes::{Buf as _, BytesMut};
use sta_core::io::transport::RecvHalf;

use crate::world::fabric::{TURN_BYTES_MAX, WINDOW_BYTES_MAX};

/// Bytes fetched at once.
const FETCH_BYTES: usize = TURN_BYTES_MAX as usize;

/// See the module's text.
pub(super) struct Early {
    bytes: BytesMut,
    /// Where the next bytes are read into.
    space: Box<[u8]>,
    /// What comes after `bytes`: the end, or an error.
    after: Option<io::Result<usize>>,
}

impl Default for Early {
    fn default() -> Self {
        let space = vec![0; FETCH_BYTES].into_boxed_slice();
        Self { bytes: BytesMut::new(), space, after: None }
    }
}

impl Early {
    /// Takes what has come. The task of `cx` is woken when there is more.
    pub(super) fn fetch(&mut self, cx: &mut Context<'_>, from: &mut dyn RecvHalf) {
        while self.after.is_none() && (self.bytes.len() as u64) < WINDOW_BYTES_MAX {
            match from.poll_recv(cx, &mut self.space) {
                Poll::Ready(Ok(read @ 1..)) => self.bytes.extend_from_slice(&self.space[..read]),
                Poll::Ready(other) => self.after = Some(other),
                Poll::Pending => return,
            }
        }
    }

    /// Gives what was fetched, after a [`Self::fetch`] by the same task.
    pub(super) fn poll_take(&mut self, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.bytes.is_empty() {
            return self.after.take().map_or(Poll::Pending, Poll::Ready);
        }
        let len = buf.len().min(self.bytes.len());
        self.bytes.copy_to_slice(&mut buf[..len]);
        Poll::Ready(Ok(len))
    }
}
