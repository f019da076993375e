//! Two sweeps side by side: what a change of the program, or of the scenarios, has done.
//!
//! Runs are compared in pairs, a seed with the same seed: what chance has drawn for the one it has drawn for the other, so that few
//! seeds tell what otherwise takes many (common random numbers; Law, Simulation Modeling and Analysis, "Variance-reduction
//! techniques").

use std::fmt::Write;
use std::time::Duration;

use indexmap::IndexMap;
use serde::Deserialize;

use super::summary::{measures, of_runs, seeds_words};
use super::tally::{Row, row_name};
use crate::outcome::{Measures, Verdict};
use crate::quantiles::quantiles;
use crate::scenario::plan::World;

/// What a line of `sweep --json` says of a run, as far as it is compared.
#[derive(Debug, Deserialize)]
struct Line {
    scenario: String,
    seed: u64,
    world: World,
    cell: Vec<(String, String)>,
    verdict: Verdict,
    measures: Measures,
    /// Nanoseconds.
    wall: u64,
    hash: String,
}

/// A line that tells of all runs together: of what each is made is compared.
#[derive(Debug, Deserialize)]
struct OfMany {
    #[serde(rename = "of_many")]
    _text: String,
}

/// A sweep: by scenario, world and cell, and then by seed.
pub struct Sweep(IndexMap<String, IndexMap<u64, Line>>);

/// Two sweeps, compared.
#[derive(Debug)]
pub struct Compared {
    /// Whether a seed fails in the second that did not in the first.
    pub worse: bool,
    /// What differs, for a person.
    pub text: String,
}

impl Sweep {
    /// The sweep of which `text` holds the lines.
    ///
    /// # Errors
    /// The first line that is none, and why.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut rows: IndexMap<String, IndexMap<u64, Line>> = IndexMap::new();
        for (number, line) in text.lines().enumerate() {
            let line: Line = match serde_json::from_str(line) {
                Ok(line) => line,
                Err(_) if serde_json::from_str::<OfMany>(line).is_ok() => continue,
                Err(error) => return Err(format!("line {} tells of no run: {error}", number + 1)),
            };
            let row = row_name(&line.scenario, line.world, &line.cell);
            rows.entry(row).or_default().insert(line.seed, line);
        }
        Ok(Self(rows))
    }
}

/// Compares the runs that are in both; `None` if there are none.
#[must_use]
pub fn compare(a: &Sweep, b: &Sweep) -> Option<Compared> {
    let mut compared = Compared { worse: false, text: String::new() };
    let (mut pairs_in_all, mut alone) = (0, String::new());
    for (name, of_a) in &a.0 {
        let of_b = b.0.get(name);
        let other = |seed| of_b?.get(seed);
        let pairs = of_a.iter().filter_map(|(seed, line)| Some((line, other(seed)?)));
        let pairs: Vec<(&Line, &Line)> = pairs.collect();
        if pairs.is_empty() {
            alone += &format!("{name}: nothing to compare in b\n");
            continue;
        }
        pairs_in_all += pairs.len();
        compared.text += &row(name, &pairs);
        compared.worse |= pairs.iter().any(|pair| fails_only(pair.1, pair.0));
    }
    let new = b.0.keys().filter(|name| !a.0.contains_key(*name));
    alone.extend(new.map(|name| format!("{name}: nothing to compare in a\n")));
    compared.text += &alone;
    (pairs_in_all > 0).then_some(compared)
}

fn fails_only(this: &Line, other: &Line) -> bool {
    this.verdict.is_failure() && !other.verdict.is_failure()
}

/// What is to be said of the pairs of one scenario, in one cell.
fn row(name: &str, pairs: &[(&Line, &Line)]) -> String {
    let same = pairs.iter().filter(|(a, b)| a.hash == b.hash).count();
    let mut text = format!("{name}: {} seeds in both, {same} of them the same run\n", pairs.len());
    let figures: Vec<_> = pairs.iter().map(|(a, b)| (figures(a), figures(b))).collect();
    let heads = ["medians", "a", "b", "b/a", "lower in", "higher in"].map(str::to_owned);
    let lines = names().into_iter().enumerate().map(|(ix, (what, digits))| {
        let of_both = figures.iter().filter_map(|(a, b)| a[ix].zip(b[ix]));
        let (of_a, of_b): (Vec<f64>, Vec<f64>) = of_both.clone().unzip();
        let ratios: Vec<f64> =
            of_both.clone().filter(|(a, _)| *a > 0.0).map(|(a, b)| b / a).collect();
        let median = |samples: &[f64], digits: usize| match quantiles(samples) {
            Some([_, median, ..]) => format!("{median:.digits$}"),
            None => "-".to_owned(),
        };
        let lower = of_both.clone().filter(|(a, b)| b < a).count();
        let higher = of_both.filter(|(a, b)| b > a).count();
        [
            format!("{what}{}", of_runs(of_a.len(), pairs.len())),
            median(&of_a, digits),
            median(&of_b, digits),
            median(&ratios, 3),
            lower.to_string(),
            higher.to_string(),
        ]
    });
    let lines: Vec<[String; 6]> = std::iter::once(heads).chain(lines).collect();
    let width = lines.iter().map(|[what, ..]| what.len() + 2).fold(18, usize::max);
    for [what, a, b, ratio, lower, higher] in lines {
        writeln!(text, "  {what:<width$}{a:>10}{b:>10}{ratio:>8}{lower:>10}{higher:>11}")
            .expect("a String");
    }
    let only = |of: fn(&(&Line, &Line)) -> bool| -> Vec<u64> {
        pairs.iter().filter(|pair| of(pair)).map(|pair| pair.0.seed).collect()
    };
    for (seeds, which) in
        [(only(|(a, b)| fails_only(a, b)), 'a'), (only(|(a, b)| fails_only(b, a)), 'b')]
    {
        if !seeds.is_empty() {
            writeln!(text, "  fails only in {which}: seed {}", seeds_words(&seeds))
                .expect("a String");
        }
    }
    text
}

/// What was measured of a run, as far as it was.
fn figures(line: &Line) -> [Option<f64>; 6] {
    let mut row = Row::default();
    row.measure(&line.measures, Duration::from_nanos(line.wall));
    measures(&row).map(|(_, samples, _)| samples.first().copied())
}

/// What that is called, and with how many digits it is shown.
fn names() -> [(&'static str, usize); 6] {
    measures(&Row::default()).map(|(what, _, digits)| (what, digits))
}

#[cfg(test)]
mod tests {
    use super::{Sweep, compare};

    fn line(scenario: &str, seed: u64, verdict: &str, makespan: u64, hash: &str) -> String {
        format!(
            r#"{{"schema":2,"scenario":"{scenario}","seed":{seed},"world":"flow","cell":[["up","1"]],"verdict":"{verdict}","measures":{{"makespan":{makespan}000000,"bound":null,"over_bound":null,"waste":0,"fairness":null,"stall":null,"tracker_messages":1,"complete":[1,1],"gone":0}},"wall":1000000,"hash":"{hash}"}}"#
        ) + "\n"
    }

    fn sweep(lines: &[String]) -> Sweep {
        Sweep::read(&lines.concat()).expect("lines of runs")
    }

    #[test]
    fn seeds_are_compared_with_themselves() {
        let a = sweep(&[
            line("x", 1, "passed", 1_000, "p"),
            line("x", 2, "passed", 3_000, "q"),
            line("x", 3, "failed", 9_000, "r"),
            line("x", 4, "passed", 5_000, "s"),
            line("gone", 1, "passed", 1, "t"),
        ]);
        let b = sweep(&[
            line("x", 3, "passed", 9_000, "r").replace("9000000000", "null"),
            line("x", 2, "failed", 1_500, "u"),
            line("x", 1, "passed", 2_000, "v"),
            line("new", 1, "passed", 1, "w"),
        ]);
        let compared = compare(&a, &b).expect("seeds in both");
        assert!(compared.worse, "seed 2");
        let lines: Vec<String> = compared
            .text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        let expected = [
            "x, flow, up = 1: 3 seeds in both, 1 of them the same run",
            "medians a b b/a lower in higher in",
            "makespan, s (2 of 3) 2.000 1.750 1.250 1 1",
            "over the bound (0 of 3) - - - 0 0",
            "waste, % 0.0 0.0 - 0 0",
            "fairness, % (0 of 3) - - - 0 0",
            "longest stall, s (0 of 3) - - - 0 0",
            "real time, ms 1 1 1.000 0 0",
            "fails only in a: seed 3",
            "fails only in b: seed 2",
            "gone, flow, up = 1: nothing to compare in b",
            "new, flow, up = 1: nothing to compare in a",
        ];
        assert_eq!(lines, expected);
        assert!(!compare(&a, &a).expect("all of them").worse);
    }

    #[test]
    fn what_has_nothing_in_common_is_not_compared() {
        let (a, b) = (line("x", 1, "passed", 1, "p"), line("x", 2, "passed", 1, "p"));
        assert!(compare(&sweep(&[a]), &sweep(&[b])).is_none());
        let of_many = "{\"schema\":2,\"of_many\":\"complete in 90% of runs\"}\n";
        assert!(Sweep::read(of_many).is_ok(), "it tells of runs that have lines of their own");
        let refused = Sweep::read("{\"seed\":1}\n").err().expect("no run");
        assert!(refused.starts_with("line 1 tells of no run: "), "{refused}");
    }
}
