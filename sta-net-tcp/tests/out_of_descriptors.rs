//! A process without file descriptors goes on accepting once it has some again. A program of its own, because the limit
//! is the process's.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::task::Poll;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sta_core::io::transport::Transport;
use sta_core::model::address::Address;
use sta_net_tcp::TcpTransport;

#[tokio::test]
async fn accepting_survives_a_shortage_of_descriptors() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum })
        .expect("lowering is allowed");

    let transport = TcpTransport::new();
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut listener = transport.listen(v4).await.expect("a free port");
    let dialled = transport.connect(&Address::from(listener.local_addr())).await;
    let dialled = dialled.expect("the kernel answers before anybody accepts");

    let files: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!((1..64).contains(&files.len()));
    let mut accepting = listener.accept();
    // The listener is ready at the first look at the earliest and after a turn of the reactor at the latest.
    for _ in 0..1000 {
        let polled = std::future::poll_fn(|cx| Poll::Ready(accepting.as_mut().poll(cx))).await;
        assert!(polled.is_pending(), "there is no descriptor for it");
        tokio::task::yield_now().await;
    }
    drop(files);
    let accepted = tokio::time::timeout(Duration::from_secs(60), accepting).await;
    let accepted = accepted.expect("it goes on by itself").expect("nothing else is wrong");
    assert_eq!(accepted.remote, dialled.local);
}
