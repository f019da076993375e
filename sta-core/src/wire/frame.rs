//! Framing: where one message ends and the next begins.
//!
//! ```text
//! u32 header length | u32 body length | header: one JSON object, UTF-8 | body: raw bytes      (big endian)
//! ```
//!
//! Each side first sends [`PREAMBLE`]. Lengths are checked before anything is allocated. The decoder never holds a
//! body: it says how long the body is, hands over the part that was read along with the header, and the reader
//! moves the rest straight to where it belongs.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::limits;

/// What each side sends before its first frame; visible in a capture.
pub const PREAMBLE: &[u8; 6] = b"STA/1\n";

/// Bytes of the two lengths in front of every frame.
pub const HEAD_BYTES: usize = 8;

/// The lengths that one kind of connection accepts.
#[derive(Clone, Copy, Debug)]
pub struct FrameLimits {
    /// Longest header.
    pub header: usize,
    /// Longest body.
    pub body: usize,
}

/// Between peers.
pub const PEER_LIMITS: FrameLimits =
    FrameLimits { header: limits::PEER_HEADER_BYTES_MAX, body: limits::BODY_BYTES_MAX };
/// To a tracker: no payload.
pub const TO_TRACKER_LIMITS: FrameLimits =
    FrameLimits { header: limits::TO_TRACKER_HEADER_BYTES_MAX, body: 0 };
/// From a tracker: no payload.
pub const FROM_TRACKER_LIMITS: FrameLimits =
    FrameLimits { header: limits::FROM_TRACKER_HEADER_BYTES_MAX, body: 0 };

/// What the other side did wrong. It is always the other side: the connection ends, the rest goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The first bytes are not [`PREAMBLE`].
    #[error("it does not speak STA/1")]
    Preamble,
    /// A header longer than this connection accepts.
    #[error("a header of {0} bytes, over the limit of {1}")]
    HeaderTooLong(usize, usize),
    /// A body longer than this connection accepts.
    #[error("a body of {0} bytes, over the limit of {1}")]
    BodyTooLong(usize, usize),
    /// A body that is not as long as the block it says it is, or longer than any block.
    #[error("a body of {0} bytes for a block of {1}")]
    Body(usize, u32),
    /// The header is not a JSON object of a known shape.
    #[error("a header that is no message: {0}")]
    Header(String),
}

/// Appends the frame of `message` without its body, which is to follow with exactly `body_len` bytes.
///
/// # Panics
/// Never for the message types of this module: they serialise.
pub fn encode(message: &impl Serialize, body_len: u32, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD_BYTES]);
    serde_json::to_writer(&mut *out, message).expect("wire messages have no map with odd keys");
    let header_len = (out.len() - start - HEAD_BYTES) as u32;
    out[start..start + 4].copy_from_slice(&header_len.to_be_bytes());
    out[start + 4..start + HEAD_BYTES].copy_from_slice(&body_len.to_be_bytes());
}

/// Takes bytes as they come and gives messages.
///
/// Use: fill [`Self::space`], tell [`Self::filled`], call [`Self::next_message`] until it gives `None`. After a
/// message with a body, [`Self::take_body`] must have drained what the decoder holds of it before the next call.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: Vec<u8>,
    /// How large the buffer is unless a longer header is coming.
    read_bytes: usize,
    start: usize,
    end: usize,
    limits: FrameLimits,
    preamble_seen: bool,
    body_left: usize,
}

/// How much is read at once where bodies follow headers: what is read of a body along with its
/// header is copied, so little of it should be.
pub const PEER_READ_BYTES: usize = 4 << 10;
/// How much is read at once where there are only headers: many of them in one call.
pub const TRACKER_READ_BYTES: usize = 64 << 10;

impl FrameDecoder {
    /// A decoder that reads at most `read_bytes` at once, and more only for a longer header within `limits`.
    #[must_use]
    pub fn new(limits: FrameLimits, read_bytes: usize) -> Self {
        let read_bytes = read_bytes.max(64);
        let buffer = vec![0; read_bytes];
        Self { buffer, read_bytes, start: 0, end: 0, limits, preamble_seen: false, body_left: 0 }
    }

    /// Where to read to; never empty.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let wanted = self.wanted();
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        } else if self.buffer.len() > wanted.max(self.read_bytes) {
            // A long header has been taken. A tracker has thousands of connections, on most of which nothing comes for long.
            self.buffer.truncate(wanted.max(self.read_bytes));
            self.buffer.shrink_to_fit();
        }
        &mut self.buffer[self.end..]
    }

    /// `bytes` bytes of [`Self::space`] have been filled.
    pub fn filled(&mut self, bytes: usize) {
        self.end = (self.end + bytes).min(self.buffer.len());
    }

    /// The next message and the length of the body that follows it, or `None` until more bytes are there.
    ///
    /// # Errors
    /// If the other side broke the framing; the decoder is then of no further use.
    pub fn next_message<M: DeserializeOwned>(&mut self) -> Result<Option<(M, usize)>, FrameError> {
        debug_assert_eq!(self.body_left, 0, "a body was not taken");
        if !self.preamble_seen {
            let held = &self.buffer[self.start..self.end];
            let seen = held.len().min(PREAMBLE.len());
            if held[..seen] != PREAMBLE[..seen] {
                return Err(FrameError::Preamble);
            }
            if seen < PREAMBLE.len() {
                return Ok(None);
            }
            self.preamble_seen = true;
            self.start += seen;
        }
        let Some((header_len, body_len)) = self.lengths() else { return Ok(None) };
        if header_len > self.limits.header {
            return Err(FrameError::HeaderTooLong(header_len, self.limits.header));
        }
        if body_len > self.limits.body {
            return Err(FrameError::BodyTooLong(body_len, self.limits.body));
        }
        let first = self.start + HEAD_BYTES;
        if self.end - self.start < HEAD_BYTES + header_len {
            return Ok(None);
        }
        let header = &self.buffer[first..first + header_len];
        let message =
            serde_json::from_slice(header).map_err(|e| FrameError::Header(e.to_string()))?;
        self.start = first + header_len;
        self.body_left = body_len;
        Ok(Some((message, body_len)))
    }

    /// Moves what was read of the body to the front of `to`, and returns how much that was. The rest of the
    /// body is still with the transport, and is the caller's to read.
    pub fn take_body(&mut self, to: &mut [u8]) -> usize {
        let held = (self.end - self.start).min(self.body_left).min(to.len());
        to[..held].copy_from_slice(&self.buffer[self.start..self.start + held]);
        self.start += held;
        self.body_left = 0;
        held
    }

    fn lengths(&self) -> Option<(usize, usize)> {
        let head = self.buffer[self.start..self.end].first_chunk::<HEAD_BYTES>()?;
        let number = |at: usize| u32::from_be_bytes(std::array::from_fn(|i| head[at + i])) as usize;
        Some((number(0), number(4)))
    }

    /// How large the buffer must be for more of the frame that has begun. It grows to twice what has come: a length alone, which
    /// costs its sender nothing, makes nobody allocate.
    fn wanted(&self) -> usize {
        let header = match self.lengths() {
            Some((header, _)) if self.preamble_seen && header <= self.limits.header => header,
            _ => 0,
        };
        let held = self.end - self.start;
        (HEAD_BYTES + header).min(2 * held).max(held + 1)
    }
}

#[cfg(test)]
mod tests;
