//! Counts the frames that a host receives, by reading along. What a tracker is asked is not in its events.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use sta_core::io::transport::{Connection, Listener, RecvHalf, Transport};
use sta_core::model::address::Address;
use sta_core::wire::frame::PREAMBLE;

/// A transport whose accepted connections are counted.
pub struct Tapped {
    inner: Arc<dyn Transport>,
    frames: Arc<AtomicU32>,
}

impl Tapped {
    /// Taps `inner`, counting into `frames`.
    #[must_use]
    pub fn new(inner: Arc<dyn Transport>, frames: Arc<AtomicU32>) -> Self {
        Self { inner, frames }
    }
}

#[async_trait]
impl Transport for Tapped {
    async fn listen(&self, at: SocketAddr) -> io::Result<Box<dyn Listener>> {
        let inner = self.inner.listen(at).await?;
        Ok(Box::new(TappedListener { inner, frames: Arc::clone(&self.frames) }))
    }

    async fn connect(&self, to: &Address) -> io::Result<Connection> {
        self.inner.connect(to).await
    }
}

struct TappedListener {
    inner: Box<dyn Listener>,
    frames: Arc<AtomicU32>,
}

#[async_trait]
impl Listener for TappedListener {
    async fn accept(&mut self) -> io::Result<Connection> {
        let connection = self.inner.accept().await?;
        let (inner, frames) = (connection.recv, Arc::clone(&self.frames));
        let recv = Box::new(TappedRecv { inner, frames, frame: FrameCount::default() });
        Ok(Connection { recv, ..connection })
    }

    fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }
}

struct TappedRecv {
    inner: Box<dyn RecvHalf>,
    frames: Arc<AtomicU32>,
    frame: FrameCount,
}

impl RecvHalf for TappedRecv {
    fn poll_recv(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = ready!(self.inner.poll_recv(cx, buf))?;
        self.frames.fetch_add(self.frame.count(&buf[..read]), Ordering::Relaxed);
        Poll::Ready(Ok(read))
    }
}

/// Where in the stream the next frame begins. Believes what frames say of themselves; refusing is for the receiver.
struct FrameCount {
    /// Bytes until there: of the preamble, or of a frame.
    skip: u64,
    /// The lengths of the next frame, as far as they are known.
    lengths: Vec<u8>,
}

/// Two lengths of four bytes each.
const LENGTHS: usize = 8;

impl Default for FrameCount {
    fn default() -> Self {
        Self { skip: PREAMBLE.len() as u64, lengths: Vec::with_capacity(LENGTHS) }
    }
}

impl FrameCount {
    /// Frames that begin in `bytes`, the next of the stream.
    fn count(&mut self, mut bytes: &[u8]) -> u32 {
        let mut count = 0;
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len() as u64);
                self.skip -= skipped;
                bytes = &bytes[skipped as usize..];
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(LENGTHS - self.lengths.len()));
            self.lengths.extend_from_slice(now);
            bytes = later;
            if let Ok([a, b, c, d, e, f, g, h]) = <[u8; LENGTHS]>::try_from(&*self.lengths) {
                let [header, body] = [[a, b, c, d], [e, f, g, h]].map(u32::from_be_bytes);
                self.skip = u64::from(header) + u64::from(body);
                self.lengths.clear();
                count += 1;
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::{FrameCount, PREAMBLE};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_are_counted_however_they_are_cut(
            frames in prop::collection::vec((0u32..50, 0u32..50), 0..20),
            cuts in prop::collection::vec(1usize..40, 1..50),
        ) {
            let mut stream = PREAMBLE.to_vec();
            for (header, body) in &frames {
                stream.extend_from_slice(&header.to_be_bytes());
                stream.extend_from_slice(&body.to_be_bytes());
                stream.resize(stream.len() + (header + body) as usize, 0xFF);
            }
            let (mut counter, mut rest, mut counted) = (FrameCount::default(), &stream[..], 0);
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at(rest.len().min(*cut));
                counted += counter.count(now);
                rest = later;
                if rest.is_empty() { break }
            }
            prop_assert_eq!(counted as usize, frames.len());
        }
    }
}
