//! `report.html`: a run explained on one page that needs nothing but itself.
//!
//! Everything from a scenario or a log goes through maud's escaping. Light or dark as the reader's system is.

use std::sync::Arc;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use sta_core::model::ids::NodeId;

use super::chart::{LEFT, RIGHT, WIDTH, bound, bytes, lanes, matrix, pieces, seconds, tracker};
use super::series::Series;
use super::words::{context, verdict_word, verdict_words};
use crate::checks::{Finding, Held, percent_brief};
use crate::outcome::{FaultSeen, Judged, Outcome, Verdict};
use crate::runlog::RunLog;
use crate::scenario::driver::Origin;
use crate::scenario::plan::{Plan, Role};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");
/// Most rows of the table of faults.
const FAULTS_MAX: usize = 200;
/// Checks whose first finding is shown with what led to it.
const EXPLAINED_MAX: usize = 3;

/// The page. `hash` is the log's, `replay` the command that runs it again.
#[must_use]
pub fn page(plan: &Arc<Plan>, log: &RunLog, outcome: &Outcome, hash: &str, replay: &str) -> String {
    let series = Series::of(plan, log);
    let title = format!("{}: {} (seed {})", verdict_word(outcome.verdict), plan.name, plan.seed);
    let scale = format!("{LEFT} {RIGHT} {WIDTH}");
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body data-end=(format!("{:.6}", series.end.as_secs_f64())) data-scale=(scale) {
                div id="cursor" { span {} }
                main {
                    (header(plan, outcome, replay))
                    @if outcome.verdict != Verdict::Passed { (failure(log, outcome)) }
                    (asked(outcome))
                    section id="nodes" { h2 { "Nodes" } (lanes::lanes(plan, outcome, &series)) }
                    section id="bound" { h2 { "How good the schedule was" } (bound::bound(outcome, &series)) }
                    section id="pieces" { h2 { "Copies of each piece" } (pieces::pieces(plan, &series)) }
                    section id="matrix" { h2 { "Who got what from whom" } (matrix::matrix(plan, &series)) }
                    section id="tracker" { h2 { "Tracker" } (tracker::tracker(&series)) }
                    (faults(plan, outcome))
                    footer {
                        "sta-sim " (env!("CARGO_PKG_VERSION")) ", " (outcome.events) " events, BLAKE3 of the log "
                        code { (hash) }
                    }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    markup.into_string()
}

fn header(plan: &Plan, outcome: &Outcome, replay: &str) -> Markup {
    let fact = |name: &str, value: String| html! { div { dt { (name) } dd { (value) } } };
    let nodes = plan.hosts.iter().filter(|host| host.role == Role::Node).count();
    let content: u64 = plan.contents.iter().map(|content| content.layout.total()).sum();
    let measures = &outcome.measures;
    let percent = |ppm: Option<u64>| ppm.map_or("–".to_owned(), percent_brief);
    html! {
        header {
            span class=(format!("badge {}", verdict_word(outcome.verdict).replace(' ', "-"))) id="verdict" {
                (verdict_word(outcome.verdict))
            }
            h1 { (plan.name) }
            @if !plan.about.is_empty() { p.about { (plan.about) } }
            p { (verdict_words(outcome)) }
            dl.facts {
                (fact("seed", plan.seed.to_string()))
                (fact("world", plan.world.to_string()))
                @for (key, value) in &plan.cell { (fact(key, value.clone())) }
                (fact("nodes", nodes.to_string()))
                (fact("content", bytes(content)))
                (fact("simulated", seconds(outcome.end.as_secs_f64())))
                (fact("real time", seconds(outcome.wall.as_secs_f64())))
                (fact("waste", percent(measures.waste)))
                (fact("fairness", percent(measures.fairness)))
                (fact("longest stall", measures.stall.map_or("–".to_owned(), |s| seconds(s.as_secs_f64()))))
            }
            p style="margin-top:14px" { "Run it again: " }
            pre id="replay" { (replay) }
        }
    }
}

fn failure(log: &RunLog, outcome: &Outcome) -> Markup {
    let failures = outcome.failures();
    let mut first_of_each = failures.clone();
    first_of_each.sort_by_key(|(name, _)| *name);
    first_of_each.dedup_by_key(|(name, _)| *name);
    first_of_each.sort_by_key(|(name, finding)| (*name != "panic", finding.at));
    html! {
        section id="failure" {
            h2 { "What went wrong" }
            @if failures.is_empty() { p { (outcome.cause().unwrap_or_default()) } }
            @for (name, finding) in first_of_each.iter().take(EXPLAINED_MAX) {
                div.cause {
                    p { b { (name) } ": " (finding.what) }
                    p.finding { "at " (finding.at) ", line " (finding.line) " of events.jsonl" }
                    (evidence(log, finding))
                }
            }
            @let kept = (failures.len() - first_of_each.len().min(EXPLAINED_MAX)) as u64;
            @let more = kept + outcome.judged().filter(|j| j.fails()).map(|j| j.judgement.more).sum::<u64>();
            @if more > 0 {
                p.finding { "There " (if more == 1 { "is" } else { "are" }) " " (more) " more; the table below names the first of each check" }
            }
        }
    }
}

/// What the log says around a finding, about those it concerns.
fn evidence(log: &RunLog, finding: &Finding) -> Markup {
    let lines = context(log, finding);
    html! {
        @if !lines.is_empty() {
            pre {
                @for (is_it, line) in &lines {
                    @if *is_it { b { (line) } } @else { (line) }
                    "\n"
                }
            }
        }
    }
}

fn asked(outcome: &Outcome) -> Markup {
    html! {
        section id="asked" {
            h2 { "What was asked" }
            table {
                tr { th { "verdict" } th { "asked" } th { "measured" } th { "check" } }
                @for judged in &outcome.expectations { (row(judged, &judged.text, outcome.must_fail.as_deref())) }
                @for judged in &outcome.watched { (row(judged, "always watched", outcome.must_fail.as_deref())) }
            }
            @if let Some(name) = &outcome.must_fail {
                p.finding { "This scenario tests a check: " b { (name) } " must fail." }
            }
        }
    }
}

fn row(judged: &Judged, asked: &str, must_fail: Option<&str>) -> Markup {
    let (class, word) = match &judged.judgement.held {
        Held::Yes => ("yes", "held"),
        Held::No if judged.warns() => ("warns", "did not hold (warns)"),
        Held::No if judged.fails() => ("no", "did not hold"),
        Held::No => ("warns", "did not hold (a sweep counts it)"),
        Held::Unasked(_) => ("unasked", "not put to the test"),
    };
    html! {
        tr data-check=(judged.name) {
            td class=(class) { (word) @if must_fail == Some(judged.name.as_str()) { ", as it must" } }
            td {
                (asked)
                @for finding in judged.judgement.findings.iter().take(5) {
                    div.finding { (finding.at) "  " (finding.what) }
                }
                @let more = judged.judgement.more + judged.judgement.findings.len().saturating_sub(5) as u64;
                @if more > 0 { div.finding { "and " (more) " more" } }
                @if let Held::Unasked(why) = &judged.judgement.held { div.finding { (why) } }
            }
            td { (judged.judgement.measured) }
            td { code { (judged.name) } }
        }
    }
}

fn faults(plan: &Plan, outcome: &Outcome) -> Markup {
    let done: Vec<_> = outcome
        .faults
        .iter()
        .filter(|fault| !matches!(fault.origin, Origin::Host | Origin::Healed))
        .collect();
    html! {
        @if !done.is_empty() || !outcome.never_began.is_empty() {
            section id="faults" {
                h2 { "What was done to them" }
                table {
                    tr { th { "began" } th { "ended" } th { "what" } th { "to whom" } th { "touched" } }
                    @for fault in done.iter().take(FAULTS_MAX) {
                        tr {
                            td.time { (fault.began) }
                            td.time { @if let Some(ended) = fault.ended { (ended) } @else { "–" } }
                            td { (fault.verb) @if fault.id != fault.verb { " " span.finding { (fault.id) } } }
                            td { (whom(plan, fault)) }
                            @if fault.touched == 0 { td.unasked { "nothing: it proved nothing" } }
                            @else { td { (fault.touched) } }
                        }
                    }
                }
                @for id in &outcome.never_began { p.unasked { (id) " never began: it proved nothing" } }
                @if done.len() > FAULTS_MAX { p.finding { "and " (done.len() - FAULTS_MAX) " more in report.json" } }
            }
        }
    }
}

/// `leech-2`, or of a network fault `leech-2, against everybody else`.
fn whom(plan: &Plan, fault: &FaultSeen) -> String {
    let names = |ids: &[NodeId]| ids.iter().map(NodeId::as_str).collect::<Vec<_>>().join(", ");
    let on = names(&fault.on);
    match &*fault.against {
        [] => on,
        _ if fault.is_against_everybody_else(plan.hosts.len()) => {
            format!("{on}, against everybody else")
        }
        some => format!("{on}, against {}", names(some)),
    }
}
