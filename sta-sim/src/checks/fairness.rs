//! Whether some are served much better than others: Jain's index of download rates.
//!
//! The index of `x` is `(sum x)^2 / (n * sum x^2)` (Jain, Chiu, Hawe 1984): 1 where all are equal, `1/n` where one has
//! everything. A host's rate is the bytes it lacked when it joined, over the time until it had them; one that never
//! finished counts with the bytes it got over all of its time, unless it is gone: then nobody owes it anything.

use super::liveness::is_lost;
use super::{Account, Findings, Judgement, Rule, percent, ppm};
use crate::runlog::Entry;
use crate::scenario::plan::HostIx;
use crate::scenario::units::Ppm;

/// Fairness of download rates.
pub struct Fairness {
    hosts: Vec<HostIx>,
    at_least: Ppm,
}

impl Fairness {
    /// An index of at least this.
    #[must_use]
    pub const fn new(hosts: Vec<HostIx>, at_least: Ppm) -> Self {
        Self { hosts, at_least }
    }
}

/// Jain's index in parts per million; `None` if nobody got anything.
#[must_use]
pub fn jain(shares: &[u64]) -> Option<u64> {
    let sum: u128 = shares.iter().map(|&x| u128::from(x)).sum();
    let squares: u128 = shares.iter().map(|&x| u128::from(x) * u128::from(x)).sum();
    ppm(sum * sum, squares * shares.len() as u128)
}

/// A host's mean download rate in bytes per second; `None` if it lacked nothing, never started, or is gone without having
/// had everything.
#[must_use]
pub fn download_rate(account: &Account, host: HostIx) -> Option<u64> {
    if is_lost(account, host) {
        return None;
    }
    let seen = &account.hosts()[host];
    let (mut bytes, mut until) = (0, seen.first_start?);
    for (content, part) in &seen.parts {
        let layout = account.plan().contents[*content].layout;
        let lacked = part.wanted.unwrap_or(0);
        let missing: u64 = (0..layout.pieces())
            .filter(|piece| !part.have.contains(*piece))
            .map(|piece| u64::from(layout.piece_len(piece)))
            .sum();
        bytes += lacked.saturating_sub(missing);
        if lacked > 0 {
            until = until.max(part.complete.unwrap_or_else(|| account.now()));
        }
    }
    let nanos = until.since(seen.first_start?).as_nanos();
    let lacked_something =
        seen.parts.values().any(|part| part.wanted.is_some_and(|bytes| bytes > 0));
    let rate = (u128::from(bytes) * 1_000_000_000).checked_div(nanos)?;
    lacked_something.then(|| u64::try_from(rate).unwrap_or(u64::MAX))
}

impl Rule for Fairness {
    fn see(&mut self, _: &Entry, _: &Account) {}

    fn finish(&mut self, account: &Account) -> Judgement {
        let rates: Vec<(u64, HostIx)> = self
            .hosts
            .iter()
            .filter_map(|&host| Some((download_rate(account, host)?, host)))
            .collect();
        let shares: Vec<u64> = rates.iter().map(|(rate, _)| *rate).collect();
        let Some(index) = jain(&shares) else {
            return Judgement::unasked("none of these hosts downloaded anything");
        };
        let mut findings = Findings::default();
        if index < self.at_least.0.into() {
            let slowest = rates.iter().min().expect("an index needs a share");
            findings.add(account, Some(account.id(slowest.1)), || {
                let least = percent(self.at_least.0.into());
                format!(
                    "fairness is {}, less than {least}; the slowest, {}, got {} bytes per second",
                    percent(index),
                    account.id(slowest.1),
                    slowest.0
                )
            });
        }
        findings.judge(percent(index))
    }
}

#[cfg(test)]
mod tests {
    use super::{Fairness, jain};
    use crate::checks::Held;
    use crate::checks::story::{LEECHES, breaks, holds, judge};
    use crate::scenario::units::Ppm;

    #[test]
    fn the_index_is_jains() {
        assert_eq!(jain(&[5, 5, 5]), Some(1_000_000));
        assert_eq!(jain(&[9, 0, 0]), Some(333_333));
        assert_eq!(jain(&[1, 3]), Some(800_000));
        assert_eq!(jain(&[0]), None);
        assert_eq!(jain(&[]), None);
    }

    #[test]
    fn equal_times_are_fair_and_a_straggler_is_named() {
        let rule = || Box::new(Fairness::new(LEECHES.collect(), Ppm(900_000)));
        let one = |who: &str, at: u32| {
            format!("0 {who} added 0/1 | {at} {who} verified 0 | {at} {who} complete")
        };
        assert_eq!(
            holds(rule(), &format!("{} | {}", one("leech-0", 500), one("leech-1", 500))).measured,
            "100%"
        );
        let slow = format!("{} | {}", one("leech-0", 500), one("leech-1", 5_000));
        breaks(rule(), &slow, "the slowest, leech-1, got 13107 bytes per second");
        let never = format!("0 leech-1 added 0/1 | {}", one("leech-0", 500));
        breaks(rule(), &never, "the slowest, leech-1, got 0 bytes per second");
        assert!(matches!(judge(rule(), "0 seed-0 added 1/1").held, Held::Unasked(_)));
    }

    #[test]
    fn who_is_gone_without_having_had_everything_is_left_out() {
        let rule = || Box::new(Fairness::new(LEECHES.collect(), Ppm(900_000)));
        let others = "0 leech-1 added 0/1 | 500 leech-1 verified 0 | 500 leech-1 complete";
        let gone = format!("0 leech-0 added 0/1 | {others} | 600 leech-0 dies");
        for lingers in [700, 50_000] {
            let story = format!("{gone} | {lingers} seed-0 announced 0");
            assert_eq!(holds(rule(), &story).measured, "100%");
        }
        breaks(rule(), &format!("{gone} | 700 leech-0 added 0/1"), "the slowest, leech-0,");
        let done = "0 leech-0 added 0/1 | 5000 leech-0 verified 0 | 5000 leech-0 complete";
        let went = format!("{others} | {done} | 6000 leech-0 stopped");
        breaks(rule(), &went, "the slowest, leech-0, got 13107 bytes");
    }
}
