//! Who gets how much of the links at this moment: max-min fair rates, exactly, at a cost that follows the change.
//!
//! It decides the rate of every flow. It knows no time, no message and no host: a flow crosses two links (the
//! uplink of one host, the downlink of another), or up to four (those of their sites between them), and may have a cap of its own.
//!
//! # What the rates are
//!
//! Max-min fair in whole bytes per second, by progressive filling: every flow gets one unit more at a time; once a
//! link cannot give one more to each of its growing flows, those stay where they are, all at the same moment for all such
//! links. The *level* of a link is where its flows stopped ([`UNLIMITED`] if it never ran out), so a flow's rate is
//! the least of its cap and the levels of its links (Bertsekas and Gallager, Data Networks, 6.5.2).
//!
//! Exact is this: the rates are a function of the flows, caps and capacities alone, whatever the order in which they came
//! (`tests.rs` compares with the filling above, done a unit at a time). Rounded is this: a link that ran out leaves fewer
//! bytes per second unused than it has flows. One bend: a flow never gets less than one byte per second.
//!
//! # Why it is cheap
//!
//! Of a flow, a link need only know its *demand*: the least of its cap and the levels of its other links. A link's level is the
//! smallest `L` at which its flows would want more than there is, where a flow wants its demand if that is below
//! `L`, and `L + 1` otherwise. That test looks at no level of `L` or above. So (1) one assignment of levels alone satisfies
//! every link: the links of level 0 follow from nothing, those of level 1 from those of level 0, and so on; and (2)
//! a change of a link between the levels `a` and `b` concerns only links above the lesser of the two. Repairing the links that no
//! longer agree in the order of that lesser level never has to go back down, so it ends, and ends there. What is
//! visited are the paths of ascending levels that start at the change, not the component: on a random graph their number
//! depends on how many flows a host has, not on how many hosts there are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use smallvec::SmallVec;

/// The level of a link that has more than its flows can use.
pub const UNLIMITED: u64 = u64::MAX;

/// One direction of the connection of a host, or of a site, to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub u32);

/// Something that is being sent across links: a small number, chosen by who starts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowId(pub u32);

/// The links, the flows that cross them, and what each link lets every flow have.
///
/// Levels are those of the moment of the last [`Self::settle`]; what starts or ends in between is gathered.
#[derive(Debug, Default)]
pub struct Fair {
    /// By link. Side by side, because with every change one looks at those of many links.
    links: Vec<Link>,
    /// By link: the flows on it.
    claims: Vec<SmallVec<[Claim; CLAIMS]>>,
    flows: Vec<Flow>,
    /// Links whose flows, caps or capacity have changed since the last settling.
    touched: Vec<LinkId>,
    /// Links that disagree with their flows, by the lesser of the level they have and the one they should have. Some do so no
    /// more, or by another level: [`Link::disagrees_at`].
    wrong: BinaryHeap<Reverse<(u64, LinkId)>>,
    /// Links whose level or flows have changed in this settling.
    moved: Vec<LinkId>,
    /// Links to be compared; empty but while one is corrected.
    doubtful: Vec<LinkId>,
    /// What the flows of a link ask for; of use only while it is compared.
    demands: Vec<u64>,
}

/// So many flows of a link lie side by side with those of others: as many as a host has neighbours.
const CLAIMS: usize = 10;

#[derive(Clone, Copy, Debug)]
struct Link {
    capacity: u64,
    level: u64,
    /// The level that its flows ask for; other than `level` only while it is among the `wrong`.
    target: u64,
    /// The least level that it has had in this settling, 0 if it has other flows; [`UNLIMITED`] if nothing has changed.
    least: u64,
}

/// What a link knows of a flow.
#[derive(Clone, Copy, Debug)]
struct Claim {
    cap: u64,
    flow: FlowId,
    /// Its other link; [`NO_LINK`] if it has several, which are looked up.
    other: LinkId,
}

/// Most links that a flow crosses: those of two hosts, and of their sites.
const LINKS_MAX: usize = 4;
/// In place of a link: there is none, or not one alone.
const NO_LINK: LinkId = LinkId(u32::MAX);

#[derive(Clone, Copy, Debug)]
struct Flow {
    /// From the first to the first that is [`NO_LINK`].
    links: [LinkId; LINKS_MAX],
    /// Where it stands in the lists of its links.
    places: [u32; LINKS_MAX],
}

impl Flow {
    const NONE: Self = Self { links: [NO_LINK; LINKS_MAX], places: [0; LINKS_MAX] };

    fn links(self) -> impl Iterator<Item = LinkId> {
        self.links.into_iter().take_while(|link| *link != NO_LINK)
    }
}

impl Fair {
    /// A link that moves `capacity` bytes per second at the most.
    pub fn add_link(&mut self, capacity: u64) -> LinkId {
        let (level, target, least) = (UNLIMITED, UNLIMITED, UNLIMITED);
        self.links.push(Link { capacity, level, target, least });
        self.claims.push(SmallVec::new());
        LinkId(self.links.len() as u32 - 1)
    }

    /// From now on `link` moves `capacity` bytes per second at the most.
    pub fn set_capacity(&mut self, link: LinkId, capacity: u64) {
        self.links[link.0 as usize].capacity = capacity;
        self.touch(link);
    }

    /// What `link` moves at the most, in bytes per second.
    #[must_use]
    pub fn capacity(&self, link: LinkId) -> u64 {
        self.links[link.0 as usize].capacity
    }

    /// What the flows on `link` move together, in bytes per second.
    #[must_use]
    pub fn used(&self, link: LinkId) -> u64 {
        let level = self.links[link.0 as usize].level;
        let rate = |claim: &Claim| claim.demand(link, &self.links, &self.flows).min(level);
        self.claims[link.0 as usize].iter().map(rate).sum()
    }

    /// `flow`, which is not under way, goes across `links`, two different ones at the least and four at the most, at `cap` bytes
    /// per second at the most ([`UNLIMITED`] if nothing but the links limits it).
    pub fn start(&mut self, flow: FlowId, links: impl Iterator<Item = LinkId>, cap: u64) {
        let cap = cap.max(1);
        let mut state = Flow::NONE;
        state.links.iter_mut().zip(links).for_each(|(place, link)| *place = link);
        let [first, second, third, _] = state.links;
        debug_assert_ne!(second, NO_LINK, "a flow crosses two links or more");
        let others = if third == NO_LINK { [second, first] } else { [NO_LINK; 2] };
        let others = others.into_iter().chain(std::iter::repeat(NO_LINK));
        for ((link, other), place) in state.links().zip(others).zip(&mut state.places) {
            let claims = &mut self.claims[link.0 as usize];
            *place = claims.len() as u32;
            claims.push(Claim { cap, flow, other });
            self.touch(link);
        }
        if self.flows.len() <= flow.0 as usize {
            self.flows.resize(flow.0 as usize + 1, Flow::NONE);
        }
        self.flows[flow.0 as usize] = state;
    }

    /// `flow` has ended; it may be started again.
    pub fn end(&mut self, flow: FlowId) {
        let ended = self.flows[flow.0 as usize];
        for (link, place) in ended.links().zip(ended.places) {
            let claims = &mut self.claims[link.0 as usize];
            claims.swap_remove(place as usize);
            if let Some(&Claim { flow, .. }) = claims.get(place as usize) {
                let Flow { links, places } = &mut self.flows[flow.0 as usize];
                let mut crossed = links.iter().zip(places);
                let moved = crossed.find(|(crossed, _)| **crossed == link);
                *moved.expect("it crosses the link").1 = place;
            }
            self.touch(link);
        }
    }

    /// Makes the rates fair again, and calls `rated` with the rate of every flow of which it may be another now.
    pub fn settle(&mut self, mut rated: impl FnMut(FlowId, u64)) {
        while let Some(link) = self.touched.pop() {
            self.compare(link);
        }
        while let Some(Reverse((level, link))) = self.wrong.pop() {
            if self.links[link.0 as usize].disagrees_at() == Some(level) {
                self.correct(link, level);
            }
        }
        while let Some(link) = self.moved.pop() {
            let state = &mut self.links[link.0 as usize];
            let (level, least) = (state.level, std::mem::replace(&mut state.least, UNLIMITED));
            for claim in &self.claims[link.0 as usize] {
                // A flow that asked for less than all levels the link has had gets what it got.
                let demand = claim.demand(link, &self.links, &self.flows);
                if demand >= least {
                    rated(claim.flow, demand.min(level));
                }
            }
        }
    }

    /// Its flows may be new to it: their rates are looked at even if the level stays.
    fn touch(&mut self, link: LinkId) {
        if std::mem::replace(&mut self.links[link.0 as usize].least, 0) == UNLIMITED {
            self.touched.push(link);
            self.moved.push(link);
        }
    }

    /// Gives `link` the level it should have, which is `lesser` or else the one it has is; links that see its flows are
    /// compared again.
    fn correct(&mut self, link: LinkId, lesser: u64) {
        let state = &mut self.links[link.0 as usize];
        if state.least == UNLIMITED {
            self.moved.push(link);
        }
        state.least = state.least.min(lesser);
        let new = state.target;
        let before = std::mem::replace(&mut state.level, new);
        // First all of them are found and then compared: what a link knows is far apart in memory, and is waited for together so.
        let mut doubtful = std::mem::take(&mut self.doubtful);
        let mut see = |cap: u64, other: LinkId| {
            let target = self.links[other.0 as usize].target;
            // A demand at or above the level asks for no more than another such demand, and who has more than can be used
            // has so if less is asked for.
            let as_before = target == UNLIMITED && cap.min(new) <= cap.min(before);
            // A flow that is held to less by its cap asks for what it asked for.
            if cap > lesser && lesser < target && !as_before {
                doubtful.push(other);
            }
        };
        for &Claim { cap, flow, other } in &self.claims[link.0 as usize] {
            if other == NO_LINK {
                let others = self.flows[flow.0 as usize].links();
                others.filter(|other| *other != link).for_each(|other| see(cap, other));
            } else {
                see(cap, other);
            }
        }
        doubtful.drain(..).for_each(|other| self.compare(other));
        self.doubtful = doubtful;
    }

    /// Finds the level that `link` should have, and whether it is wrong.
    fn compare(&mut self, link: LinkId) {
        let demand = |claim: &Claim| claim.demand(link, &self.links, &self.flows);
        self.demands.clear();
        self.demands.extend(self.claims[link.0 as usize].iter().map(demand));
        let state = &mut self.links[link.0 as usize];
        let target = level_wanted(state.capacity, &self.demands);
        if std::mem::replace(&mut state.target, target) != target
            && let Some(level) = state.disagrees_at()
        {
            self.wrong.push(Reverse((level, link)));
        }
    }
}

impl Link {
    /// The lesser of the level it has and the one it should have, if they are not the same.
    fn disagrees_at(&self) -> Option<u64> {
        (self.level != self.target).then_some(self.level.min(self.target))
    }
}

impl Claim {
    /// What the flow asks the link `on` for: as much as its cap and its other links let it have.
    fn demand(&self, on: LinkId, links: &[Link], flows: &[Flow]) -> u64 {
        let level = |other: LinkId| links[other.0 as usize].level;
        if self.other != NO_LINK {
            return self.cap.min(level(self.other));
        }
        let others = flows[self.flow.0 as usize].links().filter(|other| *other != on);
        others.map(level).fold(self.cap, u64::min)
    }
}

/// The level at which a link's `capacity` is used up, given what its flows can use elsewhere.
///
/// Every flow gets the same; what some cannot use is shared by the rest, which may then get more than others can use, until
/// that is no more so.
fn level_wanted(capacity: u64, demands: &[u64]) -> u64 {
    let flows = demands.len() as u64;
    let Some(mut level) = capacity.checked_div(flows) else { return UNLIMITED };
    level = level.max(1);
    loop {
        let (mut used, mut growing) = (0, flows);
        for &demand in demands {
            // Without a branch: which of them are below the level is not to be foreseen.
            let below = u64::from(demand < level);
            used += below * demand;
            growing -= below;
        }
        if growing == 0 {
            return UNLIMITED;
        }
        let next = ((capacity - used) / growing).max(1);
        if next == level {
            return level;
        }
        level = next;
    }
}

#[cfg(test)]
mod tests;
