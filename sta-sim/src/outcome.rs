//! The result of a run: what was asked, what held, what was found and measured. With the hashes of the log this is `report.json`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sta_core::model::ids::NodeId;
use sta_core::model::time::Time;

use crate::checks::{Finding, Held, Judgement};
use crate::figures::Figures;
use crate::runlog::{Ended, Hashes};
use crate::scenario::driver::Origin;
use crate::scenario::plan::World;
use crate::scenario::portion::Portion;

/// The version of `report.json`.
pub const SCHEMA: u32 = 2;

/// A judged run.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What the scenario calls itself.
    pub scenario: String,
    /// What it proves.
    pub about: String,
    /// The seed.
    pub seed: u64,
    /// Where it ran.
    pub world: World,
    /// Whether another run of the seed gives the same hash. Not in the tcp world, which runs in real time.
    pub repeats: bool,
    /// The cell of the matrix.
    pub cell: Vec<(String, String)>,
    /// What came of it.
    pub verdict: Verdict,
    /// The check that had to fail, if the scenario tests a check.
    pub must_fail: Option<String>,
    /// What the scenario expected.
    pub expectations: Vec<Judged>,
    /// What is watched in every run.
    pub watched: Vec<Judged>,
    /// What panicked. A run with one has failed.
    pub panics: Vec<Finding>,
    /// What was done to the swarm, in order.
    pub faults: Vec<FaultSeen>,
    /// The events of the timeline, and the random faults that this seed has, that had not begun when the run ended.
    pub never_began: Vec<String>,
    /// How often each kind of event happened.
    pub happened: BTreeMap<String, u64>,
    /// Figures of the whole swarm.
    pub measures: Measures,
    /// Figures of each node and group, if they were asked for.
    #[serde(flatten)]
    pub figures: Option<Figures>,
    /// Why it ended.
    pub ended: Ended,
    /// When it ended, in the world's time: nanoseconds.
    pub end: Time,
    /// Entries in the log.
    pub events: u64,
    /// How long it took on this machine. The only part that differs between two runs of one seed.
    #[serde(serialize_with = "nanos")]
    pub wall: Duration,
}

/// A duration as all times are in JSON: in whole nanoseconds.
fn nanos<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).serialize(serializer)
}

/// The same where there may be none.
pub(crate) fn some_nanos<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => nanos(duration, serializer),
        None => serializer.serialize_none(),
    }
}

/// What [`some_nanos`] has written.
fn of_some_nanos<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_nanos))
}

/// An outcome as programs read it: `report.json`, and a line of `--json`.
#[derive(Clone, Debug, Serialize)]
pub struct Told<'a> {
    #[serde(flatten)]
    outcome: &'a Outcome,
    #[serde(flatten)]
    hashes: &'a Hashes,
}

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// What was asked held. Where a check had to fail, it did.
    Passed,
    /// Nothing was broken, but something that was asked was never put to the test.
    Unproved,
    /// Nothing bad happened, but something good did not.
    NotLive,
    /// What was asked did not hold.
    Failed,
}

impl Verdict {
    /// Whether something is wrong. What one run did not put to the test another may.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::NotLive | Self::Failed)
    }
}

/// Something asked for, and what was said of it.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    /// `complete`, `integrity`, ...
    pub name: String,
    /// As a person reads it.
    pub text: String,
    /// Whether it only warns.
    pub warn_only: bool,
    /// In how many runs of a sweep it must hold, if not in each: what one run said of it is then no failure.
    #[serde(rename = "in")]
    pub portion: Option<Portion>,
    /// What was said.
    #[serde(flatten)]
    pub judgement: Judgement,
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FaultSeen {
    /// As in the driver's log.
    pub id: String,
    /// What wanted it.
    pub origin: Origin,
    /// What was done.
    pub verb: String,
    /// To whom.
    pub on: Vec<NodeId>,
    /// The other side of a network fault.
    pub against: Vec<NodeId>,
    /// When.
    pub began: Time,
    /// When it was undone, if it was.
    pub ended: Option<Time>,
    /// What it touched; 0 has proved nothing.
    pub touched: u64,
}

/// Figures of the whole swarm; `None` where there is nothing to measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measures {
    /// When the last node had everything.
    pub makespan: Option<Time>,
    /// The least time of any schedule.
    #[serde(serialize_with = "some_nanos", deserialize_with = "of_some_nanos")]
    pub bound: Option<Duration>,
    /// Makespan over bound, in parts per million.
    pub over_bound: Option<u64>,
    /// Payload received in vain over payload needed, in parts per million.
    pub waste: Option<u64>,
    /// Jain's index of download rates, in parts per million.
    pub fairness: Option<u64>,
    /// The longest time that a node lacking something got nothing.
    #[serde(serialize_with = "some_nanos", deserialize_with = "of_some_nanos")]
    pub stall: Option<Duration>,
    /// Messages that trackers received.
    pub tracker_messages: u64,
    /// Nodes that were to download and are there, and how many of them have everything.
    pub complete: (u32, u32),
    /// Nodes that were to download and are gone without having had everything.
    pub gone: u32,
}

impl FaultSeen {
    /// Whether the other side of a network fault is all of the `hosts` of the scenario that it is not on.
    #[must_use]
    pub const fn is_against_everybody_else(&self, hosts: usize) -> bool {
        !self.against.is_empty() && self.on.len() + self.against.len() >= hosts
    }
}

impl Judged {
    /// Whether the run has failed if it does not hold, and proves nothing if it was not put to the test.
    #[must_use]
    pub const fn is_for_each_run(&self) -> bool {
        !self.warn_only && self.portion.is_none()
    }

    /// Whether it did not hold, and that matters.
    #[must_use]
    pub fn fails(&self) -> bool {
        self.judgement.held == Held::No && self.is_for_each_run()
    }

    /// Whether it did not hold, and is only reported.
    #[must_use]
    pub fn warns(&self) -> bool {
        self.judgement.held == Held::No && self.warn_only
    }
}

impl Outcome {
    /// The run by itself, and not as one of a sweep: what only many runs can tell has not been put to the test.
    #[must_use]
    pub fn alone(mut self) -> Self {
        if self.verdict == Verdict::Passed && self.of_many().next().is_some() {
            self.verdict = Verdict::Unproved;
        }
        self
    }

    /// What must hold in so many runs of a sweep.
    pub fn of_many(&self) -> impl Iterator<Item = (&Judged, Portion)> {
        self.expectations.iter().filter_map(|judged| Some((judged, judged.portion?)))
    }

    /// With the hashes of its log.
    #[must_use]
    pub const fn told<'a>(&'a self, hashes: &'a Hashes) -> Told<'a> {
        Told { outcome: self, hashes }
    }

    /// Everything that was asked, the scenario's own first.
    pub fn judged(&self) -> impl Iterator<Item = &Judged> {
        self.expectations.iter().chain(&self.watched)
    }

    /// The findings that made the run fail, each with the name of its check; panics first, then the check that broke
    /// first, with its findings in its own order.
    #[must_use]
    pub fn failures(&self) -> Vec<(&str, &Finding)> {
        let mut broken: Vec<&Judged> = self.judged().filter(|judged| judged.fails()).collect();
        broken.sort_by_key(|judged| judged.judgement.findings.iter().map(|found| found.at).min());
        let found = broken
            .into_iter()
            .flat_map(|judged| judged.judgement.findings.iter().map(|f| (judged.name.as_str(), f)));
        self.panics.iter().map(|finding| ("panic", finding)).chain(found).collect()
    }

    /// What did not hold and is only reported, what had to fail left out.
    pub fn warnings(&self) -> impl Iterator<Item = &Judged> {
        let had_to = |judged: &Judged| self.must_fail.as_ref() == Some(&judged.name);
        self.expectations.iter().filter(move |judged| judged.warns() && !had_to(judged))
    }

    /// Planned and drawn faults that touched nothing.
    pub fn idle_faults(&self) -> impl Iterator<Item = &FaultSeen> {
        self.faults.iter().filter(|fault| {
            fault.touched == 0 && matches!(fault.origin, Origin::Event(_) | Origin::Fault(_))
        })
    }

    /// What of the scenario's faults proved nothing, each as a sentence without its end: what never began first.
    pub fn idle(&self) -> impl Iterator<Item = String> {
        let never = self.never_began.iter().map(|id| format!("{id} never began"));
        let nothing =
            |fault: &FaultSeen| format!("{} at {} touched nothing", fault.id, fault.began);
        never
            .chain(self.idle_faults().map(nothing))
            .map(|what| format!("{what}: it proved nothing"))
    }

    /// One line that is the same for all runs that failed for the same reason: check, and what was found with its
    /// numbers taken out. `None` if the run did not fail.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        match self.verdict {
            Verdict::Passed => None,
            Verdict::Unproved => {
                let unasked = |judged: &&Judged| {
                    matches!(judged.judgement.held, Held::Unasked(_)) && judged.is_for_each_run()
                };
                let first = self.expectations.iter().find(unasked);
                if let Some(first) = first {
                    return Some(format!("{}: never put to the test: {}", first.name, first.text));
                }
                let (first, _) = self.of_many().next()?;
                Some(format!(
                    "{}: no single run can tell, sta-sim sweep does: {}",
                    first.name, first.text
                ))
            }
            Verdict::NotLive | Verdict::Failed => Some(match self.failures().first() {
                Some((name, finding)) => format!("{name}: {}", without_numbers(&finding.what)),
                None => format!("{}: did not fail, as it had to", self.must_fail.as_deref()?),
            }),
        }
    }
}

/// `text` with every run of digits replaced by `#`.
fn without_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '0'..='9' if out.ends_with('#') => {}
            '0'..='9' => out.push('#'),
            c => out.push(c),
        }
    }
    out.replace("#.#", "#")
}

#[cfg(test)]
mod tests {
    use super::without_numbers;

    #[test]
    fn a_cause_has_no_numbers() {
        let (a, b) = ("leech-3 got nothing for 4.250s", "leech-12 got nothing for 30s");
        assert_eq!(without_numbers(a), "leech-# got nothing for #s");
        assert_eq!(without_numbers(a), without_numbers(b));
    }
}
