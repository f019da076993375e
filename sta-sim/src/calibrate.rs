//! Do the worlds agree? The same scenario and seeds run in each of them, and the times of completion side by side.
//!
//! Knows no world: it is given judged runs. A world's figure is the median over its seeds; it is held against the flow
//! world's, because that is the one which has to be right without a network.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use sta_core::model::time::Time;

use crate::checks::Account;
use crate::checks::liveness::completions;
use crate::execute::Done;
use crate::outcome::some_nanos;
use crate::scenario::plan::World;

/// The worlds, in the order in which they run; the first is what the others are held against.
pub const WORLDS: [World; 3] = [World::Flow, World::Turmoil, World::Tcp];

/// How far the makespan in `world` may be from the flow world's, in percent.
#[must_use]
pub const fn tolerance_percent(world: World) -> u64 {
    match world {
        World::Flow => 0,
        World::Turmoil => 10,
        World::Tcp => 15,
    }
}

/// When nodes that lacked something had everything, from the start of the run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Times {
    /// The first.
    pub first: Time,
    /// The one in the middle; the earlier of two.
    pub median: Time,
    /// The last: the makespan.
    pub last: Time,
}

/// One run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    /// Its seed.
    pub seed: u64,
    /// Its times; `None` if somebody lacked something at the end.
    pub times: Option<Times>,
}

/// What one world says of a scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Which world.
    pub world: World,
    /// Every run.
    pub samples: Vec<Sample>,
    /// The median of each time over the seeds; `None` if a run did not complete.
    pub times: Option<Times>,
    /// The makespan over the flow world's, in thousandths.
    pub to_flow: Option<u64>,
    /// Whether that is as near as is asked.
    pub agrees: bool,
    /// The time of the node in the middle over that of the flow world's, in thousandths. Nothing is asked of it; it shows what the
    /// makespan hides: where rates differ it was 12 % away as long as the turns of a shaped link were too long, and the makespan 1 %.
    pub median_to_flow: Option<u64>,
}

/// What all worlds say of a scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// What the scenario calls itself.
    pub scenario: String,
    /// The cell of its matrix.
    pub cell: Vec<(String, String)>,
    /// The least time of any schedule.
    #[serde(serialize_with = "some_nanos")]
    pub bound: Option<Duration>,
    /// A row for each of [`WORLDS`].
    pub rows: Vec<Row>,
}

/// The times of a run.
#[must_use]
pub fn sample(done: &Done) -> Sample {
    let mut account = Account::new(std::sync::Arc::clone(&done.plan));
    done.log.entries.iter().for_each(|entry| account.see(entry));
    account.close(done.log.end);
    Sample { seed: done.plan.seed, times: completions(&account).and_then(times) }
}

fn times(mut all: Vec<Time>) -> Option<Times> {
    all.sort_unstable();
    let (below, above) = (all.get(all.len().checked_sub(1)? / 2)?, all.get(all.len() / 2)?);
    let median = *below + above.since(*below) / 2;
    Some(Times { first: *all.first()?, median, last: *all.last()? })
}

/// Puts the runs of each world side by side, in the order of [`WORLDS`].
#[must_use]
pub fn compare(samples: Vec<Vec<Sample>>) -> Vec<Row> {
    let mut flow = None;
    let mut rows = Vec::new();
    for (world, samples) in WORLDS.into_iter().zip(samples) {
        let whole: Option<Vec<Times>> = samples.iter().map(|sample| sample.times).collect();
        let middle = |of: fn(&Times) -> Time| {
            times(whole.iter().flatten().map(of).collect()).map(|times| times.median)
        };
        let medians = [|t: &Times| t.first, |t: &Times| t.median, |t: &Times| t.last].map(middle);
        let times = match medians {
            [Some(first), Some(median), Some(last)] => Some(Times { first, median, last }),
            _ => None,
        };
        if world == World::Flow {
            flow = times;
        }
        let to_flow = |of: fn(&Times) -> Time| {
            let (own, flow) = times.as_ref().zip(flow.as_ref())?;
            (of(own).as_nanos() * 1_000).checked_div(of(flow).as_nanos())
        };
        let (to_flow, median_to_flow) =
            (to_flow(|times| times.last), to_flow(|times| times.median));
        let most = tolerance_percent(world) * 10;
        let agrees = to_flow.is_some_and(|ratio| ratio.abs_diff(1_000) <= most);
        rows.push(Row { world, samples, times, to_flow, agrees, median_to_flow });
    }
    rows
}

impl Comparison {
    /// Whether every world is as near as is asked.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.rows.iter().all(|row| row.agrees)
    }

    /// A few lines for a person.
    #[must_use]
    pub fn text(&self) -> String {
        let cell: String =
            self.cell.iter().map(|(key, value)| format!("  {key} = {value}")).collect();
        let bound = self.bound.map(|bound| format!("   bound {:.3} s", bound.as_secs_f64()));
        let mut text = format!("{}{cell}{}\n", self.scenario, bound.unwrap_or_default());
        text += "  world     runs     first    median      last  makespan from      to  to flow  the median\n";
        for row in &self.rows {
            line(&mut text, row);
        }
        text
    }
}

fn line(text: &mut String, row: &Row) {
    let name = row.world.name();
    let thousandths = |ratio: u64| format!("{}.{:03}", ratio / 1_000, ratio % 1_000);
    let written = match (row.times, row.to_flow) {
        (Some(Times { first, median, last }), Some(ratio)) => {
            let [first, median, last] = [first, median, last].map(Time::as_secs_f64);
            let makespans = row.samples.iter().filter_map(|sample| Some(sample.times?.last));
            let least = makespans.clone().min().map_or(0.0, Time::as_secs_f64);
            let most = makespans.max().map_or(0.0, Time::as_secs_f64);
            let mark = if row.agrees {
                String::new()
            } else {
                format!("  DIFFERS by more than {} %", tolerance_percent(row.world))
            };
            writeln!(
                text,
                "  {name:<8}{:>6}{first:>10.3}{median:>10.3}{last:>10.3}{least:>15.3}{most:>8.3}{:>9}{:>12}{mark}",
                row.samples.len(),
                thousandths(ratio),
                row.median_to_flow.map_or_else(|| "-".to_owned(), thousandths),
            )
        }
        _ => writeln!(text, "  {name:<8}{:>6}  NOT COMPLETE in every run", row.samples.len()),
    };
    written.expect("a String takes everything");
}

#[cfg(test)]
mod tests {
    use sta_core::model::time::Time;

    use super::{Comparison, Row, Sample, Times, compare, times};

    fn sample(seed: u64, last: u64) -> Sample {
        let last = Time::from_nanos(last * 1_000_000);
        Sample { seed, times: Some(Times { first: last, median: last, last }) }
    }

    #[test]
    fn the_times_of_a_run_are_its_first_its_middle_and_its_last() {
        let all = [5, 1, 9, 2].map(Time::from_nanos).to_vec();
        let [first, median, last] = [1, 3, 9].map(Time::from_nanos);
        assert_eq!(times(all), Some(Times { first, median, last }));
        assert_eq!(times(vec![]), None);
    }

    #[test]
    fn worlds_agree_within_their_tolerance() {
        // (flow, turmoil, tcp) -> which agree
        let table = [
            ([1_000, 1_100, 1_150], [true, true, true]),
            ([1_000, 899, 851], [true, false, true]),
            ([1_000, 1_000, 1_151], [true, true, false]),
        ];
        for (makespans, agree) in table {
            let rows = compare(makespans.map(|last| vec![sample(1, last)]).to_vec());
            assert_eq!(
                rows.iter().map(|row| row.agrees).collect::<Vec<_>>(),
                agree,
                "{makespans:?}"
            );
        }
    }

    #[test]
    fn the_node_in_the_middle_is_put_beside_the_flow_worlds() {
        let sample = |median: u64, last: u64| {
            let [median, last] = [median, last].map(|ms| Time::from_nanos(ms * 1_000_000));
            vec![Sample { seed: 1, times: Some(Times { first: median, median, last }) }]
        };
        let samples = vec![sample(500, 1_000), sample(650, 1_000), sample(490, 1_100)];
        let rows = compare(samples);
        let ratios = |row: &Row| (row.median_to_flow, row.to_flow, row.agrees);
        assert_eq!(ratios(&rows[1]), (Some(1_300), Some(1_000), true), "nothing is asked of it");
        assert_eq!(ratios(&rows[2]), (Some(980), Some(1_100), true));
        let whole = Comparison { scenario: "s".to_owned(), cell: vec![], bound: None, rows };
        let text = whole.text();
        let ends =
            ["to flow  the median", "1.000       1.000", "1.000       1.300", "1.100       0.980"];
        for (line, end) in text.lines().skip(1).zip(ends) {
            assert!(line.ends_with(end), "{text}");
        }
    }

    #[test]
    fn the_median_over_the_seeds_counts_and_one_run_that_is_not_complete_spoils_it() {
        let flow = || vec![sample(1, 900), sample(2, 1_000), sample(3, 9_000)];
        let turmoil = vec![sample(1, 1_050), Sample { seed: 2, times: None }];
        let rows = compare(vec![flow(), turmoil, flow()]);
        assert_eq!(rows[2].to_flow, Some(1_000));
        assert_eq!((rows[1].to_flow, rows[1].agrees), (None, false));
        let whole = Comparison { scenario: "s".to_owned(), cell: vec![], bound: None, rows };
        assert!(!whole.agrees());
        assert!(whole.text().contains("turmoil      2  NOT COMPLETE"), "{}", whole.text());
    }
}
