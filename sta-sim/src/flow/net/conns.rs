//! Connections: how they begin, and how they end.

use sta_core::model::limits;
use sta_core::model::time::Time;

use super::{Call, ConnIx, Door, Happening, HostIx, Net, Planned, Side, flow_of};
use crate::flow::way::{Freight, Parcel, Passage, Progress, Way, Why};

#[derive(Debug)]
pub(super) struct Conn {
    pub hosts: [HostIx; 2],
    pub state: State,
    /// Ends that take part: they are told, and may send.
    pub open: [bool; 2],
    /// Ends whose machine went silent.
    pub silent: [bool; 2],
    pub delay: u64,
    pub refused: bool,
    pub caps: [u64; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Dialling,
    /// The dial waits for a way that is held or cut.
    Waiting,
    Open,
    Over,
}

impl<M> Net<M> {
    /// `from` dials `to`. [`Happening::Opened`] or [`Happening::Closed`] follows.
    pub fn dial(&mut self, from: HostIx, to: HostIx, call: Call) -> ConnIx {
        let ix = self.conns.len() as ConnIx;
        self.ways.extend(call.passages.map(Way::new));
        self.conns.push(Conn {
            hosts: [from, to],
            state: State::Dialling,
            open: [true, false],
            silent: [false; 2],
            delay: call.delay,
            refused: call.refused,
            caps: call.caps,
        });
        self.progress.extend([Progress::default(), Progress::default()]);
        for host in [from, to] {
            let list = &mut self.hosts[host as usize].conns;
            // Those that are over go when the list is about to grow: each is looked at twice at the most.
            if list.len() == list.capacity() {
                let conns = &self.conns;
                list.retain(|&conn| conns[conn as usize].state != State::Over);
            }
            list.push(ix);
        }
        self.plan(call.delay, Planned::Knock(ix));
        self.plan(limits::DIAL_TIMEOUT.as_nanos() as u64, Planned::GiveUp(ix));
        ix
    }

    /// A dial reaches the other side.
    pub(super) fn knock(&mut self, ix: ConnIx) {
        let conn = &mut self.conns[ix as usize];
        let dialling = conn.state == State::Dialling;
        let passages = [0, 1].map(|side| self.ways[flow_of(ix, side).0 as usize].passage);
        if !dialling || conn.silent[1] {
            return;
        }
        let door = self.hosts[conn.hosts[1] as usize].door;
        // Behind a cut, or of a machine that is off, it is tried again and again, and at a held door it stands: either way it gets
        // through when that is over.
        if door == Door::Dark || passages.iter().any(|passage| *passage != Passage::Open) {
            conn.state = State::Waiting;
            return;
        }
        let accepted = door == Door::Open && !conn.refused;
        let delay = conn.delay;
        self.plan(delay, Planned::Answer(ix, accepted));
    }

    /// The answer to a dial comes back.
    pub(super) fn answer(&mut self, ix: ConnIx, accepted: bool) -> Option<Happening<M>> {
        let conn = &mut self.conns[ix as usize];
        if conn.state != State::Dialling {
            return None;
        }
        let door = self.hosts[conn.hosts[1] as usize].door;
        if accepted && door == Door::Dark {
            conn.state = State::Waiting;
            return None;
        }
        if !accepted || door != Door::Open {
            conn.state = State::Over;
            return Some(Happening::Closed(ix, 0, Why::Refused));
        }
        (conn.state, conn.open) = (State::Open, [true; 2]);
        self.plan(0, Planned::Accept(ix));
        Some(Happening::Opened(ix))
    }

    /// The side that was dialled knows that it is.
    pub(super) fn accept(&mut self, ix: ConnIx) -> Option<Happening<M>> {
        let conn = &self.conns[ix as usize];
        conn.open[1].then_some(Happening::Accepted(ix))
    }

    /// Nobody has answered for so long that nobody will.
    pub(super) fn give_up(&mut self, ix: ConnIx) -> Option<Happening<M>> {
        let conn = &mut self.conns[ix as usize];
        let dialling = matches!(conn.state, State::Dialling | State::Waiting);
        dialling.then(|| {
            conn.state = State::Over;
            Happening::Closed(ix, 0, Why::TimedOut)
        })
    }

    /// The end `side` closes `conn` after what it has sent; it is told nothing any more.
    pub fn close(&mut self, conn: ConnIx, side: Side) {
        if self.leave(conn, side) {
            let delay = self.conns[conn as usize].delay;
            let freight = Freight::End(Why::Ended);
            self.post(conn, side, Parcel { freight, bytes: 0, delay, tell: false });
        }
    }

    /// The end `side` of `conn` is gone at once, with what waited to be sent; the other learns of it as soon as can be.
    pub fn abort(&mut self, conn: ConnIx, side: Side) {
        if self.leave(conn, side) {
            self.empty(conn, side);
            let at = self.now.as_nanos() + self.conns[conn as usize].delay;
            self.depart(conn, side, Freight::End(Why::Reset), Time::from_nanos(at));
        }
    }

    /// The machine `host` is off: its ends say nothing more, and nothing reaches them.
    pub fn silence(&mut self, host: HostIx) {
        self.hosts[host as usize].door = Door::Dark;
        for conn in self.conns(host) {
            let side = self.side_of(conn, host);
            let state = self.conns[conn as usize].state;
            if side == 1 && state != State::Open {
                // Who dials knows nothing of it, and knocks in vain.
                continue;
            }
            self.conns[conn as usize].open[side] = false;
            self.conns[conn as usize].silent[side] = true;
            self.empty(conn, side);
            if side == 0 && state != State::Open {
                self.conns[conn as usize].state = State::Over;
            } else {
                self.set_passage(conn, 1 - side, Passage::Cut);
            }
        }
    }

    /// The machine `host` is on again and knows nothing of its old connections: those who still use them learn it. Who has dialled
    /// meanwhile gets through.
    pub fn revive(&mut self, host: HostIx) {
        for conn in self.conns(host) {
            let side = self.side_of(conn, host);
            let dialled = &mut self.conns[conn as usize];
            if side == 1 && dialled.state == State::Waiting && !dialled.silent[1] {
                dialled.state = State::Dialling;
                let delay = dialled.delay;
                self.plan(delay, Planned::Knock(conn));
            }
            if self.conns[conn as usize].silent[side] && !self.way(conn, 1 - side).is_idle() {
                self.reset_by(conn, side);
            }
        }
    }

    /// The end `side` takes no part any more. Returns whether there is another end to be told.
    fn leave(&mut self, ix: ConnIx, side: Side) -> bool {
        let conn = &mut self.conns[ix as usize];
        if !std::mem::replace(&mut conn.open[side], false) {
            return false;
        }
        let told = conn.state == State::Open && conn.open[1 - side];
        if !told {
            conn.state = State::Over;
            self.empty(ix, side);
        }
        self.empty(ix, 1 - side);
        told
    }

    /// The machine at the end `side` knows nothing of the connection: the other end learns it.
    pub(super) fn reset_by(&mut self, ix: ConnIx, side: Side) {
        let conn = &mut self.conns[ix as usize];
        conn.silent[side] = false;
        let at = self.now.as_nanos().saturating_add(2 * conn.delay);
        self.way(ix, side).passage = Passage::Open;
        self.empty(ix, 1 - side);
        self.depart(ix, side, Freight::End(Why::Reset), Time::from_nanos(at));
    }

    /// The connections of `host` that are not over, oldest first.
    pub fn conns(&mut self, host: HostIx) -> Vec<ConnIx> {
        let Self { hosts, conns, .. } = self;
        let mine = &mut hosts[host as usize].conns;
        mine.retain(|&conn| conns[conn as usize].state != State::Over);
        mine.clone()
    }
}
