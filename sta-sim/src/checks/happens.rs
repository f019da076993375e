//! How often a kind of event happened: `happens` expectations, and the cover of a sweep.

use std::collections::BTreeMap;

use super::{Account, Findings, Judgement, Rule};
use crate::runlog::{Counts, Detail, Entry, Kind};

/// A kind of event happens so often.
pub struct Happens {
    event: String,
    /// What it is, if not a mark.
    kind: Option<Kind>,
    at_least: u64,
    at_most: u64,
    seen: u64,
}

impl Happens {
    /// `event` is its tag in the log, or the name of a mark.
    #[must_use]
    pub fn new(event: String, at_least: u64, at_most: u64) -> Self {
        let kind = Kind::named(&event);
        Self { event, kind, at_least, at_most, seen: 0 }
    }
}

impl Rule for Happens {
    fn needs(&self) -> Detail {
        self.kind.map_or(Detail::Milestones, Kind::detail)
    }

    fn see(&mut self, entry: &Entry, _: &Account) {
        self.seen +=
            u64::from(Some(entry.kind()) == self.kind || entry.mark() == Some(&self.event));
    }

    fn finish(&mut self, account: &Account) -> Judgement {
        let mut findings = Findings::default();
        let Self { event, at_least, at_most, seen, .. } = self;
        if seen < at_least {
            findings.add(account, None, || {
                format!("{event} happened {seen} times, less than {at_least}")
            });
        } else if seen > at_most {
            findings.add(account, None, || {
                format!("{event} happened {seen} times, more than {at_most}")
            });
        }
        findings.judge(format!("{seen} times"))
    }
}

/// Counts every kind of event, and every mark.
#[derive(Clone, Debug, Default)]
pub struct Kinds {
    kinds: Counts,
    marks: BTreeMap<String, u64>,
}

impl Kinds {
    /// The next entry.
    pub fn see(&mut self, entry: &Entry) {
        self.kinds.add(entry.kind());
        if let Some(mark) = entry.mark() {
            *self.marks.entry(mark.clone()).or_default() += 1;
        }
    }

    /// How often each kind happened.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = self.marks.clone();
        for (kind, count) in self.kinds.iter() {
            *counts.entry(kind.to_owned()).or_default() += count;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::{Happens, Kinds};
    use crate::checks::story::{breaks, entries, holds};

    #[test]
    fn between_the_least_and_the_most() {
        let rule = |least, most| Box::new(Happens::new("piece-failed".into(), least, most));
        let twice = "0 leech-0 added 0/2 | 1 leech-0 failed 0 | 2 leech-0 failed 0";
        assert_eq!(holds(rule(1, 2), twice).measured, "2 times");
        breaks(rule(3, u64::MAX), twice, "2 times, less than 3");
        breaks(rule(0, 1), twice, "2 times, more than 1");
    }

    #[test]
    fn kinds_are_counted_by_their_tag() {
        let mut kinds = Kinds::default();
        entries("0 leech-0 added 0/2 | 1 leech-0 failed 0 | 2 leech-0 failed 0")
            .iter()
            .for_each(|e| kinds.see(e));
        assert_eq!(kinds.counts().get("piece-failed"), Some(&2));
        assert_eq!(kinds.counts().get("torrent-added"), Some(&1));
    }
}
