//! How bytes come from a sender to a receiver: a turn on one link, or on those of two sites as well, a journey, a turn on the last.
//!
//! Decides who takes a turn and when bytes arrive. What ends a connection is in `endings.rs`.

use std::time::Duration;

use super::flow::{End, Fin, Flow};
use super::pipe::TURN_BYTES_MAX;
use super::{Event, Fabric, FlowId, HostId, Machine, flow};
use crate::scenario::site::SiteIx;

impl Fabric {
    /// Bytes that one flow may have in flight.
    pub(super) fn flight(&self, flow: &Flow) -> u64 {
        let (up, down) = (&self.hosts[flow.from].up, &self.hosts[flow.to].down);
        let sites = (0..).zip(flow.crossed).filter_map(|(hop, site)| self.sites[site?][hop].rate());
        let rate = sites.chain(up.rate()).chain(down.rate()).min();
        let latency = self.links[flow.from][flow.to].typical_max();
        flow::flight_bytes(rate, latency, up.turn_bytes())
    }

    /// Bytes that one flow's sender may have handed in and not know to be read.
    pub(super) fn window(&self, id: FlowId) -> u64 {
        self.flows[id].as_deref().map_or(0, |flow| self.flight(flow) + flow::SEND_BUFFER_BYTES)
    }

    /// The bytes of the next turn on the sender's link; 0 if the flow cannot take one now.
    pub(super) fn turn_up(&self, flow: &Flow) -> u64 {
        let silent = flow.sender == End::Dark || flow.sender_broken;
        if flow.queued_up() == 0 || silent || self.links[flow.from][flow.to].fault.cut {
            return 0;
        }
        let room = self.flight(flow).saturating_sub(flow.in_flight());
        let turn = self.hosts[flow.from].up.turn_bytes();
        flow.queued_up().min(turn).min(room)
    }

    pub(super) fn offer_up(&mut self, id: FlowId) {
        let Some(flow) = self.flows[id].as_deref() else { return };
        if flow.on_up || self.turn_up(flow) == 0 {
            return;
        }
        let (from, paced_until) = (flow.from, flow.paced_until);
        let Some(flow) = self.flows[id].as_deref_mut() else { return };
        if paced_until > self.now {
            if !flow.pacing {
                flow.pacing = true;
                self.schedule(paced_until, Event::Paced { flow: id });
            }
            return;
        }
        flow.on_up = true;
        self.hosts[from].up.turns.push_back(id);
        self.serve_up(from);
    }

    pub(super) fn serve_up(&mut self, host: HostId) {
        while !self.hosts[host].up.busy {
            let Some(id) = self.hosts[host].up.turns.pop_front() else { return };
            let bytes = self.flows[id].as_deref().map_or(0, |flow| self.turn_up(flow));
            let Some(flow) = self.flows[id].as_deref_mut() else { continue };
            if bytes == 0 {
                flow.on_up = false;
                continue;
            }
            if let Some(rate) = self.links[flow.from][flow.to].loss_rate() {
                let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate);
                let gap = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
                flow.paced_until = flow.paced_until.max(self.now) + gap;
            }
            let pipe = &mut self.hosts[host].up;
            pipe.busy = true;
            let done = self.now + pipe.serve(bytes);
            self.schedule(done, Event::UpDone { host, flow: id, bytes });
        }
    }

    pub(super) fn up_done(&mut self, host: HostId, id: FlowId, bytes: u64) {
        self.hosts[host].up.busy = false;
        if let Some(flow) = self.flows[id].as_deref_mut() {
            flow.on_up = false;
            flow.departed += bytes;
            self.forward(id, bytes, 0);
            self.offer_up(id);
        }
        self.serve_up(host);
    }

    /// Bytes of a flow have come to the link of its sender's site (`hop` 0), to that of its receiver's (1), or through both.
    fn forward(&mut self, id: FlowId, bytes: u64, hop: usize) {
        let Some(flow) = self.flows[id].as_deref_mut() else { return };
        match flow.crossed.get(hop) {
            Some(Some(_)) => {
                flow.at_sites[hop] += bytes;
                self.offer_site(id, hop);
            }
            Some(None) => self.forward(id, bytes, hop + 1),
            None => {
                let finished = flow.fin == Fin::Queued && flow.unsent() == 0;
                self.travel(id, bytes, Event::Arrive { flow: id, bytes });
                if finished {
                    self.send_fin(id);
                }
            }
        }
    }

    fn offer_site(&mut self, id: FlowId, hop: usize) {
        let Some(flow) = self.flows[id].as_deref_mut() else { return };
        let Some(site) = flow.crossed[hop] else { return };
        if !flow.on_sites[hop] && flow.at_sites[hop] > 0 {
            flow.on_sites[hop] = true;
            self.sites[site][hop].turns.push_back(id);
            self.serve_site(site, hop);
        }
    }

    fn serve_site(&mut self, site: SiteIx, hop: usize) {
        while !self.sites[site][hop].busy {
            let pipe = &mut self.sites[site][hop];
            let Some(id) = pipe.turns.pop_front() else { return };
            let Some(flow) = self.flows[id].as_deref() else { continue };
            let bytes = flow.at_sites[hop].min(pipe.turn_bytes());
            pipe.busy = true;
            let done = self.now + pipe.serve(bytes);
            self.schedule(done, Event::SiteDone { site, hop, flow: id, bytes });
        }
    }

    pub(super) fn site_done(&mut self, site: SiteIx, hop: usize, id: FlowId, bytes: u64) {
        self.sites[site][hop].busy = false;
        if let Some(flow) = self.flows[id].as_deref_mut() {
            flow.on_sites[hop] = false;
            flow.at_sites[hop] -= bytes;
            self.forward(id, bytes, hop + 1);
            self.offer_site(id, hop);
        }
        self.serve_site(site, hop);
    }

    /// Sends something along a flow's link, behind what the flow sent before.
    pub(super) fn travel(&mut self, id: FlowId, bytes: u64, event: Event) {
        let Some(flow) = self.flows[id].as_deref_mut() else { return };
        let delay = self.links[flow.from][flow.to].delay(bytes);
        let at = flow.last_arrival.max(self.now + delay);
        flow.last_arrival = at;
        self.schedule(at, event);
    }

    /// Whether `event` waits at the link from `from` to `to` instead.
    pub(super) fn parks(&mut self, from: HostId, to: HostId, event: Event) -> bool {
        let link = &mut self.links[from][to];
        if link.blocked() {
            link.parked.push(event);
            link.touched += 1;
        }
        link.blocked()
    }

    pub(super) fn arrive(&mut self, id: FlowId, bytes: u64) {
        let Some(flow) = self.flows[id].as_deref() else { return };
        let (from, to) = (flow.from, flow.to);
        if self.parks(from, to, Event::Arrive { flow: id, bytes }) {
            return;
        }
        if self.hosts[to].machine == Machine::Dark {
            return;
        }
        let gone = self.flows[id ^ 1].as_deref().is_none_or(|back| back.sender != End::Held);
        let Some(flow) = self.flows[id].as_deref_mut() else { return };
        if flow.receiver != End::Held && gone {
            self.send_reset(id);
            return;
        }
        flow.arrived += bytes;
        self.offer_down(id);
    }

    pub(super) fn offer_down(&mut self, id: FlowId) {
        let Some(flow) = self.flows[id].as_deref_mut() else { return };
        if flow.on_down || flow.queued_down() == 0 {
            return;
        }
        flow.on_down = true;
        let to = flow.to;
        self.hosts[to].down.turns.push_back(id);
        self.serve_down(to);
    }

    pub(super) fn serve_down(&mut self, host: HostId) {
        while !self.hosts[host].down.busy {
            let pipe = &mut self.hosts[host].down;
            let Some(id) = pipe.turns.pop_front() else { return };
            let Some(flow) = self.flows[id].as_deref() else { continue };
            let bytes = flow.queued_down().min(pipe.turn_bytes());
            pipe.busy = true;
            let done = self.now + pipe.serve(bytes);
            self.schedule(done, Event::DownDone { host, flow: id, bytes });
        }
    }

    pub(super) fn down_done(&mut self, host: HostId, id: FlowId, bytes: u64) {
        self.hosts[host].down.busy = false;
        if let Some(flow) = self.flows[id].as_deref_mut() {
            flow.on_down = false;
            flow.delivered += bytes;
            flow.wake_reader();
            self.offer_down(id);
        }
        self.serve_down(host);
    }

    /// The sender learns what was read, unless the way back is cut: then a window is all that can still be sent.
    pub(super) fn acknowledge(&mut self, id: FlowId) {
        let window = self.window(id);
        let Some(flow) = self.flows[id].as_deref_mut() else { return };
        if self.links[flow.to][flow.from].fault.cut || flow.receiver == End::Dark {
            return;
        }
        flow.acked = flow.consumed;
        // Waking for every few bytes would make many small writes of one large one.
        let room = window.saturating_sub(flow.written - flow.acked);
        if room >= (window / 4).min(TURN_BYTES_MAX * 4) {
            flow.wake_writer();
        }
        self.offer_up(id);
    }
}
