//! Who is told of whom. The pushes of a torrent make a graph; this keeps it random, thin and in one piece.
//!
//! * While a torrent is small everybody knows everybody. Later a newcomer is given a few of the neighbours it wants at once,
//!   drawn evenly among those who have room or, where few have, among all; later newcomers bring more. (To draw only those
//!   that have room would link nodes that come one by one with the ones just before them: a chain.)
//! * A moment after that the graph is levelled: nodes that still have fewer than they want are linked with each other, in
//!   pairs drawn at random. So a crowd ends as a random regular graph, nearly: its distances grow with the logarithm of its
//!   size, and nobody has half the neighbours, and with them half the rate, of the others.
//! * A node that has lost so many neighbours that fewer than half are left is given new ones unasked.
//! * Some time after departures the whole graph is walked. A part that cannot get the content from within is linked to the
//!   rest: a part without a complete node where there is one elsewhere; where there is none, every part but the largest.
//!
//! Nodes that say where they stand have most of their neighbours there, and a few elsewhere: pieces come into a site through those
//! few, and are passed on within it. That is how they are drawn, as far as there are such; who has nobody elsewhere is given somebody, if one
//! is found that has room.
//!
//! Two complete nodes are never neighbours. A node's wish for others is granted with nodes it has not been given.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng as _;
use rand::seq::SliceRandom as _;

use super::leases::{Entry, EntryIx, Leases, TorrentIx};
use super::{Output, Registry, Timer};
use crate::model::address::Address;
use crate::model::event::Event;
use crate::model::limits;
use crate::model::rng::Rng;
use crate::model::time::Time;
use crate::wire::tracker::{FromTracker, PeerAddress};

/// Throws of the dice per neighbour wanted, before everybody is looked at: most nodes have room, so 4 mostly do.
const THROWS: usize = 4;
/// For [`Registry::introduce`]: nobody of the torrent is left out. Not for what follows from a single message.
const EVERYBODY: usize = usize::MAX;
/// For who has enough neighbours, and nobody elsewhere: it is looked for anew whenever the node loses a neighbour or the graph is levelled.
const A_FEW: usize = 64;

impl Registry {
    /// The node has said that it takes part: tells it of the neighbours it has and of new ones.
    pub(super) fn welcome(&mut self, entry: EntryIx, now: Time) {
        let held = self.leases.entry(entry);
        let torrent = held.torrent;
        let aim = held.first_degree();
        let missing = aim.saturating_sub(held.degree());
        self.introduce(entry, missing, missing, limits::GRAPH_LOOKED_AT_MAX, |_| true);
        self.level_later(torrent, now);
        if self.leases.entry(entry).want > 0 {
            let all = self.leases.entry(entry).neighbours.to_vec();
            self.push(entry, &all);
        }
    }

    /// The node asks for `n` more: others than it has been given, and those again only if there are too few others. Many may have
    /// to be looked at for it, so not at any time.
    pub(super) fn more(&mut self, entry: EntryIx, n: usize, now: Time) {
        let held = self.leases.entry_mut(entry);
        if now < held.more_from {
            return;
        }
        held.more_from = now + limits::WANT_INTERVAL_MIN;
        let given = held.neighbours.clone();
        // Who asks for few has most of those it wants and is behind, perhaps because the link of its site is full.
        let has_most = n < self.leases.entry(entry).least_degree();
        let apart = match has_most && self.leases.near(entry).len() > 1 {
            true => usize::from(self.leases.is_cut_off(entry)),
            false => n,
        };
        let mut peers = self.introduce(entry, n, apart, limits::GRAPH_LOOKED_AT_MAX, |_| true);
        let again = given.into_iter().filter(|e| self.leases.is_online(*e)).take(n - peers.len());
        peers.extend(again);
        self.push(entry, &peers);
        while self.leases.entry(entry).degree() > limits::PEERS_PER_TORRENT_MAX {
            let oldest = self.leases.entry(entry).neighbours[0];
            self.leases.disconnect(entry, oldest);
            self.audit_later(self.leases.entry(entry).torrent, now);
        }
    }

    /// Gives new neighbours to those who have lost too many, unasked.
    pub(super) fn repair(&mut self) {
        while let Some(entry) = self.weak.pop() {
            if !self.leases.entries.contains(entry.0 as usize) || !self.leases.is_online(entry) {
                continue;
            }
            let held = self.leases.entry(entry);
            if !held.have.is_all() {
                let missing = held.least_degree().saturating_sub(held.degree());
                let looked_at = limits::GRAPH_LOOKED_AT_MAX;
                let mut peers = self.introduce(entry, missing, missing, looked_at, |_| true);
                if self.leases.is_cut_off(entry) {
                    let site = |entry: &Entry| entry.site.map(|(number, _)| number);
                    let own = site(self.leases.entry(entry));
                    let elsewhere = |other: &Entry| site(other) != own && !other.is_crowded();
                    peers.extend(self.introduce(entry, 1, 1, A_FEW, elsewhere));
                }
                self.push(entry, &peers);
            }
        }
    }

    /// The torrent's graph is to be levelled before long.
    fn level_later(&mut self, torrent: TorrentIx, now: Time) {
        let held = self.leases.torrent_mut(torrent);
        if held.level_at.is_none() {
            let at = now + limits::GRAPH_LEVEL_DELAY;
            held.level_at = Some(at);
            self.timers.insert((at, Timer::Level(torrent)));
        }
    }

    /// Links those that have fewer neighbours than they want with each other.
    ///
    /// Each is written down once for every neighbour it lacks, the list is shuffled, and who stand side by side are
    /// linked (the configuration model of random regular graphs, Bollobás 1980). Pairs that cannot be are tried again in
    /// another order, a few times; who still lacks one or two, and is at no site, is linked with anybody. At a site that is done first within
    /// it, then with whom both need, then within it again.
    pub(super) fn level(&mut self, torrent: TorrentIx) {
        self.leases.torrent_mut(torrent).level_at = None;
        let mut told: BTreeMap<EntryIx, Vec<EntryIx>> = BTreeMap::new();
        let sites: Vec<Vec<EntryIx>> =
            self.leases.torrent(torrent).sites.iter().map(|(_, there)| there.clone()).collect();
        for there in sites.iter().filter(|there| there.len() > 1) {
            self.pair(there, Pairs::Near, &mut told);
        }
        let everybody = self.leases.torrent(torrent).members.clone();
        let mut lacking = self.pair(&everybody, Pairs::AsNeeded, &mut told);
        for there in sites.iter().filter(|there| there.len() > 1) {
            self.pair(there, Pairs::Any, &mut told);
        }
        lacking.sort_unstable();
        for alike in lacking.chunk_by(|one, other| one == other) {
            let (entry, lacks) = (alike[0], alike.len());
            // Who lacks more has come alone: later newcomers are to find room. And one more elsewhere than is needed would cost the links
            // of two sites more than it is worth.
            let is_at_a_site = self.leases.near(entry).len() > 1;
            if lacks <= limits::GRAPH_DEGREE_SLACK && !is_at_a_site {
                let looked_at = limits::GRAPH_LOOKED_AT_MAX;
                let found =
                    self.introduce(entry, lacks, lacks, looked_at, |other| !other.is_crowded());
                told.entry(entry).or_default().extend(found);
            }
            self.weak.push(entry);
        }
        for (entry, peers) in told {
            self.push(entry, &peers);
        }
        self.repair();
    }

    /// Links some of `members` that have fewer neighbours than they want with each other. Those that still lack some are left, once for
    /// each.
    fn pair(
        &mut self,
        members: &[EntryIx],
        pairs: Pairs,
        told: &mut BTreeMap<EntryIx, Vec<EntryIx>>,
    ) -> Vec<EntryIx> {
        let mut lacking = Vec::new();
        for &entry in members {
            let held = self.leases.entry(entry);
            let mut lacks = (held.want as usize).saturating_sub(held.degree());
            if lacks > 0 && self.leases.is_online(entry) {
                if pairs == Pairs::Near {
                    lacks = lacks.min(self.leases.wanting(entry, true));
                }
                lacking.extend(std::iter::repeat_n(entry, lacks));
            }
        }
        for _ in 0..THROWS {
            lacking.shuffle(&mut self.rng);
            let mut left = Vec::new();
            for pair in lacking.chunks(2) {
                match *pair {
                    [one, other] if self.may_pair(one, other, pairs) => {
                        self.leases.connect(one, other);
                        told.entry(one).or_default().push(other);
                    }
                    _ => left.extend_from_slice(pair),
                }
            }
            lacking = left;
        }
        lacking
    }

    fn may_pair(&self, one: EntryIx, other: EntryIx, pairs: Pairs) -> bool {
        let near = self.leases.is_near(one, other);
        let needed = |entry| self.leases.wanting(entry, near) > 0;
        self.leases.may_connect(one, other)
            && (pairs == Pairs::Any || (needed(one) && needed(other)))
    }

    /// The torrent's graph is to be walked before long.
    pub(super) fn audit_later(&mut self, torrent: TorrentIx, now: Time) {
        let held = self.leases.torrent_mut(torrent);
        if held.audit_at.is_none() {
            let at = now + limits::GRAPH_AUDIT_DELAY;
            held.audit_at = Some(at);
            self.timers.insert((at, Timer::Audit(torrent)));
        }
    }

    /// Walks the torrent's graph, and links the parts that cannot get the content from within.
    pub(super) fn audit(&mut self, torrent: TorrentIx, now: Time) {
        self.leases.torrent_mut(torrent).audit_at = None;
        let parts = Parts::of(&self.leases, torrent);
        let lonely: Vec<EntryIx> = parts.lonely().collect();
        for entry in lonely {
            let n = self.leases.entry(entry).least_degree();
            let peers = self.introduce(entry, n, n, EVERYBODY, |other| parts.is_good(other.place));
            self.push(entry, &peers);
            if !peers.is_empty() {
                self.audit_later(torrent, now);
            }
        }
    }

    /// Draws `n` new neighbours for `entry` among those `allowed`, of whom about `looked_at` are looked at, and notes them. Beyond
    /// those that it should have elsewhere it gets `apart` of them at the most, and rather fewer than `n`.
    fn introduce(
        &mut self,
        entry: EntryIx,
        n: usize,
        apart: usize,
        looked_at: usize,
        allowed: impl Fn(&Entry) -> bool,
    ) -> Vec<EntryIx> {
        let drawn = draw(&self.leases, &mut self.rng, entry, (n, apart), looked_at, allowed);
        for other in &drawn {
            self.leases.connect(entry, *other);
        }
        drawn
    }

    fn push(&mut self, entry: EntryIx, peers: &[EntryIx]) {
        let held = self.leases.entry(entry);
        let node = self.leases.node(held.node);
        let Some(conn) = node.conn else { return };
        let Some(to) = self.conns.get(&conn) else { return };
        if peers.is_empty() {
            return;
        }
        let torrent = self.leases.torrent(held.torrent).info_hash;
        let count = peers.len() as u32;
        let peers = peers.iter().map(|peer| PeerAddress {
            node: self.leases.node(self.leases.entry(*peer).node).id.clone(),
            addr: Address::from(self.leases.address_for(*peer, to.remote.ip(), to.local)),
        });
        let message = FromTracker::Peers { torrent, peers: peers.collect() };
        self.outputs.push_back(Output::Send { conn, message });
        let node = node.id.clone();
        self.outputs.push_back(Output::Event(Event::PeersPushed { torrent, node, count }));
    }
}

/// Who may be linked with whom when a graph is levelled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pairs {
    /// Those of one site, as far as both should have more neighbours there.
    Near,
    /// Those of one site or of two, as far as both should have more such.
    AsNeeded,
    /// Everybody.
    Any,
}

/// All of `entries` in random order, or about `most` of them if they are more.
fn some(entries: &[EntryIx], most: usize, rng: &mut Rng) -> Vec<EntryIx> {
    if entries.len() > most {
        return (0..most).map(|_| entries[rng.random_range(0..entries.len())]).collect();
    }
    let mut all = entries.to_vec();
    all.shuffle(rng);
    all
}

/// Up to `n` new neighbours for `of` out of those `allowed`. Evenly drawn among those that are online and have room; if
/// they are few, among all that are online; then those of an earlier connection, and last the crowded, of least degree first.
/// Of a torrent of more than `looked_at` nodes about so many, drawn evenly, stand for all.
fn draw(
    leases: &Leases,
    rng: &mut Rng,
    of: EntryIx,
    (n, apart_most): (usize, usize),
    looked_at: usize,
    allowed: impl Fn(&Entry) -> bool,
) -> Vec<EntryIx> {
    let asker = leases.entry(of);
    let members = &leases.torrent(asker.torrent).members;
    let mut drawn = Vec::new();
    if n == 0 || members.len() < 2 {
        return drawn;
    }
    let fits = |other: EntryIx, drawn: &[EntryIx]| {
        !drawn.contains(&other) && leases.may_connect(of, other) && allowed(leases.entry(other))
    };
    // One of several is to be elsewhere, and the only one if there is nobody else.
    let wanting = [false, true].map(|near| leases.wanting(of, near));
    let elsewhere = wanting[0] > 0 && (n > 1 || leases.is_cut_off(of));
    let near_most = wanting[1].min(n - usize::from(elsewhere));
    let needs = |near: bool, drawn: &[EntryIx]| {
        let alike = drawn.iter().filter(|there| leases.is_near(of, **there) == near).count();
        alike < if near { near_most } else { wanting[0] }
    };
    // Whether it has room, and the two are as near to each other as both should have more.
    let is_best = |other: EntryIx, drawn: &[EntryIx]| {
        let ready = leases.is_online(other) && !leases.entry(other).is_full();
        let near = leases.is_near(of, other);
        ready && fits(other, drawn) && needs(near, drawn) && leases.wanting(other, near) > 0
    };
    let near = leases.near(of);
    if near.len() > 1 && near_most > 0 {
        for other in some(near, looked_at, rng) {
            if drawn.len() < near_most && is_best(other, &drawn) {
                drawn.push(other);
            }
        }
    }
    for _ in 0..THROWS * n {
        let other = members[rng.random_range(0..members.len())];
        if drawn.len() < n && is_best(other, &drawn) {
            drawn.push(other);
        }
    }
    // Whoever is left is better than nobody.
    let degree = |other: EntryIx| {
        let held = leases.entry(other);
        if held.is_crowded() { held.degree() } else { 0 }
    };
    if near.len() > 1 && needs(true, &drawn) && drawn.len() < n {
        let mut left = some(near, looked_at, rng);
        left.sort_by_key(|other| (degree(*other), !leases.is_online(*other)));
        for other in left {
            if drawn.len() < n && needs(true, &drawn) && fits(other, &drawn) {
                drawn.push(other);
            }
        }
    }
    if drawn.len() < n {
        let few: Vec<_>;
        let looked_at = if members.len() > looked_at {
            let places = (0..looked_at).map(|_| rng.random_range(0..members.len()));
            let places: BTreeSet<usize> = places.collect();
            few = places.into_iter().map(|place| members[place]).collect();
            &few
        } else {
            members
        };
        let at_a_site = near.len() > 1;
        let left = looked_at.iter().copied().filter(|other| fits(*other, &drawn));
        let mut left: Vec<_> = left
            .map(|other| {
                let near = leases.is_near(of, other);
                let unneeded = !needs(near, &drawn) || leases.wanting(other, near) == 0;
                let offline = !leases.is_online(other);
                let apart = at_a_site && !near;
                (degree(other), unneeded, apart, offline, rng.random::<u64>(), other)
            })
            .collect();
        left.sort_unstable();
        let mut left_apart = apart_most;
        for (_, unneeded, apart, .., other) in left {
            let too_far = apart && (unneeded || !needs(false, &drawn));
            if drawn.len() < n && (!too_far || left_apart > 0) {
                left_apart -= usize::from(too_far);
                drawn.push(other);
            }
        }
    }
    drawn
}

/// In [`Parts::part_of`], until the walk has come by.
const NOT_VISITED: usize = usize::MAX;

/// The parts that a torrent's graph falls into.
struct Parts {
    /// Which part an entry is in, by its place in the torrent.
    part_of: Vec<usize>,
    parts: Vec<Part>,
}

#[derive(Default)]
struct Part {
    size: usize,
    complete: bool,
    /// A node that can be told of others and needs something.
    spokesman: Option<EntryIx>,
    good: bool,
}

impl Parts {
    fn of(leases: &Leases, torrent: TorrentIx) -> Self {
        let members = &leases.torrent(torrent).members;
        let mut found = Self { part_of: vec![NOT_VISITED; members.len()], parts: Vec::new() };
        let mut to_visit = Vec::new();
        for member in members {
            let index = found.parts.len();
            let mut part = Part::default();
            to_visit.push(*member);
            while let Some(entry) = to_visit.pop() {
                let held = leases.entry(entry);
                let place = &mut found.part_of[held.place as usize];
                if *place != NOT_VISITED {
                    continue;
                }
                *place = index;
                part.size += 1;
                part.complete |= held.have.is_all();
                if part.spokesman.is_none() && !held.have.is_all() && leases.is_online(entry) {
                    part.spokesman = Some(entry);
                }
                to_visit.extend_from_slice(&held.neighbours);
            }
            if part.size > 0 {
                found.parts.push(part);
            }
        }
        let complete_somewhere = found.parts.iter().any(|part| part.complete);
        let sizes = found.parts.iter().enumerate().map(|(index, part)| (part.size, index));
        let largest = sizes.max().map(|(_, index)| index);
        for (index, part) in found.parts.iter_mut().enumerate() {
            part.good = if complete_somewhere { part.complete } else { Some(index) == largest };
        }
        found
    }

    fn is_good(&self, place: u32) -> bool {
        self.parts[self.part_of[place as usize]].good
    }

    /// One node of each part that needs to be linked.
    fn lonely(&self) -> impl Iterator<Item = EntryIx> + '_ {
        self.parts.iter().filter(|part| !part.good).filter_map(|part| part.spokesman)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::tests::{A, Tracker};
    use super::{EVERYBODY, draw};
    use crate::model::limits;
    use crate::model::rng::Seed;

    /// A packet holds eight hundred wishes, and for each all nodes of its torrent were looked at.
    #[test]
    fn however_large_a_torrent_few_are_looked_at_for_one_wish() {
        let mut t = Tracker::new(1);
        for i in 0..1_500 {
            t.joined(&format!("n{i}"), &format!("10.0.{}.{}:1", i / 250, i % 250 + 1), &[]);
        }
        t.wait(limits::GRAPH_LEVEL_DELAY);
        let late = t.joined("late", "192.0.2.1:1", &[]);
        assert!(!t.told(late).is_empty());
        let leases = &t.registry.leases;
        let of = leases.entries_of(Some(A)).last().expect("it has joined");
        let mut rng = Seed(1).stream("draw");
        for (looked_at, least, most) in
            [(limits::GRAPH_LOOKED_AT_MAX, 600, 1_024), (EVERYBODY, 1_450, 1_500)]
        {
            let seen = Cell::new(0);
            let drawn = draw(leases, &mut rng, of, (5, 5), looked_at, |_| {
                seen.set(seen.get() + 1);
                true
            });
            assert_eq!(drawn.len(), 5);
            assert!((least..=most).contains(&seen.get()), "{} of {most}", seen.get());
        }
    }
}
