//! A machine's disk in the worlds that run the whole stack: how much fits, and how long what is asked of it takes.
//!
//! Its [`DiskQueue`] says when what is done. Of those who wait, the one that has waited longest sleeps until then and wakes
//! the next; a change of speed wakes it, and it sleeps anew.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use sta_core::io::clock::Clock;
use sta_core::io::store::Wait;
use sta_core::model::time::Time;
use tokio::time::Sleep;

use super::disk_queue::{DiskQueue, Request};
use crate::scenario::driver::DiskState;

/// A machine's disk, shared by all its stores.
#[derive(Debug)]
pub struct Disk(Arc<Mutex<Shared>>);

struct Shared {
    queue: DiskQueue<Ticket>,
    capacity: Option<u64>,
    used: u64,
    /// Writes that were refused.
    refused: u64,
    /// The time of the process that runs.
    clock: Option<Arc<dyn Clock>>,
    /// Who waits for what is not done, in the order of asking.
    waiting: BTreeMap<Ticket, Option<Waker>>,
    asked: Ticket,
}

/// The number of a request.
type Ticket = u64;

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disk")
    }
}

impl Disk {
    /// A disk that is so, and on which `capacity` bytes fit.
    #[must_use]
    pub fn new(state: DiskState, capacity: Option<u64>) -> Self {
        let (used, refused, asked) = (0, 0, 0);
        let (queue, waiting) = (DiskQueue::new(state), BTreeMap::new());
        let shared = Shared { queue, capacity, used, refused, clock: None, waiting, asked };
        Self(Arc::new(Mutex::new(shared)))
    }

    /// How it is from now on.
    pub fn set(&self, state: DiskState) {
        let mut shared = lock(&self.0);
        let now = shared.advance();
        shared.queue.set(state, now);
        shared.wake_first();
    }

    /// A process starts, whose time `clock` tells: nothing was asked of the disk yet.
    pub fn restart(&self, clock: Arc<dyn Clock>) {
        let mut shared = lock(&self.0);
        shared.clock = Some(clock);
        shared.queue.forget();
        shared.waiting.clear();
    }

    /// Writes refused since this was last asked.
    pub fn take_refused(&self) -> u64 {
        std::mem::take(&mut lock(&self.0).refused)
    }

    /// Takes room for so many bytes, if there is any.
    pub(super) fn take(&self, bytes: u64) -> bool {
        let mut shared = lock(&self.0);
        let used = shared.used + bytes;
        let fits = !shared.queue.state().full && shared.capacity.is_none_or(|most| used <= most);
        if fits {
            shared.used = used;
        } else {
            shared.refused += 1;
        }
        fits
    }

    /// So many bytes lie there already.
    pub(super) fn hold(&self, bytes: u64) {
        lock(&self.0).used += bytes;
    }

    /// So many bytes are gone.
    pub(super) fn free(&self, bytes: u64) {
        let mut shared = lock(&self.0);
        shared.used = shared.used.saturating_sub(bytes);
    }

    /// Asks for something now; `None` if it takes no time.
    pub(super) fn ask(&self, request: Request) -> Option<Wait> {
        let mut shared = lock(&self.0);
        let now = shared.advance();
        let ticket = shared.asked;
        if shared.queue.ask(request, ticket, now).is_some() {
            return None;
        }
        shared.asked += 1;
        shared.waiting.insert(ticket, None);
        Some(Box::pin(Waiting { shared: Arc::clone(&self.0), ticket, sleep: None }))
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Lets everything be done that is due, each when it was. Says what time it is.
    fn advance(&mut self) -> Time {
        let now = self.clock.as_ref().map_or(Time::ZERO, |clock| clock.now());
        let mut some = false;
        while let Some((at, turn)) = self.queue.due().filter(|(at, _)| *at <= now) {
            let done = self.queue.done(turn, at);
            let waker = done.and_then(|ticket| self.waiting.remove(&ticket)).flatten();
            waker.into_iter().for_each(Waker::wake);
            some = true;
        }
        if some {
            self.wake_first();
        }
        now
    }

    /// Who has waited longest, of those that want to be woken.
    fn first(&self) -> Option<(Ticket, &Waker)> {
        self.waiting.iter().find_map(|(ticket, waker)| Some((*ticket, waker.as_ref()?)))
    }

    fn wake_first(&self) {
        if let Some((_, waker)) = self.first() {
            waker.wake_by_ref();
        }
    }
}

/// The wait for a request.
struct Waiting {
    shared: Arc<Mutex<Shared>>,
    ticket: Ticket,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Future for Waiting {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut shared = lock(&self.shared);
            let now = shared.advance();
            let Some(waker) = shared.waiting.get_mut(&self.ticket) else { return Poll::Ready(()) };
            *waker = Some(cx.waker().clone());
            let is_first = shared.first().is_some_and(|(first, _)| first == self.ticket);
            let due = shared.queue.due().filter(|_| is_first);
            drop(shared);
            // Somebody who is first will wake this one.
            let Some((due, _)) = due else { return Poll::Pending };
            let mut sleep = Box::pin(tokio::time::sleep(due.since(now)));
            let slept = sleep.as_mut().poll(cx);
            self.sleep = Some(sleep);
            std::task::ready!(slept);
        }
    }
}

impl Drop for Waiting {
    /// The disk does it all the same, and the next one waits for that.
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        if shared.waiting.remove(&self.ticket).is_some() {
            shared.wake_first();
        }
    }
}
