//! What a world lets others see of a run: the driver, enough for conditions, selectors and for sparing the last copy; and a person
//! who waits for its end.

use std::time::Duration;

use sta_core::model::bitfield::Bitfield;
use sta_core::model::time::Time;

use super::plan::{ContentIx, HostIx, Plan};

/// How far a host is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes verified and kept, of all contents it takes part in.
    pub have: u64,
    /// Bytes of all of them.
    pub of: u64,
}

impl Progress {
    /// Whether nothing is missing.
    #[must_use]
    pub const fn is_complete(self) -> bool {
        self.have >= self.of
    }
}

/// A run, seen from outside. Answers must not depend on anything but what has happened in the world.
pub trait View {
    /// How far `host` is. What a stopped host keeps on its disk counts; zero of zero for a tracker.
    fn progress(&self, host: HostIx) -> Progress;

    /// The pieces of `content` that `host` holds, verified; `None` if it takes no part in it.
    fn holds(&self, host: HostIx, content: ContentIx) -> Option<&Bitfield>;

    /// How many events of this kind (its tag in the log, `piece-failed`) have happened.
    fn happened(&self, kind: &str) -> u64;
}

/// How often an [`Onlooker`] is shown a run, in its own time.
pub const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Whoever looks on while a run goes. It changes nothing.
pub trait Onlooker: Sync {
    /// The run of `plan` has come to `now`. Called every [`LOOK_EVERY`] or so.
    fn look(&self, plan: &Plan, now: Time, view: &dyn View);
}
