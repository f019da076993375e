//! Who gets how much of the links at this moment: max-min fair rates, exactly, at a cost that follows the change.
//!
//! It decides the rate of every flow. It knows no time, no message and no host: a flow crosses two links (the
//! uplink of one host, the downlink of another) and may have a cap of its own.
//!
//! # What the rates are
//!
//! Max-min fair in whole bytes per second, by progressive filling: every flow gets one unit more at a time; once a
//! link cannot give one more to each of its growing flows, those stay where they are, all at the same moment for all such
//! links. The *level* of a link is where its flows stopped ([`UNLIMITED`] if it never ran out), so a flow's rate is
//! the least of its cap and the levels of its two links (Bertsekas and Gallager, Data Networks, 6.5.2).
//!
//! Exact is this: the rates are a function of the flows, caps and capacities alone, whatever the order in which they came
//! (`tests.rs` compares with the filling above, done a unit at a time). Rounded is this: a link that ran out leaves fewer
//! bytes per second unused than it has flows. One bend: a flow never gets less than one byte per second.
//!
//! # Why it is cheap
//!
//! Of a flow, a link need only know its *demand*: the lesser of its cap and the level of its other link. A link's level is the
//! smallest `L` at which its flows would want more than there is, where a flow wants its demand if that is below
//! `L`, and `L + 1` otherwise. That test looks at no level of `L` or above. So (1) one assignment of levels alone satisfies
//! every link: the links of level 0 follow from nothing, those of level 1 from those of level 0, and so on; and (2)
//! a change of a link between the levels `a` and `b` concerns only links above the lesser of the two. Repairing the links that no
//! longer agree in the order of that lesser level never has to go back down, so it ends, and ends there. What is
//! visited are the paths of ascending levels that start at the change, not the component: on a random graph their number
//! depends on how many flows a host has, not on how many hosts there are.

use std::collections::BTreeSet;

/// The level of a link that has more than its flows can use.
pub const UNLIMITED: u64 = u64::MAX;

/// One direction of one host's connection to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub u32);

/// Something that is being sent, across two links. Given out anew once it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowId(pub u32);

/// The links, the flows that cross them, and their rates.
///
/// Rates are those of the moment of the last [`Self::settle`]; what starts or ends in between is gathered.
#[derive(Debug, Default)]
pub struct Fair {
    links: Vec<Link>,
    flows: Vec<Flow>,
    free: Vec<FlowId>,
    /// Links whose flows, caps or capacity have changed since the last settling.
    touched: Vec<LinkId>,
    /// Links that disagree with their flows, by the lesser of the level they have and the one they should have.
    wrong: BTreeSet<(u64, LinkId)>,
    /// Links whose level has changed in this settling.
    moved: Vec<LinkId>,
    /// Room to sort demands in.
    demands: Vec<u64>,
}

#[derive(Debug)]
struct Link {
    capacity: u64,
    level: u64,
    /// The level that its flows ask for; other than `level` only while it is among the `wrong`.
    target: u64,
    flows: Vec<FlowId>,
    touched: bool,
    moved: bool,
}

#[derive(Debug)]
struct Flow {
    links: [LinkId; 2],
    /// Where it stands in the lists of its links.
    places: [u32; 2],
    cap: u64,
    rate: u64,
}

impl Fair {
    /// A link that moves `capacity` bytes per second at the most.
    pub fn add_link(&mut self, capacity: u64) -> LinkId {
        self.links.push(Link {
            capacity,
            level: UNLIMITED,
            target: UNLIMITED,
            flows: Vec::new(),
            touched: false,
            moved: false,
        });
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
        self.links[link.0 as usize].flows.iter().map(|&flow| self.rate(flow)).sum()
    }

    /// A flow across the links `from` and `to`, two different ones, of at most `cap` bytes per second
    /// ([`UNLIMITED`] if nothing but the links limits it). Its rate is 0 until [`Self::settle`].
    pub fn start(&mut self, from: LinkId, to: LinkId, cap: u64) -> FlowId {
        debug_assert_ne!(from, to, "a flow crosses two links");
        let links = [from, to];
        let places = links.map(|link| self.links[link.0 as usize].flows.len() as u32);
        let flow = Flow { links, places, cap: cap.max(1), rate: 0 };
        let id = if let Some(id) = self.free.pop() {
            self.flows[id.0 as usize] = flow;
            id
        } else {
            self.flows.push(flow);
            FlowId(self.flows.len() as u32 - 1)
        };
        for link in links {
            self.links[link.0 as usize].flows.push(id);
            self.touch(link);
        }
        id
    }

    /// `flow` has ended; its id may be given to another.
    pub fn end(&mut self, flow: FlowId) {
        let Flow { links, places, .. } = self.flows[flow.0 as usize];
        for (link, place) in links.into_iter().zip(places) {
            let flows = &mut self.links[link.0 as usize].flows;
            flows.swap_remove(place as usize);
            if let Some(&other) = flows.get(place as usize) {
                let other = &mut self.flows[other.0 as usize];
                let side = usize::from(other.links[0] != link);
                other.places[side] = place;
            }
            self.touch(link);
        }
        self.free.push(flow);
    }

    /// The rate of `flow` in bytes per second, as of the last settling.
    #[must_use]
    pub fn rate(&self, flow: FlowId) -> u64 {
        self.flows[flow.0 as usize].rate
    }

    /// The two links of `flow`.
    #[must_use]
    pub fn links(&self, flow: FlowId) -> [LinkId; 2] {
        self.flows[flow.0 as usize].links
    }

    /// Makes the rates fair again, and calls `changed` with every flow whose rate is another now.
    pub fn settle(&mut self, mut changed: impl FnMut(FlowId, u64)) {
        while let Some(link) = self.touched.pop() {
            let state = &mut self.links[link.0 as usize];
            state.touched = false;
            // Its flows may be new to it: their rates are looked at even if the level stays.
            if !std::mem::replace(&mut state.moved, true) {
                self.moved.push(link);
            }
            self.compare(link);
        }
        while let Some((_, link)) = self.wrong.pop_first() {
            self.correct(link);
        }
        while let Some(link) = self.moved.pop() {
            let state = &mut self.links[link.0 as usize];
            state.moved = false;
            for place in 0..state.flows.len() {
                let id = self.links[link.0 as usize].flows[place];
                let Flow { links, cap, rate, .. } = self.flows[id.0 as usize];
                let [from, to] = links.map(|link| self.links[link.0 as usize].level);
                let new = cap.min(from).min(to);
                if new != rate {
                    self.flows[id.0 as usize].rate = new;
                    changed(id, new);
                }
            }
        }
    }

    fn touch(&mut self, link: LinkId) {
        if !std::mem::replace(&mut self.links[link.0 as usize].touched, true) {
            self.touched.push(link);
        }
    }

    /// Gives `link` the level it should have; links that see its flows are compared again.
    fn correct(&mut self, link: LinkId) {
        let state = &mut self.links[link.0 as usize];
        let (old, new) = (state.level, state.target);
        state.level = new;
        if !std::mem::replace(&mut state.moved, true) {
            self.moved.push(link);
        }
        let lesser = old.min(new);
        for place in 0..self.links[link.0 as usize].flows.len() {
            let flow = &self.flows[self.links[link.0 as usize].flows[place].0 as usize];
            let other = flow.links[usize::from(flow.links[0] == link)];
            // A demand at or above the level asks for no more than another such demand.
            if flow.cap > lesser && lesser < self.links[other.0 as usize].target {
                self.compare(other);
            }
        }
    }

    /// Finds the level that `link` should have, and whether it is wrong.
    fn compare(&mut self, link: LinkId) {
        let target = self.level_wanted(link);
        let state = &mut self.links[link.0 as usize];
        if state.target == target {
            return;
        }
        if state.target != state.level {
            self.wrong.remove(&(state.level.min(state.target), link));
        }
        state.target = target;
        if target != state.level {
            self.wrong.insert((state.level.min(target), link));
        }
    }

    /// The level at which the capacity of `link` is used up, given what its flows can use elsewhere.
    fn level_wanted(&mut self, link: LinkId) -> u64 {
        let Link { capacity, flows, .. } = &self.links[link.0 as usize];
        self.demands.clear();
        self.demands.extend(flows.iter().map(|flow| {
            let flow = &self.flows[flow.0 as usize];
            let other = flow.links[usize::from(flow.links[0] == link)];
            flow.cap.min(self.links[other.0 as usize].level)
        }));
        self.demands.sort_unstable();
        let (mut left, mut growing) = (*capacity, self.demands.len() as u64);
        for &demand in &self.demands {
            let level = (left / growing).max(1);
            if demand >= level {
                return level;
            }
            left -= demand;
            growing -= 1;
        }
        UNLIMITED
    }
}

#[cfg(test)]
mod tests;
