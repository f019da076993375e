//! How good the schedule was: when each node had everything, beside the least time of any schedule.

use maud::{Markup, html};
use sta_core::model::time::Time;

use super::{AXIS, LEFT, RIGHT, Scale, WIDTH, px, seconds};
use crate::checks::factor;
use crate::outcome::Outcome;
use crate::report::series::Series;

const HEIGHT: f64 = 110.0;
const BAR: f64 = 16.0;
/// Room for the figure of a bar.
const FIGURE: f64 = 100.0;

/// The chart: the bound and the makespan as bars, and under them the share of nodes that were complete.
#[must_use]
pub fn bound(outcome: &Outcome, series: &Series) -> Markup {
    let (measures, scale) = (&outcome.measures, Scale::new(series.end));
    let bar = |class: &str, name: &str, at: Time, figure: String| {
        html! {
            rect class=(class) x=(px(LEFT)) width=(px(scale.x(at) - LEFT)) height=(px(BAR)) {
                title { (name) ": " (at) }
            }
            text.name x=(px(LEFT - 8.0)) y="12" text-anchor="end" { (name) }
            // Beside the bar; inside it where there is no room.
            @if scale.x(at) < RIGHT - FIGURE {
                text.figure x=(px(scale.x(at) + 6.0)) y="12" { (figure) }
            } @else {
                text.figure.inside x=(px(scale.x(at) - 6.0)) y="12" text-anchor="end" { (figure) }
            }
        }
    };
    let at = |bound: std::time::Duration| Time::ZERO + bound;
    let top = 2.0 * (BAR + 6.0) + 6.0;
    html! {
        svg.chart viewBox=(format!("0 0 {WIDTH} {}", top + HEIGHT + AXIS)) role="img" {
            title { "Makespan beside the bound, and completions over time" }
            @if let Some(bound) = measures.bound {
                g { (bar("bound", "bound", at(bound), seconds(bound.as_secs_f64()))) }
            }
            g transform=(format!("translate(0 {})", px(BAR + 6.0))) {
                @if let Some(makespan) = measures.makespan {
                    @let over = measures.over_bound.map_or(String::new(), |ppm| format!(", {} times the bound", factor(ppm)));
                    (bar("makespan", "last node", makespan, format!("{}{over}", seconds(makespan.as_secs_f64()))))
                } @else {
                    text.name x=(px(LEFT - 8.0)) y="12" text-anchor="end" { "last node" }
                    text.figure x=(px(LEFT + 6.0)) y="12" { "never: somebody lacks something" }
                }
            }
            g transform=(format!("translate(0 {})", px(top))) {
                rect.ground x=(px(LEFT)) y="0" width=(px(RIGHT - LEFT)) height=(px(HEIGHT)) {}
                (scale.axis(0.0, HEIGHT))
                text.name x=(px(LEFT - 8.0)) y="11" text-anchor="end" { "all nodes" }
                text.name x=(px(LEFT - 8.0)) y=(px(HEIGHT)) text-anchor="end" { "none" }
                path.completions d=(completions(outcome, series, scale)) {}
                @if let Some(bound) = measures.bound.filter(|bound| at(*bound) < series.end) {
                    @let x = px(scale.x(at(bound)));
                    line.bound-line x1=(x) x2=(x) y1="0" y2=(px(HEIGHT)) {}
                }
                text.figure x=(px(RIGHT + 8.0)) y="11" { (measures.complete.0) " of " (measures.complete.1) }
            }
        }
        p.key { span.k-bound { "the least time of any schedule" } span.k-makespan { "this run" } span.k-completions { "nodes complete, of those that lacked something" } }
    }
}

fn completions(outcome: &Outcome, series: &Series, scale: Scale) -> String {
    let all = f64::from(outcome.measures.complete.1).max(1.0);
    let y = |count: usize| px(HEIGHT - count as f64 / all * (HEIGHT - 2.0));
    let steps = series.completions.iter().enumerate();
    let path: String =
        steps.map(|(ix, at)| format!("H{}V{}", px(scale.x(*at)), y(ix + 1))).collect();
    format!("M{} {}{path}H{}V{}Z", px(LEFT), y(0), px(RIGHT), y(0))
}
