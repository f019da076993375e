//! Connecting: every address that a name stands for is tried, a new one as soon as the one before fails or is slow,
//! and the first that answers is taken (RFC 8305 without its memory of earlier attempts).

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use sta_core::model::address::Address;
use sta_core::model::limits;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

pub(crate) async fn dial(to: &Address) -> io::Result<TcpStream> {
    let found = match to.socket_addr() {
        Some(addr) => vec![addr],
        None => tokio::net::lookup_host((to.host.as_str(), to.port)).await?.collect(),
    };
    let mut waiting = alternate(found);
    let mut attempts = JoinSet::new();
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        if let Some(addr) = waiting.pop_front() {
            attempts.spawn(attempt(addr));
        }
        let patience =
            if waiting.is_empty() { limits::DIAL_ADDRESS_TIMEOUT } else { limits::DIAL_STAGGER };
        match timeout(patience, attempts.join_next()).await {
            Ok(Some(Ok(Ok(stream)))) => return Ok(stream),
            Ok(Some(Ok(Err(error)))) => failed = error,
            Ok(Some(Err(gone))) => failed = io::Error::other(gone),
            Ok(None) => return Err(failed),
            Err(_) => {}
        }
    }
}

async fn attempt(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream =
        timeout(limits::DIAL_ADDRESS_TIMEOUT, TcpStream::connect(addr)).await.map_err(|_| {
            io::Error::new(io::ErrorKind::TimedOut, format!("{addr} does not answer"))
        })??;
    // A port from which nobody listens can be given to the very socket that dials it.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

/// The addresses of both families by turns, beginning with the family of the first.
fn alternate(found: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_v4 = found.first().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|addr| addr.is_ipv4() == first_is_v4);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut mixed = VecDeque::new();
    while mixed.len() < limits::DIAL_ADDRESSES_MAX {
        let (one, other) = (first.next(), second.next());
        if one.is_none() && other.is_none() {
            break;
        }
        mixed.extend(one.into_iter().chain(other));
    }
    mixed
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

    use super::alternate;

    #[test]
    fn families_take_turns() {
        let v4 = |n| SocketAddr::from((Ipv4Addr::new(192, 0, 2, n), 1));
        let v6 = |n| SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, n), 1));
        let table = [
            (vec![], vec![]),
            (vec![v6(1), v6(2), v6(3), v4(1)], vec![v6(1), v4(1), v6(2), v6(3)]),
            (vec![v4(1), v4(2), v6(1), v6(2)], vec![v4(1), v6(1), v4(2), v6(2)]),
        ];
        for (found, mixed) in table {
            assert_eq!(alternate(found.clone()), mixed, "{found:?}");
        }
    }
}
