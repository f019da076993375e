//! A lane for each node: how much of the content it has, how fast it sends and receives, when it ran, and the faults upon it.

use std::fmt::Write;

use maud::{Markup, html};
use sta_core::model::time::Time;

use super::bands::{Side, bands, upon};
use super::rates::Rates;
use super::{AXIS, LEFT, RIGHT, Scale, WIDTH, px, rate, short};
use crate::outcome::Outcome;
use crate::report::series::{COLUMNS, HostSeries, Series};
use crate::scenario::plan::{HostIx, Plan, Role};

/// Most lanes drawn: those of nodes that something happened to come first.
pub const LANES_MAX: usize = 80;
/// Most wrong pieces drawn in a lane.
const FAILED_MAX: usize = 200;

/// The chart.
#[must_use]
pub fn lanes(plan: &Plan, outcome: &Outcome, series: &Series) -> Markup {
    let shown = shown(plan, outcome);
    let height = match shown.len() {
        0..=16 => 34.0,
        17..=40 => 24.0,
        _ => 16.0,
    };
    let bottom = shown.len() as f64 * height;
    let scale = Scale::new(series.end);
    let lane = |(row, &host): (usize, &HostIx)| {
        let rates = Rates::of(&plan.hosts[host], &series.hosts[host], series.column_nanos());
        Lane { host, top: row as f64 * height, height, scale, rates }
    };
    let lanes: Vec<Lane> = shown.iter().enumerate().map(lane).collect();
    let full = same_height(plan, &lanes);
    html! {
        svg.chart viewBox=(format!("0 0 {WIDTH} {}", bottom + AXIS)) role="img" {
            title { "Progress, rates and faults of every node over time" }
            (scale.axis(0.0, bottom))
            @for lane in &lanes { (draw(plan, outcome, series, lane, full.is_none())) }
            @if let Some(healed) = healed(plan, series.end) {
                @let x = px(scale.x(healed));
                line.healed x1=(x) x2=(x) y1="0" y2=(px(bottom)) {
                    title { "Faults end here; from now on everybody must get along" }
                }
            }
        }
        (key(plan, outcome, series, &shown, full))
    }
}

/// What a lane's full height is, where that is the same in all of them.
fn same_height(plan: &Plan, lanes: &[Lane]) -> Option<f64> {
    let nodes = || lanes.iter().filter(|lane| plan.hosts[lane.host].role == Role::Node);
    let full = nodes().next().map_or(1.0, |lane| lane.rates.full);
    nodes().all(|lane| rate(lane.rates.full) == rate(full)).then_some(full)
}

fn key(
    plan: &Plan,
    outcome: &Outcome,
    series: &Series,
    shown: &[HostIx],
    full: Option<f64>,
) -> Markup {
    let seen = |of: &dyn Fn(&HostSeries) -> bool| shown.iter().any(|&ix| of(&series.hosts[ix]));
    let upon = |wanted: Side, touched: bool| {
        let all = shown.iter().flat_map(|&host| upon(outcome, plan, host));
        all.into_iter().any(|(fault, side)| side == wanted && (fault.touched > 0) == touched)
    };
    html! {
        p.key {
            span.k-have { "has verified" }
            span.k-down { "receives" }
            span.k-up { "sends" }
            span.more {
                "full height: "
                @if let Some(full) = full { (rate(full)) } @else { "the rate at the right, of its own link" }
            }
            @if seen(&|host| !host.complete.is_empty()) { span.k-complete { "has everything" } }
            @if upon(Side::On, true) { span.k-fault { "a fault upon it" } }
            @if upon(Side::Against, true) { span.k-other { "on the other side of a fault" } }
            @if upon(Side::On, false) { span.k-idle { "a fault that touched nothing" } }
            @if seen(&|host| !host.failed.is_empty()) { span.k-failed { "a piece with the wrong hash" } }
            @if seen(&|host| !gaps(host, series.end).is_empty()) { span.k-away { "does not run" } }
            @if plan.hosts.len() > shown.len() {
                span.more {
                    (plan.hosts.len() - shown.len()) " more hosts are not drawn: those that failed or had most faults upon them are. "
                    "What all did is in events.jsonl"
                }
            }
        }
    }
}

struct Lane {
    host: HostIx,
    top: f64,
    height: f64,
    scale: Scale,
    rates: Rates,
}

/// With `own_height`, what the full height is stands at the right.
fn draw(plan: &Plan, outcome: &Outcome, series: &Series, lane: &Lane, own_height: bool) -> Markup {
    let &Lane { host, top, height, scale, ref rates } = lane;
    let (who, seen) = (&plan.hosts[host], &series.hosts[host]);
    let inner = height - 4.0;
    let right = match (who.role, seen.complete.last(), seen.progress.last()) {
        (Role::Tracker, ..) => String::new(),
        (_, Some(at), _) => format!("{at}"),
        (_, None, Some((_, 1_000_000))) => "a source".to_owned(),
        (_, None, last) => format!("{} %", last.map_or(0, |(_, ppm)| ppm / 10_000)),
    };
    html! {
        g.lane data-host=(who.id) transform=(format!("translate(0 {})", px(top))) {
            text.name x=(px(LEFT - 8.0)) y=(px(height / 2.0 + 4.0)) text-anchor="end" { (short(&who.name)) title { (who.name) } }
            rect.ground x=(px(LEFT)) y="2" width=(px(RIGHT - LEFT)) height=(px(inner)) {}
            @if who.role == Role::Node {
                path.have d=(progress_path(seen, scale, inner)) {
                    title { (who.name) ": share of its bytes verified" }
                }
                polyline.down points=(rate_line(&rates.down, lane)) {}
                polyline.up points=(rate_line(&rates.up, lane)) {}
            }
            @for (from, to) in gaps(seen, series.end) {
                rect.away x=(px(scale.x(from))) y="2" width=(px(scale.x(to) - scale.x(from))) height=(px(inner)) {}
            }
            (bands(outcome, plan, host, seen, scale, series.end, inner))
            @for (at, piece) in seen.failed.iter().take(FAILED_MAX) {
                circle.failed cx=(px(scale.x(*at))) cy=(px(height / 2.0)) r="2.5" {
                    title { "piece " (piece) " had the wrong hash at " (at) }
                }
            }
            @if let Some(at) = seen.complete.last() {
                circle.complete cx=(px(scale.x(*at))) cy=(px(height / 2.0)) r="4" {
                    title { (who.name) " complete at " (at) }
                }
            }
            text.figure x=(px(RIGHT + 8.0)) y=(px(height / 2.0 + 4.0)) { (right) }
            @if own_height && who.role == Role::Node {
                text.figure x=(px(WIDTH)) y=(px(height / 2.0 + 4.0)) text-anchor="end" { (rate(rates.full)) }
            }
        }
    }
}

/// Everybody, or where they are too many those that something happened to, and then the others.
fn shown(plan: &Plan, outcome: &Outcome) -> Vec<HostIx> {
    let mut all: Vec<HostIx> = (0..plan.hosts.len()).collect();
    if all.len() > LANES_MAX {
        let found: Vec<_> = outcome.failures().iter().filter_map(|(_, f)| f.who.clone()).collect();
        let interest = |host: &HostIx| {
            let found = found.contains(&plan.hosts[*host].id);
            let upon = upon(outcome, plan, *host).filter(|(_, side)| *side == Side::On).count();
            (!found, std::cmp::Reverse(upon))
        };
        all.sort_by_key(interest);
        all.truncate(LANES_MAX);
        all.sort_unstable();
    }
    all
}

fn healed(plan: &Plan, end: Time) -> Option<Time> {
    let faulty = !plan.timeline.is_empty() || plan.faults.iter().any(|fault| fault.on);
    Some(plan.healed).filter(|healed| faulty && *healed < end && *healed > Time::ZERO)
}

fn progress_path(seen: &HostSeries, scale: Scale, height: f64) -> String {
    let y = |ppm: u32| 2.0 + height * (1.0 - f64::from(ppm) / 1e6);
    let Some((first, _)) = seen.progress.first() else { return String::new() };
    let mut path = format!("M{} {}", px(scale.x(*first)), px(2.0 + height));
    for (at, ppm) in &seen.progress {
        let _ = write!(path, "H{}V{}", px(scale.x(*at)), px(y(*ppm)));
    }
    let end = seen.runs.last().map_or(*first, |(_, end)| *end);
    let _ = write!(path, "H{}V{}Z", px(scale.x(end)), px(2.0 + height));
    path
}

/// A rate as a line: points where it changes.
fn rate_line(columns: &[f64], lane: &Lane) -> String {
    let mut line = String::new();
    let Lane { height, scale, rates, .. } = lane;
    let y = |rate: f64| px(2.0 + (height - 4.0) * (1.0 - (rate / rates.full).min(1.0)));
    let heights: Vec<String> = columns.iter().map(|rate| y(*rate)).collect();
    let same = |i: usize| {
        i > 0 && i + 1 < COLUMNS && heights[i - 1] == heights[i] && heights[i] == heights[i + 1]
    };
    for (column, y) in heights.iter().enumerate().filter(|(i, _)| !same(*i)) {
        let x = (scale.column(column, COLUMNS) + scale.column(column + 1, COLUMNS)) / 2.0;
        let _ = write!(line, "{},{y} ", px(x));
    }
    line
}

/// When a host did not run.
fn gaps(seen: &HostSeries, end: Time) -> Vec<(Time, Time)> {
    let starts = seen.runs.iter().map(|run| run.0).chain([end]);
    let ends = [Time::ZERO].into_iter().chain(seen.runs.iter().map(|run| run.1));
    ends.zip(starts).filter(|(from, to)| from < to).collect()
}
