//! The tables of the registry: nodes, torrents, and entries, each a node's part in a torrent.
//!
//! Rows are found by dense numbers, so that a piece change costs two look-ups and no allocation. It knows nothing of
//! time passing, connections or graphs beyond keeping what it is told consistent:
//!
//! * an entry is in its node's list and in its torrent's list; a torrent without entries does not exist;
//! * neighbours are mutual, and never both complete: neither would have a use for the other;
//! * `seeds` counts a torrent's complete entries, and `bits_bytes` what the bits of all entries take.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use slab::Slab;
use smallvec::SmallVec;

use super::{ConnId, Have};
use crate::model::address::Address;
use crate::model::bitfield::PieceRange;
use crate::model::ids::{InfoHash, NodeId, Site};
use crate::model::limits;
use crate::model::time::Time;
use crate::wire::tracker::TransferEvent;

/// A row of the table of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeIx(pub(super) u32);
/// A row of the table of torrents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TorrentIx(pub(super) u32);
/// A row of the table of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EntryIx(pub(super) u32);

/// By which name a node calls the tracker, as a number. One process may know it by several names, has a connection for each, and is then
/// a node for each: what it has joined on one it has not joined on another, and where it listens for the peers of one address family
/// is no use to those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Via(u64);

impl Via {
    /// It did not say, or it is not known any more.
    pub(super) const UNKNOWN: Self = Self(0);

    pub(super) fn of(name: Option<&Address>) -> Self {
        let Some(name) = name else { return Self::UNKNOWN };
        let hash = blake3::hash(name.to_string().as_bytes());
        let first = hash.as_bytes().first_chunk().copied().unwrap_or_default();
        Self(u64::from_le_bytes(first))
    }
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    via: Via,
    /// Host as observed, port as it said.
    pub(super) addr: SocketAddr,
    /// Where it stands.
    pub(super) site: Site,
    pub(super) conn: Option<ConnId>,
    /// Where it listened before it came from here, while a connection from there stood; and when that was closed.
    pub(super) displaced: Option<(SocketAddr, Time)>,
    /// Where another of its name and host listens, which was sent away.
    pub(super) twin: Option<SocketAddr>,
    pub(super) lease_end: Time,
    /// When its timer is set to.
    pub(super) timer_at: Time,
    /// Ascending.
    pub(super) entries: Vec<(InfoHash, EntryIx)>,
    /// Pieces of all its torrents.
    pub(super) pieces: u64,
}

#[derive(Debug)]
pub(super) struct Torrent {
    pub(super) info_hash: InfoHash,
    pub(super) members: Vec<EntryIx>,
    /// Those of them whose site is known, by the site's number.
    pub(super) sites: Slab<Vec<EntryIx>>,
    site_numbers: BTreeMap<Site, u32>,
    pub(super) seeds: u32,
    pub(super) audit_at: Option<Time>,
    pub(super) level_at: Option<Time>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) torrent: TorrentIx,
    pub(super) node: NodeIx,
    /// Its place among the torrent's members.
    pub(super) place: u32,
    /// Which of the torrent's sites it stands at, if that is known, and its place among those there.
    pub(super) site: Option<(u32, u32)>,
    pub(super) pieces: u32,
    pub(super) have: Have,
    pub(super) want: u32,
    /// Before this no wish for more neighbours is granted.
    pub(super) more_from: Time,
    pub(super) up: u64,
    pub(super) down: u64,
    pub(super) event: Option<TransferEvent>,
    /// Those it was told of or that were told of it, oldest first.
    pub(super) neighbours: SmallVec<[EntryIx; 12]>,
    /// From an earlier connection, and not joined again on this one: when it ends, unless its node's lease does before.
    pub(super) stale: Option<Time>,
    /// To be written down.
    pub(super) dirty: bool,
    /// And its pieces with the rest: they are not those that were written down.
    pub(super) have_dirty: bool,
}

#[derive(Debug, Default)]
pub(super) struct Leases {
    pub(super) nodes: Slab<Node>,
    names: BTreeMap<(NodeId, Via), NodeIx>,
    pub(super) torrents: Slab<Torrent>,
    hashes: BTreeMap<InfoHash, TorrentIx>,
    pub(super) entries: Slab<Entry>,
    bits_bytes: u64,
}

impl Leases {
    pub(super) fn node(&self, node: NodeIx) -> &Node {
        &self.nodes[node.0 as usize]
    }

    pub(super) fn node_mut(&mut self, node: NodeIx) -> &mut Node {
        &mut self.nodes[node.0 as usize]
    }

    pub(super) fn torrent(&self, torrent: TorrentIx) -> &Torrent {
        &self.torrents[torrent.0 as usize]
    }

    pub(super) fn torrent_mut(&mut self, torrent: TorrentIx) -> &mut Torrent {
        &mut self.torrents[torrent.0 as usize]
    }

    pub(super) fn entry(&self, entry: EntryIx) -> &Entry {
        &self.entries[entry.0 as usize]
    }

    pub(super) fn entry_mut(&mut self, entry: EntryIx) -> &mut Entry {
        &mut self.entries[entry.0 as usize]
    }

    /// The node that goes by this name and calls the tracker so; or else one of that name that was known before the tracker began anew,
    /// and is here again.
    pub(super) fn node_named(&mut self, id: &NodeId, via: Via) -> Option<NodeIx> {
        if let Some(node) = self.names.get(&(id.clone(), via)) {
            return Some(*node);
        }
        let restored = *self.names.get(&(id.clone(), Via::UNKNOWN))?;
        if self.node(restored).conn.is_some() {
            return None;
        }
        self.names.remove(&(id.clone(), Via::UNKNOWN));
        self.names.insert((id.clone(), via), restored);
        self.node_mut(restored).via = via;
        Some(restored)
    }

    /// The entries of the nodes of this id in a torrent: of each name by which it calls the tracker there may be one.
    pub(super) fn entries_of_all(&self, id: &NodeId, torrent: &InfoHash) -> Vec<EntryIx> {
        let all = (id.clone(), Via(u64::MIN))..=(id.clone(), Via(u64::MAX));
        let nodes = self.names.range(all).map(|(_, node)| *node);
        nodes.filter_map(|node| self.entry_of(node, torrent)).collect()
    }

    pub(super) fn entry_of(&self, node: NodeIx, torrent: &InfoHash) -> Option<EntryIx> {
        let entries = &self.node(node).entries;
        let at = entries.binary_search_by(|(hash, _)| hash.cmp(torrent)).ok()?;
        Some(entries[at].1)
    }

    /// The entries of one torrent or of all, by torrent, oldest first as long as none has left.
    pub(super) fn entries_of(&self, torrent: Option<InfoHash>) -> impl Iterator<Item = EntryIx> {
        let chosen = torrent.map(|hash| self.hashes.get(&hash).copied());
        let all = chosen.is_none().then(|| self.hashes.values().copied());
        let torrents = all.into_iter().flatten().chain(chosen.flatten());
        torrents.flat_map(|torrent| self.torrent(torrent).members.iter().copied())
    }

    /// Whether the entry's node is connected and has joined on that connection.
    pub(super) fn is_online(&self, entry: EntryIx) -> bool {
        let entry = self.entry(entry);
        entry.stale.is_none() && self.node(entry.node).conn.is_some()
    }

    pub(super) fn add_node(&mut self, id: NodeId, via: Via, addr: SocketAddr) -> NodeIx {
        let node = NodeIx(self.nodes.insert(Node {
            id: id.clone(),
            via,
            addr,
            site: Site::default(),
            conn: None,
            displaced: None,
            twin: None,
            lease_end: Time::ZERO,
            timer_at: Time::FAR_FUTURE,
            entries: Vec::new(),
            pieces: 0,
        }) as u32);
        self.names.insert((id, via), node);
        node
    }

    /// Takes a node without entries out.
    pub(super) fn remove_node(&mut self, node: NodeIx) -> Node {
        let node = self.nodes.remove(node.0 as usize);
        debug_assert!(node.entries.is_empty(), "{} has entries", node.id);
        self.names.remove(&(node.id.clone(), node.via));
        node
    }

    /// Adds an entry that has nothing; there must be none of this node in this torrent.
    pub(super) fn add_entry(&mut self, hash: InfoHash, node: NodeIx, pieces: u32) -> EntryIx {
        let torrents = &mut self.torrents;
        let torrent = *self.hashes.entry(hash).or_insert_with(|| {
            let fresh = Torrent {
                info_hash: hash,
                members: Vec::new(),
                sites: Slab::new(),
                site_numbers: BTreeMap::new(),
                seeds: 0,
                audit_at: None,
                level_at: None,
            };
            TorrentIx(torrents.insert(fresh) as u32)
        });
        let have = Have::new(pieces, &mut []);
        let members = &mut self.torrents[torrent.0 as usize];
        members.seeds += u32::from(have.is_all());
        let entry = EntryIx(self.entries.insert(Entry {
            torrent,
            node,
            place: members.members.len() as u32,
            site: None,
            pieces,
            have,
            want: 0,
            more_from: Time::ZERO,
            up: 0,
            down: 0,
            event: None,
            neighbours: SmallVec::new(),
            stale: None,
            dirty: false,
            have_dirty: true,
        }) as u32);
        members.members.push(entry);
        self.arrive(entry);
        let node = self.node_mut(node);
        node.pieces += u64::from(pieces);
        if let Err(at) = node.entries.binary_search_by(|(other, _)| other.cmp(&hash)) {
            node.entries.insert(at, (hash, entry));
        }
        entry
    }

    /// Takes an entry out, and gives it with the neighbours it had. A torrent left empty is the caller's to remove.
    pub(super) fn remove_entry(&mut self, entry: EntryIx) -> (InfoHash, Entry) {
        self.depart(entry);
        let gone = self.entries.remove(entry.0 as usize);
        self.bits_bytes -= gone.have.bytes();
        for neighbour in &gone.neighbours {
            self.entry_mut(*neighbour).neighbours.retain(|other| *other != entry);
        }
        let torrent = self.torrent_mut(gone.torrent);
        let hash = torrent.info_hash;
        torrent.seeds -= u32::from(gone.have.is_all());
        torrent.members.swap_remove(gone.place as usize);
        if let Some(moved) = torrent.members.get(gone.place as usize).copied() {
            self.entry_mut(moved).place = gone.place;
        }
        let node = self.node_mut(gone.node);
        node.pieces -= u64::from(gone.pieces);
        node.entries.retain(|(_, other)| *other != entry);
        (hash, gone)
    }

    /// A node stands at `site` from now on. Where it stood elsewhere it loses its neighbours, who are given: it needs others.
    pub(super) fn stands(&mut self, node: NodeIx, site: Site) -> Vec<EntryIx> {
        let mut lost = Vec::new();
        if self.node(node).site == site {
            return lost;
        }
        let entries: Vec<EntryIx> = self.node(node).entries.iter().map(|it| it.1).collect();
        entries.iter().for_each(|entry| self.depart(*entry));
        self.node_mut(node).site = site;
        for entry in entries {
            self.arrive(entry);
            for neighbour in self.entry(entry).neighbours.clone() {
                self.disconnect(entry, neighbour);
                lost.push(neighbour);
            }
        }
        lost
    }

    /// Notes an entry among those of its site.
    fn arrive(&mut self, entry: EntryIx) {
        let held = &mut self.entries[entry.0 as usize];
        let site = &self.nodes[held.node.0 as usize].site;
        if site.is_empty() {
            return;
        }
        let Torrent { sites, site_numbers, .. } = &mut self.torrents[held.torrent.0 as usize];
        let number =
            *site_numbers.entry(site.clone()).or_insert_with(|| sites.insert(Vec::new()) as u32);
        let there = &mut sites[number as usize];
        held.site = Some((number, there.len() as u32));
        there.push(entry);
    }

    /// Takes an entry out of those of its site.
    fn depart(&mut self, entry: EntryIx) {
        let held = &mut self.entries[entry.0 as usize];
        let Some((number, place)) = held.site.take() else { return };
        let site = &self.nodes[held.node.0 as usize].site;
        let torrent = &mut self.torrents[held.torrent.0 as usize];
        let there = &mut torrent.sites[number as usize];
        there.swap_remove(place as usize);
        if let Some(moved) = there.get(place as usize) {
            self.entries[moved.0 as usize].site = Some((number, place));
        } else if there.is_empty() {
            torrent.sites.remove(number as usize);
            torrent.site_numbers.remove(site);
        }
    }

    /// The entries of the same torrent that stand where this one does, itself among them; none if that is not known.
    pub(super) fn near(&self, entry: EntryIx) -> &[EntryIx] {
        let held = self.entry(entry);
        let torrent = self.torrent(held.torrent);
        held.site.map_or(&[], |(number, _)| torrent.sites[number as usize].as_slice())
    }

    /// Whether two entries of a torrent are known to stand at one site.
    pub(super) fn is_near(&self, one: EntryIx, other: EntryIx) -> bool {
        let site = |entry: EntryIx| self.entry(entry).site.map(|(number, _)| number);
        site(one).is_some() && site(one) == site(other)
    }

    /// How many more neighbours an entry should have where it stands (`near`), or elsewhere: there only as many as are needed, so that
    /// little crosses the link of its site. Any number, where nobody else of its site is there.
    pub(super) fn wanting(&self, entry: EntryIx, near: bool) -> usize {
        let there = self.near(entry).len();
        if there < 2 {
            return usize::MAX;
        }
        let held = self.entry(entry);
        let all = held.want.max(limits::GRAPH_DEGREE) as usize;
        let elsewhere = self.torrent(held.torrent).members.len() - there;
        let far = limits::GRAPH_DEGREE_FAR.max(all.saturating_sub(there - 1)).min(elsewhere);
        let most = if near { all.saturating_sub(far) } else { far };
        most.saturating_sub(self.neighbours(entry, near))
    }

    /// How many neighbours an entry has where it stands, or elsewhere.
    fn neighbours(&self, entry: EntryIx, near: bool) -> usize {
        let all = self.entry(entry).neighbours.iter();
        all.filter(|other| self.is_near(entry, **other) == near).count()
    }

    /// Whether an entry has others of its site around it, and nobody elsewhere, where there are some: whatever comes in comes through others.
    pub(super) fn is_cut_off(&self, entry: EntryIx) -> bool {
        let there = self.near(entry).len();
        let elsewhere = self.torrent(self.entry(entry).torrent).members.len() - there;
        there > 1 && elsewhere > 0 && self.neighbours(entry, false) == 0
    }

    /// Takes a torrent without entries out.
    pub(super) fn remove_torrent(&mut self, torrent: TorrentIx) {
        let gone = self.torrents.remove(torrent.0 as usize);
        self.hashes.remove(&gone.info_hash);
    }

    /// Whether an entry that has `was`, if there is one, may have `is`.
    fn has_room(&self, was: Option<EntryIx>, is: &Have) -> bool {
        let was = was.map_or(0, |entry| self.entry(entry).have.bytes());
        let more = is.bytes().saturating_sub(was);
        more == 0 || self.bits_bytes + more <= limits::LEASE_BITS_BYTES_MAX
    }

    /// The entry has this now, or nothing as far as is kept if there is no room for it: nobody is worse off for that. One that has become
    /// complete loses its complete neighbours. Whether that is another set than before.
    pub(super) fn set_have(&mut self, entry: EntryIx, have: Have) -> bool {
        let have = if self.has_room(Some(entry), &have) { have } else { Have::None };
        let held = &mut self.entries[entry.0 as usize];
        let (was, is, changed) = (held.have.is_all(), have.is_all(), held.have != have);
        self.bits_bytes = self.bits_bytes + have.bytes() - held.have.bytes();
        held.have = have;
        held.have_dirty |= changed;
        self.completed(entry, was, is);
        changed
    }

    /// Adds pieces to what the entry has, as [`Self::set_have`] does. Whether any was new.
    pub(super) fn add_have(&mut self, entry: EntryIx, ranges: &mut [PieceRange]) -> bool {
        let held = self.entry(entry);
        if held.have == Have::None {
            let have = Have::new(held.pieces, ranges);
            return self.set_have(entry, have);
        }
        let held = &mut self.entries[entry.0 as usize];
        let (was, bytes) = (held.have.is_all(), held.have.bytes());
        let changed = held.have.add(held.pieces, ranges);
        held.have_dirty |= changed;
        let is = held.have.is_all();
        self.bits_bytes = self.bits_bytes + held.have.bytes() - bytes;
        self.completed(entry, was, is);
        changed
    }

    fn completed(&mut self, entry: EntryIx, was: bool, is: bool) {
        if was == is {
            return;
        }
        let torrent = self.entry(entry).torrent;
        let seeds = &mut self.torrent_mut(torrent).seeds;
        *seeds = if is { *seeds + 1 } else { *seeds - 1 };
        if is {
            let neighbours = self.entry(entry).neighbours.clone();
            for other in neighbours {
                if self.entry(other).have.is_all() {
                    self.disconnect(entry, other);
                }
            }
        }
    }

    /// Whether the two have use for each other and are not neighbours yet. A node that is there by several names is one.
    pub(super) fn may_connect(&self, one: EntryIx, other: EntryIx) -> bool {
        let (held, there) = (self.entry(one), self.entry(other));
        let useless = held.have.is_all() && there.have.is_all();
        let same = || self.node(held.node).id == self.node(there.node).id;
        one != other && !useless && !held.neighbours.contains(&other) && !same()
    }

    pub(super) fn connect(&mut self, one: EntryIx, other: EntryIx) {
        self.entry_mut(one).neighbours.push(other);
        self.entry_mut(other).neighbours.push(one);
    }

    pub(super) fn disconnect(&mut self, one: EntryIx, other: EntryIx) {
        self.entry_mut(one).neighbours.retain(|neighbour| *neighbour != other);
        self.entry_mut(other).neighbours.retain(|neighbour| *neighbour != one);
    }

    /// Where a client seen at `remote`, who reached the tracker at `local`, reaches the entry's node. A node on the
    /// tracker's own machine is seen on loopback; others reach it where they reached the tracker.
    pub(super) fn address_for(&self, entry: EntryIx, remote: IpAddr, local: IpAddr) -> SocketAddr {
        let addr = self.node(self.entry(entry).node).addr;
        let ip = if addr.ip().is_loopback() && !remote.is_loopback() { local } else { addr.ip() };
        SocketAddr::new(ip, addr.port())
    }
}

impl Entry {
    pub(super) fn degree(&self) -> usize {
        self.neighbours.len()
    }

    /// Whether it has as many neighbours as it wants.
    pub(super) fn is_full(&self) -> bool {
        self.degree() >= self.want.max(limits::GRAPH_DEGREE) as usize
    }

    /// Whether it has so many neighbours that it is given another only where there is nobody else.
    pub(super) fn is_crowded(&self) -> bool {
        self.degree() >= self.want.max(limits::GRAPH_DEGREE) as usize + limits::GRAPH_DEGREE_CROWD
    }

    /// How many neighbours a newcomer is given at once. The rest comes with later newcomers, and from those that still
    /// lack some when the graph is levelled.
    pub(super) fn first_degree(&self) -> usize {
        self.want.min(limits::GRAPH_DEGREE_FIRST) as usize
    }

    /// Under how many neighbours a node is helped, unasked.
    pub(super) const fn least_degree(&self) -> usize {
        self.want.div_ceil(2) as usize
    }
}
