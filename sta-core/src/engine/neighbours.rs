//! Whom to connect with, when to try again, and whom never.
//!
//! Addresses come from trackers and from the user. It knows nothing of what peers have. Invariant: at most one
//! dial or connection per address, none to a banned node.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::backoff::Backoff;
use super::identity::Identity;
use super::interface::ConnId;
use crate::model::address::Address;
use crate::model::ids::NodeId;
use crate::model::limits;
use crate::model::rng::Seed;
use crate::model::time::Time;

/// The first wait after a failed dial or a lost peer: long enough for a restart to begin.
const RETRY_FIRST: Duration = Duration::from_millis(500);
/// The longest: a machine that comes back is found again within it.
const RETRY_CAP: Duration = Duration::from_secs(15);

/// How long who sent wrong data is not connected with, the first time.
const BAN_FIRST: Duration = Duration::from_mins(1);
/// The longest.
const BAN_CAP: Duration = Duration::from_hours(1);

/// All addresses known for one torrent.
#[derive(Debug)]
pub struct Neighbours {
    seed: Seed,
    known: BTreeMap<Address, Known>,
    banned: BTreeMap<Identity, Ban>,
}

#[derive(Clone, Copy, Debug)]
struct Ban {
    until: Time,
    /// How long it lasts.
    wait: Duration,
}

#[derive(Debug)]
struct Known {
    node: Option<NodeId>,
    conn: Option<ConnId>,
    backoff: Backoff,
    retry_at: Time,
    /// Before this, being named again does not shorten the wait.
    haste_from: Time,
    useless: bool,
}

impl Neighbours {
    /// Nobody is known. Waits are drawn from `seed`.
    #[must_use]
    pub const fn new(seed: Seed) -> Self {
        Self { seed, known: BTreeMap::new(), banned: BTreeMap::new() }
    }

    /// Somebody may be reached at `addr`; a tracker knows who it is. Returns whether that is news.
    pub fn learn(&mut self, addr: Address, node: Option<NodeId>, now: Time) -> bool {
        if let Some(known) = self.known.get_mut(&addr) {
            // Named again: it is alive, and may have become useful. Or somebody names it all the time, so that we dial it all the
            // time: in what would have been one wait it is believed once.
            known.useless = false;
            if now >= known.haste_from && known.retry_at > now + RETRY_FIRST {
                known.haste_from = known.retry_at;
                known.retry_at = now + RETRY_FIRST;
            }
            known.node = node.or_else(|| known.node.take());
            return false;
        }
        if self.known.len() >= limits::ADDRESSES_PER_TORRENT_MAX && !self.make_room() {
            return false;
        }
        let rng = self.seed.stream(&addr.to_string());
        let backoff = Backoff::new(RETRY_FIRST, RETRY_CAP, rng);
        let (retry_at, haste_from) = (now, Time::ZERO);
        let known = Known { node, conn: None, backoff, retry_at, haste_from, useless: false };
        self.known.insert(addr, known);
        true
    }

    /// The next address to dial, if one is due. `connected` tells of nodes that a session stands with, which may have to be at a host.
    #[must_use]
    pub fn due(
        &self,
        now: Time,
        connected: impl Fn(&NodeId, Option<IpAddr>) -> bool,
    ) -> Option<Address> {
        let due = |addr: &Address, known: &Known| {
            // Only of who might be dialled is it worth reading the address.
            let wanted = |node| {
                let host = addr.socket_addr().map(|addr| addr.ip());
                !connected(node, host) && !self.is_banned_at(node, addr, now)
            };
            known.conn.is_none()
                && !known.useless
                && known.retry_at <= now
                && known.node.as_ref().is_none_or(wanted)
        };
        let ready = self.known.iter().filter(|(addr, known)| due(addr, known));
        ready.min_by_key(|(_, known)| known.retry_at).map(|(addr, _)| addr.clone())
    }

    /// `addr` is being dialled as `conn`.
    pub fn dialling(&mut self, addr: &Address, conn: ConnId) {
        if let Some(known) = self.known.get_mut(addr) {
            known.conn = Some(conn);
        }
    }

    /// Behind `conn`, which was dialled, is `node`, and a session begins.
    pub fn identified(&mut self, conn: ConnId, node: &NodeId) {
        if let Some(known) = self.by_conn(conn) {
            known.node = Some(node.clone());
            known.backoff.reset();
            known.haste_from = Time::ZERO;
        }
    }

    /// Behind `conn`, if it was dialled, is `node`.
    pub fn named(&mut self, conn: ConnId, node: &NodeId) {
        if let Some(known) = self.by_conn(conn) {
            known.node = Some(node.clone());
        }
    }

    fn by_conn(&mut self, conn: ConnId) -> Option<&mut Known> {
        self.known.values_mut().find(|known| known.conn == Some(conn))
    }

    /// `conn` has ended, or its dial has failed. `useless` says that there is no sense in coming back: both have everything.
    /// Says where it was dialled, and who should have been there, if it was.
    pub fn lost(
        &mut self,
        conn: ConnId,
        useless: bool,
        now: Time,
    ) -> Option<(Address, Option<NodeId>)> {
        let (addr, known) = self.known.iter_mut().find(|(_, known)| known.conn == Some(conn))?;
        known.conn = None;
        known.useless = useless;
        known.retry_at = now + known.backoff.wait();
        Some((addr.clone(), known.node.clone()))
    }

    /// Dials and connections to addresses of this list.
    #[must_use]
    pub fn engaged(&self) -> usize {
        self.known.values().filter(|known| known.conn.is_some()).count()
    }

    /// Does not connect with this peer for a while, and for twice as long each time: a bad disk is mended one day, and the peer may
    /// be the only one to have what it has. Returns whether it was not banned already: more that it sent before is found wrong later.
    pub fn ban(&mut self, peer: Identity, now: Time) -> bool {
        let before = self.banned.get(&peer);
        if before.is_some_and(|ban| now < ban.until) {
            return false;
        }
        let wait = before.map_or(BAN_FIRST, |ban| (2 * ban.wait).min(BAN_CAP));
        self.banned.insert(peer, Ban { until: now + wait, wait });
        true
    }

    /// Whether `node` at `host` is banned.
    #[must_use]
    pub fn is_banned(&self, node: &NodeId, host: IpAddr, now: Time) -> bool {
        self.bans_of(node, now).any(|banned| banned.host == host)
    }

    /// Whether `node` is banned at `addr`; a name may stand for any host.
    fn is_banned_at(&self, node: &NodeId, addr: &Address, now: Time) -> bool {
        match addr.socket_addr() {
            Some(addr) => self.is_banned(node, addr.ip(), now),
            None => self.bans_of(node, now).next().is_some(),
        }
    }

    fn bans_of(&self, node: &NodeId, now: Time) -> impl Iterator<Item = &Identity> {
        let in_force = self.banned.iter().filter(move |(_, ban)| now < ban.until);
        in_force.map(|(banned, _)| banned).filter(move |banned| banned.node == *node)
    }

    /// When the next address becomes due after `now`; [`Time::FAR_FUTURE`] if none does.
    #[must_use]
    pub fn next_due(&self, now: Time) -> Time {
        let waits = self.known.values().filter(|known| known.conn.is_none() && !known.useless);
        let later = waits.map(|known| known.retry_at).filter(|&at| at > now);
        later.min().unwrap_or(Time::FAR_FUTURE)
    }

    /// Forgets the address that has failed longest, if any is idle.
    fn make_room(&mut self) -> bool {
        let idle = self.known.iter().filter(|(_, known)| known.conn.is_none());
        let last = idle.max_by_key(|(_, known)| known.retry_at).map(|(addr, _)| addr.clone());
        last.is_some_and(|addr| self.known.remove(&addr).is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BAN_FIRST, Neighbours, RETRY_CAP, RETRY_FIRST};
    use crate::engine::identity::Identity;
    use crate::engine::interface::ConnId;
    use crate::model::address::Address;
    use crate::model::ids::NodeId;
    use crate::model::limits;
    use crate::model::rng::Seed;
    use crate::model::time::Time;

    fn addr(port: u16) -> Address {
        Address { host: "192.0.2.7".into(), port }
    }

    fn knowing(ports: std::ops::Range<u16>) -> Neighbours {
        let mut neighbours = Neighbours::new(Seed(1));
        for port in ports {
            neighbours.learn(addr(port), None, Time::ZERO);
        }
        neighbours
    }

    #[test]
    fn an_address_is_dialled_once_and_again_after_a_wait() {
        let mut neighbours = knowing(1..2);
        let conn = ConnId::dialled(1);
        assert_eq!(neighbours.due(Time::ZERO, |_, _| false), Some(addr(1)));
        neighbours.dialling(&addr(1), conn);
        assert_eq!(neighbours.due(Time::ZERO, |_, _| false), None);
        neighbours.lost(conn, false, Time::ZERO);
        assert_eq!(neighbours.due(Time::ZERO, |_, _| false), None);
        assert_eq!(neighbours.due(Time::ZERO + RETRY_FIRST, |_, _| false), Some(addr(1)));
    }

    #[test]
    fn waits_grow_but_not_beyond_the_cap() {
        let (mut neighbours, conn, mut now) = (knowing(1..2), ConnId::dialled(1), Time::ZERO);
        for _ in 0..20 {
            neighbours.dialling(&addr(1), conn);
            neighbours.lost(conn, false, now);
            assert!(neighbours.next_due(now) <= now + RETRY_CAP);
            now = neighbours.next_due(now);
        }
        assert!(now > Time::ZERO + 5 * RETRY_CAP, "it did slow down");
    }

    /// How often an address that is dead is dialled in ten minutes, named every fifth of a second or not at all.
    fn dials_of_the_dead(named: bool) -> u32 {
        let (mut neighbours, conn, mut now) = (knowing(1..2), ConnId::dialled(1), Time::ZERO);
        let mut dials = 0;
        while now < Time::ZERO + Duration::from_secs(600) {
            if named {
                neighbours.learn(addr(1), None, now);
            }
            if let Some(addr) = neighbours.due(now, |_, _| false) {
                neighbours.dialling(&addr, conn);
                neighbours.lost(conn, false, now);
                dials += 1;
            }
            now += Duration::from_millis(200);
        }
        dials
    }

    #[test]
    fn who_is_dead_is_not_dialled_all_the_time_however_often_it_is_named() {
        let (unnamed, named) = (dials_of_the_dead(false), dials_of_the_dead(true));
        assert!(unnamed < 70, "{unnamed}");
        assert!(named < 3 * unnamed, "{named} dials instead of {unnamed}");
    }

    #[test]
    fn who_is_named_after_a_long_absence_is_dialled_soon() {
        let (mut neighbours, conn, mut now) = (knowing(1..2), ConnId::dialled(1), Time::ZERO);
        for _ in 0..20 {
            neighbours.dialling(&addr(1), conn);
            neighbours.lost(conn, false, now);
            now = neighbours.next_due(now);
        }
        neighbours.dialling(&addr(1), conn);
        neighbours.lost(conn, false, now);
        assert!(neighbours.next_due(now) > now + RETRY_CAP / 3);
        neighbours.learn(addr(1), None, now);
        assert_eq!(neighbours.next_due(now), now + RETRY_FIRST);
        // Then a session stood, and is lost again: what was believed before does not count.
        now += RETRY_FIRST;
        neighbours.dialling(&addr(1), conn);
        neighbours.identified(conn, &"back".parse().expect("a plain name"));
        for _ in 0..9 {
            neighbours.lost(conn, false, now);
            neighbours.dialling(&addr(1), conn);
        }
        neighbours.lost(conn, false, now);
        neighbours.learn(addr(1), None, now);
        assert_eq!(neighbours.next_due(now), now + RETRY_FIRST);
    }

    #[test]
    fn the_banned_the_useless_and_the_connected_are_left_alone() {
        let mut neighbours = knowing(1..2);
        let liar: NodeId = "liar".parse().expect("a plain name");
        neighbours.learn(addr(1), Some(liar.clone()), Time::ZERO);
        assert!(neighbours.due(Time::ZERO, |node, _| node.as_str() == "liar").is_none());
        assert!(neighbours.due(Time::ZERO, |_, _| false).is_some());
        let liar = |host: u8| Identity { node: liar.clone(), host: [192, 0, 2, host].into() };
        neighbours.ban(liar(8), Time::ZERO);
        assert!(neighbours.due(Time::ZERO, |_, _| false).is_some(), "that was somebody else");
        let mut now = Time::ZERO;
        for wait in [BAN_FIRST, 2 * BAN_FIRST, 4 * BAN_FIRST] {
            assert!(neighbours.ban(liar(7), now) && !neighbours.ban(liar(7), now), "once");
            now += wait - Duration::from_nanos(1);
            assert!(neighbours.due(now, |_, _| false).is_none());
            now += Duration::from_nanos(1);
            assert!(neighbours.due(now, |_, _| false).is_some(), "it may have been mended");
        }
        let (mut neighbours, conn) = (knowing(1..2), ConnId::dialled(1));
        neighbours.dialling(&addr(1), conn);
        neighbours.lost(conn, true, Time::ZERO);
        assert!(neighbours.due(Time::ZERO + Duration::from_secs(3600), |_, _| false).is_none());
        neighbours.learn(addr(1), None, Time::ZERO);
        assert!(neighbours.due(Time::ZERO + RETRY_CAP, |_, _| false).is_some(), "named again");
    }

    #[test]
    fn a_flood_of_addresses_is_bounded() {
        let neighbours = knowing(1..5_000);
        assert_eq!(neighbours.known.len(), limits::ADDRESSES_PER_TORRENT_MAX);
    }
}
