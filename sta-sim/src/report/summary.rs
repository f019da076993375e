//! What a person sees on the terminal after a run.
//!
//! A run that passed is a few lines; one that did not ends with what, who, when, the seed, and the one command that
//! replays it.

use std::fmt::Write;
use std::path::Path;

use super::words::{speed_words, verdict_word, verdict_words};
use crate::checks::{Held, Judgement, percent_brief, seconds};
use crate::outcome::{Judged, Outcome, Verdict};

/// Idle faults named one by one.
const IDLE_MAX: usize = 5;

/// The summary. `folder` is where the report was written, if it was; `replay` is the command.
#[must_use]
pub fn summary(outcome: &Outcome, folder: Option<&Path>, replay: &str) -> String {
    let mut text = String::new();
    let verdict = verdict_word(outcome.verdict).to_uppercase();
    let cell: String =
        outcome.cell.iter().map(|(key, value)| format!("  {key} = {value}")).collect();
    let world = outcome.world;
    line(
        &mut text,
        &format!("{verdict}  {}   seed {}{cell}   {world}", outcome.scenario, outcome.seed),
    );
    line(&mut text, &format!("  {}", verdict_words(outcome)));
    line(&mut text, &format!("  {}", figures(outcome)));
    outcome.judged().for_each(|judged| line(&mut text, &judged_line(judged)));
    idle(&mut text, outcome);
    if !outcome.repeats {
        line(&mut text, "  note      in real time: another run of this seed will differ");
    }
    if let Some(folder) = folder {
        line(&mut text, &format!("  report    {}", folder.join("report.html").display()));
    }
    if outcome.verdict != Verdict::Passed {
        failure(&mut text, outcome, replay);
    }
    text
}

fn figures(outcome: &Outcome) -> String {
    let measures = &outcome.measures;
    let mut parts = vec![];
    parts.extend(measures.waste.map(|ppm| format!("waste {}", percent_brief(ppm))));
    parts.extend(measures.fairness.map(|ppm| format!("fairness {}", percent_brief(ppm))));
    parts.extend(measures.stall.map(|stall| format!("longest stall {}", seconds(stall))));
    let speed = outcome.end.as_secs_f64() / outcome.wall.as_secs_f64().max(1e-6);
    parts.push(format!(
        "{} simulated in {} ({} times)",
        outcome.end,
        seconds(outcome.wall),
        speed_words(speed)
    ));
    parts.join(", ")
}

fn judged_line(judged: &Judged) -> String {
    let word = match &judged.judgement.held {
        Held::Yes => "held",
        Held::No if judged.warns() => "warns",
        Held::No if judged.fails() => "BROKEN",
        Held::No => "missed",
        Held::Unasked(_) => "unasked",
    };
    let detail = match &judged.judgement.held {
        Held::Unasked(why) => why.clone(),
        Held::No => broken(&judged.judgement),
        Held::Yes => judged.judgement.measured.clone(),
    };
    let name = if judged.text.starts_with(&judged.name) { "" } else { &judged.name };
    format!("  {word:<8}  {}  ({detail})", format!("{name} {}", judged.text).trim_start())
}

/// The first finding, and how many more there are.
fn broken(judgement: &Judgement) -> String {
    let Judgement { findings, more, measured, .. } = judgement;
    let Some(first) = findings.first() else { return measured.clone() };
    match findings.len() as u64 - 1 + more {
        0 => first.what.clone(),
        more => format!("{}, and {more} more", first.what),
    }
}

fn idle(text: &mut String, outcome: &Outcome) {
    for what in outcome.idle().take(IDLE_MAX) {
        line(text, &format!("  idle      {what}"));
    }
    let more = outcome.idle().count().saturating_sub(IDLE_MAX);
    if more > 0 {
        line(text, &format!("  idle      and {more} more faults that proved nothing"));
    }
}

fn failure(text: &mut String, outcome: &Outcome, replay: &str) {
    line(text, "");
    match outcome.failures().first() {
        Some((name, finding)) => {
            line(text, &format!("  what      {name}: {}", finding.what));
            if let Some(who) = &finding.who {
                line(text, &format!("  who       {who}"));
            }
            line(
                text,
                &format!("  when      {} (line {} of events.jsonl)", finding.at, finding.line),
            );
        }
        None => line(text, &format!("  what      {}", outcome.cause().unwrap_or_default())),
    }
    line(text, &format!("  seed      {}", outcome.seed));
    line(text, &format!("  replay    {replay}"));
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{}", line.trim_end()).expect("a String takes everything");
}
