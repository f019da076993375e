//! Names, families and mistakes.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use sta_core::io::transport::Transport;
use sta_core::model::address::Address;
use sta_net_tcp::TcpTransport;

fn address(host: &str, port: u16) -> Address {
    Address { host: host.to_owned(), port }
}

#[tokio::test]
async fn listening_everywhere_takes_both_families_under_their_own_addresses() {
    let transport = TcpTransport::new();
    let everywhere = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let mut listener = transport.listen(everywhere).await.expect("a free port");
    let port = listener.local_addr().port();
    let mut hosts = vec!["127.0.0.1"];
    if listener.local_addr().is_ipv6() {
        hosts.push("::1");
    }
    for host in hosts {
        let to = address(host, port);
        let (dialled, accepted) = tokio::join!(transport.connect(&to), listener.accept());
        let (dialled, accepted) = (dialled.expect("listens"), accepted.expect("accepts"));
        assert_eq!(accepted.remote, dialled.local);
        assert_eq!(accepted.remote.ip().to_string(), host, "as it is told to other machines");
    }
}

#[tokio::test]
async fn a_name_is_tried_at_each_of_its_addresses() {
    // "localhost" may stand for ::1 first, where nobody listens.
    let transport = TcpTransport::new();
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut listener = transport.listen(v4).await.expect("a free port");
    let to = address("localhost", listener.local_addr().port());
    let (dialled, accepted) = tokio::join!(transport.connect(&to), listener.accept());
    assert_eq!(dialled.expect("listens").remote, listener.local_addr());
    accepted.expect("accepts");
}

#[tokio::test]
async fn a_name_that_stands_for_nothing_is_an_error() {
    let unknown = address("no-such-host.invalid", 1);
    assert!(TcpTransport::new().connect(&unknown).await.is_err());
}

#[tokio::test]
async fn a_port_in_use_is_an_error() {
    let transport = TcpTransport::new();
    let first = transport.listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("free");
    let error = transport.listen(first.local_addr()).await.err().expect("it is taken");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn a_port_is_free_again_at_once() {
    let transport = TcpTransport::new();
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut listener = transport.listen(v4).await.expect("a free port");
    let at = listener.local_addr();
    let to = Address::from(at);
    let (dialled, accepted) = tokio::join!(transport.connect(&to), listener.accept());
    // The accepting side closes first, and so holds the port for a while (TIME_WAIT).
    drop(accepted.expect("accepts"));
    let mut dialled = dialled.expect("listens");
    assert_eq!(dialled.recv.recv(&mut [0; 1]).await.expect("a clean end"), 0);
    drop((dialled, listener));
    transport.listen(at).await.expect("no waiting for connections of an earlier run");
}
