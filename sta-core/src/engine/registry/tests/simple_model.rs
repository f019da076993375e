//! Whatever clients do in whatever order, the registry is a list of leases.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::super::ConnId;
use super::{Input, LEASE, Tracker, node};
use crate::model::bitfield::PieceRange;
use crate::model::ids::InfoHash;
use crate::model::time::Time;
use crate::wire::tracker::ToTracker;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const SITES: [&str; 3] = ["", "here", "there"];

#[derive(Clone, Debug)]
enum Step {
    /// A new connection under a name from one of two machines.
    Hello {
        name: usize,
        machine: u8,
        site: usize,
    },
    Join {
        client: usize,
        torrent: u8,
        pieces: u32,
        have: Vec<(u32, u32)>,
    },
    Have {
        client: usize,
        torrent: u8,
        ranges: Vec<(u32, u32)>,
    },
    Stats {
        client: usize,
        torrent: u8,
        up: u64,
    },
    Want {
        client: usize,
        torrent: u8,
    },
    Leave {
        client: usize,
        torrent: u8,
    },
    Close {
        client: usize,
    },
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let ranges = || prop::collection::vec((0u32..12, 0u32..12), 0..3);
    let (client, torrent) = (0usize..8, 0u8..3);
    prop_oneof![
        4 => (0..NAMES.len(), 0u8..2, 0..SITES.len())
            .prop_map(|(name, machine, site)| Step::Hello { name, machine, site }),
        6 => (client.clone(), torrent.clone(), 8u32..11, ranges())
            .prop_map(|(client, torrent, pieces, have)| Step::Join { client, torrent, pieces, have }),
        6 => (client.clone(), torrent.clone(), ranges())
            .prop_map(|(client, torrent, ranges)| Step::Have { client, torrent, ranges }),
        1 => (client.clone(), torrent.clone(), 0u64..9)
            .prop_map(|(client, torrent, up)| Step::Stats { client, torrent, up }),
        1 => (client.clone(), torrent.clone()).prop_map(|(client, torrent)| Step::Want { client, torrent }),
        2 => (client.clone(), torrent).prop_map(|(client, torrent)| Step::Leave { client, torrent }),
        1 => client.prop_map(|client| Step::Close { client }),
        3 => (0u64..40).prop_map(Step::Wait),
    ]
}

/// What a row of the status should say.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    pieces: u32,
    have: BTreeSet<u32>,
    up: u64,
    /// The connection it was joined on.
    conn: ConnId,
    /// Fixed once the node has come back on another connection.
    end: Option<Time>,
}

#[derive(Debug, Default)]
struct Model {
    /// By name: machine, connection, end of the lease.
    nodes: BTreeMap<usize, (u8, Option<ConnId>, Time)>,
    rows: BTreeMap<(u8, usize), Row>,
}

impl Model {
    fn expire(&mut self, now: Time) {
        let nodes = &mut self.nodes;
        self.rows
            .retain(|(_, name), row| nodes[name].2 > now && row.end.is_none_or(|end| end > now));
        let rows = &self.rows;
        nodes.retain(|name, (_, conn, end)| {
            *end > now && (conn.is_some() || rows.keys().any(|(_, n)| n == name))
        });
    }

    /// Whether the tracker takes it.
    fn hello(&mut self, name: usize, machine: u8, conn: ConnId, now: Time) -> bool {
        match self.nodes.get(&name).copied() {
            Some((at, Some(_), _)) if at != machine => return false,
            Some((at, ..)) if at != machine => self.rows.retain(|(_, n), _| *n != name),
            Some((_, _, end)) => {
                let end = end.max(now + Duration::from_secs(5));
                for (_, row) in self.rows.iter_mut().filter(|((_, n), _)| *n == name) {
                    row.end = Some(row.end.unwrap_or(end).min(end));
                }
            }
            None => {}
        }
        self.nodes.insert(name, (machine, Some(conn), now + LEASE));
        true
    }
}

fn hash(torrent: u8) -> InfoHash {
    InfoHash([torrent; 20])
}

fn set(ranges: &[(u32, u32)], pieces: u32) -> impl Iterator<Item = u32> + '_ {
    ranges.iter().flat_map(|&(a, b)| a..=b).filter(move |p| *p < pieces)
}

fn wire(ranges: &[(u32, u32)]) -> Vec<PieceRange> {
    ranges.iter().map(|&(a, b)| PieceRange(a, b)).collect()
}

struct Run {
    tracker: Tracker,
    model: Model,
    /// Connections with the name that spoke on them.
    clients: Vec<(ConnId, usize)>,
}

impl Run {
    fn client(&self, client: usize) -> Option<(ConnId, usize)> {
        let count = self.clients.len();
        (count > 0).then(|| self.clients[client % count])
    }

    /// Says `message`, and whether the model takes it: the connection is the one its name is known by.
    fn say(&mut self, client: usize, message: ToTracker) -> Option<(ConnId, usize)> {
        let (conn, name) = self.client(client)?;
        self.tracker.say(conn, message);
        let now = self.tracker.now;
        let held = self.model.nodes.get_mut(&name).filter(|held| held.1 == Some(conn))?;
        held.2 = now + LEASE;
        Some((conn, name))
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Hello { name, machine, site } => {
                let at = format!("10.0.0.{}:1", machine + 1);
                let conn = self.tracker.hello_from(SITES[site], NAMES[name], &at);
                let taken = self.model.hello(name, machine, conn, self.tracker.now);
                assert_eq!(self.tracker.closed.contains_key(&conn), !taken);
                self.clients.push((conn, name));
            }
            Step::Join { client, torrent, pieces, have } => {
                let message =
                    ToTracker::Join { torrent: hash(torrent), pieces, have: wire(&have), want: 3 };
                if let Some((conn, name)) = self.say(client, message) {
                    let old = self.model.rows.get(&(torrent, name));
                    let up = old.filter(|row| row.pieces == pieces).map_or(0, |row| row.up);
                    let have = set(&have, pieces).collect();
                    self.model
                        .rows
                        .insert((torrent, name), Row { pieces, have, up, conn, end: None });
                }
            }
            Step::Have { client, torrent, ranges } => {
                let message = ToTracker::Have { torrent: hash(torrent), p: wire(&ranges) };
                if let Some((_, name)) = self.say(client, message)
                    && let Some(row) = self.model.rows.get_mut(&(torrent, name))
                {
                    row.have.extend(set(&ranges, row.pieces));
                }
            }
            Step::Stats { client, torrent, up } => {
                let message = ToTracker::Stats { torrent: hash(torrent), up, down: 0, event: None };
                if let Some((_, name)) = self.say(client, message)
                    && let Some(row) = self.model.rows.get_mut(&(torrent, name))
                {
                    row.up = up;
                }
            }
            Step::Want { client, torrent } => {
                self.say(client, ToTracker::Want { torrent: hash(torrent), n: 2 });
            }
            Step::Leave { client, torrent } => {
                if let Some((_, name)) =
                    self.say(client, ToTracker::Leave { torrent: hash(torrent) })
                {
                    self.model.rows.remove(&(torrent, name));
                }
            }
            Step::Close { client } => {
                if let Some((conn, name)) = self.client(client) {
                    self.tracker.give(Input::Closed { conn });
                    if let Some(held) =
                        self.model.nodes.get_mut(&name).filter(|h| h.1 == Some(conn))
                    {
                        held.1 = None;
                    }
                }
            }
            Step::Wait(seconds) => self.tracker.wait(Duration::from_secs(seconds)),
        }
        self.model.expire(self.tracker.now);
    }

    fn compare(&self) {
        let mut rows: Vec<_> = self
            .tracker
            .status()
            .into_iter()
            .map(|r| (r.torrent, r.node, r.pieces, r.have, r.up, r.online))
            .collect();
        rows.sort();
        let expected = self.model.rows.iter().map(|((torrent, name), row)| {
            let online = self.model.nodes[name].1 == Some(row.conn);
            (hash(*torrent), node(NAMES[*name]), row.pieces, row.have.len() as u32, row.up, online)
        });
        let mut expected: Vec<_> = expected.collect();
        expected.sort();
        assert_eq!(rows, expected);
    }
}

proptest! {
    #[test]
    fn it_is_a_list_of_leases(steps in prop::collection::vec(step(), 1..120)) {
        let mut run = Run { tracker: Tracker::new(1), model: Model::default(), clients: Vec::new() };
        for step in steps {
            run.take(step);
            run.compare();
        }
    }
}
