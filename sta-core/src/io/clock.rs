//! The only place that asks what time it is.

use crate::model::time::Time;

/// Tells the time. Real nodes read a monotonic clock, worlds tell theirs.
pub trait Clock: Send + Sync + 'static {
    /// The moment it is; never before one that was told earlier.
    fn now(&self) -> Time;
}

/// The runtime's clock: monotonic on a real machine, simulated where the runtime's time is.
#[derive(Clone, Copy, Debug)]
pub struct RuntimeClock {
    start: tokio::time::Instant,
}

impl RuntimeClock {
    /// A clock whose [`Time::ZERO`] is now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one reading of the clock")]
    pub fn start() -> Self {
        Self { start: tokio::time::Instant::now() }
    }
}

impl Clock for RuntimeClock {
    #[expect(clippy::disallowed_methods, reason = "the one reading of the clock")]
    fn now(&self) -> Time {
        Time::ZERO + tokio::time::Instant::now().duration_since(self.start)
    }
}
