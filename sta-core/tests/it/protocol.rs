//! `docs/PROTOCOL.md` is the specification: its golden vectors are read from it and must come out of the code.
//!
//! A vector is a fenced block: the header as JSON, and below it the whole frame in hexadecimal digits.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sta_core::wire::frame::{FrameDecoder, FrameLimits, PREAMBLE, encode};
use sta_core::wire::peer::PeerMessage;
use sta_core::wire::tracker::{FromTracker, ToTracker};

const LIMITS: FrameLimits = FrameLimits { header: 1 << 16, body: 1 << 20 };

/// The rows below a heading: header and frame of each.
fn vectors(heading: &str) -> Vec<(String, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/PROTOCOL.md");
    let text = fs::read_to_string(path).expect("docs/PROTOCOL.md is there");
    let section = text.split(&format!("## {heading}\n")).nth(1).expect("the heading is there");
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut rows = Vec::new();
    let mut lines = section.lines();
    while let Some(line) = lines.next() {
        if line == "```vector" {
            let header = lines.next().expect("a header").to_owned();
            let digits: String = lines.by_ref().take_while(|line| *line != "```").collect();
            rows.push((header, unhex(&digits)));
        }
    }
    assert!(!rows.is_empty(), "no vectors below {heading:?}");
    rows
}

fn unhex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).expect("digits");
        u8::from_str_radix(text, 16).expect("two digits")
    };
    digits.chunks(2).map(byte).collect()
}

/// Every vector decodes to what its JSON says, and what is encoded again is the vector. Gives the kinds seen.
fn check<M>(heading: &str) -> BTreeSet<String>
where
    M: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let mut kinds = BTreeSet::new();
    for (header, frame) in vectors(heading) {
        let said: M = serde_json::from_str(&header).expect("the header is a message");
        let mut decoder = FrameDecoder::new(LIMITS, 1 << 12);
        let mut bytes = PREAMBLE.to_vec();
        bytes.extend_from_slice(&frame);
        decoder.space()[..bytes.len()].copy_from_slice(&bytes);
        decoder.filled(bytes.len());
        let (decoded, body_len) =
            decoder.next_message::<M>().expect("a sound frame").expect("a whole frame");
        assert_eq!(decoded, said, "{heading}");
        let mut body = vec![0; body_len];
        assert_eq!(decoder.take_body(&mut body), body_len, "the body of {header}");
        let mut again = Vec::new();
        encode(&said, body_len as u32, &mut again);
        again.extend_from_slice(&body);
        let hex: String = again.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(again, frame, "{heading}: {header} is written as\n{hex}");
        let value: serde_json::Value = serde_json::from_str(&header).expect("JSON");
        kinds.insert(value["t"].as_str().expect("a kind").to_owned());
    }
    kinds
}

fn set(kinds: &[&str]) -> BTreeSet<String> {
    kinds.iter().map(|&kind| kind.to_owned()).collect()
}

#[test]
fn between_peers() {
    let kinds = [
        "hello", "have", "coming", "leaves", "choke", "unchoke", "get", "data", "reject", "cancel",
        "ping", "bye",
    ];
    assert_eq!(check::<PeerMessage>("Between peers"), set(&kinds), "a vector for every kind");
}

#[test]
fn from_a_node_to_a_tracker() {
    let kinds = ["hello", "join", "have", "want", "stats", "leave", "ping", "status", "torrent"];
    assert_eq!(
        check::<ToTracker>("From a node to a tracker"),
        set(&kinds),
        "a vector for every kind"
    );
}

#[test]
fn from_a_tracker_to_a_node() {
    let kinds = ["welcome", "peers", "pong", "status", "torrent", "error"];
    assert_eq!(
        check::<FromTracker>("From a tracker to a node"),
        set(&kinds),
        "a vector for every kind"
    );
}
