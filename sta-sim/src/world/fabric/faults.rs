//! What a fault does to the network, each with an effect of its own.
//!
//! | fault | established streams | new connections |
//! | --- | --- | --- |
//! | cut | nothing leaves, what is under way waits; they resume with the link's delay | nothing comes back |
//! | cut one way | the other way goes on for one window: acknowledgements are lost | nothing comes back |
//! | hold | go on leaving for one window; all of it comes in one burst | wait |
//! | clog | everything takes longer, nothing is lost | take longer |
//! | refuse | as before | refused after a round trip |
//! | reset | break at both ends at once | as before |
//! | process gone | end; or are reset where bytes were unread | refused after a round trip |
//! | power off | silence; what is sent after the restart is answered with a reset | nothing comes back |
//! | pause | accepted by the kernel for one window, unread | succeed, and nobody answers |

use crate::world::loss::Loss;
use std::cmp::Reverse;
use std::task::Waker;
use std::time::Duration;

use sta_core::model::time::Time;

use super::flow::End;
use super::{Edge, Event, Fabric, Fault, FlowId, HostId, Machine};

impl Fabric {
    /// What is wrong with the way from `from` to `to` from now on.
    pub fn set_fault(&mut self, from: HostId, to: HostId, fault: Fault) {
        let link = &mut self.links[from][to];
        let was = std::mem::replace(&mut link.fault, fault);
        if was == fault {
            return;
        }
        if !link.blocked() {
            // What met a cut is sent again; what met a hold stands at the door.
            for event in std::mem::take(&mut link.parked) {
                match event {
                    Event::Arrive { flow, bytes } if was.cut => self.travel(flow, bytes, event),
                    Event::FinArrives { flow } if was.cut => self.travel(flow, 0, event),
                    _ => self.schedule(self.now, event),
                }
            }
        }
        let between = |a, b| (a, b) == (from, to) || (a, b) == (to, from);
        self.look_again(self.flows_where(between));
        self.wake_diallers();
    }

    /// Messages and connects that the fault of this link has delayed, stopped or refused since this was last asked.
    pub fn take_touched(&mut self, from: HostId, to: HostId) -> u64 {
        std::mem::take(&mut self.links[from][to].touched)
    }

    /// Breaks every connection between `a` and `b`, at both ends at once. Says how many.
    pub fn reset(&mut self, a: HostId, b: HostId) -> usize {
        let flows = self.flows_where(|from, to| (from, to) == (a, b) || (from, to) == (b, a));
        for &flow in &flows {
            self.break_sender(flow);
        }
        flows.len() / 2
    }

    /// The process of `host` stands still: reads nothing, writes nothing, accepts nothing.
    pub fn pause(&mut self, host: HostId) {
        self.hosts[host].paused = true;
    }

    /// The process of `host` goes on.
    pub fn resume(&mut self, host: HostId) {
        self.hosts[host].paused = false;
        self.hosts[host].acceptors.drain(..).for_each(Waker::wake);
        for id in self.flows_where(|from, to| from == host || to == host) {
            if let Some(flow) = self.flows[id].as_deref_mut() {
                flow.wake_reader();
                flow.wake_writer();
            }
        }
    }

    /// The process of `host` is gone, and its half of every connection with it. To be called while it still holds them: its kernel lets
    /// go of them in the order in which they were made, where a runtime that is dropped does so in an order that depends on what else
    /// runs in this program.
    pub fn process_down(&mut self, host: HostId) {
        self.hosts[host].machine = Machine::Down;
        self.hosts[host].paused = false;
        for id in self.flows_where(|from, to| from == host || to == host) {
            let ends = self.flows[id].as_deref().map(|flow| (flow.from == host, flow.to == host));
            let (sends, receives) = ends.unwrap_or_default();
            if sends {
                self.close_send(id);
            }
            if receives {
                self.close_recv(id);
            }
        }
        let orphans: Vec<FlowId> = self.unclaimed.values().copied().collect();
        for id in orphans {
            if self.flows[id].as_deref().is_some_and(|flow| flow.to == host) {
                self.send_reset(id);
            }
        }
        self.wake_diallers();
    }

    /// The machine of `host` goes dark. To be called while its process still holds its connections.
    pub fn power_off(&mut self, host: HostId) {
        self.hosts[host].machine = Machine::Dark;
        self.hosts[host].paused = false;
        for id in self.flows_where(|from, to| from == host || to == host) {
            let Some(flow) = self.flows[id].as_deref_mut() else { continue };
            if flow.from == host && flow.sender == End::Held {
                flow.sender = End::Dark;
            }
            if flow.to == host && flow.receiver == End::Held {
                flow.receiver = End::Dark;
            }
        }
    }

    /// The process of `host` runs again. Who sent to its former self meanwhile learns that it is gone.
    pub fn process_up(&mut self, host: HostId) {
        self.hosts[host].machine = Machine::Up;
        for id in self.flows_where(|_, to| to == host) {
            let Some(flow) = self.flows[id].as_deref() else { continue };
            if flow.receiver == End::Dark && flow.written > flow.acked {
                self.send_reset(id);
            }
        }
        self.wake_diallers();
    }

    /// Connects `host` differently from now on. The rest of a turn under way goes at the new rate; what has left its link is
    /// not touched.
    pub fn set_edge(&mut self, host: HostId, edge: Edge) {
        let [up, down] = self.take_turns_under_way(host);
        let now = self.now;
        let rest =
            |turn: &Option<(Time, Event)>| turn.map_or(Duration::ZERO, |(at, _)| at.since(now));
        let up_rest = self.hosts[host].up.set_rate(edge.up, rest(&up));
        let down_rest = self.hosts[host].down.set_rate(edge.down, rest(&down));
        for (turn, rest) in [(up, up_rest), (down, down_rest)] {
            if let Some((_, event)) = turn {
                self.schedule(now + rest, event);
            }
        }
        self.hosts[host].edge = edge;
        for other in 0..self.hosts.len() {
            for (from, to) in [(host, other), (other, host)] {
                let (base, jitter, loss) = self.way(from, to);
                let link = &mut self.links[from][to];
                (link.base, link.jitter, link.loss) = (base, jitter, loss);
            }
        }
        self.look_again(self.flows_where(|from, to| from == host || to == host));
    }

    /// Connections that stand between `a` and `b`.
    #[must_use]
    pub fn connections(&self, a: HostId, b: HostId) -> usize {
        self.flows_where(|from, to| (from, to) == (a, b) || (from, to) == (b, a)).len() / 2
    }

    /// Bytes that `host` has sent since the start, and received.
    #[must_use]
    pub fn moved(&self, host: HostId) -> (u64, u64) {
        let host = &self.hosts[host];
        (host.up.served, host.down.served)
    }

    /// How much was there since the start for the edge of `host` to change: bytes and dials.
    #[must_use]
    pub fn passed(&self, host: HostId) -> u64 {
        let (up, down) = self.moved(host);
        up + down + self.hosts[host].dials
    }

    /// The way between two hosts as their edges are now: delay, jitter, loss.
    pub(super) fn way(&self, from: HostId, to: HostId) -> (Duration, super::Dist, Loss) {
        if from == to {
            return (Duration::ZERO, super::Dist::ZERO, Loss::NONE);
        }
        let (a, b) = (&self.hosts[from].edge, &self.hosts[to].edge);
        let loss = Loss::between(a.loss, b.loss);
        (a.latency + self.core.delay(a.site, b.site) + b.latency, a.jitter, loss)
    }

    /// Takes the ends of the turns that the two links of `host` are serving out of what will happen: each has one at the most.
    fn take_turns_under_way(&mut self, host: HostId) -> [Option<(Time, Event)>; 2] {
        let (mut up, mut down) = (None, None);
        self.events.retain(|&Reverse((at, _, event))| match event {
            Event::UpDone { host: whose, .. } if whose == host => up.replace((at, event)).is_some(),
            Event::DownDone { host: whose, .. } if whose == host => {
                down.replace((at, event)).is_some()
            }
            _ => true,
        });
        [up, down]
    }

    /// Flows for which something has changed may go on.
    fn look_again(&mut self, flows: Vec<FlowId>) {
        for id in flows {
            self.acknowledge(id);
            self.offer_up(id);
        }
    }

    fn flows_where(&self, wanted: impl Fn(HostId, HostId) -> bool) -> Vec<FlowId> {
        let live = self.flows.iter().enumerate();
        let live = live.filter_map(|(id, flow)| Some((id, flow.as_deref()?)));
        live.filter(|(_, flow)| wanted(flow.from, flow.to)).map(|(id, _)| id).collect()
    }

    fn wake_diallers(&mut self) {
        self.diallers.drain(..).for_each(Waker::wake);
    }
}
