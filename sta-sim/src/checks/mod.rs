//! What is watched in a run: one rule per file, all fed from the one stream of a [`RunLog`].
//!
//! A rule sees every entry together with the [`Account`] (who runs, who holds what, which faults are in force) and
//! says at the end whether it held, what it measured, and what it found. Rules never look at the engine: whatever they
//! claim can be read again in `events.jsonl`, at the line a finding names. Safety rules ([`watched`]) are watched in
//! every run; the others judge an expectation of the scenario ([`for_expectation`]).
//!
//! [`RunLog`]: crate::runlog::RunLog

use std::time::Duration;

use serde::Serialize;
use sta_core::model::ids::NodeId;
use sta_core::model::time::Time;

use crate::runlog::{Detail, Entry};
use crate::scenario::plan::{Check, Expectation};

pub mod account;
pub mod bounds;
pub mod economy;
pub mod fairness;
mod few;
pub mod happens;
pub mod integrity;
pub mod liveness;
pub mod manners;
pub mod registry;
#[cfg(test)]
pub(crate) mod story;

pub use account::Account;

/// Findings kept per rule; the rest is counted. A broken run breaks a rule thousands of times, for one reason.
pub const FINDINGS_MAX: usize = 10;

/// A rule, watching a run.
pub trait Rule: Send {
    /// The next entry. `account` knows it already.
    fn see(&mut self, entry: &Entry, account: &Account);

    /// The run is over.
    fn finish(&mut self, account: &Account) -> Judgement;

    /// How much must be in a log for the rule to mean anything.
    fn needs(&self) -> Detail {
        Detail::Milestones
    }

    /// With how much detail it looks at what happens. Of entries that logs of this detail leave out it need not be told: they are
    /// nearly all.
    fn sees(&self) -> Detail {
        self.needs()
    }
}

/// What `rule` says at the end, if the log was such that it can say something.
pub fn conclude(rule: &mut dyn Rule, account: &Account) -> Judgement {
    if account.detail() >= rule.needs() {
        return rule.finish(account);
    }
    Judgement::unasked(match rule.needs() {
        Detail::Blocks => "single blocks are not in the log of a run so large",
        _ => "single pieces are not in the log of a run so large",
    })
}

/// Whether something held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "held", content = "why", rename_all = "kebab-case")]
pub enum Held {
    /// It did.
    Yes,
    /// It did not.
    No,
    /// It was never put to the test, and why: not a pass.
    Unasked(String),
}

/// What a rule says at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// Whether it held.
    #[serde(flatten)]
    pub held: Held,
    /// What was measured, for a person: `1.31 times the bound`. May be empty.
    pub measured: String,
    /// Where it did not hold: earliest first, or the worst first where each is about another host.
    pub findings: Vec<Finding>,
    /// How many more there were.
    pub more: u64,
}

/// Something that ought not to have happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// When.
    pub at: Time,
    /// At whom.
    pub who: Option<NodeId>,
    /// What, as one sentence without its end.
    pub what: String,
    /// The line of `events.jsonl` that shows it, counted from 1.
    pub line: u64,
}

/// Collects findings, as many as are kept.
#[derive(Debug, Default)]
pub struct Findings {
    list: Vec<Finding>,
    more: u64,
}

impl Findings {
    /// Adds a finding about what has just happened.
    pub fn add(&mut self, account: &Account, who: Option<&NodeId>, what: impl FnOnce() -> String) {
        self.add_at(account.now(), account.line(), who, what);
    }

    /// Adds a finding about another moment.
    pub fn add_at(
        &mut self,
        at: Time,
        line: u64,
        who: Option<&NodeId>,
        what: impl FnOnce() -> String,
    ) {
        if self.list.len() < FINDINGS_MAX {
            self.list.push(Finding { at, who: who.cloned(), what: what(), line });
        } else {
            self.more += 1;
        }
    }

    /// How many there are, those that were not kept included.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.list.len() as u64 + self.more
    }

    /// Held if nothing was found; the earliest finding first.
    #[must_use]
    pub fn judge(&mut self, measured: String) -> Judgement {
        self.list.sort_by_key(|finding| (finding.at, finding.line));
        self.judge_in_order(measured)
    }

    /// Held if nothing was found; the findings in the order in which they were added.
    #[must_use]
    pub fn judge_in_order(&mut self, measured: String) -> Judgement {
        let held = if self.list.is_empty() { Held::Yes } else { Held::No };
        let findings = std::mem::take(&mut self.list);
        Judgement { held, measured, findings, more: self.more }
    }
}

impl Judgement {
    /// Not put to the test.
    #[must_use]
    pub fn unasked(why: &str) -> Self {
        Self {
            held: Held::Unasked(why.to_owned()),
            measured: String::new(),
            findings: vec![],
            more: 0,
        }
    }
}

/// The rules of every run, with the names that `must-fail` knows them by.
#[must_use]
pub fn watched() -> Vec<(&'static str, Box<dyn Rule>)> {
    vec![
        ("integrity", Box::new(integrity::Integrity::default())),
        ("manners", Box::new(manners::Manners::default())),
        ("bounds", Box::new(bounds::Bounds::default())),
    ]
}

/// The rule that judges an expectation.
#[must_use]
pub fn for_expectation(expectation: &Expectation) -> Box<dyn Rule> {
    match expectation.check.clone() {
        Check::Complete { hosts, within, since } => {
            Box::new(liveness::Complete::new(hosts, within, since))
        }
        Check::Stall { hosts, at_most } => Box::new(liveness::Stall::new(hosts, at_most)),
        Check::Recovery { hosts, after, within } => {
            Box::new(liveness::Recovery::new(hosts, after, within))
        }
        Check::Makespan { at_most } => Box::new(liveness::Makespan::new(at_most)),
        Check::Integrity => Box::new(integrity::Integrity::default()),
        Check::Manners => Box::new(manners::Manners::default()),
        Check::Waste { hosts, at_most } => Box::new(economy::Waste::new(hosts, at_most)),
        Check::Copies { hosts, at_most } => Box::new(economy::Copies::new(hosts, at_most)),
        Check::Fairness { hosts, at_least } => Box::new(fairness::Fairness::new(hosts, at_least)),
        Check::TrackerRequests { per_1000s } => Box::new(registry::Requests::new(per_1000s)),
        Check::Registry { within } => Box::new(registry::Registry::new(within)),
        Check::Connections { at_most } => Box::new(bounds::Connections::new(at_most)),
        Check::Happens { event, at_least, at_most } => {
            Box::new(happens::Happens::new(event, at_least, at_most))
        }
    }
}

/// Whether a rule of this name asks that something good happens, rather than that nothing bad does: a run that breaks
/// only such rules was safe, but not live.
#[must_use]
pub fn asks_for_progress(name: &str) -> bool {
    matches!(name, "complete" | "stall" | "recovery" | "makespan")
}

/// A time for a person: `41.250s`.
#[must_use]
pub fn seconds(time: Duration) -> String {
    format!("{}.{:03}s", time.as_secs(), time.subsec_millis())
}

/// Parts per million as a percentage, rounded to two digits from one percent on: `2.5%`, `0.0125%`.
#[must_use]
pub fn percent(ppm: u64) -> String {
    let ppm = if ppm < 10_000 { ppm } else { rounded(ppm, 100) };
    let text = format!("{}.{:04}", ppm / 10_000, ppm % 10_000);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Parts per million as a percentage, rounded to one digit: `99.9%`. For a reader who compares nothing with it.
#[must_use]
pub fn percent_brief(ppm: u64) -> String {
    percent(rounded(ppm, 1_000))
}

/// Parts per million as a factor, rounded to two digits: `1.31`.
#[must_use]
pub fn factor(ppm: u64) -> String {
    let ppm = rounded(ppm, 10_000);
    format!("{}.{:02}", ppm / 1_000_000, ppm % 1_000_000 / 10_000)
}

/// `value` to the nearest multiple of `to`.
const fn rounded(value: u64, to: u64) -> u64 {
    value.saturating_add(to / 2) / to * to
}

/// `part / whole` in parts per million, rounded down and saturating; `None` of nothing.
#[must_use]
pub fn ppm(part: u128, whole: u128) -> Option<u64> {
    let scaled = part.checked_mul(1_000_000)?.checked_div(whole)?;
    Some(u64::try_from(scaled).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::{factor, percent, percent_brief};

    #[test]
    fn shares_are_rounded_to_the_nearest() {
        for (ppm, brief, exact) in [
            (0, "0%", "0%"),
            (125, "0%", "0.0125%"),
            (6_500, "0.7%", "0.65%"),
            (999_449, "99.9%", "99.94%"),
            (999_500, "100%", "99.95%"),
            (1_000_000, "100%", "100%"),
        ] {
            assert_eq!((percent_brief(ppm).as_str(), percent(ppm).as_str()), (brief, exact));
        }
        let factors = [2_014_999, 2_015_000, 1_999_999, u64::MAX].map(factor);
        assert_eq!(factors[..3], ["2.01", "2.02", "2.00"]);
    }
}
