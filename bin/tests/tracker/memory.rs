//! What strangers ask for costs the tracker little memory.

use std::io::ErrorKind;

use sta_core::wire::frame::{PREAMBLE, encode};
use sta_core::wire::tracker::ToTracker;
use tokio::net::{TcpSocket, TcpStream};

use super::{Client, numbered, rows, run, tracker};

/// The most memory that this process has had so far, in MiB.
fn memory_peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    let kib = line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
    kib.expect("a number") >> 10
}

/// Thousands of questions come in one read, and each has an answer of hundreds of kilobytes.
#[test]
fn a_packet_of_questions_is_no_gigabyte_of_answers() {
    run(async {
        let tracker = tracker(None).await;
        let at = tracker.local_addr();
        let mut many = Client::hello(at, "many").await;
        for i in 0..2_000u32 {
            let torrent = numbered(i);
            many.say(&ToTracker::Join { torrent, pieces: 1, have: vec![], want: 0 }).await;
        }
        many.settle().await;
        let mut curious = Client::connect(at).await;
        let mut asks = Vec::new();
        (0..2_500).for_each(|_| encode(&ToTracker::Status { torrent: None }, 0, &mut asks));
        let before = memory_peak();
        curious.send(&asks).await;
        many.settle().await;
        let grown = memory_peak() - before;
        assert!(grown < 200, "{grown} MiB for a packet of {} bytes", asks.len());
    });
}

/// Whether the last part of a status answer comes before the end.
async fn has_whole_answer(client: &TcpStream) -> bool {
    let (mut heard, mut part) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        client.readable().await.expect("open");
        match client.try_read(&mut part) {
            Ok(0) => return false,
            Ok(read) => heard.extend_from_slice(&part[..read]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return false,
        }
        let last = br#""more":false"#;
        if heard.windows(last.len()).any(|bytes| bytes == last) {
            return true;
        }
        heard.drain(..heard.len().saturating_sub(last.len()));
    }
}

/// Each of many asks once for what is megabytes long and reads nothing of it.
#[test]
fn answers_that_nobody_reads_are_no_gigabyte() {
    run(async {
        let tracker = tracker(None).await;
        let at = tracker.local_addr();
        let mut kept = Vec::new();
        for half in 0..2u32 {
            let mut joins = Vec::new();
            for i in 0..7_900u32 {
                let torrent = numbered(half << 16 | i);
                let join = ToTracker::Join { torrent, pieces: 1, have: vec![], want: 0 };
                encode(&join, 0, &mut joins);
            }
            let mut many = Client::hello(at, &format!("{half}-{}", "x".repeat(60))).await;
            many.send(&joins).await;
            many.settle().await;
            kept.push(many);
        }
        let before = memory_peak();
        let mut question = PREAMBLE.to_vec();
        encode(&ToTracker::Status { torrent: None }, 0, &mut question);
        let mut deaf = Vec::new();
        for _ in 0..250 {
            let socket = TcpSocket::new_v4().expect("a socket");
            // Otherwise the system takes most of the answer in.
            socket.set_recv_buffer_size(4_096).expect("few bytes");
            let client = socket.connect(at).await.expect("connected");
            client.writable().await.expect("new");
            assert_eq!(client.try_write(&question).expect("sent"), question.len());
            kept[0].settle().await;
            deaf.push(client);
        }
        assert_eq!(rows(at).await.len(), 15_800, "who reads has an answer");
        let grown = memory_peak() - before;
        assert!(grown < 220, "{grown} MiB for 250 questions");
        let mut dropped = false;
        for client in &deaf {
            dropped |= !has_whole_answer(client).await;
            if dropped {
                break;
            }
        }
        assert!(dropped, "who reads nothing was not kept for it");
    });
}
