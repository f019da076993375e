//! What travels: messages that wait, leave and arrive, and the flows that they are meanwhile.

use sta_core::model::time::Time;

use super::conns::State;
use super::{ConnIx, Door, Happening, Net, PACKET_BYTES, Planned, Postage, Side, flow_of, way_of};
use crate::flow::fair::FlowId;
use crate::flow::way::{Freight, PARTS, Parcel, Passage};

impl<M> Net<M> {
    /// Sends `message` from the end `side` of `conn`, after all that was sent before. Nothing is sent on a connection that
    /// is over, or closed by this end.
    pub fn send(&mut self, conn: ConnIx, side: Side, message: M, postage: Postage) {
        let Postage { bytes, delay, tell } = postage;
        if self.conns[conn as usize].open[side] && self.conns[conn as usize].state == State::Open {
            let freight = Freight::Message(message);
            self.post(conn, side, Parcel { freight, bytes, delay, tell });
        }
    }

    /// From now on this passes on the way from the end `side` of `conn`.
    pub fn set_passage(&mut self, conn: ConnIx, side: Side, passage: Passage) {
        let way = self.way(conn, side);
        let before = std::mem::replace(&mut way.passage, passage);
        if before == passage {
            return;
        }
        let idle = way.is_idle();
        if passage == Passage::Cut {
            self.stop_flow(conn, side);
        } else if before == Passage::Cut && !idle {
            self.start_flow(conn, side);
        }
        if passage == Passage::Open {
            let stuck = std::mem::take(&mut self.way(conn, side).stuck);
            (0..stuck).for_each(|_| self.plan(0, Planned::Arrive(conn, side as u8)));
            if self.conns[conn as usize].state == State::Waiting {
                let dialled = &mut self.conns[conn as usize];
                dialled.state = State::Dialling;
                // What is held stands at the door; behind a cut the way is still to be made.
                let after = if before == Passage::Cut { dialled.delay } else { 0 };
                self.plan(after, Planned::Knock(conn));
            }
        }
    }

    /// From now on the way from the end `side` of `conn` carries `cap` bytes per second at the most.
    pub fn set_cap(&mut self, conn: ConnIx, side: Side, cap: u64) {
        let before = std::mem::replace(&mut self.conns[conn as usize].caps[side], cap);
        if before != cap && self.way(conn, side).flows {
            self.stop_flow(conn, side);
            self.start_flow(conn, side);
        }
    }

    /// Makes rates fair, if anything has changed: before the time goes on. Says whether it had.
    pub fn settle(&mut self) -> bool {
        if self.settled {
            return false;
        }
        self.make_fair();
        true
    }

    fn make_fair(&mut self) {
        while let Some((conn, side)) = self.drained.pop() {
            if self.way(conn, side).is_idle() {
                self.stop_flow(conn, side);
            }
        }
        let Self { fair, progress, leaving, now, .. } = self;
        fair.settle(|flow, rate| {
            let progress = &mut progress[flow.0 as usize];
            if progress.rate() != rate {
                progress.change_rate(rate, *now);
                leaving.set(flow.0, progress.next_at());
            }
        });
        self.settled = true;
    }

    pub(super) fn arrival(&mut self, ix: ConnIx, side: Side) -> Option<Happening<M>> {
        let way = self.way(ix, side);
        if way.passage != Passage::Open {
            way.stuck += 1;
            return None;
        }
        let freight = way.land()?;
        let conn = &mut self.conns[ix as usize];
        if !conn.open[1 - side] {
            return None;
        }
        match freight {
            Freight::Message(message) => Some(Happening::Arrived(ix, 1 - side, message)),
            Freight::End(why) => {
                conn.open = [false; 2];
                conn.state = State::Over;
                self.empty(ix, 1 - side);
                Some(Happening::Closed(ix, 1 - side, why))
            }
        }
    }

    /// The first message of `flow` has left, or one has been taken by the kernel.
    pub(super) fn departure(&mut self, flow: FlowId) -> Option<Happening<M>> {
        let (ix, side) = way_of(flow);
        let (way, progress) =
            (&mut self.ways[flow.0 as usize], &mut self.progress[flow.0 as usize]);
        if way.told(progress) {
            self.leaving.set(flow.0, progress.next_at());
            return Some(Happening::Taken(ix, side));
        }
        let at = way.take_off(progress, self.now)?;
        if way.is_idle() {
            self.leaving.set(flow.0, Time::FAR_FUTURE);
            self.drained.push((ix, side));
            self.settled = false;
        } else {
            self.begin(ix, side);
        }
        self.plan_at(at, Planned::Arrive(ix, side as u8));
        None
    }

    /// Sends what nothing waits before.
    pub(super) fn depart(&mut self, ix: ConnIx, side: Side, freight: Freight<M>, at: Time) {
        let at = self.way(ix, side).fly(freight, at);
        self.plan_at(at, Planned::Arrive(ix, side as u8));
    }

    /// Puts something into the queue of a way.
    pub(super) fn post(&mut self, ix: ConnIx, side: Side, parcel: Parcel<M>) {
        let conn = &self.conns[ix as usize];
        if conn.silent[1 - side] && self.hosts[conn.hosts[1 - side] as usize].door == Door::Open {
            self.reset_by(ix, 1 - side);
            return;
        }
        let flow = flow_of(ix, side);
        let way = &mut self.ways[flow.0 as usize];
        let idle = way.is_idle();
        if idle && way.passage != Passage::Cut && parcel.bytes <= PACKET_BYTES && !parcel.tell {
            let [from, to] = if side == 0 { conn.hosts } else { [conn.hosts[1], conn.hosts[0]] };
            self.hosts[from as usize].owed[0] += parcel.bytes;
            self.hosts[to as usize].owed[1] += parcel.bytes;
            let (up, down) = (self.hosts[from as usize].up, self.hosts[to as usize].down);
            let mut rate = self.fair.capacity(up).min(self.fair.capacity(down));
            for (hop, crossed) in self.crossed(from, to).into_iter().enumerate() {
                if let Some((site, link)) = crossed {
                    self.sites[site].owed[hop] += parcel.bytes;
                    rate = rate.min(self.fair.capacity(link));
                }
            }
            let after = (parcel.bytes * PARTS).div_ceil(rate.max(1)) + parcel.delay;
            let at = Time::from_nanos(self.now.as_nanos().saturating_add(after));
            self.depart(ix, side, parcel.freight, at);
            return;
        }
        let progress = &mut self.progress[flow.0 as usize];
        let taken = way.push(parcel, progress, self.now);
        if idle {
            let passes = way.passage != Passage::Cut;
            self.begin(ix, side);
            if passes {
                self.start_flow(ix, side);
            }
        } else if way.flows {
            self.leaving.set(flow.0, progress.next_at());
        }
        if taken {
            self.plan(0, Planned::Take(ix, side as u8));
        }
    }

    /// The first message in the queue of a way begins, with the packets that its links owe.
    pub(super) fn begin(&mut self, ix: ConnIx, side: Side) {
        let hosts = self.conns[ix as usize].hosts;
        let (from, to) = (hosts[side], hosts[1 - side]);
        let up = std::mem::take(&mut self.hosts[from as usize].owed[0]);
        let down = std::mem::take(&mut self.hosts[to as usize].owed[1]);
        let mut owed = up.max(down);
        for (hop, crossed) in self.crossed(from, to).into_iter().enumerate() {
            if let Some((site, _)) = crossed {
                owed = owed.max(std::mem::take(&mut self.sites[site].owed[hop]));
            }
        }
        let flow = flow_of(ix, side);
        let way = &mut self.ways[flow.0 as usize];
        let progress = &mut self.progress[flow.0 as usize];
        way.begin(owed, progress, self.now);
        if way.flows {
            self.leaving.set(flow.0, progress.next_at());
        }
    }

    pub(super) fn start_flow(&mut self, ix: ConnIx, side: Side) {
        if std::mem::replace(&mut self.way(ix, side).flows, true) {
            return;
        }
        let conn = &self.conns[ix as usize];
        let (from, to) = (conn.hosts[side], conn.hosts[1 - side]);
        let ends = [self.hosts[from as usize].up, self.hosts[to as usize].down];
        let sites = self.crossed(from, to).into_iter().flatten().map(|(_, link)| link);
        let flow = flow_of(ix, side);
        self.fair.start(flow, ends.into_iter().chain(sites), conn.caps[side]);
        self.progress[flow.0 as usize].change_rate(0, self.now);
        self.settled = false;
    }

    pub(super) fn stop_flow(&mut self, ix: ConnIx, side: Side) {
        if std::mem::take(&mut self.way(ix, side).flows) {
            let flow = flow_of(ix, side);
            self.progress[flow.0 as usize].rest(self.now);
            self.fair.end(flow);
            self.leaving.set(flow.0, Time::FAR_FUTURE);
            self.settled = false;
        }
    }

    /// What waits to be sent by the end `side` never will be.
    pub(super) fn empty(&mut self, ix: ConnIx, side: Side) {
        self.way(ix, side).clear();
        self.stop_flow(ix, side);
    }
}
