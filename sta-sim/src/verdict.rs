//! Judges a finished run: every rule sees the whole stream, and the verdict is drawn from what they say.
//!
//! Pure: the same plan and log give the same outcome, but for the wall time it is told. What was never put to the test
//! has not passed. Where the scenario says `must-fail`, only that check counts: it must have failed, and nothing may have
//! panicked.

use std::sync::Arc;
use std::time::Duration;

use crate::checks::economy::Waste;
use crate::checks::fairness::{download_rate, jain};
use crate::checks::happens::Kinds;
use crate::checks::liveness::{Stall, downloads, lost, makespan};
use crate::checks::{self, Account, Finding, Held, Judgement, Rule, ppm};
use crate::outcome::{FaultSeen, Judged, Measures, Outcome, SCHEMA, Verdict};
use crate::runlog::{Detail, Entry, Note, Noted, RunLog, verb_name};
use crate::scenario::driver::Origin;
use crate::scenario::plan::{Check, HostIx, Plan, Since, World};
use crate::scenario::units::Ppm;

/// Judges `log`, a run of `plan` that took `wall` on this machine.
#[must_use]
pub fn judge(plan: &Arc<Plan>, log: &RunLog, wall: Duration) -> Outcome {
    let mut account = Account::new(Arc::clone(plan));
    let mut kinds = Kinds::default();
    let expected = plan.expectations.iter().map(checks::for_expectation);
    let (names, watched): (Vec<&str>, Vec<_>) = checks::watched().into_iter().unzip();
    let mut rules: Vec<Box<dyn Rule>> = expected.chain(watched).collect();
    let seers = |detail| (0..rules.len()).filter(|&ix| rules[ix].sees() >= detail).collect();
    let seers: [Vec<usize>; 3] = [Detail::Milestones, Detail::Pieces, Detail::Blocks].map(seers);
    let mut gauges = Gauges::new(&account);
    let mut panics = Vec::new();
    for entry in &log.entries {
        account.see(entry);
        kinds.see(entry);
        gauges.see(entry, &account);
        for &ix in &seers[entry.kind().detail() as usize] {
            rules[ix].see(entry, &account);
        }
        if let Entry::Noted(Noted { at, note: Note::Panicked { who, what } }) = entry {
            let (at, line, what) = (*at, account.line(), what.clone());
            panics.push(Finding { at, who: Some(who.clone()), what, line });
        }
    }
    account.close(log.end);
    let (expected, watched) = rules.split_at_mut(plan.expectations.len());
    let expectations: Vec<Judged> = plan
        .expectations
        .iter()
        .zip(expected)
        .map(|(expectation, rule)| Judged {
            name: expectation.check.name().to_owned(),
            text: expectation.text.clone(),
            warn_only: expectation.warn_only,
            portion: expectation.portion,
            judgement: {
                let judgement = checks::conclude(rule.as_mut(), &account);
                match counts_from_nothing(&expectation.check, &account, log) {
                    Some(why) if judgement.held == Held::Yes => Judgement::unasked(&why),
                    _ => judgement,
                }
            },
        })
        .collect();
    let asked_for = |name: &str| plan.expectations.iter().any(|asked| asked.check.name() == name);
    let watched: Vec<Judged> = names
        .into_iter()
        .zip(watched)
        .filter(|(name, _)| !asked_for(name))
        .map(|(name, rule)| Judged {
            name: name.to_owned(),
            text: name.to_owned(),
            warn_only: false,
            portion: None,
            judgement: checks::conclude(rule.as_mut(), &account),
        })
        .collect();
    let verdict = verdict(plan.must_fail.as_deref(), &expectations, &watched, !panics.is_empty());
    Outcome {
        schema: SCHEMA,
        scenario: plan.name.clone(),
        about: plan.about.clone(),
        seed: plan.seed,
        world: plan.world,
        repeats: plan.world != World::Tcp,
        cell: plan.cell.clone(),
        verdict,
        must_fail: plan.must_fail.clone(),
        expectations,
        watched,
        panics,
        faults: faults(plan, log),
        never_began: never_began(plan, log),
        happened: kinds.counts(),
        measures: gauges.read(&account),
        figures: None,
        ended: log.ended,
        end: log.end,
        events: log.entries.len() as u64,
        wall,
    }
}

fn verdict(
    must_fail: Option<&str>,
    expectations: &[Judged],
    watched: &[Judged],
    panicked: bool,
) -> Verdict {
    let all = || expectations.iter().chain(watched);
    if panicked {
        return Verdict::Failed;
    }
    if let Some(name) = must_fail {
        let failed = |judged: &Judged| judged.name == name && judged.judgement.held == Held::No;
        return if all().any(failed) { Verdict::Passed } else { Verdict::Failed };
    }
    if all().any(|judged| judged.fails()) {
        let only_progress =
            all().filter(|j| j.fails()).all(|judged| checks::asks_for_progress(&judged.name));
        return if only_progress { Verdict::NotLive } else { Verdict::Failed };
    }
    let unasked = |j: &Judged| matches!(j.judgement.held, Held::Unasked(_)) && j.is_for_each_run();
    if expectations.iter().any(unasked) { Verdict::Unproved } else { Verdict::Passed }
}

/// Why what counts from an event, and held, was not put to the test: that one touched nothing.
fn counts_from_nothing(check: &Check, account: &Account, log: &RunLog) -> Option<String> {
    let (Check::Recovery { after: id, .. } | Check::Complete { since: Since::Event(id), .. }) =
        check
    else {
        return None;
    };
    let (fault, _) = account.last_ended(id).ok()?;
    let touched = log.occurrences.get(fault.number)?.touched;
    (touched == 0).then(|| format!("{id}, which began at {}, touched nothing", fault.began))
}

fn faults(plan: &Plan, log: &RunLog) -> Vec<FaultSeen> {
    let names = |hosts: &[HostIx]| hosts.iter().map(|&ix| plan.hosts[ix].id.clone()).collect();
    log.occurrences
        .iter()
        .map(|seen| FaultSeen {
            id: seen.id.clone(),
            origin: seen.origin,
            verb: verb_name(&seen.verb),
            on: names(&seen.on),
            against: names(&seen.against),
            began: seen.began,
            ended: seen.ended,
            touched: seen.touched,
        })
        .collect()
}

/// What the scenario names and `log` does not have. A process that the seed does not have is not missed.
fn never_began(plan: &Plan, log: &RunLog) -> Vec<String> {
    let missing = |origin| !log.occurrences.iter().any(|seen| seen.origin == origin);
    let events = plan.timeline.iter().enumerate();
    let events = events.filter(|(ix, _)| missing(Origin::Event(*ix))).map(|(_, event)| &event.id);
    let faults = plan.faults.iter().enumerate();
    let faults = faults.filter(|(ix, fault)| fault.on && missing(Origin::Fault(*ix)));
    events.chain(faults.map(|(_, fault)| &fault.id)).cloned().collect()
}

/// The rules that measure every run, without a limit.
struct Gauges {
    waste: Waste,
    stall: Stall,
    tracker_messages: u64,
}

impl Gauges {
    fn new(account: &Account) -> Self {
        let nodes: Vec<HostIx> = account.nodes().collect();
        Self {
            waste: Waste::new(nodes.clone(), Ppm(u32::MAX)),
            stall: Stall::new(nodes, Duration::MAX),
            tracker_messages: 0,
        }
    }

    fn see(&mut self, entry: &Entry, account: &Account) {
        self.waste.see(entry, account);
        if entry.kind().detail() <= self.stall.sees() {
            self.stall.see(entry, account);
        }
        if let Entry::Noted(Noted { note: Note::TrackerHeard { messages, .. }, .. }) = entry {
            self.tracker_messages += u64::from(*messages);
        }
    }

    fn read(mut self, account: &Account) -> Measures {
        self.stall.finish(account);
        let makespan = makespan(account);
        let bound = account.plan().bound().map(|bound| bound.best());
        let over_bound = makespan
            .zip(bound)
            .and_then(|(makespan, bound)| ppm(makespan.as_nanos().into(), bound.as_nanos()));
        let complete = downloads(account).filter(|(_, at)| at.is_some()).count();
        let rates: Vec<u64> =
            account.nodes().filter_map(|host| download_rate(account, host)).collect();
        Measures {
            makespan,
            bound,
            over_bound,
            waste: self.waste.share().filter(|_| account.detail() >= self.waste.needs()),
            fairness: jain(&rates),
            stall: self.stall.longest().filter(|_| account.detail() >= self.stall.needs()),
            tracker_messages: self.tracker_messages,
            complete: (complete as u32, downloads(account).count() as u32),
            gone: lost(account) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::judge;
    use crate::checks::story;
    use crate::outcome::{Outcome, Verdict};
    use crate::report::words::verdict_words;
    use crate::runlog::{Ended, Recorder};
    use crate::scenario::driver::{Occurrence, Origin};
    use crate::scenario::plan::{Check, Expectation, Plan, Since, Verb};
    use crate::scenario::tests::{RIGHT, plan};
    use sta_core::io::observer::Observer;
    use sta_core::model::time::Time;

    const DONE: &str = "0 seed-0 added 1/1 | 0 leech-0 added 0/1 | 1 seed-0 connected leech-0 \
        | 1 leech-0 connected seed-0 | 2 seed-0 unchoked leech-0 | 3 leech-0 asked seed-0 0 \
        | 4 seed-0 sent leech-0 0 | 5 leech-0 got seed-0 0 | 6 leech-0 verified 0 | 6 leech-0 complete";
    const LEECH_0: usize = 3;

    fn expect(check: Check) -> Expectation {
        Expectation { text: check.name().to_owned(), check, warn_only: false, portion: None }
    }

    fn complete() -> Check {
        let (hosts, within) = (vec![LEECH_0], Duration::from_secs(1));
        Check::Complete { hosts, within, since: Since::Start }
    }

    fn run(story: &str, change: impl FnOnce(&mut Plan)) -> Outcome {
        run_with(story, vec![], change)
    }

    fn run_with(story: &str, log: Vec<Occurrence>, change: impl FnOnce(&mut Plan)) -> Outcome {
        let mut plan = story::plan(1);
        change(&mut plan);
        let recorder = Recorder::new();
        for entry in story::entries(story) {
            match entry {
                crate::runlog::Entry::Said(record) => recorder.observe(&record),
                crate::runlog::Entry::Noted(noted) => recorder.note(noted.at, noted.note),
            }
        }
        let end = Time::from_nanos(5_000_000_000);
        judge(&Arc::new(plan), &recorder.finish(end, Ended::Done, log), Duration::ZERO)
    }

    #[test]
    fn what_holds_passes_and_what_does_not_is_safe_or_not() {
        let asked = |plan: &mut Plan| plan.expectations = vec![expect(complete())];
        assert_eq!(run(DONE, asked).verdict, Verdict::Passed);
        let stuck = run("0 leech-0 added 0/1", asked);
        assert_eq!(stuck.verdict, Verdict::NotLive);
        let cause = stuck.cause().expect("it failed");
        assert!(cause.starts_with("complete: leech-# was not complete"), "{cause}");
        let unsafe_too = run("0 leech-0 added 0/1 | 1 leech-0 announced 0", asked);
        assert_eq!(unsafe_too.verdict, Verdict::Failed);
        assert_eq!(unsafe_too.failures()[0].0, "integrity", "the earliest finding comes first");
    }

    #[test]
    fn a_warning_does_not_fail_a_run() {
        let warn = |plan: &mut Plan| {
            plan.expectations = vec![Expectation { warn_only: true, ..expect(complete()) }];
        };
        let outcome = run("0 leech-0 added 0/1", warn);
        assert_eq!(outcome.verdict, Verdict::Passed);
        assert_eq!(outcome.expectations[0].judgement.findings.len(), 1, "but it is reported");
        let words = verdict_words(&outcome);
        let said =
            "Everything that has to hold held. 1 expectation that only warns did not hold. 0 of ";
        assert!(words.starts_with(said), "{words}");
        let held = verdict_words(&run(DONE, warn));
        assert!(held.starts_with("Everything that was asked held. "), "{held}");
        let must = run("0 leech-0 added 0/1", |plan| {
            warn(plan);
            plan.must_fail = Some("complete".into());
        });
        assert_eq!(must.warnings().count(), 0, "it had to fail");
    }

    #[test]
    fn what_was_never_put_to_the_test_has_not_passed() {
        let after = Check::Recovery {
            hosts: vec![LEECH_0],
            after: "cut".into(),
            within: Duration::from_secs(1),
        };
        let outcome = run(DONE, |plan| plan.expectations = vec![expect(after)]);
        assert_eq!(outcome.verdict, Verdict::Unproved);
        assert!(outcome.cause().expect("a cause").contains("never put to the test"));
    }

    #[test]
    fn a_check_that_must_fail_makes_the_run_pass_by_failing() {
        let must = |plan: &mut Plan| {
            plan.expectations = vec![expect(complete())];
            plan.must_fail = Some("complete".into());
        };
        assert_eq!(run("0 leech-0 added 0/1", must).verdict, Verdict::Passed);
        let held = run(DONE, must);
        assert_eq!(held.verdict, Verdict::Failed);
        assert_eq!(held.cause().as_deref(), Some("complete: did not fail, as it had to"));
        let safety = |plan: &mut Plan| plan.must_fail = Some("integrity".into());
        assert_eq!(
            run("0 leech-0 added 0/1 | 1 leech-0 announced 0", safety).verdict,
            Verdict::Passed
        );
        assert_eq!(run(DONE, safety).verdict, Verdict::Failed);
    }

    #[test]
    fn a_panic_fails_every_run() {
        let story = format!("{DONE} | 7 leech-0 panics");
        let outcome = run(&story, |plan| plan.must_fail = Some("complete".into()));
        assert_eq!(outcome.verdict, Verdict::Failed);
        assert_eq!(outcome.cause().as_deref(), Some("panic: index out of bounds"));
    }

    #[test]
    fn a_fault_that_touched_nothing_is_named() {
        let cut = |id: &str, origin, touched| Occurrence {
            id: id.to_owned(),
            origin,
            verb: Verb::Cut,
            on: vec![LEECH_0],
            against: vec![],
            began: Time::ZERO,
            ended: None,
            until: None,
            touched,
        };
        let log = vec![
            cut("idle", Origin::Event(0), 0),
            cut("bites", Origin::Event(1), 3),
            cut("join", Origin::Host, 0),
        ];
        let outcome = run_with(DONE, log, |_| {});
        assert_eq!(outcome.idle_faults().map(|f| f.id.as_str()).collect::<Vec<_>>(), ["idle"]);
        let said: Vec<String> = outcome.idle().collect();
        assert_eq!(said, ["idle at 0.000s touched nothing: it proved nothing"]);
    }

    #[test]
    fn what_never_began_is_named() {
        let text = RIGHT.replace("every = \"exp 4s\"", "every = \"exp 4s\"\nchance = \"50%\"");
        let has_fault = |on: bool| (0..99).find(|&seed| plan(&text, seed).faults[0].on == on);
        let never = |on: bool, log: Vec<Occurrence>| {
            let from = plan(&text, has_fault(on).expect("a seed with it and one without"));
            let outcome = run_with(DONE, log, |plan| {
                (plan.timeline, plan.faults) = (from.timeline, from.faults);
            });
            outcome.never_began
        };
        assert_eq!(never(true, vec![]), ["cut", "power-off#1"]);
        assert_eq!(never(false, vec![]), ["cut"], "the seed does not have the other");
        let began = |origin| Occurrence {
            id: String::new(),
            origin,
            verb: Verb::Cut,
            on: vec![],
            against: vec![],
            began: Time::ZERO,
            ended: None,
            until: None,
            touched: 0,
        };
        let both = vec![began(Origin::Event(0)), began(Origin::Fault(0))];
        assert!(never(true, both).is_empty());
    }

    #[test]
    fn the_swarm_is_measured() {
        let others = " | 0 seed-1 added 1/1 | 0 leech-1 added 1/1 | 0 leech-2 added 1/1 \
            | 0 leech-3 added 1/1 | 0 liar-0 added 1/1";
        let measures = run(&format!("{others} | {DONE}")[3..], |_| {}).measures;
        assert_eq!(measures.makespan, Some(Time::from_nanos(6_000_000)));
        assert_eq!(measures.bound, Some(Duration::from_micros(65_536)));
        assert_eq!(measures.waste, Some(0));
        assert_eq!(measures.complete, (1, 1));
        assert_eq!(run("0 leech-0 added 0/1", |_| {}).measures.makespan, None);
        let others = format!("0 seed-0 added 1/1{others}");
        let left = run(&format!("{others} | 0 leech-0 added 0/1 | 1 leech-0 dies"), |_| {});
        assert_eq!((left.measures.complete, left.measures.gone), ((0, 0), 1));
        let words = verdict_words(&left);
        assert!(words.ends_with("is left: 1 went without having everything."), "{words}");
        let words = verdict_words(&run(&format!("{others} | 0 leech-0 added 1/1"), |_| {}));
        assert!(words.ends_with("No node lacked anything."), "{words}");
    }
}
