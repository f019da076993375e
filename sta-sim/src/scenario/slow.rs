//! Whether slowing something changes anything: a link of 8 Mbit/s that is limited to 8 Mbit/s is what it was, and excuses nobody.

use std::time::Duration;

use super::effect::Effect;
use super::plan::{HostIx, Plan, SlowPlan, Verb};
use super::units::Ppm;

impl SlowPlan {
    /// Whether it lowers one of these rates.
    #[must_use]
    pub fn limits(&self, up: Option<u64>, down: Option<u64>) -> bool {
        lowers(self.up, up) || lowers(self.down, down)
    }

    /// Whether it adds delay or loss, whatever there is already.
    #[must_use]
    pub fn adds(&self) -> bool {
        self.latency.is_some_and(|latency| latency > Duration::ZERO)
            || self.loss.is_some_and(|loss| loss > Ppm::NONE)
    }
}

impl Verb {
    /// What it does to these hosts. What slows none of them is over as soon as it is done.
    #[must_use]
    pub fn effect_on(&self, plan: &Plan, on: &[HostIx]) -> Effect {
        let slows = on.iter().any(|&host| self.slows(plan, host));
        if slows || on.is_empty() { self.effect() } else { Effect::Once }
    }

    /// Whether the host is slower by it than by itself, where it is of a kind that slows; all others do what they do.
    #[must_use]
    pub fn slows(&self, plan: &Plan, host: HostIx) -> bool {
        let host = &plan.hosts[host];
        match self {
            Self::Slow(slow) => slow.adds() || slow.limits(host.up, host.down),
            Self::DiskSlow { read, write } => {
                lowers(*read, host.disk.read) || lowers(*write, host.disk.write)
            }
            _ => true,
        }
    }
}

/// Whether a limit is less than a rate; what has no rate has no limit either.
fn lowers(limit: Option<u64>, rate: Option<u64>) -> bool {
    limit.is_some_and(|limit| rate.is_none_or(|rate| limit < rate))
}

#[cfg(test)]
mod tests {
    use super::{Effect, Verb};
    use crate::scenario::plan::DiskPlan;
    use crate::scenario::tests::{RIGHT, plan};

    #[test]
    fn what_is_slow_already_is_not_slowed() {
        let (seed, leech) = (1, 2);
        let mut plan = plan(RIGHT, 0);
        plan.hosts[leech].disk =
            DiskPlan { read: Some(1_000), write: None, ..plan.hosts[leech].disk };
        plan.hosts[leech].down = Some(500);
        let slow = |text: &str| {
            let event = format!("[[event]]\nat = \"1s\"\non = \"leech\"\n{text}\n[[event]]");
            let text = RIGHT.replacen("[[event]]", &event, 1);
            crate::scenario::tests::plan(&text, 0).timeline[0].verb.clone()
        };
        for (text, slows) in [
            ("do = \"slow\"\nwith = { up = \"8 Mbit/s\" }", false),
            ("do = \"slow\"\nwith = { up = \"9 Mbit/s\", down = \"500 B/s\" }", false),
            ("do = \"slow\"\nwith = { up = \"7 Mbit/s\" }", true),
            ("do = \"slow\"\nwith = { latency = \"0s\", loss = \"0%\" }", false),
            ("do = \"slow\"\nwith = { up = \"8 Mbit/s\", latency = \"1ms\" }", true),
            ("do = \"disk-slow\"\nwith = { read = \"1 kB/s\" }", false),
            ("do = \"disk-slow\"\nwith = { write = \"1 GB/s\" }", true),
        ] {
            let verb = slow(text);
            assert_eq!(verb.slows(&plan, leech), slows, "{text}");
            let effect = if slows { Effect::Lasts } else { Effect::Once };
            assert_eq!(verb.effect_on(&plan, &[leech]), effect, "{text}");
        }
        let disk = slow("do = \"disk-slow\"\nwith = { read = \"1 kB/s\" }");
        assert_eq!(
            disk.effect_on(&plan, &[seed, leech]),
            Effect::Lasts,
            "the seed is slower by it"
        );
        assert_eq!(Verb::Cut.effect_on(&plan, &[leech]), Effect::Lasts);
    }
}
