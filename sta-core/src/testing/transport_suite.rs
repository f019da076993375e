//! What every [`Transport`] must do, as stories that panic when it does not.
//!
//! Each story opens its own listener at port 0 of `host` and dials it from the same machine, within a tokio runtime.
//! None sleeps: in a world of simulated time they end as well.

use std::future::poll_fn;
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use crate::io::store::{Body, FileRange};
use crate::io::transport::{Batch, Connection, Listener, SendError, SendHalf, Transport};
use crate::model::address::Address;

/// Calls each story in turn.
pub async fn all(transport: &dyn Transport, host: IpAddr) {
    addresses_agree(transport, host).await;
    bytes_arrive_in_order(transport, host).await;
    bodies_of_bytes_and_files_arrive_between_their_headers(transport, host).await;
    much_that_is_waited_for_arrives_and_so_does_little_after_it(transport, host).await;
    a_large_transfer_goes_both_ways_at_once(transport, host).await;
    an_end_is_seen_and_the_other_direction_lives_on(transport, host).await;
    a_dropped_connection_ends_sends_with_an_error(transport, host).await;
    what_cannot_be_read_is_an_error(transport, host).await;
    connecting_to_nobody_fails(transport, host).await;
    many_connections_are_open_at_once(transport, host).await;
    a_receiver_that_does_not_read_makes_the_sender_wait(transport, host).await;
}

/// Each side knows both addresses, and they are each other's.
pub async fn addresses_agree(transport: &dyn Transport, host: IpAddr) {
    let listener = listen(transport, host).await;
    let at = listener.local_addr();
    assert!(at.port() != 0 && at.ip() == host, "it listens at {at}");
    let (dialled, accepted, _) = pair_at(transport, listener).await;
    assert_eq!(dialled.remote, at);
    assert_eq!(accepted.local, at);
    assert_eq!(dialled.local, accepted.remote);
}

/// What is sent in parts of any size arrives in order, read in parts of any size.
pub async fn bytes_arrive_in_order(transport: &dyn Transport, host: IpAddr) {
    let (mut from, mut to) = pair(transport, host).await;
    let sizes = [1, 2, 3, 100, 4096, 65_537, 1];
    let sent = tokio::spawn(async move {
        let mut batch = Batch::default();
        let mut at = 0;
        for size in sizes {
            batch.clear();
            batch.heads.extend_from_slice(&content(1, at, size));
            from.send.send(&mut batch).await.expect("the other side reads");
            at += size;
        }
    });
    let mut seen = Vec::new();
    let mut part = [0; 1000];
    loop {
        match to.recv.recv(&mut part).await.expect("the sender is well") {
            0 => break,
            read => seen.extend_from_slice(&part[..read]),
        }
    }
    sent.await.expect("the sender ends well");
    assert!(seen == content(1, 0, sizes.iter().sum()), "{} bytes, out of order", seen.len());
}

/// A batch of headers, bodies in memory and bodies made of file ranges arrives as one stream.
pub async fn bodies_of_bytes_and_files_arrive_between_their_headers(
    transport: &dyn Transport,
    host: IpAddr,
) {
    let (mut from, mut to) = pair(transport, host).await;
    let file = file_of(2, 3 << 20);
    let range = |offset, len| FileRange { file: Arc::clone(&file), offset, len };
    // Far more than fits a socket at once, so that every kind of body is sent in parts.
    let large = content(3, 0, 5 << 20);
    let bodies = [
        Some(Body::Bytes(Bytes::from_static(b"in memory"))),
        None,
        Some(Body::Files(vec![range(5, 1)])),
        Some(Body::Files(vec![range(100, 70_000), range(0, 3 << 20), range(3, 4)])),
        Some(Body::Bytes(Bytes::from(large.clone()))),
        Some(Body::Files(vec![range(1 << 20, 2 << 20)])),
    ];
    let mut batch = Batch::default();
    let mut expected = Vec::new();
    for (n, body) in bodies.into_iter().enumerate() {
        batch.heads.extend_from_slice(&content(4, n, 50 * n));
        expected.extend(content(4, n, 50 * n));
        match &body {
            Some(Body::Bytes(bytes)) => expected.extend_from_slice(bytes),
            Some(Body::Files(ranges)) => ranges.iter().for_each(|range| {
                expected.extend(content(2, range.offset as usize, range.len as usize));
            }),
            None => {}
        }
        if let Some(body) = body {
            batch.push_body(body);
        }
    }
    batch.heads.extend_from_slice(b"after the last body");
    expected.extend_from_slice(b"after the last body");
    let sent = tokio::spawn(async move {
        from.send.send(&mut batch).await.expect("the other side reads");
        assert!(matches!(batch.next(), crate::io::transport::Next::Nothing));
        from
    });
    let mut seen = vec![0; expected.len()];
    to.recv.recv_exact(&mut seen).await.expect("all of it comes");
    let wrong = seen.iter().zip(&expected).position(|(a, b)| a != b);
    assert_eq!(wrong, None, "the first byte that is wrong, of {}", expected.len());
    drop(sent.await.expect("the sender ends well"));
    assert_eq!(to.recv.recv(&mut seen).await.expect("a clean end"), 0, "nothing comes after it");
}

/// A reader who waits for a mebibyte is given it, then a few bytes alone, and learns of an end in the midst of the next mebibyte.
pub async fn much_that_is_waited_for_arrives_and_so_does_little_after_it(
    transport: &dyn Transport,
    host: IpAddr,
) {
    const MUCH: usize = 1 << 20;
    let (mut from, mut to) = pair(transport, host).await;
    let mut got = vec![0; MUCH];
    for round in 0..3 {
        let parts = [MUCH / 2 + 1, 1, MUCH / 2 - 2];
        let sends = async {
            let mut at = 0;
            for part in parts {
                send_bytes(&mut *from.send, content(round, at, part)).await.expect("it is read");
                at += part;
            }
        };
        let (received, ()) = tokio::join!(to.recv.recv_exact(&mut got), sends);
        received.expect("all of it comes");
        assert!(got == content(round, 0, MUCH), "wrong bytes in round {round}");
        let sends = send_bytes(&mut *from.send, b"few".to_vec());
        let few = async {
            let mut few = Vec::new();
            while few.len() < 3 {
                let read = to.recv.recv(&mut got).await.expect("they come");
                few.extend_from_slice(&got[..read]);
            }
            few
        };
        let (few, sent) = tokio::join!(few, sends);
        sent.expect("it is read");
        assert_eq!(few, b"few");
    }
    send_bytes(&mut *from.send, content(9, 0, 10)).await.expect("it is read");
    drop(from);
    let error = to.recv.recv_exact(&mut got).await.expect_err("it ends too soon");
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
}

/// Both sides send 16 MiB at once while both receive.
pub async fn a_large_transfer_goes_both_ways_at_once(transport: &dyn Transport, host: IpAddr) {
    const BYTES: usize = 16 << 20;
    let (here, there) = pair(transport, host).await;
    let sides = [(here, 5, 6), (there, 6, 5)].map(|(connection, own, others)| {
        let Connection { mut recv, mut send, .. } = connection;
        let sends = tokio::spawn(async move {
            for at in (0..BYTES).step_by(1 << 20) {
                send_bytes(&mut *send, content(own, at, 1 << 20)).await.expect("it is read");
            }
            send
        });
        let receives = tokio::spawn(async move {
            let mut part = vec![0; 1 << 16];
            for at in (0..BYTES).step_by(part.len()) {
                recv.recv_exact(&mut part).await.expect("it is sent");
                assert!(part == content(others, at, part.len()), "wrong bytes from {at} on");
            }
            recv
        });
        (sends, receives)
    });
    let mut open = Vec::new();
    for (sends, receives) in sides {
        open.push((sends.await.expect("sent"), receives.await.expect("received")));
    }
}

/// Dropping the outgoing half is seen as an end; the other direction still works.
pub async fn an_end_is_seen_and_the_other_direction_lives_on(
    transport: &dyn Transport,
    host: IpAddr,
) {
    let (mut here, mut there) = pair(transport, host).await;
    send_bytes(&mut *here.send, b"last words".to_vec()).await.expect("it is read");
    drop(here.send);
    let mut seen = [0; 10];
    there.recv.recv_exact(&mut seen).await.expect("it was sent");
    assert_eq!(&seen, b"last words");
    for _ in 0..2 {
        assert_eq!(there.recv.recv(&mut seen).await.expect("a clean end"), 0);
    }
    send_bytes(&mut *there.send, b"and answer".to_vec()).await.expect("it is read");
    here.recv.recv_exact(&mut seen).await.expect("it was sent");
    assert_eq!(&seen, b"and answer");
}

/// Once the other side has dropped the connection, sending fails before long.
pub async fn a_dropped_connection_ends_sends_with_an_error(
    transport: &dyn Transport,
    host: IpAddr,
) {
    let (mut here, there) = pair(transport, host).await;
    send_bytes(&mut *here.send, b"never read".to_vec()).await.expect("the other side is there");
    drop(there);
    for _ in 0..1000 {
        if send_bytes(&mut *here.send, content(7, 0, 1 << 16)).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("sent 64 MiB to nobody");
}

/// A file that was cut after its range was made, or that cannot be read, ends the sending, and the connection is not blamed; it
/// neither hangs nor sends something else.
pub async fn what_cannot_be_read_is_an_error(transport: &dyn Transport, host: IpAddr) {
    let cut = FileRange { file: file_of(8, 100_000), offset: 50_000, len: 50_001 };
    let named = tempfile::NamedTempFile::new().expect("a temporary file");
    named.as_file().set_len(10).expect("there is space");
    let sealed = std::fs::File::options().write(true).open(named.path()).expect("it is ours");
    let sealed = FileRange { file: Arc::new(sealed), offset: 0, len: 10 };
    for range in [cut, sealed] {
        let (mut here, mut there) = pair(transport, host).await;
        let reads = tokio::spawn(async move {
            let mut seen = vec![0; 1 << 16];
            while there.recv.recv(&mut seen).await.is_ok_and(|read| read > 0) {}
        });
        let mut batch = Batch::default();
        batch.push_body(Body::Files(vec![range]));
        let error = here.send.send(&mut batch).await.expect_err("bytes lack");
        assert!(matches!(error, SendError::Unreadable(_)), "{error}");
        drop(here);
        reads.await.expect("the reader ends well");
    }
}

/// A port where nobody listens refuses.
pub async fn connecting_to_nobody_fails(transport: &dyn Transport, host: IpAddr) {
    let listener = listen(transport, host).await;
    let at = listener.local_addr();
    drop(listener);
    let connected = transport.connect(&Address::from(at)).await;
    assert!(connected.is_err(), "{at} is closed");
}

/// Connections do not disturb each other.
pub async fn many_connections_are_open_at_once(transport: &dyn Transport, host: IpAddr) {
    const MANY: u8 = 40;
    let mut listener = listen(transport, host).await;
    let at = Address::from(listener.local_addr());
    let accepting = tokio::spawn(async move {
        let mut accepted = Vec::new();
        for _ in 0..MANY {
            accepted.push(listener.accept().await.expect("nothing is wrong"));
        }
        accepted
    });
    let mut dialled = Vec::new();
    for n in 0..MANY {
        let mut connection = transport.connect(&at).await.expect("it listens");
        send_bytes(&mut *connection.send, vec![n; 5]).await.expect("it is read");
        dialled.push(connection);
    }
    let mut accepted = accepting.await.expect("accepts them all");
    let mut seen = [0; 5];
    for connection in &mut accepted {
        connection.recv.recv_exact(&mut seen).await.expect("it was sent");
        let answer = seen.map(|n| n + 100).to_vec();
        send_bytes(&mut *connection.send, answer).await.expect("it is read");
    }
    for (n, connection) in (0..MANY).zip(&mut dialled) {
        connection.recv.recv_exact(&mut seen).await.expect("it was sent");
        assert_eq!(seen, [n + 100; 5], "the answer of another connection");
    }
}

/// Sending to a receiver that does not read comes to a stop, and goes on when it reads.
pub async fn a_receiver_that_does_not_read_makes_the_sender_wait(
    transport: &dyn Transport,
    host: IpAddr,
) {
    const PART: usize = 1 << 16;
    const PARTS: usize = 1024;
    let Connection { mut recv, send: answer, .. } = {
        let (here, there) = pair(transport, host).await;
        let Connection { mut send, recv, .. } = here;
        let parts = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&parts);
        tokio::spawn(async move {
            for n in 0..PARTS {
                send_bytes(&mut *send, content(9, n * PART, PART)).await.expect("it is read");
                count.store(n + 1, Ordering::Relaxed);
            }
            drop(recv);
        });
        assert!(comes_to_rest(&parts).await < PARTS, "64 MiB were sent and nobody reads");
        there
    };
    let mut seen = vec![0; PART];
    for n in 0..PARTS {
        recv.recv_exact(&mut seen).await.expect("the sender goes on");
        assert!(seen == content(9, n * PART, PART), "wrong bytes in part {n}");
    }
    drop(answer);
}

/// The count, once it has not changed for many turns of everybody else.
async fn comes_to_rest(count: &AtomicUsize) -> usize {
    let (mut last, mut quiet) = (0, 0);
    while quiet < 10_000 {
        tokio::task::yield_now().await;
        let now = count.load(Ordering::Relaxed);
        quiet = if now == last { quiet + 1 } else { 0 };
        last = now;
    }
    last
}

async fn listen(transport: &dyn Transport, host: IpAddr) -> Box<dyn Listener> {
    transport.listen(SocketAddr::new(host, 0)).await.expect("a free port")
}

async fn pair(transport: &dyn Transport, host: IpAddr) -> (Connection, Connection) {
    let listener = listen(transport, host).await;
    let (dialled, accepted, _) = pair_at(transport, listener).await;
    (dialled, accepted)
}

/// The dialling side, the accepting side and the listener.
async fn pair_at(
    transport: &dyn Transport,
    mut listener: Box<dyn Listener>,
) -> (Connection, Connection, Box<dyn Listener>) {
    let at = Address::from(listener.local_addr());
    let (dialled, accepted) = tokio::join!(transport.connect(&at), listener.accept());
    (dialled.expect("it listens"), accepted.expect("nothing is wrong"), listener)
}

async fn send_bytes(half: &mut dyn SendHalf, bytes: Vec<u8>) -> std::io::Result<()> {
    let mut batch = Batch { heads: bytes, ..Batch::default() };
    Ok(poll_fn(|cx| half.poll_send(cx, &mut batch)).await?)
}

/// `len` bytes from `at` on of an endless content that depends on `seed`.
fn content(seed: usize, at: usize, len: usize) -> Vec<u8> {
    (at..at + len).map(|i| (i.wrapping_mul(0x9E37_79B1) >> 11) as u8 ^ seed as u8).collect()
}

/// A file without a name that holds the first `len` bytes of [`content`].
fn file_of(seed: usize, len: usize) -> Arc<std::fs::File> {
    let mut file = tempfile::tempfile().expect("a folder for temporary files");
    file.write_all(&content(seed, 0, len)).expect("space for a few megabytes");
    Arc::new(file)
}
