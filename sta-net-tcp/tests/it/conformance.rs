//! The suite on both ways of sending, both families, and both kinds of runtime.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use sta_core::testing::transport_suite;
use sta_net_tcp::TcpTransport;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// A story that hangs has failed.
async fn conforms(transport: TcpTransport, host: IpAddr) {
    let all = transport_suite::all(&transport, host);
    tokio::time::timeout(Duration::from_secs(120), all).await.expect("the suite ends");
}

#[tokio::test]
async fn with_sendfile() {
    conforms(TcpTransport::new(), V4).await;
}

#[tokio::test]
async fn without_sendfile() {
    conforms(TcpTransport::without_sendfile(), V4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_sendfile_on_two_threads() {
    conforms(TcpTransport::new(), V4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_sendfile_on_two_threads() {
    conforms(TcpTransport::without_sendfile(), V4).await;
}

#[tokio::test]
async fn over_ipv6() {
    if std::net::TcpListener::bind((V6, 0)).is_err() {
        eprintln!("skipped: this machine has no IPv6 loopback");
        return;
    }
    conforms(TcpTransport::new(), V6).await;
}
