//! How long to wait before trying again: doubling, up to a cap, with jitter.
//!
//! It does not know what is being tried. Invariant: the `n`-th wait since the last [`Backoff::reset`] lies between half
//! and all of `min(cap, first * 2^n)`. The lower half keeps a service that is back from being asked too soon, the random
//! upper half keeps a thousand nodes that lost it together from coming back together.

use std::time::Duration;

use rand::Rng as _;

use crate::model::rng::Rng;

/// A series of waits.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
    failures: u32,
    rng: Rng,
}

impl Backoff {
    /// Waits that begin with about `first` and grow to about `cap`, drawn from `rng`.
    #[must_use]
    pub const fn new(first: Duration, cap: Duration, rng: Rng) -> Self {
        Self { first, cap, failures: 0, rng }
    }

    /// One more failure: how long to wait before the next try.
    pub fn wait(&mut self) -> Duration {
        let factor = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        let whole = self.first.saturating_mul(factor).min(self.cap);
        let nanos = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.rng.random_range(nanos / 2..=nanos))
    }

    /// It worked: the next wait is a first one again.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Backoff;
    use crate::model::rng::Seed;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn waits_double_up_to_the_cap_and_start_anew_after_a_success() {
        for seed in 0..50 {
            let mut backoff = Backoff::new(ms(500), ms(3_000), Seed(seed).stream("backoff"));
            for round in 0..2 {
                for whole in [500, 1_000, 2_000, 3_000, 3_000].map(ms) {
                    let wait = backoff.wait();
                    assert!((whole / 2..=whole).contains(&wait), "{wait:?} of {whole:?}, {round}");
                }
                backoff.reset();
            }
        }
    }

    #[test]
    fn two_nodes_do_not_wait_alike() {
        let wait = |name| Backoff::new(ms(500), ms(3_000), Seed(1).stream(name)).wait();
        assert_eq!(wait("node/1"), wait("node/1"));
        assert_ne!(wait("node/1"), wait("node/2"));
    }

    #[test]
    fn failing_for_ever_overflows_nothing() {
        let mut backoff = Backoff::new(ms(500), Duration::MAX, Seed(1).stream("backoff"));
        for _ in 0..200 {
            backoff.wait();
        }
        assert!(backoff.wait() > Duration::from_secs(1 << 30));
    }
}
