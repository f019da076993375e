//! A batch to the socket: headers and bodies in memory in one `sendmsg`, ranges of files by `sendfile`.
//!
//! A header in front of a file is sent with `MSG_MORE`, so that both leave in the same segment. Where there is no
//! `sendfile`, or it refuses a file, its bytes are read into a buffer of this half and written from there.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::task::{Context, Poll, ready};

use smallvec::SmallVec;
use sta_core::io::aligned::AlignedBytes;
use sta_core::io::store::{Body, FileRange};
use sta_core::io::transport::{Batch, Next, SendError, SendHalf, SendResult};
use sta_core::model::limits;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

/// Most slices handed to one `sendmsg`: eight frames with bodies in memory.
const SLICES_MAX: usize = 16;

/// Bytes of a file read at once where there is no `sendfile`.
const COPY_BYTES: usize = 256 << 10;

pub(crate) struct TcpSend {
    half: OwnedWriteHalf,
    sendfile: bool,
    copy: Copied,
    /// Bytes that the kernel is told to keep unsent.
    unsent: u32,
}

/// Bytes read from a file and not yet written, where there is no `sendfile`.
#[derive(Default)]
struct Copied {
    buffer: AlignedBytes,
    start: usize,
    end: usize,
}

impl TcpSend {
    pub(crate) fn new(half: OwnedWriteHalf, sendfile: bool) -> Self {
        Self { half, sendfile, copy: Copied::default(), unsent: 0 }
    }

    /// Lets the kernel keep about one block unsent. The engine chooses blocks by a peer's rate, so that is some milliseconds
    /// of it: enough that the link never waits for us, and little that can no longer be overtaken.
    fn fit_unsent(&mut self, batch: &Batch) -> io::Result<()> {
        if let Next::Body { body, .. } = batch.next() {
            let block = u32::try_from(body.len()).unwrap_or(u32::MAX);
            let wanted = block.clamp(limits::UNSENT_BYTES_MIN, limits::UNSENT_BYTES_MAX);
            if wanted != self.unsent {
                self.unsent = wanted;
                #[cfg(target_os = "linux")]
                socket2::SockRef::from(self.half.as_ref()).set_tcp_notsent_lowat(wanted)?;
            }
        }
        Ok(())
    }

    /// Sends something, and says how much; not ready as [`io::ErrorKind::WouldBlock`].
    fn send_some(&mut self, batch: &Batch) -> Result<u64, SendError> {
        let stream: &TcpStream = self.half.as_ref();
        if let Next::Body { body: Body::Files(ranges), sent } = batch.next() {
            let (file, offset, len) = rest_of_range(ranges, sent);
            if self.sendfile {
                match sendfile(stream, file, offset, len) {
                    Err(error) if is_unsupported(&error) => self.sendfile = false,
                    Err(error) => return Err(whose_fault(error, file, offset)),
                    sent => return Ok(sent?),
                }
            }
            return self.copy.send(stream, file, offset, len);
        }
        let (slices, more) = gather(batch);
        Ok(send_slices(stream, &slices, more)?)
    }
}

impl SendHalf for TcpSend {
    fn poll_send(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<SendResult> {
        self.fit_unsent(batch)?;
        let mut turn = limits::SEND_BYTES_PER_TURN;
        while !matches!(batch.next(), Next::Nothing) {
            if turn == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            ready!(self.half.as_ref().poll_write_ready(cx))?;
            match self.send_some(batch) {
                Ok(sent) => {
                    advance(batch, sent);
                    turn = turn.saturating_sub(sent);
                }
                Err(SendError::Broken(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// What is left of the range that byte `sent` of the body lies in.
fn rest_of_range(ranges: &[FileRange], mut sent: u64) -> (&File, u64, u64) {
    for range in ranges {
        if sent < range.len {
            return (&range.file, range.offset + sent, range.len - sent);
        }
        sent -= range.len;
    }
    unreachable!("a batch never gives a body that is sent whole")
}

/// The bytes in memory that come next, and whether a file follows them.
fn gather(batch: &Batch) -> (SmallVec<[IoSlice<'_>; SLICES_MAX]>, bool) {
    let mut slices = SmallVec::new();
    let mut heads_at = batch.heads_sent;
    let mut skip = batch.body_sent as usize;
    for (upto, body) in &batch.bodies[batch.bodies_sent..] {
        if slices.len() + 2 > SLICES_MAX {
            return (slices, false);
        }
        if heads_at < *upto {
            slices.push(IoSlice::new(&batch.heads[heads_at..*upto]));
            heads_at = *upto;
        }
        match body {
            Body::Bytes(bytes) => slices.push(IoSlice::new(&bytes[skip..])),
            Body::Files(_) => return (slices, true),
        }
        skip = 0;
    }
    if heads_at < batch.heads.len() {
        slices.push(IoSlice::new(&batch.heads[heads_at..]));
    }
    (slices, false)
}

/// [`Batch::advance`] across what [`gather`] gave.
fn advance(batch: &mut Batch, mut sent: u64) {
    while sent > 0 {
        let part = match batch.next() {
            Next::Heads(bytes) => bytes.len() as u64,
            Next::Body { body, sent } => body.len() - sent,
            Next::Nothing => unreachable!("more was sent than there was"),
        };
        batch.advance(part.min(sent));
        sent -= part.min(sent);
    }
}

fn send_slices(stream: &TcpStream, slices: &[IoSlice<'_>], more: bool) -> io::Result<u64> {
    #[cfg(target_os = "linux")]
    {
        use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
        let more = if more { SendFlags::MORE } else { SendFlags::empty() };
        let flags = SendFlags::NOSIGNAL | more;
        retry(stream, || sendmsg(stream, slices, &mut SendAncillaryBuffer::default(), flags))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = more;
        loop {
            match stream.try_write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done.map(|sent| sent as u64),
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn sendfile(stream: &TcpStream, file: &File, offset: u64, len: u64) -> io::Result<u64> {
    let len = len.min(limits::SEND_BYTES_PER_TURN) as usize;
    let sent =
        retry(stream, || rustix::fs::sendfile(stream, file, Some(&mut offset.clone()), len))?;
    if sent == 0 { Err(file_too_short()) } else { Ok(sent) }
}

/// Of an error of `sendfile` nobody can tell whether the file or the socket is at fault. But the byte that was next can be read,
/// or not.
fn whose_fault(error: io::Error, file: &File, offset: u64) -> SendError {
    if error.kind() == io::ErrorKind::WouldBlock {
        return SendError::Broken(error);
    }
    match read_at(file, &mut [0], offset) {
        Ok(_) => SendError::Broken(error),
        Err(error) => SendError::Unreadable(error),
    }
}

#[cfg(not(target_os = "linux"))]
fn sendfile(_: &TcpStream, _: &File, _: u64, _: u64) -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A system call on the socket, again if a signal interrupts it; tells the runtime when the socket is full.
#[cfg(target_os = "linux")]
fn retry(stream: &TcpStream, call: impl FnMut() -> rustix::io::Result<usize>) -> io::Result<u64> {
    let mut call = call;
    let sent = stream.try_io(Interest::WRITABLE, || Ok(rustix::io::retry_on_intr(&mut call)?))?;
    Ok(sent as u64)
}

/// Whether `sendfile` cannot do this file or this system, though reading may.
fn is_unsupported(error: &io::Error) -> bool {
    use rustix::io::Errno;
    error.kind() == io::ErrorKind::Unsupported || Errno::from_io_error(error) == Some(Errno::INVAL)
}

fn file_too_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file to send is shorter than it was")
}

impl Copied {
    /// Sends bytes of `file` by way of the buffer. What was read and not sent is kept: the next call continues there.
    fn send(
        &mut self,
        stream: &TcpStream,
        file: &File,
        offset: u64,
        len: u64,
    ) -> Result<u64, SendError> {
        if self.start == self.end {
            if self.buffer.is_empty() {
                self.buffer = AlignedBytes::new(COPY_BYTES);
            }
            let wanted = len.min(COPY_BYTES as u64) as usize;
            let read = read_at(file, &mut self.buffer[..wanted], offset);
            (self.start, self.end) = (0, read.map_err(SendError::Unreadable)?);
        }
        let slice = IoSlice::new(&self.buffer[self.start..self.end]);
        let more = len > (self.end - self.start) as u64;
        let sent = send_slices(stream, &[slice], more)?;
        self.start += sent as usize;
        Ok(sent)
    }
}

fn read_at(file: &File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(buf, offset) {
            Ok(0) => return Err(file_too_short()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
