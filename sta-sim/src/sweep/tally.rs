//! What many runs add up to: failures by cause, distributions, and what must be true of all runs together.
//!
//! Some things no single run can say: an expectation has to be put to the test by at least one seed, what a scenario wants
//! covered has to happen in at least one, and a fault that touches nothing in any seed proves nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use sta_core::model::time::Time;

use crate::checks::{Finding, Held, asks_for_progress};
use crate::exit::Exit;
use crate::outcome::{Judged, Measures, Outcome, SCHEMA, Verdict};
use crate::scenario::driver::Origin;
use crate::scenario::plan::{Plan, World};
use crate::scenario::portion::{Count, Portion};
use indexmap::IndexMap;

/// Everything that the runs so far add up to.
#[derive(Default)]
pub struct Tally {
    /// By scenario and cell, as written, in the order of their first runs.
    pub rows: IndexMap<String, Row>,
    /// Failures: why, and which runs.
    pub causes: BTreeMap<(String, String), Cause>,
    /// Runs that could not be made, and why.
    pub refused: BTreeMap<String, u64>,
    /// Simulated time of all runs.
    pub simulated: Duration,
    /// Runs made.
    pub runs: u64,
}

/// The runs of one scenario, in one cell of its matrix.
#[derive(Default)]
pub struct Row {
    /// The scenario and its world,
    pub of: String,
    /// and the cell of its matrix, in words; empty without one.
    pub cell: String,
    /// How many ended how.
    pub verdicts: BTreeMap<Verdict, u64>,
    /// Seconds until the last node had everything.
    pub makespan: Vec<f64>,
    /// Makespan over bound.
    pub over_bound: Vec<f64>,
    /// Payload received in vain, as a percentage.
    pub waste: Vec<f64>,
    /// Jain's index, as a percentage.
    pub fairness: Vec<f64>,
    /// Longest stall, in seconds.
    pub stall: Vec<f64>,
    /// Real time, in milliseconds.
    pub wall: Vec<f64>,
    /// What has to happen in at least one run, and in how many it did.
    pub cover: BTreeMap<String, u64>,
    /// Runs in which something did not hold that only warns,
    pub warned_runs: u64,
    /// and what that was, and in how many.
    pub warned: BTreeMap<String, u64>,
    /// What was asked and not yet put to the test by any run.
    pub unasked: BTreeSet<String>,
    /// What must hold in so many runs, and in how many it did; in the order of the file.
    pub portions: Vec<Portioned>,
    /// Planned events and random faults: how often each began, and how often it touched something.
    pub bites: BTreeMap<String, (u64, u64)>,
}

/// What must hold in so many runs of a row.
#[derive(Clone, Debug, Serialize)]
pub struct Portioned {
    /// What, as a person reads it.
    #[serde(rename = "of_many")]
    pub text: String,
    /// The scenario,
    pub scenario: String,
    /// its world,
    pub world: World,
    /// and the cell of its matrix.
    pub cell: Vec<(String, String)>,
    /// The check.
    pub name: String,
    /// In how many it must hold,
    #[serde(rename = "in")]
    pub portion: Portion,
    /// and in how many it did.
    #[serde(flatten)]
    pub count: Count,
}

impl Portioned {
    /// Whether it held.
    #[must_use]
    pub fn held(&self) -> Held {
        self.portion.judge(&self.count)
    }
}

/// Runs that failed for the same reason.
pub struct Cause {
    /// The worst verdict among them.
    pub verdict: Verdict,
    /// Their seeds, in the order in which they ended.
    pub seeds: Vec<u64>,
    /// What the first of them found: the check, and the finding.
    pub found: Option<(String, Finding)>,
    /// Where the first of them was written.
    pub folder: Option<PathBuf>,
    /// The command that replays the first of them.
    pub replay: Option<String>,
    /// Whether its capsule came to the same when it was replayed; `None` if nobody tried.
    pub confirmed: Option<bool>,
}

/// Whether a run is the first of its cause, and so worth a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum New {
    /// It passed, or failed as others had.
    No,
    /// The first of this cause: a key of [`Tally::causes`].
    Cause((String, String)),
}

impl Tally {
    /// Adds a run.
    pub fn add(&mut self, plan: &Plan, outcome: &Outcome) -> New {
        self.runs += 1;
        self.simulated += outcome.end.since(Time::ZERO);
        let name = row_name(&outcome.scenario, outcome.world, &outcome.cell);
        let first = !self.rows.contains_key(&name);
        let row = self.rows.entry(name.clone()).or_insert_with(|| Row {
            of: scenario_name(&outcome.scenario, outcome.world),
            cell: cell_name(&outcome.cell),
            ..Row::default()
        });
        row.add(plan, outcome, first);
        // What no seed has put to the test is judged at the end.
        if !outcome.verdict.is_failure() {
            return New::No;
        }
        let key = (name, outcome.cause().unwrap_or_default());
        let fresh = !self.causes.contains_key(&key);
        let cause = self.causes.entry(key.clone()).or_insert_with(|| Cause {
            verdict: outcome.verdict,
            seeds: vec![],
            found: outcome.failures().first().map(|(name, f)| ((*name).to_owned(), (*f).clone())),
            folder: None,
            replay: None,
            confirmed: None,
        });
        cause.verdict = cause.verdict.max(outcome.verdict);
        cause.seeds.push(outcome.seed);
        if fresh { New::Cause(key) } else { New::No }
    }

    /// Counts a run that could not be made.
    pub fn refuse(&mut self, why: String) {
        self.runs += 1;
        *self.refused.entry(why).or_default() += 1;
    }

    /// Runs that failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        let failures = self.causes.values().map(|cause| cause.seeds.len() as u64).sum::<u64>();
        failures + self.refused.values().sum::<u64>()
    }

    /// What had to hold in so many runs, and whether it did.
    pub fn portions(&self) -> impl Iterator<Item = (&Portioned, Held)> {
        let all = self.rows.values().flat_map(|row| &row.portions);
        all.map(|portioned| (portioned, portioned.held()))
    }

    /// The same for programs, a line each.
    pub fn portion_lines(&self) -> impl Iterator<Item = String> {
        #[derive(Serialize)]
        struct Line<'a> {
            schema: u32,
            #[serde(flatten)]
            portioned: &'a Portioned,
            #[serde(flatten)]
            held: Held,
        }
        self.portions().map(|(portioned, held)| {
            let line = Line { schema: SCHEMA, portioned, held };
            let line = serde_json::to_string(&line).expect("it has no odd map keys");
            format!("{line}\n")
        })
    }

    /// How the program ends.
    #[must_use]
    pub fn exit(&self) -> Exit {
        let lacking = self.rows.values().any(|row| row.lacks().next().is_some());
        let of_verdict = |cause: &Cause| match (cause.confirmed, cause.verdict) {
            (Some(false), _) => Exit::Diverged,
            (_, Verdict::NotLive) => Exit::NotLive,
            (_, Verdict::Passed | Verdict::Unproved | Verdict::Failed) => Exit::Failed,
        };
        if !self.refused.is_empty() {
            return Exit::CouldNotStart;
        }
        let lacks = if lacking { Exit::Failed } else { Exit::Done };
        let portions = self.portions().map(|(portioned, held)| match held {
            Held::Yes => Exit::Done,
            Held::No if asks_for_progress(&portioned.name) => Exit::NotLive,
            Held::No | Held::Unasked(_) => Exit::Failed,
        });
        self.causes.values().map(of_verdict).chain(portions).fold(lacks, Exit::worse)
    }
}

impl Row {
    fn add(&mut self, plan: &Plan, outcome: &Outcome, first: bool) {
        *self.verdicts.entry(outcome.verdict).or_default() += 1;
        self.measure(&outcome.measures, outcome.wall);
        self.look(plan, outcome, first);
    }

    /// Adds what was measured of a run that took `wall` on its machine.
    pub fn measure(&mut self, measures: &Measures, wall: Duration) {
        let percent = |ppm: u64| ppm as f64 / 1e4;
        // Cut to the millisecond, as times are wherever they are printed.
        let secs = |nanos: u128| (nanos / 1_000_000) as f64 / 1e3;
        self.makespan.extend(measures.makespan.map(|at| secs(at.as_nanos().into())));
        self.over_bound.extend(measures.over_bound.map(|ppm| ppm as f64 / 1e6));
        self.waste.extend(measures.waste.map(percent));
        self.fairness.extend(measures.fairness.map(percent));
        self.stall.extend(measures.stall.map(|stall| secs(stall.as_nanos())));
        self.wall.push(wall.as_secs_f64() * 1e3);
    }

    /// How many there are.
    #[must_use]
    pub const fn runs(&self) -> usize {
        self.wall.len()
    }

    /// Adds what a run has put to the test.
    fn look(&mut self, plan: &Plan, outcome: &Outcome, first: bool) {
        for kind in &plan.cover {
            *self.cover.entry(kind.clone()).or_default() +=
                u64::from(outcome.happened.contains_key(kind));
        }
        self.warned_runs += u64::from(outcome.warnings().next().is_some());
        let warned: BTreeSet<&String> = outcome.warnings().map(|judged| &judged.text).collect();
        for text in warned {
            *self.warned.entry(text.clone()).or_default() += 1;
        }
        if first {
            let portioned = |(judged, portion): (&Judged, Portion)| Portioned {
                text: judged.text.clone(),
                scenario: outcome.scenario.clone(),
                world: outcome.world,
                cell: outcome.cell.clone(),
                name: judged.name.clone(),
                portion,
                count: Count::default(),
            };
            self.portions = outcome.of_many().map(portioned).collect();
        }
        for (portioned, (judged, _)) in self.portions.iter_mut().zip(outcome.of_many()) {
            portioned.count.add(&judged.judgement.held, outcome.seed);
        }
        let texts = outcome.expectations.iter().filter(|judged| judged.is_for_each_run());
        if first {
            self.unasked = texts.clone().map(|judged| judged.text.clone()).collect();
        }
        for judged in texts {
            if !matches!(judged.judgement.held, Held::Unasked(_)) {
                self.unasked.remove(&judged.text);
            }
        }
        let planned = plan.timeline.iter().map(|event| &event.id);
        for id in planned.chain(plan.faults.iter().map(|fault| &fault.id)) {
            self.bites.entry(id.clone()).or_default();
        }
        for fault in &outcome.faults {
            let planned = match fault.origin {
                Origin::Event(ix) => plan.timeline.get(ix).map(|event| &event.id),
                Origin::Fault(ix) => plan.faults.get(ix).map(|fault| &fault.id),
                Origin::Host | Origin::Churn | Origin::Healed => None,
            };
            if let Some(id) = planned {
                let (began, bit) = self.bites.entry(id.clone()).or_default();
                *began += 1;
                *bit += u64::from(fault.touched > 0);
            }
        }
    }

    /// What all runs together fail to show, each as a sentence.
    pub fn lacks(&self) -> impl Iterator<Item = String> + '_ {
        let cover = self.cover.iter().filter(|(_, runs)| **runs == 0);
        let cover = cover.map(|(kind, _)| format!("{kind} was to be covered and never happened"));
        let unasked = self.unasked.iter();
        cover.chain(unasked.map(|text| format!("no seed put this to the test: {text}")))
    }

    /// The events and faults that touched nothing in any run, each as a sentence.
    pub fn idle(&self) -> impl Iterator<Item = String> + '_ {
        self.bites.iter().filter(|(_, (_, bit))| *bit == 0).map(|(id, (began, _))| match began {
            0 => format!("{id} never began in any run: it proved nothing"),
            _ => format!("{id} touched nothing in any run: it proved nothing"),
        })
    }
}

/// The scenario, its world and the cell of its matrix.
#[must_use]
pub fn row_name(scenario: &str, world: World, cell: &[(String, String)]) -> String {
    let (of, cell) = (scenario_name(scenario, world), cell_name(cell));
    if cell.is_empty() { of } else { format!("{of}, {cell}") }
}

fn scenario_name(scenario: &str, world: World) -> String {
    format!("{scenario}, {world}")
}

fn cell_name(cell: &[(String, String)]) -> String {
    let cell = cell.iter().map(|(key, value)| format!("{key} = {value}"));
    cell.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::Tally;
    use crate::checks::story;
    use crate::exit::Exit;
    use crate::outcome::Verdict;
    use crate::runlog::{Ended, Recorder};
    use crate::scenario::plan::{Check, Expectation};
    use crate::scenario::portion::Portion;
    use crate::sweep::summary::summary;
    use crate::verdict::judge;
    use sta_core::model::time::Time;

    #[test]
    fn what_must_hold_in_most_runs_is_counted_and_fails_none() {
        let log = Recorder::new().finish(Time::ZERO, Ended::Done, vec![]);
        let mut tally = Tally::default();
        let add = |tally: &mut Tally, seed, at_least| {
            let mut plan = story::plan(1);
            plan.seed = seed;
            plan.expectations = vec![Expectation {
                text: "choked in 50% of runs".to_owned(),
                check: Check::Happens { event: "choked".into(), at_least, at_most: 9 },
                warn_only: false,
                portion: Some(Portion::read("50% of runs").expect("a portion")),
            }];
            let outcome = judge(&Arc::new(plan.clone()), &log, Duration::ZERO);
            tally.add(&plan, &outcome);
            outcome
        };
        let first = add(&mut tally, 7, 1);
        assert_eq!(first.verdict, Verdict::Passed, "a sweep counts it");
        let alone = first.alone();
        assert_eq!(alone.verdict, Verdict::Unproved);
        assert!(alone.cause().expect("a cause").starts_with("happens: no single run can tell"));
        assert_eq!(
            (tally.failed(), tally.exit()),
            (0, Exit::Failed),
            "of one run nothing is known"
        );
        add(&mut tally, 8, 0);
        assert_eq!(tally.exit(), Exit::Done, "one of two");
        add(&mut tally, 9, 1);
        assert_eq!((tally.failed(), tally.exit()), (0, Exit::Failed));
        let lines: Vec<String> = tally.portion_lines().collect();
        let said = "\"name\":\"happens\",\"in\":\"50% of runs\",\"runs\":3,\"held_in\":1,\"missed_with\":[7,9],\"held\":\"no\"}\n";
        assert!(lines.len() == 1 && lines[0].ends_with(said), "{lines:?}");
        let text = summary(&tally, (3, ""), Duration::from_secs(1));
        let line = "  BROKEN: choked in 50% of runs: it held in 1 of 3; not with seed 7, 9\n";
        assert!(text.contains(line) && text.contains("none failed, 1 BROKEN over all"), "{text}");
    }

    #[test]
    fn what_only_warns_is_counted_by_run_and_by_what_was_asked() {
        let expect = |check: Check, warn_only| Expectation {
            text: check.name().to_owned(),
            check,
            warn_only,
            portion: None,
        };
        let log = Recorder::new().finish(Time::ZERO, Ended::Done, vec![]);
        let mut tally = Tally::default();
        for at_most in [0, 1] {
            let happens = |at_least| Check::Happens { event: "choked".into(), at_least, at_most };
            let mut plan = story::plan(1);
            plan.expectations = vec![
                expect(Check::Makespan { at_most: 1_000_000 }, true),
                expect(happens(at_most), true),
                expect(happens(0), false),
            ];
            tally.add(&plan, &judge(&Arc::new(plan.clone()), &log, Duration::ZERO));
        }
        let row = &tally.rows[0];
        assert_eq!((row.runs(), row.warned_runs), (2, 2));
        let warned: Vec<_> = row.warned.iter().map(|(what, runs)| (what.as_str(), *runs)).collect();
        assert_eq!(warned, [("happens", 1), ("makespan", 2)]);
        assert_eq!(tally.failed(), 0);
    }
}
