//! What is told of a download once it is over: how much, how long, from whom. Numbers in, text out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use sta_core::model::ids::NodeId;
use sta_core::model::metainfo::Metainfo;
use sta_core::model::status::{PeerStatus, TorrentStatus};

use crate::output::table;
use crate::units;

/// A peer that data came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// Who.
    pub(super) node: NodeId,
    /// Its address, as observed.
    pub(super) addr: SocketAddr,
    /// Payload bytes received from it.
    pub(super) bytes: u64,
    /// Payload bytes received from it per second, of late.
    pub(super) rate: u64,
}

/// The peers that data came from, the greatest first; several sessions with one peer are one source.
#[must_use]
pub(super) fn sources(peers: &[PeerStatus]) -> Vec<Source> {
    let mut by_node: BTreeMap<&NodeId, Source> = BTreeMap::new();
    for peer in peers.iter().filter(|peer| peer.down > 0) {
        let (node, addr) = (peer.node.clone(), peer.addr);
        let source = by_node.entry(&peer.node).or_insert(Source { node, addr, bytes: 0, rate: 0 });
        source.bytes += peer.down;
        source.rate += peer.down_rate;
    }
    let mut sources: Vec<Source> = by_node.into_values().collect();
    sources.sort_by_key(|source| std::cmp::Reverse(source.bytes));
    sources
}

/// Why nothing comes: `though 3 connected peers have more than is here`.
#[must_use]
pub(super) fn why_nothing_comes(status: &TorrentStatus) -> String {
    if status.unwritten > 0 {
        let waiting = units::bytes(status.unwritten);
        return format!("while {waiting} wait to be written here: the disk is slow, or hangs");
    }
    let connected = || status.peers.iter().filter(|peer| peer.connected);
    match (connected().count(), connected().filter(|peer| peer.have > status.have).count()) {
        (0, _) => "and no peer is connected".to_owned(),
        (_, 0) => "and no connected peer has more than is here".to_owned(),
        (_, 1) => "though a connected peer has more than is here".to_owned(),
        (_, peers) => format!("though {peers} connected peers have more than is here"),
    }
}

/// The summary of a download that took `time` and is complete, at `place` if it stays.
#[must_use]
pub(super) fn complete(
    metainfo: &Metainfo,
    status: &TorrentStatus,
    time: Duration,
    place: Option<&Path>,
) -> String {
    let mut lines = vec![format!(
        "{}: complete, {} in {}, {}",
        metainfo.name(),
        units::bytes(status.total),
        units::time(time),
        units::rate(mean(status.down, time)),
    )];
    lines.extend(place.map(|place| format!("  saved      {}", place.display())));
    lines.push(format!(
        "  verified   {}, info-hash {}",
        verification(metainfo),
        metainfo.info_hash()
    ));
    if status.wasted > 0 {
        lines.push(format!("  in vain    {} received twice or wrong", units::bytes(status.wasted)));
    }
    let sources = sources(&status.peers);
    if !sources.is_empty() {
        lines.push(sources_table(&sources, time));
    }
    lines.join("\n")
}

/// By what the pieces of a torrent are verified.
#[must_use]
pub(super) fn verification(metainfo: &Metainfo) -> String {
    let hash = if metainfo.hashes().has_blake3() { "BLAKE3" } else { "SHA-1" };
    match metainfo.layout().pieces() {
        1 => format!("1 piece by {hash}"),
        pieces => format!("{pieces} pieces by {hash}"),
    }
}

/// A table of sources: who, where, how much, and at what rate over the whole `time`.
#[must_use]
pub(super) fn sources_table(sources: &[Source], time: Duration) -> String {
    let all: u64 = sources.iter().map(|source| source.bytes).sum();
    let row = |source: &Source| {
        vec![
            source.node.to_string(),
            source.addr.to_string(),
            units::bytes(source.bytes),
            format!("{} %", units::percent(source.bytes, all)),
            units::rate(mean(source.bytes, time)),
        ]
    };
    table(&["source", "address", ">received", ">share", ">mean rate"], sources.iter().map(row))
}

/// Bytes per second.
fn mean(bytes: u64, time: Duration) -> u64 {
    (bytes as f64 / time.as_secs_f64().max(1e-3)) as u64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sta_core::model::status::PeerStatus;

    use super::{sources, sources_table};

    fn peer(node: &str, connected: bool, down: u64) -> PeerStatus {
        let addr = "10.0.0.1:7".parse().expect("an address");
        let node = node.parse().expect("an id");
        PeerStatus { node, addr, connected, have: 0, down, up: 0, down_rate: 0, up_rate: 0 }
    }

    #[test]
    fn sessions_with_one_peer_are_one_source() {
        let peers = [
            peer("a", false, 1 << 20),
            peer("b", true, 3 << 20),
            peer("c", true, 0),
            peer("a", true, 1 << 20),
        ];
        let found = sources(&peers);
        let bytes: Vec<_> = found.iter().map(|s| (s.node.as_str(), s.bytes >> 20)).collect();
        assert_eq!(bytes, [("b", 3), ("a", 2)]);
        let shown = sources_table(&found, Duration::from_secs(1));
        let row = shown.lines().nth(1).expect("the first source");
        assert!(
            row.contains("3.0 MiB") && row.contains("60 %") && row.contains("3.0 MiB/s"),
            "{shown}"
        );
    }
}
