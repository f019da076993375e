//! What STATUS and PEERS show. Numbers in, tables out.

use std::collections::BTreeMap;

use sta_core::model::ids::InfoHash;
use sta_core::model::status::{NodeStatus, PeerStatus, TorrentStatus};

use crate::output::table;
use crate::units;

/// The torrents of a node, and its trackers.
pub(super) fn torrents(status: &NodeStatus, names: &BTreeMap<InfoHash, String>) -> String {
    let mut lines: Vec<String> = Vec::new();
    if status.torrents.is_empty() {
        lines.push("no torrent; SEEDING or DOWNLOAD one".to_owned());
    } else {
        let columns = ["torrent", ">has", ">received", ">sent", ">down", ">up", ">peers", "state"];
        let rows = status.torrents.iter().map(|torrent| torrent_cells(torrent, names));
        lines.push(table(&columns, rows));
    }
    lines.extend(status.trackers.iter().map(|(tracker, up)| {
        format!(" tracker {tracker}: {}", if *up { "connected" } else { "away" })
    }));
    lines.join("\n")
}

/// The peers of a node, by torrent; those of ended sessions too.
pub(super) fn peers(status: &NodeStatus, names: &BTreeMap<InfoHash, String>) -> String {
    let cells = |torrent: &TorrentStatus| {
        let peers = torrent.peers.iter().map(|peer| peer_cells(torrent, peer, names));
        peers.collect::<Vec<_>>()
    };
    let rows: Vec<Vec<String>> = status.torrents.iter().flat_map(cells).collect();
    if rows.is_empty() {
        return "no peer yet".to_owned();
    }
    let columns =
        ["peer", "address", "torrent", ">has", ">received", ">sent", ">down", ">up", "state"];
    table(&columns, rows)
}

fn torrent_cells(torrent: &TorrentStatus, names: &BTreeMap<InfoHash, String>) -> Vec<String> {
    let state = match torrent {
        TorrentStatus { failed: Some(error), .. } => error.to_string(),
        TorrentStatus { finished: true, .. } => "complete".to_owned(),
        _ => "incomplete".to_owned(),
    };
    vec![
        name(torrent, names),
        format!("{} %", units::percent(torrent.verified, torrent.total)),
        units::bytes(torrent.down),
        units::bytes(torrent.up),
        units::rate(torrent.down_rate),
        units::rate(torrent.up_rate),
        torrent.peers.iter().filter(|peer| peer.connected).count().to_string(),
        state,
    ]
}

fn peer_cells(
    torrent: &TorrentStatus,
    peer: &PeerStatus,
    names: &BTreeMap<InfoHash, String>,
) -> Vec<String> {
    // What who has gone had is not known any more.
    let has = if peer.connected {
        format!("{} %", units::percent(peer.have.into(), torrent.pieces.into()))
    } else {
        "-".to_owned()
    };
    vec![
        peer.node.to_string(),
        peer.addr.to_string(),
        name(torrent, names),
        has,
        units::bytes(peer.down),
        units::bytes(peer.up),
        units::rate(peer.down_rate),
        units::rate(peer.up_rate),
        if peer.connected { "connected" } else { "gone" }.to_owned(),
    ]
}

fn name(torrent: &TorrentStatus, names: &BTreeMap<InfoHash, String>) -> String {
    names.get(&torrent.info_hash).cloned().unwrap_or_else(|| torrent.info_hash.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sta_core::model::ids::InfoHash;
    use sta_core::model::status::{NodeStatus, PeerStatus, TorrentStatus};

    use super::peers;

    #[test]
    fn what_a_peer_has_is_shown_while_it_is_there() {
        let peer = |node: &str, connected, have| {
            let addr = "10.0.0.1:7".parse().expect("an address");
            let node = node.parse().expect("an id");
            PeerStatus { node, addr, connected, have, down: 1, up: 0, down_rate: 0, up_rate: 0 }
        };
        let torrent = TorrentStatus {
            info_hash: InfoHash([1; 20]),
            pieces: 4,
            have: 0,
            total: 4,
            verified: 0,
            finished: false,
            down: 0,
            up: 0,
            wasted: 0,
            unwritten: 0,
            down_rate: 0,
            up_rate: 0,
            failed: None,
            peers: vec![peer("here", true, 3), peer("gone", false, 0)],
        };
        let status = NodeStatus { torrents: vec![torrent], trackers: Vec::new() };
        let shown = peers(&status, &BTreeMap::new());
        let line = |node| shown.lines().find(|line| line.contains(node)).expect("a row");
        assert!(line("here").contains(" 75 % "), "{shown}");
        assert!(line("gone ").contains(" - ") && !line("gone ").contains('%'), "{shown}");
    }
}
