//! A lane for each node: how much of the content it has, how fast it sends and receives, when it ran, and the faults upon it.

use std::fmt::Write;

use maud::{Markup, html};
use sta_core::model::time::Time;

use super::{AXIS, LEFT, RIGHT, Scale, WIDTH, px, rate};
use crate::outcome::{FaultSeen, Outcome};
use crate::report::series::{COLUMNS, HostSeries, Series};
use crate::scenario::driver::Origin;
use crate::scenario::plan::{HostIx, Plan, Role};

/// Most lanes drawn: those of nodes that something happened to come first.
pub const LANES_MAX: usize = 80;

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
    let fastest = fastest(series);
    html! {
        svg.chart viewBox=(format!("0 0 {WIDTH} {}", bottom + AXIS)) role="img" {
            title { "Progress, rates and faults of every node over time" }
            (scale.axis(0.0, bottom))
            @for (row, &host) in shown.iter().enumerate() {
                (lane(plan, outcome, series, Lane { host, top: row as f64 * height, height, scale, fastest }))
            }
            @if let Some(healed) = healed(plan, series.end) {
                @let x = px(scale.x(healed));
                line.healed x1=(x) x2=(x) y1="0" y2=(px(bottom)) {
                    title { "Faults end here; from now on everybody must get along" }
                }
            }
        }
        p.key {
            span.k-have { "has verified" }
            span.k-down { "receives" }
            span.k-up { "sends (full height " (rate(fastest)) ")" }
            span.k-fault { "a fault upon it" }
            span.k-away { "does not run" }
            @if plan.hosts.len() > shown.len() {
                span.more { (plan.hosts.len() - shown.len()) " more hosts are in report.json" }
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Lane {
    host: HostIx,
    top: f64,
    height: f64,
    scale: Scale,
    fastest: f64,
}

fn lane(plan: &Plan, outcome: &Outcome, series: &Series, lane: Lane) -> Markup {
    let Lane { host, top, height, scale, .. } = lane;
    let (who, seen) = (&plan.hosts[host], &series.hosts[host]);
    let inner = height - 4.0;
    let right = match (who.role, seen.complete.last(), seen.progress.last()) {
        (Role::Tracker, ..) => String::new(),
        (_, Some(at), _) => format!("{at}"),
        (_, None, Some((_, 1_000_000))) => "seed".to_owned(),
        (_, None, last) => format!("{} %", last.map_or(0, |(_, ppm)| ppm / 10_000)),
    };
    html! {
        g.lane data-host=(who.id) transform=(format!("translate(0 {})", px(top))) {
            text.name x=(px(LEFT - 8.0)) y=(px(height / 2.0 + 4.0)) text-anchor="end" { (who.name) }
            rect.ground x=(px(LEFT)) y="2" width=(px(RIGHT - LEFT)) height=(px(inner)) {}
            @if who.role == Role::Node {
                path.have d=(progress_path(seen, scale, inner)) {
                    title { (who.name) ": share of its bytes verified" }
                }
                polyline.down points=(rate_line(&seen.down, series, lane)) {}
                polyline.up points=(rate_line(&seen.up, series, lane)) {}
            }
            @for (from, to) in gaps(seen, series.end) {
                rect.away x=(px(scale.x(from))) y="2" width=(px(scale.x(to) - scale.x(from))) height=(px(inner)) {}
            }
            @for fault in upon(outcome, plan, host) {
                (band(fault, series.end, scale, inner))
            }
            @for (at, piece) in seen.failed.iter().take(200) {
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
        }
    }
}

fn band(fault: &FaultSeen, end: Time, scale: Scale, height: f64) -> Markup {
    let from = scale.x(fault.began);
    let to = fault.ended.map_or(from, |ended| scale.x(ended.min(end)));
    let class = if fault.touched == 0 { "fault idle" } else { "fault" };
    html! {
        rect class=(class) x=(px(from)) y="2" width=(px((to - from).max(2.0))) height=(px(height)) {
            title {
                (fault.id) ": " (fault.verb) " from " (fault.began)
                @if let Some(ended) = fault.ended { " to " (ended) }
                ", touched " (fault.touched)
            }
        }
    }
}

/// The faults upon a host; a coming or going is seen from where it does not run.
fn upon<'a>(
    outcome: &'a Outcome,
    plan: &'a Plan,
    host: HostIx,
) -> impl Iterator<Item = &'a FaultSeen> {
    let id = &plan.hosts[host].id;
    outcome.faults.iter().filter(move |fault| {
        matches!(fault.origin, Origin::Event(_) | Origin::Fault(_)) && fault.targets.contains(id)
    })
}

/// Everybody, or where they are too many those that something happened to, and then the others.
fn shown(plan: &Plan, outcome: &Outcome) -> Vec<HostIx> {
    let mut all: Vec<HostIx> = (0..plan.hosts.len()).collect();
    if all.len() > LANES_MAX {
        let found: Vec<_> = outcome.failures().iter().filter_map(|(_, f)| f.who.clone()).collect();
        let interest = |host: &HostIx| {
            let found = found.contains(&plan.hosts[*host].id);
            let upon = upon(outcome, plan, *host).count();
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

/// The highest rate of any host in any column, in bytes per second.
fn fastest(series: &Series) -> f64 {
    let columns = series.hosts.iter().flat_map(|host| host.down.iter().chain(&host.up));
    let most = columns.max().copied().unwrap_or(0) as f64;
    (most / series.column_nanos() as f64 * 1e9).max(1.0)
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
fn rate_line(columns: &[u64], series: &Series, lane: Lane) -> String {
    let mut line = String::new();
    let nanos = series.column_nanos() as f64;
    let same = |i: usize| {
        i > 0 && i + 1 < COLUMNS && columns[i - 1] == columns[i] && columns[i] == columns[i + 1]
    };
    for (column, bytes) in columns.iter().enumerate().filter(|(i, _)| !same(*i)) {
        let share = (*bytes as f64 / nanos * 1e9 / lane.fastest).min(1.0);
        let x = (lane.scale.column(column, COLUMNS) + lane.scale.column(column + 1, COLUMNS)) / 2.0;
        let _ = write!(line, "{},{} ", px(x), px(2.0 + (lane.height - 4.0) * (1.0 - share)));
    }
    line
}

/// When a host did not run.
fn gaps(seen: &HostSeries, end: Time) -> Vec<(Time, Time)> {
    let starts = seen.runs.iter().map(|run| run.0).chain([end]);
    let ends = [Time::ZERO].into_iter().chain(seen.runs.iter().map(|run| run.1));
    ends.zip(starts).filter(|(from, to)| from < to).collect()
}
