//! What a person sees at the end of a sweep: distributions by scenario, failures by cause, and the command that replays
//! each.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use super::per_second;
use super::tally::{Cause, Portioned, Row, Tally};
use crate::checks::Held;
use crate::outcome::Verdict;
use crate::quantiles::quantiles;
use crate::report::words::{speed_words, verdict_word};
use crate::scenario::portion::Count;

/// Seeds named with a cause.
const SEEDS_MAX: usize = 8;
/// Causes told in full; the others are counted.
const CAUSES_MAX: usize = 12;

/// The summary of a sweep that took `took`. So many runs were `planned`; if they were not all made, why.
#[must_use]
pub fn summary(tally: &Tally, planned: (u64, &str), took: Duration) -> String {
    let mut text = String::new();
    for (name, row) in &tally.rows {
        text += &scenario(name, row);
    }
    text += &side_by_side(tally);
    let mut causes: Vec<_> = tally.causes.iter().collect();
    causes.sort_by_key(|(_, cause)| std::cmp::Reverse((cause.verdict, cause.seeds.len())));
    for ((name, why), cause) in causes.iter().take(CAUSES_MAX) {
        text += &failure(name, why, cause);
    }
    if causes.len() > CAUSES_MAX {
        text += &format!("\nand {} more causes\n", causes.len() - CAUSES_MAX);
    }
    for (why, runs) in &tally.refused {
        text += &format!("\n{runs} runs could not be made: {why}\n");
    }
    text += &format!("\n{}\n", totals(tally, planned, took));
    text
}

/// `240 runs, 3 failed for 2 reasons, in 12.1 s: 19.8 a second, 310 times as fast as real time`; before it, of a sweep
/// that did not make them all, `interrupted: 16 of 240 runs`.
#[must_use]
pub fn totals(tally: &Tally, (planned, why): (u64, &str), took: Duration) -> String {
    let all = tally.runs == planned;
    let (why, of) =
        if all { Default::default() } else { (format!("{why}: "), format!(" of {planned}")) };
    let mut failed = match (tally.failed(), tally.causes.len() + tally.refused.len()) {
        (0, _) => "none failed".to_owned(),
        (failed, 1) => format!("{failed} failed for 1 reason"),
        (failed, reasons) => format!("{failed} failed for {reasons} reasons"),
    };
    let lacking = tally.rows.values().map(|row| row.lacks().count()).sum::<usize>();
    let unproved: u64 =
        tally.rows.values().filter_map(|row| row.verdicts.get(&Verdict::Unproved)).sum();
    let portions =
        |wanted: fn(&Held) -> bool| tally.portions().filter(|(_, held)| wanted(held)).count();
    let broken = portions(|held| *held == Held::No);
    if broken > 0 {
        failed += &format!(", {broken} BROKEN over all");
    }
    let untold = portions(|held| matches!(held, Held::Unasked(_)));
    if untold > 0 {
        failed += &format!(", {untold} UNPROVED over all");
    }
    if unproved > 0 {
        failed += &format!(", {unproved} unproved");
    }
    let warned: u64 = tally.rows.values().map(|row| row.warned_runs).sum();
    if warned > 0 {
        failed += &format!(", {warned} warned");
    }
    if lacking > 0 {
        failed += &format!(", {lacking} LACKING");
    }
    format!(
        "{why}{}{of} runs, {failed}, in {:.1} s: {:.1} a second, {} times as fast as real time",
        tally.runs,
        took.as_secs_f64(),
        per_second(tally.runs as f64, took),
        speed_words(per_second(tally.simulated.as_secs_f64(), took)),
    )
}

fn scenario(name: &str, row: &Row) -> String {
    let counts =
        row.verdicts.iter().map(|(verdict, runs)| format!("{runs} {}", verdict_word(*verdict)));
    let warned = match row.warned_runs {
        0 => String::new(),
        runs => format!("; {runs} warned"),
    };
    let mut text = format!("{name}: {}{warned}\n", counts.collect::<Vec<_>>().join(", "));
    let named = measures(row).map(|(what, samples, digits)| {
        (format!("{what}{}", of_runs(samples.len(), row.runs())), samples, digits)
    });
    let width = named.iter().map(|(what, ..)| what.len() + 2).fold(18, usize::max);
    writeln!(text, "  {:<width$}{:>9}{:>9}{:>9}{:>9}", "", "min", "median", "p90", "max")
        .expect("a String");
    for (what, samples, digits) in named {
        let cells = match quantiles(samples) {
            Some(quantiles) => quantiles.map(|x| format!("{x:>9.digits$}")),
            None => std::array::from_fn(|_| format!("{:>9}", "-")),
        };
        writeln!(text, "  {what:<width$}{}", cells.concat()).expect("a String");
    }
    for (what, runs) in &row.warned {
        writeln!(text, "  warned: {what} in {runs} runs").expect("a String");
    }
    for portioned in &row.portions {
        writeln!(text, "  {}", portion_words(portioned)).expect("a String");
    }
    for (kind, runs) in row.cover.iter().filter(|(_, runs)| **runs > 0) {
        writeln!(text, "  covered: {kind} in {runs} runs").expect("a String");
    }
    for lack in row.lacks() {
        writeln!(text, "  LACKING: {lack}").expect("a String");
    }
    for what in row.idle() {
        writeln!(text, "  idle: {what}").expect("a String");
    }
    text
}

/// `BROKEN: makespan at most 1.2 bounds in 90% of runs: it held in 15 of 20; not with seed 3, 4, 9, 11, 12`
fn portion_words(portioned: &Portioned) -> String {
    let Portioned { text: what, count: Count { runs, held, missed }, .. } = portioned;
    let (word, why) = match portioned.held() {
        Held::Yes => ("held", String::new()),
        Held::No => ("BROKEN", String::new()),
        Held::Unasked(why) => ("UNPROVED", format!("; {why}")),
    };
    let not = match missed[..] {
        [] => String::new(),
        _ => format!("; not with seed {}", seeds_words(missed)),
    };
    format!("{word}: {what}: it held in {held} of {runs}{not}{why}")
}

/// ` (8 of 10)`: of how many of `all` runs something is known; nothing where that is all of them.
pub(super) fn of_runs(known: usize, all: usize) -> String {
    if known == all { String::new() } else { format!(" ({known} of {all})") }
}

/// What is measured of every run, and the digits that are shown of it.
pub(super) fn measures(row: &Row) -> [(&'static str, &[f64], usize); 6] {
    [
        ("makespan, s", &row.makespan, 3),
        ("over the bound", &row.over_bound, 2),
        ("waste, %", &row.waste, 1),
        ("fairness, %", &row.fairness, 1),
        ("longest stall, s", &row.stall, 3),
        ("real time, ms", &row.wall, 0),
    ]
}

/// The medians of the cells of each matrix, a line a cell.
fn side_by_side(tally: &Tally) -> String {
    let mut matrices: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in tally.rows.values().filter(|row| !row.cell.is_empty()) {
        matrices.entry(&row.of).or_default().push(row);
    }
    let mut text = String::new();
    for (of, rows) in matrices.into_iter().filter(|(_, rows)| rows.len() > 1) {
        let width = rows.iter().map(|row| row.cell.chars().count()).max().unwrap_or_default();
        let heads = measures(rows[0]).map(|(what, ..)| what.to_owned());
        let medians =
            rows.iter().map(|row| measures(row).map(|measure| median_words(row, measure)));
        let lines: Vec<[String; 6]> = std::iter::once(heads).chain(medians).collect();
        let wide = lines.iter().flatten().map(|cell| cell.len() + 2).fold(18, usize::max);
        let lines =
            lines.into_iter().map(|line| line.map(|cell| format!("{cell:>wide$}")).concat());
        let names = std::iter::once("").chain(rows.iter().map(|row| row.cell.as_str()));
        writeln!(text, "\n{of}: medians, cell by cell").expect("a String");
        for (name, line) in names.zip(lines) {
            writeln!(text, "  {name:<width$}{line}").expect("a String");
        }
    }
    text
}

/// `18.655 (8 of 10)`
fn median_words(row: &Row, (_, samples, digits): (&str, &[f64], usize)) -> String {
    match quantiles(samples) {
        Some([_, median, ..]) => {
            format!("{median:.digits$}{}", of_runs(samples.len(), row.runs()))
        }
        None => "-".to_owned(),
    }
}

fn failure(name: &str, why: &str, cause: &Cause) -> String {
    let mut text = format!("\n{}  {name}\n", verdict_word(cause.verdict).to_uppercase());
    let mut line = |what: &str, value: &str| text += &format!("  {what:<9} {value}\n");
    match &cause.found {
        Some((check, finding)) => {
            line("what", &format!("{check}: {}", finding.what));
            if let Some(who) = &finding.who {
                line("who", who.as_str());
            }
            line("when", &finding.at.to_string());
        }
        None => line("what", why),
    }
    line("seed", &seeds_words(&cause.seeds));
    if let Some(folder) = &cause.folder {
        line("report", &folder.join("report.html").display().to_string());
    }
    if let Some(replay) = &cause.replay {
        let confirmed = match cause.confirmed {
            Some(true) => "   (replayed: the same)",
            Some(false) => "   (replayed: NOT the same; the line above it is the seed)",
            None => "",
        };
        line("replay", &format!("{replay}{confirmed}"));
    }
    text
}

/// The first of `seeds`, and how many more there are.
pub(super) fn seeds_words(seeds: &[u64]) -> String {
    let mut words: Vec<String> = seeds.iter().take(SEEDS_MAX).map(u64::to_string).collect();
    if seeds.len() > SEEDS_MAX {
        words.push(format!("and {} more", seeds.len() - SEEDS_MAX));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sta_core::model::time::Time;

    use super::{scenario, side_by_side, totals};
    use crate::outcome::{Measures, Verdict};
    use crate::sweep::tally::{Row, Tally};

    #[test]
    fn a_sweep_that_was_cut_short_says_so() {
        let tally = Tally { runs: 16, ..Tally::default() };
        let said = |planned| totals(&tally, (planned, "interrupted"), Duration::from_secs(1));
        assert!(
            said(5_000).starts_with("interrupted: 16 of 5000 runs, none failed"),
            "{}",
            said(5_000)
        );
        assert!(said(16).starts_with("16 runs, none failed"), "{}", said(16));
    }

    /// A row of runs that were complete after so many seconds, or never.
    fn row(makespans: &[Option<u64>]) -> Row {
        let mut row = Row::default();
        for secs in makespans {
            let makespan = secs.map(|secs| Time::from_nanos(secs * 1_000_000_000));
            row.measure(&Measures { makespan, ..Measures::default() }, Duration::from_millis(1));
        }
        row
    }

    #[test]
    fn a_row_says_of_how_many_runs_it_is_and_what_warned() {
        let mut row = row(&[Some(1), None, Some(3)]);
        row.verdicts.insert(Verdict::Passed, 3);
        row.warned_runs = 2;
        row.warned.extend([("complete".to_owned(), 1), ("makespan".to_owned(), 2)]);
        let text = scenario("x, flow", &row);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert_eq!(lines[0], "x, flow: 3 passed; 2 warned");
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(lines[2]), "makespan, s (2 of 3) 1.000 2.000 2.800 3.000");
        assert_eq!(words(lines[3]), "over the bound (0 of 3) - - - -");
        assert_eq!(words(lines[7]), "real time, ms 1 1 1 1");
        assert_eq!(lines[8..], ["warned: complete in 1 runs", "warned: makespan in 2 runs"]);
        let mut tally = Tally { runs: 3, ..Tally::default() };
        tally.rows.insert("x, flow".to_owned(), row);
        let said = totals(&tally, (3, ""), Duration::from_secs(1));
        assert!(said.starts_with("3 runs, none failed, 2 warned, in"), "{said}");
    }

    #[test]
    fn the_cells_of_a_matrix_stand_side_by_side() {
        let row = |cell: &str, makespans: &[Option<u64>]| {
            let (of, cell) = ("x, flow".to_owned(), cell.to_owned());
            let name = format!("{of}, {cell}");
            (name, Row { of, cell, ..row(makespans) })
        };
        let mut tally = Tally::default();
        tally.rows.extend([row("up = 1", &[Some(3), None, Some(1)]), row("up = 10", &[])]);
        let table = side_by_side(&tally);
        let lines: Vec<String> = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(lines[1], "x, flow: medians, cell by cell");
        assert!(lines[2].starts_with("makespan, s over the bound"), "{table}");
        assert_eq!(lines[3..], ["up = 1 2.000 (2 of 3) - - - - 1", "up = 10 - - - - - -"]);
        tally.rows.pop();
        assert_eq!(side_by_side(&tally), "", "one cell is beside none");
    }
}
