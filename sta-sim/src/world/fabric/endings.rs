//! How a connection ends: in order, by a reset, or because nobody is left.

use super::flow::{End, Fin};
use super::{Event, Fabric, FlowId};

impl Fabric {
    pub(super) fn send_fin(&mut self, id: FlowId) {
        if let Some(flow) = self.flows[id].as_deref_mut() {
            flow.fin = Fin::Sent;
            self.travel(id, 0, Event::FinArrives { flow: id });
        }
    }

    pub(super) fn fin_arrives(&mut self, id: FlowId) {
        let Some(flow) = self.flows[id].as_deref() else { return };
        let (from, to) = (flow.from, flow.to);
        if self.parks(from, to, Event::FinArrives { flow: id }) {
            return;
        }
        if let Some(flow) = self.flows[id].as_deref_mut() {
            flow.fin = Fin::Arrived;
            flow.wake_reader();
        }
    }

    /// The receiver of `id` tells its sender that the connection is no more.
    pub(super) fn send_reset(&mut self, id: FlowId) {
        let Some(flow) = self.flows[id].as_deref() else { return };
        let delay = self.links[flow.to][flow.from].delay(0);
        self.schedule(self.now + delay, Event::ResetArrives { flow: id });
    }

    pub(super) fn reset_arrives(&mut self, id: FlowId) {
        let Some(flow) = self.flows[id].as_deref() else { return };
        let (from, to) = (flow.to, flow.from);
        if !self.parks(from, to, Event::ResetArrives { flow: id }) {
            self.break_sender(id);
        }
    }

    /// The end that sends on `id` finds the connection broken.
    pub(super) fn break_sender(&mut self, id: FlowId) {
        if let Some(flow) = self.flows[id].as_deref_mut() {
            flow.sender_broken = true;
            flow.wake_writer();
        }
        if let Some(back) = self.flows[id ^ 1].as_deref_mut() {
            back.receiver_broken = true;
            back.wake_reader();
        }
    }

    /// The end that sends on `out` has let go of one half, perhaps of the last.
    pub(super) fn let_go(&mut self, out: FlowId) {
        let (Some(flow), Some(back)) = (self.flows[out].as_deref(), self.flows[out ^ 1].as_deref())
        else {
            return;
        };
        if flow.sender == End::Held || back.receiver == End::Held {
            return;
        }
        if flow.receiver != End::Held && back.sender != End::Held {
            // Nobody is left to see what comes of it.
            self.unclaimed.retain(|_, unclaimed| *unclaimed != out & !1);
            (self.flows[out], self.flows[out ^ 1]) = (None, None);
        } else if back.delivered > back.consumed && !back.receiver_broken {
            // Closing with bytes unread tells the other side that they were lost (RFC 9293, 3.10.4).
            self.send_reset(out ^ 1);
        }
    }
}
