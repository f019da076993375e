//! Bytes in from the socket, and how many must be there before a reader is woken.
//!
//! A reader who waits for a whole block gains nothing by being woken for every segment of it; each time costs a switch between
//! threads, on a virtual machine often a message between processors. So the kernel is told how much is worth it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use sta_core::io::transport::RecvHalf;
use sta_core::model::limits;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;

pub(crate) struct TcpRecv {
    half: OwnedReadHalf,
    /// Bytes that wake the reader, as the kernel was last told.
    worth: usize,
}

impl TcpRecv {
    pub(crate) fn new(half: OwnedReadHalf) -> Self {
        Self { half, worth: 1 }
    }

    /// Reads what is there; or has the task woken when `worth` bytes are, or the end, or when the kernel has no room for more.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        worth: usize,
    ) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        let read = Pin::new(&mut self.half).poll_read(cx, &mut buf)?;
        if read.is_pending() && self.worth != worth {
            // What came before the kernel heard of it has woken the task, or does so as it hears.
            self.worth = worth;
            set_worth(&self.half, worth)?;
        }
        read.map(|()| Ok(buf.filled().len()))
    }
}

impl RecvHalf for TcpRecv {
    fn poll_recv(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll(cx, buf, 1)
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let worth = buf.len().min(limits::RECV_WORTH_BYTES_MAX);
        self.poll(cx, buf, worth)
    }
}

#[cfg(target_os = "linux")]
fn set_worth(half: &OwnedReadHalf, bytes: usize) -> io::Result<()> {
    Ok(nix::sys::socket::setsockopt(half.as_ref(), low_water::RcvLowat, &bytes)?)
}

#[cfg(not(target_os = "linux"))]
fn set_worth(_: &OwnedReadHalf, _: usize) -> io::Result<()> {
    Ok(())
}

/// `SO_RCVLOWAT`, which neither rustix nor socket2 have: by nix's macro for options that it does not list itself.
#[cfg(target_os = "linux")]
mod low_water {
    use nix::{libc, setsockopt_impl, sockopt_impl};

    sockopt_impl!(
        /// Bytes that make a socket readable.
        RcvLowat,
        SetOnly,
        libc::SOL_SOCKET,
        libc::SO_RCVLOWAT,
        usize
    );
}
